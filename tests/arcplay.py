"""Sealers for tests: chains of any shape over a letter, honest, odd or forged."""

import base64
from functools import lru_cache

from fakedns import Zone, zone

from postvouch.auth import arc, canonical
from postvouch.auth.result import ArcFinding, Result
from postvouch.sign import arc as sign_arc
from postvouch.sign import record
from postvouch.sign.keys import SigningKey, generate
from postvouch.values.decision import InsertField
from postvouch.values.message import Field, Message, by_name

NOW = 1_767_225_600.0
HEADERS = ("from", "to", "subject", "dkim-signature")
LETTER = Message(
    fields=(
        Field(b"Authentication-Results", b" mx.our.example; dmarc=pass (p=reject) header.from=far.example"),
        Field(b"From", b" Mara <mara@far.example>"),
        Field(b"To", b" list@our.example"),
        Field(b"Subject", b" hello"),
    ),
    body=(b"Hi there.\r\n",),
)


@lru_cache
def key(domain: str = "our.example", kind: str = "ed25519") -> SigningKey:
    """A key at the selector "arc" of that domain."""
    private, _ = generate(kind)
    return SigningKey(domain=domain, selector="arc", private=private)


def published(*keys: SigningKey, secure: bool = False) -> Zone:
    """DNS with these keys, or that of our.example."""
    texts = [(each, "".join(record.strings(each.private))) for each in keys or (key(),)]
    return zone(*(f"arc._domainkey.{each.domain} TXT {text}" for each, text in texts), secure=secure)


def inserted(message: Message, fields: tuple[InsertField, ...]) -> Message:
    """The message as Postfix sends it on: each field above all others, folds as CRLF."""
    for field in fields:
        assert "\r" not in field.value
        value = b" " + field.value.replace("\n", "\r\n").encode()
        message = Message(fields=(Field(field.name.encode(), value), *message.fields), body=message.body)
    return message


def sealed(message: Message, *keys: SigningKey, chain: Result | None = None) -> Message:
    """One set more by each key, honest sealers all; ``chain``: what the first found, told or worked out."""
    for each in keys or (key(),):
        if chain is None:
            chain = Result.PASS if message.named(b"ARC-Seal") else Result.NONE
        fields = sign_arc.seal(
            message, each, now=NOW, authserv_id="mx.our.example", chain=chain, headers=HEADERS
        )
        assert [field.name for field in fields] == [
            "ARC-Authentication-Results",
            "ARC-Message-Signature",
            "ARC-Seal",
        ]
        message, chain = inserted(message, fields), None
    return message


def odd(
    message: Message = LETTER,
    *,
    signature: str = "",
    h: str = "from:to",
    seal: str = "",
    bh: bytes | None = None,
) -> Message:
    """A set i=1 whose arithmetic is right, with further tags in the signature or the seal."""
    signer = key()
    digest = bh or canonical.body_hash(message.body, relaxed=True)
    tags = f"i=1; a=ed25519-sha256; d={signer.domain}; s=arc; "
    ams = f"{tags}c=relaxed/relaxed; h={h}; bh={base64.b64encode(digest).decode()}; {signature}b="
    index = by_name(message.fields)
    chosen = canonical.select(index, [name.encode() for name in h.split(":")], None)
    results = Field(b"ARC-Authentication-Results", b"i=1; x.example; dmarc=pass header.from=far.example")
    first = made(b"ARC-Message-Signature", ams, chosen, signer)
    second = made(b"ARC-Seal", f"{tags}cv=none; {seal}b=", [results, first], signer)
    return Message(fields=(second, first, results, *message.fields), body=message.body)


def made(name: bytes, value: str, over: list[Field], signer: SigningKey) -> Field:
    """A signature field whose value ends in b=."""
    octets = canonical.signing_input(over, Field(name, value.encode()), relaxed=True)
    return Field(name, value.encode() + base64.b64encode(signer.private.sign(octets)))


def rewritten(message: Message, name: bytes, old: bytes, new: bytes) -> Message:
    """The same letter with its topmost field of that name changed."""
    fields = list(message.fields)
    at = next(n for n, field in enumerate(fields) if field.is_named(name))
    assert old in fields[at].value
    fields[at] = Field(fields[at].name, fields[at].value.replace(old, new))
    return Message(fields=tuple(fields), body=message.body)


def found(message: Message, dns: Zone | None = None) -> ArcFinding:
    return arc.verify(message, dns or published(), NOW)
