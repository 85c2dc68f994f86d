"""One run, in the container: letters, a resolver, the servers, rounds, the table.

All servers stay up; in each round all have their turn at each number of connections, so that what else the
machine does hits them alike.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bench import engine, letters, load, table
from bench.servers import CHAIN, MILTERS, RUN, Broken, Server, running

BUSY, CALM, ALONE = 64, 8, 1
"""Connections."""

WARM_UP_S = 0.5
OUT = Path("/out")


def main() -> int:
    """0, or 1 where something did not run or a letter got a wrong verdict."""
    parser = argparse.ArgumentParser(prog="./do bench MAILLOAD=PATH")
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each point")
    parser.add_argument("--sizes", default="5k", help='of the letters, "2k,5k,100k"')
    parser.add_argument("--spf", choices=("mixed", "plain"), default="mixed", help="the senders' records")
    parser.add_argument("--engine", action="store_true", help="no milter, no peers: time our engine's stages")
    parser.add_argument("--profile", action="store_true", help="with --engine: cProfile's view as well")
    given = parser.parse_args()
    if given.quick:
        given.rounds, given.seconds = 1, 2.5
    sizes = given.sizes.split(",")
    zone = letters.write(RUN / "letters", sizes, letters.MIXED if given.spf == "mixed" else letters.PLAIN)
    (RUN / "zone.conf").write_text(zone)
    try:
        if given.engine:
            with running("unbound"):
                for size in sizes:
                    engine.report(RUN / "letters" / size, profile=given.profile)
            return 0
        with running("unbound", *MILTERS) as up:
            _measure(up[1:], sizes, given)
    except Broken as broken:
        print(f"bench: {broken}", file=sys.stderr)
        return 1
    return 0


def _measure(milters: Sequence[Server], sizes: Sequence[str], given: argparse.Namespace) -> None:
    text, data = [_machine()], {}
    for size in sizes:
        ready = _ready(milters, RUN / "letters" / size)
        rounds = []
        for number in range(given.rounds):
            print(f"letters of {size}, round {number + 1} of {given.rounds}", file=sys.stderr)
            points = {
                (server.name, connections): load.run(
                    server, ready[server.name], connections, given.seconds, WARM_UP_S
                )
                for connections in (BUSY, CALM, ALONE)
                # Each goes first once: whoever does finds the machine as it was left.
                for server in _rotated(milters, number)
            }
            rounds.append(table.chained({key: points[key] for key in sorted(points, key=_place)}))
        text += [f"Letters of {size}, SPF {given.spf}, {given.rounds} x {given.seconds:g} s:"]
        text += [table.markdown(rounds), "\n".join(table.aims(rounds, BUSY, CALM))]
        data[size] = [
            [{"server": name, "connections": n, **asdict(point)} for (name, n), point in each.items()]
            for each in rounds
        ]
    text[0] += f"; load {os.getloadavg()[0]:.1f} after"
    report = "\n\n".join(text) + "\n"
    print(report)
    (OUT / "verify.md").write_text(report)
    (OUT / "verify.json").write_text(json.dumps({"machine": text[0], "letters": data}, indent=1) + "\n")


def _rotated(milters: Sequence[Server], number: int) -> Sequence[Server]:
    first = number % len(milters)
    return (*milters[first:], *milters[:first])


def _place(key: table.Key) -> int:
    return MILTERS.index(key[0])


def _ready(milters: Sequence[Server], folder: Path) -> dict[str, Path]:
    """The letters for each server. All have seen every letter once by then: what they cache, they have."""
    ready = dict.fromkeys((server.name for server in milters), folder)
    passed = folder
    for server in milters:
        if server.name in CHAIN:
            ready[server.name] = passed
            passed = load.passed_on(server, passed, folder.parent / f"{folder.name}-{server.name}")
        else:
            load.passed_on(server, folder, folder.parent / f"{folder.name}-{server.name}")
    return ready


def _machine() -> str:
    packages = ("rspamd", "opendkim", "pyspf-milter", "opendmarc", "unbound")
    versions = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${Version}, ", *packages],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return (
        f"{time.strftime('%Y-%m-%d %H:%M')}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before, "
        f"Python {platform.python_version()}, {versions.rstrip(', ')}"
    )


if __name__ == "__main__":
    sys.exit(main())
