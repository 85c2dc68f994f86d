"""Signatures of ours that a letter already has: content filters and other hosts of ours bring letters back.

Only one that verifies counts. The key is at hand, so DNS is not asked; what is broken or forged is no reason
to stay silent.
"""

import base64
from collections.abc import Sequence

from postvouch.auth.result import Result
from postvouch.auth.signature import BadSignature, Signature, parse_signature
from postvouch.auth.verifier import Limits, Verifier
from postvouch.sign.keys import SigningKey
from postvouch.values.dns import NO_SUCH_NAME, Records, Status
from postvouch.values.message import Field, Message
from postvouch.wire import taglist

MAX_READ = 64
"""So many DKIM-Signature fields are read, from the top down ..."""

MAX_VERIFIED = 8
"""... and so many of those that claim to be of our keys are verified."""


class _OwnKeys:
    """The records of our keys, as a Resolver would find them."""

    def __init__(self, keys: Sequence[SigningKey]) -> None:
        self._records = {
            _name(key): f"v=DKIM1; k={key.private.kind}; p={base64.b64encode(key.private.public()).decode()}"
            for key in keys
        }

    def lookup(self, name: str, kind: str) -> Records:
        """The record of one of our keys, and nothing else."""
        record = self._records.get(name)
        return Records(status=Status.FOUND, values=(record.encode(),)) if record else NO_SUCH_NAME


def unsigned(message: Message, keys: Sequence[SigningKey], *, now: float) -> tuple[SigningKey, ...]:
    """Those of ``keys`` whose own signature, of the same d= and s=, is not there or does not hold.

    ``now`` is in seconds since 1970, for x=. Raises nothing.
    """
    there = message.named(b"dkim-signature")[:MAX_READ]
    if not there:
        return tuple(keys)
    names = {_name(key) for key in keys}
    claims = [(field, found) for field in there if (found := _read(field, now)) and found.key_name in names]
    verifier = Verifier(message, _OwnKeys(keys), Limits())
    standing = {
        signature.key_name
        for field, signature in claims[:MAX_VERIFIED]
        if _is_hashed(message, signature)
        and verifier.message_signature(field, signature).result is Result.PASS
    }
    return tuple(key for key in keys if _name(key) not in standing)


def _read(field: Field, now: float) -> Signature | None:
    try:
        return parse_signature(taglist.parse(field.value), now, 0)
    except (taglist.ProtocolError, BadSignature):
        return None


def _is_hashed(message: Message, signature: Signature) -> bool:
    """Whether the body, where it was not kept, was hashed in the form of this signature."""
    return message.digests is None or (signature.relaxed_body, None) in message.digests


def _name(key: SigningKey) -> str:
    return f"{key.selector.lower()}._domainkey.{key.domain}"
