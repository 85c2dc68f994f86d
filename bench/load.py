"""mailload: letters for a milter, as Postfix would send them, every answer checked."""

import json
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import processes
from bench.letters import CLIENT, HELO
from bench.servers import Broken, Server

MAILLOAD = "/mailload"

Envelope = Callable[[Path | None], Sequence[str]]
"""mailload's options for the envelope of one letter, or of a folder of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One point: letters a second, milliseconds, seconds of CPU for 1000 letters, MiB.

    ``worker`` is the memory of the largest process, ``pss`` that of all, shared pages shared out. ``letters``
    were sent in all, and ``wrong`` of them got another answer than they should.
    """

    rate: float
    p50: float
    p99: float
    cpu: float
    worker: float
    pss: float
    letters: int
    wrong: int


def run(
    server: Server, letters: Path, envelope: Envelope, connections: int, seconds: float, warm_up: float
) -> Figures:
    """Measure one point. Raises Broken where ours gave a letter another answer than it should, or a peer one
    in five: under load pyspf-milter loses an answer of DNS for some. The table counts them."""
    done = _mailload(
        server, letters, envelope(None), "-c", str(connections), "-d", str(seconds), "--warmup", str(warm_up),
        "--json", "--watch", str(server.process.pid), "--max-errors", "10000", "--timeout", "120",
    )  # fmt: skip
    try:
        said = json.loads(done.stdout)
    except ValueError:
        raise _broken(server, done) from None
    wrong = said["counts"].get("missing_header", 0)
    bearable = said["done"] // 5 if server.program.loses else 0
    if said["faults"] != wrong or wrong > bearable or not said["done_in_window"]:
        raise _broken(server, done)
    return Figures(
        rate=said["per_s"],
        p50=said["lat_ms"]["p50"],
        p99=said["lat_ms"]["p99"],
        cpu=said["server_cpu_s_per_1000"],
        worker=processes.worker_rss(server.process.pid),
        pss=said["server_pss_mib"],
        letters=said["done"],
        wrong=wrong,
    )


def passed_on(server: Server, letters: Path, envelope: Envelope, to: Path) -> Path:
    """Give each letter to a server and write what it made of it to a folder, for the next one of a chain."""
    to.mkdir(parents=True)
    for letter in sorted(letters.glob("*.eml")):
        done = _mailload(server, letter, envelope(letter), "--write-result", str(to / letter.name))
        if done.returncode != 0:
            raise _broken(server, done)
    return to


def _broken(server: Server, done: subprocess.CompletedProcess[str]) -> Broken:
    return Broken(f"{server.name}: {done.stdout[-1500:]}{done.stderr[-1500:]}({' '.join(done.args)})")


def _mailload(
    server: Server, letters: Path, envelope: Sequence[str], *more: str
) -> subprocess.CompletedProcess[str]:
    expected = [part for word in server.program.expect for part in ("--expect-header", word)]
    command = [
        MAILLOAD, "milter", "--addr", server.address, "--dir", str(letters), "--client-ip", CLIENT,
        "--host", HELO, "--helo", HELO, *envelope, *expected, *more,
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, check=False)
