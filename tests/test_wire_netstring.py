"""Netstrings: the standard vectors, cut anywhere, and whatever else a port may hear."""

import time
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from postvouch.wire.netstring import Decoder, ProtocolError, encode

VECTORS = Path(__file__).parent / "vectors" / "netstring" / "vectors.yml"
SUITE = yaml.load(VECTORS.read_text("utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def decode(chunks: list[bytes], limit: int) -> tuple[list[bytes], str]:
    """All strings and how the stream ended, in the words of the suite."""
    decoder = Decoder(max_size=limit)
    strings: list[bytes] = []
    for chunk in chunks:
        try:
            strings += decoder.feed(chunk)
        except ProtocolError as fault:
            return [*strings, *fault.before], fault.code
    return strings, "incomplete" if decoder.pending else "complete"


def test_the_suite_is_whole():
    assert (len(SUITE["decode"]), len(SUITE["encode"])) == (55, 8)


@pytest.mark.parametrize("case", SUITE["decode"], ids=lambda case: case["id"])
def test_decoding_the_standard_vectors_whole_and_cut_anywhere(case):
    chunks = [chunk.encode("latin-1") for chunk in case["chunks"]]
    expected = ([string.encode("latin-1") for string in case["strings"]], case["end"])
    limit = case.get("limit", 100_000)
    assert decode(chunks, limit) == expected
    stream = b"".join(chunks)
    for cut in range(0, len(stream), 1 + len(stream) // 500):
        assert decode([stream[:cut], stream[cut:]], limit) == expected
    assert decode([stream[i : i + 1] for i in range(len(stream))], limit) == expected


@pytest.mark.parametrize("case", SUITE["encode"], ids=lambda case: case["id"])
def test_encoding_the_standard_vectors(case):
    assert encode(case["data"].encode("latin-1")) == case["wire"].encode("latin-1")


@given(st.lists(st.binary(max_size=40), max_size=8), st.lists(st.integers(0, 300), max_size=6))
def test_strings_survive_any_split(strings, cuts):
    stream = b"".join(encode(string) for string in strings)
    edges = sorted({0, len(stream), *(min(cut, len(stream)) for cut in cuts)})
    chunks = [stream[a:b] for a, b in pairwise(edges)]
    assert decode(chunks, 40) == (strings, "complete")


@given(st.binary(max_size=40) | st.text("0129:,x", max_size=30).map(str.encode), st.integers(0, 40))
def test_junk_ends_the_same_way_wherever_it_is_cut(junk, cut):
    assert decode([junk], 30) == decode([junk[:cut], junk[cut:]], 30)


def test_a_fault_is_final():
    decoder = Decoder()
    with pytest.raises(ProtocolError, match="length"):
        decoder.feed(b"2:ok,x")
    with pytest.raises(ProtocolError) as again:
        decoder.feed(b"2:ok,")
    assert again.value.before == ()


def test_a_large_string_in_single_octets_is_not_read_again_and_again():
    stream = encode(b"x" * 100_000)
    begin = time.perf_counter()
    assert decode([stream[i : i + 1] for i in range(len(stream))], 100_000)[1] == "complete"
    assert time.perf_counter() - begin < 2
