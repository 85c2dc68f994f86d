"""Whether what leaves can pass DMARC at its target, and what the mx has marked."""

import pytest

from postvouch.auth.authres import AuthresError, parse
from postvouch.forward.outcome import OUTCOMES, Marks, marked, outcome, word_of_mx
from postvouch.values.message import Field, Message

ID = "mx.our.example"
REJECT, NONE = "policy.dmarc=reject", "policy.dmarc=none"
TABLE = [
    # what the mx says, the domains that sign for us, the outcome
    (f"dkim=pass header.d=far.example; dmarc=pass header.from=far.example {REJECT}", (), "dkim"),
    (f"dkim=pass header.d=mail.far.example; dmarc=pass header.from=far.example {REJECT}", (), "dkim"),
    (
        f"spf=fail; dkim=pass header.d=list.example; dkim=pass header.d=far.example; dmarc=pass {REJECT}",
        (),
        "dkim",
    ),
    (f"dkim=pass header.d=list.example; dmarc=pass header.from=far.example {REJECT}", (), "dkim"),
    (f"spf=pass smtp.mailfrom=m@far.example; dkim=none; dmarc=pass {REJECT}", (), "will-fail"),
    (
        f"spf=pass smtp.mailfrom=m@far.example; dkim=pass header.d=list.example; dmarc=pass {REJECT}",
        (),
        "will-fail",
    ),
    (
        f"spf=pass smtp.mailfrom=m@esp.example; dkim=pass header.d=esp.example; dmarc=pass {REJECT}",
        (),
        "unknown",
    ),
    (
        f"spf=pass smtp.mailfrom=m@far.example; dkim=fail header.d=far.example; dmarc=pass {REJECT}",
        (),
        "will-fail",
    ),
    ("spf=pass smtp.mailfrom=m@far.example; dkim=none; dmarc=pass policy.dmarc=quarantine", (), "will-fail"),
    (f"spf=pass smtp.mailfrom=m@far.example; dkim=none; dmarc=pass {NONE}", (), "none-policy"),
    (f"spf=fail; dkim=none; dmarc=fail {NONE}", (), "none-policy"),
    (f"spf=fail; dkim=none; dmarc=fail {REJECT}", (), "will-fail"),
    ("spf=pass smtp.mailfrom=m@far.example; dkim=none; dmarc=none", (), "none-policy"),
    (f"dkim=pass header.d=far.example; dmarc=temperror {REJECT}", (), "unknown"),
    (f"dkim=pass header.d=far.example; dmarc=pass header.from=other.example {REJECT}", (), "unknown"),
    ("dkim=pass header.d=far.example", (), "unknown"),
    ("dmarc=pass; dmarc=fail", (), "unknown"),
    (f"spf=fail; dkim=none; dmarc=fail {REJECT}", ("far.example",), "own"),
    ("dmarc=none", ("example",), "none-policy"),
    ("dmarc=none", ("our.example",), "none-policy"),
]


@pytest.mark.parametrize("said, signed, expected", TABLE)
def test_the_outcome_of_what_the_mx_found(said: str, signed: tuple[str, ...], expected: str) -> None:
    assert expected in OUTCOMES
    assert outcome("far.example", parse(f"{ID}; {said}".encode()), signed) == expected


def test_every_word_is_in_the_table() -> None:
    assert {expected for _, _, expected in TABLE} == set(OUTCOMES)


def test_without_the_word_of_the_mx_or_an_author_nobody_knows() -> None:
    assert outcome("far.example", None, ()) == "unknown"
    assert (
        outcome("", parse(f"{ID}; dkim=pass header.d=far.example; dmarc=pass".encode()), ("",)) == "unknown"
    )


def letter(*fields: tuple[str, str]) -> Message:
    return Message(fields=tuple(Field(name.encode(), b" " + value.encode()) for name, value in fields))


RESULTS = ("Authentication-Results", f"{ID}; dmarc=pass {REJECT}")
FAILED = ("Authentication-Results", f"{ID}; dmarc=fail {REJECT}")
RECEIVED = ("Received", "by mx.our.example")
FLAG = ("X-Spam-Flag", "YES")
MARKS = Marks.of(["X-Spam-Flag: YES", "X-Spam-Status: Yes"])


@pytest.mark.parametrize(
    "fields",
    [
        (RECEIVED, RESULTS),
        (("Authentication-Results", "evil.example; dmarc=pass"), RESULTS),
        (("Authentication-Results", f"{ID} 2; dmarc=pass"),),
        (("Authentication-Results", "mx.our.example; ;;"), RESULTS),
        (FLAG,),
    ],
)
def test_only_the_field_of_our_mx_on_top_counts(fields: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(AuthresError):
        parse(b"mx.our.example; ;;")
    assert word_of_mx(letter(*fields), ID) is None
    assert marked(letter(*fields, FLAG), word_of_mx(letter(*fields), ID), MARKS) == ""


def test_without_a_vouching_id_nothing_counts() -> None:
    assert word_of_mx(letter(("Authentication-Results", '""; dmarc=pass')), "") is None


@pytest.mark.parametrize(
    "fields, expected",
    [
        ((RESULTS, RECEIVED), ""),
        ((RESULTS, RECEIVED, FLAG), "spam"),
        ((FLAG, RESULTS, RECEIVED), "spam"),
        ((RESULTS, ("x-spam-status", "yes, score=9")), "spam"),
        ((RESULTS, ("X-Spam-Flag", "NO")), ""),
        ((RESULTS, ("X-Postvouch-Mark", "spoof-sender")), "spoof"),
        ((RESULTS, ("X-Postvouch-Mark", "dmarc-none")), ""),
        ((FAILED, RECEIVED), "dmarc-fail"),
        ((("Authentication-Results", f"{ID}; dmarc=fail {NONE}"),), ""),
        ((("Authentication-Results", f"{ID}; dmarc=fail {REJECT} policy.override=exempt-list"),), ""),
    ],
)
def test_what_mx_has_marked(fields: tuple[tuple[str, str], ...], expected: str) -> None:
    message = letter(*fields)
    assert marked(message, word_of_mx(message, ID), MARKS) == expected
