"""One link of DNSSEC: whether a key signed some records, and whether a DS or a trust anchor is a key.

Keys and signatures are a stranger's: what is long or odd is not calculated with.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import TypeAlias

import dns.dnssec
import dns.exception
import dns.name
import dns.node
import dns.rdata
import dns.rdataclass
import dns.rdataset
import dns.rdatatype
import dns.rrset
from dns.rdtypes.ANY.DNSKEY import DNSKEY
from dns.rdtypes.ANY.DS import DS
from dns.rdtypes.ANY.RRSIG import RRSIG

from postvouch.host.dnsexchange import text

# RSA of 4096 bits with its exponent; longer ones cost time and hardly exist.
MAX_KEY_OCTETS = 520
# RSA with SHA-256 and SHA-512, ECDSA, EdDSA: what every validator knows (RFC 8624 §3.1).
ALGORITHMS = frozenset((8, 10, 13, 14, 15, 16))
_RSA = (8, 10)
# SHA-1, which may still be validated, SHA-256, SHA-384 (RFC 8624 §3.3).
DIGESTS = {1: hashlib.sha1, 2: hashlib.sha256, 4: hashlib.sha384}

Anchor: TypeAlias = DS | DNSKEY
Anchors = Mapping[str, tuple[Anchor, ...]]
"""Zone -> its DS and DNSKEY records that are trusted without a parent."""

_ANCHOR = re.compile(r"(\S+)\s+(?:\d+\s+)?(?:IN\s+)?(?:\d+\s+)?(DS|DNSKEY)\s+(.+)", re.IGNORECASE)


def is_signed(rrset: dns.rrset.RRset, signature: RRSIG, key: DNSKEY, now: float) -> bool:
    """Whether this key made this signature of these records, and it is valid now (RFC 4035 §5.3)."""
    keys: dict[dns.name.Name, dns.node.Node | dns.rdataset.Rdataset]
    keys = {signature.signer: dns.rdataset.from_rdata(0, key)}
    try:
        dns.dnssec.validate_rrsig(rrset, signature, keys, None, now)
    except (dns.exception.DNSException, ValueError):
        return False
    return True


def is_usable(key: DNSKEY) -> bool:
    """A zone key of a known kind (RFC 4034 §2.1), and no arithmetic that takes long."""
    if not key.flags & 0x100 or key.protocol != 3 or key.algorithm not in ALGORITHMS:
        return False
    octets = bytes(key.key)
    return 0 < len(octets) <= MAX_KEY_OCTETS and (key.algorithm not in _RSA or 0 < octets[0] <= 4)


def is_of(anchor: Anchor, zone: str, key: DNSKEY) -> bool:
    """Whether a DS (RFC 4034 §5.1.4), or a key that is trusted, is this key of the zone."""
    if isinstance(anchor, DNSKEY):
        return bool(anchor == key)
    hashed = DIGESTS.get(anchor.digest_type)
    if hashed is None or (anchor.key_tag, anchor.algorithm) != (tag(key), key.algorithm):
        return False
    owner = dns.name.from_text(zone + ".").canonicalize().to_wire() or b""
    return hashed(owner + (key.to_wire() or b"")).digest() == bytes(anchor.digest)


def tag(key: DNSKEY) -> int:
    """The key tag (RFC 4034 appendix B)."""
    return int(dns.dnssec.key_id(key))


def tags(records: Iterable[Anchor]) -> str:
    """The key tags of DS or DNSKEY records, for people."""
    found = [str(tag(each) if isinstance(each, DNSKEY) else each.key_tag) for each in records]
    return "key " + ", ".join(found[:8]) + (", ..." if len(found) > 8 else "")


def parse_anchors(lines: Iterable[str]) -> Anchors:
    """Trust anchors as in unbound's root.key: DS and DNSKEY records in zone form, absolute names.

    Raises ValueError for a line that is neither, nor a comment, and where there is none at all.
    """
    anchors: dict[str, tuple[Anchor, ...]] = {}
    for number, line in enumerate(lines, 1):
        record = line.partition(";")[0].strip()
        if not record:
            continue
        found = _ANCHOR.fullmatch(record)
        try:
            owner, kind, data = found.groups() if found else ("", "", "")
            zone = text(dns.name.from_text(owner))
            anchor = dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.from_text(kind), data)
        except (dns.exception.DNSException, ValueError):
            anchor = None
        if not isinstance(anchor, DS | DNSKEY):
            raise ValueError(f"line {number} is no DS or DNSKEY record")
        anchors[zone] = (*anchors.get(zone, ()), anchor)
    if not anchors:
        raise ValueError("no DS or DNSKEY record in it")
    return anchors
