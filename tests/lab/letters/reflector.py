"""Letter 11: a stranger's host mails back what it makes of our letters, and it takes no 8-bit bodies."""

import json
from email import message_from_bytes
from email.message import Message
from email.policy import default
from typing import Any

from lab.lab import Lab
from lab.post import new_id
from lab.story import Story, letter

BOB = "bob@our.example"
HOME = "bob@riseup.example"
REFLECTOR = "check-auth@verifier.far.example"


def report(lab: Lab, story: Story, message_id: str) -> dict[str, Any]:
    """The verdicts in the reflector's reply, which has come by way of mx and srs to where bob reads mail."""

    def find() -> list[Message]:
        found = (message_from_bytes(mail.raw, policy=default) for mail in lab.mails("sink"))
        return [mail for mail in found if message_id in str(mail["In-Reply-To"])]

    lab.wait(f"the answer to {message_id} at the sink", find, timeout_s=40)
    answers = find()
    story.claim("one answer came", len(answers) == 1, len(answers))
    story.claim("it is for bob", HOME in str(answers[0]["X-Original-To"]), str(answers[0]["X-Original-To"]))
    verdicts: dict[str, Any] = json.loads(answers[0].get_content())  # type: ignore[attr-defined]
    story.show("verifier", " ".join(str(verdicts["authres"]).split()))
    return verdicts


def passes(story: Story, verdicts: dict[str, Any]) -> None:
    """SPF, our one signature, DMARC and the name of the host: all good."""
    results = str(verdicts["authres"])
    story.claim("SPF passes", "spf=pass" in results, results)
    story.claim(
        "our signature is good", "dkim=pass" in results and "header.d=our.example" in results, results
    )
    story.claim("there is no other", results.count("dkim=") == 1, results)
    story.claim("DMARC passes", "dmarc=pass" in results, results)
    story.claim("the host's name leads back to it", "iprev=pass" in results, results)


def sendmail(lab: Lab, host: str, message_id: str, body: str, *fields: str) -> None:
    """bob's letter to the reflector, by sendmail(1) as "mail -r bob@our.example" calls it."""
    head = [
        f"From: Bob <{BOB}>", f"To: {REFLECTOR}", f"Message-ID: <{message_id}>", "Subject: Check", *fields
    ]  # fmt: skip
    text = "\n".join([*head, "", body])
    lab.sh(host, f"/usr/sbin/sendmail -i -f {BOB} -- {REFLECTOR} <<'END'\n{text}\nEND\n")


@letter(11, "check-auth: the far side mails back its verdicts on local mail of relay, submission and srs")
def reflector_answers(lab: Lab, story: Story) -> None:
    """sendmail(1) on each host: pickup, non_smtpd_milters, out by the host's own way."""
    for host in ("relay", "submission", "srs"):
        story.tell(f"On {host}: mail -r {BOB} {REFLECTOR}")
        message_id = new_id(f"check-{host}")
        sendmail(lab, host, message_id, "Is this all right?")
        passes(story, report(lab, story, message_id))


EIGHT = ("MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit")


@letter(11, "a next hop without 8BITMIME: what was signed arrives as it was signed")
def eight_bits_to_a_seven_bit_host(lab: Lab, story: Story) -> None:
    """disable_mime_output_conversion; without it Postfix makes it quoted-printable, which breaks it."""
    body = "Gr\u00fc\u00dfe aus Z\u00fcrich \u2014 \u3053\u3093\u306b\u3061\u306f"
    offers = lab.swaks(
        "sender",
        "--server",
        lab.address("verifier"),
        "--from",
        BOB,
        "--to",
        REFLECTOR,
        "--quit-after",
        "EHLO",
    ).out
    story.claim(
        "the verifier offers no 8BITMIME", "250-PIPELINING" in offers and "8BIT" not in offers, offers
    )
    for host in ("relay", "srs"):
        story.tell(f"bob's letter with an 8-bit body leaves from {host}.")
        message_id = new_id(f"eight-{host}")
        sendmail(lab, host, message_id, body, *EIGHT)
        verdicts = report(lab, story, message_id)
        story.claim("it arrived with all its 8-bit octets", verdicts["octets_above_127"] > 20, verdicts)
        passes(story, verdicts)
    story.tell("The same with Postfix's own default on relay: it converts what was signed already.")
    lab.sh("relay", "postconf -e disable_mime_output_conversion=no && postfix reload 2>&1")
    try:
        message_id = new_id("seven")
        sendmail(lab, "relay", message_id, body, *EIGHT)
        verdicts = report(lab, story, message_id)
        story.claim("no 8-bit octet arrived", verdicts["octets_above_127"] == 0, verdicts)
        story.claim(
            "and the signature is broken", "dkim=fail" in str(verdicts["authres"]), verdicts["authres"]
        )
    finally:
        lab.sh("relay", "postconf -e disable_mime_output_conversion=yes && postfix reload 2>&1")
        lab.sh("relay", "postvouch postfix --role relay --check")
