"""Lines of names, as files of any form have them -> the entries of a source. Pure: no file is read here.

A line is a name, what it stands for, and where it was written. Bare local parts are completed with the first
domain. What is wrong in a strict source is fatal, since its author is there to mend it; elsewhere it costs
the line.
"""

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field

from postvouch.directory.model import CONFIGURED, FILES, Entry, Kind, Part, Problem, key_of, target_of
from postvouch.values.address import AddressError, parse_domain

PRIMARY = "primary"
SECTIONS = ("domains", "aliases", "forwards", "logins", "roles")


@dataclass(frozen=True, slots=True)
class Line:
    """One name with its values, each with the place ("file:line") where it stands."""

    key: str
    values: tuple[tuple[str, str], ...]
    source: str


@dataclass(slots=True)
class Lines:
    """All lines of one source by section, and what is wrong with them."""

    strict: bool = True
    sections: dict[str, list[Line]] = field(default_factory=lambda: {name: [] for name in SECTIONS})
    problems: list[Problem] = field(default_factory=list)

    def say(self, source: str, text: str, *, fatal: bool = True) -> None:
        """Something that leaves the whole source in doubt, unless it is only told."""
        self.problems.append(Problem(source=source, text=text, fatal=fatal))

    def doubt(self, source: str, text: str) -> None:
        """Something wrong with one line."""
        self.say(source, text, fatal=self.strict)


def part_of(
    lines: Lines, domains: tuple[str, ...], *, now: float, origin: str
) -> tuple[Part, tuple[Problem, ...]]:
    """The Part that these lines are, and their problems; with a fatal one it is incomplete.

    ``domains`` is general.domains; the first primary domain is where bare local parts live.
    """
    told = list(_domains(lines, domains))
    configured = [Entry(kind=Kind.DOMAIN, name=each, values=(), source=CONFIGURED) for each in domains]
    folds = {entry.name: entry.values for entry in (*configured, *told)}
    home = next((name for name, primary in folds.items() if not primary), "")
    entries = [*(configured if origin == FILES else ()), *told]
    for section, kind in (("aliases", Kind.ALIAS), ("forwards", Kind.FORWARD)):
        for line in lines.sections[section]:
            entries.extend(_name(line, kind, home, lines))
    named = {entry.name for entry in entries}
    logins = {line.key.lower() for line in lines.sections["logins"]}
    for line in lines.sections["logins"]:
        keys = (_address(value, source, home, lines, key_of) for value, source in line.values)
        values = tuple(key for key in keys if key)
        entries.append(Entry(kind=Kind.LOGIN, name=line.key.lower(), values=values, source=line.source))
    for line in lines.sections["roles"]:
        entries.extend(_role(line, home, logins, named, lines))
    part = Part(origin=origin, strict=lines.strict, entries=tuple(entries), read_at=now)
    return part, tuple(lines.problems)


def _domains(lines: Lines, configured: tuple[str, ...]) -> Iterator[Entry]:
    for line in lines.sections["domains"]:
        try:
            name = parse_domain(line.key)
            primary = line.values[0][0] if len(line.values) == 1 else ""
            values = () if primary == PRIMARY else (parse_domain(primary),)
        except AddressError as error:
            text = f"{line.key}: needs a domain: {PRIMARY}, or the domain it folds to ({error})"
            lines.doubt(line.source, text)
            continue
        if configured and name not in configured:
            lines.say(line.source, f"{name} is missing in general.domains", fatal=False)
        yield Entry(kind=Kind.DOMAIN, name=name, values=values, source=line.source)


def _name(line: Line, kind: Kind, home: str, lines: Lines) -> Iterator[Entry]:
    key = _address(line.key, line.source, home, lines, _key)
    targets = tuple(_address(value, source, home, lines, target_of) for value, source in line.values)
    if not targets:
        lines.doubt(line.source, f"{line.key}: needs an address or a list of addresses")
    elif key and all(targets):
        yield Entry(kind=kind, name=key, values=targets, source=line.source)


def _role(
    line: Line, home: str, logins: Container[str], named: Container[str], lines: Lines
) -> Iterator[Entry]:
    """Its members own the address; its mail goes to them, unless the source says elsewhere where it goes."""
    key = _address(line.key, line.source, home, lines, key_of)
    members = [
        (value.lower(), _address(value, source, home, lines, target_of)) for value, source in line.values
    ]
    if not key or not all(target for _, target in members):
        return
    others = [(member, target) for member, target in members if target.lower() != key]
    owners = tuple(member if member in logins else key_of(target) for member, target in others)
    if not owners:
        lines.doubt(line.source, f"{line.key}: a role needs a member besides itself")
        return
    yield Entry(kind=Kind.ROLE, name=key, values=owners, source=line.source)
    if key not in named:
        yield Entry(
            kind=Kind.ALIAS, name=key, values=tuple(target for _, target in others), source=line.source
        )


def _key(text: str) -> str:
    """The key of a name; "@our.example" is the catch-all of its domain."""
    return f"@{parse_domain(text[1:])}" if text.startswith("@") else key_of(text)


def _address(value: str, source: str, home: str, lines: Lines, fold: Callable[[str], str]) -> str:
    """The address, a bare local part completed; "" where it is none, which is then told."""
    if "@" not in value and not home:
        lines.doubt(source, f"{value} needs a domain: general.domains and domains are empty")
        return ""
    try:
        return fold(value if "@" in value else f"{value}@{home}")
    except AddressError as error:
        lines.doubt(source, f"{value!r} is no address: {error}")
        return ""
