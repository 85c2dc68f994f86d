"""Files of one name a line, as postmap(1), newaliases(1) and userdir-ldap write them -> lines.

    grants          alice, bob@our.example       postmap: a name, a blank, addresses
    grants:         alice, bob@our.example       aliases(5), userdir-ldap: the same behind a colon

A line that begins with a blank goes on with the one before; "#" begins a comment line. Commands, files and
:include: of aliases(5) are no addresses, and told as such.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from postvouch.directory import paths
from postvouch.directory.lines import Line, Lines, part_of
from postvouch.directory.model import Part, Problem

LONGEST_FORWARD = 200
"""Characters that userdir-ldap lets a forward have; what is longer did not come from there."""

# What is never closed is quoted to the end: so nothing is looked at twice.
_QUOTED = r'"(?:[^"\\]|\\.)*+(?:"|\\?$)'
_KEY = re.compile(rf'((?:{_QUOTED}|[^\s":]|:(?!\s|$))++):?(?:\s+|$)')
_VALUE = re.compile(rf'(?:{_QUOTED}|[^\s,"])++')
_NO_NAME = ("|", "/", ":", '"|', '"/', '":')


def read(
    patterns: Iterable[str],
    domains: Iterable[str],
    *,
    now: float,
    origin: str,
    section: str,
    strict: bool,
) -> tuple[Part, tuple[Problem, ...]]:
    """Read all files that match ``patterns``; a later file counts where two name the same.

    ``strict`` is False for what people edit themselves: a bad line then costs that line.
    """
    lines = Lines(strict=strict)
    for path in paths.matching(patterns, lines):
        octets = paths.octets(path, lines)
        if octets is not None:
            lines.sections[section].extend(_lines(path, octets, section, lines))
    return part_of(lines, tuple(domains), now=now, origin=origin)


def _lines(path: Path, octets: bytes, section: str, lines: Lines) -> Iterator[Line]:
    seen: dict[str, str] = {}
    for source, text in _logical(path, octets):
        found = _KEY.match(text)
        key = found[1] if found else text.split(None, 1)[0]
        told = text[found.end() :] if found else ""
        values = _VALUE.findall(told)
        if section == "domains":  # virtual(5) writes them with an "@"
            key, values = key.removeprefix("@"), [each.removeprefix("@") for each in values]
        if key.lower() in seen:
            lines.doubt(source, f"{key} is already at {seen[key.lower()]}")
            continue
        seen[key.lower()] = source
        if not values:
            lines.doubt(source, f"{key}: needs an address or a list of addresses")
        elif not lines.strict and len(told) > LONGEST_FORWARD:
            lines.doubt(source, f"{key}: longer than {LONGEST_FORWARD} characters; left out")
        elif bad := [each for each in values if each.startswith(_NO_NAME) and "@" not in each]:
            lines.doubt(
                source, f"{key}: {bad[0]!r} is no address: commands, files and :include: are not taken"
            )
        else:
            yield Line(key, tuple((value, source) for value in values), source)


def _logical(path: Path, octets: bytes) -> Iterator[tuple[str, str]]:
    """Each logical line with the place where it begins (postconf(5): continuation, comments)."""
    begun, parts = "", list[str]()
    for number, line in enumerate(octets.decode("utf-8", "surrogateescape").split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0].isspace() and parts:
            parts.append(line.strip())
            continue
        if parts:
            yield begun, " ".join(parts)
        begun, parts = f"{path}:{number}", [line.strip()]
    if parts:
        yield begun, " ".join(parts)
