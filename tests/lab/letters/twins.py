"""Letter 13: two mx and two srs hosts with one redis. Any one host may stop, or redis: letters flow, bounces
come home."""

import contextlib
import json
import re
import shlex
from collections.abc import Iterator

from lab.lab import DAEMONS, Lab
from lab.letters.way import bounce_letter
from lab.people import ldif
from lab.post import alice_writes, ask_map, new_id
from lab.story import Story, letter
from lab.topology import fqdn, role

MX, SRS = ("mx", "mx2"), ("srs", "srs2")
OTHER = {"mx": "mx2", "mx2": "mx", "srs": "srs2", "srs2": "srs"}


@contextlib.contextmanager
def _away(lab: Lab, host: str) -> Iterator[None]:
    """While this lasts, a host does nothing for mail: Postfix and all our daemons are stopped."""
    units = " ".join(["postfix", *(f"postvouch-{daemon}" for daemon in DAEMONS[role(host)])])
    lab.sh(host, f"systemctl stop {units}")
    try:
        yield
    finally:
        lab.sh(host, f"systemctl start {units}")


def _long(word: str) -> str:
    """A sender that does not fit into 64 octets with the rest of an SRS address, and that nobody else has."""
    return f"{new_id(word).partition('@')[0]}.{'x' * 30}@far.example"


@letter(13, "any one of two mx and two srs hosts may be away")
def any_host_may_be_away(lab: Lab, story: Story) -> None:
    """The letter to frank goes both ways: in and out, and home again as a bounce."""
    for host in (*MX, *SRS):
        story.tell(f"{fqdn(host)} is away.")
        with _away(lab, host):
            bounce_letter(lab, story, by=(fqdn(OTHER[host] if host in SRS else "srs"),))
            mx = OTHER[host] if host in MX else "mx"
            lines = lab.journal(mx, story.began, word="orig_to=<SRS0=")
            story.show(mx, *lines[-1:])
            story.claim(f"{fqdn(mx)} undid the address of the bounce", lines, "no line")


@letter(13, "an address that one host wrote is undone on every host")
def every_host_undoes_what_one_wrote(lab: Lab, story: Story) -> None:
    """Wrapped ones by the secret that they share, tokens by the redis that they share."""
    for sender in ("mara@far.example", _long("mara")):
        for writer in SRS:
            address = ask_map(lab, writer, "srs-forward", sender)
            story.show(writer, f"srs-forward {sender} -> {address}")
            for reader in (*MX, *SRS):
                back = ask_map(lab, reader, "srs-reverse", address.lower())
                story.claim(f"{reader} reads it", back == sender, back)


@letter(13, "redis is away: only senders that are too long wait")
def redis_is_away(lab: Lab, story: Story) -> None:
    """They are deferred, neither bounced nor sent as they are; all else goes on."""
    known, unknown = _long("known"), _long("unknown")
    first, second = new_id("known"), new_id("unknown")
    alice_writes(lab, story, "dora@our.example", message_id=first, author=known, sender=known)
    (mail,) = lab.wait_mails("sink", first)
    story.show("sink", f"Return-Path: <{mail.envelope_from}>")
    story.claim("it left under a token", "=t.invalid=" in mail.envelope_from, mail.envelope_from)
    story.claim("that fits", len(mail.envelope_from.partition("@")[0]) <= 64, mail.envelope_from)
    story.claim("and passes SPF", mail.spf == "pass", mail.field("Received-SPF"))
    story.tell("redis is stopped.")
    with lab.stopped("redis", "lab-redis"):
        bounce_letter(lab, story)
        alice_writes(lab, story, "dora@our.example", message_id=second, author=unknown, sender=unknown)

        def deferred() -> list[str]:
            return [line for line in lab.journal("srs", story.began, word="srs-forward") if "store" in line]

        lines = lab.wait("a word of postvouch-map on srs about the store", deferred, timeout_s=30)
        assert isinstance(lines, list)
        story.show("srs", lines[-1].partition(" postvouch-")[2])
        lab.wait("the letter waits on mx", lambda: unknown in lab.queues(("mx",)), timeout_s=20)
        done = lab.swaks(
            "sink", "--server", lab.address("mx"), "--from", "<>", "--to", mail.envelope_from,
            "--quit-after", "RCPT",
        )  # fmt: skip
        story.claim("a bounce to a token is put off", " 451 " in done.out, done.out[-600:])
        story.claim("nothing went out unrewritten", not lab.mails("sink", second), "a copy")
    story.tell("redis runs again.")
    lab.sh("mx", "postqueue -f", check=False)
    (mail,) = lab.wait_mails("sink", second, timeout_s=60)
    story.show("sink", f"Return-Path: <{mail.envelope_from}>")
    story.claim(
        "the letter that waited left under a token", "=t.invalid=" in mail.envelope_from, mail.envelope_from
    )
    bounced = [m for m in lab.mails("sender") if second.encode() in m.raw]
    story.claim("and nobody was told that it failed", not bounced, bounced[:1])


SAY = """
import json, subprocess, sys
from click.testing import CliRunner
from postvouch.cli.lookup import lookup
role, names = sys.argv[1], sys.stdin.read().split()
from postvouch.directory.resolve import VIEWS
for name in sorted(VIEWS[role]):
    told = subprocess.run(
        ["postmap", "-q", "-", "socketmap:unix:postvouch/map.sock:" + name],
        cwd="/var/spool/postfix", input="\\n".join(names) + "\\n", capture_output=True, text=True,
    )
    postmap = dict(line.split("\\t", 1) for line in told.stdout.splitlines())
    asked = {key: CliRunner().invoke(lookup, [name, key]) for key in names}
    ours = {key: done.output.splitlines()[0] for key, done in asked.items() if done.exit_code == 0}
    print(json.dumps([name, told.stderr, postmap, ours]))
"""


@letter(13, "lookup says what postmap says, of everybody; mx shows nothing that is outside")
def lookup_is_postmap(lab: Lab, story: Story) -> None:
    """Every account, forward and role, in every map of mx and srs."""
    names = re.findall(r"^uid: (.*)$", ldif(), re.MULTILINE)
    keys = [f"{name}@our.example" for name in (*names, "grants", "postmaster", "nosuch")]
    for host in ("mx", "srs"):
        script = f"python3 -c {shlex.quote(SAY)} {host} <<'END'\n{chr(10).join(keys)}\nEND\n"
        done = lab.sh(host, script, timeout_s=120)
        for name, said, postmap, ours in map(json.loads, done.out.splitlines()):
            story.show(host, f"{name}: {len(postmap)} of {len(keys)} found")
            story.claim("postmap has no complaint", not said, said)
            story.claim(
                "lookup says the same of each",
                ours == postmap,
                [(key, ours.get(key), postmap.get(key)) for key in keys if ours.get(key) != postmap.get(key)][
                    :3
                ],
            )
            if name == "recipients":
                story.claim("everybody exists but nosuch", set(keys) - set(postmap) == {keys[-1]}, postmap)
            if name == "forward":
                targets = {each for value in postmap.values() for each in value.split(", ")}
                story.claim("srs knows all 144 targets", len(targets) == 144, len(targets))
            if host == "mx":
                outside = [v for v in postmap.values() if "@" in v and not v.endswith("@our.example")]
                story.claim("nothing in it is outside", not outside, outside[:3])
