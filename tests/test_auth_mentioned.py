"""What a careless reader could make out in a broken From: must not dodge the rules about our own domains."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postvouch.auth.mentioned import mentioned, mentions, spellings

OURS = ("our.example", "xn--bcher-kva.example")
SPELLED = {form for domain in OURS for form in spellings(domain)}
HIDDEN = {
    "folded": b"bob@our.\r\n example, x@far.example",
    "blank": b"bob@our .example, x@far.example",
    "comment": b"bob@our(x).example, x@far.example",
    "nested comment": b'bob@our(a(b)).example, "',
    "unclosed comment": b"(bob@our.example",
    "text behind": b"bob@our.example Bob, x@far.example",
    "text behind and nothing else": b"bob@our.example Bob",
    "text behind in angle brackets": b"<bob@our.example \t Bob>",
    "a folded word behind": b"bob@our.example\r\n Bob",
    "quotes behind": b'bob@our.example"Bob"',
    "quotes around, text behind": b'"bob@our.example"Bob',
    "something invisible behind": "bob@our.example\u200bBob".encode(),
    "a backslash behind": b"bob@our.example\\Bob",
    "encoded-word, text behind": b"=?utf-8?q?bob=40our.example_Bob?=",
    "encoded-word in UTF-7": b"=?utf-7?q?bob+AEA-our+AC4-example?=",
    "encoded-word in UTF-16, with a language": b"=?UTF-16BE*en?b?AGIAbwBiAEAAbwB1AHIALgBlAHgAYQBtAHAAbABl?=",
    "encoded-word in EBCDIC": b"=?ebcdic-cp-us?b?gpaCfJakmUuFp4GUl5OF?=",
    "u-label": "bob@bücher.example, x@far.example".encode(),
    "u-label, upper case": "bob@BÜCHER.example, x@far.example".encode(),
    "wide letters": "bob@ｏｕｒ.example".encode(),
    "ideographic stop": "bob@our。example".encode(),
    "soft hyphen": "bob@o\u00adur.example".encode(),
    "zero width": "bob@our\u200b.example".encode(),
    "encoded-word": b"=?utf-8?q?bob=40our=2Eexample?=",
    "encoded-word in base64": b"=?utf-8?b?Ym9iQG91ci5leGFtcGxl?=",
    "encoded-word, wide": b"=?utf-8?q?bob=40=EF=BD=8Fur=2Eexample?=",
    "backslash": b"bob@our\\.example",
    "quotes": b'bob@"our".example, x@f.example',
    "nul": b"bob@our.ex\0ample",
    "no UTF-8": b"bob@our.ex\xffample",
    "last dots": b"bob@OUR.example..",
}


@pytest.mark.parametrize("value", HIDDEN.values(), ids=HIDDEN)
def test_our_domain_is_found_however_it_is_hidden(value: bytes) -> None:
    assert mentions([b"x@far.example", value], OURS)
    assert SPELLED & set(mentioned([b"x@far.example", value]))


def test_strangers_are_not_taken_for_us() -> None:
    assert not mentions([b"a@far.example, b@ours.example", b"=?utf-8?q?our?= <a@example.our>"], OURS)


def test_names_are_folded_and_there_once_each() -> None:
    value = "bob@OUR.example, bob@(x(y))our.example, a@BÜCHER.example, a@xn--bcher-kva.example".encode()
    assert {"our.example", "bücher.example", "xn--bcher-kva.example"} <= set(mentioned([value, value]))


def test_a_domain_is_spelled_in_all_ways_and_in_boundedly_many() -> None:
    assert spellings("xn--bcher-kva.our.xn--kxae4bafwg.example") == (
        "xn--bcher-kva.our.xn--kxae4bafwg.example",
        "xn--bcher-kva.our.ουτοπία.example",
        "bücher.our.xn--kxae4bafwg.example",
        "bücher.our.ουτοπία.example",
    )
    assert len(spellings(".".join(["xn--bcher-kva"] * 15))) == 64
    assert spellings("xn--\u00e9.example") == ("xn--\u00e9.example",)


@given(st.lists(st.binary(max_size=80), max_size=4))
def test_junk_raises_nothing(values: list[bytes]) -> None:
    mentioned(values)
    mentions(values, OURS)


@pytest.mark.parametrize("piece", [b"(", b")", b"=?", b'"', b"\\", b"a@b.", "é.".encode(), b"=?utf-8?q?a?= "])
def test_a_field_of_a_megabyte_costs_a_moment(piece: bytes) -> None:
    began = time.process_time()
    mentioned([piece * (1_000_000 // len(piece))])
    assert time.process_time() - began < 5


def test_half_a_million_names_cost_a_moment() -> None:
    """Forty fields of the length that Postfix hands over, each name another."""
    fields = [b"".join(b"x@b%d\xc3\xa4.ex " % (n * 10_000 + i) for i in range(7_000)) for n in range(40)]
    began = time.process_time()
    mentioned(fields)
    mentioned(["\u00e9.".encode() * 33_000 + b"%d" % n for n in range(40)])
    assert time.process_time() - began < 5
