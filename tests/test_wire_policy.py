"""Policy requests as Postfix writes them, cut anywhere; one action in return."""

from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from postvouch.wire.policy import Decoder, ProtocolError, Request, format_action

# As Postfix 3.10 sends it at RCPT, with mail_version as 3.8 and later add it.
RCPT = b"""request=smtpd_access_policy
protocol_state=RCPT
protocol_name=ESMTP
client_address=192.0.2.7
client_name=client.our.example
client_port=40112
reverse_client_name=client.our.example
server_address=192.0.2.25
server_port=465
helo_name=client.our.example
sender=bob@our.example
recipient=alice@far.example
recipient_count=0
queue_id=
instance=1a2b.65ab0e2f.3c.0
size=1424
etrn_domain=
stress=
sasl_method=PLAIN
sasl_username=bob
sasl_sender=
ccert_subject=
ccert_issuer=
ccert_fingerprint=
ccert_pubkey_fingerprint=
encryption_protocol=TLSv1.3
encryption_cipher=TLS_AES_256_GCM_SHA384
encryption_keysize=256
policy_context=submission
compatibility_level=3.6
mail_version=3.10.2

"""


def decode(chunks: list[bytes], limit: int = 100_000) -> tuple[list[dict[str, str]], str]:
    decoder = Decoder(max_size=limit)
    requests: list[dict[str, str]] = []
    for chunk in chunks:
        try:
            requests += decoder.feed(chunk)
        except ProtocolError as fault:
            return [*requests, *fault.before], fault.code
    return requests, "incomplete" if decoder.pending else "complete"


def test_a_request_gets_its_types():
    ((attributes,), end) = decode([RCPT])
    assert end == "complete"
    request = Request.from_attributes(attributes)
    assert request.protocol_state == "RCPT"
    assert request.sender == "bob@our.example"
    assert request.sasl_username == "bob"
    assert request.client_port == 40112
    assert request.server_port == 465
    assert request.size == 1424
    assert request.recipient_count == 0
    assert request.encryption_keysize == 256
    assert request.policy_context == "submission"
    assert request.mail_version == "3.10.2"
    assert request.queue_id == ""
    assert request.other == {}


def test_requests_come_out_whole_wherever_the_stream_is_cut():
    stream = RCPT + RCPT.replace(b"bob", b"zo\xc3\xab")
    whole = decode([stream])
    assert [request["sasl_username"] for request in whole[0]] == ["bob", "zoë"]
    for cut in range(len(stream)):
        assert decode([stream[:cut], stream[cut:]]) == whole
    assert decode([stream[i : i + 1] for i in range(len(stream))]) == whole


def test_values_keep_equals_signs_blanks_and_octets_that_are_not_utf8():
    requests, end = decode([b"sender=SRS0=abcd=7G=far.example=a b@our.example\nhelo_name=m\xfcll\n\n"])
    assert (requests, end) == (
        [{"sender": "SRS0=abcd=7G=far.example=a b@our.example", "helo_name": "m\udcfcll"}],
        "complete",
    )


@pytest.mark.parametrize(
    "stream, before, code",
    [
        (b"\n\n", 0, "malformed"),
        (b"\nsender=x\n\n", 0, "malformed"),
        (b"a=b\n\n\n", 1, "malformed"),
        (b"a=b\nsender\n\n", 0, "malformed"),
        (b"GET / HTTP/1.0\r\nHost=x\n\n", 0, "malformed"),
        (b"a=b\n\nsender=x\nsender=y\n\n", 1, "duplicate-attribute"),
        (b"a=b\n\nc=" + b"x" * 200, 1, "too-long"),
        (b"a=b\n\nc=" + b"x" * 200 + b"\n\n", 1, "too-long"),
        (b"a=" + b"x" * 98 + b"\n\n", 1, "complete"),
        (b"a=" + b"x" * 99 + b"\n\n", 0, "too-long"),
        (b"a=b\n", 0, "incomplete"),
    ],
)
def test_faults_are_the_same_wherever_the_stream_is_cut(stream, before, code):
    requests, end = decode([stream], 100)
    assert (len(requests), end) == (before, code)
    for cut in range(len(stream)):
        assert decode([stream[:cut], stream[cut:]], 100) == (requests, end)


def test_a_fault_is_final():
    decoder = Decoder()
    for _ in range(2):
        with pytest.raises(ProtocolError, match="without name=value"):
            decoder.feed(b"junk\n\n")


NAMES = st.from_regex(r"[a-z_]{1,12}", fullmatch=True)
TEXTS = st.text(max_size=20).filter(lambda text: "\n" not in text)


@given(st.lists(st.dictionaries(NAMES, TEXTS, min_size=1, max_size=5), max_size=4), st.integers(0, 200))
def test_attributes_survive_any_split(requests, cut):
    stream = "".join(
        "".join(f"{name}={value}\n" for name, value in request.items()) + "\n" for request in requests
    ).encode()
    assert decode([stream[:cut], stream[cut:]]) == (requests, "complete")


@example(b"\n" + b"=" * 21, 1)
@given(st.text("ab=\n", max_size=30).map(str.encode), st.integers(0, 30))
def test_junk_ends_the_same_way_wherever_it_is_cut(junk, cut):
    assert decode([junk], 20) == decode([junk[:cut], junk[cut:]], 20)


def test_a_request_read_equals_a_request_made():
    attributes = {"request": "smtpd_access_policy", "protocol_state": "DATA", "size": "7", "new": "x"}
    read = Request.from_attributes(attributes)
    made = Request(request="smtpd_access_policy", protocol_state="DATA", size=7, other={"new": "x"})
    assert read == made
    assert repr(read) == repr(made)
    assert replace(read, size=8).size == 8
    with pytest.raises(FrozenInstanceError):
        read.size = 9


def test_an_attribute_may_not_pose_as_the_rest():
    assert Request.from_attributes({"request": "smtpd_access_policy", "other": "x"}).other == {"other": "x"}


def test_attributes_of_the_future_are_kept_aside():
    request = Request.from_attributes({"request": "smtpd_access_policy", "colour": "blue", "size": ""})
    assert request.other == {"colour": "blue"}
    assert request.size == 0


@pytest.mark.parametrize(
    "attributes, code",
    [
        ({}, "bad-request"),
        ({"request": "other"}, "bad-request"),
        ({"request": "smtpd_access_policy", "size": "-1"}, "bad-number"),
        ({"request": "smtpd_access_policy", "size": "٣"}, "bad-number"),
        ({"request": "smtpd_access_policy", "recipient_count": "9" * 5000}, "bad-number"),
    ],
)
def test_what_is_no_policy_request_is_a_fault(attributes, code):
    with pytest.raises(ProtocolError) as caught:
        Request.from_attributes(attributes)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "action, wire",
    [
        ("DUNNO", b"action=DUNNO\n\n"),
        ("", b"action=DUNNO\n\n"),
        ("REJECT not\n\naction=OK", b"action=REJECT not action=OK\n\n"),
        ("450 4.7.1 später", "action=450 4.7.1 später\n\n".encode()),
        ("HOLD \udcff", b"action=HOLD ?\n\n"),
    ],
)
def test_an_action_is_one_line(action, wire):
    assert format_action(action) == wire
