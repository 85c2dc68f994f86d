"""The engine alone: one letter after the other in this process, as a session of the daemon sees it.

No milter protocol: libmilter's callbacks are called from here. DNS is that of the daemon, its cache warm. A
stage includes the stages that it calls, and that the clock is read twice for it.
"""

import cProfile
import importlib
import os
import pstats
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.letters import CLIENT, HELO
from bench.servers import config as config_file
from postvouch.cli.letter import read_letter
from postvouch.config.load import load
from postvouch.host.log import Log
from postvouch.host.metrics import Metrics
from postvouch.milters import session, verify
from postvouch.milters.gather import Door
from postvouch.values.message import Client, Envelope, Message

SECONDS = 3.0
STAGES = (
    "milters.session.Session.end", "milters.gather.Gathering.judge", "milters.verify.Verifier.handle",
    "auth.evaluate.evaluate", "auth.spf.check_helo", "auth.spf.check_mail_from", "auth.dkim.verify",
    "auth.arc.verify", "auth.iprev.check", "auth.ahead.ask", "auth.dmarc.evaluate", "auth.listid.list_id",
    "auth.decide.decide", "auth.header.format_field", "auth.header.removals",
    "host.dns.MessageResolver.lookup", "host.log.Log.line", "host.metrics.Metrics.message",
    "host.metrics.Metrics.results",
)  # fmt: skip
"""Reached through module or class; what is not there is left out. Seconds of the processor, noise or not."""


class _Postfix:
    """What a session knows of libmilter: macros to ask for, edits to give."""

    def getsymval(self, name: str) -> str | None:
        return "4XyZ1k2" if name == "i" else None

    def addheader(self, name: str, value: str, at: int) -> None:
        """Nowhere to put it."""


def report(folder: Path, *, profile: bool) -> None:
    """Print letters a second, microseconds a stage, for the letters of a folder."""
    messages = [(path.stem, _message(path)) for path in sorted(folder.glob("*.eml"))]
    config = load(config_file("verify", "pymilter"))
    with tempfile.TemporaryDirectory() as shared:
        log = Log(program="bench", descriptor=os.open(os.devnull, os.O_WRONLY))
        verifier = verify.Verifier(config, log, verify.resolver_of(config))
        metrics = Metrics("verify", directory=Path(shared))
        door = Door(handler=verifier, log=log, metrics=metrics)

        def each() -> None:
            for domain, message in messages:
                _deliver(door, domain, message)

        each()
        whole = _seconds(each) / len(messages)
        print(f"{folder.name}: {1 / whole:.0f} letters/s, {whole * 1e6:.0f} us a letter, without libmilter")
        spent = dict.fromkeys(STAGES, 0.0)
        undo = [_timed(stage, spent) for stage in STAGES]
        rounds = 50
        for _ in range(rounds):
            each()
        for put_back in undo:
            put_back()
        for stage, seconds in spent.items():
            if seconds:
                print(f"  {stage:36} {seconds / rounds / len(messages) * 1e6:7.1f} us")
        if profile:
            profiler = cProfile.Profile()
            for _ in range(10):
                profiler.runcall(each)
            for order in ("tottime", "cumulative"):
                pstats.Stats(profiler).strip_dirs().sort_stats(order).print_stats(50)


def _message(path: Path) -> Message:
    return read_letter(path.read_bytes(), client=Client(), envelope=Envelope()).message


def _deliver(door: Door, domain: str, message: Message) -> None:
    """One connection, one letter."""
    one = session.Session(_Postfix(), door, session.PROTOCOL)
    one.connect(HELO, socket.AF_INET, (CLIENT, 40000))
    one.helo(HELO)
    one.mail(b"<bounce@%s>" % domain.encode())
    one.rcpt(b"<bob@our.example>")
    one.data()
    for field in message.fields:
        one.header(field.name.decode(), field.value.replace(b"\r\n", b"\n"))
    for chunk in message.body:
        one.body(chunk)
    one.end()
    one.abort()


def _seconds(work: Callable[[], None]) -> float:
    """Seconds of the processor that it takes."""
    times, began = 0, time.process_time()
    while time.process_time() - began < SECONDS:
        work()
        times += 1
    return (time.process_time() - began) / times


def _timed(stage: str, spent: dict[str, float]) -> Callable[[], None]:
    """Have a stage's time added up; what puts it back as it was."""
    room, module_name, *names = stage.split(".")
    try:
        holder: Any = importlib.import_module(f"postvouch.{room}.{module_name}")
        for name in names[:-1]:
            holder = getattr(holder, name)
        work = getattr(holder, names[-1])
    except (ImportError, AttributeError):
        return lambda: None

    def timed(*args: Any, **kwargs: Any) -> Any:
        began = time.thread_time()
        try:
            return work(*args, **kwargs)
        finally:
            spent[stage] += time.thread_time() - began

    setattr(holder, names[-1], timed)
    return lambda: setattr(holder, names[-1], work)
