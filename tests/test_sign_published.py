"""What a record says about a key: every way to publish it wrongly, and nothing else, is a fault."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postvouch.auth import keyrecord
from postvouch.sign import record
from postvouch.sign.finding import Finding
from postvouch.sign.keys import PrivateKey, generate
from postvouch.sign.published import compare, fits, is_revoked

RSA, ED25519 = generate()[0], generate("ed25519")[0]
OTHER = generate("ed25519")[0]


def strings(key: PrivateKey) -> tuple[bytes, ...]:
    return tuple(each.encode() for each in record.strings(key))


def found(key: PrivateKey | None, *records: tuple[bytes, ...]) -> list[Finding]:
    return [fault.finding for fault in compare(key, records)]


@pytest.mark.parametrize("key", [RSA, ED25519], ids=["rsa", "ed25519"])
def test_what_record_prints_is_right_cut_or_joined(key: PrivateKey) -> None:
    cut = strings(key)
    assert compare(key, [cut]) == compare(key, [(b"".join(cut),)]) == compare(None, [cut]) == ()
    assert fits(key, [cut])
    assert not fits(OTHER, [cut])


def test_nothing_several_and_revoked_are_told_apart() -> None:
    revoked = (b"v=DKIM1; k=rsa; p=",)
    assert found(RSA) == [Finding.NOT_PUBLISHED]
    assert found(RSA, revoked) == [Finding.REVOKED]
    assert found(RSA, strings(RSA), revoked) == [Finding.REVOKED, Finding.SEVERAL]
    assert is_revoked([revoked])
    assert not is_revoked([strings(RSA)])
    assert not is_revoked([revoked, revoked])


def test_a_key_under_test_is_published_all_the_same() -> None:
    marked = tuple(each.encode() for each in record.strings(RSA, testing=True))
    assert found(RSA, marked) == [Finding.TESTING]
    assert fits(RSA, [marked])


@pytest.mark.parametrize(
    "text, finding",
    [
        (b"v=DKIM1; k=ed25519; p=AAAA", Finding.MALFORMED),
        (b"v=DKIM1; p=AAAA", Finding.MALFORMED),
        (b"v=DKIM1; p=%", Finding.MALFORMED),
        (b'"v=DKIM1; p=AAAA"', Finding.MALFORMED),
        (b"v=DKIM1\\; p=AAAA", Finding.MALFORMED),
        (b"v=DKIM1; v=DKIM1; p=AAAA", Finding.MALFORMED),
        (b"v=dkim1; p=", Finding.WRONG_VERSION),
        (b"k=rsa; v=DKIM1; p=", Finding.WRONG_VERSION),
        (b"v=DKIM1; k=dsa; p=AAAA", Finding.WRONG_KIND),
        (b"v=DKIM1; h=sha1; p=", Finding.WRONG_HASH),
        (b"v=DKIM1; s=other; p=", Finding.NOT_EMAIL),
        (b"v=DKIM1; t=s:y; p=", Finding.TESTING),
    ],
)
def test_a_record_is_judged_without_its_private_key_too(text: bytes, finding: Finding) -> None:
    assert finding in found(None, (text,))


def test_a_key_of_another_kind_or_form_is_named() -> None:
    assert found(RSA, strings(ED25519)) == [Finding.WRONG_KIND]
    assert found(ED25519, strings(OTHER)) == [Finding.DIFFERS]
    (der,) = record.strings(ED25519)[-1:]
    spki = base64.b64encode(bytes.fromhex("302a300506032b6570032100") + ED25519.public())
    text = "".join(record.strings(ED25519)).encode().replace(der[2:].encode(), spki)
    (fault,) = compare(ED25519, [(text,)])
    assert fault.finding is Finding.MALFORMED
    assert "32 octets" in fault.detail


@given(st.permutations(strings(RSA)))
def test_strings_in_any_other_order_are_never_right(order: list[bytes]) -> None:
    right = tuple(order) == strings(RSA)
    assert (compare(RSA, [order]) == ()) is right
    if not right:
        assert found(RSA, tuple(order)) == [Finding.SPLIT]


@given(st.integers(0, len(b"".join(strings(RSA))) - 1), st.sampled_from(b" \t\"'\\%;=Az9"))
def test_one_octet_more_in_p_or_one_other_is_a_fault(place: int, octet: int) -> None:
    text = b"".join(strings(RSA))
    start = text.index(b"p=") + 2
    # A blank right after "=" is one of the tag list (RFC 6376 §3.2), not of the value.
    place = max(place, start + (octet in b" \t"))
    inserted = text[:place] + bytes([octet]) + text[place:]
    assert found(RSA, (inserted,)) != []
    if text[place] != octet:
        changed = text[:place] + bytes([octet]) + text[place + 1 :]
        assert found(RSA, (changed,)) != []


@given(st.lists(st.lists(st.binary(max_size=255), max_size=8), max_size=20))
def test_no_record_of_a_stranger_raises_or_is_taken_for_our_key(records: list[list[bytes]]) -> None:
    for key in (RSA, ED25519, None):
        faults = compare(key, records)
        assert key is None or faults
        assert all(str(fault).isprintable() for fault in faults)
        assert len(faults) < 200


@given(
    st.lists(
        st.sampled_from(
            [b"v=DKIM1", b"k=rsa", b"k=ed25519", b"h=sha256", b"h=sha1", b"s=email", b"t=y", b"t=s", b"p=",
             b"p=" + base64.b64encode(RSA.public()), b"p=" + base64.b64encode(ED25519.public())]
        ),
        max_size=6,
    )
)  # fmt: skip
def test_what_is_right_here_is_right_for_our_verifier(tags: list[bytes]) -> None:
    text = b"; ".join(tags)
    for key in (RSA, ED25519):
        if compare(key, [(text,)]) == ():
            parsed = keyrecord.parse(text)
            assert (parsed.kind, parsed.public) == (key.kind, key.public())


def test_a_flood_of_records_and_strings_costs_little() -> None:
    record_of_many = (b"v=DKIM1; p=" + b"A" * 200,) * 300
    assert compare(RSA, [record_of_many] * 5000)[0].finding is Finding.SEVERAL
