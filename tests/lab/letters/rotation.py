"""Letter 9: a key of fresh.example is replaced; a name server lags, and rotate is killed half-way."""

import json
import re
from typing import Any

from lab.engine import FileIn
from lab.lab import Lab
from lab.letters.relay import letter_text
from lab.post import log_line, new_id, setting
from lab.story import Story, letter
from lab.topology import FRESH

# Days of a mail host, seconds of the lab.
SETTINGS = f"""\
[general]
domains = ["{FRESH}"]
[sign]
require_dnssec = true
retire_after = "3s"
delete_after = "3s"
"""
MANAGED = SETTINGS + f'[[sign.key]]\ndomain = "{FRESH}"\n'
FOLDER = f"/etc/postvouch/keys/{FRESH}"
EX_TEMPFAIL = 75

# Runs rotate, and kills it without a word at its first rename: the state it is about to write is not written.
KILLED = """\
import os, signal, sys
from postvouch.cli.main import main
os.replace = os.rename = lambda *names, **more: os.kill(os.getpid(), signal.SIGKILL)
sys.argv = ["postvouch", *sys.argv[1:]]
main()
"""


# A key that signs for less than a day is not replaced: this one is made two days older.
OLDER = f"""\
import json
path = "{FOLDER}/rotation.json"
with open(path) as file:
    rotation = json.load(file)
for key in rotation["keys"]:
    key["since"] -= 2 * 86400
with open(path, "w") as file:
    json.dump(rotation, file)
"""


class Fresh:
    """What an admin of relay does for fresh.example, and what is to be seen there."""

    def __init__(self, lab: Lab, story: Story) -> None:
        self.lab, self.story = lab, story
        self.primary, self.secondary = lab.address("ns1"), lab.address("ns2")

    def rotate(self, *options: str, show: bool = True) -> int:
        """One run; its exit status."""
        command = " ".join(("postvouch dkim rotate", FRESH, *options))
        done = self.lab.sh("relay", command, check=False)
        if show:
            self.story.show("relay", f"# {command}", *filter(None, done.text.splitlines()))
            self.story.show("relay", f"exit status {done.code}")
        return done.code

    def keys(self) -> dict[str, str]:
        """The state of each key by its selector."""
        done = self.lab.sh("relay", f"cat {FOLDER}/rotation.json", check=False)
        found: dict[str, Any] = json.loads(done.out) if done.ok else {"keys": []}
        return {key["selector"]: key["state"] for key in found["keys"]}

    def only(self, state: str) -> str:
        """The selector of the one key in that state."""
        found = [selector for selector, each in self.keys().items() if each == state]
        self.story.claim(f"one key is {state}", len(found) == 1, self.keys())
        return found[0]

    def publish(self, selector: str, change: str = "--replace") -> None:
        """Send the record to the primary as an nsupdate(1) script."""
        record = f"postvouch dkim record -d {FRESH} -s {selector} --form nsupdate {change}"
        self.lab.sh("relay", f"{record} --server {self.primary} --zone {FRESH} --ttl 2 | knsupdate")

    def fetch(self) -> None:
        """Have the secondary catch up."""
        self.lab.sh("ns2", f"nsd-control transfer {FRESH}")
        self.lab.wait(
            "both name servers have the same zone", lambda: self.serial("ns1") == self.serial("ns2")
        )

    def serial(self, server: str) -> str:
        """The serial of the zone on one server."""
        return self.lab.sh("ns1", f"kdig +short @{self.lab.address(server)} {FRESH} SOA").out.split()[2]

    def until(self, state: str, selector: str) -> None:
        """Run rotate again until a key has come to that state."""

        def reached() -> bool:
            self.rotate(show=False)
            return self.keys().get(selector) == state

        self.lab.wait(f"{selector} is {state}", reached, timeout_s=40)
        self.story.tell(f"Some seconds and runs later {selector} is {state}.")

    def letter(self, *, proven: bool = True) -> set[str]:
        """cron of fresh.example on relay writes to the world; the selectors that sign, and are good there."""
        message_id = new_id("fresh")
        text = letter_text(message_id, "dora@gmail.example").replace("our.example", FRESH)
        self.lab.sh("relay", f"sendmail -i -f cron@{FRESH} dora@gmail.example <<'END'\n{text}END\n")
        mails = self.lab.wait_mails("sink", message_id)
        line = log_line(self.lab, "relay", "sign", self.story, message_id)
        judged = mails[0].results("mx.gmail.example")
        self.story.show("relay", line)
        good = len(mails) == 1 and ("pass", FRESH) in mails[0].dkim
        self.story.claim("one copy arrived, and its signature is good", good or not proven, judged)
        return set(re.findall(rf"{FRESH}/([\w.-]+)", line))


@letter(9, "a key is rotated: published, awaited on a server that lags, active, retired, revoked, deleted")
def rotation(lab: Lab, story: Story) -> None:
    """From no key at all to the second one, every step in order and every letter signed."""
    fresh = Fresh(lab, story)
    lab.sh("relay", f"rm -rf {FOLDER}")
    lab.engine.put(lab.topology.container("relay"), {
        "/opt/killed.py": FileIn(text=KILLED), "/opt/older.py": FileIn(text=OLDER),
    })  # fmt: skip
    with setting(lab, "relay", "sign", SETTINGS):
        story.tell("fresh.example, a zone on knot and nsd, has no key. An admin of relay makes the first.")
        story.claim("rotate waits for the record", fresh.rotate() == EX_TEMPFAIL)
        first = fresh.only("made")
        fresh.publish(first)
        story.tell("The record is sent to the primary; the secondary has not fetched it.")
        fresh.rotate()
        story.claim("a server that lags holds it up", fresh.keys() == {first: "made"}, fresh.keys())
        fresh.fetch()
        fresh.until("active", first)
    with setting(lab, "relay", "sign", MANAGED):
        # Workers follow a reload one after the other.
        lab.wait("the daemon signs for fresh.example", lambda: fresh.letter(proven=False), timeout_s=20)
        story.claim("the first key signs", fresh.letter() == {first})
        done = lab.sh("relay", f"postvouch dkim testkey -d {FRESH} -s {first} -vv", check=False)
        story.show("relay", *done.text.splitlines())
        story.claim("testkey finds it secure", done.ok and "key secure" in done.text, done.text)

        lab.sh("relay", "python3 /opt/older.py")
        story.tell("Two days later: a new one. rotate is killed with SIGKILL as it is about to note it down.")
        killed = lab.sh("relay", f"python3 /opt/killed.py dkim rotate {FRESH} --new", check=False)
        story.claim("it was killed", killed.code in (137, -9), killed.code)
        story.claim("the first key signs as if nothing had been", fresh.letter() == {first})
        fresh.rotate("--new")
        second = fresh.only("made")
        story.claim("it is another one", second != first)
        fresh.publish(second)
        fresh.rotate()
        story.claim("the first key still signs alone", fresh.letter() == {first}, fresh.keys())
        fresh.fetch()
        fresh.until("active", second)
        lab.wait("the daemon has taken the new key", lambda: fresh.letter() == {second}, timeout_s=20)
        story.claim("one key signs, the new one", fresh.keys()[first] != "active", fresh.keys())

        story.tell("The old one stays published for letters on their way; then its record is emptied.")
        lab.wait("the old key may be revoked", lambda: _asks(fresh, "p="), timeout_s=30)
        fresh.publish(first, "--replace --revoked")
        fresh.rotate(show=False)
        story.claim("not revoked before both servers say so", fresh.keys()[first] == "retiring", fresh.keys())
        fresh.fetch()
        fresh.until("revoked", first)
        kept = lab.sh("relay", f"ls {FOLDER}").out.split()
        story.claim("the private key is gone", f"{first}.pem" not in kept, kept)
        lab.wait("the record may be removed", lambda: _asks(fresh, "Remove"), timeout_s=30)
        fresh.publish(first, "--delete --revoked")
        fresh.fetch()
        fresh.until("deleted", first)
        fresh.rotate("--status")
        story.claim("the new key signs on", fresh.letter() == {second})

        _broken_chain(lab, story, fresh, second)


def _asks(fresh: Fresh, word: str) -> bool:
    """Whether the next run asks a person for what goes with that word."""
    return word in fresh.lab.sh("relay", f"postvouch dkim rotate {FRESH}", check=False).out


def _broken_chain(lab: Lab, story: Story, fresh: Fresh, selector: str) -> None:
    """The DS record is lost at the parent: said by name, and mail goes on."""
    story.tell("The parent loses the DS record: nobody can validate fresh.example any more.")
    begin, end = "knotc -b zone-begin . >/dev/null", "knotc -b zone-commit . >/dev/null"
    record = lab.sh("dns", f"kdig +short @127.0.0.1 -p 5353 {FRESH} DS").out.strip()
    lab.sh("dns", f"{begin} && knotc zone-unset . {FRESH}. DS && {end}")
    try:
        lab.wait("the resolver has noticed", lambda: " ad" not in _flags(lab), timeout_s=20)
        done = lab.sh("relay", f"postvouch dkim testkey -d {FRESH} -s {selector} -vv", check=False)
        story.show("relay", *done.text.splitlines(), f"exit status {done.code}")
        story.claim("testkey fails, and names the link", not done.ok and "DS" in done.text, done.text)
        story.claim("mail is signed all the same", fresh.letter() == {selector})
    finally:
        lab.sh("dns", f"{begin} && knotc zone-set . {FRESH}. 60 DS '{record}' && {end}")


def _flags(lab: Lab) -> str:
    found = re.search(r"Flags:[^;]*", lab.sh("dns", f"kdig +dnssec @127.0.0.1 {FRESH} SOA").out)
    return found[0] if found else ""
