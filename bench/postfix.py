"""A real Postfix: smtp-source, Postfix, smtp-sink on the loopback; with no milter, OpenDKIM, ours.

One Postfix, an smtpd for each milter on a port of its own. Each letter has to arrive, signed where there is a
signer. Queues are in memory: what a disk does is not asked for.
"""

import argparse
import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from bench import letters, processes, rounds, servers, sign, table
from bench.letters import AUTHOR, OURS
from bench.servers import CONF, ENGINES, RUN, Broken, Server

SESSIONS = 8
SINK_PORT = 2600
FIRST_PORT = 2501
NONE = "no milter"
SINK = RUN / "sink"
MAIL_LOG = Path("/var/log/mail.log")
WAIT_S = 120
WARM_UP = 50
"""Letters: Postfix's processes start when they are needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Letters a second, and seconds of CPU of the milter for 1000 of them."""

    rate: float
    cpu: float


Round = Mapping[str, Figures]


def main(given: argparse.Namespace) -> None:
    """Measure and report. Raises Broken."""
    size = (given.sizes or ["2k"])[0]
    letters.write_ours(RUN / "letters", [size])
    # smtp-source wants the lines of this system.
    letter = RUN / "letter.txt"
    letter.write_bytes((RUN / "letters" / size / "0.eml").read_bytes().replace(b"\r\n", b"\n"))
    (RUN / "zone.conf").write_text(f"local-data: '{OURS} 3600 MX 10 mx.{OURS}'\n")
    sign.prepare()
    programs = (*(servers.ours(engine, "sign", ()) for engine in ENGINES), sign.opendkim())
    about = rounds.machine("postfix", "opendkim")
    measured: list[Round] = []
    with (
        servers.running([servers.unbound(OURS)]),
        # smtpd is another user than they.
        servers.running(programs, group="postfix") as signers,
        _sink(),
        _postfix(signers) as ports,
    ):
        for milter in (None, *signers):
            _send(milter, ports, letter, WARM_UP)
        for number in range(given.rounds):
            print(f"round {number + 1} of {given.rounds}", file=sys.stderr)
            one = {
                _name(milter): _send(milter, ports, letter, given.letters)
                for milter in rounds.turned((None, *signers), number)
            }
            measured.append({_name(milter): one[_name(milter)] for milter in (None, *signers)})
    texts = [
        f"smtp-source, Postfix, smtp-sink; letters of {size}, {SESSIONS} sessions, "
        f"{given.rounds} x {given.letters} letters; all arrived, all signed where there is a signer:",
        _markdown(measured),
        "\n".join(_aims(measured)),
    ]
    data = [{name: asdict(figures) for name, figures in each.items()} for each in measured]
    rounds.write("postfix", about, texts, {"rounds": data})


def _name(milter: Server | None) -> str:
    return milter.name if milter else NONE


@contextlib.contextmanager
def _sink() -> Iterator[None]:
    """smtp-sink, which writes each letter to a file of its own."""
    SINK.mkdir(mode=0o777)
    command = ["smtp-sink", "-u", "root", "-d", f"{SINK}/%s.", f"127.0.0.1:{SINK_PORT}", "512"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        _wait(SINK_PORT)
        yield
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def _postfix(signers: Sequence[Server]) -> Iterator[dict[str, int]]:
    """A Postfix that relays all to the sink; its port for each milter."""
    ports = {NONE: FIRST_PORT}
    services = [f"{FIRST_PORT} inet n - n - - smtpd"]
    for port, server in enumerate(signers, FIRST_PORT + 1):
        ports[server.name] = port
        services += [f"{port} inet n - n - - smtpd", f"    -o smtpd_milters={server.address}"]
    etc = Path("/etc/postfix")
    (etc / "main.cf").write_text((CONF / "main.cf").read_text())
    (etc / "master.cf").write_text((CONF / "master.cf").read_text() + "\n".join(services) + "\n")
    _run("postfix", "start")
    try:
        for port in ports.values():
            _wait(port)
        yield ports
    finally:
        _run("postfix", "stop")


def _send(milter: Server | None, ports: Mapping[str, int], letter: Path, number: int) -> Figures:
    """Send so many letters and wait for the last. Raises Broken unless each has arrived as it should."""
    used = processes.cpu_s(milter.process.pid) if milter else 0.0
    began = time.monotonic()
    _run(
        "smtp-source", "-s", str(SESSIONS), "-m", str(number), "-f", AUTHOR, "-t", "bob@there.example",
        "-F", str(letter), f"127.0.0.1:{ports[_name(milter)]}",
    )  # fmt: skip
    while (there := sum(1 for _ in SINK.iterdir())) < number:
        if time.monotonic() - began > WAIT_S:
            raise Broken(f"{_name(milter)}: {there} of {number} arrived:\n{MAIL_LOG.read_text()[-2000:]}")
        time.sleep(0.02)
    seconds = time.monotonic() - began
    while _run("postqueue", "-j"):
        time.sleep(0.1)
    used = processes.cpu_s(milter.process.pid) - used if milter else 0.0
    bodies = letter.read_bytes().partition(b"\n\n")[2].replace(b"\n", b"").strip()
    wanted = 1 if milter else 0
    arrived = list(SINK.iterdir())
    for place in arrived:
        header, _, body = place.read_bytes().replace(b"\r\n", b"\n").partition(b"\n\n")
        signatures = header.count(b"\nDKIM-Signature:")
        if signatures != wanted or body.replace(b"\n", b"").strip() != bodies:
            raise Broken(f"{_name(milter)}: {signatures} signatures, {len(body)} octets:\n{header!r}")
        place.unlink()
    if len(arrived) != number:
        raise Broken(f"{_name(milter)}: {len(arrived)} arrived of {number}")
    return Figures(rate=number / seconds, cpu=used / number * 1000)


def _run(*command: str) -> str:
    """What a command of Postfix says; Broken where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        log = MAIL_LOG.read_text()[-2000:] if MAIL_LOG.exists() else ""
        raise Broken(f"{' '.join(command)}: {done.stdout}{done.stderr}{log}")
    return done.stdout


def _wait(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise Broken(f"nobody listens on {port}")


def _markdown(measured: Sequence[Round]) -> str:
    lines = ["| milter | letters/s | milter's CPU s/1000 |", "|---|---|---|"]
    for name in measured[0]:
        rates = table.spread([each[name].rate for each in measured])
        lines.append(f"| {name} | {rates} | {median(each[name].cpu for each in measured):.2f} |")
    return "\n".join(lines)


def _aims(measured: Sequence[Round]) -> list[str]:
    def against(one: str, other: str) -> float:
        return median(each[one].rate / each[other].rate for each in measured)

    ours = [f"postvouch-{engine}" for engine in ENGINES]
    return [
        *(table.said(f"letters/s, {name} / opendkim", against(name, "opendkim"), 1) for name in ours),
        *(table.said(f"letters/s, {name} / {NONE}", against(name, NONE), None) for name in ours),
    ]
