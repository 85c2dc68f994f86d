"""One organisation, 91 accounts, 24 forwards and 76 roles, written down in every form that names are kept in.

Who they are says ``lab.people``; here they are a mapping of forwards and one of roles, and a writer for each
kind of source.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.people import ACCOUNTS, FORWARDS, ROLES, ldif

Names = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Organisation:
    """``forwards``: person -> addresses outside; ``roles``: role -> persons."""

    forwards: Names
    roles: Names


def organisation() -> Organisation:
    """The one of the lab."""
    forwards: dict[str, tuple[str, ...]] = {}
    roles: dict[str, tuple[str, ...]] = {}
    for block in ldif().split("\n\n"):
        uid = re.search(r"^uid: (.*)$", block, re.MULTILINE)
        members = re.findall(r"^member: uid=([^,]*),", block, re.MULTILINE)
        if uid and members:
            roles[uid[1]] = tuple(members)
        elif uid:
            forwards[uid[1]] = tuple(re.findall(r"^emailForward: (.*)$", block, re.MULTILINE))
    assert (len(forwards), len(roles)) == (ACCOUNTS + FORWARDS, ROLES)
    return Organisation(forwards, roles)


def as_yaml(section: str, names: Names, prefix: str = "") -> str:
    """One section of a names file."""
    return f"{prefix}{section}:\n" + "".join(f"  {k}: [{', '.join(v)}]\n" for k, v in names.items())


def as_postmap(names: Names) -> str:
    """What postmap(1) reads, each third one with a continuation line."""
    between = {0: ",\n    ", 1: ", ", 2: " "}
    lines = (f"{k}\t{between[n % 3].join(v)}\n" for n, (k, v) in enumerate(names.items()))
    return "# made by a machine\n\n" + "".join(lines)


def as_export(names: Names) -> str:
    """What userdir-ldap writes."""
    return "".join(f"{k}: {', '.join(v)}\n" for k, v in names.items())


def as_fragments(folder: Path, section: str, names: Names) -> None:
    """A file for each name."""
    folder.mkdir(exist_ok=True)
    for key, values in names.items():
        (folder / f"{section}-{key}.yaml").write_text(as_yaml(section, {key: values}))


def as_accounts(found: Organisation) -> str:
    """The lines that ``servers.ldif_of`` makes entries of."""
    lines = [f"{k} " + " ".join(f"emailForward={each}" for each in v) for k, v in found.forwards.items()]
    lines += [f"{k} " + " ".join(f"roleMember={each}" for each in v) for k, v in found.roles.items()]
    return "\n".join(lines)
