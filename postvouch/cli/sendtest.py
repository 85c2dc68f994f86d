"""``postvouch send-test``: a letter through this host's own Postfix, as cron or mail(1) would send it."""

import os
import shutil
import subprocess
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, make_msgid

import click

from postvouch.cli import output
from postvouch.values.address import Address, AddressError, parse_address

SENDMAIL = "/usr/sbin/sendmail"
TIMEOUT_S = 60
TEXT = """This letter was sent by "postvouch send-test" to see whether it arrives signed.

The Authentication-Results field above it, written by the host where you read it, says
what became of our signature (dkim=), of our sending host (spf=) and of both (dmarc=).
"""


@click.command("send-test")
@click.argument("recipient", metavar="ADDRESS")
@click.option("--from", "author", required=True, metavar="ADDRESS", help="Whom it is from: one of ours.")
@click.option("--subject", default="A test of our signature", show_default=True, help="Its subject.")
@output.json_option
def send_test(recipient: str, author: str, subject: str, as_json: bool) -> None:
    """Send one letter to ADDRESS through this host's Postfix, to see how it arrives.

    It goes the way of local mail (sendmail, non_smtpd_milters). ADDRESS is a mailbox of yours elsewhere, or a
    service that answers with what it found, such as check-auth@verifier.port25.com.
    """
    sender, to = _address(author), _address(recipient)
    letter = _letter(sender, to, subject)
    message_id = str(letter["Message-ID"])
    _send(letter.as_bytes(policy=SMTP.clone(linesep="\n")), str(sender), str(to))
    if as_json:
        output.print_json({"from": str(sender), "to": str(to), "message_id": message_id})
        return
    output.line(f"Postfix has taken the letter from {sender} to {to}: message-id={message_id}")
    output.line(f'its queue id: journalctl -g "message-id={message_id}" or grep it in /var/log/mail.log')
    output.line("what we made of it: the line of postvouch-sign with that queue id")


def _address(text: str) -> Address:
    try:
        address = parse_address(text)
    except AddressError as error:
        raise output.Failure(output.USAGE, f'"{output.clean(text)}" is no address: {error}') from None
    if not address.local.isascii():
        raise output.Failure(
            output.USAGE, f'"{output.clean(text)}": this letter is plain ASCII, and so are its addresses'
        )
    return address


def _letter(sender: Address, to: Address, subject: str) -> EmailMessage:
    letter = EmailMessage()
    try:
        letter["From"], letter["To"], letter["Subject"] = str(sender), str(to), subject
    except ValueError as error:
        raise output.Failure(output.USAGE, f"this cannot stand in a header: {error}") from None
    letter["Date"] = formatdate(localtime=True)
    letter["Message-ID"] = make_msgid(domain=sender.domain)
    letter.set_content(TEXT)
    return letter


def _send(octets: bytes, sender: str, to: str) -> None:
    """Hand it to sendmail(1). Failure where that is not there, or does not take it."""
    program = shutil.which("sendmail") or SENDMAIL
    try:
        done = subprocess.run(  # noqa: S603 - no shell, and the addresses have been parsed
            [program, "-i", "-f", sender, "--", to],
            input=octets,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        raise output.Failure(output.UNAVAILABLE, f"{program}: not there; is Postfix installed?") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise output.Failure(output.UNAVAILABLE, f"{program}: {error}") from None
    if done.returncode:
        said = output.clean(done.stderr.decode("utf-8", "replace").strip())
        status = output.TEMPFAIL if done.returncode == os.EX_TEMPFAIL else output.UNAVAILABLE
        raise output.Failure(status, f"{program} ended with {done.returncode}: {said}")
