"""The names files: YAML -> entries, each with its file:line.

A file has up to four sections: ``domains``, ``aliases``, ``forwards``, ``logins``. The YAML is read as a tree
of nodes and never as Python objects: every line number is kept, and an alias called "no" or "1e3" is a name
and no boolean. A file that cannot be read in full gives a fatal problem; what it said is then not used.
"""

import glob
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from postvouch.directory.model import FILES, Entry, Kind, Part, Problem, key_of, target_of
from postvouch.values.address import AddressError, parse_domain

PRIMARY = "primary"
SECTIONS = ("domains", "aliases", "forwards", "logins")
_MAX_BYTES = 256 << 20
_Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class _Line:
    """One "key: value" of a section: texts with their line, and where the key stands."""

    key: str
    values: tuple[tuple[str, str], ...]
    source: str


@dataclass(slots=True)
class _Text:
    """All files, cut into lines by section; what was wrong with them."""

    sections: dict[str, list[_Line]] = field(default_factory=lambda: {name: [] for name in SECTIONS})
    problems: list[Problem] = field(default_factory=list)

    def say(self, source: str, text: str, *, fatal: bool = True) -> None:
        self.problems.append(Problem(source=source, text=text, fatal=fatal))


def read(patterns: Iterable[str], domains: Iterable[str], *, now: float) -> tuple[Part, tuple[Problem, ...]]:
    """Read all files that match ``patterns`` (globs, in their order; within one, by name).

    ``domains`` is general.domains; the first primary domain is where bare local parts live. With a fatal
    problem among those returned, the Part is incomplete and must not be used.
    """
    text = _Text()
    for path in _matching(patterns, text):
        _read_file(path, text)
    entries = list(_domains(text, tuple(domains)))
    folds = {e.name: e.values for e in entries}
    home = next((name for name, primary in folds.items() if not primary), "")
    for section, kind in (("aliases", Kind.ALIAS), ("forwards", Kind.FORWARD)):
        for line in text.sections[section]:
            entries.extend(_name(line, kind, home, text))
    for line in text.sections["logins"]:
        keys = (_address(value, source, home, text, key_of) for value, source in line.values)
        values = tuple(key for key in keys if key)
        entries.append(Entry(kind=Kind.LOGIN, name=line.key.lower(), values=values, source=line.source))
    return Part(origin=FILES, entries=tuple(entries), read_at=now), tuple(text.problems)


def _matching(patterns: Iterable[str], text: _Text) -> Iterator[Path]:
    seen: set[str] = set()
    for pattern in patterns:
        _look_into(pattern, text)
        found = sorted(glob.glob(pattern))
        if not found and not glob.has_magic(pattern):
            text.say(pattern, "no such file")
        for name in found:
            if name not in seen:
                seen.add(name)
                yield Path(name)


def _look_into(pattern: str, text: _Text) -> None:
    """Say so where the folder of a pattern cannot be read: glob(3) calls that "no files", and then nobody
    would exist."""
    folder = os.path.dirname(pattern)
    if not glob.has_magic(pattern) or glob.has_magic(folder):
        return
    try:
        os.scandir(folder or ".").close()
    except FileNotFoundError:
        return
    except OSError as error:
        text.say(pattern, f"cannot be read: {error.strerror}")


def _read_file(path: Path, text: _Text) -> None:
    try:
        with path.open("rb") as file:
            octets = file.read(_MAX_BYTES + 1)
    except OSError as error:
        text.say(str(path), f"cannot be read: {error.strerror}")
        return
    if len(octets) > _MAX_BYTES:
        text.say(str(path), f"is longer than {_MAX_BYTES >> 20} MB")
        return
    try:
        root = yaml.compose(octets, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        # The end of a file is a line of its own to some parsers; people look at the last one that is there.
        last = len(octets.splitlines())
        place = f"{path}:{max(1, min(mark.line + 1, last))}" if mark else str(path)
        text.say(place, f"not YAML: {error.problem or error.context}")
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        text.say(str(path), f"not YAML: {' '.join(str(error).split())}"[:200])
    else:
        if root is not None:
            _read_root(path, root, text)


def _read_root(path: Path, root: yaml.Node, text: _Text) -> None:
    if not isinstance(root, yaml.MappingNode):
        text.say(_at(path, root), "a names file is a mapping of sections: " + ", ".join(SECTIONS))
        return
    seen: set[str] = set()
    for key, value in root.value:
        section = _word(key)
        if section not in SECTIONS:
            text.say(_at(path, key), f"unknown section {section!r}; there are {', '.join(SECTIONS)}")
        elif section in seen:
            text.say(_at(path, key), f"a second {section} section in one file")
        else:
            seen.add(section)
            text.sections[section].extend(_section(path, section, value, text))


def _section(path: Path, section: str, node: yaml.Node, text: _Text) -> Iterator[_Line]:
    if isinstance(node, yaml.ScalarNode) and _word(node) in ("", "~", "null"):
        return
    if not isinstance(node, yaml.MappingNode):
        text.say(_at(path, node), f"{section} is a mapping of names")
        return
    seen: dict[str, str] = {}
    for key, value in node.value:
        name, source = _word(key), _at(path, key)
        if name.lower() in seen:
            text.say(source, f"{name} is already in {section} at {seen[name.lower()]}")
            continue
        seen[name.lower()] = source
        items = value.value if isinstance(value, yaml.SequenceNode) else [value]
        if not name or not all(isinstance(item, yaml.ScalarNode) and item.value for item in items):
            text.say(source, f"{name or '(empty)'}: needs an address or a list of addresses")
            continue
        yield _Line(name, tuple((item.value, _at(path, item)) for item in items), source)


def _domains(text: _Text, configured: tuple[str, ...]) -> Iterator[Entry]:
    """general.domains first, then what the files say of them; a later entry of one name counts."""
    for domain in configured:
        yield Entry(kind=Kind.DOMAIN, name=domain, values=(), source="general.domains")
    for line in text.sections["domains"]:
        try:
            name = parse_domain(line.key)
            primary = line.values[0][0] if len(line.values) == 1 else ""
            values = () if primary == PRIMARY else (parse_domain(primary),)
        except AddressError as error:
            text.say(
                line.source, f"{line.key}: needs a domain: {PRIMARY}, or the domain it folds to ({error})"
            )
            continue
        if configured and name not in configured:
            text.say(line.source, f"{name} is missing in general.domains", fatal=False)
        yield Entry(kind=Kind.DOMAIN, name=name, values=values, source=line.source)


def _name(line: _Line, kind: Kind, home: str, text: _Text) -> Iterator[Entry]:
    key = _address(line.key, line.source, home, text, key_of)
    targets = tuple(_address(value, source, home, text, target_of) for value, source in line.values)
    if not targets:
        text.say(line.source, f"{line.key}: needs an address or a list of addresses")
    elif key and all(targets):
        yield Entry(kind=kind, name=key, values=targets, source=line.source)


def _address(value: str, source: str, home: str, text: _Text, fold: Callable[[str], str]) -> str:
    """The address, a bare local part completed; "" where it is none, which is then told."""
    if "@" not in value and not home:
        text.say(source, f"{value} needs a domain: general.domains and domains are empty")
        return ""
    try:
        return fold(value if "@" in value else f"{value}@{home}")
    except AddressError as error:
        text.say(source, f"{value!r} is no address: {error}")
        return ""


def _word(node: yaml.Node) -> str:
    return node.value.strip() if isinstance(node, yaml.ScalarNode) else ""


def _at(path: Path, node: yaml.Node) -> str:
    return f"{path}:{node.start_mark.line + 1}"
