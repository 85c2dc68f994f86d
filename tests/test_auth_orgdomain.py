"""Discovery of DMARC records and organisations: by walk, by list, by both (auth/orgdomain, questions)."""

from collections.abc import Sequence

import pytest
from fakedns import Zone, zone
from hypothesis import given
from hypothesis import strategies as st

from postvouch.auth import dmarc, orgdomain
from postvouch.auth.psl import Suffixes
from postvouch.auth.questions import Questions
from postvouch.auth.result import DkimFinding, DmarcFinding, Result, SpfFinding
from postvouch.values.address import Address, OneAuthor, parse_author
from postvouch.values.dns import DnsUnavailable

NO_SPF = SpfFinding(result=Result.NONE)
SUFFIXES = Suffixes.parse("com\nio\ngithub.io\ncompute.cloud.com\nuk\nco.uk\ncn\n公司.cn")
REJECT = "TXT v=DMARC1; p=reject"
TENANTS = f"_dmarc.github.io {REJECT}"


def signed(*domains: str, result: Result = Result.PASS) -> list[DkimFinding]:
    return [DkimFinding(result=result, d=d) for d in domains]


def judged(
    author: str,
    dkim: Sequence[DkimFinding],
    dns: Zone,
    *,
    discovery: str = "treewalk",
    suffixes: Suffixes | None = SUFFIXES,
) -> DmarcFinding:
    who = OneAuthor(Address("bob", author))
    return dmarc.evaluate(who, NO_SPF, dkim, dns, discovery=discovery, suffixes=suffixes)


def org(name: str, *records: str, suffixes: Suffixes | None = SUFFIXES) -> str:
    return orgdomain.Walk(start=name, resolver=zone(*records), suffixes=suffixes).org_domain()


@pytest.mark.parametrize(
    "name, records, organisation",
    [
        ("victim.github.io", [TENANTS], "victim.github.io"),
        ("www.victim.github.io", [TENANTS], "victim.github.io"),
        ("www.victim.github.io", [TENANTS, f"_dmarc.victim.github.io {REJECT}"], "victim.github.io"),
        ("github.io", [TENANTS], "github.io"),
        ("github.io", [f"_dmarc.io {REJECT}"], "github.io"),
        # The registry's word is about its own level only; what github.io lets grow below it the list knows.
        ("a.github.io", [TENANTS, f"_dmarc.io {REJECT}; psd=y"], "a.github.io"),
        # An operator who says that its name is one organisation is believed.
        ("www.victim.github.io", [TENANTS + "; psd=n"], "github.io"),
        # A suffix that lies below the walk's organisation parts its tenants as well.
        ("vm1.compute.cloud.com", [f"_dmarc.cloud.com {REJECT}"], "vm1.compute.cloud.com"),
        ("compute.cloud.com", [f"_dmarc.cloud.com {REJECT}"], "cloud.com"),
        ("mail.cloud.com", [f"_dmarc.cloud.com {REJECT}"], "cloud.com"),
        ("a.far.com", [f"_dmarc.com {REJECT}"], "far.com"),
        ("a.far.unlisted", [f"_dmarc.unlisted {REJECT}"], "far.unlisted"),
        ("www.xn--85x722f.xn--55qx5d.cn", [f"_dmarc.xn--55qx5d.cn {REJECT}"], "xn--85x722f.xn--55qx5d.cn"),
        # What is less than a registrable domain stays as the records have it.
        ("a.mail.far.com", [f"_dmarc.mail.far.com {REJECT}"], "mail.far.com"),
        ("a.far.com", [], "a.far.com"),
    ],
)
def test_below_a_public_suffix_everybody_is_an_organisation(
    name: str, records: list[str], organisation: str
) -> None:
    assert org(name, *records) == organisation


def test_a_tenant_without_a_record_has_the_policy_of_the_suffix_and_of_nobody_else() -> None:
    dns = zone(TENANTS + "; sp=quarantine", f"_dmarc.evil.github.io {REJECT}", "victim.github.io A 192.0.2.1")
    found = judged("victim.github.io", signed("evil.github.io"), dns)
    assert (found.result, found.record_domain, found.policy) == (Result.FAIL, "github.io", "quarantine")
    assert judged("victim.github.io", signed("mail.victim.github.io"), dns).result is Result.PASS
    assert judged("victim.github.io", signed("github.io"), dns).result is Result.FAIL
    assert judged("github.io", signed("victim.github.io"), dns).result is Result.FAIL


def test_a_list_asks_two_questions_and_believes_no_walk() -> None:
    dns = zone(f"_dmarc.far.com {REJECT}", "_dmarc.mail.far.com TXT v=DMARC1; p=none; psd=n")
    found = judged("a.mail.far.com", signed("b.far.com"), dns, discovery="psl")
    assert (found.result, found.org_domain, found.record_domain) == (Result.PASS, "far.com", "far.com")
    assert dns.asked == [("_dmarc.a.mail.far.com", "TXT"), ("_dmarc.far.com", "TXT")]
    own = judged("mail.far.com", signed("b.far.com"), dns, discovery="psl")
    assert (own.result, own.org_domain, own.record_domain) == (Result.PASS, "far.com", "mail.far.com")


def test_by_a_list_sub_domains_take_sp_and_names_that_are_not_there_np() -> None:
    dns = zone(f"_dmarc.far.com {REJECT}; sp=quarantine; np=none; t=y", "a.far.com A 192.0.2.1")
    for author, policy, applied in (
        ("far.com", "reject", "quarantine"),
        ("a.far.com", "quarantine", "none"),
        ("b.far.com", "none", "none"),
    ):
        found = judged(author, [], dns, discovery="psl")
        assert (found.result, found.policy, found.applied) == (Result.FAIL, policy, applied)


def test_by_a_list_a_public_suffix_is_its_own_organisation() -> None:
    dns = zone(TENANTS)
    assert judged("github.io", signed("github.io"), dns, discovery="psl").result is Result.PASS
    assert judged("github.io", signed("evil.github.io"), dns, discovery="psl").result is Result.FAIL
    assert judged("evil.github.io", signed("github.io"), dns, discovery="psl").result is Result.NONE


def test_by_a_list_trouble_is_a_temperror_too() -> None:
    dns = zone("_dmarc.far.com TEMPERROR")
    assert judged("a.far.com", signed("far.com"), dns, discovery="psl").result is Result.TEMPERROR


@pytest.mark.parametrize("discovery", ["psl", "both-log-differences"])
def test_without_a_list_the_walk_decides_alone(discovery: str) -> None:
    dns = zone(TENANTS)
    found = judged("victim.github.io", signed("evil.github.io"), dns, discovery=discovery, suffixes=None)
    assert (found.result, found.org_domain, found.difference) == (Result.PASS, "github.io", "")


@pytest.mark.parametrize(
    "author, signer, records, difference",
    [
        ("far.com", "far.com", [f"_dmarc.far.com {REJECT}"], ""),
        ("a.far.com", "far.com", [f"_dmarc.far.com {REJECT}"], ""),
        # Identical names under a record of their own: nobody looked for an organisation.
        ("a.far.com", "a.far.com", [f"_dmarc.a.far.com {REJECT}", f"_dmarc.far.com {REJECT}"], ""),
        ("a.far.com", "b.far.com", [], ""),
        (
            "a.far.com",
            "far.com",
            ["_dmarc.far.com TXT v=DMARC1; p=none", f"_dmarc.a.far.com {REJECT}; psd=n"],
            "by the list of public suffixes: result pass, not fail; organisation far.com, not a.far.com",
        ),
        (
            "victim.github.io",
            "evil.github.io",
            [TENANTS],
            "by the list of public suffixes: result none, not fail; policy (none), not reject",
        ),
    ],
)
def test_both_says_what_the_list_would_have_said(
    author: str, signer: str, records: list[str], difference: str
) -> None:
    walked = judged(author, signed(signer), zone(*records))
    both = judged(author, signed(signer), zone(*records), discovery="both-log-differences")
    assert both.difference == difference
    assert (both.result, both.org_domain, both.policy) == (walked.result, walked.org_domain, walked.policy)


def test_both_ask_hardly_more_than_one() -> None:
    records = (f"_dmarc.far.com {REJECT}; sp=none", "a.b.far.com A 192.0.2.1")
    walk, both = zone(*records), zone(*records)
    judged("a.b.far.com", signed("c.far.com"), walk)
    judged("a.b.far.com", signed("c.far.com"), both, discovery="both-log-differences")
    assert both.asked == walk.asked
    assert len(set(both.asked)) == len(both.asked)


@pytest.mark.parametrize("discovery", ["treewalk", "psl", "both-log-differences"])
def test_secure_is_what_rests_on_secure_answers_only(discovery: str) -> None:
    records = (f"_dmarc.far.com {REJECT}",)

    class HalfSecure(Zone):
        def lookup(self, name: str, kind: str):  # type: ignore[no-untyped-def]
            insecure = name in ("_dmarc.b.far.com", "_dmarc.com")
            return zone(*records, secure=not insecure).lookup(name, kind)

    half = HalfSecure(records)
    assert judged("far.com", signed("far.com"), half, discovery=discovery).secure
    assert judged("a.far.com", signed("b.far.com"), half, discovery=discovery).secure == (discovery == "psl")
    assert judged("a.far.com", signed("b.far.com"), zone(*records, secure=True), discovery=discovery).secure
    assert not judged("far.com", signed("far.com"), zone(*records), discovery=discovery).secure
    down = zone("_dmarc.far.com TEMPERROR", secure=True)
    assert not judged("far.com", signed("far.com"), down, discovery=discovery).secure


def deep(number: int) -> str:
    return f"a{number}.b{number}.c{number}.d{number}.e{number}.far.com"


def test_a_hundred_signatures_in_the_authors_own_tree_are_no_hundred_walks_and_no_false_fail() -> None:
    # Each signer is its own organisation, so none aligns; a signature that does stands last.
    parted = [f"_dmarc.e{i}.far.com {REJECT}; psd=n" for i in range(100)]
    dns = zone(f"_dmarc.far.com {REJECT}", *parted)
    found = judged("far.com", signed(*map(deep, range(100))), dns)
    assert (found.result, "too many" in found.reason) == (Result.TEMPERROR, True)
    assert len(dns.asked) == len(set(dns.asked)) == 100
    assert judged("far.com", signed(*map(deep, range(100)), "far.com"), dns).result is Result.PASS
    assert judged(
        "far.com", signed(*map(deep, range(15))), zone(*parted, f"_dmarc.far.com {REJECT}")
    ).result is (Result.FAIL)


def test_signatures_that_failed_or_are_strangers_are_not_walked_for() -> None:
    dns = zone(f"_dmarc.far.com {REJECT}")
    failed = signed(*map(deep, range(100)), result=Result.FAIL)
    strangers = signed(*(f"a{i}.evil.com" for i in range(100)))
    assert judged("far.com", [*failed, *strangers], dns).result is Result.FAIL
    assert dns.asked == [("_dmarc.far.com", "TXT"), ("_dmarc.com", "TXT")]


def test_a_signature_that_ran_out_of_time_before_its_name_was_read_may_have_been_the_authors() -> None:
    dns = zone(f"_dmarc.far.com {REJECT}")
    late = [DkimFinding(result=Result.TEMPERROR, reason="the computing time for this message is up")]
    assert judged("far.com", late, dns).result is Result.TEMPERROR
    assert judged("far.com", signed("evil.com", result=Result.TEMPERROR), dns).result is Result.FAIL
    assert judged("far.com", [*late, *signed("far.com")], dns).result is Result.PASS


def test_np_is_for_names_that_do_not_exist_and_not_for_those_without_an_address() -> None:
    records = [
        "_dmarc.far.com TXT v=DMARC1; p=none; sp=quarantine; np=reject",
        "x.there.far.com A 192.0.2.1",
    ]
    assert judged("there.far.com", [], zone(*records, "mx.far.com MX 10 a.far.com")).policy == "quarantine"
    assert judged("mx.far.com", [], zone(*records, "mx.far.com MX 10 a.far.com")).policy == "quarantine"
    assert judged("gone.far.com", [], zone(*records)).policy == "reject"


def test_names_of_any_length_have_an_answer() -> None:
    longest = ".".join(["x" * 63] * 3 + ["y" * 57, "com"])
    assert len(longest) == 253
    for discovery in ("treewalk", "psl", "both-log-differences"):
        assert judged(longest, signed(longest), zone(), discovery=discovery).result is Result.NONE
        many = ".".join("a" * 126)
        dns = zone(f"_dmarc.{many[-13:]} {REJECT}")
        assert judged(many, signed(many[2:]), dns, discovery=discovery).result is not Result.TEMPERROR
        assert len(dns.asked) <= 16


@pytest.mark.parametrize("discovery", ["treewalk", "psl", "both-log-differences"])
def test_an_author_in_u_labels_is_asked_for_in_a_labels(discovery: str) -> None:
    who = parse_author(["bob@mail.食狮.公司.cn".encode()])
    domain = "xn--85x722f.xn--55qx5d.cn"
    dns = zone(f"_dmarc.{domain} {REJECT}")
    found = dmarc.evaluate(who, NO_SPF, signed(domain), dns, discovery=discovery, suffixes=SUFFIXES)
    assert (found.result, found.domain, found.org_domain) == (Result.PASS, f"mail.{domain}", domain)
    assert all(name.isascii() for name, _ in dns.asked)
    spf = SpfFinding(result=Result.PASS, domain="bounce.食狮.公司.cn")
    assert dmarc.evaluate(who, spf, [], dns, discovery=discovery, suffixes=SUFFIXES).aligned_by == "spf"


def test_questions_are_asked_once_failures_too_and_not_without_end() -> None:
    dns = zone("a.com TXT a", "b.com TEMPERROR", secure=True)
    questions = Questions(dns, most=3)
    assert not questions.secure
    for _ in range(2):
        assert questions.lookup("a.com", "TXT").texts() == (b"a",)
        assert questions.secure
    for _ in range(2):
        with pytest.raises(DnsUnavailable, match="told not to answer"):
            questions.lookup("b.com", "TXT")
    assert not questions.secure
    questions.lookup("c.com", "TXT")
    with pytest.raises(DnsUnavailable, match="too many"):
        questions.lookup("d.com", "TXT")
    assert questions.lookup("a.com", "TXT").texts() == (b"a",)
    assert dns.asked == [("a.com", "TXT"), ("b.com", "TXT"), ("c.com", "TXT")]


LABEL = st.sampled_from(["a", "b", "far", "com", "io", "github", "compute", "cloud", "uk", "co"])
NAME = st.lists(LABEL, min_size=1, max_size=9).map(".".join)
NAMES = st.builds(
    lambda before, after: ".".join([*before, after]),
    st.lists(LABEL, max_size=3),
    st.sampled_from(["github.io", "compute.cloud.com", "co.uk", "far.com", "io"]),
)


@given(
    one=NAMES | NAME,
    other=NAMES | NAME,
    at=st.lists(st.tuples(NAMES | NAME, st.sampled_from(["", "; psd=y"])), max_size=6),
)
def test_with_a_list_no_two_registrants_are_ever_one_organisation(
    one: str, other: str, at: list[tuple[str, str]]
) -> None:
    records = [f"_dmarc.{name} {REJECT}{psd}" for name, psd in at]
    mine, theirs = SUFFIXES.registrable(one), SUFFIXES.registrable(other)
    if org(one, *records) == org(other, *records) and mine and theirs:
        assert mine == theirs
    whole = org(one, *records)
    assert one == whole or one.endswith("." + whole)


@given(
    author=NAMES | NAME,
    signers=st.lists(NAMES | NAME, max_size=4),
    at=st.lists(st.tuples(NAMES | NAME, st.sampled_from(["", "; psd=y", "; psd=n"])), max_size=5),
)
def test_both_decide_as_the_walk_and_differ_as_the_list(
    author: str, signers: list[str], at: list[tuple[str, str]]
) -> None:
    records = [f"_dmarc.{name} {REJECT}{psd}" for name, psd in at]
    walk, both = zone(*records), zone(*records)
    walked = judged(author, signed(*signers), walk)
    listed = judged(author, signed(*signers), zone(*records), discovery="psl")
    found = judged(author, signed(*signers), both, discovery="both-log-differences")
    assert found.result is walked.result
    assert found.aligned_by == walked.aligned_by
    assert ("result" in found.difference) == (listed.result is not walked.result)
    assert len(both.asked) <= len(walk.asked) + 2
