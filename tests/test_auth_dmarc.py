"""auth/dmarc.py, orgdomain.py and dmarcrecord.py: what the vectors do not say."""

import time

import pytest
from fakedns import zone
from hypothesis import given
from hypothesis import strategies as st

from postvouch.auth import dmarc, orgdomain
from postvouch.auth.dmarcrecord import find_record, parse_record
from postvouch.auth.result import DkimFinding, DmarcFinding, Result, SpfFinding
from postvouch.values.address import (
    Address,
    Author,
    MalformedAuthor,
    MissingAuthor,
    OneAuthor,
    SeveralAuthors,
)
from postvouch.values.dns import DnsUnavailable, Resolver

NO_SPF = SpfFinding(result=Result.NONE)


def bob(domain: str) -> Author:
    return OneAuthor(Address("bob", domain))


def signed(*domains: str, result: Result = Result.PASS) -> list[DkimFinding]:
    return [DkimFinding(result=result, d=d) for d in domains]


def test_a_finding_says_all_that_the_log_needs() -> None:
    dns = zone("_dmarc.far.example TXT v=DMARC1; p=none; sp=reject; t=y", "mail.far.example A 192.0.2.1")
    spf = SpfFinding(result=Result.PASS, domain="bounce.far.example")
    assert dmarc.evaluate(
        bob("mail.far.example"), spf, signed("far.example", "esp.example"), dns
    ) == DmarcFinding(
        result=Result.PASS,
        domain="mail.far.example",
        org_domain="far.example",
        policy="reject",
        applied="quarantine",
        aligned_by="spf,dkim",
        record_domain="far.example",
        reason="aligned",
    )


@pytest.mark.parametrize(
    "author", [MissingAuthor(), SeveralAuthors(("a.example", "b.example")), MalformedAuthor("NUL")]
)
def test_without_one_author_there_is_no_validation_and_no_question(author: Author) -> None:
    dns = zone("_dmarc.a.example TXT v=DMARC1; p=reject")
    found = dmarc.evaluate(author, NO_SPF, signed("a.example"), dns)
    assert (found.result, found.aligned_by, dns.asked) == (Result.PERMERROR, "", [])


def test_alignment_is_told_even_where_there_is_no_record() -> None:
    dns = zone()
    for domain, aligned in (
        ("our.example", "dkim"),
        ("sub.our.example", ""),
        ("example", ""),
        ("evil.example", ""),
    ):
        found = dmarc.evaluate(bob("our.example"), NO_SPF, signed(domain), dns)
        assert (found.result, found.aligned_by) == (Result.NONE, aligned)
    spf = SpfFinding(result=Result.PASS, domain="our.example")
    assert dmarc.evaluate(bob("our.example"), spf, [], dns).aligned_by == "spf"


def test_alignment_under_a_record_that_asks_for_nothing_is_by_organisation() -> None:
    dns = zone("_dmarc.our.example TXT v=DMARC1; p=bogus")
    found = dmarc.evaluate(bob("a.our.example"), NO_SPF, signed("b.our.example"), dns)
    assert (found.result, found.aligned_by) == (Result.NONE, "dkim")


def test_identity_is_told_even_where_dns_is_down() -> None:
    dns = zone("_dmarc.our.example TEMPERROR")
    found = dmarc.evaluate(bob("our.example"), NO_SPF, signed("our.example"), dns)
    assert (found.result, found.aligned_by) == (Result.TEMPERROR, "dkim")


def test_signatures_of_strangers_cost_no_question() -> None:
    dns = zone("_dmarc.far.example TXT v=DMARC1; p=reject")
    strangers = signed(*(f"s{i}.esp.test" for i in range(50)))
    assert dmarc.evaluate(bob("far.example"), NO_SPF, strangers, dns).result is Result.FAIL
    assert dns.asked == [("_dmarc.far.example", "TXT")]


def test_many_signatures_of_one_name_cost_one_walk() -> None:
    dns = zone("_dmarc.far.example TXT v=DMARC1; p=reject")
    dmarc.evaluate(bob("far.example"), NO_SPF, signed(*["x.evil.example"] * 30), dns)
    assert len(dns.asked) <= 8
    broken = zone("_dmarc.far.example TXT v=DMARC1; p=reject", "_dmarc.a.far.example TEMPERROR")
    found = dmarc.evaluate(bob("far.example"), NO_SPF, signed(*["a.far.example"] * 30), broken)
    assert found.result is Result.TEMPERROR
    assert broken.asked.count(("_dmarc.a.far.example", "TXT")) == 1


@pytest.mark.parametrize(
    "d", ["", "far.example\x00", "\udcff", "far..example", "@far.example", "[192.0.2.1]", "x" * 300]
)
def test_a_d_that_is_no_domain_never_aligns(d: str) -> None:
    dns = zone("_dmarc.far.example TXT v=DMARC1; p=reject")
    assert dmarc.evaluate(bob("far.example"), NO_SPF, signed(d), dns).result is Result.FAIL


def test_trouble_with_existence_takes_the_milder_policy_of_a_pass() -> None:
    dns = zone(
        "_dmarc.far.example TXT v=DMARC1; p=reject; sp=quarantine; np=reject", "sub.far.example TEMPERROR"
    )
    found = dmarc.evaluate(bob("sub.far.example"), NO_SPF, signed("far.example"), dns)
    assert (found.result, found.policy) == (Result.PASS, "quarantine")


def test_an_interrupted_walk_does_not_skip_the_name_that_failed() -> None:
    class Flaky:
        asked = 0

        def lookup(self, name: str, kind: str) -> object:
            self.asked += 1
            if self.asked == 2:
                raise DnsUnavailable("once")
            return zone("_dmarc.far.example TXT v=DMARC1; p=reject; psd=n").lookup(name, kind)

    dns: Resolver = Flaky()  # type: ignore[assignment]
    walk = orgdomain.Walk(start="a.far.example", resolver=dns)
    with pytest.raises(DnsUnavailable):
        walk.org_domain()
    assert walk.org_domain() == "far.example"


@pytest.mark.parametrize(
    "text, p",
    [
        (b"v=DMARC1;p=reject", "reject"),
        (b"V = DMARC1 ; P = Reject", "reject"),
        (b"v=DMARC1;\tp\t=\treject\t;", "reject"),
        (b"v=DMARC1; p=reject; p=none; rua=mailto:a@far.example", "none"),
        (b"v=DMARC1; p=reject; x=\xff\xfe", "reject"),
    ],
)
def test_records_are_read_leniently_behind_the_version(text: bytes, p: str) -> None:
    record = parse_record(text)
    assert record is not None
    assert (record.p, record.usable) == (p, True)


@pytest.mark.parametrize(
    "text", [b"", b" v=DMARC1; p=reject", b"v=DMARC1p=reject", b"v=dmarc1; p=none", b"v=DMARC10; p=none"]
)
def test_what_does_not_begin_with_the_version_is_no_record(text: bytes) -> None:
    assert parse_record(text) is None


def test_reporting_addresses_lose_their_obsolete_size_only() -> None:
    record = parse_record(
        b"v=DMARC1; p=none; rua=mailto:A@far.example!10m , https://far.example/r,bad,mailto:x!y!z"
    )
    assert record is not None
    assert record.rua == ("mailto:A@far.example", "https://far.example/r")


def test_two_records_with_one_version_are_none() -> None:
    assert find_record((b"v=DMARC1; p=none", b"v=DMARC1; p=none")) is None


@given(st.binary(max_size=80))
def test_any_octets_are_a_record_or_none(junk: bytes) -> None:
    for text in (junk, b"v=DMARC1;" + junk):
        record = parse_record(text)
        if record is not None:
            assert record.p in ("none", "quarantine", "reject")
            assert record.applied(record.p) in ("none", "quarantine", "reject")


LABEL = st.sampled_from(["a", "b", "far", "example", "com", "x" * 63, "_x"])
NAME = st.lists(LABEL, min_size=1, max_size=12).map(".".join).filter(lambda n: len(n) <= 253)


@given(
    author=NAME,
    others=st.lists(NAME, max_size=4),
    at=st.lists(st.tuples(NAME, st.sampled_from(["", "; psd=y", "; psd=n"])), max_size=5),
)
def test_walks_are_short_and_organisations_contain_their_members(
    author: str, others: list[str], at: list[tuple[str, str]]
) -> None:
    dns = zone(*(f"_dmarc.{name} TXT v=DMARC1; p=reject{psd}" for name, psd in at))
    org = orgdomain.Walk(start=author, resolver=dns).org_domain()
    assert len(dns.asked) <= 8
    assert author == org or author.endswith("." + org)
    judged = dmarc.judge(bob(author), NO_SPF, signed(*others), dns)
    for other, aligned in zip(others, judged.dkim_aligned, strict=True):
        if aligned and other != author:
            assert orgdomain.Walk(start=other, resolver=dns).org_domain() == org
    assert len(dns.asked) <= 8 + 8 * (1 + 2 * len(others)) + 1


@pytest.mark.parametrize(
    "text",
    [
        b"v=DMARC1; p=reject; x=" + b" " * 64000 + b"\x01",
        b"v=DMARC1; p=reject; x=y" + b" \t" * 32000 + b"\xff",
        b"v=DMARC1; p=reject; " + b" = " * 20000,
        b"v=DMARC1; p=reject; rua=" + b"mailto:a!" * 7000,
        b"v=DMARC1; p=reject; rua=" + b"a:b!1," * 10000,
        b"v" + b" " * 64000 + b"=DMARC1; p=reject",
        b"v=DMARC1; p=reject" + b";" * 64000,
    ],
)
def test_64_kb_of_a_stranger_are_read_in_no_time(text: bytes) -> None:
    began = time.process_time()
    record = parse_record(text)
    assert time.process_time() - began < 0.5
    assert record is not None
    assert record.p == "reject"


@pytest.mark.parametrize(
    "text, p, usable",
    [
        (b"v=DMARC1; p=reject\r\n", "reject", True),
        (b"v=DMARC1;\r\n p=reject;\r\n rua=mailto:a@far.example\r\n", "reject", True),
        (b"v=DMARC1; p=re\r\nject", "none", False),
        (b"v=DMARC1; p=reject; sp=quarant\xc3\xa4ne", "none", False),
        (b"v=DMARC1; p=reject; sp=\xff; rua=mailto:a@far.example", "none", True),
        (b"v=DMARC1; p=reject; p\xc3\xa4=none", "reject", True),
        (b"v=DMARC1; p=\xa0reject", "none", False),
        ("v=DMARC1; p=reject; ad\u212aim=s; s\u212a=x".encode(), "reject", True),
    ],
)
def test_line_ends_around_values_are_blanks_and_8_bit_costs_only_its_own_tag(
    text: bytes, p: str, usable: bool
) -> None:
    record = parse_record(text)
    assert record is not None
    assert (record.p, record.usable, record.strict_dkim) == (p, usable, False)
