"""All sources of names, read once: what is taken, what stays as it was, and why; then the snapshot file.

Whatever fails keeps what was there: a broken file what its source said before, a server that is away the
LDAP part, a directory that shrank too much all of it. Each part carries the time at which it was last read in
full.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from postvouch.config.schema import Config
from postvouch.directory import shrink, snapshot, sources, times
from postvouch.directory.compile import Compiled, compile_directory
from postvouch.directory.model import FILES, LDAP, Part, Problem, Rules
from postvouch.directory.times import Times

_CALLED = {FILES: "names files", LDAP: "LDAP"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """What one reading of all sources gave.

    ``failures`` are the reasons for which a part, or all, is still the old one. ``problems`` are about single
    entries and files; those that are fatal are behind a failure.
    """

    parts: tuple[Part, ...]
    compiled: Compiled
    failures: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a refresh did, in words and numbers.

    ``sizes``: entries by source; ``changed``: the names are others than before; ``unsaved``: why the snapshot
    could not be written, "" if it was.
    """

    failures: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    sizes: tuple[tuple[str, int], ...] = ()
    names: int = 0
    logins: int = 0
    changed: bool = False
    unsaved: str = ""


def rules_of(config: Config) -> Rules:
    """The settings that the directory is compiled with."""
    return Rules(
        delimiter=config.map.recipient_delimiter,
        max_targets=config.map.max_targets,
        srs_domains=frozenset(filter(None, (config.srs.domain, config.srs.unproven_domain))),
        allowed_targets=frozenset(config.map.allowed_targets),
        denied_targets=frozenset(config.map.denied_targets),
    )


def gather(config: Config, previous: Sequence[Part], *, now: float, force: bool = False) -> Gathered:
    """Read all sources; blocks as long as LDAP needs. Never raises for a source that fails.

    ``force`` accepts a directory that shrank beyond map.max_shrink; broken files it never accepts.
    """
    old = {part.origin: part for part in previous}
    rules = rules_of(config)
    failures: list[str] = []
    problems: list[Problem] = []
    parts: list[Part] = []
    for reading in sources.read_all(config, old, now=now):
        problems += reading.problems
        if reading.part is None:
            failures.append(f"{_CALLED.get(reading.origin, reading.origin)}: {reading.failure}")
        parts.append(reading.part or old.get(reading.origin) or Part(origin=reading.origin))
    compiled = compile_directory(parts, rules=rules)
    problems += compiled.problems
    if compiled.fatal:
        kept = [old.get(part.origin) or Part(origin=part.origin) if part.strict else part for part in parts]
        named = [new.origin for new, part in zip(parts, kept, strict=True) if new is not part]
        if named:
            called = ", ".join(_CALLED.get(origin, origin) for origin in named)
            failures.append(f"{called}: not taken, see the problems; what was said before stays")
            parts, compiled = kept, compile_directory(kept, rules=rules)
    reason = "" if force or not previous else shrink.shrunk(previous, parts, config.map.max_shrink)
    if reason:
        failures.append(f"refused, the old directory stays: {reason} (postvouch directory refresh --force)")
        parts = list(previous)
        compiled = compile_directory(parts, rules=rules)
    return Gathered(parts=tuple(parts), compiled=compiled, failures=tuple(failures), problems=tuple(problems))


def refresh(config: Config, *, now: float, force: bool = False) -> tuple[Report, Gathered]:
    """Read all sources once and write the snapshot, or only the times where no name is another one."""
    path = Path(config.map.snapshot)
    try:
        before = snapshot.read(path)
    except snapshot.SnapshotError:
        before = None
    gathered = gather(config, before.parts if before else (), now=now, force=force)
    parts = gathered.parts
    changed = before is None or _said(before.parts) != _said(parts) or before.rules != rules_of(config)
    unsaved = ""
    try:
        if before is None or changed or [p.state for p in before.parts] != [p.state for p in parts]:
            digest = snapshot.save(path, parts, compiled=gathered.compiled).digest
        else:
            digest = before.digest
        read_at = {part.origin: part.read_at for part in parts}
        times.save(path, Times(digest=digest, read_at=read_at, failures=gathered.failures, tried_at=now))
    except OSError as error:
        unsaved = f"{path}: {error.strerror}"
    directory = gathered.compiled.directory
    report = Report(
        failures=(*gathered.failures, *([unsaved] if unsaved else [])),
        problems=tuple(map(str, gathered.problems)),
        sizes=tuple((part.origin, len(part.entries)) for part in parts),
        names=len(directory.names),
        logins=len(directory.logins),
        changed=changed,
        unsaved=unsaved,
    )
    return report, gathered


def _said(parts: Sequence[Part]) -> list[tuple[object, ...]]:
    return [(part.origin, part.strict, part.entries) for part in parts]
