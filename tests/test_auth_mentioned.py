"""What a careless reader could make out in a broken From: must not dodge the rules about our own domains."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postvouch.auth.mentioned import mentioned, mentions

OURS = ("our.example", "xn--bcher-kva.example")
HIDDEN = {
    "folded": b"bob@our.\r\n example, x@far.example",
    "blank": b"bob@our .example, x@far.example",
    "comment": b"bob@our(x).example, x@far.example",
    "nested comment": b'bob@our(a(b)).example, "',
    "unclosed comment": b"(bob@our.example",
    "text behind": b"bob@our.example Bob, x@far.example",
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


def test_strangers_are_not_taken_for_us() -> None:
    assert not mentions([b"a@far.example, b@ours.example", b"=?utf-8?q?our?= <a@example.our>"], OURS)


def test_names_are_a_labels_once_each() -> None:
    value = "bob@OUR.example, bob@(x(y))our.example, a@bücher.example".encode()
    assert set(OURS) <= set(mentioned([value, value]))


@given(st.lists(st.binary(max_size=80), max_size=4))
def test_junk_raises_nothing(values: list[bytes]) -> None:
    mentioned(values)
    mentions(values, OURS)


@pytest.mark.parametrize("piece", [b"(", b")", b"=?", b'"', b"\\", b"a@b.", "é.".encode(), b"=?utf-8?q?a?= "])
def test_a_field_of_a_megabyte_costs_a_moment(piece: bytes) -> None:
    began = time.process_time()
    mentioned([piece * (1_000_000 // len(piece))])
    assert time.process_time() - began < 5
