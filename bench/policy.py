"""The policy service: ours with its file and with redis, beside policyd-rate-limit and postgrey.

At the end, whether a limit holds while two daemons with one redis are asked by 64 clients each.

Each is asked in the state in which it decides: ours at DATA, whose rules look at the login's rights as well;
the others at RCPT.
"""

import argparse
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import redis

from bench import processes, rounds, servers, table
from bench.load import MAILLOAD, Figures
from bench.servers import CONF, RUN, Broken, Program, Server
from postvouch.host.counters import Charge, LocalCounter
from postvouch.host.countersfile import CountersFile
from postvouch.host.log import to_stderr

FILE, REDIS, SECOND = "postvouch-file", "postvouch-redis", "postvouch-redis2"
RATE_LIMIT, POSTGREY = "policyd-rate-limit", "postgrey"
REDIS_PORT, POSTGREY_PORT = 6379, 10023
LOGINS, DAILY, DAY_S = 500, 200, 86400
FILE_AIM, REDIS_AIM, REDIS_HOPE, P99_AIM_MS = 20.0, 8.0, 20.0, 10.0
EXACT, CLIENTS = 1000, 64
EXACTLY = "exact"
"""A login with a limit of its own."""
DISK = Path("/var/lib/bench")
"""Where all that count in a file have it: /run is no disk."""
OTHERS = Path("/run/bench/requests-rcpt")
OURS = Path("/run/bench/requests-data")


def programs() -> tuple[Program, ...]:
    """redis first, which two of ours need; of the peers, postgrey has no socket that everybody may use."""
    shared = (
        "redis-server", "--port", str(REDIS_PORT), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
    )  # fmt: skip
    postgrey = (
        "postgrey", f"--inet=127.0.0.1:{POSTGREY_PORT}", f"--dbdir={DISK}/postgrey", "--delay=1",
        "--user=nobody", "--group=nogroup", "--auto-whitelist-clients=1000000",
    )  # fmt: skip
    return (
        Program(name="redis", command=shared, is_up=lambda: servers.connects(REDIS_PORT)),
        *(Program(name=name, command=_ours(name), loses=False) for name in (FILE, REDIS, SECOND)),
        Program(name=RATE_LIMIT, command=("policyd-rate-limit", "-f", str(RUN / "rate-limit.yaml"))),
        Program(name=POSTGREY, command=postgrey, is_up=lambda: servers.connects(POSTGREY_PORT)),
    )


def _logins() -> list[str]:
    return [*(f"user{n}" for n in range(LOGINS)), EXACTLY]


def _ours(name: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "postvouch.policyd.submission", "--config", str(RUN / f"{name}.toml"))


def prepare() -> None:
    """Names, configurations, requests. Raises Broken."""
    logins = "\n".join(f"  {login}: [{login}]" for login in _logins())
    (RUN / "logins.yaml").write_text(f"logins:\n{logins}\n")
    DISK.mkdir(exist_ok=True)
    for name in (FILE, REDIS, SECOND):
        text = (CONF / "policy.toml").read_text()
        text = text.replace("SOCKET", f"unix:{RUN}/{name}.sock").replace(
            "COUNTERS", f"{DISK}/{name}.counters"
        )
        shared = f'\n[redis]\nurl = "redis://127.0.0.1:{REDIS_PORT}/0"\n' if name != FILE else ""
        (RUN / f"{name}.toml").write_text(text + shared)
    (RUN / "rate-limit.yaml").write_text((CONF / "rate-limit.yaml").read_text())
    (DISK / "postgrey").mkdir(exist_ok=True)
    (DISK / "postgrey").chmod(0o777)
    for folder, state in ((OURS, "DATA"), (OTHERS, "RCPT")):
        folder.mkdir(exist_ok=True)
        for login in _logins():
            lines = {
                "request": "smtpd_access_policy",
                "protocol_state": state,
                "protocol_name": "ESMTP",
                "helo_name": "laptop.far.example",
                "queue_id": "4XyZ1k2cQzFhr",
                "sender": f"{login}@our.example",
                "recipient": "friend{rand:1-9999}@far.example",
                "recipient_count": "1" if state == "DATA" else "0",
                "client_address": "192.0.2.{rand:1-254}",
                "client_name": "laptop.far.example",
                "reverse_client_name": "laptop.far.example",
                "instance": "{conn}.{n}.{hex:8}",
                "sasl_method": "plain",
                "sasl_username": login,
                "sasl_sender": "",
                "size": "0",
                "encryption_protocol": "TLSv1.3",
            }
            (folder / login).write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
    servers.refresh(RUN / f"{FILE}.toml")


def _after_a_day() -> tuple[Program, ...]:
    _had_a_day()
    return programs()[1:]


def _had_a_day() -> None:
    """What all have counted of a day: an empty table is fast with any of them. Before ours start."""
    now = time.time()
    counter = LocalCounter()
    shared = redis.Redis(port=REDIS_PORT).pipeline()
    for login in _logins()[:LOGINS]:
        for unit in ("messages", "recipients"):
            name = f"logins/{unit}/{login}/{DAY_S}"
            for n in range(DAILY):
                counter.add([Charge(name, 1, 0, DAY_S)], now - DAY_S + (n + 1) * DAY_S / DAILY)
    rows = counter.changes()
    counter.not_kept(rows)
    for row in rows:
        shared.hincrby(f"postvouch:sent:{row.counter}", str(row.slot), row.used)
    shared.execute()
    kept = CountersFile(f"{DISK}/{FILE}.counters", counter, to_stderr("bench"))
    kept.save()


def _peer_had_a_day() -> None:
    with sqlite3.connect(DISK / "rate-limit.sqlite3") as database:
        (row,) = database.execute("SELECT * FROM mail_count").fetchall()
        times = [int(time.time() - DAY_S + (n + 1) * DAY_S / DAILY) for n in range(DAILY)]
        rows = [(login, then, *row[2:]) for login in _logins()[:LOGINS] for then in times]
        database.executemany(f"INSERT INTO mail_count VALUES ({', '.join('?' * len(row))})", rows)


def main(given: argparse.Namespace) -> None:
    """Measure and report. Raises Broken."""
    prepare()
    about = rounds.machine(
        "policyd-rate-limit", "postgrey", "redis-server", "python3-redis", "python3-hiredis"
    )
    with servers.running(programs()[:1]) as first, servers.running(_after_a_day()) as up:
        _mailload(up[-2], ("-n", "1", *_requests(up[-2])), 1)  # it makes its table when first asked
        _peer_had_a_day()
        by_name = {server.name: server for server in (*first, *up)}
        asked = [by_name[name] for name in (FILE, REDIS, RATE_LIMIT, POSTGREY)]
        measured = [_round(asked, given, number) for number in range(given.rounds)]
        texts = [
            f"{LOGINS} logins, {DAILY} letters of each in a day, {given.rounds} x {given.seconds:g} s:",
            table.markdown(measured),
            "\n".join(_aims(measured, given.connections)),
            _exactness(by_name[REDIS], by_name[SECOND]),
        ]
    rounds.write("policy", about, texts, {"policy": rounds.plain(measured)})


def _round(asked: Sequence[Server], given: argparse.Namespace, number: int) -> table.Round:
    print(f"policy, round {number + 1} of {given.rounds}", file=sys.stderr)
    points = {
        (server.name, n): _run(server, n, given.seconds)
        for n in given.connections
        for server in rounds.turned(asked, number)
    }
    return {(server.name, n): points[server.name, n] for server in asked for n in given.connections}


def _run(server: Server, connections: int, seconds: float) -> Figures:
    said = _mailload(server, ("-d", str(seconds), "--warmup", "0.5", *_requests(server)), connections)
    return Figures(
        rate=said["per_s"], p50=said["lat_ms"]["p50"], p99=said["lat_ms"]["p99"],
        cpu=said["server_cpu_s_per_1000"], worker=processes.worker_rss(server.process.pid),
        pss=said["server_pss_mib"], letters=said["done"], wrong=0,
    )  # fmt: skip


def _requests(server: Server) -> list[str]:
    folder = OURS if server.name in (FILE, REDIS, SECOND) else OTHERS
    # postgrey lets nobody through at the first time; the others refuse nothing here.
    right = () if server.name == POSTGREY else ("--expect-action", "DUNNO,dunno")
    return [word for n in range(LOGINS) for word in ("--request", str(folder / f"user{n}"))] + list(right)


def _command(server: Server, words: Sequence[str], connections: int) -> list[str]:
    address = f"inet:127.0.0.1:{POSTGREY_PORT}" if server.name == POSTGREY else server.address
    pid = str(server.process.pid)
    return [
        str(MAILLOAD),
        "policy",
        "--addr",
        address,
        "-c",
        str(connections),
        "--json",
        "--watch",
        pid,
        *words,
    ]


def _mailload(server: Server, words: Sequence[str], connections: int) -> Mapping[str, Any]:
    command = _command(server, words, connections)
    return _said(server, subprocess.run(command, capture_output=True, text=True, check=False))


def _said(server: Server, done: "subprocess.CompletedProcess[str]") -> Mapping[str, Any]:
    try:
        said: Mapping[str, Any] = json.loads(done.stdout)
    except ValueError:
        said = {}
    if done.returncode != 0 or not said or said["faults"]:
        log = (RUN / f"{server.name}.out").read_text(errors="replace")
        raise Broken(
            f"{server.name}: {done.stdout[-1500:]}{done.stderr[-1500:]}\nits log ends: {log[-1500:]}"
        )
    return said


def _aims(measured: Sequence[table.Round], connections: Sequence[int]) -> Iterator[str]:
    for n in connections:
        yield table.faster(measured, FILE, RATE_LIMIT, n, FILE_AIM)
        yield table.faster(measured, REDIS, RATE_LIMIT, n, REDIS_AIM)
        yield table.faster(measured, FILE, POSTGREY, n, None)
    for name in (FILE, REDIS):
        worst = max(each[name, max(connections)].p99 for each in measured)
        yield table.said(f"p99 ms of {name} at {max(connections)} connections", worst, P99_AIM_MS, most=True)


def _exactness(*hosts: Server) -> str:
    """How many letters of one login two hosts let through, asked at the same time."""
    words = ("-n", str(EXACT), "--request", str(OURS / EXACTLY))
    running = [
        subprocess.Popen(
            _command(host, words, CLIENTS), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for host in hosts
    ]
    passed, asked = 0, 0
    for host, process in zip(hosts, running, strict=True):
        out, err = process.communicate()
        said = _said(host, subprocess.CompletedProcess(process.args, process.returncode, out, err))
        counts = said["counts"]
        passed += counts.get("DUNNO", 0)
        asked += said["done"]
    if passed != EXACT:
        raise Broken(f"of {asked} letters {passed} passed; the limit was {EXACT}")
    return (
        f"{asked} letters of one login, {CLIENTS} clients at each of two hosts: {passed} of {EXACT} allowed"
    )
