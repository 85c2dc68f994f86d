"""OpenDKIM's InternalHosts as networks.

OpenDKIM compares the text of addresses, the longest prefix first, and "!" excludes; the names of clients are
looked up as well. Here hosts are networks and nothing else.
"""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from typing import TypeVar

from postvouch.config.opendkim import DataSet
from postvouch.config.opendkimledger import Ledger
from postvouch.values.network import Network

N = TypeVar("N", IPv4Network, IPv6Network)
_LOOPBACK = (ip_network("127.0.0.1"), ip_network("::1"))


def internal_hosts(hosts: DataSet, directive: str, ledger: Ledger) -> tuple[str, ...]:
    """The networks of a data set of hosts; what is none is named."""
    found: list[tuple[bool, Network]] = []
    for row in hosts.rows:
        excluded = row.key.startswith("!")
        text = row.key.removeprefix("!").lower()
        if text == "localhost" and not excluded:
            found += [(False, each) for each in _LOOPBACK]
            continue
        plain = text.replace("[", "").replace("]", "")
        try:
            network = ip_network(plain, strict=False)
        except ValueError:
            what = "a pattern" if "*" in text else "a name"
            hint = f"write the addresses of {text.lstrip('.')} into general.internal_hosts"
            ledger.lost(row.where, directive, f"{row.key}: {what}, and postvouch goes by addresses; {hint}")
            continue
        if plain not in (f"{network.network_address}/{network.prefixlen}", _single(network)):
            reason = "OpenDKIM compares the text, so that it never fitted a client"
            ledger.lost(row.where, directive, f"{row.key}: {reason}; {network} may be meant")
        elif network.prefixlen == 0 and not excluded:
            ledger.lost(row.where, directive, f"{row.key}: all clients; strangers' mail would be signed")
        else:
            found.append((excluded, network))
    return tuple(_text(each) for each in _without(found))


def _without(hosts: Iterable[tuple[bool, Network]]) -> list[Network]:
    """Networks less what is excluded: the longer prefix decides, and at one length the exclusion."""
    v4: list[IPv4Network] = []
    v6: list[IPv6Network] = []
    for excluded, network in sorted(hosts, key=lambda each: (each[1].prefixlen, each[0])):
        if isinstance(network, IPv4Network):
            v4 = [n for each in v4 for n in _less(each, network)] if excluded else [*v4, network]
        else:
            v6 = [n for each in v6 for n in _less(each, network)] if excluded else [*v6, network]
    return [*collapse_addresses(v4), *collapse_addresses(v6)]


def _less(network: N, excluded: N) -> list[N]:
    if not network.overlaps(excluded):
        return [network]
    return [] if excluded.prefixlen <= network.prefixlen else list(network.address_exclude(excluded))


def _single(network: Network) -> str:
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else ""


def _text(network: Network) -> str:
    return _single(network) or str(network)
