"""Letters in files: every octet is kept, but for line ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postvouch.cli.letter import read_letter
from postvouch.values.message import Client, Envelope, Field


def read(data):
    return read_letter(data, client=Client(), envelope=Envelope())


def test_fields_keep_blanks_and_folds_and_the_body_its_octets():
    letter = read(b"Subject:  two  blanks\r\n\tand a fold \r\nX-A:\r\n\r\nbody\r\n\r\n.\xff\r\n")
    assert letter.message.fields == (Field(b"Subject", b"  two  blanks\r\n\tand a fold "), Field(b"X-A", b""))
    assert letter.message.body == (b"body\r\n\r\n.\xff\r\n",)
    assert letter.notes == ()


def test_unix_line_ends_become_crlf_and_that_is_said():
    letter = read(b"From: a@far.example\nTo: x\n y\n\none\ntwo\n")
    assert letter.message.fields[1].value == b" x\r\n y"
    assert letter.message.body == (b"one\r\ntwo\r\n",)
    assert any("LF" in note for note in letter.notes)


def test_a_letter_without_body_has_none():
    assert read(b"A: b\r\n\r\n").message.body == ()
    assert read(b"A: b\r\n").message.body == ()


def test_a_last_line_without_end_gets_one_and_that_is_said():
    letter = read(b"A: b\r\n\r\nlast")
    assert letter.message.body == (b"last\r\n",)
    assert len(letter.notes) == 1


def test_the_line_of_an_mbox_is_left_out():
    for mbox in (b"From mara@far.example Mon Nov 23\n", b">From me\nFrom you\n"):
        letter = read(mbox + b"A: b\n\n")
        assert [f.name for f in letter.message.fields] == [b"A"]
        assert any("mbox" in note for note in letter.notes)


def test_a_line_that_is_no_field_ends_the_header_as_in_postfix():
    letter = read(b"A: b\r\nno field here\r\nC: d\r\n")
    assert [f.name for f in letter.message.fields] == [b"A"]
    assert letter.message.body == (b"no field here\r\nC: d\r\n",)
    assert any("header ends" in note for note in letter.notes)


@pytest.mark.parametrize(
    "data, body",
    [
        (b"", ()),
        (b"\r\n", ()),
        (b"\r\nbody", (b"body\r\n",)),
        (b"no letter at all", (b"no letter at all\r\n",)),
        (b" : x\r\n", (b" : x\r\n",)),
        (b" folded before any field\r\nA: b\r\n", (b" folded before any field\r\nA: b\r\n",)),
        (b"\x00A: b\r\n", (b"\x00A: b\r\n",)),
        (b"\xc3\xa4: b\n", (b"\xc3\xa4: b\r\n",)),
    ],
)
def test_what_has_no_header_field_is_a_body_and_that_is_said(data, body):
    letter = read(data)
    assert (letter.message.fields, letter.message.body) == ((), body)
    assert any("no header field" in note for note in letter.notes)


def test_the_first_line_end_decides_whether_a_lone_lf_ends_a_line():
    letter = read(b"A: b\nFrom: evil@far.example\r\nB: c\rD: e\r\n\r\none\ntwo\r\n")
    assert letter.message.fields == (
        Field(b"A", b" b"), Field(b"From", b" evil@far.example"), Field(b"B", b" c\rD: e")
    )  # fmt: skip
    letter = read(b"X: y\r\nA: b\nFrom: evil@far.example\r\n\r\none\ntwo\r\n")
    assert letter.message.fields == (Field(b"X", b" y"), Field(b"A", b" b\nFrom: evil@far.example"))
    assert letter.message.body == (b"one\ntwo\r\n",)


def test_a_blank_before_the_colon_stays_in_the_name_and_is_no_mbox_line():
    letter = read(b"From : mara@far.example\r\nSubject\t: x\r\n\r\n")
    assert [f.name for f in letter.message.fields] == [b"From ", b"Subject\t"]
    assert letter.message.named(b"from")
    assert letter.notes == ()


VALUES = st.lists(
    st.binary(max_size=8).map(lambda b: b" " + b.replace(b"\r", b"").replace(b"\n", b"")),
    min_size=1,
    max_size=3,
)
FIELDS = st.lists(st.tuples(st.from_regex(rb"[!-9;-~]{1,6}", fullmatch=True), VALUES), min_size=1, max_size=4)


@given(FIELDS, st.binary(max_size=40).map(lambda b: b.replace(b"\n", b"\r\n").replace(b"\r\r", b"\r")))
def test_what_smtp_carried_comes_back_octet_for_octet(fields, body):
    text = b"".join(name + b":" + b"\r\n".join(values) + b"\r\n" for name, values in fields)
    whole = text + b"\r\n" + body
    message = read(whole).message
    assert b"".join(f.name + b":" + f.value + b"\r\n" for f in message.fields) == text
    carried = body if not body or body.endswith(b"\r\n") else body + b"\r\n"
    assert b"".join(message.body) == carried


JUNK = st.lists(
    st.sampled_from([b"\r", b"\n", b"\r\n", b":", b" ", b"From ", b"A: b", b"\x00", b"\xff"])
).map(b"".join)


@given(st.binary(max_size=80) | JUNK)
def test_any_octets_are_a_letter_and_none_is_lost(data):
    letter = read(data)
    whole = b"".join(f.name + b":" + f.value + b"\r\n" for f in letter.message.fields)
    whole += b"".join(letter.message.body)
    kept = whole.replace(b"\r", b"").replace(b"\n", b"")
    assert data.replace(b"\r", b"").replace(b"\n", b"").endswith(kept)
    if not any("mbox" in note for note in letter.notes):
        assert kept == data.replace(b"\r", b"").replace(b"\n", b"")
