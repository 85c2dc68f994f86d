"""A folder of small YAML files, each of them one exported resource, written and removed by a machine.

A file counts from the moment it has its name, so whoever writes one writes it under another name and renames
it. Names that editors and package managers use meanwhile are passed over. A folder that is not there is a
failure; one that is empty has no names, and the shrink guard judges that.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from postvouch.directory import files
from postvouch.directory.lines import Lines, part_of
from postvouch.directory.model import Part, Problem

ENDINGS = (".yaml", ".yml")
_MAX_FILES = 100_000


def read(
    folders: Iterable[str], domains: Iterable[str], *, now: float, origin: str
) -> tuple[Part, tuple[Problem, ...]]:
    """Read all fragments of the folders, by name. Of two that name the same the later counts, and it is
    told."""
    lines = Lines()
    for folder in folders:
        for path in _fragments(folder, lines):
            files.read_file(path, lines)
    for section in lines.sections.values():
        first: dict[str, str] = {}
        for line in section:
            before = first.setdefault(line.key.lower(), line.source)
            if before != line.source:
                lines.say(line.source, f"{line.key} is also at {before}; this one counts", fatal=False)
    return part_of(lines, tuple(domains), now=now, origin=origin)


def _fragments(folder: str, lines: Lines) -> Iterable[Path]:
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        lines.say(folder, f"cannot be read: {error.strerror}")
        return ()
    chosen = [name for name in names if name.endswith(ENDINGS) and not name.startswith((".", "#"))]
    if len(chosen) > _MAX_FILES:
        lines.say(folder, f"more than {_MAX_FILES} files")
        return ()
    return [Path(folder, name) for name in chosen]
