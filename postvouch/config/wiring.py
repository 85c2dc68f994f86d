"""From our configuration to the words of the Postfix fragments: sockets, networks, next hops, domains.

Pure: the configuration, Postfix's queue directory and what the names files call alias domains come in; words
and complaints go out.
"""

import re
from collections.abc import Collection, Iterable
from ipaddress import ip_network
from pathlib import PurePosixPath

from postvouch.config.schema import Config
from postvouch.values.network import LOOPBACK, is_network

ROLES = ("mx", "srs", "submission", "relay", "single")
DAEMONS = {
    "mx": ("map", "verify"),
    "srs": ("map", "sign"),
    "submission": ("map", "sign", "policy"),
    "relay": ("sign",),
    "single": ("map", "verify", "sign", "policy"),
}
"""Who must run before Postfix of a role is wired; map first, since the others read its snapshot."""

_NO_NULL_SENDER = "check_sender_access inline:{{<>=REJECT null sender not allowed}}, "

DIRECT = "smtp:"
"""As a content filter without a next hop: to the MX of each recipient's domain."""


def words(
    config: Config, role: str, *, queue_dir: str, aliases: Collection[str]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """The words of the fragments of ``role``, and what is missing in the configuration for them.

    ``aliases`` are the alias domains among general.domains. Defaults of the configuration are filled in.
    """
    problems: list[str] = []
    general, postfix = config.general, config.postfix
    primary = [domain for domain in general.domains if domain not in aliases]
    outgoing = postfix.outgoing_transport or config.map.forward_transport
    found = {
        "domain": next(iter(primary), ""),
        "primary_domains": ", ".join(primary),
        "hostname": general.hostname,
        "outgoing": outgoing,
        "outgoing_or_direct": postfix.outgoing_transport,
        "way_out": postfix.outgoing_transport or DIRECT,
        "home_map": home_map(general.domains, postfix.home_transport or "smtp:"),
        "internal": networks(general.internal_hosts),
        "networks": networks((*general.internal_hosts, *config.sign.vouching_hosts)),
        "named": named(general.internal_hosts),
        "ask_ccert": "yes" if config.sign.client_certificates else "",
        "sign_action": postfix.sign_default_action,
        "null_sender": "" if are_reports_checked(config) else _NO_NULL_SENDER,
        "help": f"\\c - see {postfix.help_url}" if postfix.help_url else "",
        "desk": "desk" if postfix.hide_clients else "cleanup",
        "tls_cert": postfix.tls_cert,
        "tls_key": postfix.tls_key or postfix.tls_cert,
        "tls_level": "may" if postfix.tls_cert else "",
        "more": "".join(f", {each}" for each in postfix.more_milters),
        "first": "".join(f"{each}, " for each in postfix.more_milters),
    }
    for name, place in sockets(config).items():
        found[name], problem = as_postfix_says(place, queue_dir)
        if problem and name in DAEMONS[role]:
            problems.append(f"{name}.socket: {problem}")
    if general.role != role:
        problems.append(
            f'general.role is "{general.role}": set role = "{role}", or the daemons do another job'
        )
    if not primary:
        problems.append("general.domains names no domain of its own (alias domains do not count)")
    if "." not in general.hostname:
        problems.append(f'general.hostname "{general.hostname}" is not fully qualified')
    if role in ("mx", "submission") and not outgoing:
        problems.append(
            'map.forward_transport (or postfix.outgoing_transport) must say where srs is: "smtp:[HOST]"'
        )
    if role in ("submission", "single") and not postfix.tls_cert:
        problems.append("postfix.tls_cert is not set: nobody can log in without TLS")
    return found, tuple(problems)


def are_reports_checked(config: Config) -> bool:
    """Whether postvouch-sign sees to it that a login sends nothing but reports with the null sender."""
    return config.sign.check_owner and config.postfix.sign_default_action == "tempfail"


def sockets(config: Config) -> dict[str, str]:
    """Daemon -> where it listens, as in the configuration."""
    return {
        "verify": config.verify.socket,
        "sign": config.sign.socket,
        "map": config.map.socket,
        "policy": config.policy.socket,
    }


def as_postfix_says(socket: str, queue_dir: str) -> tuple[str, str]:
    """The socket as main.cf names it, and a complaint ("" for none).

    Postfix's daemons work in the queue directory, in a chroot or not: only a relative path is right for both.
    """
    kind, _, place = socket.partition(":")
    if kind != "unix":
        return socket, ""
    try:
        return f"unix:{PurePosixPath(place).relative_to(queue_dir)}", ""
    except ValueError:
        return socket, f"{place} is not below {queue_dir}, so Postfix in its chroot cannot reach it"


def networks(each: Iterable[str]) -> str:
    """CIDR networks as mynetworks takes them: IPv6 in brackets, each once; the loopback is always there."""
    found = []
    for text in dict.fromkeys((*filter(is_network, each), *map(str, LOOPBACK))):
        network = ip_network(text, strict=False)
        address = network.network_address
        found.append(f"[{address}]/{network.prefixlen}" if network.version == 6 else str(network))
    return " ".join(found)


def named(each: Iterable[str]) -> str:
    """A restriction, and its comma, that lets in the hosts given by name; "" where none are.

    A pattern, since a table of names would let in what lies below them as well. main.cf wants "$" twice.
    """
    rules = []
    for text in each:
        if not is_network(text):
            name = re.escape(text).replace("\\-", "-")
            rules.append(f"{{/{'' if text.startswith('.') else '^'}{name}$$/ OK}}")
    return f"check_client_access regexp:{{{', '.join(rules)}}}, " if rules else ""


def home_map(domains: Iterable[str], transport: str) -> str:
    """transport_maps that lead our domains home; "smtp:" alone means to the MX of each."""
    return "inline:{" + ", ".join(f"{{{domain}={transport}}}" for domain in domains) + "}"
