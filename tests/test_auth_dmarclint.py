"""What we say of a DMARC record of our own: each fault once, with the record that mends it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postvouch.auth import dmarclint
from postvouch.auth.dmarcrecord import parse_record

GOOD = "p=quarantine; np=reject; rua=mailto:d@our.example"


def lint(tags, *more):
    texts = tuple(each.encode() for each in (f"v=DMARC1; {tags}", *more))
    return [each for each in dmarclint.lint("our.example", texts) if each.severity != "ok"]


def test_a_record_by_rfc_9989_is_ok():
    found = dmarclint.lint(
        "our.example", (f"v=DMARC1; {GOOD}; adkim=s; aspf=r; fo=1:d; t=n; psd=n".encode(),)
    )
    assert [(each.severity, each.text) for each in found] == [("ok", "policy p=quarantine")]


@pytest.mark.parametrize("tags, severity, text, mended", [
    (f"{GOOD}; pct=100", "note", "pct=100 is obsolete", GOOD),
    (f"{GOOD}; pct=20", "warning", "apply the policy to all mail", GOOD),
    (f"{GOOD}; rf=afrf", "note", "rf=afrf is obsolete", GOOD),
    (f"{GOOD}; ri=3600", "note", "ri=3600 is obsolete", GOOD),
    ("p=quarantine; rua=mailto:d@our.example", "note", "no np=", GOOD),
    ("p=quarantine; np=reject", "note", "no rua=",
     "p=quarantine; np=reject; rua=mailto:postmaster@our.example"),
    ("np=reject; rua=mailto:d@our.example", "error", "p= is missing", ""),
    ("p=rejct; np=reject; rua=mailto:d@our.example", "error", "p=rejct is none of", ""),
    ("p=reject; sp=off; np=reject; rua=mailto:d@our.example", "error", "sp=off is none of", ""),
    ("p=quarantine; sp=none; np=reject; rua=mailto:d@our.example", "warning", "sp=none is weaker", ""),
    ("p=quarantine; np=none; rua=mailto:d@our.example", "warning", "np=none is weaker than p=quarantine", ""),
    ("p=none; np=reject; rua=mailto:d@our.example", "note", "p=none asks receivers for nothing", ""),
    ("p=reject; np=reject; rua=mailto:d@our.example", "note", "letters of its users to mailing lists", ""),
    (f"{GOOD}; t=y", "note", "lowers every policy", ""),
    (f"{GOOD}; psd=y", "warning", "public suffixes", ""),
    (f"{GOOD}; adkim=strict", "warning", "adkim=strict is not one of r, s", ""),
    (f"{GOOD}; fo=x", "warning", "fo=x is not made of", ""),
    (f"{GOOD}; rau=mailto:x@our.example", "note", "rau= is no tag of DMARC", ""),
    (f"{GOOD}; fo=1; fo=1", "error", "the tag fo is written twice", ""),
    ("p=quarantine; np=reject; rua=d@our.example", "warning", "d@our.example is no mailto:", ""),
    ("p=quarantine; np=reject; rua=https://our.example/", "warning", "is no mailto:", ""),
    ("p=quarantine; np=reject; rua=mailto:d@our.example!10m", "note", "!10m is obsolete", ""),
    (f"{GOOD}; ruf=mailto:", "warning", "ruf: mailto: is no mailto:", ""),
])  # fmt: skip
def test_each_fault_is_one_finding_with_the_record_that_mends_it(tags, severity, text, mended):
    found = lint(tags)
    assert [each.severity for each in found] == [severity], found
    assert text in found[0].text
    if mended:
        assert [each.value for each in found[0].publish] == [f"v=DMARC1; {mended}"]


def test_the_record_of_a_wiki_from_before_is_mended_in_one_go():
    found = lint("p=none;pct=100;rua=mailto:postmaster@our.example")
    assert [each.severity for each in found] == ["note", "note", "note"]
    wanted = {record.value for each in found for record in each.publish}
    assert wanted == {"v=DMARC1; p=none; np=reject; rua=mailto:postmaster@our.example"}


def test_several_records_count_for_nothing_and_other_texts_do_not_matter():
    assert next(each.text for each in lint(GOOD, "v=DMARC1; p=none")).startswith("2 DMARC records")
    assert lint(GOOD, "google-site=1") == []


@pytest.mark.parametrize("text", [b"v=DMARC 1; p=none", b"DMARC1; p=none", b"v=spf1 -all"])
def test_a_text_that_is_no_record_is_an_error_and_not_a_missing_one(text):
    found = dmarclint.lint("our.example", (text,))
    assert [(each.severity, each.publish[0].name) for each in found] == [("error", "_dmarc.our.example")]
    assert 'no record begins with "v=DMARC1;"' in found[0].text


def test_who_is_to_take_reports_is_asked_outside_once():
    rua = b"rua=mailto:a@x.example,mailto:b@X.example!5m , https://y.example"
    text = b"v=DMARC1; p=none; " + rua + b"; ruf=mailto:c@z.example"
    assert dmarclint.outside(text) == ("x.example", "z.example")
    assert dmarclint.consent("our.example", "x.example").name == "our.example._report._dmarc.x.example"


@given(st.text(alphabet="vDMARC1=;:p nosrequatijcdx,!@\t\x00é", max_size=300), st.booleans())
def test_any_text_gives_printable_findings_and_mended_records_are_records(text, is_record):
    texts = ((f"v=DMARC1;{text}" if is_record else text).encode(),)
    found = dmarclint.lint("our.example", texts)
    assert found
    for each in found:
        assert each.text.isprintable()
        for record in each.publish:
            assert parse_record(record.value.encode()) is not None


def test_a_huge_record_is_read_in_bounded_work():
    text = b"v=DMARC1; p=none; " + b"a=b;" * 15000
    assert len(dmarclint.lint("our.example", (text,))) < 100
