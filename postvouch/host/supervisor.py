"""A pre-fork supervisor: a parent that keeps its children in number, in step, and stops them.

One process of many threads is slow in Python, so a milter daemon is a parent that opens the socket and forks
workers that share it. The parent never starts a thread (forking would not be safe), speaks to nobody but
systemd and its children, and so has little to fail at.

Signals. To the parent: HUP checks the configuration and reloads, TERM and INT stop. To a worker: USR1
reloads, TERM (or what its role says) stops.
"""

import os
import select
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from postvouch.host.log import ERROR, WARNING, Log
from postvouch.host.process import SIGNALS, Notifier, die_with_parent

QUICK_DEATH_S = 10.0
MAX_DELAY_S = 30.0
FOLLOW_S = 5.0
"""A reload is over when all children have followed, or after this long."""


class Following:
    """Children tell here that they have followed a reload, and their parent waits for them.

    Made before they are forked: one counter of the kernel's (eventfd(2)), which all of them share.
    """

    def __init__(self) -> None:
        self._counter = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def tell(self) -> None:
        """A child: done."""
        os.eventfd_write(self._counter, 1)

    def forget(self) -> None:
        """The parent, before it asks: who was late the last time does not count now."""
        try:
            os.eventfd_read(self._counter)
        except BlockingIOError:
            return

    def wait(self, many: int, seconds: float) -> int:
        """The parent: wait for so many, and no longer than that or than until TERM; how many are missing."""
        deadline = time.monotonic() + seconds
        while many > 0 and time.monotonic() < deadline:
            if signal.sigpending() & {signal.SIGTERM, signal.SIGINT}:
                break
            if select.select([self._counter], [], [], 0.1)[0]:
                many -= os.eventfd_read(self._counter)
        return max(many, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A kind of child: its name for the log, how many, what it runs (returning its exit status)."""

    name: str
    main: Callable[[int], int]
    """Told which of its kind the child is, from 0."""
    count: int = 1
    reloads: bool = True
    """Whether USR1 means "read the configuration again" to it; it tells ``Following`` when it has."""
    stop: signal.Signals = signal.SIGTERM
    """The signal that ends it."""


@dataclass(slots=True)
class _Place:
    """One seat for a child: who sits there, and when the next may."""

    role: Role
    number: int
    pid: int = 0
    born: float = 0.0
    due: float = 0.0
    failures: int = 0


@dataclass(slots=True, kw_only=True)
class Supervisor:
    """Forks children, keeps their number, reloads them and stops them.

    ``reload`` checks the new configuration, takes it or keeps the old one; whether workers shall follow, as
    they say to ``following``.
    ``died`` hears the pid of a child that ended unasked. ``grace_s`` is how long children may take to stop.
    """

    roles: Sequence[Role]
    log: Log
    notifier: Notifier
    reload: Callable[[], bool]
    following: Following = field(default_factory=Following)
    died: Callable[[int], None] = lambda pid: None
    grace_s: float = 15.0
    _places: list[_Place] = field(default_factory=list)

    def run(self) -> int:
        """Supervise until TERM or INT; the exit status. The caller has called ``block_signals``."""
        self._places = [_Place(role=role, number=n) for role in self.roles for n in range(role.count)]
        self._fill()
        self.notifier.ready()
        while True:
            waiting = [place.due for place in self._places if not place.pid]
            timeout = max(0.0, min(waiting) - time.monotonic()) if waiting else 3600.0
            caught = signal.sigtimedwait(SIGNALS, timeout)
            number = caught.si_signo if caught else 0
            if number in (signal.SIGTERM, signal.SIGINT):
                return self._stop()
            if number == signal.SIGHUP:
                self._reload()
            self._bury()
            self._fill()

    def _fill(self) -> None:
        now = time.monotonic()
        for place in self._places:
            if not place.pid and place.due <= now:
                self._fork(place)

    def _fork(self, place: _Place) -> None:
        parent = os.getpid()
        pid = os.fork()
        if pid:
            place.pid, place.born = pid, time.monotonic()
            return
        status = 70  # EX_SOFTWARE, unless the child says otherwise
        try:
            die_with_parent(parent)
            status = place.role.main(place.number)
        except BaseException as error:
            self.log.exception("", error)
        finally:
            os._exit(status)  # never back into the parent's stack, its atexit handlers or its buffers

    def _bury(self) -> None:
        """Collect the dead; a place whose children die young waits longer each time."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            place = next((place for place in self._places if place.pid == pid), None)
            if place is None:
                continue
            now = time.monotonic()
            place.failures = place.failures + 1 if now - place.born < QUICK_DEATH_S else 0
            delay = min(MAX_DELAY_S, 0.1 * 2**place.failures) if place.failures else 0.0
            place.pid, place.due = 0, now + delay
            self.died(pid)
            self.log.note(
                f"{place.role.name}[{pid}] ended ({_ending(status)}), the next starts in {delay:.1f} s",
                level=ERROR,
            )

    def _reload(self) -> None:
        self.notifier.reloading()
        try:
            follow = self.reload()
        except Exception as error:
            # A fault of ours in a reload is no reason to stop what runs.
            self.log.exception("", error)
            follow = False
        if follow:
            self._lead()
        self.notifier.ready()

    def _lead(self) -> None:
        """Have the children follow. Whoever hears that it is over finds the new configuration in use."""
        self._bury()
        self.following.forget()
        leaving = [place.pid for place in self._places if place.pid and place.role.reloads]
        for pid in leaving:
            os.kill(pid, signal.SIGUSR1)
        late = self.following.wait(len(leaving), FOLLOW_S)
        if late:
            self.log.note(f"{late} of {len(leaving)} workers have not followed yet", level=WARNING)
        self.log.note("reloaded")

    def _stop(self) -> int:
        self.notifier.stopping()
        alive = {place.pid: place for place in self._places if place.pid}
        for pid, place in alive.items():
            os.kill(pid, place.role.stop)  # our child and not yet waited for, so the pid is still its own
        deadline = time.monotonic() + self.grace_s
        while alive and (left := deadline - time.monotonic()) > 0:
            self._collect(alive)
            if alive:
                signal.sigtimedwait({signal.SIGCHLD}, min(left, 1.0))
        if alive:
            names = ", ".join(f"{place.role.name}[{pid}]" for pid, place in alive.items())
            self.log.note(f"killing {names}: not stopped within {self.grace_s:g} s", level=WARNING)
            for pid in alive:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        self.log.note("stopped")
        return 0

    @staticmethod
    def _collect(alive: dict[int, _Place]) -> None:
        for pid in tuple(alive):
            if os.waitpid(pid, os.WNOHANG)[0]:
                del alive[pid]


def _ending(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"killed by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"exit status {os.WEXITSTATUS(status)}"
