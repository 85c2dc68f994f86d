"""DNS messages as octets: a question, and what a reply says to it (RFC 1035 §4).

Reads what was asked for and walks over the rest, in time linear in the reply, whatever is in it. The message
parser of dnspython takes several times as long, and follows chains of compression pointers for seconds; its
names, type numbers and rarer records serve here. Both agree on every well-formed reply: a test asks both.
"""

import socket
import struct
from dataclasses import dataclass

import dns.exception
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype

from postvouch.values.dns import Records, Status

# No answer is believed for longer than a day, "nothing" not longer than an hour (RFC 2308 §5 allows three).
MAX_TTL_S = 86400
MAX_NEGATIVE_TTL_S = 3600
# Fits every path without fragments; longer answers come over TCP.
UDP_PAYLOAD = 1232
# More of them in one reply is no mail domain but an attack on our time; 64 kB could hold six times as many.
MAX_RECORDS = 1000
# CNAMEs in one reply, and pointers in one name.
MAX_CHAIN = 16

NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = range(6)

_HEADER = struct.Struct("!HHHHHH")
_RECORD = struct.Struct("!HHIH")
# Recursion desired; AD asks a validating resolver for its verdict without its proofs (RFC 6840 §5.7).
_FLAGS = 0x0120
_REPLY, _AD = 0x80, 0x20
# EDNS(0), without DO (RFC 6891 §6.1.2).
_OPT = struct.pack("!BHHIH", 0, dns.rdatatype.OPT, UDP_PAYLOAD, 0, 0)
_IN = int(dns.rdataclass.IN)


class BadReply(Exception):
    """This server's reply is no answer but a failure, a referral or garbage; the text says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question. ``name`` is in wire form and lower case, ``kind`` the number of a type."""

    name: bytes
    kind: int

    def query(self, number: int, *, edns: bool = True) -> bytes:
        """The octets to send. Without ``edns`` for servers that know it not (RFC 6891 §6.2.2)."""
        return _HEADER.pack(number, _FLAGS, 1, 0, 0, edns) + self._section() + (_OPT if edns else b"")

    def is_answered_by(self, reply: bytes, number: int) -> bool:
        """Whether a reply is one to this question, asked under this number (RFC 5452 §9.1)."""
        if len(reply) < 12 or reply[0] << 8 | reply[1] != number or reply[2] & 0xF8 != _REPLY:
            return False
        counts, section = reply[4:6], self._section()
        if counts == b"\0\0":
            # Who cannot read the question does not repeat it.
            return rcode(reply) in (FORMERR, SERVFAIL, NOTIMP, REFUSED)
        end = 12 + len(section)
        name, rest = reply[12 : end - 4].lower(), reply[end - 4 : end]
        return counts == b"\0\1" and name + rest == section

    def _section(self) -> bytes:
        return self.name + struct.pack("!HH", self.kind, _IN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a reply says. ``canonical`` is where its CNAMEs end, ``ttl_s`` how long all of it holds."""

    records: Records
    ttl_s: int
    canonical: bytes


def encode_name(name: str) -> bytes | None:
    """A name in wire form, lower case; None for one that cannot exist (RFC 1035 §2.3.4).

    Nothing escapes and no IDNA happens: names come from strangers.
    """
    if len(name) > 254 or not name.isascii():
        return None
    labels = name.removesuffix(".").lower().encode("ascii").split(b".")
    octets = b"".join(bytes((len(label) & 0xFF,)) + label for label in labels) + b"\0"
    return octets if all(0 < len(label) < 64 for label in labels) and len(octets) <= 255 else None


def kind_number(kind: str) -> int:
    """The number of a type. Raises ValueError."""
    try:
        return int(dns.rdatatype.from_text(kind))
    except dns.exception.DNSException:
        raise ValueError(f"no such type of record: {kind!r}") from None


def rcode(reply: bytes) -> int:
    """The response code in the header."""
    return reply[3] & 0x0F


def is_truncated(reply: bytes) -> bool:
    """Whether the answer did not fit and is to be had over TCP."""
    return bool(reply[2] & 0x02)


def read(reply: bytes, question: Question) -> Answer:
    """What a reply says to the question that it ``is_answered_by``. Raises BadReply."""
    if rcode(reply) not in (NOERROR, NXDOMAIN):
        raise BadReply(f"the server says {dns.rcode.Rcode.to_text(rcode(reply))}")
    if is_truncated(reply):
        raise BadReply("the reply is cut short")
    try:
        return _read(reply, question)
    except (IndexError, ValueError, struct.error, dns.exception.DNSException):
        raise BadReply("the reply is garbled") from None


def _read(reply: bytes, question: Question) -> Answer:
    """Sort the records of the reply, then follow the CNAMEs from the question."""
    _, flags, _, answers, authorities, additionals = _HEADER.unpack_from(reply)
    total = answers + authorities + additionals
    if total > MAX_RECORDS:
        raise BadReply("the reply has too many records")
    # Keyed by owner: what the reply says of other names, nobody asked and nobody will remember.
    sets: dict[tuple[bytes, int], list[tuple[int, int, int]]] = {}
    soas: dict[bytes, int] = {}
    is_ours, is_referral = False, False
    at = 16 + len(question.name)
    for n in range(total):
        if reply[at : at + 2] == b"\xc0\x0c":
            owner, at = question.name, at + 2
        else:
            owner, at = _name(reply, at)
        kind, rdclass, ttl_s, size = _RECORD.unpack_from(reply, at)
        start, at = at + 10, at + 10 + size
        if at > len(reply):
            raise BadReply("the reply is cut short")
        if kind == dns.rdatatype.OPT and n >= answers + authorities and ttl_s >> 24:
            raise BadReply("the server does not know EDNS")
        # A TTL of over 2^31 is none (RFC 2181 §8).
        ttl_s = 0 if ttl_s >> 31 else min(ttl_s, MAX_TTL_S)
        if rdclass != _IN:
            continue
        if n < answers:
            is_ours = is_ours or owner == question.name
            if kind in (question.kind, dns.rdatatype.CNAME):
                sets.setdefault((owner, kind), []).append((ttl_s, start, at))
        elif n < answers + authorities:
            is_referral = is_referral or kind == dns.rdatatype.NS
            if kind == dns.rdatatype.SOA and size >= 22:
                soas[owner] = min(ttl_s, int.from_bytes(reply[at - 4 : at]), MAX_NEGATIVE_TTL_S)
    if answers and not is_ours:
        raise BadReply("the reply is to another question")

    secure, is_nxdomain = bool(flags & _AD), rcode(reply) == NXDOMAIN
    name, ttl_s = question.name, MAX_TTL_S
    for _ in range(MAX_CHAIN):
        found = sets.get((name, question.kind))
        if found:
            if is_nxdomain:
                raise BadReply("the reply is garbled")
            ttl_s = min(ttl_s, *(ttl for ttl, _, _ in found))
            records = Records(status=Status.FOUND, values=_values(reply, question.kind, found), secure=secure)
            return Answer(records=records, ttl_s=ttl_s, canonical=name)
        alias = sets.get((name, dns.rdatatype.CNAME))
        if not alias:
            break
        ttl_s, (name, after) = min(ttl_s, alias[0][0]), _name(reply, alias[0][1])
        if after != alias[0][2]:
            raise BadReply("the reply is garbled")
    else:
        raise BadReply("too many CNAMEs")
    # Who has neither an answer nor an SOA but names other servers is lame (RFC 2308 §2.2).
    if is_referral and not soas and not is_nxdomain and name == question.name:
        raise BadReply("the server is lame")
    status = Status.NXDOMAIN if is_nxdomain else Status.NODATA
    # Where CNAMEs lead on, whoever asks on will hear how long that holds.
    if is_nxdomain or name == question.name:
        ttl_s = min(ttl_s, _negative_ttl(name, soas))
    return Answer(records=Records(status=status, secure=secure), ttl_s=ttl_s, canonical=name)


def _negative_ttl(name: bytes, soas: dict[bytes, int]) -> int:
    """How long to believe in nothing: what the SOA above says; without one, not at all (RFC 2308 §5)."""
    while name not in soas:
        if name == b"\0":
            return 0
        name = name[name[0] + 1 :]
    return soas[name]


def _name(reply: bytes, at: int) -> tuple[bytes, int]:
    """The name that begins here, in wire form and lower case, and where it ends.

    Pointers lead backwards only (RFC 1035 §4.1.4), so that none is a loop. Raises BadReply, IndexError.
    """
    labels: list[bytes] = []
    size, end, pointers, lowest = 1, 0, 0, at
    while length := reply[at]:
        if length < 64:
            size += length + 1
            labels.append(reply[at : at + length + 1])
            at += length + 1
        elif length >= 0xC0:
            end = end or at + 2
            at = (length & 0x3F) << 8 | reply[at + 1]
            pointers += 1
            if at >= lowest:
                raise BadReply("the reply is garbled")
            lowest = at
        else:
            raise BadReply("the reply is garbled")
        if size > 255 or pointers > MAX_CHAIN:
            raise BadReply("the reply is garbled")
    return b"".join(labels).lower() + b"\0", end or at + 1


def _values(
    reply: bytes, kind: int, found: list[tuple[int, int, int]]
) -> tuple[bytes | str | tuple[int, str], ...]:
    """The records of one set, each once (RFC 2181 §5)."""
    values: dict[bytes | str | tuple[int, str], bytes | str | tuple[int, str]] = {}
    for _, start, end in found:
        value = _value(reply, kind, start, end)
        # Two texts that differ only in how they are cut are two records.
        values[reply[start:end] if kind == dns.rdatatype.TXT else value] = value
    return tuple(values.values())


def _value(reply: bytes, kind: int, start: int, end: int) -> bytes | str | tuple[int, str]:
    match kind:
        case dns.rdatatype.TXT:
            strings = []
            while start < end:
                following = start + 1 + reply[start]
                strings.append(reply[start + 1 : following])
                start = following
            if start > end:
                raise BadReply("the reply is garbled")
            return b"".join(strings)
        case dns.rdatatype.A:
            return socket.inet_ntop(socket.AF_INET, reply[start:end])
        case dns.rdatatype.AAAA:
            return socket.inet_ntop(socket.AF_INET6, reply[start:end])
        case dns.rdatatype.MX:
            return int.from_bytes(reply[start : start + 2]), _host(reply, start + 2, end)
        case dns.rdatatype.PTR | dns.rdatatype.CNAME | dns.rdatatype.NS:
            return _host(reply, start, end)
        case _:
            # Bounded, and never asked for because a stranger said so.
            rdtype = dns.rdatatype.RdataType.make(kind)
            return dns.rdata.from_wire(dns.rdataclass.IN, rdtype, reply, start, end - start).to_text()


def _host(reply: bytes, start: int, end: int) -> str:
    """A name in a record, as text."""
    octets, after = _name(reply, start)
    if after != end:
        raise BadReply("the reply is garbled")
    name, _ = dns.name.from_wire(octets, 0)
    return name.to_text(omit_final_dot=True)
