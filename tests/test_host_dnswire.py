"""host/dnswire.py: the octets of questions and replies, with dnspython as the other opinion."""

import struct
import time

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from postvouch.host.dnswire import Answer, BadReply, Question, encode_name, kind_number, read
from postvouch.values.dns import Status

NUMBER = 0x1234


def question(name: str = "far.example", kind: str = "TXT") -> Question:
    wanted = encode_name(name)
    assert wanted is not None
    return Question(name=wanted, kind=kind_number(kind))


def reply_to(
    asked: Question,
    *,
    answer: tuple[str, ...] = (),
    authority: tuple[str, ...] = (),
    code: dns.rcode.Rcode = dns.rcode.NOERROR,
) -> bytes:
    """A reply as dnspython writes it, names compressed; records as "owner TTL TYPE data | data"."""
    response = dns.message.make_response(dns.message.from_wire(asked.query(NUMBER)))
    response.set_rcode(code)
    for texts, section in ((answer, response.answer), (authority, response.authority)):
        for text in texts:
            owner, ttl, kind, data = text.split(" ", 3)
            section.append(dns.rrset.from_text(owner, int(ttl), "IN", kind, *data.split(" | ")))
    return response.to_wire(max_size=65535)


def test_a_question_is_one_that_dnspython_reads() -> None:
    query = dns.message.from_wire(question("Far.Example.", "MX").query(NUMBER))
    assert query.id == NUMBER
    assert query.question[0].to_text() == "far.example. IN MX"
    assert query.flags == dns.flags.RD | dns.flags.AD
    assert (query.edns, query.payload, query.ednsflags) == (0, 1232, 0)
    assert dns.message.from_wire(question().query(NUMBER, edns=False)).edns == -1


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a..example", ".a.example", "a.example..", "x" * 64 + ".example", "b\xfccher.example",
     "\u212aey.example", "\udcff.example", "a." * 126 + "ab", "a" * 100_000, "a." * 100_000],
)  # fmt: skip
def test_a_name_that_cannot_be_is_none(name: str) -> None:
    assert encode_name(name) is None


def test_the_longest_name_that_can_be_is_one() -> None:
    longest = "a." * 126 + "a"
    assert len(encode_name(longest) or b"") == len(encode_name(longest + ".") or b"") == 255
    assert encode_name("x" * 63) == b"\x3f" + b"x" * 63 + b"\0"


LABELS = st.lists(st.text(st.characters(max_codepoint=0x180), max_size=70), max_size=5)


@given(LABELS.map(".".join))
def test_names_are_encoded_as_dnspython_encodes_their_labels(name: str) -> None:
    encoded = encode_name(name)
    try:
        labels = [label.encode("ascii") for label in name.removesuffix(".").split(".")]
        expected = dns.name.Name([*labels, b""]).to_wire() if all(labels) else None
    except (UnicodeEncodeError, dns.exception.DNSException):
        expected = None
    assert encoded == (expected.lower() if expected else None)


@pytest.mark.parametrize(
    "kind, data, values",
    [
        ("TXT", '"v=spf1 " "-all" | "\\255\\000" | ""', {b"v=spf1 -all", b"\xff\0", b""}),
        ("A", "192.0.2.1 | 192.0.2.2", {"192.0.2.1", "192.0.2.2"}),
        ("AAAA", "2001:db8::1 | ::ffff:192.0.2.1", {"2001:db8::1", "::ffff:192.0.2.1"}),
        ("MX", "10 MX.Far.Example. | 0 .", {(10, "mx.far.example"), (0, ".")}),
        ("PTR", "Host.Far.Example. | a\\.b\\000.example.", {"host.far.example", "a\\.b\\000.example"}),
        ("NS", "ns.far.example.", {"ns.far.example"}),
        ("CNAME", "near.example.", {"near.example"}),
        ("SRV", "1 2 25 mx.example.", {"1 2 25 mx.example."}),
    ],
)
def test_each_type_has_its_values(kind: str, data: str, values: set[object]) -> None:
    asked = question(kind=kind)
    answer = read(reply_to(asked, answer=(f"FAR.example. 300 {kind} {data}",)), asked)
    assert answer.records.status is Status.FOUND
    assert set(answer.records.values) == values
    assert answer.ttl_s == 300


def test_a_record_that_is_told_twice_is_one_and_a_text_cut_elsewhere_is_another() -> None:
    asked = question()
    head = asked.query(NUMBER, edns=False)
    records = [b"\x02ab\x01c", b"\x02ab\x01c", b"\x01a\x02bc"]
    wire = head[:2] + b"\x81\x80\0\1" + struct.pack("!HHH", 3, 0, 0) + head[12:]
    wire += b"".join(b"\xc0\x0c" + struct.pack("!HHIH", 16, 1, 60, len(data)) + data for data in records)
    assert read(wire, asked).records.values == (b"abc", b"abc")


SOA = "example. 900 SOA ns.example. admin.example. 1 3600 600 86400 60"


@pytest.mark.parametrize(
    "code, status", [(dns.rcode.NOERROR, Status.NODATA), (dns.rcode.NXDOMAIN, Status.NXDOMAIN)]
)
@pytest.mark.parametrize(
    "authority, ttl_s",
    [
        ((SOA,), 60),
        ((SOA.replace("900", "30"),), 30),
        ((SOA.replace(" 60", " 999999"),), 900),
        ((SOA.replace("900", "99999").replace(" 60", " 99999"),), 3600),
        ((SOA.replace("example.", ".", 1),), 60),
        ((SOA.replace("example.", "other.", 1),), 0),
        ((), 0),
    ],
)
def test_nothing_holds_as_long_as_the_soa_above_says(
    code: dns.rcode.Rcode, status: Status, authority: tuple[str, ...], ttl_s: int
) -> None:
    asked = question()
    answer = read(reply_to(asked, authority=authority, code=code), asked)
    assert (answer.records.status, answer.records.values, answer.ttl_s) == (status, (), ttl_s)


def test_a_ttl_with_the_highest_bit_is_none() -> None:
    asked = question()
    wire = reply_to(asked, answer=("far.example. 300 TXT x",))
    assert read(wire.replace(struct.pack("!I", 300), b"\x80\0\0\1"), asked).ttl_s == 0


def test_cnames_are_followed_as_far_as_they_are_told() -> None:
    asked = question()
    chain = ("far.example. 50 CNAME a.example.", "a.example. 40 CNAME b.example.")
    found = read(reply_to(asked, answer=(*chain, "b.example. 30 TXT x")), asked)
    assert (found.records.texts(), found.ttl_s) == ((b"x",), 30)
    part = read(reply_to(asked, answer=chain), asked)
    assert (part.records.status, part.canonical) == (Status.NODATA, encode_name("b.example"))
    gone = read(reply_to(asked, answer=chain, authority=(SOA,), code=dns.rcode.NXDOMAIN), asked)
    assert (gone.records.status, gone.ttl_s) == (Status.NXDOMAIN, 40)
    out_of_order = read(reply_to(asked, answer=("b.example. 30 TXT x", *reversed(chain))), asked)
    assert out_of_order == found


def test_the_ad_bit_is_told() -> None:
    asked = question()
    wire = bytearray(reply_to(asked, answer=("far.example. 300 TXT x",)))
    assert not read(bytes(wire), asked).records.secure
    wire[3] |= 0x20
    assert read(bytes(wire), asked).records.secure


@pytest.mark.parametrize("code", sorted({*range(16)} - {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}))
def test_every_other_code_is_trouble(code: int) -> None:
    asked = question()
    wire = bytearray(reply_to(asked, answer=("far.example. 300 TXT x",)))
    wire[3] |= code
    with pytest.raises(BadReply, match=r"the server says \w+"):
        read(bytes(wire), asked)


def _opinion(wire: bytes, asked: Question) -> tuple[Status, set[object]] | None:
    """What dnspython makes of a reply; None where it says that it is none."""
    try:
        message = dns.message.from_wire(wire)
        if not isinstance(message, dns.message.QueryMessage):
            return None
        chain = message.resolve_chaining()
    except (dns.exception.DNSException, ValueError, struct.error):
        return None
    if chain.answer is None:
        gone = message.rcode() == dns.rcode.NXDOMAIN
        return (Status.NXDOMAIN if gone else Status.NODATA), set()
    return Status.FOUND, {b"".join(rdata.strings) for rdata in chain.answer}


def _ours(wire: bytes, asked: Question) -> Answer | None:
    try:
        return read(wire, asked)
    except BadReply:
        return None


WIRES = [
    reply_to(
        question(), answer=("far.example. 300 TXT one | two",), authority=("example. 9 NS ns.example.",)
    ),
    reply_to(question(), answer=("far.example. 300 CNAME a.example.", "a.example. 9 TXT x y")),
    reply_to(question(), authority=(SOA,), code=dns.rcode.NXDOMAIN),
    reply_to(question(), authority=(SOA,)),
]


@given(st.sampled_from(WIRES), st.lists(st.tuples(st.integers(2, 200), st.integers(0, 255)), max_size=3))
def test_whatever_becomes_of_a_reply_it_is_read_as_dnspython_reads_it_or_not_at_all(
    wire: bytes, changes: list[tuple[int, int]]
) -> None:
    asked = question()
    octets = bytearray(wire)
    for at, value in changes:
        octets[at % len(octets)] = value
    changed = bytes(octets)
    if not asked.is_answered_by(changed, NUMBER) or len(changed) < 12 + len(asked.query(0, edns=False)) - 12:
        return
    ours, other = _ours(changed, asked), _opinion(changed, asked)
    if ours is not None and other is not None:
        assert (ours.records.status, set(ours.records.values)) == other


@pytest.mark.parametrize("wire", WIRES)
def test_good_replies_are_read_by_both(wire: bytes) -> None:
    ours = _ours(wire, question())
    assert ours is not None
    assert (ours.records.status, set(ours.records.values)) == _opinion(wire, question())


@given(st.sampled_from(WIRES), st.integers(0, 400))
def test_a_reply_cut_anywhere_is_none(wire: bytes, size: int) -> None:
    if size < len(wire) and question().is_answered_by(wire[:size], NUMBER):
        assert _ours(wire[:size], question()) is None


@given(
    st.binary(max_size=600), st.integers(0, 65535), st.sampled_from(["TXT", "A", "AAAA", "MX", "PTR", "TLSA"])
)
def test_no_octets_raise_anything_but_bad_reply(octets: bytes, counts: int, kind: str) -> None:
    asked = question(kind=kind)
    asked.is_answered_by(octets, NUMBER)
    head = asked.query(NUMBER, edns=False)
    wire = head[:2] + b"\x81\x80\0\1" + struct.pack("!HHH", counts & 31, counts >> 14, 1) + head[12:] + octets
    assert asked.is_answered_by(wire, NUMBER)
    _ours(wire, asked)


@given(
    st.sampled_from(["TXT", "A", "AAAA", "MX", "PTR", "NS", "CNAME", "TLSA", "SRV"]), st.binary(max_size=60)
)
def test_no_record_raises_anything_but_bad_reply(kind: str, data: bytes) -> None:
    asked = question(kind=kind)
    head = asked.query(NUMBER, edns=False)
    wire = head[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + head[12:] + b"\xc0\x0c"
    wire += struct.pack("!HHIH", asked.kind, 1, 60, len(data)) + data
    ours = _ours(wire, asked)
    assert ours is None or ours.records.status in (Status.FOUND, Status.NODATA)


def test_the_costliest_reply_costs_little() -> None:
    """As many names as may be, each as long and as scattered as may be."""
    asked = question()
    head = asked.query(NUMBER, edns=False)
    at = len(head) + 12
    # A ladder: each label is followed by a pointer to the one before.
    ladder, places = b"", []
    for _ in range(120):
        places.append(at + len(ladder))
        ladder += b"\x01a" + (struct.pack("!H", 0xC000 | places[-2]) if len(places) > 1 else b"\0\0")
    longest = struct.pack("!H", 0xC000 | places[15])
    records = [b"\xc0\x0c" + struct.pack("!HHIH", 999, 1, 60, len(ladder)) + ladder]
    records += [longest + struct.pack("!HHIH", 16, 1, 60, 2) + b"\x01x"] * 999
    wire = head[:2] + b"\x81\x80\0\1" + struct.pack("!HHH", 1000, 0, 0) + head[12:] + b"".join(records)
    begin = time.thread_time()
    answer = read(wire, asked)
    assert time.thread_time() - begin < 0.2
    assert answer.records.status is Status.NODATA
