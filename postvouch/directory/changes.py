"""What is different between two readings of the sources."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from postvouch.directory.model import Entry, Kind, Part


class What(StrEnum):
    """The three ways in which an entry can differ."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One name that one source says differently. ``source`` is where it stands now, or stood."""

    what: What
    origin: str
    kind: Kind
    name: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    source: str

    def __str__(self) -> str:
        sign = {What.ADDED: "+", What.REMOVED: "-", What.CHANGED: "!"}[self.what]
        values = ", ".join(self.after)
        if self.what is not What.ADDED:
            values = ", ".join(self.before) + (f" -> {values}" if self.what is What.CHANGED else "")
        return f"{sign} {self.kind} {self.name}: {values} ({self.source})"


def between(old: Sequence[Part], new: Sequence[Part]) -> tuple[Change, ...]:
    """All changes, source by source, by name. A line that only moved within its file is none."""
    return tuple(_changes(_by_name(old), _by_name(new)))


_Key = tuple[str, str, str]


def _by_name(parts: Sequence[Part]) -> dict[_Key, list[Entry]]:
    found: dict[_Key, list[Entry]] = {}
    for part in parts:
        for entry in part.entries:
            found.setdefault((part.origin, str(entry.kind), entry.name), []).append(entry)
    return found


def _changes(old: dict[_Key, list[Entry]], new: dict[_Key, list[Entry]]) -> Iterator[Change]:
    for key in sorted({*old, *new}):
        was, now = old.get(key, []), new.get(key, [])
        before, after = _values(was), _values(now)
        if was and now and before == after:
            continue
        what = What.CHANGED if was and now else What.ADDED if now else What.REMOVED
        yield Change(
            what=what,
            origin=key[0],
            kind=Kind(key[1]),
            name=key[2],
            before=before,
            after=after,
            source=(now or was)[-1].source,
        )


def _values(entries: Sequence[Entry]) -> tuple[str, ...]:
    return tuple(value for entry in entries for value in entry.values)
