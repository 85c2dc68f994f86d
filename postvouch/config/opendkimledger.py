"""What became of each line of an OpenDKIM configuration: the words that ``postvouch import`` says of it."""

from dataclasses import dataclass, field

from postvouch.config.opendkim import Line
from postvouch.config.problems import Where

CARRIED = "carried"
NEEDLESS = "not-needed"
LOST = "not-carried"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line, or one thing about it. ``fate`` is CARRIED, NEEDLESS or LOST."""

    where: Where
    directive: str
    fate: str
    text: str

    def __str__(self) -> str:
        place = f"{self.where.file}:{self.where.line}" if self.where.line else self.where.file
        return f"{place}: {self.directive}: {self.text}"


@dataclass(slots=True, kw_only=True)
class Ledger:
    """Collects entries, each once."""

    _entries: dict[Entry, None] = field(default_factory=dict)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What was said, in that order."""
        return tuple(self._entries)

    def carried(self, line: Line, text: str) -> None:
        """It is a setting of ours now."""
        self._add(line.where, line.directive.name, CARRIED, text)

    def needless(self, line: Line, text: str) -> None:
        """Nothing is lost without it."""
        self._add(line.where, line.directive.name, NEEDLESS, text)

    def lost(self, where: Where, directive: str, text: str) -> None:
        """OpenDKIM did something with it that postvouch will not do, or not so."""
        self._add(where, directive, LOST, text)

    def _add(self, where: Where, directive: str, fate: str, text: str) -> None:
        self._entries[Entry(where=where, directive=directive, fate=fate, text=text)] = None
