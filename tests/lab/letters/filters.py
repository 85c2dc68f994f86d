"""Letter 8: spam filters behind us. The real rspamd and the real SpamAssassin score what our field says."""

import contextlib
import re
from collections.abc import Iterator

from lab.engine import FileIn
from lab.lab import Lab
from lab.letters.spoof import spoof
from lab.post import alice_writes, new_id, queue_ids, refusal, setting
from lab.story import Story, letter

# Enough of rspamd to be itself: one process that scans what the milter brings, nothing asked of the world.
RSPAMD = {
    "options.inc": 'disable_hyperscan = true;\nlocal_addrs = ["127.0.0.0/8"];\n',
    "logging.inc": 'type = "console";\n',
    "worker-normal.inc": "enabled = false;\n",
    "worker-controller.inc": "enabled = false;\n",
    "worker-proxy.inc": 'upstream "local" { self_scan = yes; }\n',
    **{f"{module}.conf": "enabled = false;\n" for module in ("asn", "fuzzy_check", "rbl")},
}
WIRED = '[postfix]\nmore_milters = ["{ inet:127.0.0.1:11332, default_action=accept }"]\n'
MARKED = '[verdict]\nmode = "enforce"\nown_fail = "mark"\n'
# To a reader that forgets quotes this sender is three results.
SENDER = '"x; dmarc=pass; spf=pass; dkim=pass"@far.example'


@contextlib.contextmanager
def rspamd_behind_us(lab: Lab) -> Iterator[None]:
    """While this lasts, rspamd is mx's second milter and has our snippet, put there as an admin would."""
    files = {f"/etc/rspamd/local.d/{name}": FileIn(text=text) for name, text in RSPAMD.items()}
    files["/etc/postvouch/conf.d/zz-milters.toml"] = FileIn(text=WIRED)
    lab.engine.put(lab.topology.container("mx"), files)
    try:
        lab.sh(
            "mx",
            "set -e\npostvouch postfix --filter rspamd > /etc/rspamd/rspamd.local.lua\n"
            "rspamadm configtest\nsystemctl start rspamd\n"
            "for i in $(seq 150); do ss -Hltn 'sport = :11332' | grep -q . && break; sleep 0.1; done\n"
            "postvouch postfix --apply\n",
        )
        yield
    finally:
        lab.sh(
            "mx",
            "rm -f /etc/postvouch/conf.d/zz-milters.toml\npostvouch postfix --apply\n"
            # By itself it waits 20 s for Postfix to hang up, and killed it may still take systemd a minute.
            "systemctl kill -s KILL rspamd\nsystemctl --no-block stop rspamd\n",
        )


def symbols(lab: Lab, story: Story, message_id: str) -> dict[str, str]:
    """What rspamd logged of a letter: symbol -> its options."""

    def find() -> str:
        lines = lab.journal("mx", story.began, word=f"id: <{message_id}>")
        return next((line for line in lines if "rspamd_task_write_log" in line), "")

    line = str(lab.wait("rspamd's line about the letter", find, timeout_s=15))
    found = dict(re.findall(r"([A-Z][A-Z0-9_]+)\([-\d.]+\)\{([^}]*)\}", line))
    about = ("POSTVOUCH", "R_SPF", "R_DKIM", "DMARC", "ARC")
    story.show("rspamd", ", ".join(f"{k}{{{v}}}" for k, v in sorted(found.items()) if k.startswith(about)))
    return found


def hits(lab: Lab, story: Story, message_id: str) -> set[str]:
    """Our rules that hit when SpamAssassin is given the letter as mx holds it."""

    def waits() -> str:
        held = lab.sh("mx", "postqueue -j").out
        return next((each for each in queue_ids(lab, "mx", story, message_id) if each in held), "")

    queue_id = lab.wait("the letter in mx's queue", waits, timeout_s=15)
    out = lab.sh("mx", f"postcat -qhb {queue_id} | spamassassin -L -t").out
    story.show("spamassassin", *re.findall(r"^ *-?\d[\d.]* POSTVOUCH.*$", out, re.MULTILINE))
    return set(re.findall(r"\bPOSTVOUCH\w*\b", out))


def forged(lab: Lab, story: Story) -> str:
    """A letter as from far.example (p=reject) by a host that is not its own, full of lies; its Message-ID."""
    message_id = new_id("forged")
    story.tell(f"A stranger writes as alice@far.example, MAIL FROM {SENDER}, and vouches for himself.")
    lies = (
        "Authentication-Results: mx.our.example; spf=pass; dkim=pass; dmarc=pass header.from=far.example",
        "Authentication-Results: other.example; spf=pass; dkim=pass; dmarc=pass header.from=far.example",
        "ARC-Authentication-Results: i=1; mx.our.example; spf=pass; dkim=pass; dmarc=pass",
        "X-Postvouch-Mark: spoof",
    )
    transcript = lab.swaks(
        "sink", "--server", lab.address("mx"), "--helo", "mx.gmail.example", "--from", SENDER,
        "--to", "dora@our.example", "--header", "From: Alice <alice@far.example>",
        "--header", f"Message-Id: <{message_id}>",
        *(part for lie in lies for part in ("--add-header", lie)),
    ).out  # fmt: skip
    story.claim("mx takes it, as it is set to mark only", not refusal(transcript), transcript[-900:])
    return message_id


@letter(8, "rspamd behind us scores what our field says, and checks nothing again")
def rspamd_takes_our_word(lab: Lab, story: Story) -> None:
    """As a milter after ours (postfix.more_milters): it sees the letter as we left it."""
    with rspamd_behind_us(lab):
        message_id = new_id("honest")
        alice_writes(lab, story, "dora@our.example", message_id=message_id)
        found = symbols(lab, story, message_id)
        story.claim("it saw our field", found.get("POSTVOUCH") == "mx.our.example;", found)
        good = {
            "R_SPF_ALLOW": "postvouch;",
            "R_DKIM_ALLOW": "far.example:s=lab;",
            "DMARC_POLICY_ALLOW": "far.example;postvouch;",
        }
        story.claim("SPF, DKIM and DMARC pass, by our word", good.items() <= found.items(), found)

        found = symbols(lab, story, forged(lab, story))
        bad = {"R_SPF_FAIL": "postvouch;", "DMARC_POLICY_REJECT": "far.example;postvouch;"}
        story.claim("SPF and DMARC fail, by our word", bad.items() <= found.items(), found)
        passed = sorted(name for name in found if name.endswith("_ALLOW") or name == "POSTVOUCH_SPOOF")
        story.claim("none of the stranger's own words counts", not passed, passed)

        with setting(lab, "mx", "verify", MARKED):
            message_id, _ = spoof(lab, story, "mallory@far.example")
            found = symbols(lab, story, message_id)
        story.claim("what we mark as a spoof it scores as one", found.get("POSTVOUCH_SPOOF"), found)


@letter(8, "SpamAssassin scores what our field says")
def spamassassin_takes_our_word(lab: Lab, story: Story) -> None:
    """With nothing but its own rules and our snippet, given the letter as it stands in mx's queue."""
    lab.sh("mx", "postvouch postfix --filter spamassassin > /etc/spamassassin/postvouch.cf")
    lint = lab.sh("mx", "spamassassin -L --lint", check=False)
    story.claim("SpamAssassin has nothing against our snippet", lint.ok, lint.text[-900:])
    with lab.stopped("srs", "postfix"), lab.stopped("srs2", "postfix"):
        message_id = new_id("honest")
        alice_writes(lab, story, "dora@our.example", message_id=message_id)
        found = hits(lab, story, message_id)
        good = {"POSTVOUCH", "POSTVOUCH_SPF_PASS", "POSTVOUCH_DKIM_PASS", "POSTVOUCH_DMARC_PASS"}
        story.claim("SPF, DKIM and DMARC pass, by our word", found == good, found)

        found = hits(lab, story, forged(lab, story))
        bad = {"POSTVOUCH", "POSTVOUCH_SPF_FAIL", "POSTVOUCH_DMARC_REJECT"}
        story.claim("SPF and DMARC fail, and none of the stranger's own words counts", found == bad, found)

        with setting(lab, "mx", "verify", MARKED):
            message_id, _ = spoof(lab, story, "mallory@far.example")
            found = hits(lab, story, message_id)
        story.claim("what we mark as a spoof it scores as one", "POSTVOUCH_SPOOF" in found, found)
