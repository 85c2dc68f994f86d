"""The processes of a milter daemon: a parent that holds the socket, workers that share it, one for /metrics.

A worker's main thread waits for signals while the engine serves in another: USR1 swaps the handler between
two messages, USR2 (and TERM) lets the messages under way finish and then ends the process. An engine is one
of the two doors, with three verbs; libmilter can neither reload nor end in order: neither is left to it.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from postvouch.config.schema import Config
from postvouch.config.sign import Sign
from postvouch.config.verify import Verify
from postvouch.host.daemon import Service
from postvouch.host.log import ERROR, WARNING, Log
from postvouch.host.metrics import Metrics, shared_directory
from postvouch.host.process import Notifier, SocketTaken, block_signals
from postvouch.host.supervisor import Following, Role, Supervisor
from postvouch.milters import gather

STOP = signal.SIGUSR2
"""libmilter waits for TERM too, in a thread of its own that may be the first to get it."""

DRAIN_S = 8.0
TICK_S = 1.0
SOCKET_MODE = 0o660
EX_CANTCREAT = os.EX_CANTCREAT

Make = Callable[[Config, gather.Handler | None], gather.Handler]
"""Makes the handler of a configuration; the one in use so far lets it take over caches."""

Gauges = Mapping[str, tuple[str, Callable[[], float]]]


class Engine(Protocol):
    """What speaks with Postfix."""

    def listen(self, where: str) -> None:
        """Open the listening socket ("unix:/path", "inet:host:port"), in the parent. Raises OSError."""
        ...

    def serve(self) -> None:
        """Answer Postfix, in a thread of its own in a worker, until the end."""
        ...

    def drain(self, seconds: float) -> int:
        """Let the messages under way finish; the number of those that did not within that time."""
        ...


def engine_of(name: str, door: gather.Door) -> Engine:
    """The engine of that name. ImportError says what is missing for it."""
    if name == "native":
        from postvouch.milters import native

        return native.Engine(door)
    from postvouch.milters import session

    return session.Engine(door)


def run(
    service: Service,
    *,
    settings: Callable[[Config], Sign | Verify],
    make: Make,
    check: Callable[[Config], list[str]],
    gauges: Gauges,
) -> int:
    """Run the daemon in the foreground until TERM; the exit status.

    ``settings`` finds the daemon's table. ``make`` builds the handler, in the parent first, so that what is
    wrong shows before a socket opens. ``check`` names what of a new configuration would not work; a reload
    with any such thing is refused.
    """
    block_signals()
    log, own = service.log, settings(service.config)
    shared = shared_directory() if own.metrics else None
    metrics = Metrics(service.program.removeprefix("postvouch-"), directory=shared)
    door = gather.Door(handler=make(service.config, None), log=log, metrics=metrics)
    try:
        engine = engine_of(own.engine, door)
        inode = _listen(own.socket, engine)
    except (OSError, ImportError) as error:
        log.note(f"cannot listen on {own.socket}: {error}", level=ERROR)
        metrics.close()
        return EX_CANTCREAT

    def reload() -> bool:
        done = service.reload(check)
        metrics.config_ok(done)
        if done:
            door.handler = make(service.config, door.handler)  # for workers that are forked from now on
            now = settings(service.config)
            for name in ("socket", "engine", "workers", "metrics"):
                if getattr(now, name) != getattr(own, name):
                    log.note(f"{name} = {getattr(now, name)}: a restart is needed for this", level=WARNING)
        return done

    following = Following()
    work = Role(
        name="worker",
        count=own.workers,
        main=lambda number: _work(number, service, door, engine, make, check, following),
        stop=STOP,
    )
    roles = [work]
    if own.metrics:
        roles.append(
            Role(
                name="metrics",
                main=lambda _: _serve_metrics(service, metrics, own.metrics, gauges),
                reloads=False,
            )
        )
    log.note(
        f"started: {own.socket}, {own.engine}, {own.workers} workers, metrics {own.metrics or 'nowhere'}"
    )
    supervisor = Supervisor(
        roles=roles,
        log=log,
        notifier=Notifier(),
        reload=reload,
        following=following,
        died=metrics.worker_died,
    )
    try:
        return supervisor.run()
    finally:
        _remove(own.socket, inode)  # only the parent comes here: children end inside ``run``
        metrics.close()


def _listen(where: str, engine: Engine) -> int:
    """Open the socket, with its mode; the inode of a unix socket's path, else 0."""
    path = Path(where.removeprefix("unix:")) if where.startswith("unix:") else None
    if path is not None and not path.parent.is_dir():
        raise SocketTaken(f"no directory {path.parent}")
    umask = os.umask(0o777 & ~SOCKET_MODE)
    try:
        engine.listen(where)
    finally:
        os.umask(umask)
    if path is None:
        return 0
    path.chmod(SOCKET_MODE)
    return path.stat().st_ino


def _remove(where: str, inode: int) -> None:
    """Remove our socket at the end, but never that of a daemon that has taken the path over."""
    path = Path(where.removeprefix("unix:"))
    try:
        if inode and path.stat().st_ino == inode:
            path.unlink()
    except OSError:
        return


def _work(
    number: int,
    service: Service,
    door: gather.Door,
    engine: Engine,
    make: Make,
    check: Callable[[Config], list[str]],
    following: Following,
) -> int:
    """A worker: the engine in a thread, or several, signals here."""
    _stay(number, service.log)
    log = service.log
    sys.excepthook = lambda kind, error, trace: log.exception("", error)
    ended = threading.Event()

    def serve() -> None:
        try:
            engine.serve()
        except Exception as error:
            log.exception("", error)
        ended.set()
        signal.pthread_kill(main, STOP)

    def tick() -> None:
        try:
            door.handler.tick()
        except Exception as error:
            log.exception("", error)
            door.metrics.bug()

    def go_on_ticking() -> None:
        while not ended.wait(TICK_S):
            tick()

    # What the parent hands on is as old as the parent: keys that have been withdrawn since, former names.
    tick()
    main = threading.get_ident()
    threading.Thread(target=serve, name="engine", daemon=True).start()
    threading.Thread(target=go_on_ticking, name="tick", daemon=True).start()
    while True:
        caught = signal.sigwait({signal.SIGUSR1, STOP, signal.SIGTERM, signal.SIGINT})
        if ended.is_set():
            return os.EX_SOFTWARE
        if caught == signal.SIGUSR1:
            if service.reload(check):
                # One assignment: messages under way hold the old handler, the next one sees the new.
                door.handler = make(service.config, door.handler)
            following.tell()
        else:
            left = engine.drain(DRAIN_S)
            if left:
                log.note(f"stopping with {left} messages unanswered; Postfix keeps them", level=WARNING)
            return os.EX_OK


def _stay(number: int, log: Log) -> None:
    """Keep this worker on one processor (docs/decisions/0009-one-at-a-time.rst); it works elsewhere, too."""
    processors = sorted(os.sched_getaffinity(0))
    try:
        os.sched_setaffinity(0, {processors[number % len(processors)]})
    except OSError as error:
        log.note(f"workers move between processors, which is slower: {error.strerror}", level=WARNING)


def _serve_metrics(service: Service, metrics: Metrics, where: str, gauges: Gauges) -> int:
    try:
        metrics.serve(where, gauges)
    except (OSError, ValueError) as error:
        service.log.note(f"cannot serve metrics on {where}: {error}", level=ERROR)
        return EX_CANTCREAT
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    return os.EX_OK
