"""OpenDKIM's InternalHosts as networks and names.

OpenDKIM compares the text of addresses, the longest prefix first, and "!" excludes. The name of a client, as
Postfix found it to lead back to the address, is looked up as well, and each ".parent" of it.
"""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from typing import TypeVar

from postvouch.config.convert import Wrong, host_name
from postvouch.config.opendkim import DataSet
from postvouch.config.opendkimledger import Ledger
from postvouch.values.network import Network

N = TypeVar("N", IPv4Network, IPv6Network)
_LOOPBACK = (ip_network("127.0.0.1"), ip_network("::1"))


def internal_hosts(hosts: DataSet, directive: str, ledger: Ledger) -> tuple[str, ...]:
    """The networks and names of a data set of hosts; what cannot be carried is named."""
    found: list[tuple[bool, Network]] = []
    names: dict[str, None] = {}
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
            why = _no_name(text, excluded)
            if why:
                ledger.lost(row.where, directive, f"{row.key}: {why}")
            else:
                names[host_name(text)] = None
            continue
        if plain not in (f"{network.network_address}/{network.prefixlen}", _single(network)):
            reason = "OpenDKIM compares the text, so that it never fitted a client"
            ledger.lost(row.where, directive, f"{row.key}: {reason}; {network} may be meant")
        elif network.prefixlen == 0 and not excluded:
            ledger.lost(row.where, directive, f"{row.key}: all clients; strangers' mail would be signed")
        else:
            found.append((excluded, network))
    return (*(_text(each) for each in _without(found)), *names)


def _no_name(text: str, excluded: bool) -> str:
    """Why this cannot be a name of general.internal_hosts, "" where it can."""
    if excluded:
        return f"names are not excluded here; list those beside {text} one by one"
    if "*" in text:
        return "OpenDKIM knows no patterns here, so it never fitted a client; write .DOMAIN for all below"
    try:
        host_name(text)
    except Wrong as error:
        return str(error)
    return ""


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
