"""The files of a source: which there are, and what is in them, or why that cannot be had."""

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from postvouch.directory.lines import Lines

_MAX_BYTES = 256 << 20


def matching(patterns: Iterable[str], lines: Lines) -> Iterator[Path]:
    """The files of all patterns (globs), in their order; within one, by name; each once."""
    seen: set[str] = set()
    for pattern in patterns:
        _look_into(pattern, lines)
        found = sorted(glob.glob(pattern))
        if not found and not glob.has_magic(pattern):
            lines.say(pattern, "no such file")
        for name in found:
            if name not in seen:
                seen.add(name)
                yield Path(name)


def _look_into(pattern: str, lines: Lines) -> None:
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
        lines.say(pattern, f"cannot be read: {error.strerror}")


def octets(path: Path, lines: Lines) -> bytes | None:
    """What is in the file; None, and it is told why, where that cannot be had, or is being written."""
    try:
        with path.open("rb") as file:
            before = os.fstat(file.fileno())
            data = file.read(_MAX_BYTES + 1)
            after = os.fstat(file.fileno())
    except OSError as error:
        lines.say(str(path), f"cannot be read: {error.strerror}")
        return None
    if len(data) > _MAX_BYTES:
        lines.say(str(path), f"is longer than {_MAX_BYTES >> 20} MB")
        return None
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        lines.say(str(path), "was written while it was read; write a new file and rename it")
        return None
    return data
