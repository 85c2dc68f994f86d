"""Letters 1 and 2: in, out again to where the forwards point, and the bounce all the way home."""

from lab.lab import Lab, Received
from lab.post import ALICE, SRS0, alice_writes, ask_map, log_line, metric, metrics, new_id, refusal
from lab.story import Story, letter

ROLE_TARGETS = {"bob@riseup.example", "dora@gmail.example"}


def check_forwarded(story: Story, mail: Received) -> None:
    """What the sink, by its own judgement, must find in a forwarded copy of alice's letter."""
    judged = mail.results("mx.gmail.example")
    story.show("sink", f"Return-Path: <{mail.envelope_from}>", mail.field("Received-SPF"), judged)
    story.claim(
        f"{mail.recipient}: the envelope sender is an SRS address of ours",
        SRS0.fullmatch(mail.envelope_from), mail.envelope_from,
    )  # fmt: skip
    story.claim("the sink's SPF says pass for it", mail.spf == "pass", mail.field("Received-SPF"))
    story.claim("alice's signature is intact", ("pass", "far.example") in mail.dkim, judged)
    story.claim("DMARC passes for far.example", mail.dmarc == "pass", judged)
    story.claim("we did not sign what is not ours", "our.example" not in mail.signed_by(), mail.signed_by())
    ours = mail.results("mx.our.example")
    missing = [word for word in ("spf=pass", "dkim=pass", "dmarc=pass") if word not in ours]
    story.claim("our mx had recorded spf=pass, dkim=pass and dmarc=pass", not missing, ours)


def role_letter(lab: Lab, story: Story, to: str = "grants@our.example") -> None:
    """The whole of letter 1 to one address of the role."""
    message_id = new_id("in-and-out")
    alice_writes(lab, story, to, message_id=message_id)
    mails = lab.wait_mails("sink", message_id, len(ROLE_TARGETS))
    story.show("mx", log_line(lab, "mx", "verify", story, message_id))
    story.show("srs", log_line(lab, "srs", "sign", story, message_id))
    story.claim(
        "the role's two people have one copy each, where they read their mail",
        len(mails) == 2 and {mail.recipient for mail in mails} == ROLE_TARGETS,
        [mail.recipient for mail in mails],
    )
    story.show("mx wrote", mails[0].results("mx.our.example"))
    for mail in mails:
        check_forwarded(story, mail)


@letter(1, "in and out again: a stranger writes to a role")
def in_and_out_again(lab: Lab, story: Story) -> None:
    """alice -> grants@our.example -> mx -> srs -> the sink."""
    role_letter(lab, story)
    page = metrics(lab, "mx", "verify")
    counted = metric(page, "postvouch_messages_total", 'action="accept"')
    story.claim("mx's /metrics counts it", counted >= 1, page[:800])


@letter(1, "the same by way of the alias domain")
def by_the_alias_domain(lab: Lab, story: Story) -> None:
    """alice -> grants@old.example."""
    role_letter(lab, story, "grants@old.example")


@letter(1, "a forged Authentication-Results field does not survive our mx")
def forged_results_are_removed(lab: Lab, story: Story) -> None:
    """A stranger writes our mx's verdict himself."""
    message_id = new_id("forged-results")
    story.tell("mallory@far.example sends three fields in which mx.our.example seems to vouch for him.")
    lie = "Authentication-Results: {}; dmarc=pass header.from=our.example; x-lie={}"
    names = ("mx.our.example", "MX.our.Example 1", "other.example", "mx.our.example")
    forged = [part for n, name in enumerate(names) for part in ("--add-header", lie.format(name, n))]
    done = lab.swaks(
        "sender", "--server", lab.address("mx"), "--helo", "mail.far.example",
        "--from", "mallory@far.example", "--to", "dora@our.example",
        "--header", f"Message-Id: <{message_id}>", *forged,
    )  # fmt: skip
    story.claim("mx took the letter", done.ok, done.out[-500:])
    (mail,) = lab.wait_mails("sink", message_id)
    fields = mail.fields("Authentication-Results")
    story.show("sink has", *fields)
    lies = [field for field in fields if "x-lie" in field]
    story.claim("only the field that never claimed to be ours is left", len(lies) == 1, lies)
    story.claim("and that one is other.example's", lies[0].startswith("other.example;"), lies)


@letter(1, "an address that nobody has is refused while the stranger still listens")
def unknown_is_refused(lab: Lab, story: Story) -> None:
    """No bounce is ever made for nosuch@."""
    for address in ("nosuch@our.example", "nosuch@old.example"):
        done = lab.swaks(
            "sender", "--server", lab.address("mx"), "--from", ALICE, "--to", address, "--quit-after", "RCPT"
        )
        story.show("mx", refusal(done.out))
        story.claim(f"{address}: 550", refusal(done.out).startswith("550"), done.out[-600:])


def bounce_letter(lab: Lab, story: Story, *, by: tuple[str, ...] = ("srs.our.example",)) -> None:
    """The whole of letter 2's round trip; ``by``: hosts that must have had the bounce."""
    message_id = new_id("bounce")
    alice_writes(lab, story, "frank@our.example", message_id=message_id)
    story.tell(
        "frank forwards to full@gmail.example. The sink takes the letter, and finds the mailbox full later."
    )

    def home() -> list[Received]:
        return [mail for mail in lab.mails("sender") if message_id.encode() in mail.raw]

    lab.wait("the bounce in alice's mailbox", home, timeout_s=40)
    (bounce,) = home()
    received = [field.partition(" for ")[0] for field in bounce.fields("Received")]
    story.show("alice got", f"From: {bounce.field('From')}", f"Subject: {bounce.field('Subject')}", *received)
    story.claim("it reached alice herself", bounce.recipient == ALICE, bounce.recipient)
    story.claim("with the null sender", bounce.envelope_from == "", bounce.envelope_from)
    story.claim("it says why", b"Status: 5.2.2" in bounce.raw, bounce.raw[-1500:])
    story.claim("it names the forward", b"rfc822; frank@our.example" in bounce.raw, bounce.raw[-1500:])
    story.claim("and not where that goes", b"gmail.example" not in bounce.raw, bounce.raw[-3000:])
    way = " ".join(received)
    for host in by:
        story.claim(f"it came by {host}", f"by {host}" in way, way)


@letter(2, "the bounce comes home")
def the_bounce_comes_home(lab: Lab, story: Story) -> None:
    """frank's mailbox refuses later; its bounce reaches alice through mx and srs."""
    bounce_letter(lab, story)
    story.show("mx", *lab.journal("mx", story.began, word="orig_to=<SRS0=")[:1])


@letter(2, "a forged SRS address is refused, a foreign one is nothing to us")
def forged_srs_is_refused(lab: Lab, story: Story) -> None:
    """550 at RCPT for a bad hash; NOTFOUND for somebody else's SRS address."""
    forged = "SRS0=AAAA=AA=far.example=alice@our.example"
    story.tell(f"The sink bounces to {forged}, which we never wrote.")
    done = lab.swaks(
        "sink", "--server", lab.address("mx"), "--from", "<>", "--to", forged, "--quit-after", "RCPT"
    )
    story.show("mx", refusal(done.out))
    story.claim("550 at RCPT", refusal(done.out).startswith("550"), done.out[-600:])

    good = ask_map(lab, "srs", "srs-forward", ALICE)
    story.show("srs maps", f"srs-forward {ALICE} -> {good}")
    story.claim("srs writes an address of ours", SRS0.fullmatch(good), good)
    back = ask_map(lab, "mx", "srs-reverse", good.lower())
    story.claim("mx reads it, in lower case too, by the shared secret", back == ALICE, back)
    lines = [
        line for line in lab.journal("mx", story.began, word="postvouch-map[") if "SRS0=AAAA" in line.upper()
    ]
    story.show("mx", *(line.partition(" postvouch-")[2] for line in lines[:1]))
    story.claim("the log says why the forged one was refused", lines, "no line")
    foreign = "SRS0=aBcD=XY=far.example=alice@forwarder.example"
    for host, table in (("mx", "srs-reverse"), ("srs", "srs-reverse")):
        answer = ask_map(lab, host, table, foreign)
        story.claim(f"{host}: {table} knows nothing of {foreign}", answer == "", answer)
