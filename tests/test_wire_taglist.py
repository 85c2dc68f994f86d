"""Tag=value lists of DKIM: the grammar of RFC 6376 section 3.2 and nothing beside it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postvouch.wire.taglist import ProtocolError, parse


@pytest.mark.parametrize(
    "text, tags",
    [
        (b"v=1", {b"v": b"1"}),
        (
            b" v=1; a=rsa-sha256 ;\r\n\td = far.example;",
            {b"v": b"1", b"a": b"rsa-sha256", b"d": b"far.example"},
        ),
        (b"b=abc\r\n def=\r\n =", {b"b": b"abc def= ="}),
        (b"v=1;\n b=x", {b"v": b"1", b"b": b"x"}),
        (b"p=", {b"p": b""}),
        (b"V=1; v=2", {b"V": b"1", b"v": b"2"}),
        (b"v=1;; p=x; ;", {b"v": b"1", b"p": b"x"}),
        (b"a_1=x;\tzz9=:/!~", {b"a_1": b"x", b"zz9": b":/!~"}),
        ("i=zoë@far.example".encode(), {b"i": "zoë@far.example".encode()}),
        (b"", {}),
    ],
)
def test_tag_lists_are_read(text, tags):
    assert parse(text) == tags


@pytest.mark.parametrize(
    "text, code",
    [
        (b"v", "malformed"),
        (b"v=1; x", "malformed"),
        (b"=1", "malformed"),
        (b"1v=1", "malformed"),
        (b"v v=1", "malformed"),
        (b"v-1=1", "malformed"),
        (b"v=1\x00", "malformed"),
        (b"v=1\r\nb=2", "malformed"),
        (b"v=a\rb", "malformed"),
        ("vé=1".encode(), "malformed"),
        (b"v=1; v=1", "duplicate-tag"),
        (b"d=far.example; b=x; d=our.example", "duplicate-tag"),
    ],
)
def test_a_broken_list_is_void_as_a_whole(text, code):
    with pytest.raises(ProtocolError) as caught:
        parse(text)
    assert caught.value.code == code


NAMES = st.from_regex(rb"[A-Za-z][A-Za-z0-9_]{0,5}", fullmatch=True)
VALUES = st.from_regex(
    rb"([\x21-\x3a\x3c-\x7e]([\x20-\x3a\x3c-\x7e]{0,9}[\x21-\x3a\x3c-\x7e])?)?", fullmatch=True
)
BLANKS = st.sampled_from([b"", b" ", b"\t", b"\r\n ", b" \r\n\t"])


@given(st.dictionaries(NAMES, VALUES, max_size=6), BLANKS, BLANKS)
def test_tags_survive_any_blanks_around_them(tags, before, after):
    text = b";".join(before + name + after + b"=" + before + value + after for name, value in tags.items())
    assert parse(text) == tags


@given(st.binary(max_size=40) | st.text("v=; \r\n\t1", max_size=20).map(str.encode))
def test_junk_is_a_tag_list_or_a_fault(junk):
    try:
        tags = parse(junk)
    except ProtocolError as fault:
        assert fault.code in {"malformed", "duplicate-tag"}  # noqa: PT017 - both ends are fine
    else:
        assert parse(b"; ".join(name + b"=" + value for name, value in tags.items())) == tags
