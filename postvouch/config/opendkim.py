"""opendkim.conf(5) as OpenDKIM itself reads it, and its data sets (opendkim(8), DATA SETS).

A ``#`` ends a line wherever it stands, the first word is the directive in any case, the last one of a name
counts, Include goes five levels deep. Where OpenDKIM would refuse to start, the line is noted and reading
goes on. Files are opened by the ``read`` of the caller, so that nothing here needs a disk.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from postvouch.config.opendkimdirectives import DIRECTIVES, Directive, Kind
from postvouch.config.problems import Where, did_you_mean

Read = Callable[[str], str]
"""``read(path)`` returns the text of a file; raises OSError."""

MAX_LEVELS = 5
MAX_FILES = 100
_BLANK = " \t"
_INTEGER = re.compile(r"[+-]?(?:0[xX][0-9a-fA-F]{1,8}|0[0-7]{0,11}|[1-9][0-9]{0,9})")
_BOOLEANS = dict.fromkeys("tTyY1", True) | dict.fromkeys("fFnN0", False)
_SOURCES = ("db", "dsn", "ldap", "ldapi", "ldaps", "lua", "memcache", "mdb", "erlang", "socket")
_IN_A_FILE = "write its rows into a file"
_WORD = re.compile(r"[ \t\v\f\r]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One directive that is set. ``value`` is its text, without blanks around it."""

    directive: Directive
    value: str
    where: Where

    @property
    def true(self) -> bool:
        """The value of a Boolean."""
        return _BOOLEANS.get(self.value[:1], False)

    @property
    def number(self) -> int:
        """The value of an integer: decimal, octal (0...) or hexadecimal (0x...)."""
        sign, digits = (-1 if self.value[0] == "-" else 1), self.value.lstrip("+-").lower()
        base = 16 if digits.startswith("0x") else 8 if digits.startswith("0") else 10
        return sign * int(digits, base)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What OpenDKIM would not have started with, or would have passed over."""

    where: Where
    directive: str
    text: str


@dataclass(slots=True, kw_only=True)
class Settings:
    """A configuration: the directives in force by lower-case name, those set again later, the faults."""

    lines: dict[str, Line] = field(default_factory=dict)
    overridden: list[Line] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    files: list[str] = field(default_factory=list)

    def get(self, name: str) -> Line | None:
        """The line in force."""
        return self.lines.get(name.lower())


def parse(file: str, read: Read) -> Settings:
    """Read a configuration and what it includes. Raises OSError where ``file`` itself cannot be read."""
    settings = Settings()
    _file(file, read(file), read, settings, level=0)
    return settings


def _file(file: str, text: str, read: Read, settings: Settings, *, level: int) -> None:
    settings.files.append(file)
    for number, raw in enumerate(text.split("\n"), 1):
        line = re.split("[#\r\0]", raw, maxsplit=1)[0].strip(_BLANK)
        if not line:
            continue
        name, value = _split(line)
        where = Where(file, number)
        directive = DIRECTIVES.get(name.lower())
        if directive is None:
            hint = did_you_mean(name, list(DIRECTIVES))
            settings.faults.append(
                Fault(where=where, directive=name, text=f"no directive of OpenDKIM 2.11{hint}")
            )
        elif fault := _wrong(directive, value):
            settings.faults.append(Fault(where=where, directive=directive.name, text=fault))
        elif directive.kind is Kind.INCLUDE:
            _include(value, where, read, settings, level=level + 1)
        else:
            before = settings.lines.get(directive.name.lower())
            if before is not None:
                settings.overridden.append(before)
            settings.lines[directive.name.lower()] = Line(directive=directive, value=value, where=where)


def _split(line: str) -> tuple[str, str]:
    found = re.match(r"[^ \t]+", line)
    name = found[0] if found else ""
    return name, line[len(name) :].strip(_BLANK)


def _wrong(directive: Directive, value: str) -> str:
    if not value:
        return "has no value; OpenDKIM does not start with it"
    if directive.kind is Kind.BOOLEAN and value[0] not in _BOOLEANS:
        return f'"{value}" is neither yes nor no; OpenDKIM does not start with it'
    if directive.kind is Kind.INTEGER and not _INTEGER.fullmatch(value):
        return f'"{value}" is no number; OpenDKIM does not start with it'
    return ""


def _include(file: str, where: Where, read: Read, settings: Settings, *, level: int) -> None:
    fault = ""
    if level > MAX_LEVELS or len(settings.files) >= MAX_FILES:
        fault = f"{file} is nested too deeply; OpenDKIM does not start with it"
    else:
        try:
            text = read(file)
        except OSError as error:
            fault = f"{file} cannot be read: {error.strerror}"
        else:
            _file(file, text, read, settings, level=level)
    if fault:
        settings.faults.append(Fault(where=where, directive="Include", text=fault))


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One element of a data set: a key and, in tables, its value."""

    key: str
    value: str
    where: Where


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """The rows in their order. ``globs``: a refile, in whose keys ``*`` stands for any text.

    ``problem``: why there are no rows to be had; then there are none.
    """

    rows: tuple[Row, ...] = ()
    globs: bool = False
    problem: str = ""


def data_set(line: Line, read: Read) -> DataSet:
    """The data set that a directive names."""
    spec, where = line.value, line.where
    colon, comma = spec.find(":"), spec.find(",")
    if colon < 0 or 0 <= comma < colon:
        if spec.endswith(".db"):
            return DataSet(problem=f"{spec} is a Berkeley DB; {_IN_A_FILE}")
        kind, rest = ("file" if spec.startswith("/") else "csl"), spec
    else:
        kind, rest = spec[:colon].lower(), spec[colon + 1 :]
    if kind == "csl":
        return DataSet(rows=tuple(_listed(rest, where)))
    if kind not in ("file", "refile"):
        known = kind in ("db", "dsn", "ldap", "ldapi", "ldaps", "lua", "memcache", "mdb", "erlang", "socket")
        what = (
            f"{kind}: is a source that postvouch does not read" if known else f'no data set begins "{kind}:"'
        )
        return DataSet(problem=f"{what}; write its rows into a file")
    try:
        text = read(rest)
    except OSError as error:
        return DataSet(problem=f"{rest} cannot be read: {error.strerror}")
    return DataSet(rows=tuple(_rows(text, rest, globs=kind == "refile")), globs=kind == "refile")


def _listed(text: str, where: Where) -> Iterator[Row]:
    for each in text.split(","):
        key, _, value = each.partition("=")
        if key.strip():
            yield Row(key=key.strip(), value=value.strip(), where=where)


def _rows(text: str, file: str, *, globs: bool) -> Iterator[Row]:
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.partition("#")[0]
        if globs and line[:1].isspace():
            continue  # a pattern begins its line, or OpenDKIM does not see it
        key, *rest = _WORD.split(line.strip(), maxsplit=1)
        if key:
            yield Row(key=key, value=rest[0].strip() if rest else "", where=Where(file, number))
