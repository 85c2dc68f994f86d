"""``postvouch directory``: the compiled names of this host: how old, how many, what is wrong; read anew."""

import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import click

from postvouch.cli import output
from postvouch.config.schema import Config
from postvouch.directory import snapshot
from postvouch.directory.compile import compile_directory
from postvouch.directory.model import Part
from postvouch.host.refresh import gather, rules_of


@click.group(no_args_is_help=False)
def directory() -> None:
    """The names of this host: state, and reading them anew."""


@directory.command()
@output.config_option
@output.json_option
def status(path: Path | None, as_json: bool) -> None:
    """Show how old the snapshot is, what is in it and what is wrong with it.

    Exit status 1: older than map.soft_age; 69: there is none; 75: older than map.hard_age, so that "not
    found" is answered as a temporary failure.
    """
    config = output.configuration(path)
    where = Path(config.map.snapshot)
    try:
        parts = snapshot.read(where).parts
    except snapshot.SnapshotError as error:
        raise output.Failure(output.UNAVAILABLE, str(error)) from None
    problems = [str(each) for each in compile_directory(parts, rules=rules_of(config)).problems]
    now = time.time()
    if as_json:
        output.print_json(
            {
                "snapshot": str(where),
                "parts": [_part(each, now) for each in parts],
                "age_s": round(_age(parts, now)),
                "problems": problems,
            }
        )
    else:
        output.line(f"snapshot: {where}")
        output.table(
            ("from", "read", "aliases", "forwards", "logins", "domains"),
            [
                (p["origin"], p["read"], p["aliases"], p["forwards"], p["logins"], p["domains"])
                for p in (_part(e, now) for e in parts)
            ],
        )
        for each in problems:
            output.line(each)
    output.leave(_freshness(config, _age(parts, now)))


@directory.command()
@click.option("--force", is_flag=True, help="Take a directory that shrank by more than map.max_shrink.")
@output.config_option
@output.json_option
def refresh(force: bool, path: Path | None, as_json: bool) -> None:
    """Read the names files and LDAP now and write the snapshot; running daemons take it within seconds.

    Exit status 65: something was refused and what was there before stays; 69: the snapshot cannot be written.
    """
    config = output.configuration(path)
    where = Path(config.map.snapshot)
    try:
        previous: tuple[Part, ...] = snapshot.read(where).parts
    except snapshot.SnapshotError:
        previous = ()
    now = time.time()
    gathered = gather(config, previous, now=now, force=force)
    _save(where, gathered.parts)
    problems = [str(each) for each in gathered.problems]
    if as_json:
        output.print_json(
            {
                "snapshot": str(where),
                "parts": [_part(each, now) for each in gathered.parts],
                "failures": list(gathered.failures),
                "problems": problems,
            }
        )
    else:
        for each in (*problems, *gathered.failures):
            output.line(each)
        names = len(gathered.compiled.directory.names)
        output.line(f"{'kept' if gathered.failures else 'written'}: {where}, {names} addresses")
    output.leave(output.DATA if gathered.failures else output.OK)


def _save(where: Path, parts: tuple[Part, ...]) -> None:
    """Write the snapshot. For root: as the owner of its folder, or the daemons could not read it."""
    try:
        folder = where.parent.stat()
        if os.geteuid() == 0 and folder.st_uid != 0:
            os.setegid(folder.st_gid)
            os.seteuid(folder.st_uid)
        snapshot.save(where, parts)
    except OSError as error:
        raise output.Failure(output.UNAVAILABLE, f"{where}: {error.strerror}") from None


def _age(parts: tuple[Part, ...], now: float) -> float:
    return max(0.0, now - min((part.read_at for part in parts), default=0.0))


def _freshness(config: Config, age_s: float) -> int:
    if age_s > config.map.hard_age:
        return output.TEMPFAIL
    return output.NEGATIVE if age_s > config.map.soft_age else output.OK


def _part(part: Part, now: float) -> dict[str, Any]:
    counts = Counter(kind for kind, _ in {(str(entry.kind), entry.name) for entry in part.entries})
    ago = f"{_spoken(now - part.read_at)} ago" if part.read_at else "never"
    plural = {
        "alias": "aliases",
        "forward": "forwards",
        "login": "logins",
        "role": "roles",
        "domain": "domains",
    }
    numbers = {word: counts.get(kind, 0) for kind, word in plural.items()}
    return {"origin": part.origin, "read_at": part.read_at, "read": ago, **numbers}


def _spoken(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f}{unit}"
    return f"{max(0.0, seconds):.0f}s"
