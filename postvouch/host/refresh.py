"""Keep the directory fresh: have the sources read now and then, follow the snapshot file, say what is wrong.

The age of the directory is the age of its stalest source. Reading is done by ``refreshing``, in a process of
its own; who answers only maps the file.
"""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from postvouch.config.schema import Config
from postvouch.directory import snapshot
from postvouch.directory.model import Directory
from postvouch.host import refreshing
from postvouch.host.gather import Report
from postvouch.host.log import ERROR, INFO, WARNING, Log

POLL_S = 2.0
"""How often to look whether somebody else (postvouch directory refresh --force) wrote the snapshot."""


NOTHING = Directory()


class Refresher:
    """Has the snapshot file of this host written (postvouch-map).

    Start it once; ask ``directory`` at any time.
    """

    def __init__(
        self,
        config: Config,
        log: Log,
        *,
        clock: Callable[[], float] = time.time,
        read: refreshing.Read = refreshing.here,
    ) -> None:
        self.config = config
        self.failures: tuple[str, ...] = ()
        self._log = log
        self._clock = clock
        self._read = read
        self._watch = snapshot.Watch(Path(config.map.snapshot))
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
        self._watch = _moved(self._watch, Path(config.map.snapshot))
        self._wake.set()

    def stop(self) -> None:
        """End after the reading under way; does not wait for it."""
        self._stop.set()
        self._wake.set()

    def refresh(self, *, force: bool = False) -> Report:
        """Have all sources read once, take the result into use, and log what was not so before."""
        watch, config, now = self._watch, self.config, self._clock()
        outcome = self._read(config, now, force)
        if outcome.report.unsaved and outcome.directory is None:
            outcome = refreshing.here(config, now, force)
        watch.poll()
        if outcome.report.unsaved and outcome.directory is not None:
            # It cannot be kept for the next start, nor for the other daemons; Postfix is answered by it.
            watch.use(outcome.directory)
        self.failures = outcome.report.failures
        self._tell(outcome.report)
        return outcome.report

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
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

    def _tell(self, report: Report) -> None:
        """Failures and problems when they are new, not every five minutes; age whenever it is too much."""
        said = (*report.failures, *report.problems)
        for text in said:
            if text not in self._said:
                self._log.note(text, level=WARNING)
        if self._said and not said:
            self._log.note("directory: all sources are well again")
        self._said = said
        if report.changed:
            sizes = ", ".join(f"{size} from {origin}" for origin, size in report.sizes)
            text = f"directory: {report.names} addresses, {report.logins} logins ({sizes})"
            self._log.note(text, level=INFO)
        for text in self._stale(report):
            self._log.note(text, level=ERROR if self.age_s() > self.config.map.hard_age else WARNING)

    def _stale(self, report: Report) -> Iterator[str]:
        age = self.age_s()
        if age <= self.config.map.soft_age:
            return
        reason = "; ".join(report.failures) or "unknown reason"
        old = "never read in full" if age >= self._clock() else f"{_span(age)} old"
        yield f"directory: {old}: {reason}"
        if age > self.config.map.hard_age:
            yield "directory: older than map.hard_age: what is not in it is now deferred"


class Follower:
    """The directory of this host in a daemon that does not write it: looks every few seconds, in a thread."""

    def __init__(self, config: Config, log: Log, *, clock: Callable[[], float] = time.time) -> None:
        self._log = log
        self._clock = clock
        self._watch = snapshot.Watch(Path(config.map.snapshot))
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
        self._watch = _moved(self._watch, Path(config.map.snapshot))

    def stop(self) -> None:
        """End soon."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(POLL_S):
            self._look()

    def _look(self) -> None:
        try:
            if self._watch.changed():
                self._watch.poll()
        except Exception as error:
            self._log.exception("", error)
        if self._watch.problem != self._said:
            self._said = self._watch.problem
            self._log.note(f"directory: {self._said or 'well again'}", level=WARNING)


def _moved(watch: snapshot.Watch, path: Path) -> snapshot.Watch:
    """The watch for ``path``; the directory in use stays until another can be had."""
    if path == watch.path:
        return watch
    moved = snapshot.Watch(path)
    if watch.directory is not None:
        moved.use(watch.directory)
    return moved


def _span(seconds: float) -> str:
    """A time as a person says it: "40 s", "90 minutes", "3.5 hours"."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"
