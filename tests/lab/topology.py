"""Who is where: the hosts of the lab, their names and addresses, and the domains of the two worlds.

One private network a release, 10.91.N.0/24, the first N that nothing on this machine uses. our.example has
six Postfix hosts (two mx, two srs), an LDAP and a redis server; fresh.example, ours as well, has a zone of
its own on two servers, where keys come and go; far.example is a stranger, with a host that answers with its
verdicts; sink is the world's big mailbox provider.
"""

from dataclasses import dataclass

OURS = ("mx", "srs", "submission", "relay", "mx2", "srs2")
FORWARDERS = "forwarders.our.example"
"""The name by which the other hosts know the srs hosts: its MX records."""
SELECTOR = "lab"
FRESH = "fresh.example"
VERIFIER = "verifier"
"""A stranger's host with our package on it, and no role of ours: it mails back what it makes of a letter."""
NAMESERVERS = ("ns1", "ns2")
"""Of FRESH: the one that signs it, and the one that fetches it when it is told to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One container. ``fqdn`` is its name in DNS; ``last`` the last number of its address."""

    name: str
    fqdn: str
    last: int

    @property
    def ours(self) -> bool:
        """Whether our package is installed on it."""
        return self.name in (*OURS, VERIFIER)


HOSTS = (
    Host(name="dns", fqdn="dns.our.example", last=2),
    Host(name="ldap", fqdn="ldap.our.example", last=3),
    Host(name="redis", fqdn="redis.our.example", last=4),
    Host(name="ns1", fqdn="ns1.our.example", last=5),
    Host(name="ns2", fqdn="ns2.our.example", last=6),
    Host(name="sender", fqdn="mail.far.example", last=10),
    Host(name=VERIFIER, fqdn="verifier.far.example", last=11),
    Host(name="mx", fqdn="mx.our.example", last=20),
    Host(name="srs", fqdn="srs.our.example", last=21),
    Host(name="submission", fqdn="submission.our.example", last=22),
    Host(name="relay", fqdn="relay.our.example", last=23),
    Host(name="mx2", fqdn="mx2.our.example", last=24),
    Host(name="srs2", fqdn="srs2.our.example", last=25),
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


def role(host: str) -> str:
    """The role of one of our hosts: mx2 is the second mx, to which the world turns when the first is away."""
    return host.rstrip("2")


def fqdn(host: str) -> str:
    """The name of a host in DNS."""
    return next(h.fqdn for h in HOSTS if h.name == host)


def fresh_zone() -> str:
    """The zone of FRESH before its first key."""
    return f"""\
$ORIGIN {FRESH}.
$TTL 2
@ SOA ns1.our.example. hostmaster.our.example. 1 3600 600 86400 2
@ NS ns1.our.example.
@ NS ns2.our.example.
@ MX 10 mx.our.example.
@ TXT "v=spf1 a:relay.our.example -all"
_dmarc TXT "v=DMARC1; p=reject"
"""


def zone(topology: Topology, records: dict[str, str]) -> str:
    """The signed root zone, which holds every name of the lab but those of FRESH.

    ``records``: lines of a zone file with absolute names, by the host they come from: keys, the DS of FRESH.
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
    senders = " ".join(f"a:{fqdn(h)}" for h in ("srs", "srs2", "relay"))
    lines += [
        "our.example. MX 10 mx.our.example.",
        "our.example. MX 20 mx2.our.example.",
        f"{FORWARDERS}. MX 10 srs.our.example.",
        f"{FORWARDERS}. MX 20 srs2.our.example.",
        f'our.example. TXT "v=spf1 {senders} -all"',
        '_dmarc.our.example. TXT "v=DMARC1; p=reject; rua=mailto:postmaster@our.example"',
        "old.example. MX 10 mx.our.example.",
        "old.example. MX 20 mx2.our.example.",
        # The domain of SRS senders for what nobody vouched for; it sends nothing of its own.
        'old.example. TXT "v=spf1 a:srs.our.example a:srs2.our.example -all"',
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
    lines += [f"{FRESH}. NS {fqdn(each)}." for each in NAMESERVERS]
    lines += records.values()
    return "\n".join(lines) + "\n"
