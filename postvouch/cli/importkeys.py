"""The key files of an imported configuration: whether our daemons can use them, and copies that they can.

OpenDKIM's keys belong to its own user, so that postvouch-sign often cannot read them where they are.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from postvouch.config.opendkimkeys import ImportedKey
from postvouch.config.opendkimledger import LOST, Entry
from postvouch.config.secrets import closed_to_daemons, hidden_from_daemons
from postvouch.host.keyfiles import read_key_file
from postvouch.host.keyfolder import make_folder, write_key
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
    """The keys with their new places, and which could not be copied and stay where they are.

    What cannot be used is not copied either; ``examine`` says why.
    """
    moved, entries = [], []
    for key in keys:
        target = directory / key.domain / f"{key.selector}.pem"
        moved.append(key)
        try:
            pem = read_key_file(key.file)
            parse_pem(pem, key.file)
        except KeyProblem:
            continue
        try:
            _copy(pem, target)
        except KeyProblem as problem:
            entries.append(_lost(key, f"not copied: {problem}"))
        else:
            moved[-1] = replace(key, file=str(target))
    return tuple(moved), entries


def _copy(pem: bytes, target: Path) -> None:
    """Make ``target``, or leave it where it has the same octets already. Raises KeyProblem."""
    if os.path.lexists(target) and read_key_file(str(target)) == pem:
        return
    make_folder(target.parent)
    write_key(str(target), pem)


def _lost(key: ImportedKey, text: str) -> Entry:
    return Entry(where=key.where, directive="KeyFile", fate=LOST, text=text)
