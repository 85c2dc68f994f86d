"""Signatures of ours that are there already: one that holds is not made again, and nothing else counts."""

import base64
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from fakedns import zone
from hypothesis import given
from hypothesis import strategies as st

from postvouch.auth import bodies
from postvouch.sign import dkim
from postvouch.sign.alreadysigned import MAX_READ, MAX_VERIFIED, unsigned
from postvouch.sign.keys import SigningKey, generate
from postvouch.values.dns import NO_SUCH_NAME, Records
from postvouch.values.message import Field, Message

NOW = 1_795_000_000
RULES = dkim.Rules(headers=("subject",))
ED, OTHER = (
    SigningKey(domain="our.example", selector=selector, private=generate("ed25519")[0])
    for selector in ("Ed", "other")
)
RSA = SigningKey(domain="our.example", selector="rsa", private=generate("rsa")[0])
LETTER = Message(
    fields=(Field(b"From", b" bob@our.example"), Field(b"Subject", b" hello")), body=(b"one\r\n", b"two\r\n")
)


def signature(key: SigningKey, message: Message = LETTER, rules: dkim.Rules = RULES) -> Field:
    made = dkim.sign(message, key, now=NOW, rules=rules)
    return Field(made.name.encode(), b" " + made.value.replace("\n", "\r\n").encode())


def signed(*fields: Field, message: Message = LETTER) -> Message:
    return replace(message, fields=(*fields, *message.fields))


OF_ED, OF_RSA = signature(ED), signature(RSA)


def test_each_key_whose_signature_holds_is_left_out() -> None:
    keys = (RSA, ED)
    assert unsigned(LETTER, keys, now=NOW) == keys
    assert unsigned(signed(OF_ED), keys, now=NOW) == (RSA,)
    assert unsigned(signed(OF_RSA), keys, now=NOW) == (ED,)
    assert unsigned(signed(OF_RSA, OF_ED), keys, now=NOW) == ()


def record(key: SigningKey, more: str = "") -> str:
    public = base64.b64encode(key.private.public()).decode()
    return f"{key.selector}._domainkey.{key.domain} TXT v=DKIM1; k={key.private.kind}; {more}p={public}"


def test_a_signature_of_another_host_of_ours_counts_for_keys_of_its_kind_where_dns_has_its_key() -> None:
    letter, keys = signed(signature(OTHER)), (RSA, ED)
    assert unsigned(letter, keys, now=NOW) == keys
    assert unsigned(letter, keys, now=NOW, published=zone(record(OTHER))) == (RSA,)
    for dns in (zone(), zone("other._domainkey.our.example TEMPERROR"), zone(record(OTHER, "t=y; "))):
        assert unsigned(letter, keys, now=NOW, published=dns) == keys
    changed = replace(letter, body=(b"another\r\n",))
    assert unsigned(changed, keys, now=NOW, published=zone(record(OTHER))) == keys


def test_a_signature_of_strangers_is_not_even_looked_up() -> None:
    class Counting:
        asked = 0

        def lookup(self, name: str, kind: str) -> Records:
            self.asked += 1
            return NO_SUCH_NAME

    dns = Counting()
    strange = signature(replace(OTHER, domain="far.example"))
    assert unsigned(signed(*[strange] * 20), (RSA,), now=NOW, published=dns) == (RSA,)
    assert dns.asked == 0
    assert unsigned(signed(*[signature(OTHER)] * 20), (RSA,), now=NOW, published=dns) == (RSA,)
    assert dns.asked == 1


def test_a_body_that_was_hashed_and_not_kept_serves_as_well() -> None:
    letter = signed(OF_ED)
    hashed = replace(letter, body=(), digests=bodies.digests(letter))
    assert unsigned(hashed, (ED,), now=NOW) == ()
    unfit = replace(letter, body=(), digests={(False, None): (b"", 0)})
    assert unsigned(unfit, (ED,), now=NOW) == (ED,)


def _flipped(field: Field, of: str) -> Field:
    at = field.value.rindex(f"{of}=".encode()) + len(of) + 5
    octet = b"A" if field.value[at : at + 1] != b"A" else b"B"
    return field._replace(value=field.value[:at] + octet + field.value[at + 1 :])


BROKEN: dict[str, Callable[[], Message]] = {
    "another body": lambda: replace(signed(OF_ED), body=(b"three\r\n",)),
    "another From": lambda: replace(LETTER, fields=(OF_ED, Field(b"From", b" eve@our.example"))),
    "a From more": lambda: signed(Field(b"From", b" eve@our.example"), OF_ED),
    "b= flipped": lambda: signed(_flipped(OF_ED, "b")),
    "bh= flipped": lambda: signed(_flipped(OF_ED, "bh")),
    "a forger's key": lambda: signed(signature(replace(ED, private=OTHER.private))),
    "another selector": lambda: signed(signature(OTHER)),
    "another domain": lambda: signed(signature(replace(ED, domain="far.example"))),
    "below our domain": lambda: signed(signature(replace(ED, domain="x.our.example"))),
    "expired": lambda: signed(signature(ED, rules=replace(RULES, expire_s=10))),
    "limited": lambda: signed(OF_ED._replace(value=OF_ED.value.replace(b" d=", b" l=3; d="))),
    "junk": lambda: signed(Field(b"DKIM-Signature", b" d=our.example; s=ed; d=our.example")),
    "empty": lambda: signed(Field(b"DKIM-Signature", b"")),
}


@pytest.mark.parametrize("how", BROKEN)
def test_what_does_not_hold_or_is_not_of_this_key_is_no_reason_to_stay_silent(how: str) -> None:
    assert unsigned(BROKEN[how](), (ED,), now=NOW + 60) == (ED,)


def test_a_signature_that_holds_is_found_below_forged_ones_but_not_below_any_number() -> None:
    forged = _flipped(OF_ED, "b")
    strange = signature(replace(ED, domain="far.example"))
    assert unsigned(signed(*[forged] * (MAX_VERIFIED - 1), OF_ED), (ED,), now=NOW) == ()
    assert unsigned(signed(*[forged] * MAX_VERIFIED, OF_ED), (ED,), now=NOW) == (ED,)
    assert unsigned(signed(*[strange] * (MAX_READ - 1), OF_ED), (ED,), now=NOW) == ()
    assert unsigned(signed(*[strange] * MAX_READ, OF_ED), (ED,), now=NOW) == (ED,)


def test_a_thousand_forged_signatures_cost_no_more_than_a_few() -> None:
    letter = signed(*[_flipped(OF_RSA, "b")] * 1000)
    started = time.process_time()
    assert unsigned(letter, (RSA,), now=NOW) == (RSA,)
    assert time.process_time() - started < 2


@given(st.lists(st.binary(max_size=60) | st.just(OF_ED.value), max_size=4), st.binary(max_size=60))
def test_no_signature_of_anybody_raises(values: list[bytes], body: bytes) -> None:
    letter = replace(signed(*(Field(b"DKIM-Signature", value) for value in values)), body=(body,))
    assert unsigned(letter, (ED,), now=NOW) == (ED,)
