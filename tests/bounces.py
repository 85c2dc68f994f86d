"""Bounces of the corpus, and one of our own as the pure functions want it."""

from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from names import directory

from postvouch.directory.model import Rules
from postvouch.forward import bounce
from postvouch.forward.names import Names
from postvouch.forward.redact import Report, Writer, rewrite
from postvouch.values.message import Field

FOLDER = Path(__file__).parent / "bouncemail"
CORPUS = sorted(FOLDER.glob("*.eml"))
NAMES = """\
domains: {our.example: primary}
aliases: {grants: [alice]}
forwards: {alice: alice@gmail.example, bob: bob@riseup.example}
"""
WRITER = Writer(domain="our.example", hostname="srs.our.example")
SENDER = "mara@far.example"


def split(octets: bytes) -> tuple[tuple[Field, ...], bytes]:
    """Header and body of a letter, lines made CRLF."""
    head, _, body = octets.replace(b"\r\n", b"\n").partition(b"\n\n")
    fields: list[Field] = []
    for line in head.split(b"\n"):
        if line[:1] in (b" ", b"\t"):
            fields[-1] = Field(fields[-1].name, fields[-1].value + b"\r\n" + line)
        else:
            name, _, value = line.partition(b":")
            fields.append(Field(name, value))
    return tuple(fields), body.replace(b"\n", b"\r\n")


def known(text: str = NAMES, rules: Rules | None = None) -> Names:
    return Names(domains=frozenset({"our.example"}), directory=directory(text, rules))


def report(
    fields: tuple[Field, ...],
    body: bytes,
    *,
    names: Names | None = None,
    made_here: bool = False,
    recipients: tuple[str, ...] = (SENDER,),
) -> Report:
    return rewrite(
        bounce.read(fields, body), names=names or known(), writer=WRITER, recipients=recipients,
        hops=sum(field.is_named(b"received") for field in fields), made_here=made_here, now=1.0e9, tag="4X",
    )  # fmt: skip


def octets_of(made: Report) -> bytes:
    head = b"".join(field.name + b":" + field.value + b"\r\n" for field in made.header())
    return head + b"\r\n" + made.body


def parsed(made: Report) -> EmailMessage:
    """What Python's own parser makes of it, with nothing to complain of."""
    message = message_from_bytes(octets_of(made), policy=policy.default)
    assert isinstance(message, EmailMessage)
    for part in message.walk():
        assert part.defects == []
    return message
