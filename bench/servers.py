"""The servers of a run: unbound, and those whose speed is asked for."""

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import dns.exception
import dns.resolver

RUN = Path("/run/bench")
CONF = Path(__file__).parent / "conf"
ENGINES = ("native", "pymilter")
"""Both doors of ours, each a server of its own."""

START_S = 120
"""rspamd compiles its tables at its very first start; they are kept."""


class Broken(RuntimeError):
    """Something could not be run or did the wrong thing; the text says what, and what it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What is started, and what each letter's answer must hold (``FIELD=TEXT``): to do nothing is no speed.

    ``loses``: it may lose answers under load; up to one in five is counted, not held against the run.
    ``is_up`` where it has no milter's socket.
    """

    name: str
    command: tuple[str, ...]
    expect: tuple[str, ...] = ()
    loses: bool = True
    is_up: Callable[[], bool] | None = None


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs."""

    program: Program
    process: subprocess.Popen[bytes]

    @property
    def name(self) -> str:
        """As the table has it."""
        return self.program.name

    @property
    def address(self) -> str:
        """Where it listens, as mailload and Postfix write it."""
        return f"unix:{RUN}/{self.name}.sock"


def ours(engine: str, daemon: str, expect: Sequence[str]) -> Program:
    """Our daemon with one of its engines."""
    command = (sys.executable, "-m", f"postvouch.milters.{daemon}", "--config", str(config(daemon, engine)))
    return Program(name=f"postvouch-{engine}", command=command, expect=tuple(expect), loses=False)


def config(daemon: str, engine: str) -> Path:
    """Write ``conf/DAEMON.toml`` for that engine; the file."""
    text = (CONF / f"{daemon}.toml").read_text()
    place = RUN / f"{daemon}-{engine}.toml"
    place.write_text(text.replace("ENGINE", engine).replace("SOCKET", f"unix:{RUN}/postvouch-{engine}.sock"))
    return place


def refresh(config: Path) -> None:
    """Read and compile the names of a configuration. Raises Broken."""
    command = [
        sys.executable,
        "-c",
        "from postvouch.cli.main import main; main()",
        "directory",
        "refresh",
        "--config",
        str(config),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Broken(f"directory refresh: {done.stdout[-1000:]}{done.stderr[-1000:]}")


def rspamd(conf: str, expect: Sequence[str]) -> Program:
    """rspamd with one of our configurations of it."""
    command = ("rspamd", "-f", "-i", "-u", "_rspamd", "-g", "_rspamd", "-c", f"{CONF}/{conf}")
    return Program(name="rspamd", command=command, expect=tuple(expect))


def unbound(known: str) -> Program:
    """The resolver; it is up when it knows an MX of that name."""

    def resolves() -> bool:
        asking = dns.resolver.Resolver(configure=False)
        asking.nameservers = ["127.0.0.1"]
        try:
            asking.resolve(f"{known}.", "MX", lifetime=0.5)
        except (dns.exception.DNSException, OSError):
            return False
        return True

    return Program(name="unbound", command=("unbound", "-d", "-c", f"{CONF}/unbound.conf"), is_up=resolves)


@contextlib.contextmanager
def running(programs: Sequence[Program], *, group: str | None = None) -> Iterator[list[Server]]:
    """Start them one after the other, each when the one before answers. Raises Broken where one does not.

    ``group``: that of their processes, and so of their sockets.
    """
    up: list[Server] = []
    try:
        for program in programs:
            up.append(_start(program, group))
        yield up
    finally:
        for server in reversed(up):
            _stop(server.process)


def _start(program: Program, group: str | None) -> Server:
    log = RUN / f"{program.name}.out"
    with log.open("wb") as out:
        process = subprocess.Popen(
            program.command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=RUN, group=group
        )
    deadline = time.monotonic() + START_S
    while not (program.is_up() if program.is_up else _listens(program.name)):
        if process.poll() is not None or time.monotonic() > deadline:
            _stop(process)
            said = log.read_text(errors="replace")[-3000:]
            raise Broken(f"{program.name} does not start: exit {process.poll()}\n{said}")
        time.sleep(0.1)
    return Server(program, process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(START_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def connects(port: int) -> bool:
    """Whether somebody listens there on the loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _listens(name: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(f"{RUN}/{name}.sock") == 0
