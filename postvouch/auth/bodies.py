"""The hashes of one body in each form that its signatures ask for, made while the body arrives.

So that a letter of 50 MB is never held in memory. Which forms are wanted is known when the last header field
is in; their number is bounded, since each costs a pass over the body.
"""

from collections.abc import Iterable, Mapping, Sequence

from postvouch.auth.canonical import BodyHasher
from postvouch.values.message import Digests, Field, Form, Message
from postvouch.wire import taglist

MAX_FORMS = 6
"""relaxed and simple, and so many different l= as make up this number; honest mail needs one or two."""

_NAMES = (b"dkim-signature", b"arc-message-signature")


def forms(fields: Iterable[Field]) -> tuple[Form, ...]:
    """What the signatures of a header want hashed, the first ``MAX_FORMS`` that can be read.

    A signature whose tags cannot be read asks for nothing: what is wrong with it is for
    ``signature.parse_signature`` to say.
    """
    wanted: dict[Form, None] = {}
    for field in fields:
        if not any(field.is_named(name) for name in _NAMES):
            continue
        try:
            tags = taglist.parse(field.value)
        except taglist.ProtocolError:
            continue
        limit = tags.get(b"l", b"")
        if limit and not (limit.isdigit() and len(limit) <= 12):
            continue
        relaxed = tags.get(b"c", b"simple").partition(b"/")[2] == b"relaxed"
        if len(wanted) < MAX_FORMS:
            wanted[relaxed, int(limit) if limit else None] = None
    return tuple(wanted)


class BodyHashes:
    """One body on its way: feed it chunk by chunk, then ``finish`` once."""

    __slots__ = ("_hashers",)

    def __init__(self, wanted: Sequence[Form]) -> None:
        self._hashers = [(form, BodyHasher(relaxed=form[0], limit=form[1])) for form in wanted]

    def feed(self, chunk: bytes) -> None:
        """Take the next octets."""
        for _, hasher in self._hashers:
            hasher.feed(chunk)

    def finish(self) -> Digests:
        """Hash and length of the canonical body by form."""
        return {form: (hasher.finish(), hasher.length) for form, hasher in self._hashers}


def digests(message: Message) -> Mapping[Form, tuple[bytes, int]]:
    """Those that came with the message, or made now from the body that it holds."""
    if message.digests is not None:
        return message.digests
    hashes = BodyHashes(forms(message.fields))
    for chunk in message.body:
        hashes.feed(chunk)
    return hashes.finish()
