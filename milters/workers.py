"""The processes of a milter daemon: a parent that holds the socket, workers that share it, one for /metrics.

libmilter cannot reload and cuts sessions when it stops, so neither is left to it. A worker's main thread
waits for signals while libmilter serves in another: USR1 swaps the handler between two messages, USR2 (and
TERM) lets the messages under way finish and then ends the process, and with it what libmilter waits for.
"""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from postvouch.config.schema import Config
from postvouch.host.daemon import Service
from postvouch.host.log import ERROR, WARNING, Log
from postvouch.host.metrics import Metrics, shared_directory
from postvouch.host.process import Notifier, Role, SocketTaken, Supervisor, block_signals, clear_socket_path
from postvouch.milters import gather, session

STOP = signal.SIGUSR2
"""libmilter waits for TERM too, in a thread of its own that may be the first to get it."""

DRAIN_S = 8.0
TICK_S = 1.0
SOCKET_MODE = 0o660
EX_CANTCREAT = os.EX_CANTCREAT

Make = Callable[[Config, gather.Handler | None], gather.Handler]
"""Makes the handler of a configuration; the one in use so far lets it take over caches."""

Gauges = Mapping[str, tuple[str, Callable[[], float]]]


def libmilter_name(where: str) -> str:
    """Turn "unix:/path", "inet:host:port", "inet:[v6]:port" into what smfi_setconn(3) reads."""
    kind, _, rest = where.partition(":")
    if kind == "unix":
        return where
    host, _, port = rest.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    return f"{'inet6' if ':' in host else 'inet'}:{port}@{host}"


def run(
    service: Service,
    *,
    where: str,
    workers: int,
    metrics_at: str,
    make: Make,
    check: Callable[[Config], list[str]],
    gauges: Gauges,
) -> int:
    """Run the daemon in the foreground until TERM; the exit status.

    ``make`` builds the handler, in the parent first, so that what is wrong shows before a socket opens.
    ``check`` names what of a new configuration would not work; a reload with any such thing is refused.
    """
    block_signals()
    log = service.log
    shared = shared_directory() if metrics_at else None
    metrics = Metrics(service.program.removeprefix("postvouch-"), directory=shared)
    door = gather.Door(handler=make(service.config, None), log=log, metrics=metrics)
    try:
        inode = _listen(where, door)
    except OSError as error:
        log.note(f"cannot listen on {where}: {error}", level=ERROR)
        metrics.close()
        return EX_CANTCREAT

    def reload() -> bool:
        done = service.reload(check)
        metrics.config_ok(done)
        if done:
            door.handler = make(service.config, door.handler)  # for workers that are forked from now on
            log.note("reloaded")
        return done

    work = Role(
        name="worker", count=workers, main=lambda number: _work(number, service, door, make, check), stop=STOP
    )
    roles = [work]
    if metrics_at:
        roles.append(
            Role(
                name="metrics",
                main=lambda _: _serve_metrics(service, metrics, metrics_at, gauges),
                reloads=False,
            )
        )
    log.note(f"started: {where}, {workers} workers, metrics {metrics_at or 'nowhere'}")
    supervisor = Supervisor(
        roles=roles, log=log, notifier=Notifier(), reload=reload, died=metrics.worker_died
    )
    try:
        return supervisor.run()
    finally:
        _remove(where, inode)  # only the parent comes here: children end inside ``run``
        metrics.close()


def _listen(where: str, door: gather.Door) -> int:
    """Open the socket, with its mode and fit to be shared; the inode of a unix socket's path, else 0."""
    path = Path(where.removeprefix("unix:")) if where.startswith("unix:") else None
    if path is not None:
        clear_socket_path(path)
        if not path.parent.is_dir():
            raise SocketTaken(f"no directory {path.parent}")
    before = _listening()
    umask = os.umask(0o777 & ~SOCKET_MODE)
    try:
        session.listen(libmilter_name(where), door)
    finally:
        os.umask(umask)
    for descriptor in _listening() - before:
        # Several workers poll one socket: the loser of a race must not hang in accept(2).
        os.set_blocking(descriptor, False)
        if path is None:
            with socket.socket(fileno=os.dup(descriptor)) as listener:
                # Accepted sockets inherit it; libmilter's small writes would wait 40 ms for Nagle.
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if path is None:
        return 0
    path.chmod(SOCKET_MODE)
    return path.stat().st_ino


def _listening() -> set[int]:
    """The descriptors of this process that listen; pymilter does not tell which is its own."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            with socket.socket(fileno=os.dup(int(name))) as candidate:
                if candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    found.add(int(name))
        except OSError:
            continue  # no socket, or the descriptor that listed them
    return found


def _remove(where: str, inode: int) -> None:
    """Remove our socket at the end, but never that of a daemon that has taken the path over."""
    path = Path(where.removeprefix("unix:"))
    try:
        if inode and path.stat().st_ino == inode:
            path.unlink()
    except OSError:
        return


def _work(
    number: int, service: Service, door: gather.Door, make: Make, check: Callable[[Config], list[str]]
) -> int:
    """A worker: libmilter in its threads, signals here."""
    _stay(number, service.log)
    log = service.log
    sys.excepthook = lambda kind, error, trace: log.exception("", error)
    ended = threading.Event()

    def engine() -> None:
        try:
            session.serve()
        except Exception as error:
            log.exception("", error)
        ended.set()
        signal.pthread_kill(main, STOP)

    def tick() -> None:
        while not ended.wait(TICK_S):
            try:
                door.handler.tick()
            except Exception as error:
                log.exception("", error)
                door.metrics.bug()

    main = threading.get_ident()
    threading.Thread(target=engine, name="libmilter", daemon=True).start()
    threading.Thread(target=tick, name="tick", daemon=True).start()
    while True:
        caught = signal.sigwait({signal.SIGUSR1, STOP, signal.SIGTERM, signal.SIGINT})
        if ended.is_set():
            return os.EX_SOFTWARE
        if caught == signal.SIGUSR1:
            if service.reload(check):
                # One assignment: messages under way hold the old handler, the next one sees the new.
                door.handler = make(service.config, door.handler)
        else:
            _drain(service, door)
            return os.EX_OK


def _stay(number: int, log: Log) -> None:
    """Keep this worker on one processor (docs/decisions/0009-one-at-a-time.rst); it works elsewhere, too."""
    processors = sorted(os.sched_getaffinity(0))
    try:
        os.sched_setaffinity(0, {processors[number % len(processors)]})
    except OSError as error:
        log.note(f"workers move between processors, which is slower: {error.strerror}", level=WARNING)


def _drain(service: Service, door: gather.Door) -> None:
    """Wait for the messages under way now; those that begin later are cut, and Postfix keeps them."""
    waiting = set(door.under_way)
    deadline = time.monotonic() + DRAIN_S
    while waiting and time.monotonic() < deadline:
        time.sleep(0.02)
        waiting &= set(door.under_way)
    time.sleep(0.05)  # libmilter writes the answer after our callback has returned
    if waiting:
        service.log.note(
            f"stopping with {len(waiting)} messages unanswered; Postfix keeps them", level=WARNING
        )


def _serve_metrics(service: Service, metrics: Metrics, where: str, gauges: Gauges) -> int:
    try:
        metrics.serve(where, gauges)
    except (OSError, ValueError) as error:
        service.log.note(f"cannot serve metrics on {where}: {error}", level=ERROR)
        return EX_CANTCREAT
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    return os.EX_OK
