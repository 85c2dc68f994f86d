"""Letter 5: a host without keys hands its mail to relay; a stranger may not."""

import json

from lab.lab import Lab
from lab.post import log_line, new_id, refusal
from lab.story import Story, letter

CRON = "cron@our.example"


def letter_text(message_id: str, to: str) -> str:
    """A letter as cron would pipe it into sendmail(1)."""
    return (
        f"From: Cron <{CRON}>\nTo: {to}\nMessage-ID: <{message_id}>\nSubject: nightly job\n\nAll is well.\n"
    )


def arrives_signed(lab: Lab, story: Story, message_id: str, host: str = "relay") -> None:
    """The letter is at the sink, once, signed by us on ``host``, and passes DMARC."""
    mails = lab.wait_mails("sink", message_id)
    story.show(host, log_line(lab, host, "sign", story, message_id))
    judged = mails[0].results("mx.gmail.example")
    story.show("sink", judged)
    story.claim("one copy arrived", len(mails) == 1, len(mails))
    story.claim("our signature is good", ("pass", "our.example") in mails[0].dkim, judged)
    story.claim("DMARC passes", mails[0].dmarc == "pass", judged)


@letter(5, "a host without keys hands its mail to relay")
def keyless_host(lab: Lab, story: Story) -> None:
    """cron on ldap.our.example, whose Postfix knows only its relayhost."""
    message_id = new_id("keyless")
    story.tell("cron on ldap.our.example, a host without keys, mails dora@gmail.example.")
    text = letter_text(message_id, "dora@gmail.example")
    lab.sh("ldap", f"sendmail -i -f {CRON} dora@gmail.example <<'END'\n{text}END\n")
    arrives_signed(lab, story, message_id)


@letter(5, "the same from a stranger: not relayed, not signed")
def stranger_at_relay(lab: Lab, story: Story) -> None:
    """relay talks to internal hosts only."""
    message_id = new_id("stranger")
    story.tell("mail.far.example, which is not among relay's internal hosts, sends the same letter.")
    transcript = lab.swaks(
        "sender", "--server", lab.address("relay"), "--from", CRON, "--to", "dora@gmail.example",
        "--header", f"From: Cron <{CRON}>", "--header", f"Message-Id: <{message_id}>",
    ).out  # fmt: skip
    story.show("relay", refusal(transcript) or "took it")
    story.claim("refused for good", refusal(transcript).startswith("5"), transcript[-900:])
    story.claim("nothing reached the sink", not lab.mails("sink"), "a copy")


@letter(5, "local pickup is signed: sendmail on relay itself")
def local_pickup(lab: Lab, story: Story) -> None:
    """non_smtpd_milters."""
    story.tell(
        'The admin of relay asks "postvouch send-test" for a letter; sendmail(1) takes it, as from cron.'
    )
    asked = f"postvouch send-test dora@gmail.example --from {CRON}"
    sent = lab.sh("relay", f"{asked} --json").out
    arrives_signed(lab, story, json.loads(sent)["message_id"].strip("<>"))
    story.show("relay", lab.sh("relay", asked).out)


@letter(5, "what the mx makes itself is signed by srs, on the mx's word")
def made_on_mx(lab: Lab, story: Story) -> None:
    """To srs everything from mx is strangers' mail, but for what mx vouches for."""
    message_id = new_id("mx-cron")
    story.tell("cron on mx pipes a letter into sendmail; mx itself never sends to the world.")
    text = letter_text(message_id, "dora@gmail.example")
    lab.sh("mx", f"sendmail -i -f {CRON} dora@gmail.example <<'END'\n{text}END\n")
    arrives_signed(lab, story, message_id, host="srs")


@letter(5, "a bounce that relay writes itself is signed")
def own_bounce(lab: Lab, story: Story) -> None:
    """MAILER-DAEMON@our.example needs a signature under p=reject (internal_mail_filter_classes)."""
    story.tell("A letter to no-such-domain.example, sent in dora's name: relay has to bounce it to her.")
    text = letter_text(new_id("bounced"), "x@no-such-domain.example")
    lab.sh("ldap", f"sendmail -i -f dora@gmail.example x@no-such-domain.example <<'END'\n{text}END\n")
    lab.wait("the bounce at the sink", lambda: lab.mails("sink"), timeout_s=40)
    mail = lab.mails("sink")[0]
    judged = mail.results("mx.gmail.example")
    story.show("sink", f"From: {mail.field('From')}", f"Return-Path: <{mail.envelope_from}>", judged)
    story.claim(
        "it is relay's own bounce", "MAILER-DAEMON@our.example" in mail.field("From"), mail.field("From")
    )
    story.claim("our signature is good", ("pass", "our.example") in mail.dkim, judged)
    story.claim("DMARC passes", mail.dmarc == "pass", judged)
