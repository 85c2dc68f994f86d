"""The key files of an imported configuration: whether our daemons can use them, and copies that they can.

OpenDKIM's keys belong to its own user, so that postvouch-sign often cannot read them where they are.
"""

import contextlib
import grp
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from postvouch.config.opendkimkeys import ImportedKey
from postvouch.config.opendkimledger import LOST, Entry
from postvouch.config.secrets import DAEMON_USER, closed_to_daemons, hidden_from_daemons
from postvouch.host.keyfiles import read_key_file, write_new
from postvouch.sign.keys import KeyProblem, parse_pem


def examine(keys: Iterable[ImportedKey]) -> Iterator[Entry]:
    """What is wrong with the files, each with the command that mends it."""
    for key in keys:
        try:
            pem = read_key_file(key.file)
        except KeyProblem as problem:
            yield _lost(key, str(problem))
            continue
        try:
            parse_pem(pem, key.file)
        except KeyProblem as problem:
            make = f"postvouch dkim genkey --domain {key.domain} --selector {key.selector}-2"
            yield _lost(key, f"{problem}; make another: {make}")
            continue
        if hidden_from_daemons(key.file):
            yield _lost(key, f"{closed_to_daemons(key.file)}; or import with --copy-keys")


def copy(keys: Iterable[ImportedKey], directory: Path) -> tuple[tuple[ImportedKey, ...], list[Entry]]:
    """The keys with their new places, and which could not be copied and stay where they are."""
    moved, entries = [], []
    for key in keys:
        target = directory / key.domain / f"{key.selector}.pem"
        try:
            _copy(key.file, target)
        except KeyProblem as problem:
            entries.append(_lost(key, f"not copied: {problem}"))
            moved.append(key)
        else:
            moved.append(replace(key, file=str(target)))
    return tuple(moved), entries


def _copy(file: str, target: Path) -> None:
    """Make ``target``, or leave it where it has the same octets already. Raises KeyProblem."""
    pem = read_key_file(file)
    parse_pem(pem, file)
    gid = -1
    if os.geteuid() == 0:
        with contextlib.suppress(KeyError):
            gid = grp.getgrnam(DAEMON_USER).gr_gid
    if os.path.lexists(target) and read_key_file(str(target)) == pem:
        return
    try:
        for folder in (target.parent.parent, target.parent):
            if not folder.exists():
                folder.mkdir(parents=True, mode=0o750)
                os.chown(folder, -1, gid)
    except OSError as error:
        raise KeyProblem(f"{target.parent}: {error.strerror}") from None
    write_new(str(target), pem, mode=0o640 if gid >= 0 else 0o600, gid=gid)


def _lost(key: ImportedKey, text: str) -> Entry:
    return Entry(where=key.where, directive="KeyFile", fate=LOST, text=text)
