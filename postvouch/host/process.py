"""The life of a daemon: notices to systemd, signals, sockets in the file system, and a pre-fork supervisor.

One process of many threads is slow in Python, so a milter daemon is a parent that opens the socket and forks
workers that share it. The parent never starts a thread (forking would not be safe), speaks to nobody but
systemd and its children, and so has little to fail at. Asyncio daemons use ``Notifier``, ``on_signals``.

Signals. To the parent: HUP checks the configuration and reloads, TERM and INT stop. To a worker: USR1
reloads, TERM (or what its role says) stops.
"""

import asyncio
import ctypes
import os
import signal
import socket
import stat
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import sdnotify  # type: ignore[import-untyped]

from postvouch.host.log import ERROR, WARNING, Log

SIGNALS = frozenset(
    {signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD}
)
PR_SET_PDEATHSIG = 1
QUICK_DEATH_S = 10.0
MAX_DELAY_S = 30.0


class SocketTaken(OSError):
    """The path of a socket is somebody else's: a file that is no socket, or a socket that answers."""


class Notifier:
    """Tells systemd how we are (sd_notify(3)); says nothing where no systemd listens."""

    def __init__(self) -> None:
        # Without NOTIFY_SOCKET the library would leave an unclosed socket behind.
        self._systemd = sdnotify.SystemdNotifier() if os.environ.get("NOTIFY_SOCKET") else None

    def ready(self, status: str = "") -> None:
        """Started, or reloaded."""
        self._send("READY=1" + (f"\nSTATUS={status}" if status else ""))

    def reloading(self) -> None:
        """A reload begins; ``ready`` ends it (Type=notify-reload wants the clock)."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send(f"RELOADING=1\nMONOTONIC_USEC={now}")

    def stopping(self) -> None:
        """The stop begins."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """One sentence for ``systemctl status``."""
        self._send(f"STATUS={text}")

    def _send(self, state: str) -> None:
        if self._systemd is not None:
            self._systemd.notify(state.encode("latin-1", "replace").decode("latin-1"))


def on_signals(
    loop: asyncio.AbstractEventLoop, *, reload: Callable[[], None], stop: Callable[[], None]
) -> None:
    """For an asyncio daemon: HUP calls ``reload``, TERM and INT call ``stop``, both inside the loop."""
    loop.add_signal_handler(signal.SIGHUP, reload)
    loop.add_signal_handler(signal.SIGTERM, stop)
    loop.add_signal_handler(signal.SIGINT, stop)


def block_signals() -> None:
    """Block SIGNALS in this thread and all that it starts, so that only a ``sigwait`` ever sees one.

    Must come before the first thread: libmilter's own threads would take HUP and TERM for themselves.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def clear_socket_path(path: Path) -> None:
    """Remove the unix socket of a daemon that was killed, so that ``path`` can be bound.

    Only a socket that nobody answers is removed; anything else is SocketTaken.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise SocketTaken(f"{path} exists and is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(2.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except FileNotFoundError:
            return
        except OSError as error:
            raise SocketTaken(f"{path} cannot be tried: {error}") from error
    raise SocketTaken(f"another daemon answers on {path}")


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent dies, so that kill -9 leaves no orphans.

    ``parent`` is the pid that forked us; if it is gone already, we go too.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A kind of child: its name for the log, how many, what it runs (returning its exit status)."""

    name: str
    main: Callable[[int], int]
    """Told which of its kind the child is, from 0."""
    count: int = 1
    reloads: bool = True
    """Whether USR1 means "read the configuration again" to it."""
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

    ``reload`` checks the new configuration, takes it or keeps the old one; whether workers shall follow.
    ``died`` hears the pid of a child that ended unasked. ``grace_s`` is how long children may take to stop.
    """

    roles: Sequence[Role]
    log: Log
    notifier: Notifier
    reload: Callable[[], bool]
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
            for place in self._places:
                if place.pid and place.role.reloads:
                    os.kill(place.pid, signal.SIGUSR1)
        self.notifier.ready()

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
