"""The servers of a run: unbound, and the milters whose speed is asked for."""

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dns.exception
import dns.resolver

from bench.letters import DOMAINS

RUN = Path("/run/bench")
CONF = Path(__file__).parent / "conf"
CHAIN = ("opendkim", "pyspf-milter", "opendmarc")
OURS, RSPAMD = "postvouch", "rspamd"
MILTERS = (OURS, RSPAMD, *CHAIN)
START_S = 120
"""rspamd compiles its tables at its very first start; they are kept."""

COMMANDS = {
    "unbound": ("unbound", "-d", "-c", f"{CONF}/unbound.conf"),
    OURS: (sys.executable, "-m", "postvouch.milters.verify", "--config", f"{CONF}/postvouch.toml"),
    RSPAMD: ("rspamd", "-f", "-i", "-u", "_rspamd", "-g", "_rspamd", "-c", f"{CONF}/rspamd.conf"),
    "opendkim": ("opendkim", "-f", "-x", f"{CONF}/opendkim.conf"),
    "pyspf-milter": ("pyspf-milter", f"{CONF}/pyspf-milter.conf"),
    "opendmarc": ("opendmarc", "-f", "-c", f"{CONF}/opendmarc.conf"),
}


class Broken(RuntimeError):
    """Something could not be run or did the wrong thing; the text says what, and what it said."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs."""

    name: str
    process: subprocess.Popen[bytes]

    @property
    def address(self) -> str:
        """Where it listens, as mailload writes it."""
        return f"unix:{RUN}/{self.name}.sock"


@contextlib.contextmanager
def running(*names: str) -> Iterator[list[Server]]:
    """Start them one after the other, each when the one before answers. Raises Broken where one does not."""
    up: list[Server] = []
    try:
        for name in names:
            up.append(_start(name))
        yield up
    finally:
        for server in reversed(up):
            _stop(server.process)


def _start(name: str) -> Server:
    log = RUN / f"{name}.out"
    with log.open("wb") as out:
        process = subprocess.Popen(COMMANDS[name], stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=RUN)
    deadline = time.monotonic() + START_S
    while not (_resolves() if name == "unbound" else _listens(name)):
        if process.poll() is not None or time.monotonic() > deadline:
            _stop(process)
            raise Broken(f"{name} does not start:\n{log.read_text(errors='replace')[-3000:]}")
        time.sleep(0.1)
    return Server(name, process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(START_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _resolves() -> bool:
    asking = dns.resolver.Resolver(configure=False)
    asking.nameservers = ["127.0.0.1"]
    try:
        asking.resolve(f"{DOMAINS[-1]}.", "MX", lifetime=0.5)
    except (dns.exception.DNSException, OSError):
        return False
    return True


def _listens(name: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(f"{RUN}/{name}.sock") == 0
