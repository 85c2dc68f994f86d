"""Seals of ours: our verifier and dkimpy agree with them, and nothing is sealed that must not be."""

from dataclasses import replace
from hashlib import sha256
from typing import Any

import dkim as dkimpy
import pytest
from arcplay import HEADERS, LETTER, NOW, found, inserted, key, published, rewritten, sealed
from letters import octets_of

from postvouch.auth import canonical
from postvouch.auth.keyrecord import checker, decode_base64, parse
from postvouch.auth.result import Result
from postvouch.sign import arc as sign_arc
from postvouch.sign.keys import SigningKey
from postvouch.sign.record import strings
from postvouch.values.decision import InsertField
from postvouch.values.message import Field, Message
from postvouch.wire import taglist


def seal(message: Message, signer: SigningKey | None = None, **changes: Any) -> tuple[InsertField, ...]:
    options: dict[str, Any] = {"now": NOW, "authserv_id": "mx.our.example", "headers": HEADERS}
    return sign_arc.seal(message, signer or key(), **{"chain": Result.NONE, **options, **changes})


def dkimpy_says(message: Message, *keys: SigningKey) -> str:
    dns = published(*keys)

    def txt(name: bytes, timeout: float = 5) -> bytes:
        [text] = dns.lookup(name.decode(), "TXT").texts()
        return text

    status, _, why = dkimpy.arc_verify(octets_of(message), dnsfunc=txt)
    assert status is not None, why
    return str(status.decode())


UGLY = {
    "plain": LETTER,
    "no body": replace(LETTER, body=()),
    "blank lines": replace(LETTER, body=(b" a\t b \r\n\r\n \r\n", b"\r\n")),
    "folds": rewritten(LETTER, b"Subject", b" hello", b"\r\n\thello \r\n there"),
    "a stranger's signature": replace(LETTER, fields=(Field(b"DKIM-Signature", b" v=1"), *LETTER.fields)),
    "no results of ours": replace(LETTER, fields=LETTER.fields[1:]),
}  # fmt: skip


@pytest.mark.parametrize("shape", UGLY)
def test_what_we_seal_verifies_here_and_with_dkimpy_set_upon_set(shape: str) -> None:
    hands = (key("one.example", "rsa"), key("two.example", "rsa"))
    message = sealed(UGLY[shape], hands[0])
    assert found(message, published(*hands)).result is Result.PASS
    assert dkimpy_says(message, *hands) == "pass"
    again = sealed(message, hands[1])
    assert found(again, published(*hands)).sealers == ("one.example", "two.example")
    assert dkimpy_says(again, *hands) == "pass"


def test_a_changed_letter_or_set_fails_here_and_with_dkimpy() -> None:
    hand = key("one.example", "rsa")
    message = sealed(LETTER, hand)
    changes = (
        rewritten(message, b"Subject", b"hello", b"hallo"),
        rewritten(message, b"From", b"mara", b"mora"),
        rewritten(message, b"ARC-Authentication-Results", b"dmarc=pass", b"dmarc=fail"),
        replace(message, body=(b"Hi there!\r\n",)),
        replace(message, fields=(Field(b"From", b" eve@evil.example"), *message.fields)),
    )
    for changed in changes:
        assert found(changed, published(hand)).result is Result.FAIL
        assert dkimpy_says(changed, hand) == "fail"


def test_the_results_are_those_of_our_id_and_of_nobody_else() -> None:
    name = b"Authentication-Results"
    fields = (
        Field(name, b" MX.our.example; spf=pass (a; b) smtp.mailfrom=a@b.example;\r\n dkim=none"),
        Field(name, b" mx.far.example; dmarc=pass header.from=bank.example"),
        Field(name, b" mx.our.example; none"),
        Field(name, b" mx.our.example; dmarc=pass header.from=a.example; ("),
        Field(name, b' "mx.our.example" (x;y) 1; dmarc=fail header.from=b.example'),
        *LETTER.fields[1:],
    )
    message = replace(LETTER, fields=fields)
    results, _, _ = seal(message)
    assert results.value == (
        "i=1; mx.our.example;\n spf=pass (a; b) smtp.mailfrom=a@b.example;\n dkim=none;"
        "\n dmarc=fail header.from=b.example"
    )
    silent, _, _ = seal(message, authserv_id="other.our.example")
    assert silent.value == "i=1; other.our.example;\n none"


def test_a_broken_chain_is_sealed_as_such_over_the_own_set_alone() -> None:
    broken = rewritten(sealed(LETTER), b"Subject", b"hello", b"hallo")
    fields = seal(broken, chain=Result.FAIL)
    assert ["i=2;" in field.value for field in fields] == [True] * 3
    assert "cv=fail;" in fields[2].value
    marked = inserted(broken, fields)
    octets = canonical.signing_input(marked.fields[2:0:-1], marked.fields[0], relaxed=True)
    record = parse("".join(strings(key().private)).encode())
    made = decode_base64(taglist.parse(marked.fields[0].value)[b"b"])
    assert checker(record, min_rsa_bits=1024, max_rsa_bits=8192)(made, sha256(octets).digest())
    assert found(marked).reason == "ARC-Seal i=2 says cv=fail"
    # Whoever comes next adds nothing.
    assert seal(marked, chain=Result.FAIL) == ()


@pytest.mark.parametrize(
    "message, chain",
    [
        (LETTER, Result.TEMPERROR),
        (LETTER, Result.PASS),
        (LETTER, Result.FAIL),
        (sealed(LETTER), Result.NONE),
        (sealed(LETTER), Result.TEMPERROR),
        (rewritten(sealed(LETTER), b"ARC-Seal", b"i=1;", b"i=x;"), Result.FAIL),
        (rewritten(sealed(LETTER), b"ARC-Seal", b"i=1;", b"i=1;;"), Result.FAIL),
        (rewritten(sealed(LETTER), b"ARC-Seal", b"i=1;", b"i=50;"), Result.FAIL),
        (rewritten(sealed(LETTER), b"ARC-Seal", b"i=1;", b"i=2;"), Result.PASS),
    ],
)
def test_nothing_is_added_where_nothing_true_could_be_said(message: Message, chain: Result) -> None:
    assert seal(message, chain=chain) == ()


def test_what_later_hops_change_is_never_covered_and_from_always_is() -> None:
    _, signature, _ = seal(LETTER, headers=("Authentication-Results", "ARC-Seal", "to"), oversign=())
    assert "h=to:from;" in signature.value
    _, signature, _ = seal(replace(LETTER, fields=()), headers=(), oversign=())
    assert "h=from;" in signature.value
    _, signature, _ = seal(LETTER)
    assert "h=from:from:to:subject;" in signature.value


def test_lines_stay_short_enough_for_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    many = replace(
        LETTER, fields=(*LETTER.fields, *(Field(b"To", b" r%d@far.example" % n) for n in range(60)))
    )
    monkeypatch.setattr(sign_arc, "_WIDTH", 40)
    fields = seal(many)
    assert max(len(line) for field in fields for line in field.value.split("\n")) < 90
    assert found(inserted(many, fields)).result is Result.PASS


def test_the_body_need_not_be_there_when_its_hash_is() -> None:
    digest = canonical.body_hash(LETTER.body, relaxed=True)
    assert seal(replace(LETTER, body=()), digest=digest) == seal(LETTER)
