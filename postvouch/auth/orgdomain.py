"""Discovery: which DMARC record speaks for a name, and what its Organizational Domain is.

RFC 9989 §4.10 walks up the DNS tree; RFC 7489 §3.2 asked a list of public suffixes. Two domains are one
organisation when their Organizational Domains are *equal*. That one name ends like the other is not enough:
anyone may register below a public suffix.
"""

from dataclasses import dataclass, field
from typing import Protocol

from postvouch.auth.dmarcrecord import Record, find_record
from postvouch.auth.psl import Suffixes
from postvouch.values.dns import Resolver, Status

MAX_LABELS_AFTER_START = 7


class Discovery(Protocol):
    """One way to find out, for one Author Domain."""

    def policy_record(self) -> tuple[str, Record] | None:
        """The record that speaks for the author, and where it stands. Raises DnsUnavailable."""
        ...

    def organisation(self, name: str) -> str:
        """The Organizational Domain of any name. Raises DnsUnavailable."""
        ...

    def known(self) -> str:
        """That of the author, where it takes no further question; else ""."""
        ...

    def alone(self) -> bool:
        """Whether nothing that was found could join the author with another name."""
        ...


class ByWalk:
    """As RFC 9989, with the list as a guard where there is one."""

    def __init__(self, author: str, resolver: Resolver, suffixes: Suffixes | None = None) -> None:
        self._resolver = resolver
        self._suffixes = suffixes
        self._walk = self._from(author)

    def _from(self, name: str) -> "Walk":
        return Walk(start=name, resolver=self._resolver, suffixes=self._suffixes)

    def policy_record(self) -> tuple[str, Record] | None:
        """See Discovery."""
        return self._walk.policy_record()

    def organisation(self, name: str) -> str:
        """See Discovery."""
        return (self._walk if name == self._walk.start else self._from(name)).org_domain()

    def known(self) -> str:
        """See Discovery."""
        return self._walk.org_domain() if self._walk.finished else ""

    def alone(self) -> bool:
        """See Discovery."""
        return not self._walk.found


@dataclass(frozen=True, slots=True)
class ByList:
    """As RFC 7489 §6.6.3: the author's own record, or that of the name which the list calls registrable."""

    author: str
    resolver: Resolver
    suffixes: Suffixes

    def policy_record(self) -> tuple[str, Record] | None:
        """See Discovery."""
        for name in dict.fromkeys((self.author, self.known())):
            record = _record_at(name, self.resolver)
            if record is not None:
                return name, record
        return None

    def organisation(self, name: str) -> str:
        """See Discovery."""
        return self.suffixes.registrable(name) or name

    def known(self) -> str:
        """See Discovery."""
        return self.organisation(self.author)

    def alone(self) -> bool:
        """See Discovery."""
        return False


@dataclass(slots=True, kw_only=True)
class Walk:
    """One walk upwards from ``start``, as far as somebody needed it. Steps raise DnsUnavailable.

    ``suffixes``: where the records would make one organisation of all who are below a public suffix, because
    its operator forgot psd=y (§5.2), ``start`` belongs to the name below that suffix.
    """

    start: str
    resolver: Resolver
    suffixes: Suffixes | None = None
    found: list[tuple[str, Record]] = field(default_factory=list)
    _left: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._left = names(self.start)

    def first(self) -> Record | None:
        """The record at the starting point itself."""
        if self._left and self._left[0] == self.start:
            self._step()
        return self.found[0][1] if self.found and self.found[0][0] == self.start else None

    @property
    def finished(self) -> bool:
        """Whether nothing is left to ask."""
        return not self._left

    def finish(self) -> None:
        """Walk to the end: to a record with psd=n or psd=y, or past the top."""
        while self._left:
            self._step()

    def _step(self) -> None:
        name = self._left[0]
        record = _record_at(name, self.resolver)
        # Only now is the name done with: after DnsUnavailable it would be asked again, never skipped.
        self._left.pop(0)
        if record is None:
            return
        self.found.append((name, record))
        if record.psd != "u":
            self._left.clear()

    def org_domain(self) -> str:
        """The Organizational Domain of ``start`` (RFC 9989 §4.10.2)."""
        org = self._by_records()
        if self.suffixes is None or org == self.start or (org, "n") in [(n, r.psd) for n, r in self.found]:
            return org
        registrable = self.suffixes.registrable(self.start)
        if not registrable:
            return self.start if self.suffixes.is_suffix(org) else org
        return max(org, registrable, key=len)

    def _by_records(self) -> str:
        self.finish()
        for name, record in self.found:
            if record.psd == "n":
                return name
            if record.psd == "y" and name != self.start:
                return _one_below(name, self.start)
        return self.found[-1][0] if self.found else self.start

    def policy_record(self) -> tuple[str, Record] | None:
        """Where the policy for ``start`` stands: its own, its organisation's, its public suffix's record."""
        own = self.first()
        if own is not None:
            return self.start, own
        # Where the list says more than the records, their word is that of a public suffix.
        places = self.org_domain(), self._by_records()
        for name, record in self.found:
            if name in places or (record.psd == "y" and name != self.start):
                return name, record
        return None


def names(start: str) -> list[str]:
    """The names that a walk asks, longest first: at most eight (RFC 9989 §4.10)."""
    labels = start.split(".")
    above = labels[1:] if len(labels) <= MAX_LABELS_AFTER_START else labels[-MAX_LABELS_AFTER_START:]
    return [start, *(".".join(above[i:]) for i in range(len(above)))]


def _record_at(name: str, resolver: Resolver) -> Record | None:
    answer = resolver.lookup(f"_dmarc.{name}", "TXT")
    return find_record(answer.texts()) if answer.status is Status.FOUND else None


def _one_below(name: str, start: str) -> str:
    label = start[: -len(name) - 1].rpartition(".")[2]
    return f"{label}.{name}"
