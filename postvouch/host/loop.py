"""The life of one asyncio daemon: start, say so to systemd, reload, stop without losing an answer."""

import asyncio
import contextlib
import resource
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from postvouch.config.schema import Config
from postvouch.host.daemon import Service
from postvouch.host.log import ERROR, WARNING
from postvouch.host.metrics import Metrics
from postvouch.host.process import Notifier, on_signals
from postvouch.host.server import Handler, Server

EX_OSERR = 71
SWITCH_S = 0.0005
"""How long a thread of the background may hold the interpreter while the loop waits; the default is 5 ms."""


def _no_problems(config: Config) -> list[str]:
    return []


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What is particular to one daemon.

    ``address`` and ``metrics_address`` of a configuration. ``start`` runs before the socket is opened;
    ``is_ready`` is polled after it, for at most ``ready_s`` seconds, before systemd is told. ``check`` finds
    further problems of a new configuration, ``reloaded`` takes it. ``stop`` runs at the end.
    """

    service: Service
    handler: Handler
    metrics: Metrics
    address: Callable[[Config], str]
    metrics_address: Callable[[Config], str]
    gauges: Mapping[str, tuple[str, Callable[[], float]]] = field(default_factory=dict)
    start: Callable[[], None] = lambda: None
    is_ready: Callable[[], bool] = lambda: True
    ready_s: float = 20.0
    check: Callable[[Config], list[str]] = _no_problems
    reloaded: Callable[[], None] = lambda: None
    stop: Callable[[], None] = lambda: None


def run(program: Program) -> int:
    """Run until TERM; the exit status. uvloop where the host has it."""
    raise_file_limit()
    sys.setswitchinterval(SWITCH_S)
    with asyncio.Runner(loop_factory=factory()) as runner:
        return runner.run(_life(program))


def factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes the event loop: uvloop where the host has it; None is asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    make: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return make


async def _life(program: Program) -> int:
    service, notifier = program.service, Notifier()
    log = service.log
    server = Server(program.handler, log, bug=program.metrics.bug)
    stop = asyncio.Event()
    on_signals(asyncio.get_running_loop(), reload=lambda: _reload(program, notifier), stop=stop.set)
    program.start()
    try:
        await server.start(program.address(service.config))
    except OSError as error:
        log.note(f"cannot listen on {program.address(service.config)}: {error}", level=ERROR)
        program.stop()
        return EX_OSERR
    _serve_metrics(program, server)
    deadline = time.monotonic() + program.ready_s
    while not program.is_ready() and not stop.is_set() and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    if not stop.is_set():
        notifier.ready()
        log.note(
            f"ready on {program.address(service.config)}, role {service.config.general.role or '(none)'}"
        )
    await stop.wait()
    notifier.stopping()
    await server.stop()
    program.stop()
    log.note("stopped")
    return 0


def _serve_metrics(program: Program, server: Server) -> None:
    """Numbers are no reason for mail to wait: without the port, the daemon runs all the same."""
    address = program.metrics_address(program.service.config)
    gauges = {
        **program.gauges,
        "postvouch_connections": ("Clients connected.", lambda: float(server.connections)),
    }
    if not address:
        return
    try:
        program.metrics.serve(address, gauges)
    except (OSError, ValueError) as error:
        program.service.log.note(f"no /metrics on {address}: {error}", level=ERROR)


def _reload(program: Program, notifier: Notifier) -> None:
    service = program.service
    notifier.reloading()
    before = service.config
    done = service.reload(program.check)
    program.metrics.config_ok(done)
    if done:
        program.reloaded()
        for of in (program.address, program.metrics_address):
            if of(before) != of(service.config):
                service.log.note(f"{of(service.config)}: a restart is needed for this address", level=WARNING)
        service.log.note("reloaded")
    notifier.ready()


def raise_file_limit() -> None:
    """Several hundred Postfix processes hold a connection each; the soft limit is often 1024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
