"""Keep the directory fresh: read files and LDAP in a thread of the background, write the snapshot.

Whatever fails keeps what was there: a broken file the files' part, a server that is away the LDAP part, a
directory that shrank too much all of it. Each part carries the time at which it was last read in full, so the
age of the directory is the age of its stalest source.
"""

import gc
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from postvouch.config.schema import Config
from postvouch.directory import files, ldap, snapshot
from postvouch.directory.compile import Compiled, compile_directory
from postvouch.directory.model import FILES, LDAP, Directory, Part, Problem, Rules
from postvouch.host.log import ERROR, INFO, WARNING, Log

POLL_S = 2.0
"""How often to look whether somebody else (postvouch directory refresh --force) wrote the snapshot."""


NOTHING = Directory()


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


def rules_of(config: Config) -> Rules:
    """The settings that the directory is compiled with."""
    return Rules(delimiter=config.map.recipient_delimiter, max_targets=config.map.max_targets)


def gather(config: Config, previous: Sequence[Part], *, now: float, force: bool = False) -> Gathered:
    """Read all sources; blocks as long as LDAP needs. Never raises for a source that fails.

    ``force`` accepts a directory that shrank beyond map.max_shrink; broken files it never accepts.
    """
    failures: list[str] = []
    old = {part.origin: part for part in previous}
    names, problems = files.read(config.map.names, config.general.domains, now=now)
    kept = old.get(FILES) or Part(origin=FILES)
    if any(p.fatal for p in problems):
        failures.append("names files: not taken, see their problems; what they said before stays")
        names = kept
    others: list[Part] = []
    if config.ldap.uri:
        try:
            domain = next(iter(config.general.domains), "")
            part, notes = ldap.read(config.ldap, domain, now=now)
            problems += notes
        except ldap.DirectoryUnavailable as error:
            failures.append(f"LDAP: {error}")
            part = old.get(LDAP) or Part(origin=LDAP, strict=False)
        others.append(part)
    compiled = compile_directory((names, *others), rules=rules_of(config))
    problems += compiled.problems
    if compiled.fatal and names is not kept:
        failures.append("names files: not taken, see their problems; what they said before stays")
        names = kept
        compiled = compile_directory((names, *others), rules=rules_of(config))
    parts = (names, *others)
    reason = "" if force or not previous else snapshot.shrunk(previous, parts, config.map.max_shrink)
    if reason:
        failures.append(f"refused, the old directory stays: {reason} (postvouch directory refresh --force)")
        parts = tuple(previous)
        compiled = compile_directory(parts, rules=rules_of(config))
    return Gathered(parts=parts, compiled=compiled, failures=tuple(failures), problems=problems)


@contextmanager
def _undisturbed(watch: snapshot.Watch) -> Iterator[None]:
    """Build a large directory without stopping those who ask meanwhile.

    The cyclic collector would visit every name again and again with all threads stopped (a third of a second
    for 100000 names). Names form no cycles; new ones are kept out of its sight for good.
    """
    before = watch.directory
    gc.disable()
    try:
        yield
    finally:
        after = watch.directory
        if after is not None and (before is None or after.names is not before.names):
            gc.freeze()
        gc.enable()


class Refresher:
    """Owns the snapshot file of this host (postvouch-map). Start it once; ask ``directory`` at any time."""

    def __init__(self, config: Config, log: Log, *, clock: Callable[[], float] = time.time) -> None:
        self.config = config
        self.failures: tuple[str, ...] = ()
        self._log = log
        self._clock = clock
        self._watch = snapshot.Watch(Path(config.map.snapshot), rules_of(config))
        self._said: tuple[str, ...] = ()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._first = threading.Event()
        self._thread = threading.Thread(target=self._run, name="refresher", daemon=True)

    @property
    def directory(self) -> Directory:
        """The directory in use; an empty one until there is another."""
        return self._watch.directory or NOTHING

    def age_s(self) -> float:
        """Seconds since the stalest source was read in full; since 1970 if there is nothing at all."""
        return max(0.0, self._clock() - self.directory.verified_at)

    @property
    def read_once(self) -> bool:
        """Whether all sources were tried since the start."""
        return self._first.is_set()

    def start(self) -> None:
        """Load the snapshot and begin to refresh; a daemon thread, for a stop must not wait for LDAP."""
        if not self._watch.poll():
            self._log.note(f"no snapshot yet: {self._watch.problem}", level=WARNING)
        self._thread.start()

    def reload(self, config: Config) -> None:
        """Go on with another configuration, at once."""
        self.config = config
        path, rules = Path(config.map.snapshot), rules_of(config)
        if (path, rules) != (self._watch.path, self._watch.rules):
            watch = snapshot.Watch(path, rules)
            if self._watch.snapshot is not None:
                watch.take(self._watch.snapshot)
            self._watch = watch
        self._wake.set()

    def stop(self) -> None:
        """End after the reading under way; does not wait for it."""
        self._stop.set()
        self._wake.set()

    def refresh(self, *, force: bool = False) -> Gathered:
        """Read all sources once, put the result into use and on disk, and log what was not so before."""
        watch, config = self._watch, self.config
        previous = watch.snapshot.parts if watch.snapshot else ()
        gathered = gather(config, previous, now=self._clock(), force=force)
        digest = snapshot.digest_of(gathered.parts)
        origins = [part.origin for part in gathered.parts]
        changed = [part.origin for part in previous] != origins or (
            watch.snapshot is None or watch.snapshot.digest != digest
        )
        parts = gathered.parts
        if watch.snapshot is not None and not changed:
            # The same names: keep the ones that are there and not a second copy, take only the times.
            pairs = zip(watch.snapshot.parts, parts, strict=True)
            parts = tuple(replace(old, read_at=new.read_at) for old, new in pairs)
        taken = snapshot.Snapshot(parts=parts, digest=digest)
        watch.take(taken, gathered.compiled if changed else None)
        try:
            snapshot.save(watch.path, parts)
            watch.wrote()
        except OSError as error:
            gathered = replace(gathered, failures=(*gathered.failures, f"{watch.path}: {error.strerror}"))
        self.failures = gathered.failures
        self._tell(gathered, changed)
        return gathered

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with _undisturbed(self._watch):
                    self._watch.poll()
                    self.refresh()
            except Exception as error:
                self._log.exception("", error)
            self._first.set()
            self._wait()

    def _wait(self) -> None:
        """Until it is time again, somebody wakes us, or the file is another's."""
        due = time.monotonic() + self.config.map.refresh
        while (left := due - time.monotonic()) > 0 and not self._wake.wait(min(left, POLL_S)):
            if self._watch.poll():
                self._log.note(f"{self._watch.path}: written by somebody else, now in use")
        self._wake.clear()

    def _tell(self, gathered: Gathered, changed: bool) -> None:
        """Failures and problems when they are new, not every five minutes; age whenever it is too much."""
        said = (*gathered.failures, *map(str, gathered.problems))
        for text in said:
            if text not in self._said:
                self._log.note(text, level=WARNING)
        if self._said and not said:
            self._log.note("directory: all sources are well again")
        self._said = said
        if changed:
            directory = gathered.compiled.directory
            sizes = ", ".join(f"{len(p.entries)} from {p.origin}" for p in gathered.parts)
            text = f"directory: {len(directory.names)} addresses, {len(directory.logins)} logins ({sizes})"
            self._log.note(text, level=INFO)
        for text in self._stale(gathered):
            self._log.note(text, level=ERROR if self.age_s() > self.config.map.hard_age else WARNING)

    def _stale(self, gathered: Gathered) -> Iterator[str]:
        age = self.age_s()
        if age <= self.config.map.soft_age:
            return
        reason = "; ".join(gathered.failures) or "unknown reason"
        old = "never read in full" if age >= self._clock() else f"{_span(age)} old"
        yield f"directory: {old}: {reason}"
        if age > self.config.map.hard_age:
            yield "directory: older than map.hard_age: what is not in it is now deferred"


class Follower:
    """The directory of this host in a daemon that does not write it: looks every few seconds, in a thread."""

    def __init__(self, config: Config, log: Log, *, clock: Callable[[], float] = time.time) -> None:
        self._log = log
        self._clock = clock
        self._watch = snapshot.Watch(Path(config.map.snapshot), rules_of(config))
        self._said = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)

    @property
    def directory(self) -> Directory:
        """The directory in use; an empty one until there is another."""
        return self._watch.directory or NOTHING

    def age_s(self) -> float:
        """Seconds since the stalest source was read in full; since 1970 if there is nothing at all."""
        return max(0.0, self._clock() - self.directory.verified_at)

    def start(self) -> None:
        """Load the directory and begin to follow it."""
        self._look()
        self._thread.start()

    def reload(self, config: Config) -> None:
        """Go on with another configuration; the directory in use stays until the other can be had."""
        watch = snapshot.Watch(Path(config.map.snapshot), rules_of(config))
        if (watch.path, watch.rules) == (self._watch.path, self._watch.rules):
            return
        if self._watch.snapshot is not None:
            watch.take(self._watch.snapshot)
        self._watch = watch

    def stop(self) -> None:
        """End soon."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(POLL_S):
            self._look()

    def _look(self) -> None:
        try:
            if self._watch.changed():
                with _undisturbed(self._watch):
                    self._watch.poll()
        except Exception as error:
            self._log.exception("", error)
        if self._watch.problem != self._said:
            self._said = self._watch.problem
            self._log.note(f"directory: {self._said or 'well again'}", level=WARNING)


def _span(seconds: float) -> str:
    """A time as a person says it: "40 s", "90 minutes", "3.5 hours"."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"
