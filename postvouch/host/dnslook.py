"""What DNS says about the TXT records of a name: every authoritative server, and the resolver.

``host/dnsauthority.py`` finds it out.
"""

from dataclasses import dataclass

from postvouch.values.dns import Status

Texts = tuple[tuple[bytes, ...], ...]
"""The TXT records at a name, each as its character-strings in their order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAnswer:
    """What one address of one server says about a name.

    ``status`` is None where it gave no answer with authority; ``trouble`` then says why, and
    ``is_unroutable`` whether the fault is on our side (no IPv6 here). ``serial`` and
    ``negative_ttl_s`` are of the zone's SOA, None where it was not told; ``alias`` is where a CNAME of
    the name leads.
    """

    server: str
    address: str
    status: Status | None = None
    texts: Texts = ()
    ttl_s: int = 0
    alias: str = ""
    serial: int | None = None
    negative_ttl_s: int | None = None
    trouble: str = ""
    is_unroutable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolverAnswer:
    """What the resolver says about a name: ``ttl_s`` is for how long it will go on saying so.

    ``status`` is None where it has no answer; ``is_bogus`` where it has one only without validation.
    ``secure`` is its AD bit.
    """

    status: Status | None = None
    texts: Texts = ()
    ttl_s: int = 0
    secure: bool = False
    is_bogus: bool = False
    trouble: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """All that DNS says about the TXT records of a name.

    ``aliases`` are the names behind it that CNAMEs led to; ``zone`` and ``servers`` are those of the last.
    ``trouble`` says why the servers could not be found; ``servers`` is then empty. ``is_wildcard``: a name
    beside it that nobody made has the same answer.
    """

    name: str
    aliases: tuple[str, ...] = ()
    zone: str = ""
    servers: tuple[ServerAnswer, ...] = ()
    resolver: ResolverAnswer
    is_wildcard: bool = False
    trouble: str = ""

    @property
    def answered(self) -> tuple[ServerAnswer, ...]:
        """The servers that answered with authority."""
        return tuple(each for each in self.servers if each.status is not None)

    @property
    def silent(self) -> tuple[ServerAnswer, ...]:
        """Those that did not. An address out of our reach counts only where the server has no other."""
        reached = {each.server for each in self.servers if not each.is_unroutable}
        return tuple(
            each
            for each in self.servers
            if each.status is None and not (each.is_unroutable and each.server in reached)
        )
