"""DKIM canonicalisation of header fields and bodies (RFC 6376 §3.4), and the octets that a signature covers.

Time is linear in the size of the input whatever a stranger sends: no regular expressions, runs of blanks are
halved by ``bytes.replace`` until none is left, and tests with ``in`` skip the work that clean text does not
need. A body is hashed as its chunks come; only what may turn out to be trailing white space is held back, and
that as three numbers, so a body of 50 MB blank lines costs no memory either.
"""

import hashlib
from collections.abc import Iterable, Sequence

from postvouch.values.message import WSP, Field, Index

FWS = b" \t\r\n"

_STEP = 1 << 18
_LONG_RUN = b" " * 64
_CRLFS = b"\r\n" * 8192


def _collapse(data: bytes) -> bytes:
    """Each run of blanks and tabs as one blank."""
    if b"\t" in data:
        data = data.replace(b"\t", b" ")
    if b"  " not in data:
        return data
    # A run of n blanks needs log2(n) passes; the longer pattern first makes the first passes the big ones.
    while _LONG_RUN in data:
        data = data.replace(_LONG_RUN, b" ")
    while b"  " in data:
        data = data.replace(b"  ", b" ")
    return data


def simple_field(field: Field) -> bytes:
    """The field as received, with its CRLF (RFC 6376 §3.4.1)."""
    return field.name + b":" + field.value + b"\r\n"


def relaxed_field(field: Field) -> bytes:
    """Name in lower case, folds undone, runs of blanks as one, none around the colon or at the end (§3.4.2).

    A bare CR or LF is no fold and stays, so that a field smuggled in behind one breaks the signature.
    """
    value = field.value
    if b"\r\n" in value:
        value = value.replace(b"\r\n", b"")
    return field.name.rstrip(WSP).lower() + b":" + _collapse(value).strip(b" ") + b"\r\n"


def canonical_field(field: Field, *, relaxed: bool) -> bytes:
    """The field in the one form or the other, with its CRLF."""
    return relaxed_field(field) if relaxed else simple_field(field)


def canonical_fields(fields: Sequence[Field], *, relaxed: bool) -> bytes:
    """Fields one after the other, each with its CRLF (RFC 6376 §3.4.1, §3.4.2).

    All values are cleaned in one go: most need nothing.
    """
    if not relaxed:
        return b"".join([simple_field(field) for field in fields])
    values = b"\0".join([field.value for field in fields])
    if values.count(b"\0") != len(fields) - 1:  # a NUL of a stranger's
        return b"".join([relaxed_field(field) for field in fields])
    if b"\r\n" in values:
        values = values.replace(b"\r\n", b"")
    return b"".join(
        [
            b"%b:%b\r\n" % (field.name.rstrip(WSP).lower(), value.strip(b" "))
            for field, value in zip(fields, _collapse(values).split(b"\0"), strict=True)
        ]
    )


def select(index: Index, names: Iterable[bytes], own: Field | None) -> list[Field]:
    """The fields that the list h= covers, in its order (RFC 6376 §5.4.2).

    ``names`` in lower case. The n-th mention of a name takes the n-th field of that name from the bottom; a
    mention too many takes nothing, which is what makes oversigning work. ``own`` is the signature itself,
    which h= can never mean.
    """
    taken: dict[bytes, int] = {}
    chosen: list[Field] = []
    for name in names:
        there: Sequence[Field] = index.get(name, ())
        position = len(there) - 1 - taken.get(name, 0)
        if position >= 0 and there[position] is own:
            position -= 1
            taken[name] = taken.get(name, 0) + 1
        if position >= 0:
            taken[name] = taken.get(name, 0) + 1
            chosen.append(there[position])
    return chosen


def without_b(value: bytes) -> bytes:
    """The value of a signature field with its tag b= emptied, the blanks around the value too (§3.5, §3.7).

    Only the tag named exactly b: a tag "sb", or "b=" within another tag's value, stays.
    """
    parts = value.split(b";")
    for number, part in enumerate(parts):
        name, equals, _ = part.partition(b"=")
        if equals and name.strip(FWS) == b"b":
            parts[number] = name + equals
    return b";".join(parts)


def signing_input(fields: Sequence[Field], signature: Field, *, relaxed: bool) -> bytes:
    """The octets that the header hash is made of: the chosen fields, then the signature's own without b=.

    The last line has no CRLF (RFC 6376 §3.7).
    """
    own = canonical_field(Field(signature.name, without_b(signature.value)), relaxed=relaxed)
    return canonical_fields(fields, relaxed=relaxed) + own[:-2]


def _trailing_crlfs(data: bytes) -> int:
    """How many whole CRLFs ``data`` ends with."""
    if not data.endswith(b"\r\n"):
        return 0
    tail = data[len(data.rstrip(b"\r\n")) :]
    # Within a tail of only CR and LF, the pairs begin behind the last place where the two do not alternate.
    start = max(tail.rfind(b"\r\r") + 1, tail.rfind(b"\n\n") + 2 if b"\n\n" in tail else 0)
    if start == 0 and tail.startswith(b"\n"):
        start = 1
    return (len(tail) - start) // 2


class BodyHasher:
    """SHA-256 of a canonical body, fed in chunks of any size (RFC 6376 §3.4.3, §3.4.4).

    ``limit`` is the l= of a signature being verified: only so many octets of the canonical body are hashed,
    while ``length`` counts them all. Never used for signing.
    """

    __slots__ = ("_cr", "_crlfs", "_hash", "_limit", "_relaxed", "_wsp", "length")

    def __init__(self, *, relaxed: bool, limit: int | None = None) -> None:
        self._relaxed = relaxed
        self._limit = limit
        self._hash = hashlib.sha256()
        self._crlfs = 0  # whole empty-line candidates held back
        self._wsp = False  # a blank held back behind them (relaxed only)
        self._cr = False  # a CR held back behind that
        self.length = 0

    def feed(self, chunk: bytes) -> None:
        """Take the next octets of the body."""
        if len(chunk) <= _STEP:
            self._step(chunk)
            return
        for start in range(0, len(chunk), _STEP):
            self._step(chunk[start : start + _STEP])

    def finish(self) -> bytes:
        """The hash, 32 octets. Call once, after the last chunk."""
        if self._cr:
            # A CR that no LF followed is text, and so are the line ends (and the blank) before it.
            self._flush()
            self._emit(b" \r" if self._wsp else b"\r")
        # An empty body is one CRLF in the simple form and nothing in the relaxed one.
        if self.length or not self._relaxed:
            self._emit(b"\r\n")
        return self._hash.digest()

    def _step(self, chunk: bytes) -> None:
        data = chunk
        if self._cr:
            data = b"\r" + data
        if self._wsp:
            data = b" " + data
        if self._relaxed:
            data = _collapse(data)
            if b" \r\n" in data:
                data = data.replace(b" \r\n", b"\r\n")
        self._cr = data.endswith(b"\r")
        if self._cr:
            data = data[:-1]
        self._wsp = self._relaxed and data.endswith(b" ")
        if self._wsp:
            data = data[:-1]
        crlfs = _trailing_crlfs(data)
        if 2 * crlfs < len(data):
            self._flush()
            self._emit(data[: len(data) - 2 * crlfs] if crlfs else data)
        self._crlfs += crlfs

    def _flush(self) -> None:
        """Text came after them: the line ends held back are part of the body."""
        while self._crlfs > 0:
            some = min(self._crlfs, len(_CRLFS) // 2)
            self._emit(_CRLFS[: 2 * some])
            self._crlfs -= some

    def _emit(self, data: bytes) -> None:
        if self._limit is None:
            self._hash.update(data)
        elif self.length < self._limit:
            self._hash.update(data[: self._limit - self.length])
        self.length += len(data)


def body_hash(chunks: Iterable[bytes], *, relaxed: bool) -> bytes:
    """SHA-256 of the whole canonical body, 32 octets."""
    hasher = BodyHasher(relaxed=relaxed)
    for chunk in chunks:
        hasher.feed(chunk)
    return hasher.finish()
