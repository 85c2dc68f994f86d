"""Letter 4: a stranger writes as bob. It may be noticed, held or refused; it never leaves as ours."""

from lab.lab import Lab
from lab.post import log_line, new_id, refusal, setting
from lab.story import Story, letter

BOB = "bob@our.example"
# Where the stranger has bob's address in the envelope as well, SRS alone would leave it there.
SENDERS = ("mallory@far.example", BOB, "<>")


def spoof(
    lab: Lab, story: Story, sender: str, *, author: str = BOB, to: str = "dora@our.example"
) -> tuple[str, str]:
    """A stranger's letter with bob in From:, straight to our mx: (Message-ID, swaks' transcript)."""
    message_id = new_id("spoof")
    story.tell(f"A stranger sends to {to}: MAIL FROM {sender}, From: {author}.")
    transcript = lab.swaks(
        "sender", "--server", lab.address("mx"), "--helo", "mail.far.example", "--from", sender,
        "--to", to, "--header", f"From: Bob <{author}>", "--header", f"Message-Id: <{message_id}>",
        "--header", "Subject: Urgent: new bank account",
        "--add-header", "Authentication-Results: mx.our.example; dmarc=pass header.from=our.example",
    ).out  # fmt: skip
    return message_id, transcript


@letter(4, "a spoof is noticed by mx and held by srs")
def spoof_is_held(lab: Lab, story: Story) -> None:
    """The default: nothing leaves, an admin sees it in the hold queue."""
    for sender in SENDERS:
        message_id, transcript = spoof(lab, story, sender)
        story.claim("mx takes it, as it only monitors", not refusal(transcript), transcript[-900:])
        line = log_line(lab, "mx", "verify", story, message_id)
        story.show("mx", line)
        story.claim("mx found dmarc=fail", "dmarc=fail" in line, line)
        line = log_line(lab, "srs", "sign", story, message_id)
        story.show("srs", line)
        story.claim("srs saw no proof of origin", "reason=gate-denied" in line, line)
        held = [entry for entry in lab.queues(("srs",)).splitlines() if '"queue_name": "hold"' in entry]
        story.show("srs queue", *held)
        story.claim("srs holds it", held, lab.queues())
        story.claim("nothing reached the sink", not lab.mails("sink"), "a copy at the sink")
        lab.sh("srs", "postsuper -d ALL hold >/dev/null 2>&1")


@letter(4, "a spoof that may pass never looks like ours at the sink")
def spoof_is_forwarded_unaligned(lab: Lab, story: Story) -> None:
    """on_unproven = forward: an envelope that aligns with nothing, no signature, DMARC fails at the sink."""
    text = '[sign]\non_unproven = "forward"\n[srs]\nunproven_domain = "old.example"\n'
    with setting(lab, "srs", "sign", text):
        for sender in (s for s in SENDERS if s != "<>"):
            message_id, _ = spoof(lab, story, sender)
            mail = lab.wait_mails("sink", message_id)[0]
            judged = mail.results("mx.gmail.example")
            story.show("srs", log_line(lab, "srs", "sign", story, message_id))
            story.show("sink", f"Return-Path: <{mail.envelope_from}>", mail.field("Received-SPF"), judged)
            story.claim("we did not sign it", "our.example" not in mail.signed_by(), mail.signed_by())
            story.claim(
                "the sender is in the domain for the unproven", mail.envelope_from.endswith("@old.example")
            )
            story.claim("DMARC fails at the sink", mail.dmarc == "fail", judged)


@letter(4, "a spoof is refused where mx is told to")
def spoof_is_refused(lab: Lab, story: Story) -> None:
    """verdict.mode = enforce: 550 at the end of the letter, nobody is bounced to."""
    with setting(lab, "mx", "verify", '[verdict]\nmode = "enforce"\n'):
        for sender in SENDERS:
            _, transcript = spoof(lab, story, sender)
            story.show("mx", refusal(transcript) or "took it")
            story.claim("550", refusal(transcript).startswith("550"), transcript[-900:])
    story.claim("no bounce of ours is on its way", not lab.queues(), lab.queues())


@letter(4, "the same words from bob himself do pass")
def proven_passes(lab: Lab, story: Story) -> None:
    """bob, through our submission host, to a forward: the gate is not a wall."""
    from lab.letters.submission import submit

    message_id = new_id("proven")
    transcript = submit(lab, to="dora@our.example", message_id=message_id)
    story.claim("submission takes it", not refusal(transcript), transcript[-900:])
    mail = lab.wait_mails("sink", message_id)[0]
    judged = mail.results("mx.gmail.example")
    story.show("srs", log_line(lab, "srs", "sign", story, message_id))
    story.show("sink", judged)
    story.claim(
        "our signature is good, DMARC passes",
        ("pass", "our.example") in mail.dkim and mail.dmarc == "pass",
        judged,
    )
    story.claim("signed once", mail.signed_by() == ["our.example"], mail.signed_by())
