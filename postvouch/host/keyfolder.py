"""The folders that hold keys, and how files come into them: whole, for good, and for the right readers.

Keys are DIRECTORY/DOMAIN/SELECTOR.pem, root:postvouch with mode 0640, so that postvouch-sign can read and not
change them; where there is no such group, or we may not give files to it, they are for their owner alone.
"""

import contextlib
import grp
import os
from pathlib import Path

from postvouch.sign.keys import KeyProblem

GROUP = "postvouch"


def folder(directory: str, domain: str) -> Path:
    """The folder of a domain's keys."""
    return Path(directory) / domain


def group_id() -> int:
    """The group that reads keys; -1 where we cannot give files to it."""
    if os.geteuid() != 0:
        return -1
    try:
        return grp.getgrnam(GROUP).gr_gid
    except KeyError:
        return -1


def make_folder(place: Path) -> None:
    """Make the folder of a domain and that of all keys above it, with mode 0750 and the group of keys.

    What is missing above them gets 0755; the umask does not count. What is there stays as it is. Who may
    write to a folder above could put a link where the new one was: owner and mode are set on what was made,
    not on what its name leads to by then. Raises KeyProblem.
    """
    gid = group_id()
    missing = [each for each in (place, *place.parents) if not each.exists()]
    try:
        for each in reversed(missing):
            own = each in (place, place.parent)
            try:
                os.mkdir(each, 0o700)
            except FileExistsError:
                continue  # somebody else makes keys, too
            handle = os.open(each, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                if own:
                    os.fchown(handle, -1, gid)
                os.fchmod(handle, 0o750 if own else 0o755)
            finally:
                os.close(handle)
            sync(each.parent)
    except OSError as error:
        raise KeyProblem(f"{place}: {error.strerror}") from None


def write_new(file: str, content: bytes, *, mode: int = 0o600, gid: int = -1) -> None:
    """Make ``file`` in one step: whole and with its final mode, or not at all; never over another.

    ``gid`` -1 leaves the group alone. Raises KeyProblem where the file exists or cannot be made.
    """
    path = Path(os.path.abspath(file))
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(handle, "wb") as opened:
                opened.write(content)
                opened.flush()
                os.fchown(handle, -1, gid)
                os.fchmod(handle, mode)
                os.fsync(handle)
            # link(2) and not rename(2): it fails where the name is taken.
            os.link(draft, path)
        finally:
            os.unlink(draft)
        sync(path.parent)
    except FileExistsError:
        raise KeyProblem(f"{file}: exists already; a key is never overwritten") from None
    except OSError as error:
        raise KeyProblem(f"{file}: cannot be written: {error.strerror}") from None


def write_key(file: str, pem: bytes) -> int:
    """Make a key file, 0640 for the group that reads keys, or 0600; the mode. Raises KeyProblem."""
    gid = group_id()
    mode = 0o640 if gid >= 0 else 0o600
    write_new(file, pem, mode=mode, gid=gid)
    return mode


def replace_file(path: Path, text: str) -> None:
    """Replace a file at once and for good: mode 0640 and the group of its folder.

    One process at a time. Raises KeyProblem, and the old one stays.
    """
    draft = path.with_name(f".{path.name}.new")
    try:
        # What a crash has left, or somebody put there: a link, a pipe, a file that he holds open.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft)
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(handle, "wb") as file:
            file.write(text.encode())
            file.flush()
            if os.geteuid() == 0:
                os.fchown(handle, -1, path.parent.stat().st_gid)
            os.fchmod(handle, 0o640)
            os.fsync(handle)
        os.replace(draft, path)
        sync(path.parent)
    except OSError as error:
        raise KeyProblem(f"{path}: cannot be written: {error.strerror}") from None


def sync(place: Path) -> None:
    """Let the names in a folder outlive the machine."""
    handle = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
