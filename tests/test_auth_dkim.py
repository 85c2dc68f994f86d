"""The DKIM verifier: 161 letters of the standard vectors, and what a hostile letter may not do."""

import base64
import hashlib
import time
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from letters import message_of

from postvouch.auth import bodies, dkim, keyrecord
from postvouch.auth.result import Result
from postvouch.auth.verifier import Limits
from postvouch.values.dns import NO_DATA, NO_SUCH_NAME, DnsUnavailable, Records, Status
from postvouch.values.message import Field, Message

VECTORS = Path(__file__).parent / "vectors/dkim"
SUITE = yaml.safe_load((VECTORS / "cases.yml").read_text(encoding="utf-8"))
NOW = float(SUITE["now"])


class SuiteDns:
    """The world of dns.yml; counts the questions."""

    def __init__(self, records: dict[str, dict[str, Any]]) -> None:
        self.records = records
        self.questions: list[str] = []

    def lookup(self, name: str, kind: str) -> Records:
        self.questions.append(name)
        name = name.lower().rstrip(".")
        entry = self.records.get(name)
        if entry is None:
            return NO_DATA if any(n.endswith("." + name) for n in self.records) else NO_SUCH_NAME
        if "rcode" in entry or "timeout" in entry:
            raise DnsUnavailable(name)
        if "CNAME" in entry:
            return self.lookup(entry["CNAME"][0], kind)
        texts = tuple(
            ("".join(v) if isinstance(v, list) else str(v)).encode("latin-1") for v in entry.get(kind, ())
        )
        return Records(status=Status.FOUND, values=texts) if texts else NO_DATA


@lru_cache
def suite_records() -> dict[str, dict[str, Any]]:
    records: dict[str, dict[str, Any]] = yaml.safe_load((VECTORS / "dns.yml").read_text(encoding="utf-8"))[
        "records"
    ]
    return records


def letter(file: str) -> Message:
    return message_of((VECTORS / "messages" / f"{file}.eml").read_bytes())


def test_the_vectors_kept_their_octets() -> None:
    sums = dict(reversed(line.split()) for line in (VECTORS / "SHA256SUMS").read_text().splitlines())
    assert len(sums) > 160
    for name, digest in sums.items():
        assert hashlib.sha256((VECTORS / name).read_bytes()).hexdigest() == digest, name


@pytest.mark.parametrize("case", SUITE["cases"], ids=lambda case: case["id"])
def test_vector(case: dict[str, Any]) -> None:
    limits = Limits(
        min_rsa_bits=SUITE["min_rsa_bits"],
        max_rsa_bits=SUITE["max_rsa_bits"],
        clock_allowance_s=SUITE["clock_allowance_s"],
    )
    message = message_of((VECTORS / case["file"]).read_bytes())
    started = time.perf_counter()
    findings = dkim.verify(message, SuiteDns(suite_records()), NOW, limits)
    assert time.perf_counter() - started < case.get("limits", {}).get("max_seconds", 2)
    assert [f.result.value for f in findings] == [s["result"] for s in case["signatures"]]
    for finding, expected in zip(findings, case["signatures"], strict=True):
        assert finding.d == (expected["d"] or finding.d)
        assert finding.s == (expected["s"] or finding.s)
        assert finding.a == (expected["a"] or finding.a)
        assert finding.i == expected.get("i", finding.i)
        assert ("(t=y)" in finding.reason) is expected.get("testing", False)
        if finding.result is not Result.PASS:
            assert finding.reason


def changed(message: Message, old: bytes, new: bytes) -> Message:
    """The same message with its first signature rewritten."""
    done = False
    fields = []
    for field in message.fields:
        if not done and field.is_named(b"DKIM-Signature"):
            assert old in field.value
            field, done = Field(field.name, field.value.replace(old, new)), True
        fields.append(field)
    return Message(fields=tuple(fields), body=message.body)


def only(message: Message, *, now: float = NOW) -> tuple[Result, str]:
    [finding] = dkim.verify(message, SuiteDns(suite_records()), now)
    return finding.result, finding.reason


GOOD = letter("canon-relaxed-relaxed")


@pytest.mark.parametrize(
    "old, new, result, reason",
    [
        (b"d=dkim.example", b"d=example", Result.POLICY, "top-level domain"),
        (b"d=dkim.example", b"d=..", Result.PERMERROR, "d= is not a domain name"),
        (b"d=dkim.example", b"d=dkim.example\x00", Result.PERMERROR, "not a list of tag=value"),
        (b"s=rsa2048", b"s=a b", Result.PERMERROR, "s= is not a selector"),
        (b"s=rsa2048", b"s=", Result.PERMERROR, "s= is not a selector"),
        (b"s=rsa2048", b"i=nobody; s=rsa2048", Result.PERMERROR, "i= is not an address"),
        (b"s=rsa2048", b"l=; s=rsa2048", Result.PERMERROR, "l= is not a number"),
        (b"s=rsa2048", b"l=-1; s=rsa2048", Result.PERMERROR, "l= is not a number"),
        (b"s=rsa2048", b"l=" + b"9" * 5000 + b"; s=rsa2048", Result.PERMERROR, "l= is larger"),
        (b"s=rsa2048", b"x=" + b"9" * 5000 + b"; s=rsa2048", Result.FAIL, "did not verify"),
        (b"s=rsa2048", b"x=soon; s=rsa2048", Result.PERMERROR, "x= is not a number"),
        (b"bh=", b"bh=?", Result.PERMERROR, "not base64"),
        (b"h=from:", b"h=:from:", Result.FAIL, "did not verify"),
    ],
)
def test_a_damaged_tag_is_named(old: bytes, new: bytes, result: Result, reason: str) -> None:
    assert only(GOOD)[0] is Result.PASS
    got, why = only(changed(GOOD, old, new))
    assert got is result
    assert reason in why


def test_x_holds_to_the_second() -> None:
    message = letter("x-future")
    assert only(message, now=NOW + 60)[0] is Result.PASS
    assert only(message, now=NOW + 61) == (Result.PERMERROR, "signature expired")


def test_a_key_is_asked_for_once_and_not_at_all_for_a_signature_that_cannot_pass() -> None:
    dns = SuiteDns(suite_records())
    signature = GOOD.named(b"DKIM-Signature")[0]
    twice = Message(fields=(signature, *GOOD.fields), body=GOOD.body)
    assert len(dkim.verify(twice, dns, NOW)) == 2
    assert dns.questions == ["rsa2048._domainkey.dkim.example"]
    dns.questions.clear()
    dkim.verify(changed(GOOD, b"a=rsa-sha256", b"a=rsa-sha1"), dns, NOW)
    dkim.verify(changed(GOOD, b"h=from:", b"h=x-from:"), dns, NOW)
    assert dns.questions == []


def test_a_thousand_signatures_cost_ten_and_the_rest_is_counted() -> None:
    dns = SuiteDns(suite_records())
    signature = GOOD.named(b"DKIM-Signature")[0]
    fields = [Field(b"DKIM-Signature", signature.value.replace(b"rsa2048", b"n%d" % n)) for n in range(1000)]
    findings = dkim.verify(Message(fields=(*fields, *GOOD.fields), body=GOOD.body), dns, NOW)
    assert len(findings) == 11
    assert findings[-1].result is Result.POLICY
    assert findings[-1].reason == "991 more signatures not checked"
    assert len(dns.questions) == 10


def test_a_finding_is_secure_as_far_as_its_key_was() -> None:
    class Secure(SuiteDns):
        def lookup(self, name: str, kind: str) -> Records:
            return replace(super().lookup(name, kind), secure=True)

    fails = changed(GOOD, b"bh=", b"bh=AAAA")
    unparsed = changed(GOOD, b"h=from:", b"h=x-from:")
    for message, secure in ((GOOD, True), (fails, True), (unparsed, False)):
        assert dkim.verify(message, Secure(suite_records()), NOW)[0].secure is secure
        assert not dkim.verify(message, SuiteDns(suite_records()), NOW)[0].secure


def test_signatures_with_an_l_of_their_own_crowd_out_nobody() -> None:
    signature = GOOD.named(b"DKIM-Signature")[0]
    junk = [Field(b"DKIM-Signature", signature.value.replace(b"bh=", b"l=%d; bh=" % n)) for n in range(9)]
    findings = dkim.verify(replace(GOOD, fields=(*junk, *GOOD.fields)), SuiteDns(suite_records()), NOW)
    assert findings[-1].result is Result.PASS
    hashed, crowded = findings[: bodies.MAX_LIMITED], findings[bodies.MAX_LIMITED : -1]
    assert {f.reason for f in hashed} == {"body hash did not verify"}
    assert {(f.result, f.reason) for f in crowded} == {(Result.POLICY, "unsigned content after l=")}


def test_the_labels_of_a_finding_hold_no_control_characters() -> None:
    hostile = changed(GOOD, b"s=rsa2048", b"s=rsa2048; i=a=0D=0AX-Forged:=201@dkim.example")
    [finding] = dkim.verify(hostile, SuiteDns(suite_records()), NOW)
    assert finding.i == ""
    assert finding.d == "dkim.example"


def spki(bits: int, exponent: int) -> bytes:
    modulus = (1 << bits) - 1
    key = RSAPublicNumbers(exponent, modulus).public_key()
    return base64.b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


@pytest.mark.parametrize(
    "text, reason",
    [
        (b"v=DKIM1; p=" + spki(1023, 65537), "key too short (1023 bits)"),
        (b"v=DKIM1; p=" + spki(9000, 65537), "key too large (9000 bits)"),
        (b"v=DKIM1; p=" + spki(2048, (1 << 32) + 1), "key exponent too large"),
        (b"v=DKIM1; p=" + base64.b64encode(b"\x30" * 9000), "key too large"),
        (b"v=DKIM1; p=AAAA", "key syntax error (p=)"),
        (b"v=DKIM1; p=MIGf", "key syntax error (p=)"),
        (b"v=DKIM1; p=####", "key syntax error (p=)"),
        (b"v=DKIM1", "key syntax error (no p=)"),
        (b"v=DKIM1; p= ;; n=gone", "key revoked"),
        (b"hello world", "key syntax error"),
        (b"", "key syntax error (no p=)"),
    ],
)
def test_an_unusable_key_says_why(text: bytes, reason: str) -> None:
    dns = SuiteDns({"rsa2048._domainkey.dkim.example": {"TXT": [text.decode("latin-1")]}})
    [finding] = dkim.verify(GOOD, dns, NOW)
    assert (finding.result, finding.reason) == (Result.PERMERROR, reason)


def test_empty_tags_in_a_key_record_do_no_harm() -> None:
    [text] = SuiteDns(suite_records()).lookup("rsa2048._domainkey.dkim.example", "TXT").texts()
    dns = SuiteDns({"rsa2048._domainkey.dkim.example": {"TXT": [text.decode().replace(";", ";; ;") + ";;"]}})
    assert dkim.verify(GOOD, dns, NOW)[0].result is Result.PASS


@given(st.binary(max_size=200))
def test_junk_in_a_key_record_is_unusable_and_nothing_else(junk: bytes) -> None:
    for text in (junk, b"p=" + base64.b64encode(junk), b"k=ed25519; p=" + base64.b64encode(junk)):
        with suppress(keyrecord.UnusableKey):
            check = keyrecord.checker(keyrecord.parse(text), min_rsa_bits=1024, max_rsa_bits=8192)
            assert not check(b"", b"")


TAGS = st.sampled_from(
    [
        *(
            b"v=1",
            b"a=rsa-sha256",
            b"a=ed25519-sha256",
            b"b=",
            b"bh=",
            b"d=dkim.example",
            b"s=rsa2048",
            b"s=ed",
        ),
        *(
            b"h=from",
            b"c=relaxed",
            b"c=/",
            b"c=relaxed/relaxed",
            b"i=@",
            b"i==",
            b"l=0",
            b"t=1",
            b"x=9",
            b"q=dns",
        ),
        *(b"=", b" ", b"d=\xff", b"s=\xc3\xa4", b"i=\xff@"),
        b"bh=" + base64.b64encode(hashlib.sha256(b"").digest()),
    ]
)


@given(st.lists(TAGS | st.binary(max_size=12), max_size=14), st.lists(st.binary(max_size=20), max_size=3))
def test_no_letter_makes_the_verifier_raise_or_passes(tags: list[bytes], body: list[bytes]) -> None:
    fields = (Field(b"DKIM-Signature", b";".join(tags)), Field(b"From", b"a@dkim.example"))
    [finding] = dkim.verify(Message(fields=fields, body=tuple(body)), SuiteDns(suite_records()), NOW)
    assert finding.result is not Result.PASS
    assert finding.reason


@given(st.data())
def test_one_changed_octet_in_anything_signed_never_passes(data: st.DataObject) -> None:
    message = letter("rfc8463-a3")
    octets = b"".join(message.body)
    place = data.draw(st.integers(0, len(octets) - 1))
    flip = data.draw(st.integers(1, 255))
    broken = octets[:place] + bytes([octets[place] ^ flip]) + octets[place + 1 :]
    # Relaxed bodies forgive a tab for a blank.
    if broken[place : place + 1] == b"\t" and octets[place : place + 1] == b" ":
        return
    findings = dkim.verify(Message(fields=message.fields, body=(broken,)), SuiteDns(suite_records()), NOW)
    assert Result.PASS not in {finding.result for finding in findings}
