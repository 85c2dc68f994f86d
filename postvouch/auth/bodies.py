"""The hashes of one body in each form that its signatures ask for, made while the body arrives.

So that a letter of 50 MB is never held in memory. Which forms are wanted is known when the last header field
is in; their number is bounded, since each costs a pass over the body.
"""

from collections.abc import Sequence
from contextlib import suppress

from postvouch.auth.canonical import BodyHasher
from postvouch.auth.signature import ARC_CANONICAL, BadSignature, number
from postvouch.values.message import Digests, Field, Form, Message, by_name
from postvouch.wire import taglist

MAX_LIMITED = 4
"""So many forms with an l= of their own. What they end in is no pass; the whole body is always hashed."""

MAX_READ = 64
"""So many signature fields are read; where there are more the body is hashed in both whole forms."""

_DKIM, _AMS = b"dkim-signature", b"arc-message-signature"


def forms(fields: Sequence[Field]) -> tuple[Form, ...]:
    """What the signatures of a header want hashed: the body whole, and for some of them up to their l=.

    The whole body is there for every signature whose tags can be read, whatever else the header holds, so
    that no signature crowds out another. A limit in ARC gets no form: no chain passes with it. What is
    wrong with other tags is for ``signature`` to say.
    """
    index = by_name(fields)
    signatures = [(name, field.value) for name in (_DKIM, _AMS) for field in index.get(name, ())]
    if not signatures:
        return ()
    whole: dict[Form, None] = {}
    limited: dict[Form, None] = {}
    for name, value in signatures[:MAX_READ]:
        try:
            tags = taglist.parse(value)
        except taglist.ProtocolError:
            continue
        method = tags.get(b"c", b"simple" if name == _DKIM else ARC_CANONICAL)
        relaxed = method.partition(b"/")[2] == b"relaxed"
        whole[relaxed, None] = None
        if name == _DKIM and b"l" in tags and len(limited) < MAX_LIMITED:
            with suppress(BadSignature):
                limited[relaxed, number(tags, b"l")] = None
    if len(signatures) > MAX_READ:
        whole = {(True, None): None, (False, None): None}
    return (*whole, *limited)


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


def digests(message: Message) -> Digests:
    """Those that came with the message, or made now from the body that it holds."""
    if message.digests is not None:
        return message.digests
    hashes = BodyHashes(forms(message.fields))
    for chunk in message.body:
        hashes.feed(chunk)
    return hashes.finish()
