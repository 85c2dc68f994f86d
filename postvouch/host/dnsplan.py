"""What a configuration implies about DNS: who sends, for which domains, who takes their mail, which keys.

``plan_of`` reads no DNS. Host names in the plan may still be without addresses; ``dnscheck`` looks them up.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network

from postvouch.config.schema import Config
from postvouch.sign.keys import SigningKey
from postvouch.values.domain import domain_or_nothing
from postvouch.values.network import Network, client_address

_NEXT_HOP = re.compile(r"(?:[\w-]*:)?(\[)?([A-Za-z0-9_.-]+)\]?(?::\w+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class NextHop:
    """Where a transport leads: to the host itself, or, without brackets, to the MX of a name."""

    name: str
    by_mx: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What should be in DNS for this host and its domains.

    ``host`` is its name towards others (HELO), ``addresses`` those it sends from, () where DNS is to say.
    ``peers`` are further hosts of the same role. ``sends``: this host itself delivers to the world; else
    ``relay`` does. ``takes_mail``: it belongs into the MX. ``mx_hosts`` are further names that belong there,
    ``mx_networks`` what is known of the mx hosts' addresses; ``entry`` is the name whose MX are to be this
    host and its peers, by which others of ours reach them. ``tlsa``: what DANE may say of this host's
    certificate, the best form first. ``srs_domains`` are those of rewritten senders.
    """

    role: str
    host: str
    addresses: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()
    sends: bool = True
    takes_mail: bool = False
    relay: NextHop | None = None
    domains: tuple[str, ...] = ()
    srs_domains: tuple[str, ...] = ()
    mx_hosts: tuple[str, ...] = ()
    mx_networks: tuple[Network, ...] = ()
    entry: str = ""
    tlsa: tuple[str, ...] = ()
    keys: tuple[SigningKey, ...] = ()
    unreadable_keys: tuple[tuple[str, str], ...] = ()

    @property
    def sending_domains(self) -> tuple[str, ...]:
        """Those that stand in envelope senders: ours, and those of SRS."""
        return tuple(dict.fromkeys((*self.domains, *self.srs_domains)))

    @property
    def senders(self) -> tuple[str, ...]:
        """The names of the hosts that send to the world, as far as a record can name them."""
        if self.sends:
            return (self.host, *self.peers)
        return (self.relay.name,) if self.relay and not self.relay.by_mx else ()

    @property
    def mx_names(self) -> tuple[str, ...]:
        """The names that belong into the MX of our domains."""
        return tuple(dict.fromkeys((*((self.host, *self.peers) if self.takes_mail else ()), *self.mx_hosts)))


def plan_of(
    config: Config,
    main: Mapping[str, str],
    *,
    addresses: Sequence[str] = (),
    peers: Sequence[str] = (),
    mx_hosts: Sequence[str] = (),
    entry: str = "",
    tlsa: Sequence[str] = (),
    keys: Sequence[SigningKey] = (),
    unreadable_keys: Sequence[tuple[str, str]] = (),
) -> Plan:
    """The plan of a configuration; ``main`` is what main.cf sets, {} where there is none."""
    general, role = config.general, config.general.role
    outgoing = config.postfix.outgoing_transport
    if role in ("mx", "submission"):
        outgoing = outgoing or config.map.forward_transport
    relay = next_hop(outgoing)
    srs = () if role == "relay" else (config.srs.domain or next(iter(general.domains), ""),)
    home = next_hop(config.postfix.home_transport)
    named = [home.name] if home and not home.by_mx else []
    return Plan(
        role=role,
        host=_host(config, main),
        addresses=tuple(addresses) or _bound(main),
        peers=tuple(peers),
        sends=relay is None,
        takes_mail=role in ("mx", "single"),
        relay=relay,
        domains=general.domains or ((general.hostname,) if role == "relay" else ()),
        srs_domains=tuple(dict.fromkeys(filter(None, (*srs, config.srs.unproven_domain)))),
        mx_hosts=tuple(dict.fromkeys((*mx_hosts, *named))),
        mx_networks=tuple(ip_network(each) for each in config.sign.vouching_hosts),
        entry=entry,
        tlsa=tuple(tlsa),
        keys=tuple(keys),
        unreadable_keys=tuple(unreadable_keys),
    )


def next_hop(transport: str) -> NextHop | None:
    """Read "smtp:[host]", "relay:domain:25"...; None where the transport names no host."""
    match = _NEXT_HOP.fullmatch(transport.strip())
    name = domain_or_nothing(match[2]) if match else ""
    return NextHop(name=name, by_mx=not (match and match[1])) if name else None


def delivers_itself(main: Mapping[str, str]) -> bool:
    """Whether Postfix would bring mail for anybody to the MX of anybody (R80: no mx does)."""
    transport = main.get("default_transport", "smtp").strip()
    return not main.get("relayhost", "").strip() and transport.rstrip(":") in ("smtp", "relay")


def _host(config: Config, main: Mapping[str, str]) -> str:
    """The name that smtp(8) says in HELO."""
    for name in ("smtp_helo_name", "myhostname"):
        value = domain_or_nothing(main.get(name, ""))
        if value:
            return value
    return config.general.hostname.lower()


def _bound(main: Mapping[str, str]) -> tuple[str, ...]:
    """The addresses that smtp(8) is bound to."""
    found = (
        client_address(main.get(name, "").strip().strip("[]"))
        for name in ("smtp_bind_address", "smtp_bind_address6")
    )
    return tuple(str(each) for each in found if each and not (each.is_loopback or each.is_unspecified))
