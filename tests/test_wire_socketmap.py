"""The questions Postfix's socketmap client asks and the answers it understands."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from postvouch.values.answer import Found, NotFound, Refused, Unavailable
from postvouch.wire.netstring import encode
from postvouch.wire.socketmap import (
    MAX_ANSWER,
    ProtocolError,
    Query,
    format_answer,
    format_reply,
    parse_query,
)

VECTORS = Path(__file__).parent / "vectors" / "netstring" / "vectors.yml"
SUITE = yaml.load(VECTORS.read_text("utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def test_the_suite_is_whole():
    assert (len(SUITE["requests"]), len(SUITE["replies"])) == (17, 8)


@pytest.mark.parametrize("case", SUITE["requests"], ids=lambda case: case["id"])
def test_requests_of_the_standard_vectors(case):
    request = case["request"].encode("latin-1")
    if case["result"] == "malformed":
        with pytest.raises(ProtocolError) as caught:
            parse_query(request)
        assert caught.value.code == "malformed"
    else:
        query = parse_query(request)
        assert query.map == case["map"]
        assert query.key.encode("utf-8", "surrogateescape") == case["key"].encode("latin-1")


@pytest.mark.parametrize("case", SUITE["replies"], ids=lambda case: case["id"])
def test_replies_of_the_standard_vectors(case):
    reply = format_reply(case["status"], case["text"])
    assert reply.decode("ascii") in case.get("payload_any_of", [case.get("payload")])
    if "wire" in case:
        assert encode(reply) == case["wire"].encode("ascii")


@pytest.mark.parametrize(
    "answer, payload",
    [
        (Found("otto@far.example", "names.yaml:3"), b"OK otto@far.example"),
        (Found('"a b"@far.example, zoë@far.example'), 'OK "a b"@far.example, zoë@far.example'.encode()),
        (Found("m\udcfcller"), b"OK m\xfcller"),
        (NotFound("who is that"), b"NOTFOUND "),
        (Refused("forged"), b"NOTFOUND "),
        (Unavailable("directory is away"), b"TEMP directory is away"),
    ],
)
def test_answers_become_the_word_that_postfix_needs(answer, payload):
    assert format_answer(answer) == payload


@pytest.mark.parametrize("value", ["", "a\nb", "a\x00b", "\ud800", "x" * MAX_ANSWER])
def test_a_value_that_cannot_be_said_is_a_temporary_failure_and_never_a_miss(value):
    assert format_answer(Found(value)).startswith(b"TEMP the value found is ")


def test_the_longest_value_fits():
    assert len(format_answer(Found("x" * (MAX_ANSWER - 3)))) == MAX_ANSWER


@given(st.builds(Found, st.text()) | st.builds(Unavailable, st.text()) | st.builds(Refused, st.text()))
def test_every_answer_is_one_line_that_postfix_can_read(answer):
    payload = format_answer(answer)
    assert payload.startswith((b"OK ", b"TEMP ", b"NOTFOUND "))
    assert not any(octet < 0x20 for octet in payload)


@given(st.from_regex(r"[a-z-]{1,12}", fullmatch=True), st.binary(max_size=60))
def test_any_key_comes_through_unchanged(name, key):
    query = parse_query(name.encode() + b" " + key)
    assert query == Query(name, key.decode("utf-8", "surrogateescape"))
