"""Canonicalisation: the vectors of RFC 6376 and ours, dkimpy as an oracle, any chunking, linear time."""

import base64
import hashlib
import time
from pathlib import Path

import pytest
import yaml
from dkim.canonicalization import Relaxed, Simple
from hypothesis import given
from hypothesis import strategies as st

from postvouch.auth.canonical import (
    BodyHasher,
    body_hash,
    canonical_fields,
    relaxed_field,
    select,
    signing_input,
    simple_field,
    without_b,
)
from postvouch.values.message import Field, Header, by_name

VECTORS = yaml.safe_load((Path(__file__).parent / "vectors/dkim/canon.yml").read_text(encoding="utf-8"))

# Mostly the characters that matter, so that every example has runs, folds and lone CRs and LFs.
BODIES = st.lists(
    st.sampled_from([b"\r\n", b"\r", b"\n", b" ", b"\t", b"a", b"  \t", b"\r\n\r\n", b"x y"]), max_size=30
)


def field_of(raw: str) -> Field:
    name, _, value = raw.encode("latin-1").removesuffix(b"\r\n").partition(b":")
    return Field(name, value)


@pytest.mark.parametrize("case", VECTORS["header_fields"], ids=lambda case: case["id"])
def test_header_field_vector(case: dict[str, str]) -> None:
    field = field_of(case["raw"])
    assert simple_field(field) == case["simple"].encode("latin-1")
    assert relaxed_field(field) == case["relaxed"].encode("latin-1")


@pytest.mark.parametrize("case", VECTORS["bodies"], ids=lambda case: case["id"])
def test_body_vector(case: dict[str, str]) -> None:
    raw = case["raw"].encode("latin-1")
    assert base64.b64encode(body_hash([raw], relaxed=False)).decode() == case["sha256_simple"]
    assert base64.b64encode(body_hash([raw], relaxed=True)).decode() == case["sha256_relaxed"]


@pytest.mark.parametrize("case", VECTORS["signing"], ids=lambda case: case["id"])
def test_signing_input_vector(case: dict[str, object]) -> None:
    raw = (Path(__file__).parent / "vectors/dkim" / str(case["message"])).read_bytes()
    head = raw.partition(b"\r\n\r\n")[0].replace(b"\r\n ", b"\x00 ").replace(b"\r\n\t", b"\x00\t")
    fields = [field_of(line.replace(b"\x00", b"\r\n").decode("latin-1")) for line in head.split(b"\r\n")]
    names = [str(name).lower().encode() for name in case["h"]]  # type: ignore[attr-defined]
    relaxed = str(case["c"]).startswith("relaxed")
    signature = field_of(str(case["field_with_empty_b"]))
    chosen = select(by_name(fields), names, None)
    made = signing_input(chosen, signature, relaxed=relaxed)
    assert made == str(case["header_hash_input"]).encode("latin-1")
    assert base64.b64encode(hashlib.sha256(made).digest()).decode() == case["sha256"]


@given(BODIES, st.data())
def test_any_chunking_gives_the_hash_that_dkimpy_gives_for_the_whole(
    pieces: list[bytes], data: st.DataObject
) -> None:
    body = b"".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=8)))
    chunks = [body[i:j] for i, j in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    whole = hashlib.sha256(Simple.canonicalize_body(body)).digest()
    assert body_hash(chunks, relaxed=False) == whole
    # dkimpy keeps blanks before an end without CRLF, which cannot be seen over SMTP.
    closed = [*chunks, b"\r\n"]
    expected = hashlib.sha256(Relaxed.canonicalize_body(body + b"\r\n")).digest()
    assert body_hash(closed, relaxed=True) == expected


@given(BODIES, st.booleans(), st.integers(0, 40))
def test_a_limit_hashes_that_many_octets_and_counts_all(
    pieces: list[bytes], relaxed: bool, limit: int
) -> None:
    body = b"".join(pieces) + b"\r\n"
    canonical = (Relaxed if relaxed else Simple).canonicalize_body(body)
    hasher = BodyHasher(relaxed=relaxed, limit=limit)
    for piece in pieces:
        hasher.feed(piece)
    hasher.feed(b"\r\n")
    assert hasher.finish() == hashlib.sha256(canonical[:limit]).digest()
    assert hasher.length == len(canonical)


@given(st.lists(st.sampled_from([b" ", b"\t", b"\r\n ", b"\r\n\t", b"a", b":", b"\xfc"]), max_size=30))
def test_relaxed_header_fields_are_as_dkimpy_makes_them(pieces: list[bytes]) -> None:
    value = b"".join(pieces)
    name, canonical = Relaxed.canonicalize_headers([(b"SubJect", value + b"\r\n")])[0]
    assert relaxed_field(Field(b"SubJect", value)) == name + b":" + canonical


@pytest.mark.parametrize(
    "chunk",
    [
        b" " * 64,
        b" \t" * 4096,
        b"\r\n" * 4096,
        b" \r\n" * 4096,
        b"\r" * 4096,
        b"\n" * 4096,
        b"\r\r\n\n" * 2048,
        b"a  " * 4096,
    ],
    ids=lambda chunk: repr(chunk[:6]),
)
@pytest.mark.parametrize("relaxed", [False, True])
def test_ten_megabytes_of_anything_take_linear_time(chunk: bytes, relaxed: bool) -> None:
    chunk *= (64 << 10) // len(chunk)
    started = time.process_time()
    hasher = BodyHasher(relaxed=relaxed)
    for _ in range(160):
        hasher.feed(chunk)
    hasher.finish()
    assert time.process_time() - started < 2


@pytest.mark.parametrize("blank", [b" ", b"\t", b"\r\n "])
def test_a_megabyte_of_blanks_in_a_header_field_takes_linear_time(blank: bytes) -> None:
    started = time.process_time()
    assert relaxed_field(Field(b"Subject", b"a" + blank * 300_000 + b"b")) == b"subject:a b\r\n"
    assert time.process_time() - started < 1


def test_only_the_tag_b_is_emptied() -> None:
    value = b" v=1; sb=keep; b2=keep;\r\n\tz=Subject: b=keep; b =\r\n\tgone\r\n gone ; bh=keep"
    assert without_b(value) == b" v=1; sb=keep; b2=keep;\r\n\tz=Subject: b=keep; b =; bh=keep"


@given(
    st.lists(
        st.builds(
            Field,
            st.sampled_from([b"To", b"SUBJECT ", b"x-A\t"]),
            st.lists(st.sampled_from([b" ", b"\t", b"\r\n ", b"\r", b"\n", b"\0", b"a", b"b c"])).map(
                b"".join
            ),
        ),
        max_size=6,
    ),
    st.booleans(),
)
def test_fields_together_are_what_each_is_alone(fields: list[Field], relaxed: bool) -> None:
    alone = b"".join(relaxed_field(field) if relaxed else simple_field(field) for field in fields)
    assert canonical_fields(fields, relaxed=relaxed) == alone


def test_a_header_knows_its_fields_by_name_as_any_list_of_them_does() -> None:
    first, second, other = Field(b"To", b" 1"), Field(b"TO ", b" 2"), Field(b"Cc", b" 3")
    header = Header([first, other, second])
    assert by_name(header) == by_name([first, other, second]) == {b"to": [first, second], b"cc": [other]}
    assert by_name(header) is by_name(header)
    assert by_name(Header(header[1:])) == {b"cc": [other], b"to": [second]}


def test_h_takes_fields_from_the_bottom_and_a_mention_too_many_takes_nothing() -> None:
    first, second, other = Field(b"To", b" 1"), Field(b"TO ", b" 2"), Field(b"Cc", b" 3")
    index = by_name([first, other, second])
    assert select(index, [b"to", b"cc", b"to", b"to", b"bcc"], None) == [second, other, first]


def test_a_signature_never_covers_itself_by_name() -> None:
    upper, lower = Field(b"DKIM-Signature", b"1"), Field(b"DKIM-Signature", b"2")
    index = by_name([upper, lower])
    assert select(index, [b"dkim-signature"], lower) == [upper]
    assert select(index, [b"dkim-signature"] * 3, upper) == [lower]
