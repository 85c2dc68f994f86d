"""The tags of a signature field, checked as far as they go without DNS (RFC 6376 §3.5, §6.1.1).

DKIM-Signature, and its two children in ARC: ARC-Message-Signature without v= and with another i=, ARC-Seal
without body and header list (RFC 8617 §4.1.2, §4.1.3). Required tags, known algorithms and canonicalisations,
From in h=, i= within d=, times, numbers that fit. What fails here costs neither a DNS question nor a hash.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from postvouch.auth.canonical import FWS
from postvouch.auth.keyrecord import decode_base64, list_of
from postvouch.auth.result import Result
from postvouch.values.domain import AddressError, domain_or_nothing, parse_domain
from postvouch.wire import taglist

_SELECTOR = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
_QUOTED = re.compile(rb"=([0-9A-F]{2})")
_FOREVER = 10**12
_KINDS = {b"rsa-sha256": "rsa", b"ed25519-sha256": "ed25519"}
LABELS = (b"d", b"s", b"a", b"i", b"b")
ARC_CANONICAL = b"relaxed/relaxed"
"""What an ARC-Message-Signature without c= means, as its signers and their test suite have it."""
_SEAL = (b"a", b"b", b"d", b"s")
_MESSAGE = (b"a", b"b", b"bh", b"d", b"h", b"s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Whose key made a signature, and what it made.

    ``d`` and ``s`` are lower-case A-labels as DNS wants them; ``i_domain`` is d= where i= is absent.
    """

    kind: str
    d: str
    s: str
    i_domain: str
    b: bytes

    @property
    def key_name(self) -> str:
        """Where DNS has the key."""
        return key_name(self.s, self.d)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature(Signer):
    """A signature over header fields and a body. ``names`` is h= in lower case, ``limit`` is l=."""

    names: tuple[bytes, ...]
    bh: bytes
    relaxed_header: bool
    relaxed_body: bool
    limit: int | None


class BadSignature(Exception):
    """The signature cannot pass: the result word and the reason."""

    def __init__(self, result: Result, reason: str) -> None:
        super().__init__(reason)
        self.result = result
        self.reason = reason


def unambiguous(value: bytes) -> dict[bytes, bytes]:
    """The tags that occur once in a field that is no tag list: labels for a finding, never for a decision."""
    pairs = [tag.partition(b"=") for tag in value.split(b";", taglist.MAX_TAGS)]
    times = Counter(name.strip(FWS) for name, _, _ in pairs)
    found = {name.strip(FWS): content.strip(FWS) for name, _, content in pairs}
    return {label: found[label] for label in LABELS if times[label] == 1}


def permerror(reason: str) -> BadSignature:
    """PERMFAIL of RFC 6376 §6.1.1 and §6.1.2."""
    return BadSignature(Result.PERMERROR, reason)


def parse_signature(tags: Mapping[bytes, bytes], now: float, clock_allowance_s: int) -> Signature:
    """Everything about a DKIM-Signature that its own tags decide; raises BadSignature."""
    _require(tags, b"v", *_MESSAGE)
    if tags[b"v"] != b"1":
        raise permerror("incompatible version")
    signature = _message_signature(tags, now - clock_allowance_s, tags.get(b"i"))
    if b"from" not in signature.names:
        raise permerror("From field not signed")
    return signature


def parse_message_signature(tags: Mapping[bytes, bytes], now: float, clock_allowance_s: int) -> Signature:
    """The same of an ARC-Message-Signature, whose i= is the caller's (RFC 8617 §4.1.2).

    From need not be covered, as the field's own test suite has it; what that is worth is for ``arc`` to say.
    """
    _require(tags, *_MESSAGE)
    signature = _message_signature({b"c": ARC_CANONICAL, **tags}, now - clock_allowance_s, None)
    if b"arc-seal" in signature.names:
        raise permerror("the message signature covers ARC-Seal")
    return signature


def parse_seal(tags: Mapping[bytes, bytes]) -> Signer:
    """The same of an ARC-Seal, but for i= and cv= (RFC 8617 §4.1.3)."""
    if b"h" in tags:
        raise permerror("h= in ARC-Seal")
    _require(tags, *_SEAL)
    if b"t" in tags:
        number(tags, b"t")
    return _signer(tags, None)


def _require(tags: Mapping[bytes, bytes], *names: bytes) -> None:
    for name in names:
        if name not in tags:
            raise permerror(f"signature missing required tag {name.decode()}=")


def _message_signature(tags: Mapping[bytes, bytes], now: float, identity: bytes | None) -> Signature:
    header, _, body = tags.get(b"c", b"simple").partition(b"/")
    if {header, body or b"simple"} - {b"simple", b"relaxed"}:
        raise permerror("unrecognized canonicalization")
    methods = [method.lower() for method in list_of(tags.get(b"q", b"dns/txt"))]
    if not {b"dns/txt", b"dns"}.intersection(methods):
        raise permerror("no supported query method")
    signer = _signer(tags, identity)
    _check_times(tags, now)
    return Signature(
        kind=signer.kind,
        d=signer.d,
        s=signer.s,
        i_domain=signer.i_domain,
        b=signer.b,
        names=tuple(name.lower() for name in list_of(tags[b"h"])),
        bh=_base64(tags, b"bh"),
        relaxed_header=header == b"relaxed",
        relaxed_body=body == b"relaxed",
        limit=number(tags, b"l") if b"l" in tags else None,
    )


def _signer(tags: Mapping[bytes, bytes], identity: bytes | None) -> Signer:
    algorithm = tags[b"a"]
    if algorithm == b"rsa-sha1":
        raise permerror("historic algorithm rsa-sha1 (RFC 8301)")
    if algorithm not in _KINDS:
        raise permerror("unknown algorithm")
    d = domain_in(tags[b"d"])
    if not d:
        raise permerror("d= is not a domain name")
    if "." not in d:
        raise BadSignature(Result.POLICY, "d= is a top-level domain")
    return Signer(
        kind=_KINDS[algorithm],
        d=d,
        s=selector(tags[b"s"]),
        i_domain=_identity_domain(identity, d),
        b=_base64(tags, b"b"),
    )


def _base64(tags: Mapping[bytes, bytes], name: bytes) -> bytes:
    try:
        return decode_base64(tags[name])
    except ValueError:
        raise permerror(f"signature syntax error: {name.decode()}= is not base64") from None


def _check_times(tags: Mapping[bytes, bytes], now: float) -> None:
    """t= may lie in the future, since clocks differ; x= holds to the second (RFC 6376 §3.5)."""
    signed = number(tags, b"t") if b"t" in tags else None
    if b"x" not in tags:
        return
    expires = number(tags, b"x")
    if signed is not None and expires <= signed and expires < _FOREVER:
        raise permerror("x= is not after t=")
    if expires < _FOREVER and now > expires:
        raise permerror("signature expired")


def number(tags: Mapping[bytes, bytes], name: bytes) -> int:
    """A decimal number; more than twelve digits are for ever (RFC 6376 §3.5), and never reach int()."""
    digits = tags[name]
    if not digits.isdigit():
        raise permerror(f"signature syntax error: {name.decode()}= is not a number")
    digits = digits.lstrip(b"0")
    return int(digits or b"0") if len(digits) <= 12 else _FOREVER


def domain_in(value: bytes) -> str:
    """The domain in a tag, in lower-case A-labels; "" for what is none."""
    try:
        return domain_or_nothing(value.decode("utf-8"))
    except UnicodeDecodeError:
        return ""


def key_name(s: str, d: str) -> str:
    """Where DNS has the key (RFC 6376 §3.6.2.1)."""
    return f"{s}._domainkey.{d}"


def selector(value: bytes) -> str:
    """A selector as DNS labels; RFC 8616 §5 allows U-labels in an internationalised message. BadSignature."""
    try:
        text = value.decode("utf-8")
        if text.isascii() and len(text) <= 253 and _SELECTOR.fullmatch(text):
            return text.lower()
        return parse_domain(text)
    except (AddressError, UnicodeDecodeError):
        raise permerror("s= is not a selector") from None


def unquote(value: bytes) -> bytes:
    """Undo dkim-quoted-printable (RFC 6376 §2.11). An "=" that quotes nothing stays: VERP has them."""
    return _QUOTED.sub(lambda match: bytes.fromhex(match[1].decode()), value.translate(None, FWS))


def _identity_domain(value: bytes | None, d: str) -> str:
    """The domain of i=, which must be d= or lie below it (RFC 6376 §3.5)."""
    if value is None:
        return d
    _, at, domain = unquote(value).rpartition(b"@")
    name = domain_in(domain)
    if not at or not name:
        raise permerror("signature syntax error: i= is not an address")
    if name != d and not name.endswith("." + d):
        raise permerror("domain mismatch: i= is not in d=")
    return name


def printable(value: bytes) -> str:
    """A tag for the log and the header: nothing of it where it holds more than printable text."""
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return ""
    return text if text.isprintable() else ""
