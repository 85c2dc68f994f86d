"""Token addresses: what a sender becomes that is too long to be wrapped into 64 octets.

    SRS0=HHHH=TT=t.invalid=kd3v5u7pxq2mtw4c@our.example

To every other host this is an SRS0 address like any, of a domain that cannot exist (RFC 2606 §2), with the
hash and the day of any: a forged or expired one is refused without asking anybody. Who was meant is in a
store. A token is a keyed hash of the sender, so one sender has one token on all hosts, however many letters
he sends, and whoever can write to the store cannot turn bounces to another address. Pure: no store in here.
"""

import hmac
from base64 import b32encode
from dataclasses import dataclass

from postvouch.srs import codec
from postvouch.values.address import split_mailbox
from postvouch.values.answer import Answer, Found
from postvouch.values.domain import fold

MARKER = "t.invalid"
LONGEST_SENDER = 2048
"""Octets of a sender that is kept. SMTP knows none of more than 254 (RFC 5321 §4.5.3.1.3)."""

# 80 bits of base32, in lower case, since some hosts fold addresses. The next forwarder's SRS1 has to hold the
# whole address and our domain, of up to 18 octets, in 64.
_CHARACTERS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """``sender`` is to be kept as ``token`` before anybody is told ``address``. ``domain``: his, folded."""

    token: str
    sender: str
    domain: str
    address: Found


@dataclass(frozen=True, slots=True, kw_only=True)
class Find:
    """The sender kept as ``token`` is wanted. ``source``: which secret made the address, how old it is."""

    token: str
    secrets: tuple[bytes, ...]
    source: str


def kept(sender: str, answer: Answer, *, rules: codec.Rules, today: int) -> Answer | Keep:
    """The ``answer`` of ``codec.forward``, unless it is that ``sender`` was too long."""
    if not codec.too_long(answer) or len(sender.encode("utf-8", "surrogateescape")) > LONGEST_SENDER:
        return answer
    token = token_of(sender, rules.secrets[0])
    address = codec.forward(f"{token}@{MARKER}", rules=rules, today=today)
    if not isinstance(address, Found):  # our own SRS domain could be that of the marker
        return answer
    domain = fold(split_mailbox(sender, odd_dots=True)[1])
    return Keep(token=token, sender=sender, domain=domain, address=Found(address.value, "token, secret 1"))


def found(answer: Answer, *, rules: codec.Rules) -> Answer | Find:
    """The ``answer`` of ``codec.reverse``, unless it is a token."""
    if not isinstance(answer, Found):
        return answer
    token, _, domain = answer.value.rpartition("@")
    if domain.lower() != MARKER:
        return answer
    return Find(token=token.lower(), secrets=rules.secrets, source=answer.source)


def token_of(sender: str, secret: bytes) -> str:
    """The token of a sender, exactly as written."""
    digest = hmac.digest(secret, b"token\0" + sender.encode("utf-8", "surrogateescape"), "sha256")
    return b32encode(digest)[:_CHARACTERS].decode("ascii").lower()


def is_made_of(token: str, sender: str, secrets: tuple[bytes, ...]) -> bool:
    """Whether one of our secrets made ``token`` of this ``sender``."""
    given = token.encode("utf-8", "surrogateescape")
    return any(hmac.compare_digest(given, token_of(sender, each).encode()) for each in secrets)
