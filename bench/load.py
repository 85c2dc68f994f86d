"""mailload: letters for a milter, as Postfix would send them, every answer checked."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.letters import CLIENT, DOMAINS, HELO
from bench.servers import CHAIN, OURS, RSPAMD, Broken, Server

MAILLOAD = "/mailload"
FIELD = "Authentication-Results"
SAYS = {
    OURS: ("spf=pass", "dkim=pass", "dmarc=pass"),
    RSPAMD: ("spf=pass", "dkim=pass", "dmarc=pass"),
    **dict(zip(CHAIN, (("dkim=pass",), ("spf=pass",), ("dmarc=pass",)), strict=True)),
}
"""What each has to write into every letter: one that does no work is not fast."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One point: letters a second, milliseconds, seconds of CPU for 1000 letters, MiB of all processes.

    ``letters`` were sent in all, and ``wrong`` of them got another verdict than they should.
    """

    rate: float
    p50: float
    p99: float
    cpu: float
    rss: float
    pss: float
    letters: int
    wrong: int


def run(server: Server, letters: Path, connections: int, seconds: float, warm_up: float) -> Figures:
    """Measure one point. Raises Broken where ours gave a letter another verdict than it should, or a peer one
    in five: under load pyspf-milter loses an answer of DNS for some. The table counts them."""
    # Letters come in turn and senders by lot: SPF passes for a domain that mostly is not the author's.
    sender = "bounce@{pick:" + "|".join(DOMAINS) + "}"
    done = _mailload(
        server, letters, sender, "-c", str(connections), "-d", str(seconds), "--warmup", str(warm_up),
        "--json", "--watch", str(server.process.pid), "--max-errors", "10000",
    )  # fmt: skip
    try:
        said = json.loads(done.stdout)
    except ValueError:
        raise _broken(server, done) from None
    wrong = said["counts"].get("missing_header", 0)
    bearable = 0 if server.name == OURS else said["done"] // 5
    if said["faults"] != wrong or wrong > bearable or not said["done_in_window"]:
        raise _broken(server, done)
    return Figures(
        rate=said["per_s"],
        p50=said["lat_ms"]["p50"],
        p99=said["lat_ms"]["p99"],
        cpu=said["server_cpu_s_per_1000"],
        rss=said["server_rss_max_mib"],
        pss=said["server_pss_mib"],
        letters=said["done"],
        wrong=wrong,
    )


def passed_on(server: Server, letters: Path, to: Path) -> Path:
    """Give each letter to a server and write what it made of it to a folder, for the next one of a chain."""
    to.mkdir(parents=True)
    for letter in sorted(letters.glob("*.eml")):
        done = _mailload(server, letter, f"bounce@{letter.stem}", "--write-result", str(to / letter.name))
        if done.returncode != 0:
            raise _broken(server, done)
    return to


def _broken(server: Server, done: subprocess.CompletedProcess[str]) -> Broken:
    return Broken(f"{server.name}: {done.stdout[-1500:]}{done.stderr[-1500:]}({' '.join(done.args)})")


def _mailload(server: Server, letters: Path, sender: str, *more: str) -> subprocess.CompletedProcess[str]:
    expected = [part for word in SAYS[server.name] for part in ("--expect-header", f"{FIELD}={word}")]
    command = [
        MAILLOAD, "milter", "--addr", server.address, "--dir", str(letters), "--client-ip", CLIENT,
        "--host", HELO, "--helo", HELO, "--mail-from", sender, "--rcpt", "bob@our.example", *expected, *more,
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, check=False)
