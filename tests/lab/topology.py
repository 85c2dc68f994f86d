"""Who is where: the hosts of the lab, their names and addresses, and the domains of the two worlds.

One private network a release, 10.91.N.0/24, the first N that nothing on this machine uses. our.example has
four Postfix hosts, an LDAP and a redis server; far.example is a stranger; sink is the world's big mailbox
provider.
"""

from dataclasses import dataclass

OURS = ("mx", "srs", "submission", "relay")
SELECTOR = "lab"


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One container. ``fqdn`` is its name in DNS; ``last`` the last number of its address."""

    name: str
    fqdn: str
    last: int

    @property
    def ours(self) -> bool:
        """Whether our package is installed on it."""
        return self.name in OURS


HOSTS = (
    Host(name="dns", fqdn="dns.our.example", last=2),
    Host(name="ldap", fqdn="ldap.our.example", last=3),
    Host(name="redis", fqdn="redis.our.example", last=4),
    Host(name="sender", fqdn="mail.far.example", last=10),
    Host(name="mx", fqdn="mx.our.example", last=20),
    Host(name="srs", fqdn="srs.our.example", last=21),
    Host(name="submission", fqdn="submission.our.example", last=22),
    Host(name="relay", fqdn="relay.our.example", last=23),
    Host(name="sink", fqdn="mx.gmail.example", last=30),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """One lab: a Debian release and the network it lives in (``net``: the first three numbers)."""

    release: str
    net: str

    @property
    def network(self) -> str:
        """Name of the container network."""
        return f"pvlab-{self.release}"

    def container(self, host: str) -> str:
        """Name of a host's container."""
        return f"pvlab-{self.release}-{host}"

    def address(self, host: str) -> str:
        """IPv4 address of a host."""
        return f"{self.net}.{next(h.last for h in HOSTS if h.name == host)}"

    @property
    def subnet(self) -> str:
        """The network as a CIDR."""
        return f"{self.net}.0/24"


def fqdn(host: str) -> str:
    """The name of a host in DNS."""
    return next(h.fqdn for h in HOSTS if h.name == host)


def zone(topology: Topology, keys: dict[str, str]) -> str:
    """The one signed zone, the root, that holds every name of the lab.

    ``keys``: TXT record lines in zone file form by the domain they are for, with absolute names.
    """
    at = topology.address
    lines = [
        "$ORIGIN .",
        "$TTL 60",
        ". SOA dns.our.example. hostmaster.our.example. 1 3600 600 86400 5",
        ". NS dns.our.example.",
    ]
    for host in HOSTS:
        lines += [
            f"{host.fqdn}. A {at(host.name)}",
            f"{'.'.join(reversed(at(host.name).split('.')))}.in-addr.arpa. PTR {host.fqdn}.",
        ]
        if host.name != "sink":
            # Each host says for its own name, which is its HELO, that it sends from nowhere else.
            lines.append(f'{host.fqdn}. TXT "v=spf1 a -all"')
    senders = " ".join(f"a:{fqdn(h)}" for h in ("srs", "relay"))
    lines += [
        "our.example. MX 10 mx.our.example.",
        f'our.example. TXT "v=spf1 {senders} -all"',
        '_dmarc.our.example. TXT "v=DMARC1; p=reject; rua=mailto:postmaster@our.example"',
        "old.example. MX 10 mx.our.example.",
        # The domain of SRS senders for what nobody vouched for; it sends nothing of its own.
        'old.example. TXT "v=spf1 a:srs.our.example -all"',
        '_dmarc.old.example. TXT "v=DMARC1; p=reject"',
        "far.example. MX 10 mail.far.example.",
        'far.example. TXT "v=spf1 a:mail.far.example -all"',
        '_dmarc.far.example. TXT "v=DMARC1; p=reject"',
        'mx.gmail.example. TXT "v=spf1 a -all"',
        f"mx.riseup.example. A {at('sink')}",
        "*.members.example. MX 10 mx.gmail.example.",
    ]
    for domain in ("gmail", "riseup"):
        lines += [
            f"{domain}.example. MX 10 mx.{domain}.example.",
            f'{domain}.example. TXT "v=spf1 a:mx.gmail.example -all"',
            f'_dmarc.{domain}.example. TXT "v=DMARC1; p=none"',
        ]
    lines += keys.values()
    return "\n".join(lines) + "\n"
