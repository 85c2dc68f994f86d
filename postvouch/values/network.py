"""Which of our listed networks and hosts is a client? One reading, for the verifier and for the signer.

Were there two, a client could be ours to the one that checks and a stranger's to the one that signs.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from postvouch.values.message import Client

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


_LONGEST_NAME = 253
LOOPBACK = networks(("127.0.0.0/8", "::1/128"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosts:
    """Hosts by network and by name. ``names`` are lower-case A-labels; ".our.example" is all below it."""

    networks: tuple[Network, ...] = ()
    names: frozenset[str] = frozenset()

    def rule(self, client: Client) -> str:
        """The network or name that the client matches, "" for none.

        A name is what Postfix found to lead back to the address; "unknown" is its word for none.
        """
        network = within(client.address, self.networks)
        if network is not None:
            return str(network)
        name = client.name.lower().rstrip(".")
        # The Kelvin sign is a "k" in lower case, and no host has it.
        is_name = client.name.isascii() and len(name) <= _LONGEST_NAME
        if not self.names or name == "unknown" or not is_name:
            return ""
        if name in self.names:
            return name
        _, dot, rest = name.partition(".")
        while dot:
            if f".{rest}" in self.names:
                return f".{rest}"
            _, dot, rest = rest.partition(".")
        return ""


NOBODY = Hosts()


def internal_hosts(texts: Iterable[str]) -> Hosts:
    """general.internal_hosts as it is meant: the loopback is always one of them. Raises ValueError."""
    given = tuple(texts)
    listed = networks(text for text in given if is_network(text))
    return Hosts(
        networks=tuple(dict.fromkeys((*listed, *LOOPBACK))),
        names=frozenset(text for text in given if not is_network(text)),
    )


def is_network(text: str) -> bool:
    """Whether an element of such a list is an address or a network, and no name."""
    return ":" in text or text.rpartition(".")[2].partition("/")[0].isdigit()
