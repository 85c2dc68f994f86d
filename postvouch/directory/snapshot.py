"""The directory on disk: one file that every daemon of the host reads, and that outlives LDAP and restarts.

    postvouch-directory 2 <SHA-256 of the next line>
    {"parts": [{"origin": "names", "strict": true, "read_at": 1767225600.0, "state": 0}, …],
     "entries": [<octets>, <SHA-256>], "tables": [<octets>, <SHA-256>]}
    ["names", "alias", "grants@our.example", ["alice@our.example"], "/etc/postvouch/names.d/a.yaml:4"]
    … one JSON line an entry, then the states of the parts, then the tables (``tables``)

The entries are for people, who can grep them, and for the next reading; daemons read only the tables, in one
read, and look things up where they lie. The file is replaced as a whole (write, fsync, rename); one that
fails its checksums is not used at all. Where nothing but the times of reading changed, they go into a small
file beside it (``times``).
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from postvouch.directory import tables, times
from postvouch.directory.compile import Compiled, compile_directory
from postvouch.directory.model import Directory, Entry, Kind, Part, Rules
from postvouch.directory.times import replace_file

FORMAT = "postvouch-directory"
VERSION = 2
_MAX_HEADER = 1 << 20
_CHUNK = 1 << 20


class SnapshotError(Exception):
    """There is no snapshot that can be used; the text names the file and the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What a snapshot file says. ``digest`` is the same for the same entries, whenever they were read.

    ``rules`` are those that the tables in the file were made with.
    """

    parts: tuple[Part, ...]
    digest: str
    rules: Rules = field(default_factory=Rules)


def save(
    path: Path, parts: Sequence[Part], *, rules: Rules | None = None, compiled: Compiled | None = None
) -> Snapshot:
    """Replace the file at once and for good. Raises OSError and then leaves the old file as it was.

    ``compiled``: the directory of these parts, if it has been made already.
    """
    rules = rules or (compiled.directory.rules if compiled else Rules())
    directory = (compiled or compile_directory(parts, rules=rules)).directory
    entries = b"".join(_lines(parts))
    states = [part.state.encode() for part in parts]
    made = tables.dump(directory)
    digest = hashlib.sha256(entries).hexdigest()
    header = {
        "parts": [
            {"origin": p.origin, "strict": p.strict, "read_at": p.read_at + 0.0, "state": len(state)}
            for p, state in zip(parts, states, strict=True)
        ],
        "entries": [len(entries), digest],
        "states": hashlib.sha256(b"".join(states)).hexdigest(),
        "tables": [len(made), hashlib.sha256(made).hexdigest()],
    }
    second = json.dumps(header).encode() + b"\n"
    first = f"{FORMAT} {VERSION} {hashlib.sha256(second).hexdigest()}\n".encode()
    replace_file(path, (first, second, entries, *states, made))
    return Snapshot(parts=tuple(parts), digest=digest, rules=rules)


def digest_of(parts: Sequence[Part]) -> str:
    """The digest that a snapshot of these parts would have."""
    total = hashlib.sha256()
    for line in _lines(parts):
        total.update(line)
    return total.hexdigest()


def _lines(parts: Sequence[Part]) -> Iterable[bytes]:
    for part in parts:
        for e in part.entries:
            text = json.dumps([part.origin, e.kind, e.name, e.values, e.source], ensure_ascii=False)
            yield text.encode("utf-8", "backslashreplace") + b"\n"


def read(path: Path) -> Snapshot:
    """Read and check the whole file, entries and all; what the next reading and people want.

    Raises SnapshotError.
    """
    with _opened(path) as (file, header):
        size, digest = header["entries"]
        entries: dict[str, list[Entry]] = {part["origin"]: [] for part in header["parts"]}
        total = hashlib.sha256()
        while size > 0:
            line = file.readline()
            size -= len(line) or size
            total.update(line)
            origin, kind, name, values, source = json.loads(line)
            entries[origin].append(Entry(kind=Kind(kind), name=name, values=tuple(values), source=source))
        states = [file.read(part["state"]) for part in header["parts"]]
        length, checksum = header["tables"]
        made = file.read(length + 1)
        found = (total.hexdigest(), _sum(b"".join(states)), len(made), _sum(made))
        if found != (digest, header["states"], length, checksum):
            raise SnapshotError(f"{path}: damaged: the checksums do not fit")
        read_at = _read_at(path, header)
        parts = tuple(
            Part(
                origin=part["origin"],
                strict=part["strict"],
                entries=tuple(entries[part["origin"]]),
                read_at=read_at.get(part["origin"], part["read_at"]),
                state=state.decode(),
            )
            for part, state in zip(header["parts"], states, strict=True)
        )
        rules = tables.load(memoryview(made), verified_at=0.0).rules
        return Snapshot(parts=parts, digest=digest, rules=rules)


def load(path: Path) -> Directory:
    """The directory that the file holds, ready to be asked; its age is in ``verified_at``.

    For programs that ask once; daemons use ``Watch``. Raises SnapshotError.
    """
    return _loaded(path)[1]


def _loaded(path: Path) -> tuple[str, Directory]:
    """What the names are known by, and the directory.

    One read and no mapping of the file: who writes into it in its place, as cp(1) does, would take the
    process with him.
    """
    with _opened(path) as (file, header):
        length, checksum = header["tables"]
        file.seek(header["entries"][0] + sum(part["state"] for part in header["parts"]), os.SEEK_CUR)
        made = file.read(length + 1)
        if len(made) != length or _sum(made) != checksum:
            raise SnapshotError(f"{path}: damaged: the checksum does not fit the tables")
        known_by = json.dumps([header["entries"], [[p["origin"], p["strict"]] for p in header["parts"]]])
        return known_by, tables.load(memoryview(made), verified_at=_verified_at(path, header))


@contextlib.contextmanager
def _opened(path: Path) -> Any:
    """The file behind its header, and the header. What is wrong inside becomes SnapshotError."""
    try:
        with path.open("rb") as file:
            yield file, _header(path, file)
    except OSError as error:
        raise SnapshotError(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SnapshotError(f"{path}: damaged: {error}") from error


def _header(path: Path, file: BinaryIO) -> dict[str, Any]:
    words = file.readline(_MAX_HEADER).decode("utf-8", "replace").split()
    if len(words) != 3 or words[0] != FORMAT:
        raise SnapshotError(f"{path}: is no snapshot of ours")
    if words[1] != str(VERSION):
        raise SnapshotError(f"{path}: has version {words[1]}, this program reads {VERSION}")
    second = file.readline(_MAX_HEADER)
    if words[2] != _sum(second):
        raise SnapshotError(f"{path}: damaged: the checksum does not fit the header")
    header: dict[str, Any] = json.loads(second)
    return header


def _sum(data: bytes | memoryview) -> str:
    total = hashlib.sha256()
    for at in range(0, len(data), _CHUNK):
        total.update(data[at : at + _CHUNK])
    return total.hexdigest()


def _read_at(path: Path, header: Mapping[str, Any]) -> Mapping[str, float]:
    kept = times.read(path)
    return kept.read_at if kept is not None and kept.digest == header["entries"][1] else {}


def _verified_at(path: Path, header: Mapping[str, Any]) -> float:
    read_at = _read_at(path, header)
    return min((read_at.get(p["origin"], p["read_at"]) for p in header["parts"]), default=0.0)


class Watch:
    """The newest directory of a snapshot file that somebody else writes.

    ``poll`` is cheap while nothing changes, and reads the file once when it does; ``directory`` costs nothing
    and may be read by any thread. A file that cannot be used leaves the directory as it was, and ``problem``
    says why.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.directory: Directory | None = None
        self.problem = ""
        self._known_by = ""
        self._stamp: _Stamp | None = None
        self._times: _Stamp | None = None

    def changed(self) -> bool:
        """Whether ``poll`` has something to do or to say; cheap."""
        return self._stamp is None or (self._stamp, self._times) != self._look()

    def poll(self) -> bool:
        """Look whether the file is another one, and take it; whether the directory was replaced."""
        stamp, times = self._look()
        if stamp is None:
            self.problem = f"{self.path}: no such file"
            return False
        if (stamp, times) == (self._stamp, self._times):
            return False
        same = stamp == self._stamp
        self._stamp, self._times = stamp, times
        if same and self.problem:
            return False
        try:
            if same and self.directory is not None:
                with _opened(self.path) as (_, header):
                    verified_at = _verified_at(self.path, header)
                self.directory = replace(self.directory, verified_at=verified_at)
                return True
            known_by, directory = _loaded(self.path)
        except SnapshotError as error:
            self.problem = str(error)
            return False
        self.problem = ""
        before = self.directory
        if before is not None and known_by == self._known_by and directory.rules == before.rules:
            # The same names: those in use stay, and what somebody has worked out from them.
            directory = replace(before, verified_at=directory.verified_at)
        self._known_by, self.directory = known_by, directory
        return True

    def use(self, directory: Directory) -> None:
        """Go on with a directory that is not in the file, until there is another file."""
        self.directory, self._known_by = directory, ""

    def _look(self) -> "tuple[_Stamp | None, _Stamp | None]":
        return _stamp(self.path), _stamp(times.path_of(self.path))


_Stamp = tuple[int, int, int]


def _stamp(path: Path) -> _Stamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size
