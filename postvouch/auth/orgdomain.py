"""The DNS tree walk: which DMARC records lie above a name, and what its Organizational Domain is.

RFC 9989 §4.10. Two domains are one organisation when their Organizational Domains are *equal*. That one name
ends like the other is not enough: anyone may register below a public suffix.
"""

from dataclasses import dataclass, field

from postvouch.auth.dmarcrecord import Record, find_record
from postvouch.values.dns import Resolver, Status

MAX_LABELS_AFTER_START = 7


@dataclass(slots=True, kw_only=True)
class Walk:
    """One walk upwards from ``start``, as far as somebody needed it. Steps raise DnsUnavailable."""

    start: str
    resolver: Resolver
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
        answer = self.resolver.lookup(f"_dmarc.{name}", "TXT")
        # Only now is the name done with: after DnsUnavailable it would be asked again, never skipped.
        self._left.pop(0)
        record = find_record(answer.texts()) if answer.status is Status.FOUND else None
        if record is None:
            return
        self.found.append((name, record))
        if record.psd != "u":
            self._left.clear()

    def org_domain(self) -> str:
        """The Organizational Domain of ``start`` (RFC 9989 §4.10.2)."""
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
        org = self.org_domain()
        for name, record in self.found:
            if name == org or (record.psd == "y" and name != self.start):
                return name, record
        return None


def names(start: str) -> list[str]:
    """The names that a walk asks, longest first: at most eight (RFC 9989 §4.10)."""
    labels = start.split(".")
    above = labels[1:] if len(labels) <= MAX_LABELS_AFTER_START else labels[-MAX_LABELS_AFTER_START:]
    return [start, *(".".join(above[i:]) for i in range(len(above)))]


def _one_below(name: str, start: str) -> str:
    label = start[: -len(name) - 1].rpartition(".")[2]
    return f"{label}.{name}"
