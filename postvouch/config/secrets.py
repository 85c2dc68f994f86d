"""Files that hold secrets: who may read them, and whether they are there.

A mode that lets others in is a problem for every reader of the configuration. A file that is missing, or
closed to the daemons, is one only for ``postvouch check``: a daemon whose role does not use it must not fall
over it.
"""

import os
import pwd
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from postvouch.config import keyplaces, kinds
from postvouch.config.catalog import TABLES
from postvouch.config.gather import Gathered
from postvouch.config.problems import Notes, Where
from postvouch.config.schema import Config

DAEMON_USER = "postvouch"
UNSEEN = "cannot be seen by this user, so it was not checked"
_HOW_TO_MAKE = {"sign.key": "postvouch dkim genkey", "srs.secrets_file": "postvouch srs genkey"}


def secret_files(config: Config) -> Iterator[tuple[str, int, str]]:
    """Every secret file that is named: the setting, its index among [[tables]] (else 0), the path.

    The files of ``postvouch dkim rotate`` are not: their folder is its own, and the ring looks at them.
    """
    for table in TABLES.values():
        content = getattr(config, table.name)
        for setting in table.settings.values():
            value = getattr(content, setting.key)
            if setting.kind is kinds.SecretPath and value:
                yield setting.name, 0, value
    for index, key in enumerate(config.sign.key):
        if not keyplaces.is_managed(key):
            found = keyplaces.place(key, config, year=time.localtime().tm_year, exists=os.path.exists)
            yield "sign.key", index, found.file


def check_modes(config: Config, gathered: Gathered, main: Where, notes: Notes) -> None:
    """A problem for each secret file that others may read or that its group may write."""
    for name, index, path in secret_files(config):
        where = _place(gathered, name, index) or main
        try:
            mode = stat.S_IMODE(os.stat(path).st_mode)
        except OSError:
            continue  # missing or out of our sight: check_presence says so where it matters
        if mode & 0o027:
            who = "others may read it" if mode & 0o007 else "its group may write it"
            notes.problem(where, f"{path} has mode {mode:04o}: {who}; chmod 0640 {path}")


def check_presence(
    config: Config, gathered_places: dict[str, tuple[Where, ...]], main: Where, notes: Notes
) -> None:
    """What the role needs and this host lacks: a problem where missing, a warning where we cannot see."""
    for name, index, path in secret_files(config):
        if not _needed(config, name):
            continue
        wheres = gathered_places.get(name, ())
        where = wheres[index] if index < len(wheres) else main
        try:
            with Path(path).open("rb") as file:
                empty = not file.read(1)
        except FileNotFoundError:
            make = f"; make one with: {_HOW_TO_MAKE[name]}" if name in _HOW_TO_MAKE else ""
            notes.problem(where, f"{name}: there is no {path}{make}")
        except PermissionError:
            if is_daemon_user():
                notes.problem(where, closed_to_daemons(path))
                continue
            notes.warning(where, f"{name}: {path} {UNSEEN}")
        except OSError as error:
            notes.problem(where, f"{name}: {path}: {error.strerror}")
        else:
            if empty:
                notes.problem(where, f"{name}: {path} is empty")
            elif hidden_from_daemons(path):
                notes.problem(where, closed_to_daemons(path))


def closed_to_daemons(path: str) -> str:
    """What to say of a file that the daemons cannot read."""
    return f"{path}: the user {DAEMON_USER} cannot read it; chgrp {DAEMON_USER} {path} && chmod 0640 {path}"


def hidden_from_daemons(path: str) -> bool:
    """Whether root, who reads everything, asks about a file that the daemons' user cannot read.

    access(2) by that user answers, so folders above and ACLs count. False where that cannot be found out.
    """
    if os.geteuid() != 0:
        return False
    try:
        user = pwd.getpwnam(DAEMON_USER)
        groups = os.getgrouplist(user.pw_name, user.pw_gid)
        asked = subprocess.run(  # noqa: S603 - a fixed program, no shell
            ["/usr/bin/test", "-r", path],
            user=user.pw_uid, group=user.pw_gid, extra_groups=groups, cwd="/", check=False, timeout=10,
        )  # fmt: skip
    except (KeyError, OSError, subprocess.SubprocessError):
        return False
    return asked.returncode == 1


def is_daemon_user() -> bool:
    """Whether it is one of the daemons who asks: what is closed to it is closed to them all."""
    try:
        return pwd.getpwnam(DAEMON_USER).pw_uid == os.geteuid()
    except KeyError:
        return False


def _needed(config: Config, name: str) -> bool:
    role = config.general.role
    if name == "sign.key":
        return role in ("srs", "submission", "relay", "single")
    if name == "srs.secrets_file":
        return role in ("mx", "srs", "single")
    if name == "ldap.password_file":
        return bool(config.ldap.uri)
    return name != "redis.password_file" or config.redis.used


def _place(gathered: Gathered, name: str, index: int) -> Where | None:
    wheres = gathered.places.get(name, [])
    return wheres[index] if index < len(wheres) else None
