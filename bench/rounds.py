"""Rounds: all servers stay up; in each round all have their turn at each number of connections, so that what
else the machine does hits them alike."""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import load, table
from bench.letters import octets_of
from bench.servers import Server

WARM_UP_S = 0.5
LONG, SLOW_S = 200_000, 10.0
"""The least for letters above so many octets: there are servers that answer ten of them a second."""

OUT = Path("/out")


def measure(
    servers: Sequence[Server],
    ready: Mapping[str, Path],
    envelope: load.Envelope,
    given: argparse.Namespace,
    size: str,
    between: Callable[[], None] = lambda: None,
) -> list[table.Round]:
    """Each point once a round. ``ready``: the letters for each server; ``between`` comes at its end."""
    seconds = seconds_of(size, given)
    rounds: list[table.Round] = []
    for number in range(given.rounds):
        print(f"letters of {size}, round {number + 1} of {given.rounds}", file=sys.stderr)
        points = {
            (server.name, connections): load.run(
                server, ready[server.name], envelope, connections, seconds, WARM_UP_S
            )
            for connections in given.connections
            for server in turned(servers, number)
        }
        places = [server.name for server in servers]
        rounds.append({key: points[key] for key in sorted(points, key=lambda key: places.index(key[0]))})
        between()
    return rounds


def seconds_of(size: str, given: argparse.Namespace) -> float:
    """How long a point of letters of this size is measured."""
    seconds: float = given.seconds
    return max(seconds, SLOW_S) if octets_of(size) > LONG else seconds


def turned(servers: Sequence[Any], number: int) -> Sequence[Any]:
    """Each goes first once: whoever does finds the machine as it was left."""
    first = number % len(servers)
    return (*servers[first:], *servers[:first])


def plain(rounds: Sequence[table.Round]) -> list[list[dict[str, object]]]:
    """The figures for a program to read."""
    return [
        [{"server": name, "connections": n, **asdict(point)} for (name, n), point in each.items()]
        for each in rounds
    ]


def write(name: str, machine: str, texts: Sequence[str], data: Mapping[str, object]) -> None:
    """Print the report and leave it, with the figures, in .do/bench/."""
    report = "\n\n".join((f"{machine}; load {os.getloadavg()[0]:.1f} after", *texts)) + "\n"
    print(report)
    (OUT / f"{name}.md").write_text(report)
    (OUT / f"{name}.json").write_text(json.dumps({"machine": machine, **data}, indent=1) + "\n")


def machine(*packages: str) -> str:
    """What it ran on."""
    versions = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${Version}, ", *packages],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return (
        f"{time.strftime('%Y-%m-%d %H:%M')}, {cores()} cores, load {os.getloadavg()[0]:.1f} before, "
        f"Python {platform.python_version()}, {versions.rstrip(', ')}"
    )


def cores() -> int:
    """The cores that all of this shares."""
    return len(os.sched_getaffinity(0))
