"""Compare a key with what is published for it: the TXT records of its name, octet for octet.

Stricter than a verifier: what some verifiers put up with and others do not is a fault here. Pure; what DNS
says comes from ``host/dnsauthority.py`` or from a resolver.
"""

import itertools
from collections.abc import Mapping, Sequence

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from postvouch.auth import keyrecord
from postvouch.auth.canonical import FWS
from postvouch.sign.finding import Fault, Finding, in_order
from postvouch.sign.keys import MAX_RSA_BITS, PrivateKey
from postvouch.wire import taglist

# An honest record has two or three strings; the orders of more are not tried.
MAX_SHUFFLED = 5
MAX_RECORDS_READ = 16
KNOWN = (b"rsa", b"ed25519")
_SHOWN = 40


def compare(key: PrivateKey | None, records: Sequence[Sequence[bytes]]) -> tuple[Fault, ...]:
    """What is wrong with these records for this key, the gravest first; () where they are exactly right.

    Each record is its character-strings in order (one string, where only the joined text is known). Without a
    ``key`` the record is judged alone.
    """
    if not records:
        return (Fault(Finding.NOT_PUBLISHED),)
    faults: list[Fault] = []
    if len(records) > 1:
        faults.append(Fault(Finding.SEVERAL, _count(key, records)))
    # Of several, each verifier picks one: all that any of them says counts.
    for record in records[:MAX_RECORDS_READ]:
        faults += _judge(key, tuple(record))
    return in_order(faults)


def fits(key: PrivateKey, records: Sequence[Sequence[bytes]]) -> bool:
    """Whether there is one record, and it is this key. A mark as a test (t=y) is no obstacle."""
    return all(fault.finding is Finding.TESTING for fault in compare(key, records))


def is_revoked(records: Sequence[Sequence[bytes]]) -> bool:
    """Whether there is one record and it is revoked: its p= is empty (RFC 6376 §3.6.1)."""
    return [fault.finding for fault in compare(None, records)] == [Finding.REVOKED]


def _count(key: PrivateKey | None, records: Sequence[Sequence[bytes]]) -> str:
    right = sum(not _judge(key, tuple(record)) for record in records[:MAX_RECORDS_READ])
    told = f"; {right} of them would do" if key else ""
    return f"{len(records)} TXT records at the name{told}"


def _judge(key: PrivateKey | None, strings: tuple[bytes, ...]) -> list[Fault]:
    """One record."""
    text = b"".join(strings)
    try:
        tags = taglist.parse(text)
    except taglist.ProtocolError as error:
        return [_shuffled(key, strings) or Fault(Finding.MALFORMED, _why_malformed(text, str(error)))]
    if b"p" not in tags:
        return [_shuffled(key, strings) or Fault(Finding.MALFORMED, f"no p= in {_shown(text)}")]
    faults = _tags(key, tags)
    wrong = _public(key, strings, tags[b"p"], tags.get(b"k", b"rsa"))
    return [*faults, wrong] if wrong else faults


def _why_malformed(text: bytes, error: str) -> str:
    if b'"' in text:
        return "it has quotes inside: too many around it"
    if b"\\" in text:
        return "it has backslashes inside: quoted once too often"
    return f"{error}: {_shown(text)}"


def _tags(key: PrivateKey | None, tags: Mapping[bytes, bytes]) -> list[Fault]:
    """The small tags, each by itself, where a verifier stops at the first."""
    faults = []
    if b"v" in tags and next(iter(tags)) != b"v":
        faults.append(Fault(Finding.WRONG_VERSION, "v= is not the first tag"))
    if tags.get(b"v", b"DKIM1") != b"DKIM1":
        faults.append(Fault(Finding.WRONG_VERSION, f"v={_shown(tags[b'v'])}, and not v=DKIM1"))
    kind = tags.get(b"k", b"rsa")
    if kind not in KNOWN or (key and kind != key.kind.encode()):
        said = f"k={_shown(kind)}" if b"k" in tags else "no k=, which means rsa"
        faults.append(Fault(Finding.WRONG_KIND, f"{said}, and the key is {key.kind}" if key else said))
    if b"h" in tags and b"sha256" not in keyrecord.list_of(tags[b"h"]):
        faults.append(Fault(Finding.WRONG_HASH, f"h={_shown(tags[b'h'])}"))
    if b"s" in tags and not {b"*", b"email"}.intersection(keyrecord.list_of(tags[b"s"])):
        faults.append(Fault(Finding.NOT_EMAIL, f"s={_shown(tags[b's'])}"))
    if b"y" in keyrecord.list_of(tags.get(b"t", b"")):
        faults.append(Fault(Finding.TESTING))
    return faults


def _public(key: PrivateKey | None, strings: tuple[bytes, ...], value: bytes, kind: bytes) -> Fault | None:
    """What is wrong with p=, if anything."""
    if not value:
        # A string in the wrong place can leave p= empty as well.
        return _shuffled(key, strings) or Fault(Finding.REVOKED)
    bare = value.translate(None, FWS + b"\"'\\")
    wanted = key.public_text().encode() if key else b""
    if key and bare == wanted:
        if bare == value:
            return None
        what = "quotes" if bare != value.translate(None, FWS) else "blanks"
        return Fault(Finding.SPLIT, f"{what} inside p=")
    if key and wanted.startswith(bare):
        return Fault(Finding.SPLIT, f"p= ends after {len(bare)} of {len(wanted)} characters")
    shuffled = _shuffled(key, strings)
    if shuffled:
        return shuffled
    try:
        octets = keyrecord.decode_base64(value)
    except ValueError:
        return Fault(Finding.MALFORMED, "p= is not base64")
    if key and octets in _other_forms(key):
        form = (
            "SubjectPublicKeyInfo (RFC 6376 erratum 3017)"
            if key.kind == "rsa"
            else "32 octets (RFC 8463 §4.2)"
        )
        return Fault(Finding.MALFORMED, f"p= is this key in another form; it has to be {form}")
    if key and kind == key.kind.encode():
        return Fault(Finding.DIFFERS)
    return _unusable(octets, kind) if kind in KNOWN and not key else None


def _other_forms(key: PrivateKey) -> tuple[bytes, ...]:
    """The encodings in which the key is not looked for, and which tools print all the same."""
    public = key.key.public_key()
    if key.kind == "rsa":
        return (public.public_bytes(Encoding.DER, PublicFormat.PKCS1),)
    return (public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),)


def _unusable(octets: bytes, kind: bytes) -> Fault | None:
    """What a verifier would say of the key in a record that there is no private key for."""
    record = keyrecord.KeyRecord(kind=kind.decode(), public=octets, strict=False, testing=False)
    try:
        keyrecord.checker(record, min_rsa_bits=1024, max_rsa_bits=MAX_RSA_BITS)
    except keyrecord.UnusableKey as error:
        return Fault(Finding.MALFORMED, str(error))
    return None


def _shuffled(key: PrivateKey | None, strings: tuple[bytes, ...]) -> Fault | None:
    """Whether the strings are this key's record in another order."""
    if key is None or not 1 < len(strings) <= MAX_SHUFFLED:
        return None
    wanted = b"p=" + key.public_text().encode()
    for order in itertools.permutations(strings):
        if order != strings and wanted in b"".join(order):
            return Fault(Finding.SPLIT, f"its {len(strings)} strings are in the wrong order")
    return None


def _shown(value: bytes) -> str:
    """A piece of a stranger's record: printable ASCII, and not much of it."""
    text = value[: _SHOWN + 1].decode("latin-1").encode("unicode_escape").decode("ascii")
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
