"""Key files on disk: read only where nobody else could have read or changed them, and which there are.

OpenDKIM's RequireSafeKeys, with messages that name the path, its mode and the command that mends it. Who can
write to a folder can replace what is in it, so every folder above a key counts.
"""

import os
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from postvouch.config import keyplaces
from postvouch.config.schema import Config
from postvouch.config.sign import SigningKey
from postvouch.host import rotation
from postvouch.sign.keys import KeyProblem, KeyRing, KeySpec, PrivateKey, parse_pem

MAX_FILE_OCTETS = 64 << 10


def read_key_file(file: str) -> bytes:
    """The PEM of ``file``; raises KeyProblem where it is missing, unreadable or not private enough.

    The file may be read by its group (0640: root:postvouch), never written by it, and is closed to others. A
    folder above it may be written by its owner, by the group root, and, with the sticky bit, by all (/tmp).
    """
    try:
        handle = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise KeyProblem(f"{file}: no such file; make a key with: postvouch dkim genkey") from None
    except OSError as error:
        raise KeyProblem(f"{file}: {error.strerror}; a key is root:postvouch with mode 0640") from None
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise KeyProblem(f"{file}: not a regular file")
        mode = stat.S_IMODE(status.st_mode)
        if mode & 0o027:
            mend = f"chmod {mode & 0o740:04o} {file}"
            raise KeyProblem(f"{file}: mode {mode:04o} is too open for a private key; {mend}")
        _check_folders(file)
        pem = os.read(handle, MAX_FILE_OCTETS + 1)
    finally:
        os.close(handle)
    if len(pem) > MAX_FILE_OCTETS:
        raise KeyProblem(f"{file}: too long for a private key")
    return pem


def load_key(file: str) -> PrivateKey:
    """The key in ``file``; raises KeyProblem."""
    return parse_pem(read_key_file(file), file)


def specs_of(config: Config) -> tuple[KeySpec, ...]:
    """The keys of the configuration as they are today: templates filled in, managed ones looked up.

    A managed table whose keys cannot be found out is one KeySpec with its ``problem``. Raises nothing.
    """
    return tuple(spec for key in config.sign.key for spec in specs_of_table(key, config))


def specs_of_table(key: SigningKey, config: Config) -> Iterator[KeySpec]:
    """Those of one [[sign.key]] table: one, or, where it is managed, as many as are active."""
    problem = ""
    if not keyplaces.is_managed(key):
        year = time.localtime().tm_year
        places: tuple[tuple[str, str], ...] = (
            keyplaces.place(key, config, year=year, exists=os.path.exists),
        )
    else:
        try:
            places = rotation.active(config.sign.key_directory, key.domain)
        except KeyProblem as error:
            places, problem = (("", ""),), str(error)
    for selector, file in places:
        yield KeySpec(
            domain=key.domain,
            selector=selector,
            file=file,
            subdomains=key.subdomains,
            authors=key.authors,
            problem=problem,
        )


def load_ring(specs: Iterable[KeySpec]) -> KeyRing:
    """The ring of these keys; its ``problems`` say which could not be loaded."""
    return KeyRing.build(specs, read_key_file)


def _check_folders(file: str) -> None:
    """Refuse a key below a folder that others may write to, by the path as given and as it really is."""
    given, real = Path(os.path.abspath(file)), Path(os.path.realpath(file))
    for folder in dict.fromkeys([*given.parents, *real.parents]):
        try:
            status = os.stat(folder)
        except OSError as error:
            raise KeyProblem(f"{file}: the folder {folder} cannot be looked at: {error.strerror}") from None
        mode = stat.S_IMODE(status.st_mode)
        risky = mode & stat.S_IWOTH or (mode & stat.S_IWGRP and status.st_gid != 0)
        if risky and not mode & stat.S_ISVTX:
            reason = f"the folder {folder} has mode {mode:04o}, so others could replace the key"
            raise KeyProblem(f"{file}: {reason}; chmod go-w {folder}")
