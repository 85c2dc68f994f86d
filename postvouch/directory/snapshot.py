"""The directory on disk: one file that every daemon of the host reads, and that outlives LDAP and restarts.

    postvouch-directory 1 <SHA-256 of the next line>
    {"parts": [{"origin": "files", "read_at": 1767225600.0, "entries": 93}, …], "sha256": "<of the rest>"}
    ["files", "alias", "grants@our.example", ["alice@our.example"], "/etc/postvouch/names.d/a.yaml:4"]

One JSON line an entry, so a person can grep it and reading it never holds Python's lock for long. It is
replaced as a whole (write, fsync, rename); a file that fails its checksums is not used at all.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from postvouch.directory.compile import Compiled, compile_directory
from postvouch.directory.model import Directory, Entry, Kind, Part, Rules

FORMAT = "postvouch-directory"
VERSION = 1
MODE = 0o640
_MAX_HEADER = 65536


class SnapshotError(Exception):
    """There is no snapshot that can be used; the text names the file and the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What a snapshot file says. ``digest`` is the same for the same entries, whenever they were read."""

    parts: tuple[Part, ...]
    digest: str


def save(path: Path, parts: Sequence[Part]) -> Snapshot:
    """Replace the file at once and for good. Raises OSError and then leaves the old file as it was."""
    body = b"".join(_lines(parts))
    digest = hashlib.sha256(body).hexdigest()
    about = [
        {"origin": p.origin, "strict": p.strict, "read_at": p.read_at, "entries": len(p.entries)}
        for p in parts
    ]
    header = json.dumps({"parts": about, "sha256": digest}).encode() + b"\n"
    first = f"{FORMAT} {VERSION} {hashlib.sha256(header).hexdigest()}\n".encode()
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with open(new, "wb", opener=lambda name, flags: os.open(name, flags, MODE)) as file:
            os.fchmod(file.fileno(), MODE)  # whatever the umask says
            file.writelines((first, header, body))
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
    return Snapshot(parts=tuple(parts), digest=digest)


def digest_of(parts: Sequence[Part]) -> str:
    """The digest that a snapshot of these parts would have."""
    total = hashlib.sha256()
    for line in _lines(parts):
        total.update(line)
    return total.hexdigest()


def _lines(parts: Sequence[Part]) -> Iterable[bytes]:
    for part in parts:
        for e in part.entries:
            yield (
                json.dumps([part.origin, e.kind, e.name, e.values, e.source], ensure_ascii=False).encode(
                    "utf-8", "backslashreplace"
                )
                + b"\n"
            )


def read(path: Path) -> Snapshot:
    """Read and check the whole file. Raises SnapshotError."""
    return _read(path, known=None)


def load(path: Path, *, rules: Rules | None = None) -> Directory:
    """The directory that the file holds, ready to be asked; its age is in ``verified_at``.

    For programs that ask once; daemons use ``Watch``. Raises SnapshotError.
    """
    return compile_directory(read(path).parts, rules=rules).directory


def _read(path: Path, known: Snapshot | None) -> Snapshot:
    """Read the file; with the same digest as ``known``, take its entries and only the times from the file."""
    try:
        with path.open("rb") as file:
            about, digest = _header(path, file.readline(_MAX_HEADER), file.readline(_MAX_HEADER))
            origins = [origin for origin, _, _ in about]
            same = known is not None and known.digest == digest
            if known is not None and same and [p.origin for p in known.parts] == origins:
                pairs = zip(known.parts, about, strict=True)
                return Snapshot(parts=tuple(replace(p, read_at=a[1]) for p, a in pairs), digest=digest)
            entries: dict[str, list[Entry]] = {origin: [] for origin, _, _ in about}
            total = hashlib.sha256()
            for line in file:
                total.update(line)
                origin, kind, name, values, source = json.loads(line)
                entries[origin].append(Entry(kind=Kind(kind), name=name, values=tuple(values), source=source))
    except OSError as error:
        raise SnapshotError(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise SnapshotError(f"{path}: damaged: {error}") from error
    if total.hexdigest() != digest:
        raise SnapshotError(f"{path}: damaged: the checksum does not fit the entries")
    parts = tuple(
        Part(origin=o, strict=strict, entries=tuple(entries[o]), read_at=at) for o, at, strict in about
    )
    return Snapshot(parts=parts, digest=digest)


def _header(path: Path, first: bytes, second: bytes) -> tuple[list[tuple[str, float, bool]], str]:
    """Check the two first lines; (origin, read_at, strict) of each part, and the digest."""
    words = first.decode("utf-8", "replace").split()
    if len(words) != 3 or words[0] != FORMAT:
        raise SnapshotError(f"{path}: is no snapshot of ours")
    if words[1] != str(VERSION):
        raise SnapshotError(f"{path}: has version {words[1]}, this program reads {VERSION}")
    if words[2] != hashlib.sha256(second).hexdigest():
        raise SnapshotError(f"{path}: damaged: the checksum does not fit the header")
    header = json.loads(second)
    about = [(str(p["origin"]), float(p["read_at"]), bool(p["strict"])) for p in header["parts"]]
    return about, str(header["sha256"])


def shrunk(old: Sequence[Part], new: Sequence[Part], max_shrink: int) -> str:
    """Why ``new`` lost too much to be believed, "" if it did not.

    Counted are names and logins, not domains. Losing all of one source is too much at any setting below 100.
    """
    before, after = _sizes(old), _sizes(new)
    total_before, total_after = sum(before.values()), sum(after.values())
    if (total_before - total_after) * 100 > max_shrink * total_before:
        return f"{total_after} entries instead of {total_before}: more than {max_shrink} % lost"
    for origin, size in before.items():
        if size and not after.get(origin) and max_shrink < 100:
            return f"all {size} entries from {origin} are gone"
    return ""


def _sizes(parts: Sequence[Part]) -> dict[str, int]:
    return {p.origin: sum(e.kind is not Kind.DOMAIN for e in p.entries) for p in parts}


class Watch:
    """The newest directory of a snapshot file that somebody else writes.

    ``poll`` does the work and belongs in a thread of the background; ``directory`` costs nothing and may be
    read by any thread. A file that cannot be used leaves the directory as it was, and ``problem`` says why.
    """

    def __init__(self, path: Path, rules: Rules | None = None) -> None:
        self.path = path
        self.rules = rules or Rules()
        self.snapshot: Snapshot | None = None
        self.compiled: Compiled | None = None
        self.problem = ""
        self._stamp: tuple[int, int, int] | None = None

    @property
    def directory(self) -> Directory | None:
        """The directory; None until there was a usable snapshot."""
        compiled = self.compiled
        return None if compiled is None else compiled.directory

    def changed(self) -> bool:
        """Whether ``poll`` has something to do or to say; cheap."""
        return self._look() != self._stamp or self._stamp is None

    def poll(self) -> bool:
        """Look whether the file is another one, and load it; whether the directory was replaced."""
        stamp = self._look()
        if stamp is None:
            self.problem = f"{self.path}: no such file"
            return False
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            snapshot = _read(self.path, self.snapshot)
        except SnapshotError as error:
            self.problem = str(error)
            return False
        self.problem = ""
        self.take(snapshot)
        return True

    def take(self, snapshot: Snapshot, compiled: Compiled | None = None) -> None:
        """Make ``snapshot`` the one in use; ``compiled`` if that is done already."""
        before = self.snapshot
        if compiled is None and self.compiled is not None and before and before.digest == snapshot.digest:
            verified_at = min((part.read_at for part in snapshot.parts), default=0.0)
            fresh = replace(self.compiled.directory, verified_at=verified_at)
            compiled = replace(self.compiled, directory=fresh)
        self.snapshot = snapshot
        self.compiled = compiled or compile_directory(snapshot.parts, rules=self.rules)

    def wrote(self) -> None:
        """The file as it is now is our own doing: do not load it again."""
        self._stamp = self._look()

    def _look(self) -> tuple[int, int, int] | None:
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino, status.st_size
