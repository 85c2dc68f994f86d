"""Letter 12: the signer is away. With accept mail leaves unsigned, and an alert says so; else it waits."""

import contextlib
import json
import time
from collections.abc import Iterator

from lab.engine import FileIn
from lab.lab import Lab
from lab.letters.submission import FRIEND, submit
from lab.post import log_line, new_id, queue_ids, refusal
from lab.story import Story, letter

PATH = "/etc/postvouch/conf.d/zz-accept.toml"
# Straight to the world: srs would sign what submission has let go. far.example takes it, whatever SPF says.
ACCEPT = '[postfix]\nsign_default_action = "accept"\noutgoing_transport = "smtp:"\n'
STRANGER = "alice@far.example"
PATIENCE_S = 11
"""A letter that has just left is decided by the next run."""
WATCH = "postvouch-unsigned"


@contextlib.contextmanager
def accepting(lab: Lab, host: str) -> Iterator[str]:
    """While this lasts Postfix lets mail out without the signer; what "postvouch check" says to that."""
    lab.engine.put(lab.topology.container(host), {PATH: FileIn(text=ACCEPT)})
    try:
        lab.sh(host, f"postvouch postfix --role {host} --apply")
        yield lab.sh(host, "postvouch check 2>&1", check=False).text
    finally:
        lab.sh(host, f"rm -f {PATH}; postvouch postfix --role {host} --apply")


def cron(lab: Lab, host: str, message_id: str, to: str) -> None:
    """A letter of the host itself, through sendmail(1)."""
    text = f"From: cron@our.example\nTo: {to}\nMessage-ID: <{message_id}>\nSubject: cron\n\nDone."
    lab.sh(host, f"sendmail -i -f cron@our.example -- {to} <<'END'\n{text}\nEND\n")


def look(lab: Lab, host: str) -> tuple[int, str]:
    """One run of the watch, as its timer starts it: exit status of the unit's program, and its warnings."""
    lab.sh(host, f"systemctl reset-failed {WATCH} 2>/dev/null; systemctl start {WATCH}", check=False)
    status = lab.sh(host, f"systemctl show -P ExecMainStatus {WATCH}").out.strip()
    lines = lab.sh(host, f"journalctl -q --no-pager -o cat -p warning -t {WATCH}").out
    return int(status), lines


@letter(12, "accept: the signer is killed, mail leaves unsigned, and the log raises the alarm")
def signer_is_killed_under_accept(lab: Lab, story: Story) -> None:
    """One line a letter, once; nothing of what was signed."""
    timer = lab.sh("submission", f"systemctl is-active {WATCH}.timer", check=False).out.strip()
    story.claim("the watch has started with the signer", timer == "active", timer)
    # Until the signer starts again only we run it.
    lab.sh("submission", f"systemctl stop {WATCH}.timer")
    look(lab, "submission")
    signed, bare, local = new_id("signed"), new_id("bare"), new_id("bare-local")
    with accepting(lab, "submission") as said:
        story.show("submission", *[line for line in said.splitlines() if "sign_default_action" in line])
        story.claim("check warns of accept", "sign_default_action" in said, said)
        story.tell("bob writes while postvouch-sign is at work.")
        story.claim("taken", not refusal(submit(lab, to=STRANGER, message_id=signed)))
        mail = lab.wait_mails("sender", signed)[0]
        story.claim("it left signed", mail.signed_by() == ["our.example"], mail.signed_by())
        lab.sh(
            "submission",
            "systemctl kill -s KILL --kill-who=all postvouch-sign; systemctl stop postvouch-sign",
        )
        try:
            story.tell("postvouch-sign is killed. bob writes again, and so does cron on submission itself.")
            story.claim("taken", not refusal(submit(lab, to=STRANGER, message_id=bare)))
            cron(lab, "submission", local, STRANGER)
            for message_id in (bare, local):
                mail = lab.wait_mails("sender", message_id)[0]
                story.claim("it left without a signature", mail.signed_by() == [], mail.signed_by())
            time.sleep(PATIENCE_S)
            status, lines = look(lab, "submission")
            found = lab.sh("submission", f"postvouch unsigned --json --since @{story.began:.0f}", check=False)
        finally:
            lab.sh("submission", "systemctl start postvouch-sign")
    story.show("submission", *lines.splitlines())
    ids = {name: queue_ids(lab, "submission", story, name)[0] for name in (signed, bare, local)}
    for message_id in (bare, local):
        told = [line for line in lines.splitlines() if line.startswith(f"{ids[message_id]}: ")]
        story.claim("the journal has one warning for the letter", len(told) == 1, lines)
        line = told[0]
        story.claim("it is unsigned_outbound", "event=unsigned_outbound, from=<" in line, line)
        story.claim("and says where to and why", "to-domain=far.example" in line and "Milter" in line, line)
    story.claim("the letter that was signed is not among them", ids[signed] not in lines, lines)
    story.claim("the run has failed, for an alert to hang on", status == 1, status)
    story.claim("by hand: exit status 1", found.code == 1, found.text)
    by_hand = {json.loads(line)["queue_id"] for line in found.out.splitlines()}
    story.claim("and the same letters", {ids[bare], ids[local]} <= by_hand, found.text)
    story.claim("none that was signed", ids[signed] not in by_hand, found.text)
    status, again = look(lab, "submission")
    story.claim("the next run tells nothing again", (status, again) == (0, lines), (status, again))


@letter(12, "tempfail: the signer is away, mail waits and is signed once it is back")
def signer_is_away_under_tempfail(lab: Lab, story: Story) -> None:
    """A login is told to come back, a host's mail stays in its queue, local mail in the maildrop."""
    waiting, local = new_id("waiting"), new_id("waiting-local")
    with lab.stopped("relay", "postvouch-sign"), lab.stopped("submission", "postvouch-sign"):
        story.tell("postvouch-sign is stopped on submission and relay.")
        answer = refusal(submit(lab))
        story.show("submission", answer)
        story.claim("bob is told to come back", answer.startswith("4"), answer)
        for host, message_id in (("ldap", waiting), ("submission", local)):
            cron(lab, host, message_id, FRIEND)
        lab.wait("the letter in ldap's queue", lambda: "451" in lab.queues(("ldap",)), timeout_s=20)
        drop = lab.sh("submission", "find /var/spool/postfix/maildrop -type f").out
        story.claim("local mail of submission is in its maildrop", drop.strip(), drop)
        story.claim("nothing has arrived", not lab.mails("sink"), "a copy")
    story.tell("It runs again.")
    for host, message_id, daemon_host in (("ldap", waiting, "relay"), ("submission", local, "submission")):
        mails = lab.wait_mails("sink", message_id, timeout_s=90)
        story.show(daemon_host, log_line(lab, daemon_host, "sign", story, message_id))
        story.claim(f"the letter of {host} arrived once", len(mails) == 1, len(mails))
        story.claim("signed", ("pass", "our.example") in mails[0].dkim, mails[0].results("mx.gmail.example"))
        story.claim("and passes DMARC", mails[0].dmarc == "pass", mails[0].results("mx.gmail.example"))
    for host in ("relay", "submission"):
        done = lab.sh(host, f"postvouch unsigned --since @{story.began:.0f}", check=False)
        story.claim(f"nothing left {host} unsigned", (done.code, done.out) == (0, ""), done.text)
