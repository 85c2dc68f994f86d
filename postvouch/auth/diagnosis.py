"""What a check of published DNS finds, and the record that mends it. Shared by all that ``doctor`` looks at.

A finding is one fact about one name. ``Wanted`` is a record as it should be, a line of a zone file.
"""

from dataclasses import dataclass
from enum import StrEnum

_MAX_STRING = 255


class Severity(StrEnum):
    """How much a finding weighs; the least first."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A record that should be in DNS. ``name`` without its last dot; ``value`` as people write it.

    TXT is one text of any length; names in other values are absolute, without the last dot.
    ``remark``: why, in a clause. ``is_hint``: it depends on what this host cannot know.
    """

    name: str
    kind: str
    value: str
    remark: str = ""
    is_hint: bool = False

    @property
    def strings(self) -> tuple[str, ...]:
        """The character-strings of a TXT record, each of at most 255 octets (RFC 1035 §3.3)."""
        text = self.value
        return tuple(text[at : at + _MAX_STRING] for at in range(0, max(len(text), 1), _MAX_STRING))

    def line(self, ttl_s: int | None = None) -> str:
        """The record as a line of a zone file, its name absolute."""
        ttl = "" if ttl_s is None else f"{ttl_s} "
        return f"{self.name}. {ttl}IN {self.kind} {self._data()}"

    def _data(self) -> str:
        if self.kind == "TXT":
            return " ".join(f'"{_quoted(each)}"' for each in self.strings)
        return f"{self.value}." if self.kind in ("MX", "PTR", "CNAME") else self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """One finding: ``area`` (spf, dmarc, mx...), the ``name`` it is about, ``text`` without a full stop.

    ``publish`` mends it. ``unanswered``: DNS did not say, so nothing is proven.
    """

    area: str
    name: str
    severity: Severity
    text: str
    publish: tuple[Wanted, ...] = ()
    unanswered: bool = False


@dataclass(frozen=True, slots=True)
class About:
    """Makes the findings of one area about one name."""

    area: str
    name: str

    def ok(self, text: str) -> Diagnosis:
        """All is as it should be."""
        return self._say(Severity.OK, text, ())

    def note(self, text: str, *publish: Wanted) -> Diagnosis:
        """Worth knowing; nothing suffers."""
        return self._say(Severity.NOTE, text, publish)

    def warning(self, text: str, *publish: Wanted) -> Diagnosis:
        """Some mail may suffer."""
        return self._say(Severity.WARNING, text, publish)

    def error(self, text: str, *publish: Wanted) -> Diagnosis:
        """Mail suffers."""
        return self._say(Severity.ERROR, text, publish)

    def unanswered(self, text: str) -> Diagnosis:
        """DNS gave no answer."""
        text = f"no answer from DNS: {text}"
        return Diagnosis(
            area=self.area, name=self.name, severity=Severity.WARNING, text=text, unanswered=True
        )

    def _say(self, severity: Severity, text: str, publish: tuple[Wanted, ...]) -> Diagnosis:
        return Diagnosis(area=self.area, name=self.name, severity=severity, text=text, publish=publish)


def shown(text: str | bytes, most: int = 60) -> str:
    """A stranger's words in a sentence: short, printable ASCII."""
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    cut = text if len(text) <= most else text[: most - 3] + "..."
    return "".join(c if " " <= c <= "~" else "?" for c in cut)


def _quoted(text: str) -> str:
    r"""A character-string of a zone file: " and \ escaped, what is not printable as \DDD (RFC 1035 §5.1)."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return "".join(c if " " <= c <= "~" else "".join(f"\\{o:03}" for o in c.encode()) for c in escaped)
