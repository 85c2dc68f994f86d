"""auth/receivedspf.py: the field says what was found, and only that, whatever strangers write."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postvouch.auth.receivedspf import format_value
from postvouch.auth.result import Result, SpfFinding
from postvouch.values.message import Client, Envelope

FOUND = SpfFinding(
    result=Result.PASS,
    domain="far.example",
    reason="192.0.2.7 may send for far.example: ip4:192.0.2.7 matched",
)
CLIENT = Client(address="192.0.2.7", name="mx.far.example", helo="mx.far.example")
ENVELOPE = Envelope(sender="alice@far.example", recipients=("secret@our.example",))
RESULTS = {"pass", "fail", "softfail", "neutral", "none", "temperror", "permerror"}


def read(value: str) -> tuple[str, str, dict[str, str]]:
    """A strict reader of RFC 7208 §9.1 that shares nothing with the writer: result, comment, pairs."""
    assert not re.search(r"\n(?! )", value), "a fold that is none"
    text = value.replace("\n", "")
    assert all(" " <= c <= "~" for c in text)
    result, _, rest = text.partition(" ")
    assert result in RESULTS
    comment = ""
    if rest.startswith("("):
        end = 1
        while rest[end] != ")":
            assert rest[end] not in "(\\"
            end += 1
        comment, rest = rest[1:end], rest[end + 1 :]
        assert rest.startswith(" ")
        rest = rest[1:]
    pairs: dict[str, str] = {}
    at = 0
    while True:
        equals = rest.index("=", at)
        key = rest[at:equals].strip(" ")
        assert re.fullmatch(r"[a-z][a-z-]*", key)
        assert key not in pairs
        at = equals + 1
        written = ""
        if rest[at] == '"':
            at += 1
            while rest[at] != '"':
                at += rest[at] == "\\"
                written += rest[at]
                at += 1
            at += 1
        else:
            while at < len(rest) and rest[at] != ";":
                assert rest[at].isalnum() or rest[at] in "!#$%&'*+-/=?^_`{|}~."
                written += rest[at]
                at += 1
            assert all(written.split("."))
        pairs[key] = written
        if at == len(rest):
            return result, comment, pairs
        assert rest[at] == ";"
        at += 1


def test_a_field_as_a_filter_reads_it() -> None:
    value = format_value(FOUND, client=CLIENT, envelope=ENVELOPE, receiver="mx.our.example")
    assert value == (
        "pass (192.0.2.7 may send for far.example: ip4:192.0.2.7 matched)\n"
        " receiver=mx.our.example;\n"
        " identity=mailfrom;\n"
        " client-ip=192.0.2.7;\n"
        " helo=mx.far.example;\n"
        ' envelope-from="alice@far.example"'
    )


def test_the_null_sender_and_an_ipv6_client() -> None:
    finding = SpfFinding(result=Result.NONE, identity="helo", reason="h.example publishes no SPF record")
    client = Client(address="2001:DB8::7", helo="h.example")
    result, comment, pairs = read(
        format_value(finding, client=client, envelope=Envelope(), receiver="mx.our.example")
    )
    assert (result, comment) == ("none", finding.reason)
    assert pairs == {
        "receiver": "mx.our.example",
        "identity": "helo",
        "client-ip": "2001:db8::7",
        "helo": "h.example",
    }


def test_no_recipient_is_in_it() -> None:
    assert "secret" not in format_value(FOUND, client=CLIENT, envelope=ENVELOPE, receiver="mx.our.example")


@pytest.mark.parametrize(
    "sender",
    [
        'x"; identity=helo; y="@far.example',
        "x\\",
        '"a b"@far.example',
        "a;b=c@far.example",
        "x)(y@far.example",
    ],
)
def test_what_a_sender_writes_stays_in_its_quotes(sender: str) -> None:
    value = format_value(FOUND, client=CLIENT, envelope=Envelope(sender=sender), receiver="mx.our.example")
    assert read(value)[2]["envelope-from"] == sender
    assert read(value)[2]["identity"] == "mailfrom"


@pytest.mark.parametrize(
    "helo", ["a\r\nX-Injected: 1", "\x00", "büro.example", "\udcff", "x" * 401, "\x7f", "a\u2028b"]
)
def test_what_no_quoted_string_can_hold_is_left_out(helo: str) -> None:
    client = Client(address="192.0.2.7", helo=helo)
    value = format_value(FOUND, client=client, envelope=ENVELOPE, receiver="mx.our.example")
    assert "helo" not in read(value)[2]


ODD = (
    st.text(max_size=60) | st.text(alphabet='();="\\ \r\n\t@.a\x00\udcff', max_size=60) | st.just("y" * 2000)
)


@given(
    result=st.sampled_from(sorted(RESULTS)),
    identity=st.sampled_from(["mailfrom", "helo"]),
    reason=ODD,
    address=ODD | st.ip_addresses().map(str),
    helo=ODD,
    sender=ODD,
    receiver=ODD,
)
def test_a_strict_reader_finds_exactly_what_was_put_in(
    result: str, identity: str, reason: str, address: str, helo: str, sender: str, receiver: str
) -> None:
    value = format_value(
        SpfFinding(result=Result(result), identity=identity, reason=reason),
        client=Client(address=address, helo=helo),
        envelope=Envelope(sender=sender, recipients=("secret@our.example",)),
        receiver=receiver,
    )
    assert max(map(len, value.split("\n"))) < 998 - len("Received-SPF: ")
    word, comment, pairs = read(value)
    assert word == result
    assert comment == "".join(c if " " <= c <= "~" and c not in "()\\" else "?" for c in reason)[:400]
    assert pairs.pop("identity") == identity
    assert pairs.pop("client-ip", "") in ("", "" if ":" in address else address) or ":" in address
    given_values = {"receiver": receiver, "helo": helo, "envelope-from": sender}
    assert pairs == {
        key: text
        for key, text in given_values.items()
        if text and len(text) <= 400 and all(" " <= c <= "~" for c in text)
    }


def test_an_encoded_word_of_the_sender_is_left_out() -> None:
    for value in ("=?utf-8?q?x?=@far.example", "?utf-8?q?x?=@far.example"):
        written = format_value(
            SpfFinding(result=Result.FAIL, reason="=?utf-8?q?x?="),
            client=Client(address="192.0.2.1", helo=value),
            envelope=Envelope(sender=value),
            receiver="mx.our.example",
        )
        assert "=?" not in written
        assert "receiver=mx.our.example" in written
