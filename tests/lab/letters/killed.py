"""Letter 7: kill -9 each daemon under a stream of 500 letters: none lost, doubled, unverified, unsigned."""

import itertools
import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from lab.engine import Done
from lab.lab import DAEMONS, Lab, LetterFailed
from lab.ours import PASSWORDS
from lab.post import ALICE
from lab.story import Story, letter

ROUNDS = 3
# One of each host in turn, so that no way is left in peace for long.
VICTIMS = sorted(
    ((host, daemon) for host, daemons in DAEMONS.items() for daemon in daemons),
    key=lambda victim: (DAEMONS[victim[0]].index(victim[1]), victim[0]),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One stream: from where to where, how many, and who signs its letters."""

    word: str
    host: str
    server: str
    port: int
    count: int
    sender: str
    author: str
    to: str
    domain: str
    login: str = ""


# The first and the last go into the queue of a Postfix that is not ours, which tries again what we put off.
# The second is a mail program that does the same.
STREAMS = (
    Stream(word="world", host="sender", server="127.0.0.1", port=25, count=200, sender=ALICE, author=ALICE,
           to="dora@our.example", domain="far.example"),
    Stream(word="desk", host="redis", server="submission", port=465, count=150, sender="bob@our.example",
           author="bob@our.example", to="friend@gmail.example", domain="our.example", login="bob"),
    Stream(word="cron", host="ldap", server="127.0.0.1", port=25, count=150, sender="cron@our.example",
           author="cron@our.example", to="friend@riseup.example", domain="our.example"),
)  # fmt: skip


def _run(lab: Lab, stream: Stream, prefix: str) -> Done:
    program = (Path(__file__).parent / "stream.py").read_text()
    server = lab.address(stream.server) if stream.server in DAEMONS else stream.server
    login = [stream.login, PASSWORDS[stream.login]] if stream.login else []
    words = [server, stream.port, stream.count, prefix, stream.sender, stream.author, stream.to, *login]
    arguments = " ".join(str(word) for word in words)
    return lab.sh(
        stream.host,
        f"python3 - {arguments} <<'END_OF_PROGRAM'\n{program}\nEND_OF_PROGRAM\n",
        check=False,
        timeout_s=300,
    )


def _kill(lab: Lab, story: Story, stop: threading.Event) -> int:
    """Kill one daemon after the other, all processes at once: every one, and ROUNDS times at most.

    Between two kills a daemon has time to start; letters that never find all at work would prove little.
    """
    kills = 0
    for host, daemon in itertools.cycle(VICTIMS):
        if kills >= len(VICTIMS) * (1 if stop.is_set() else ROUNDS):
            return kills
        unit = f"postvouch-{daemon}"
        lab.sh(host, f"systemctl kill --kill-who=all -s KILL {unit} || systemctl kill -s KILL {unit}")
        kills += 1
        if kills <= len(VICTIMS):
            story.show(host, f"kill -9 {unit}")
        time.sleep(1)
    return kills


@letter(7, "kill -9 each daemon under a stream of 500 letters")
def every_daemon_is_killed(lab: Lab, story: Story) -> None:
    """Counted at the sink by Message-ID."""
    began, prefix = time.monotonic(), secrets.token_hex(4)
    expected = {
        f"{stream.word}-{prefix}.{number}@letters.example": stream
        for stream in STREAMS
        for number in range(stream.count)
    }
    story.tell(
        f"{len(expected)} letters set out on three ways (a stranger to mx, bob at submission, cron to relay) "
        f"while all {len(VICTIMS)} daemons are killed, again and again, each with all its processes."
    )
    stop = threading.Event()
    with ThreadPoolExecutor(4) as pool:
        killer = pool.submit(_kill, lab, story, stop)
        try:
            runs = list(pool.map(lambda s: _run(lab, s, f"{s.word}-{prefix}"), STREAMS))
        finally:
            stop.set()
        kills = killer.result()
    for stream, run in zip(STREAMS, runs, strict=True):
        story.show(stream.word, run.text)
        story.claim(f"every letter of {stream.word} was taken in the end", run.ok, run.text)
    story.tell(f"{kills} kills later the streams have ended. What was put off is tried again.")
    refused = ("milter-reject:", "NOQUEUE: reject:", "status=deferred")
    for host in ("sender", "ldap", *DAEMONS):
        lines = [line for line in lab.journal(host, story.began) if any(word in line for word in refused)]
        story.show(host, f"{len(lines)} times a letter was put off here", *lines[-1:])

    def arrived() -> bool:
        for host in ("sender", "ldap", *DAEMONS):
            lab.sh(host, "postqueue -f", check=False)
        return sum(mail.id in expected for mail in lab.mails("sink")) >= len(expected)

    try:
        lab.wait("all letters at the sink", arrived, timeout_s=120, every_s=2)
    except LetterFailed:
        story.show("queues", *lab.queues().splitlines()[:20])
    lab.wait("empty queues", lambda: not lab.queues(), timeout_s=60, every_s=2)
    mails = [mail for mail in lab.mails("sink") if mail.id in expected]
    counts = dict.fromkeys(expected, 0)
    for mail in mails:
        counts[mail.id] += 1
    story.show(
        "sink",
        f"{len(mails)} letters, {len({m.id for m in mails})} different; {time.monotonic() - began:.0f} s",
    )
    lost = [name for name, count in counts.items() if count == 0]
    doubled = [name for name, count in counts.items() if count > 1]
    story.claim("none was lost", not lost, lost[:10])
    story.claim("none was doubled", not doubled, doubled[:10])
    bare = [mail.id for mail in mails if ("pass", expected[mail.id].domain) not in mail.dkim]
    story.claim("none arrived without the signature that it should have", not bare, bare[:10])
    failing = [mail.id for mail in mails if mail.dmarc != "pass"]
    story.claim("every one passes DMARC at the sink", not failing, failing[:10])
    world = [mail for mail in mails if expected[mail.id].word == "world"]
    unverified = [m.id for m in world if "dmarc=pass" not in m.results("mx.our.example")]
    story.claim("none slipped past verify: each has mx's own field", not unverified, unverified[:10])
    rewritten = [m.id for m in world if m.envelope_from.upper().startswith("SRS0=")]
    story.claim("none slipped past SRS", len(rewritten) == len(world), len(world) - len(rewritten))
