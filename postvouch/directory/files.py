"""The names files: YAML -> lines, each with its file:line.

A file has up to five sections: ``domains``, ``aliases``, ``forwards``, ``logins``, ``roles``. The YAML is
read as a tree of nodes and never as Python objects: every line number is kept, and an alias called "no" or
"1e3" is a name and no boolean. A file that cannot be read in full gives a fatal problem; what it said is then
not used.

Data files of Hiera hold keys of many modules: with a namespace "profile::mail" the sections are found there,
too, as ``profile::mail::aliases``, and what else has a "::" in its name is somebody else's.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

from postvouch.directory import paths
from postvouch.directory.lines import SECTIONS, Line, Lines, part_of
from postvouch.directory.model import FILES, Part, Problem

_Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read(
    patterns: Iterable[str], domains: Iterable[str], *, now: float, origin: str = FILES, namespace: str = ""
) -> tuple[Part, tuple[Problem, ...]]:
    """Read all files that match ``patterns`` (globs, in their order; within one, by name).

    ``domains`` is general.domains; the first primary domain is where bare local parts live. With a fatal
    problem among those returned, the Part is incomplete and must not be used.
    """
    lines = Lines()
    for path in paths.matching(patterns, lines):
        read_file(path, lines, namespace)
    return part_of(lines, tuple(domains), now=now, origin=origin)


def read_file(path: Path, lines: Lines, namespace: str = "") -> None:
    """Add the lines of one file."""
    octets = paths.octets(path, lines)
    if octets is None:
        return
    try:
        root = yaml.compose(octets, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        # The end of a file is a line of its own to some parsers; people look at the last one that is there.
        last = len(octets.splitlines())
        place = f"{path}:{max(1, min(mark.line + 1, last))}" if mark else str(path)
        lines.say(place, f"not YAML: {error.problem or error.context}")
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        lines.say(str(path), f"not YAML: {' '.join(str(error).split())}"[:200])
    else:
        if root is not None:
            _read_root(path, root, lines, namespace)


def _read_root(path: Path, root: yaml.Node, lines: Lines, namespace: str) -> None:
    if not isinstance(root, yaml.MappingNode):
        lines.say(_at(path, root), "a names file is a mapping of sections: " + ", ".join(SECTIONS))
        return
    seen: set[str] = set()
    for key, value in root.value:
        name = _word(key)
        section = name.removeprefix(f"{namespace}::") if namespace else name
        if namespace and "::" in section:
            continue
        if section not in SECTIONS:
            lines.say(_at(path, key), f"unknown section {section!r}; there are {', '.join(SECTIONS)}")
        elif section in seen:
            lines.say(_at(path, key), f"a second {section} section in one file")
        else:
            seen.add(section)
            lines.sections[section].extend(_section(path, section, value, lines))


def _section(path: Path, section: str, node: yaml.Node, lines: Lines) -> Iterator[Line]:
    if isinstance(node, yaml.ScalarNode) and _word(node) in ("", "~", "null"):
        return
    if not isinstance(node, yaml.MappingNode):
        lines.say(_at(path, node), f"{section} is a mapping of names")
        return
    seen: dict[str, str] = {}
    for key, value in node.value:
        name, source = _word(key), _at(path, key)
        if name.lower() in seen:
            lines.say(source, f"{name} is already in {section} at {seen[name.lower()]}")
            continue
        seen[name.lower()] = source
        items = value.value if isinstance(value, yaml.SequenceNode) else [value]
        if not name or not all(isinstance(item, yaml.ScalarNode) and item.value for item in items):
            lines.say(source, f"{name or '(empty)'}: needs an address or a list of addresses")
            continue
        yield Line(name, tuple((item.value, _at(path, item)) for item in items), source)


def _word(node: yaml.Node) -> str:
    return node.value.strip() if isinstance(node, yaml.ScalarNode) else ""


def _at(path: Path, node: yaml.Node) -> str:
    return f"{path}:{node.start_mark.line + 1}"
