"""The tags of a DKIM-Signature field, checked as far as they go without DNS (RFC 6376 §3.5, §6.1.1).

Required tags, known algorithms and canonicalisations, From in h=, i= within d=, times, numbers that fit. What
fails here costs neither a DNS question nor a hash.
"""

import re
from collections import Counter
from dataclasses import dataclass

from postvouch.auth.canonical import FWS
from postvouch.auth.keyrecord import decode_base64, list_of
from postvouch.auth.result import Result
from postvouch.values.address import AddressError, parse_domain

_SELECTOR = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
_QUOTED = re.compile(rb"=([0-9A-F]{2})")
_FOREVER = 10**12
_KINDS = {b"rsa-sha256": "rsa", b"ed25519-sha256": "ed25519"}
LABELS = (b"d", b"s", b"a", b"i", b"b")
_REQUIRED = (b"v", b"a", b"b", b"bh", b"d", b"h", b"s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """The tags of one signature field, checked as far as that goes without DNS (RFC 6376 §6.1.1).

    ``d`` and ``s`` are lower-case A-labels as DNS wants them; ``i_domain`` is d= where i= is absent.
    """

    kind: str
    d: str
    s: str
    i_domain: str
    names: tuple[bytes, ...]
    bh: bytes
    b: bytes
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
    pairs = [tag.partition(b"=") for tag in value.split(b";")]
    times = Counter(name.strip(FWS) for name, _, _ in pairs)
    found = {name.strip(FWS): content.strip(FWS) for name, _, content in pairs}
    return {label: found[label] for label in LABELS if times[label] == 1}


def permerror(reason: str) -> BadSignature:
    """PERMFAIL of RFC 6376 §6.1.1 and §6.1.2."""
    return BadSignature(Result.PERMERROR, reason)


def parse_signature(tags: dict[bytes, bytes], now: float, clock_allowance_s: int) -> Signature:
    """Everything about a signature that its own tags decide; raises BadSignature."""
    for name in _REQUIRED:
        if name not in tags:
            raise permerror(f"signature missing required tag {name.decode()}=")
    if tags[b"v"] != b"1":
        raise permerror("incompatible version")
    algorithm = tags[b"a"]
    if algorithm == b"rsa-sha1":
        raise permerror("historic algorithm rsa-sha1 (RFC 8301)")
    if algorithm not in _KINDS:
        raise permerror("unknown algorithm")
    header, _, body = tags.get(b"c", b"simple").partition(b"/")
    if {header, body or b"simple"} - {b"simple", b"relaxed"}:
        raise permerror("unrecognized canonicalization")
    methods = [method.lower() for method in list_of(tags.get(b"q", b"dns/txt"))]
    if not {b"dns/txt", b"dns"}.intersection(methods):
        raise permerror("no supported query method")
    names = tuple(name.lower() for name in list_of(tags[b"h"]))
    if b"from" not in names:
        raise permerror("From field not signed")
    d = domain_or_nothing(tags[b"d"])
    if not d:
        raise permerror("d= is not a domain name")
    if "." not in d:
        raise BadSignature(Result.POLICY, "d= is a top-level domain")
    _check_times(tags, now - clock_allowance_s)
    try:
        bh, b = decode_base64(tags[b"bh"]), decode_base64(tags[b"b"])
    except ValueError:
        raise permerror("signature syntax error: b= or bh= is not base64") from None
    return Signature(
        kind=_KINDS[algorithm],
        d=d,
        s=_selector(tags[b"s"]),
        i_domain=_identity_domain(tags.get(b"i"), d),
        names=names,
        bh=bh,
        b=b,
        relaxed_header=header == b"relaxed",
        relaxed_body=body == b"relaxed",
        limit=_number(tags, b"l") if b"l" in tags else None,
    )


def _check_times(tags: dict[bytes, bytes], now: float) -> None:
    """t= may lie in the future, since clocks differ; x= holds to the second (RFC 6376 §3.5)."""
    signed = _number(tags, b"t") if b"t" in tags else None
    if b"x" not in tags:
        return
    expires = _number(tags, b"x")
    if signed is not None and expires <= signed and expires < _FOREVER:
        raise permerror("x= is not after t=")
    if expires < _FOREVER and now > expires:
        raise permerror("signature expired")


def _number(tags: dict[bytes, bytes], name: bytes) -> int:
    """A decimal number; more than twelve digits are for ever (RFC 6376 §3.5), and never reach int()."""
    digits = tags[name]
    if not digits.isdigit():
        raise permerror(f"signature syntax error: {name.decode()}= is not a number")
    digits = digits.lstrip(b"0")
    return int(digits or b"0") if len(digits) <= 12 else _FOREVER


def domain_or_nothing(value: bytes) -> str:
    try:
        return parse_domain(value.decode("utf-8"))
    except (AddressError, UnicodeDecodeError):
        return ""


def _selector(value: bytes) -> str:
    """A selector as DNS labels; RFC 8616 §5 allows U-labels in an internationalised message."""
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
    name = domain_or_nothing(domain)
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
