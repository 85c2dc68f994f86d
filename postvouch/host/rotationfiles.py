"""The files that rotation keeps beside rotation.json: private keys, and what other hosts confirm.

A key file is made before the state names it. Where the machine stopped between the two, the next run finds it
and takes it: whoever calls ``make`` has seen that nobody ever published its selector.
"""

import contextlib
import json
import os
import stat
from pathlib import Path

from postvouch.host.keyfiles import load_key
from postvouch.host.keyfolder import GROUP, folder, group_id, replace_file, sync, write_key
from postvouch.sign.keys import KeyProblem, PrivateKey, generate
from postvouch.sign.rotation import Key, Rotation

VERSION = 1
_MAX_OCTETS = 4096


def find(directory: str, domain: str, selector: str) -> PrivateKey | None:
    """The key in the file of that selector, None where there is none. Raises KeyProblem for another file."""
    path = folder(directory, domain) / f"{selector}.pem"
    if not os.path.lexists(path):
        return None
    private = load_key(str(path))
    check_group(str(path))
    return private


def make(directory: str, domain: str, selector: str, kind: str) -> PrivateKey:
    """A new key in the file of that selector, or the one that is there. Raises KeyProblem."""
    path = folder(directory, domain) / f"{selector}.pem"
    # What a run that was stopped has left: nobody knows that key.
    for draft in path.parent.glob(f".{path.name}.*.new"):
        with contextlib.suppress(OSError):
            draft.unlink()
    private = find(directory, domain, selector)
    if private is not None:
        # A link without its fsync would be gone after a power failure, and the state would name it.
        sync(path.parent)
        return private
    _, pem = generate(kind)
    write_key(str(path), pem)
    return load_key(str(path))


def check_group(file: str) -> None:
    """Raise KeyProblem where root can read a key and the signer cannot."""
    gid = group_id()
    status = os.stat(file)
    if gid >= 0 and (status.st_gid != gid or not stat.S_IMODE(status.st_mode) & 0o040):
        mend = f"chgrp {GROUP} {file}; chmod 0640 {file}"
        raise KeyProblem(f"{file}: the group {GROUP} cannot read it; {mend}")


def remove(directory: str, domain: str, key: Key) -> bool:
    """Remove the file of a key that was given up, for good; whether it is gone.

    What is not that key is left alone. Raises KeyProblem where it cannot be removed.
    """
    path = folder(directory, domain) / key.file
    try:
        with contextlib.suppress(KeyProblem):
            if load_key(str(path)).public_text() == key.public:
                path.unlink()
                sync(path.parent)
    except OSError as error:
        raise KeyProblem(f"{path}: cannot be removed: {error.strerror}") from None
    return not os.path.lexists(path)


def check_active(directory: str, rotation: Rotation) -> None:
    """Raise KeyProblem where one of the active keys is not in its file."""
    for key in rotation.active:
        path = folder(directory, rotation.domain) / key.file
        if load_key(str(path)).public_text() != key.public:
            raise KeyProblem(f"{path}: is not the key of rotation.json; copy the folder again")
        check_group(str(path))


def write_confirmation(directory: str, rotation: Rotation, host: str) -> Path:
    """Leave word that ``host`` signs with the active keys, in a file for the maker. Raises KeyProblem."""
    path = _confirmation(directory, rotation.domain, host)
    generation = rotation.active[0].generation
    data = {"version": VERSION, "domain": rotation.domain, "host": host, "generation": generation}
    replace_file(path, json.dumps(data) + "\n")
    return path


def confirmations(directory: str, rotation: Rotation) -> dict[str, int]:
    """The newest generation of each other host that left word; what cannot be read is no word."""
    found = {}
    for host in rotation.hosts:
        with contextlib.suppress(OSError, ValueError, RecursionError):
            data = json.loads(_short(_confirmation(directory, rotation.domain, host)))
            wanted = {"version": VERSION, "domain": rotation.domain, "host": host}
            if isinstance(data, dict) and type(data.get("generation")) is int:
                generation = data.pop("generation")
                if data == wanted:
                    found[host] = generation
    return found


def _short(path: Path) -> str:
    """What a file says, if it is one: no pipe to wait at, and no link. Raises OSError, ValueError."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return os.read(handle, _MAX_OCTETS).decode()
    finally:
        os.close(handle)


def _confirmation(directory: str, domain: str, host: str) -> Path:
    return folder(directory, domain) / f"confirmed.{host}.json"
