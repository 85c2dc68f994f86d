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
    """One point: letters a second, milliseconds, seconds of CPU for 1000 letters, MiB of all processes."""

    rate: float
    p50: float
    p99: float
    cpu: float
    rss: float
    pss: float


def run(server: Server, letters: Path, connections: int, seconds: float, warm_up: float) -> Figures:
    """Measure one point. Raises Broken where a letter got another verdict than it should."""
    # Letters come in turn and senders by lot: SPF passes for a domain that mostly is not the author's.
    sender = "bounce@{pick:" + "|".join(DOMAINS) + "}"
    out = _mailload(
        server, letters, sender, "-c", str(connections), "-d", str(seconds), "--warmup", str(warm_up),
        "--json", "--watch", str(server.process.pid),
    )  # fmt: skip
    said = json.loads(out)
    return Figures(
        rate=said["per_s"],
        p50=said["lat_ms"]["p50"],
        p99=said["lat_ms"]["p99"],
        cpu=said["server_cpu_s_per_1000"],
        rss=said["server_rss_max_mib"],
        pss=said["server_pss_mib"],
    )


def passed_on(server: Server, letters: Path, to: Path) -> Path:
    """Give each letter to a server and write what it made of it to a folder, for the next one of a chain."""
    to.mkdir(parents=True)
    for letter in sorted(letters.glob("*.eml")):
        _mailload(server, letter, f"bounce@{letter.stem}", "--write-result", str(to / letter.name))
    return to


def _mailload(server: Server, letters: Path, sender: str, *more: str) -> str:
    expected = [part for word in SAYS[server.name] for part in ("--expect-header", f"{FIELD}={word}")]
    command = [
        MAILLOAD, "milter", "--addr", server.address, "--dir", str(letters), "--client-ip", CLIENT,
        "--host", HELO, "--helo", HELO, "--mail-from", sender, "--rcpt", "bob@our.example", *expected, *more,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Broken(f"{server.name}: {(done.stdout + done.stderr)[-2000:]}\n({' '.join(command)})")
    return done.stdout
