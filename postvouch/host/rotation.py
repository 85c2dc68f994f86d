"""rotation.json on disk: the state of a domain's managed keys, for those who sign and for rotate.

Written as a whole (draft, fsync, rename, fsync of the folder) and under a lock that says who has it. A key
file is made before the state that names it, and removed after the state that gives it up: whenever the
machine stops, the state names no file that is not there.
"""

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator

from postvouch.host.keyfolder import folder, replace_file
from postvouch.sign.keys import KeyProblem
from postvouch.sign.rotation import MAX_OCTETS, Rotation, dump, parse

NAME = "rotation.json"
LOCK = "rotation.lock"
_NEXT = "postvouch dkim rotate"


class Busy(Exception):
    """Another run has the lock; the text says who."""


def read(directory: str, domain: str) -> Rotation | None:
    """The state of the domain's managed keys, None where it has none.

    Raises KeyProblem where there is a file that cannot be read, believed or understood.
    """
    path = folder(directory, domain) / NAME
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(handle)
            octets = os.read(handle, MAX_OCTETS + 1) if stat.S_ISREG(status.st_mode) else b""
        finally:
            os.close(handle)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KeyProblem(f"{path}: {error.strerror}") from None
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISREG(status.st_mode):
        raise KeyProblem(f"{path}: not a regular file")
    if mode & 0o022:
        raise KeyProblem(f"{path}: mode {mode:04o} lets others change it; chmod 0640 {path}")
    try:
        rotation = parse(octets.decode())
    except ValueError as error:
        raise KeyProblem(f"{path}: {error}") from None
    if rotation.domain != domain:
        raise KeyProblem(f"{path}: is of {rotation.domain}")
    return rotation


def active(directory: str, domain: str) -> tuple[tuple[str, str], ...]:
    """The (selector, file) of each key that signs for ``domain``, never none; raises KeyProblem."""
    rotation = read(directory, domain)
    path = folder(directory, domain)
    if rotation is None:
        raise KeyProblem(f"{path / NAME}: no such file; make a key with: {_NEXT} {domain}")
    if not rotation.active:
        raise KeyProblem(f"{path / NAME}: no key is active yet; go on with: {_NEXT} {domain}")
    return tuple((key.selector, str(path / key.file)) for key in rotation.active)


def write(directory: str, rotation: Rotation) -> None:
    """Replace the state; the caller has the lock. Raises KeyProblem."""
    replace_file(folder(directory, rotation.domain) / NAME, dump(rotation))


@contextlib.contextmanager
def locked(directory: str, domain: str, who: str) -> Iterator[None]:
    """Nobody else changes the domain's keys meanwhile. ``who`` is what a second run is told.

    Raises Busy at once where another has it, KeyProblem where the folder does not let us. A lock dies with
    its process.
    """
    path = folder(directory, domain) / LOCK
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise KeyProblem(f"{path}: {error.strerror}") from None
    with open(handle, "r+", encoding="utf-8", errors="replace") as file:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = file.read(200).strip() or "another run"
            raise Busy(f"the keys of {domain} are being worked on by {holder}") from None
        file.truncate(0)
        file.write(f"{who}\n")
        file.flush()
        yield
