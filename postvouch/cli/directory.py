"""``postvouch directory``: the compiled names of this host: how old, how many, what is wrong; read anew."""

import fnmatch
import os
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from postvouch.cli import output
from postvouch.config.schema import Config
from postvouch.directory import changes, snapshot, times
from postvouch.directory.compile import compile_directory
from postvouch.directory.model import Kind, Part
from postvouch.host import gather
from postvouch.host.gather import rules_of

PLURALS = {
    Kind.ALIAS: "aliases",
    Kind.FORWARD: "forwards",
    Kind.LOGIN: "logins",
    Kind.ROLE: "roles",
    Kind.DOMAIN: "domains",
}


@click.group(no_args_is_help=False)
def directory() -> None:
    """The names of this host: state, what would change, what is there, and reading them anew."""


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
    held = _snapshot(where)
    problems = [str(each) for each in compile_directory(held.parts, rules=rules_of(config)).problems]
    kept = times.read(where)
    failures = list(kept.failures) if kept is not None and kept.digest == held.digest else []
    now = time.time()
    parts = [_part(each, now) for each in held.parts]
    if as_json:
        output.print_json(
            {
                "snapshot": str(where),
                "version": snapshot.VERSION,
                "sha256": held.digest,
                "parts": parts,
                "age_s": round(_age(held.parts, now)),
                "failures": failures,
                "problems": problems,
            }
        )
    else:
        output.line(f"snapshot: {where}, version {snapshot.VERSION}, SHA-256 {held.digest[:16]}")
        columns = ("read", *PLURALS.values())
        output.table(("from", *columns), [(p["origin"], *(p[c] for c in columns)) for p in parts])
        for each in (*failures, *problems):
            output.line(each)
    output.leave(_freshness(config, _age(held.parts, now)))


@directory.command()
@click.option("--force", is_flag=True, help="Take a directory that shrank by more than map.max_shrink.")
@output.config_option
@output.json_option
def refresh(force: bool, path: Path | None, as_json: bool) -> None:
    """Read all sources now and write the snapshot; running daemons take it within seconds.

    Exit status 65: something was refused and what was there before stays; 69: the snapshot cannot be written.
    """
    config = output.configuration(path)
    where = Path(config.map.snapshot)
    _become_owner_of(where.parent)
    now = time.time()
    report, gathered = gather.refresh(config, now=now, force=force)
    if report.unsaved:
        raise output.Failure(output.UNAVAILABLE, report.unsaved)
    if as_json:
        output.print_json(
            {
                "snapshot": str(where),
                "parts": [_part(each, now) for each in gathered.parts],
                "failures": list(report.failures),
                "problems": list(report.problems),
            }
        )
    else:
        for each in (*report.problems, *report.failures):
            output.line(each)
        output.line(f"{'kept' if report.failures else 'written'}: {where}, {report.names} addresses")
    output.leave(output.DATA if report.failures else output.OK)


@directory.command()
@output.config_option
@output.json_option
def diff(path: Path | None, as_json: bool) -> None:
    """Show what a refresh would change now, and change nothing.

    Exit status 1: there is a difference; 65: a source could not be read, so there may be more; 69: there is
    no snapshot to compare with.
    """
    config = output.configuration(path)
    held = _snapshot(Path(config.map.snapshot))
    gathered = gather.gather(config, held.parts, now=time.time(), force=True)
    found = changes.between(held.parts, gathered.parts)
    if as_json:
        output.print_json({"changes": [_change(each) for each in found], "failures": list(gathered.failures)})
    else:
        for each in found:
            output.line(str(each))
        for text in gathered.failures:
            click.echo(output.clean(text), err=True)
    output.leave(output.DATA if gathered.failures else output.NEGATIVE if found else output.OK)


@directory.command()
@click.argument("pattern", default="*")
@output.config_option
@output.json_option
def show(pattern: str, path: Path | None, as_json: bool) -> None:
    """List the entries whose name or value fits PATTERN, with the file and line, or DN, of each.

    PATTERN is like a file name's: * for any text, ? for one character; an address or login alone is itself.
    Exit status 1: nothing fits; 69: there is no snapshot.
    """
    config = output.configuration(path)
    held = _snapshot(Path(config.map.snapshot))
    wanted = pattern.lower()
    rows = [
        (part.origin, str(entry.kind), entry.name, entry.values, entry.source)
        for part in held.parts
        for entry in part.entries
        if any(fnmatch.fnmatchcase(text.lower(), wanted) for text in (entry.name, *entry.values))
    ]
    if as_json:
        keys = ("origin", "kind", "name", "values", "source")
        output.print_json({"entries": [dict(zip(keys, row, strict=True)) for row in rows]})
    elif rows:
        output.table(
            ("from", "kind", "name", "values", "source"),
            [(origin, kind, name, ", ".join(values), source) for origin, kind, name, values, source in rows],
        )
    output.leave(output.OK if rows else output.NEGATIVE)


def _snapshot(where: Path) -> snapshot.Snapshot:
    try:
        return snapshot.read(where)
    except snapshot.SnapshotError as error:
        raise output.Failure(output.UNAVAILABLE, str(error)) from None


def _become_owner_of(folder: Path) -> None:
    """For root: read and write as the daemons do, or they could not read what we write."""
    try:
        owner = folder.stat()
        if os.geteuid() == 0 and owner.st_uid != 0:
            os.setegid(owner.st_gid)
            os.seteuid(owner.st_uid)
    except OSError as error:
        raise output.Failure(output.UNAVAILABLE, f"{folder}: {error.strerror}") from None


def _age(parts: Iterable[Part], now: float) -> float:
    return max(0.0, now - min((part.read_at for part in parts), default=0.0))


def _freshness(config: Config, age_s: float) -> int:
    if age_s > config.map.hard_age:
        return output.TEMPFAIL
    return output.NEGATIVE if age_s > config.map.soft_age else output.OK


def _part(part: Part, now: float) -> dict[str, Any]:
    counts = Counter(kind for kind, _ in {(entry.kind, entry.name) for entry in part.entries})
    ago = f"{_spoken(now - part.read_at)} ago" if part.read_at else "never"
    numbers = {word: counts.get(kind, 0) for kind, word in PLURALS.items()}
    return {"origin": part.origin, "read_at": part.read_at, "read": ago, **numbers}


def _change(change: changes.Change) -> dict[str, Any]:
    return {
        "change": str(change.what),
        "origin": change.origin,
        "kind": str(change.kind),
        "name": change.name,
        "before": list(change.before),
        "after": list(change.after),
        "source": change.source,
    }


def _spoken(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f}{unit}"
    return f"{max(0.0, seconds):.0f}s"
