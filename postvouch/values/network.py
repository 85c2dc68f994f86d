"""Which of our listed networks does a client belong to? One reading, for the verifier and for the signer.

Were there two, a client could be ours to the one that checks and a stranger's to the one that signs.
"""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Read networks and addresses, host bits forgiven ("192.0.2.7/24"). Raises ValueError."""
    return tuple(ip_network(text, strict=False) for text in texts)


@lru_cache(maxsize=1024)
def client_address(text: str) -> IPv4Address | IPv6Address | None:
    """Read the address of a client, or None.

    An IPv4 address mapped into IPv6 is that IPv4 address (RFC 4291 §2.5.5.2); a scope ("%eth0") and the
    prefix of an address literal ("IPv6:", RFC 5321 §4.1.3) are left out.
    """
    try:
        client = ip_address(text.lower().removeprefix("ipv6:").partition("%")[0])
    except ValueError:
        return None
    return client.ipv4_mapped or client if isinstance(client, IPv6Address) else client


def within(address: str, listed: Iterable[Network]) -> Network | None:
    """Find the first of ``listed`` that holds the client's ``address``; None, too, for what is no address."""
    client = client_address(address)
    if client is None:
        return None
    return next((network for network in listed if client in network), None)
