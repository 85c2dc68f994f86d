"""The letters' common moves: write one, find its log lines, ask a map, read a metric."""

import contextlib
import re
import secrets
import time
from collections.abc import Iterator

from lab.engine import FileIn
from lab.lab import Lab
from lab.story import Story

SRS0 = re.compile(r"SRS0=[\w+/-]{4,}=[A-Z2-7]{2}=far\.example=alice@our\.example", re.IGNORECASE)
ALICE = "alice@far.example"


def new_id(word: str) -> str:
    """A Message-ID that no other letter has."""
    return f"{word}.{secrets.token_hex(6)}@letters.example"


@contextlib.contextmanager
def setting(lab: Lab, host: str, daemon: str, text: str) -> Iterator[None]:
    """While this lasts, a host has one more file in conf.d and its daemon has reloaded it."""
    path = "/etc/postvouch/conf.d/zz-letter.toml"
    lab.engine.put(lab.topology.container(host), {path: FileIn(text=text)})
    try:
        _reload(lab, host, daemon)
        yield
    finally:
        lab.sh(host, f"rm -f {path}")
        _reload(lab, host, daemon)


def _reload(lab: Lab, host: str, daemon: str) -> None:
    """Reload a daemon and wait until it says so: systemctl only knows that it was told to."""
    began = time.time()
    lab.sh(host, f"systemctl reload postvouch-{daemon}")
    lab.wait(f"postvouch-{daemon} on {host} reloaded", lambda: lab.journal(host, began, word="reloaded"))


def alice_writes(
    lab: Lab, story: Story, to: str, *, message_id: str, author: str = ALICE, sender: str = ALICE
) -> None:
    """alice's mail server takes her letter, signs it as far.example and sends it on."""
    story.tell(f"{sender} writes to {to}; her own server signs as far.example.")
    done = lab.swaks(
        "sender", "--server", "127.0.0.1", "--from", sender, "--to", to,
        "--header", f"From: Alice <{author}>", "--header", f"Message-Id: <{message_id}>",
        "--header", "Subject: A letter", "--body", "Dear all,\nthis is a letter.\n",
    )  # fmt: skip
    story.claim("her server took it", done.ok, done.out[-500:])


def reply_to(transcript: str, verb: str) -> str:
    """The server's reply to a command (or to the end of the data, ".") in a transcript of swaks."""
    lines = transcript.splitlines()
    last = ""
    seen = False
    for line in lines:
        if re.match(rf"^\s*(->|~>) {re.escape(verb)}", line):
            seen = True
        elif seen and (found := re.match(r"^<(?:-|~)\*?\*?\s+(\d{3} .*)", line)):
            last, seen = found[1], False
    return last


def refusal(transcript: str) -> str:
    """The first reply of 4xx or 5xx in a transcript of swaks; "" if nothing was refused."""
    found = re.search(r"^<[~*-]\*?\*?\s*([45]\d\d[ -].*)$", transcript, re.MULTILINE)
    return found[1] if found else ""


def queue_ids(lab: Lab, host: str, story: Story, message_id: str) -> list[str]:
    """The queue ids under which a host handled a letter (its copies), oldest first."""
    lines = lab.journal(host, story.began, word=f"message-id=<{message_id}>")
    return [found[1] for line in lines if (found := re.search(r": (\w+): message-id=", line))]


def log_line(lab: Lab, host: str, daemon: str, story: Story, message_id: str, word: str = "action=") -> str:
    """A daemon's line about a letter, found by Postfix's queue id."""

    def find() -> str:
        for queue_id in queue_ids(lab, host, story, message_id):
            for line in lab.journal(host, story.began, word=f" {queue_id}: "):
                if f"postvouch-{daemon}[" in line and word in line:
                    return line.partition(" postvouch-")[2]
        return ""

    return "postvouch-" + str(
        lab.wait(f"a line of postvouch-{daemon} on {host} with {word!r}", find, timeout_s=10)
    )


def ask_map(lab: Lab, host: str, table: str, key: str) -> str:
    """What a map says to postmap(1): the value, or "" for not found."""
    script = f"cd /var/spool/postfix && postmap -q '{key}' socketmap:unix:postvouch/map.sock:{table}"
    done = lab.sh(host, script, check=False)
    return done.out.strip() + (f" {done.err.strip()}" if done.err.strip() else "")


PORTS = {"verify": 9471, "sign": 9472, "map": 9473, "policy": 9474}


def metrics(lab: Lab, host: str, daemon: str) -> str:
    """A daemon's /metrics page, as Prometheus would fetch it on the host."""
    url = f"http://127.0.0.1:{PORTS[daemon]}/metrics"
    fetch = f"import urllib.request as u; print(u.urlopen('{url}', timeout=5).read().decode())"
    return lab.sh(host, f'python3 -c "{fetch}"').out


def metric(page: str, name: str, *labels: str) -> float:
    """The sum of all samples of that name that carry all the labels ('code="ok"')."""
    total = 0.0
    for line in page.splitlines():
        if re.match(rf"{name}[{{ ]", line) and all(label in line for label in labels):
            total += float(line.rsplit(" ", 1)[1])
    return total
