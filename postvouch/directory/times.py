"""When the sources of a snapshot were last read; a file of its own, since that changes every few minutes."""

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

MODE = 0o640


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """When the sources of the snapshot with this digest were last read in full; and what did not work."""

    digest: str
    read_at: Mapping[str, float] = field(default_factory=dict)
    failures: tuple[str, ...] = ()
    tried_at: float = 0.0


def save(path: Path, times: Times) -> None:
    """Keep the times of the snapshot at ``path``. Raises OSError."""
    said = {
        "digest": times.digest,
        "read_at": dict(times.read_at),
        "failures": times.failures,
        "tried_at": times.tried_at,
    }
    replace_file(path_of(path), (json.dumps(said).encode() + b"\n",))


def read(path: Path) -> Times | None:
    """The times kept beside the snapshot at ``path``; None where there are none that can be read."""
    try:
        said = json.loads(path_of(path).read_bytes())
        return Times(
            digest=str(said["digest"]),
            read_at={str(origin): float(at) for origin, at in said["read_at"].items()},
            failures=tuple(map(str, said["failures"])),
            tried_at=float(said["tried_at"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def path_of(path: Path) -> Path:
    """The small file beside a snapshot."""
    return path.with_name(f"{path.name}.times")


def replace_file(path: Path, octets: Iterable[bytes]) -> None:
    """Put a new file in the place of another, whole or not at all. Raises OSError."""
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with open(new, "wb", opener=lambda name, flags: os.open(name, flags, MODE)) as file:
            os.fchmod(file.fileno(), MODE)  # whatever the umask says
            file.writelines(octets)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
