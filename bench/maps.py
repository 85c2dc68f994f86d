"""The maps: ours beside postsrsd, SRS there and back; aliases out of 100000, also while they are read anew.

postsrsd 1.x speaks tcp_table, which knows no way back on one socket: it has a row for the way there only.
"""

import argparse
import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import processes, rounds, servers, table
from bench.load import MAILLOAD, Figures
from bench.servers import CONF, RUN, Broken, Program, Server

KEYS = Path("/etc/bench")
NAMES = 100_000
OURS, POSTSRSD1, POSTSRSD2 = "postvouch-map", "postsrsd1", "postsrsd2"
POSTSRSD1_PORT = 10001
SENDER = "user{rand:1-9999}@far{rand:1-99}.example"

THERE_AND_BACK = (
    "--map",
    "@forward@",
    "--key",
    SENDER,
    "--roundtrip",
    "@reverse@",
    "--expect-prefix",
    "SRS0=",
)
THERE = ("--map", "@forward@", "--key", SENDER, "--expect-prefix", "SRS0=")
ALIAS = ("--map", "forward", "--key", f"person{{rand:0-{NAMES - 1}}}@our.example", "--expect-status", "OK")
MAPS = {
    OURS: {"@forward@": "srs-forward", "@reverse@": "srs-reverse"},
    POSTSRSD2: {"@forward@": "forward", "@reverse@": "reverse"},
}
SRS_AIM, ALIAS_AIM, P99_AIM_MS, REFRESH_AIM_MS = 0.8, 1.0, 5.0, 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of which servers."""

    title: str
    words: tuple[str, ...]
    servers: tuple[str, ...]


QUESTIONS = (
    Question(title="SRS, there and back", words=THERE_AND_BACK, servers=(OURS, POSTSRSD2)),
    Question(title="SRS, there", words=THERE, servers=(OURS, POSTSRSD2, POSTSRSD1)),
    Question(title=f"a name out of {NAMES}", words=ALIAS, servers=(OURS,)),
)


def programs() -> tuple[Program, ...]:
    """Ours first. postsrsd 2.x is of a newer Debian, unpacked beside this one (see ``bench.__main__``)."""
    ours = (sys.executable, "-m", "postvouch.policyd.maps", "--config", str(RUN / "map.toml"))
    older = (
        "postsrsd", "-d", "our.example", "-s", str(KEYS / "srs.secret"), "-l", "127.0.0.1",
        "-f", str(POSTSRSD1_PORT), "-r", str(POSTSRSD1_PORT + 1),
    )  # fmt: skip
    newer = ("/opt/newer/usr/sbin/postsrsd", "-C", f"{CONF}/postsrsd2.conf")
    return (
        Program(name=OURS, command=ours, loses=False),
        Program(name=POSTSRSD2, command=newer, loses=False),
        Program(name=POSTSRSD1, command=older, loses=False, is_up=lambda: servers.connects(POSTSRSD1_PORT)),
    )


def prepare() -> None:
    """The secret that all share, the names, and our snapshot of them. Raises Broken."""
    KEYS.mkdir(mode=0o755, exist_ok=True)
    secret = KEYS / "srs.secret"
    secret.write_text("a secret of the bench, known to all\n")
    secret.chmod(0o640)
    lines = "\n".join(f"  person{n}: person{n}@far{n % 99}.example" for n in range(NAMES))
    (KEYS / "names.yaml").write_text(f"forwards:\n{lines}\n")
    text = (CONF / "map.toml").read_text()
    (RUN / "map.toml").write_text(text.replace("SOCKET", f"unix:{RUN}/{OURS}.sock"))
    servers.refresh(RUN / "map.toml")


def main(given: argparse.Namespace) -> None:
    """Measure and report. Raises Broken."""
    prepare()
    about = rounds.machine("postsrsd")
    texts: list[str] = []
    data: dict[str, object] = {}
    measured: dict[str, list[table.Round]] = {}
    with servers.running(programs()) as up:
        by_name = {server.name: server for server in up}
        for question in QUESTIONS:
            asked = [by_name[name] for name in question.servers]
            measured[question.title] = [_round(question, asked, given, n) for n in range(given.rounds)]
            texts += [
                f"{question.title}, {given.rounds} x {given.seconds:g} s:",
                table.markdown(measured[question.title]),
            ]
            data[question.title] = rounds.plain(measured[question.title])
        texts.append("\n".join(_aims(measured, given.connections)))
        texts.append(_while_read(by_name[OURS], given))
    rounds.write("maps", about, texts, data)


def _round(
    question: Question, asked: Sequence[Server], given: argparse.Namespace, number: int
) -> table.Round:
    print(f"{question.title}, round {number + 1} of {given.rounds}", file=sys.stderr)
    points = {
        (server.name, n): _run(server, question, n, given.seconds)
        for n in given.connections
        for server in rounds.turned(asked, number)
    }
    return {(server.name, n): points[server.name, n] for server in asked for n in given.connections}


def _run(server: Server, question: Question, connections: int, seconds: float) -> Figures:
    """One point. Raises Broken where any answer was not the right one."""
    said = _mailload(server, question.words, connections, seconds)
    return Figures(
        rate=said["per_s"],
        p50=said["lat_ms"]["p50"],
        p99=said["lat_ms"]["p99"],
        cpu=said["server_cpu_s_per_1000"],
        worker=processes.worker_rss(server.process.pid),
        pss=said["server_pss_mib"],
        letters=said["done"],
        wrong=0,
    )


def _mailload(server: Server, words: Sequence[str], connections: int, seconds: float) -> Mapping[str, object]:
    mode, address = "socketmap", server.address
    filled = [MAPS.get(server.name, {}).get(word, word) for word in words]
    if server.name == POSTSRSD1:
        mode, address = "tcpmap", f"inet:127.0.0.1:{POSTSRSD1_PORT}"
        filled = ["--key", SENDER, "--expect-status", "200"]
    command = [
        MAILLOAD, mode, "--addr", address, *filled, "-c", str(connections), "-d", str(seconds),
        "--warmup", "0.5", "--json", "--watch", str(server.process.pid),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        said: Mapping[str, object] = json.loads(done.stdout)
    except ValueError:
        said = {}
    if done.returncode != 0 or not said or said["faults"]:
        raise Broken(f"{server.name}: {done.stdout[-1500:]}{done.stderr[-1500:]}({' '.join(command)})")
    return said


def _aims(measured: Mapping[str, Sequence[table.Round]], connections: Sequence[int]) -> Iterator[str]:
    both, there, name = (measured[question.title] for question in QUESTIONS)
    for n in connections:
        yield f"there and back: {table.faster(both, OURS, POSTSRSD2, n, SRS_AIM)}"
        yield f"there: {table.faster(there, OURS, POSTSRSD1, n, None)}"
        pairs = [each[OURS, n].rate / other[OURS, n].rate for each, other in zip(name, there, strict=True)]
        yield table.said(
            f"lookups/s at {n} connections, names / SRS", sorted(pairs)[len(pairs) // 2], ALIAS_AIM
        )
    for title, points in measured.items():
        worst = max(each[OURS, max(connections)].p99 for each in points)
        yield table.said(f"p99 ms at {max(connections)} connections, {title}", worst, P99_AIM_MS, most=True)


def _while_read(server: Server, given: argparse.Namespace) -> str:
    """The slowest answer of all while the names are read and compiled again and again."""
    with _reading():
        said = _mailload(server, ALIAS, 8, max(10.0, given.seconds))
    slowest = said["lat_ms"]["max"]  # type: ignore[index]
    return table.said(
        f"slowest ms of {said['done']} lookups while {NAMES} names are read anew",
        slowest,
        REFRESH_AIM_MS,
        most=True,
    )


@contextmanager
def _reading() -> Iterator[None]:
    """Read all names again, with one more each time, for as long as this lasts."""
    over = threading.Event()
    wrong: list[Broken] = []

    def again() -> None:
        number = 0
        while not over.wait(0.2):
            number += 1
            with (KEYS / "names.yaml").open("a") as file:
                file.write(f"  more{number}: more{number}@far.example\n")
            try:
                servers.refresh(RUN / "map.toml")
            except Broken as broken:
                wrong.append(broken)
                return

    thread = threading.Thread(target=again)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if wrong:
        raise wrong[0]
