"""A bounce from behind a forward, written anew: what a stranger may know of it, and nothing else.

Nothing is taken out of the old text, all of it is dropped: a new report (RFC 6522 §3, RFC 3464 §2) is made
of a few facts, each checked for its form. The name in it is ours, remote hosts and their words are not in it,
and of the letter returned only fields stay that its sender wrote and that hold no word of where it went.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import formatdate
from hashlib import sha256

from postvouch.auth.encodedword import decoded
from postvouch.directory.model import target_of
from postvouch.forward.bounce import Bounce, Recipient
from postvouch.forward.names import Names, shown_as
from postvouch.srs.codec import is_tagged
from postvouch.values.address import AddressError
from postvouch.values.decision import AddField, Edit, RemoveField, ReplaceBody
from postvouch.values.message import Field, by_name

RETURNED = (
    b"from", b"sender", b"reply-to", b"to", b"cc", b"resent-from", b"resent-to", b"resent-cc", b"subject",
    b"date", b"message-id", b"in-reply-to", b"references",
)  # fmt: skip
"""Fields that the sender wrote; what hosts on the way wrote is not among them."""

MAX_FIELD, MAX_RETURNED, MAX_LINE = 4000, 16000, 900
MAX_SECRETS = 4000
"""With more words that must not be told, nothing is shown: each field would be searched for all of them."""

MAX_HOPS = 60
NEUTRAL = "undisclosed-recipient"

_ORDER = ("failed", "delayed", "expanded", "relayed", "delivered")
_SUBJECT = {"failed": "Undelivered Mail Returned to Sender", "delayed": "Delayed Mail (still being retried)"}
_SAYS = {
    "failed": "Your message could not be delivered to the address below.",
    "delayed": "Your message could not be delivered yet to the address below. It is tried again;\r\n"
    "you need not send it again.",
}
_UNPRINTABLE = re.compile(r"[^\t -~]")
_BLANKS = re.compile(r"\s+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Who writes. ``domain`` is that of From: and of the neutral address, ``hostname`` the reporting MTA."""

    domain: str
    hostname: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A new report: its header, top to bottom, and its body (CRLF lines). ``aliases``: whom it names."""

    fields: tuple[tuple[str, str], ...]
    body: bytes
    aliases: tuple[str, ...]

    def edits(self, old: Sequence[Field]) -> tuple[Edit, ...]:
        """What turns the letter with the header ``old`` into this report."""
        seen: dict[bytes, int] = {}
        removals: list[Edit] = []
        for field in old:
            name = field.name.rstrip(b" \t")
            seen[name.lower()] = nth = seen.get(name.lower(), 0) + 1
            removals.append(RemoveField(name.decode("ascii", "replace"), nth))
        added = (AddField(name, value) for name, value in self.fields)
        return (*reversed(removals), *added, ReplaceBody(self.body))

    def header(self) -> tuple[Field, ...]:
        """The header as a signature sees it."""
        return tuple(
            Field(name.encode(), b" " + value.encode().replace(b"\n", b"\r\n")) for name, value in self.fields
        )


def rewrite(
    bounce: Bounce,
    *,
    names: Names,
    writer: Writer,
    recipients: Sequence[str],
    hops: int,
    made_here: bool,
    now: float,
    tag: str,
) -> Report:
    """The report of ``bounce`` for ``recipients``, who wrote the letter that did not arrive.

    ``hops``: how many Received fields it had; as many empty ones stay, or a loop of bounces would not end.
    ``tag`` makes what must be unique so; ``now`` is seconds since 1970.
    """
    named = names.named(bounce)
    known: dict[str, Recipient] = {}
    for each in bounce.recipients or (Recipient(),):
        alias = names.alias(each, named, made_here=made_here)
        before = known.get(alias)
        # One group for each address of ours: how many are behind it is nobody's business either.
        if before is None or _ORDER.index(each.action) < _ORDER.index(before.action):
            known[alias] = each
    secrets = names.secrets(bounce, known, recipients)
    returned = _returned(bounce.returned, secrets)
    shown = {shown_as(alias) if alias else f"{NEUTRAL}@{writer.domain}": known[alias] for alias in known}
    action = min((each.action for each in known.values()), key=_ORDER.index)
    parts = [
        ("text/plain; charset=us-ascii", _words(shown, action, writer)),
        ("message/delivery-status", _status(shown, writer)),
    ]
    if returned:
        parts.append(("text/rfc822-headers", returned))
    mark = sha256("\0".join((tag, str(now), *(text for _, text in parts))).encode()).hexdigest()[:32]
    body = "This is a report of delivery in MIME format.\r\n\r\n"
    for kind, text in parts:
        body += f"--={mark}\r\nContent-Type: {kind}\r\n\r\n{text}\r\n"
    body += f"--={mark}--\r\n"
    date = formatdate(now).replace("-0000", "+0000")
    passed = ("Received", f"by {writer.hostname}; {date}")
    fields = (
        *((passed,) * min(hops, MAX_HOPS)),
        ("Date", date),
        ("From", f"Mail Delivery System <MAILER-DAEMON@{writer.domain}>"),
        ("To", _to(recipients)),
        ("Subject", _SUBJECT.get(action, "Successful Mail Delivery Report")),
        ("Message-ID", f"<{mark}@{writer.hostname}>"),
        ("Auto-Submitted", "auto-replied"),
        ("MIME-Version", "1.0"),
        ("Content-Type", f'multipart/report; report-type=delivery-status;\n boundary="={mark}"'),
    )
    return Report(fields=fields, body=body.encode("ascii"), aliases=tuple(shown))


def _to(recipients: Sequence[str]) -> str:
    try:
        address = target_of(recipients[0]) if len(recipients) == 1 else ""
        if is_tagged(address):  # not yet undone, and no name that anybody knows
            address = ""
    except AddressError:
        address = ""
    return (
        f"<{address}>" if address and address.isascii() and len(address) < 320 else "undisclosed-recipients:;"
    )


def _words(shown: dict[str, Recipient], action: str, writer: Writer) -> str:
    """What a person reads."""
    lines = [
        f"This is the mail system at {writer.hostname}.",
        "",
        _SAYS.get(action, "Your message was handed on for the address below, as you asked to be told."),
        "",
        *(
            f"  <{address}>: {each.action}, {_diagnostic(each) or each.status}"
            for address, each in shown.items()
        ),
        "",
        "The address is ours, and its mail goes on to a place outside. What the mail system there said",
        "is left out here, since it would tell where that is.",
        "",
    ]
    return "\r\n".join(lines)


def _status(shown: dict[str, Recipient], writer: Writer) -> str:
    """The fields that programs read (RFC 3464 §2.2, §2.3)."""
    lines = [f"Reporting-MTA: dns; {writer.hostname}"]
    for address, each in shown.items():
        lines += [
            "",
            f"Original-Recipient: rfc822; {address}",
            f"Final-Recipient: rfc822; {address}",
            f"Action: {each.action}",
            f"Status: {each.status}",
        ]
        if diagnostic := _diagnostic(each):
            lines.append(f"Diagnostic-Code: smtp; {diagnostic}")
    return "\r\n".join((*lines, ""))


def _diagnostic(each: Recipient) -> str:
    """The code of SMTP and the status: all that is kept of what the remote host said."""
    return f"{each.code} {each.status}" if each.code and each.code[0] == each.status[0] else ""


def _returned(fields: Sequence[Field], secrets: frozenset[str]) -> str:
    """The fields of the letter returned that may be shown, as lines."""
    text = ""
    first = {name: found[0] for name, found in by_name(fields).items() if name in RETURNED}
    for field in first.values() if len(secrets) <= MAX_SECRETS else ():
        if len(field.value) > MAX_FIELD:
            continue
        value = field.value.decode("utf-8", "surrogateescape")
        if tells(value, secrets):
            continue
        lines = [_UNPRINTABLE.sub("?", line) for line in value.split("\r\n")]
        written = f"{field.name.decode('ascii')}:" + "\r\n".join(lines) + "\r\n"
        if all(map(str.strip, lines[1:])) and max(map(len, lines)) <= MAX_LINE:
            if len(text) + len(written) > MAX_RETURNED:
                break
            text += written
    return text


def tells(value: str, secrets: frozenset[str]) -> bool:
    """Whether a field holds one of these words, folded, spaced out or in encoded-words as it may be."""
    readings = (value, decoded(" ".join(value.split())))
    texts = {_BLANKS.sub(gap, reading).lower() for reading in readings for gap in ("", " ")}
    return any(word in text for text in texts for word in secrets)
