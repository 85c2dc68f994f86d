"""The life of a daemon: notices to systemd, signals, sockets in the file system."""

import asyncio
import ctypes
import os
import signal
import socket
import stat
import time
from collections.abc import Callable
from pathlib import Path

import sdnotify  # type: ignore[import-untyped]

SIGNALS = frozenset(
    {signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD}
)
PR_SET_PDEATHSIG = 1


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
