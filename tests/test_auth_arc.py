"""The ARC verifier: what a chain is worth, what a hostile one costs."""

import time
from dataclasses import replace
from typing import Any

import pytest
from arcplay import HEADERS, LETTER, NOW, found, inserted, key, made, odd, published, rewritten, sealed
from fakedns import zone
from hypothesis import given
from hypothesis import strategies as st

from postvouch.auth import arc, arcset, bodies, evaluate, keyrecord
from postvouch.auth.arcresults import dmarc_pass
from postvouch.auth.keyrecord import decode_base64
from postvouch.auth.result import ArcFinding, Result
from postvouch.auth.verifier import Limits
from postvouch.sign import arc as sign_arc
from postvouch.values.dns import Records
from postvouch.values.message import Field, Message
from postvouch.wire import taglist

ARC = (b"ARC-Seal", b"ARC-Message-Signature", b"ARC-Authentication-Results")


class Counted:
    """How often a key was put to work."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.checks = 0
        checker = keyrecord.checker

        def counting(record: keyrecord.KeyRecord, **limits: int) -> keyrecord.Check:
            check = checker(record, **limits)

            def once(signature: bytes, digest: bytes) -> bool:
                self.checks += 1
                return check(signature, digest)

            return once

        monkeypatch.setattr(keyrecord, "checker", counting)


def test_a_letter_without_arc_costs_nothing_and_is_none() -> None:
    dns = published()
    assert found(LETTER, dns) == ArcFinding(result=Result.NONE)
    other = Message(fields=(Field(b"ARC-Welder", b" i=1"), *LETTER.fields))
    assert found(other, dns) == ArcFinding(result=Result.NONE)
    assert dns.asked == []


def test_a_chain_of_several_hands_and_algorithms_passes_and_says_who_and_what() -> None:
    hands = (key("one.example"), key("two.example", "rsa"), key("three.example"))
    finding = found(sealed(LETTER, *hands), published(*hands, secure=True))
    assert finding == ArcFinding(
        result=Result.PASS,
        sealers=("one.example", "two.example", "three.example"),
        passes=((1, "far.example"), (2, "far.example"), (3, "far.example")),
        secure=True,
    )


def test_the_oldest_pass_is_where_the_letter_was_last_changed() -> None:
    changed = rewritten(sealed(LETTER), b"Subject", b"hello", b"[list] hello")
    finding = found(sealed(changed, key(), key()))
    assert (finding.result, finding.oldest_pass) == (Result.PASS, 2)
    assert finding.reason == "ARC-Message-Signature i=1: signature did not verify"
    assert finding.sealers == ("our.example",) * 3


def test_a_key_is_asked_for_once_however_many_sets_name_it() -> None:
    dns = published()
    assert found(sealed(LETTER, *[key()] * 5), dns).result is Result.PASS
    assert dns.asked == [("arc._domainkey.our.example", "TXT")]


def without(message: Message, name: bytes, instance: bytes) -> Message:
    kept = [f for f in message.fields if not (f.is_named(name) and b"i=" + instance + b";" in f.value)]
    assert len(kept) == len(message.fields) - 1
    return replace(message, fields=tuple(kept))


TWO = sealed(LETTER, key(), key())


@pytest.mark.parametrize(
    "message, reason",
    [
        *((without(TWO, name, b"1"), f"no {name.decode()} i=1") for name in ARC),
        *((without(TWO, name, b"2"), f"no {name.decode()} i=2") for name in ARC),
        (replace(TWO, fields=(*TWO.fields[:3], *LETTER.fields)), "no ARC-Authentication-Results i=1"),
        *(
            (replace(TWO, fields=(TWO.fields[n], *TWO.fields)), f"{ARC[n].decode()} i=2 twice")
            for n in range(3)
        ),
        *(
            (rewritten(TWO, name, b"i=2;", new), f"{name.decode()} without an i= from 1 to 50")
            for name in ARC
            for new in (b"i=0;", b"i=02;", b"i=51;", b"i=-2;", b"i=2x;", b"i=;", b"i=2.0;", b"i=2222222222;")
        ),
        *((rewritten(TWO, name, b"i=2;", b"j=2;"), "without an i=") for name in ARC),
        *((rewritten(TWO, name, b"i=2;", "i=².;".encode()), "without an i=") for name in ARC[:2]),
        *((rewritten(TWO, name, b"i=2;", b"i=2; i=2;"), "twice") for name in ARC[:2]),
        *((rewritten(TWO, name, b"i=2;", b"i=2;;"), "an empty tag") for name in ARC[:2]),
        *((rewritten(TWO, name, b"i=2;", b"i=2;" + b";" * 99_999), "too many tags") for name in ARC[:2]),
        (rewritten(TWO, b"ARC-Seal", b"cv=pass", b"cv=fail"), "ARC-Seal i=2 says cv=fail"),
        (rewritten(TWO, b"ARC-Seal", b"cv=pass", b"cv=none"), "ARC-Seal i=2 has the wrong cv="),
        (rewritten(TWO, b"ARC-Seal", b"cv=pass; ", b""), "ARC-Seal i=2 has the wrong cv="),
        (rewritten(sealed(LETTER), b"ARC-Seal", b"cv=none", b"cv=pass"), "ARC-Seal i=1 has the wrong cv="),
        (rewritten(TWO, b"ARC-Seal", b"i=2;", b"i=2; h=from;"), "ARC-Seal i=2: h= in ARC-Seal"),
        (rewritten(TWO, b"ARC-Seal", b"d=our.example", b"d=example"), "d= is a top-level domain"),
        (rewritten(TWO, b"ARC-Seal", b"a=ed25519-sha256", b"a=rsa-sha1"), "ARC-Seal i=2: historic algorithm"),
        (rewritten(TWO, b"ARC-Seal", b"t=1767225600", b"t=now"), "ARC-Seal i=2: signature syntax error: t="),
        (rewritten(TWO, ARC[1], b"s=arc", b"s=a r c"), "ARC-Message-Signature i=2: s= is not a selector"),
        (rewritten(TWO, ARC[1], b"h=from", b"h=arc-seal:from"), "the message signature covers ARC-Seal"),
    ],
)  # fmt: skip
def test_a_chain_that_is_not_whole_fails_before_any_question_to_dns(message: Message, reason: str) -> None:
    dns = published()
    finding = found(message, dns)
    assert finding.result is Result.FAIL
    assert reason in finding.reason
    assert (finding.sealers, finding.passes) == ((), ())
    assert dns.asked == []


def test_a_hundred_and_twenty_forged_sets_cost_neither_dns_nor_arithmetic(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted, dns = Counted(monkeypatch), published()
    fields: list[Field] = []
    for number in range(120, 0, -1):
        for field in TWO.fields[:3]:
            fields.append(Field(field.name, field.value.replace(b"i=2;", b"i=%d;" % number)))
    finding = found(Message(fields=(*fields, *LETTER.fields), body=LETTER.body), dns)
    assert (finding.result, finding.reason) == (Result.FAIL, "more than 50 sets")
    assert (counted.checks, dns.asked) == (0, [])


def test_fifty_sets_pass_and_the_work_is_linear(monkeypatch: pytest.MonkeyPatch) -> None:
    counted, dns, canonicalised = Counted(monkeypatch), published(), 0
    full = sealed(LETTER, *[key()] * 50)
    relaxed_field = arcset.relaxed_field

    def counting(field: Field) -> bytes:
        nonlocal canonicalised
        canonicalised += 1
        return relaxed_field(field)

    monkeypatch.setattr(arcset, "relaxed_field", counting)
    finding = found(full, dns)
    assert (finding.result, len(finding.sealers), finding.oldest_pass) == (Result.PASS, 50, 0)
    assert (counted.checks, len(dns.asked), canonicalised) == (100, 1, 150)
    options: dict[str, Any] = {"now": NOW, "authserv_id": "mx.our.example", "headers": HEADERS}
    assert sign_arc.seal(full, key(), chain=Result.PASS, **options) == ()


def test_a_forged_seal_ends_it_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(monkeypatch)
    chain = sealed(LETTER, *[key()] * 20)
    finding = found(rewritten(chain, b"ARC-Seal", b"t=1767225600", b"t=1767225601"))
    assert (finding.result, finding.reason) == (Result.FAIL, "ARC-Seal i=20: signature did not verify")
    assert counted.checks == 2


@pytest.mark.parametrize(
    "record, result, reason",
    [
        ("TEMPERROR", Result.TEMPERROR, "key unavailable"),
        ("TXT v=DKIM1; p=", Result.FAIL, "key revoked"),
        ("TXT v=DKIM1; k=rsa; p=AAAA", Result.FAIL, "inappropriate key algorithm"),
        ("TXT v=spf1 -all", Result.FAIL, "key syntax error"),
        ("A 192.0.2.1", Result.FAIL, "no key for signature"),
    ],
)
@pytest.mark.parametrize("whose", ["seal", "signature"])
def test_what_is_wrong_with_a_key_is_named(record: str, result: Result, reason: str, whose: str) -> None:
    [good] = published()._data["arc._domainkey.our.example", "TXT"]
    assert isinstance(good, bytes)
    dns = zone(f"bad._domainkey.our.example {record}", f"arc._domainkey.our.example TXT {good.decode()}")
    message = odd()
    if whose == "signature":
        message = rewritten(message, ARC[1], b"s=arc", b"s=bad")
    else:
        message = rewritten(message, ARC[0], b"s=arc", b"s=bad")
    finding = found(message, dns)
    assert finding.result is result
    assert reason in finding.reason
    assert finding.sealers == ()


def test_dns_trouble_behind_an_older_signature_only_shortens_what_is_known() -> None:
    hands = (key("one.example"), key("two.example"))
    chain = sealed(LETTER, *hands)
    older = next(n for n, f in enumerate(chain.fields) if f.is_named(ARC[1]) and b"i=1;" in f.value)
    assert b"s=arc" in chain.fields[older].value
    # Its own selector, and the seals made anew over it.
    value = chain.fields[older].value.replace(b"s=arc", b"s=lost")
    first = Field(ARC[1], value)
    results = chain.fields[older + 1]
    seal = made(
        ARC[0], "i=1; a=ed25519-sha256; cv=none; d=one.example; s=arc; b=", [results, first], hands[0]
    )
    remade = replace(LETTER, fields=(seal, first, results, *LETTER.fields))
    texts = [f"arc._domainkey.{k.domain} TXT " + bytes_of(k) for k in hands]
    finding = found(sealed(remade, hands[1]), zone(*texts, "lost._domainkey.one.example TEMPERROR"))
    assert (finding.result, finding.oldest_pass) == (Result.PASS, 2)
    assert finding.reason == "ARC-Message-Signature i=1: key unavailable"


def bytes_of(signer: Any) -> str:
    [text] = published(signer)._data[f"arc._domainkey.{signer.domain}", "TXT"]
    assert isinstance(text, bytes)
    return text.decode()


def test_key_limits_are_those_of_dkim() -> None:
    hand = key("rsa.example", "rsa")
    chain, dns = sealed(LETTER, hand), published(hand)
    assert arc.verify(chain, dns, NOW).result is Result.PASS
    finding = arc.verify(chain, dns, NOW, Limits(min_rsa_bits=3072))
    assert (finding.result, "key too short (2048 bits)" in finding.reason) == (Result.FAIL, True)


def test_a_message_signature_holds_for_the_whole_body_or_not_at_all() -> None:
    assert found(odd(signature="l=11; ")).result is Result.PASS
    longer = replace(LETTER, body=(b"Hi there.\r\nBuy now.\r\n",))
    for limit, reason in ((11, "unsigned content after l="), (12345, "l= is larger than the body")):
        finding = found(odd(longer, signature=f"l={limit}; "))
        assert finding.result is Result.FAIL
        assert reason in finding.reason


def test_an_expired_message_signature_fails_and_one_that_holds_does_not() -> None:
    assert found(odd(signature=f"x={int(NOW)}; ")).result is Result.PASS
    assert "signature expired" in found(odd(signature=f"x={int(NOW) - 1}; ")).reason


def test_a_signature_that_leaves_out_from_claims_nothing() -> None:
    assert found(odd()).passes == ((1, "far.example"),)
    finding = found(odd(h="to:subject"))
    assert (finding.result, finding.sealers, finding.passes) == (Result.PASS, ("our.example",), ())
    assert finding.reason == "ARC-Message-Signature i=1 does not cover From"
    message = replace(LETTER, fields=LETTER.fields[2:])
    assert found(odd(message, h="from:to")).result is Result.PASS


def test_secure_is_what_every_key_was() -> None:
    hands = (key("one.example"), key("two.example"))
    chain = sealed(LETTER, *hands)
    assert found(chain, published(*hands, secure=True)).secure
    assert not found(chain, published(*hands)).secure
    every = published(*hands, secure=True)

    class Half:
        def lookup(self, name: str, kind: str) -> Records:
            return replace(every.lookup(name, kind), secure="one" not in name)

    assert arc.verify(chain, Half(), NOW) == replace(found(chain, every), secure=False)
    # That there is no such key may be proven, too.
    failed = found(chain, published(hands[1], secure=True))
    assert (failed.result, failed.secure) == (Result.FAIL, True)
    assert not found(LETTER, published(secure=True)).secure


def test_when_the_time_is_up_the_chain_is_left_open() -> None:
    calls = 0

    def after(number: int) -> ArcFinding:
        nonlocal calls
        calls = 0

        def spent() -> bool:
            nonlocal calls
            calls += 1
            return calls > number

        return arc.verify(TWO, published(), NOW, spent=spent)

    assert after(0).result is Result.TEMPERROR
    assert after(2).result is Result.TEMPERROR
    assert "computing time" in after(2).reason
    # The chain itself is through; how far back it holds, and what it says, is then not known.
    third = after(3)
    assert (third.result, third.oldest_pass, third.passes) == (Result.PASS, 2, ())
    assert after(99).passes == ((1, "far.example"), (2, "far.example"))


JUNK_DKIM = tuple(
    Field(b"DKIM-Signature", b" v=1; a=rsa-sha256; c=relaxed/%s; d=x.example; s=a; h=from; l=%d; b=" % (c, n))
    for n in range(40)
    for c in (b"simple", b"relaxed")
)  # fmt: skip


def test_junk_of_the_one_kind_never_starves_signatures_of_the_other() -> None:
    chain = sealed(LETTER)
    assert found(replace(chain, fields=(*JUNK_DKIM, *chain.fields))).result is Result.PASS
    assert found(replace(chain, fields=(*chain.fields[:3], *JUNK_DKIM, *LETTER.fields))).result is Result.PASS
    junk = tuple(Field(ARC[1], f.value) for f in JUNK_DKIM)
    wanted = bodies.forms((*junk, *JUNK_DKIM))
    assert {(True, None), (False, None)} <= set(wanted)
    assert len(bodies.forms(JUNK_DKIM)) == len(wanted) == 2 + bodies.MAX_LIMITED


def test_a_header_of_ten_thousand_signatures_wants_six_forms_and_little_time() -> None:
    fields = [Field(b"DKIM-Signature", b"a=1;" * 250)] * 10_000
    started = time.process_time()
    assert set(bodies.forms(fields)) == {(True, None), (False, None)}
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize(
    "claims, domain",
    [
        (b" mx.example; spf=fail smtp.mailfrom=a@b.c;\r\n dmarc=pass (x) header.from=A.Example", "a.example"),
        (b" mx.example 1; dmarc=pass action=none header.from=far.example; arc=none", "far.example"),
        (b" mx.example 1; dmarc=pass (p=none) action=none\r\n header.from=far.example", "far.example"),
        (" mx.example; dmarc=pass header.from=für.example".encode(), "xn--fr-xka.example"),
        (b" mx.example; dmarc=fail header.from=far.example", ""),
        (b" mx.example; dmarc=pass", ""),
        (b" mx.example; dmarc=pass header.from=a.example header.from=b.example", ""),
        (b" mx.example; dmarc=pass header.from=a.example; dmarc=pass header.from=b.example", ""),
        (b" mx.example; dmarc=fail header.from=a.example; dmarc=pass header.from=b.example", ""),
        (b" mx.example; dmarc/2=pass header.from=a.example", ""),
        (b" mx.example 2; dmarc=pass header.from=a.example", ""),
        (b" mx.example; x=pass reason=\"; dmarc=pass header.from=far.example\"", ""),
        (b" mx.example; dkim=pass (dmarc=pass header.from=far.example)", ""),
        (b" mx.example; dmarc=pass header.from=far..example", ""),
        (b" mx.example; dmarc=pass header.from=far.example; (", ""),
        (b" mx.example; none", ""),
        (b" mx.example; dmarc=pass header.from=far.example" + b" " * 9000, ""),
        (b"", ""),
    ],
)  # fmt: skip
def test_a_claim_is_one_that_cannot_be_read_in_two_ways(claims: bytes, domain: str) -> None:
    assert dmarc_pass(claims) == domain


TAG = st.sampled_from(
    b"i=1|i=2|a=ed25519-sha256|a=rsa-sha256|cv=none|cv=pass|d=our.example|s=arc|b=|bh=|b=AAAA|h=from|h=|c=|t=1|"
    b"c=relaxed/relaxed|l=9|x.example|none|dmarc=pass header.from=far.example|bh=AAAAAAA=".split(b"|")
)


@given(
    st.lists(st.tuples(st.sampled_from(ARC), st.lists(TAG | st.binary(max_size=8), max_size=12)), max_size=7)
)
def test_no_bytes_in_arc_fields_make_it_raise_or_pass(fields: list[tuple[bytes, list[bytes]]]) -> None:
    forged = tuple(Field(name, b"; ".join(tags)) for name, tags in fields)
    finding = found(replace(LETTER, fields=(*forged, *LETTER.fields)))
    assert finding.result is (Result.FAIL if forged else Result.NONE)


@given(st.data())
def test_no_octet_of_what_is_sealed_can_be_another(data: st.DataObject) -> None:
    which = data.draw(st.integers(0, 5))
    field = TWO.fields[which]
    place = data.draw(st.integers(0, len(field.value) - 1))
    flip = data.draw(st.integers(1, 255))
    value = field.value[:place] + bytes([field.value[place] ^ flip]) + field.value[place + 1 :]
    fields = [*TWO.fields]
    fields[which] = Field(field.name, value)
    finding = found(replace(TWO, fields=tuple(fields)))
    if finding.result is Result.PASS:
        # White space for white space, or, in the last b=, the bits of base64 that no octet holds.
        same = arcset.relaxed_field(fields[which]) == arcset.relaxed_field(field)
        assert same or (which == 0 and made_by(value) == made_by(field.value)), value


def made_by(value: bytes) -> bytes:
    return decode_base64(taglist.parse(value)[b"b"])


def test_the_engine_has_it_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    findings = evaluate.evaluate(TWO, published(), NOW)
    assert findings.arc == found(TWO)
    assert evaluate.evaluate(TWO, published(), NOW, evaluate.Options(arc=False)).arc is None
    monkeypatch.setattr(arc, "collect", lambda index: 1 // 0)
    broken = evaluate.evaluate(TWO, published(), NOW).arc
    assert broken is not None
    assert (broken.result, broken.reason) == (Result.TEMPERROR, "internal error (ZeroDivisionError)")


def test_a_chain_ended_by_one_sealer_stays_ended() -> None:
    options: dict[str, Any] = {"now": NOW, "authserv_id": "mx.our.example", "headers": HEADERS}
    ended = inserted(TWO, sign_arc.seal(TWO, key(), chain=Result.FAIL, **options))
    assert found(ended).reason == "ARC-Seal i=3 says cv=fail"


def test_a_body_that_was_hashed_as_it_came_is_not_needed() -> None:
    hashes = bodies.BodyHashes(bodies.forms(TWO.fields))
    hashes.feed(b"Hi there")
    hashes.feed(b".\r\n")
    assert found(replace(TWO, body=(), digests=hashes.finish())) == found(TWO)
