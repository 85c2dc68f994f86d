"""Letter 3: bob logs in and sends as himself, as his role, and as whom he may not."""

from lab.lab import Lab
from lab.ours import PASSWORDS
from lab.post import log_line, metric, metrics, new_id, refusal, setting
from lab.story import Story, letter

DOORS = {465: "--tls-on-connect", 587: "--tls"}
TWO_AN_HOUR = '[[policy.limit]]\nname = "hourly"\nmessages = 2\nwindow = "1h"\n'
FRIEND = "friend@gmail.example"


def submit(
    lab: Lab,
    *,
    port: int = 465,
    login: str = "bob",
    sender: str = "bob@our.example",
    author: str = "",
    to: str = FRIEND,
    message_id: str = "",
    fields: tuple[str, ...] = (),
) -> str:
    """Send one letter through our submission host from bob's laptop out in the world; swaks' transcript."""
    auth = ["--auth", "PLAIN", "--auth-user", login, "--auth-password", PASSWORDS[login]] if login else []
    return lab.swaks(
        "sender", "--server", lab.address("submission"), "--port", str(port), DOORS[port], *auth,
        "--helo", "laptop.far.example", "--from", sender, "--to", to,
        "--header", f"From: Bob <{author or sender}>", "--header", f"To: {FRIEND}",
        "--header", f"Message-Id: <{message_id or new_id('bob')}>",
        *(word for field in fields for word in ("--add-header", field)),
        "--header", "Subject: From bob's desk", "--body", "Hello,\nthis is bob.\n",
    ).out  # fmt: skip


def arrives_signed(lab: Lab, story: Story, *, author: str, port: int = 465) -> None:
    """One submitted letter reaches the sink, signed by us, and passes DMARC there."""
    message_id = new_id("submitted")
    transcript = submit(lab, port=port, sender=author, message_id=message_id)
    story.claim(f"port {port} takes bob's letter as {author}", not refusal(transcript), transcript[-900:])
    mails = lab.wait_mails("sink", message_id)
    story.show("submission", log_line(lab, "submission", "sign", story, message_id))
    mail = mails[0]
    judged = mail.results("mx.gmail.example")
    story.show("sink", judged)
    story.claim("exactly one copy arrived", len(mails) == 1, len(mails))
    story.claim("our signature is good at the sink", ("pass", "our.example") in mail.dkim, judged)
    story.claim("it is signed once, not again by srs", mail.signed_by() == ["our.example"], mail.signed_by())
    story.claim("DMARC passes for our.example", mail.dmarc == "pass", judged)
    story.claim("our own sender is not rewritten", mail.envelope_from == author, mail.envelope_from)


def is_refused(story: Story, transcript: str, code: str) -> None:
    """The transcript holds a refusal of that code."""
    story.show("submission", refusal(transcript) or "took it")
    story.claim(f"refused with {code}", refusal(transcript).startswith(code), transcript[-900:])


def both_doors(lab: Lab, story: Story) -> None:
    """bob as himself on 465 and on 587."""
    for port in DOORS:
        story.tell(f"bob logs in on {port} and writes to {FRIEND} as himself.")
        arrives_signed(lab, story, author="bob@our.example", port=port)


@letter(3, "bob sends as himself on 465 and on 587")
def bob_as_himself(lab: Lab, story: Story) -> None:
    """Signed, and DMARC passes at the sink."""
    both_doors(lab, story)
    page = metrics(lab, "submission", "sign")
    story.claim("the signer's /metrics counts it", metric(page, "postvouch_messages_total") >= 1, page[:800])


@letter(3, "bob sends as the role he belongs to")
def bob_as_his_role(lab: Lab, story: Story) -> None:
    """grants@our.example has bob among its members."""
    arrives_signed(lab, story, author="grants@our.example")


@letter(3, "bob sends as carol: refused")
def bob_as_carol(lab: Lab, story: Story) -> None:
    """553 for the envelope sender of another, in the same words whoever says it, with the page that helps."""
    story.tell("bob logs in and says MAIL FROM:<carol@our.example>.")
    transcript = submit(lab, sender="carol@our.example")
    is_refused(story, transcript, "553")
    said = "not owned by user bob - see https://our.example/mail-help"
    story.claim(f"it says: {said}", said in refusal(transcript), transcript[-900:])
    story.tell("The policy service is taken out of main.cf: Postfix refuses by the map alone.")
    restrictions = lab.sh("submission", "postconf -hx smtpd_sender_restrictions").out.strip()
    try:
        lab.sh(
            "submission", "postconf -e smtpd_sender_restrictions=reject_sender_login_mismatch; postfix reload"
        )
        again = submit(lab, sender="carol@our.example")
        story.claim("in the same words", refusal(again) == refusal(transcript), refusal(again))
    finally:
        kept = restrictions.replace("'", "'\\''")
        lab.sh("submission", f"postconf -e 'smtpd_sender_restrictions={kept}'; postfix reload")


@letter(3, "bob sends as himself with carol in From: - refused")
def carol_in_the_header(lab: Lab, story: Story) -> None:
    """Postfix never looks at the header; the signer does."""
    story.tell("The envelope is bob's; only the header From: names carol.")
    is_refused(story, submit(lab, author="carol@our.example"), "550")


@letter(3, "bob sends with an empty sender: reports only")
def nobody_as_sender(lab: Lab, story: Story) -> None:
    """The login maps never see the null sender; postvouch-sign looks whether it is a report."""
    story.tell("An ordinary letter with an empty sender.")
    is_refused(story, submit(lab, sender="<>", author="bob@our.example"), "553")
    story.tell("A receipt that he has read something.")
    receipt = (
        "MIME-Version: 1.0",
        'Content-Type: multipart/report; report-type=disposition-notification; boundary="x"',
    )
    message_id = new_id("receipt")
    transcript = submit(lab, sender="<>", author="bob@our.example", fields=receipt, message_id=message_id)
    story.claim("taken", not refusal(transcript), transcript[-900:])
    (mail,) = lab.wait_mails("sink", message_id)
    story.claim("its sender is still empty", mail.envelope_from == "", mail.envelope_from)
    story.claim("DMARC passes", mail.dmarc == "pass", mail.results("mx.gmail.example"))
    story.tell("A receipt in carol's name.")
    is_refused(story, submit(lab, sender="<>", author="carol@our.example", fields=receipt), "550")


@letter(3, "bob has carol named as the sender: refused")
def carol_as_sender_field(lab: Lab, story: Story) -> None:
    """Mail programs show Sender: as "carol on behalf of bob"."""
    is_refused(story, submit(lab, fields=("Sender: carol@our.example",)), "550")


@letter(3, "where bob writes from stays with us")
def bobs_laptop(lab: Lab, story: Story) -> None:
    """Neither the address nor the name of his laptop, nor his program, nor who gets a blind copy."""
    story.tell(f"bob writes to {FRIEND} and, unseen by him, to other@gmail.example.")
    message_id = new_id("private")
    fields = ("User-Agent: Thunderbird 140", "X-Mailer: Mail.app", "X-Originating-IP: 192.0.2.99")
    transcript = submit(lab, to=f"{FRIEND},other@gmail.example", message_id=message_id, fields=fields)
    story.claim("taken", not refusal(transcript), transcript[-900:])
    lab.wait("both copies are there", lambda: len(lab.mails("sink", message_id)) == 2)
    for mail in lab.mails("sink", message_id):
        raw = mail.raw.decode(errors="replace")
        story.show("sink", " | ".join(mail.fields("Received")[-1:]))
        for word in (lab.address("sender"), "laptop.far.example", "Thunderbird", "Mail.app", "192.0.2.99"):
            story.claim(f"{word} is nowhere in it", word not in raw, raw[:3000])
        if mail.recipient == FRIEND:
            story.claim("it does not name the other", "other@" not in raw, raw[:3000])
        judged = mail.results("mx.gmail.example")
        story.claim("our signature is good", ("pass", "our.example") in mail.dkim, judged)
    count = f"journalctl -q --no-pager -t postvouch-sign | grep -cF '[{lab.address('sender')}]'"
    said = lab.sh("submission", count, check=False).out
    story.claim("our log has the client", int(said or 0) > 0, said)


@letter(3, "nobody sends without a login")
def without_login(lab: Lab, story: Story) -> None:
    """Both doors, and port 25 is no door at all."""
    for port in DOORS:
        story.tell(f"Somebody without a login tries port {port}.")
        transcript = submit(lab, port=port, login="")
        story.show("submission", refusal(transcript))
        story.claim("refused for good", refusal(transcript).startswith("5"), transcript[-900:])
    closed = lab.sh("submission", "ss -Hltn 'sport = :25'").out
    story.claim("nothing listens on port 25", closed == "", closed)


@letter(3, "postvouch-policy is stopped: 451, never open")
def policy_stopped(lab: Lab, story: Story) -> None:
    """And all is well again once it runs."""
    with lab.stopped("submission", "postvouch-policy"):
        story.tell("postvouch-policy is stopped. bob logs in and sends as himself.")
        is_refused(story, submit(lab), "451")
        story.tell("... and as carol.")
        transcript = submit(lab, sender="carol@our.example")
        story.show("submission", refusal(transcript))
        story.claim("still refused", refusal(transcript)[:1] in ("4", "5"), transcript[-900:])
    story.tell("It runs again.")
    arrives_signed(lab, story, author="bob@our.example")


@letter(3, "a login over its limit waits, and redis remembers")
def over_the_limit(lab: Lab, story: Story) -> None:
    """450 at DATA; the count outlives the daemon in redis; without redis the host knows its own share."""
    story.tell("The limit is two letters an hour for each login; bob sends three.")
    lab.sh("redis", "redis-cli flushall")
    with setting(lab, "submission", "policy", TWO_AN_HOUR):
        for nth in ("first", "second"):
            transcript = submit(lab)
            story.claim(f"his {nth} is taken", not refusal(transcript), transcript[-900:])
        is_refused(story, submit(lab), "450")
        story.tell("postvouch-policy restarts; he tries again.")
        lab.sh("submission", "systemctl restart postvouch-policy")
        is_refused(story, submit(lab), "450")
        story.tell(
            "redis stops: this host counts alone, with what it has let through; its file remembers that, too."
        )
        with lab.stopped("redis", "lab-redis"):
            is_refused(story, submit(lab), "450")
            page = metrics(lab, "submission", "policy")
            story.claim("/metrics says so", metric(page, "postvouch_counting_alone") == 1, page[:800])
    lab.sh("redis", "redis-cli flushall")
