"""DKIM key records: the TXT text of a selector, read strictly, and the public key in it (RFC 6376 §3.6.1).

A record is a stranger's data and its key is a stranger's arithmetic: sizes are checked before any of it is
done, because a 16384-bit key with a huge exponent costs seconds. Key objects are cached by their numbers, and
a record that cannot be used says why in the words that RFC 6376 §6.1.2 uses.
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

from postvouch.auth.canonical import FWS
from postvouch.wire import taglist

MAX_EXPONENT = 1 << 32
MAX_KEY_OCTETS = 8192
SYNTAX = "key syntax error"
# Strangers fill what is kept. RSA of 4096 bits takes 750 octets.
_SHORT = 1024

_RSA_OID = bytes.fromhex("06092a864886f70d010101")
_SEQUENCE, _BIT_STRING, _INTEGER = 0x30, 0x03, 0x02
_PKCS1 = PKCS1v15()
_SHA256 = Prehashed(SHA256())

Check = Callable[[bytes, bytes], bool]
"""``check(signature, digest)``: whether the key signed what has that SHA-256 hash.

The hash and not its input, so that the seals of a chain, each over all before it, share one pass.
"""


class UnusableKey(Exception):
    """A record, or the key in it, that can verify nothing; the text says why (RFC 6376 §6.1.2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """One key record. ``kind`` is k=, ``public`` the octets of p=; ``strict`` is t=s, ``testing`` t=y."""

    kind: str
    public: bytes
    strict: bool
    testing: bool


def list_of(value: bytes) -> list[bytes]:
    """The words of a colon-separated list, blanks and folds around them removed."""
    return [word.strip(FWS) for word in value.split(b":")]


def decode_base64(value: bytes) -> bytes:
    """Base64 with white space anywhere in it; raises ValueError for anything else."""
    return base64.b64decode(value.translate(None, FWS), validate=True)


def parse(text: bytes) -> KeyRecord:
    """Read one TXT text (its character-strings joined); raises UnusableKey.

    The tags h=, k=, s= and t= are obeyed: a record for other hashes, other services or key types that
    nobody knows verifies nothing. Records of a usual length are read once and kept.
    """
    return _kept(text) if len(text) <= _SHORT else _read(text)


def _read(text: bytes) -> KeyRecord:
    try:
        tags = taglist.parse(text)
    except taglist.ProtocolError:
        raise UnusableKey(SYNTAX) from None
    # RFC 6376 §3.6.1: v= is optional, but where present it is the first tag and says DKIM1.
    if b"v" in tags and (next(iter(tags)) != b"v" or tags[b"v"] != b"DKIM1"):
        raise UnusableKey(SYNTAX + " (version)")
    if b"p" not in tags:
        raise UnusableKey(SYNTAX + " (no p=)")
    kind = tags.get(b"k", b"rsa")
    if kind not in (b"rsa", b"ed25519"):
        raise UnusableKey("inappropriate key algorithm")
    if b"h" in tags and b"sha256" not in list_of(tags[b"h"]):
        raise UnusableKey("inappropriate hash algorithm")
    if b"s" in tags and not {b"*", b"email"}.intersection(list_of(tags[b"s"])):
        raise UnusableKey("key is not for email")
    try:
        public = decode_base64(tags[b"p"])
    except ValueError:
        raise UnusableKey(SYNTAX + " (p=)") from None
    if not public:
        raise UnusableKey("key revoked")
    flags = list_of(tags.get(b"t", b""))
    return KeyRecord(kind=kind.decode(), public=public, strict=b"s" in flags, testing=b"y" in flags)


_kept = lru_cache(maxsize=1024)(_read)


@lru_cache(maxsize=1024)
def checker(record: KeyRecord, *, min_rsa_bits: int, max_rsa_bits: int) -> Check:
    """The check that the record's key does; raises UnusableKey, before any arithmetic, outside the limits."""
    if len(record.public) > MAX_KEY_OCTETS:
        raise UnusableKey("key too large")
    if record.kind == "ed25519":
        if len(record.public) != 32:
            raise UnusableKey(SYNTAX + " (p=)")
        return _ed25519_check(record.public)
    modulus, exponent = _rsa_numbers(record.public)
    if modulus.bit_length() < min_rsa_bits:
        raise UnusableKey(f"key too short ({modulus.bit_length()} bits)")
    if modulus.bit_length() > max_rsa_bits:
        raise UnusableKey(f"key too large ({modulus.bit_length()} bits)")
    if exponent >= MAX_EXPONENT:
        raise UnusableKey("key exponent too large")
    return _rsa_check(modulus, exponent)


@lru_cache(maxsize=1024)
def _rsa_check(modulus: int, exponent: int) -> Check:
    try:
        key: RSAPublicKey = RSAPublicNumbers(exponent, modulus).public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise UnusableKey(SYNTAX + " (p=)") from None

    def check(signature: bytes, digest: bytes) -> bool:
        try:
            key.verify(signature, digest, _PKCS1, _SHA256)
        except (InvalidSignature, ValueError):
            return False
        return True

    return check


@lru_cache(maxsize=1024)
def _ed25519_check(public: bytes) -> Check:
    try:
        key = Ed25519PublicKey.from_public_bytes(public)
    except (ValueError, UnsupportedAlgorithm):
        raise UnusableKey(SYNTAX + " (p=)") from None

    def check(signature: bytes, digest: bytes) -> bool:
        try:
            # RFC 8463 §3: what Ed25519 signs is the SHA-256 hash of the signing input.
            key.verify(signature, digest)
        except (InvalidSignature, ValueError):
            return False
        return True

    return check


def _rsa_numbers(der: bytes) -> tuple[int, int]:
    """Modulus and exponent of a SubjectPublicKeyInfo, or of the bare RSAPublicKey that RFC 6376 asked for.

    Erratum 3017 corrected the RFC to what everybody publishes; both are seen. Read here and not by OpenSSL
    because newer versions refuse, or warn about, the sizes that we must be able to name.
    """
    outer = _content(der, 0, _SEQUENCE)
    if outer[:1] == bytes([_SEQUENCE]):
        algorithm = _content(outer, 0, _SEQUENCE)
        if not algorithm.startswith(_RSA_OID):
            raise UnusableKey("inappropriate key algorithm")
        bits = _content(outer, _end(outer, 0), _BIT_STRING)
        if bits[:1] != b"\0":
            raise UnusableKey(SYNTAX + " (p=)")
        outer = _content(bits, 1, _SEQUENCE)
    modulus = _content(outer, 0, _INTEGER)
    exponent = _content(outer, _end(outer, 0), _INTEGER)
    return int.from_bytes(modulus, "big"), int.from_bytes(exponent, "big")


def _length(der: bytes, at: int) -> tuple[int, int]:
    """Where the content of the element at ``at`` begins and ends."""
    if at + 2 > len(der):
        raise UnusableKey(SYNTAX + " (p=)")
    size, start = der[at + 1], at + 2
    if size >= 0x80:
        count = size & 0x7F
        if not 1 <= count <= 4:
            raise UnusableKey(SYNTAX + " (p=)")
        size, start = int.from_bytes(der[start : start + count], "big"), start + count
    if start + size > len(der):
        raise UnusableKey(SYNTAX + " (p=)")
    return start, start + size


def _content(der: bytes, at: int, tag: int) -> bytes:
    if der[at : at + 1] != bytes([tag]):
        raise UnusableKey(SYNTAX + " (p=)")
    start, end = _length(der, at)
    return der[start:end]


def _end(der: bytes, at: int) -> int:
    return _length(der, at)[1]
