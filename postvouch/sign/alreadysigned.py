"""Signatures of ours that a letter already has: content filters and other hosts of ours bring letters back.

Only one that verifies counts; what is broken or forged is no reason to stay silent. Our own keys are at hand;
those of other hosts, under the same d=, are looked up in DNS, and trouble there means one signature more.
"""

from collections.abc import Sequence

from postvouch.auth.result import Result
from postvouch.auth.signature import BadSignature, Signature, parse_signature
from postvouch.auth.verifier import Limits, Verifier
from postvouch.sign.keys import SigningKey
from postvouch.values.dns import NO_SUCH_NAME, Records, Resolver, Status
from postvouch.values.message import Field, Message
from postvouch.wire import taglist

MAX_READ = 64
"""So many DKIM-Signature fields are read, from the top down ..."""

MAX_VERIFIED = 8
"""... and so many of those that claim to be ours are verified."""


class _Keys:
    """The records of our own keys, at hand, and those of others as ``published``."""

    def __init__(self, keys: Sequence[SigningKey], published: Resolver | None) -> None:
        self._published = published
        self._records = {
            key.record_name: f"v=DKIM1; k={key.private.kind}; p={key.private.public_text()}" for key in keys
        }

    def lookup(self, name: str, kind: str) -> Records:
        """The record of one of our keys, or what DNS has."""
        if record := self._records.get(name):
            return Records(status=Status.FOUND, values=(record.encode(),))
        return self._published.lookup(name, kind) if self._published else NO_SUCH_NAME


def unsigned(
    message: Message, keys: Sequence[SigningKey], *, now: float, published: Resolver | None = None
) -> tuple[SigningKey, ...]:
    """Those of ``keys`` that have to sign: no signature of theirs holds, nor one of the same kind and d=.

    ``now`` is in seconds since 1970, for x=. ``published`` finds the keys of our other hosts; without it only
    ``keys`` themselves count. Raises nothing but what ``published`` does to say that it would wait.
    """
    there = message.named(b"dkim-signature")[:MAX_READ]
    if not there:
        return tuple(keys)
    domains = {key.domain for key in keys}
    names = {key.record_name for key in keys}
    claims = [(field, found) for field in there if (found := _read(field, now)) and found.d in domains]
    verifier = Verifier(message, _Keys(keys, published), Limits())
    standing: set[str | tuple[str, str]] = set()
    for field, signature in claims[:MAX_VERIFIED]:
        if not _is_hashed(message, signature):
            continue
        outcome = verifier.message_signature(field, signature)
        # A remark says that the key is for testing: others may take such a signature for none.
        if outcome.result is Result.PASS and not outcome.reason:
            own = signature.key_name in names
            standing.add(signature.key_name if own else (signature.d, signature.kind))
    return tuple(
        key for key in keys if standing.isdisjoint((key.record_name, (key.domain, key.private.kind)))
    )


def _read(field: Field, now: float) -> Signature | None:
    try:
        return parse_signature(taglist.parse(field.value), now, 0)
    except (taglist.ProtocolError, BadSignature):
        return None


def _is_hashed(message: Message, signature: Signature) -> bool:
    """Whether the body, where it was not kept, was hashed in the form of this signature."""
    return message.digests is None or (signature.relaxed_body, None) in message.digests
