"""auth/decide.py: local policy, rule by rule."""

import pytest

from postvouch.auth import decide
from postvouch.auth.decide import Policy
from postvouch.auth.result import DkimFinding, DmarcFinding, Findings, Result, SpfFinding
from postvouch.config.verdict import ACTIONS
from postvouch.values import reply
from postvouch.values.address import (
    Address,
    Author,
    MalformedAuthor,
    MissingAuthor,
    OneAuthor,
    SeveralAuthors,
)
from postvouch.values.decision import Accept, Defer, Quarantine, Reject
from postvouch.values.message import Client
from postvouch.values.network import networks

STRANGER = Client(address="198.51.100.7", helo="mx.far.example")
STERN = Policy(
    domains=("our.example", "old.example"),
    on_dmarc_fail="reject",
    on_spoof="reject",
    on_temperror="defer",
    on_bad_author="reject",
)


def findings(
    author: Author | str = "far.example",
    dmarc: Result = Result.PASS,
    *,
    applied: str = "",
    aligned_by: str = "",
    spf: str = "",
    dkim: tuple[str, ...] = (),
) -> Findings:
    if isinstance(author, str):
        author = OneAuthor(Address("bob", author))
    return Findings(
        spf=SpfFinding(result=Result.PASS if spf else Result.NONE, domain=spf),
        helo=SpfFinding(result=Result.NONE, identity="helo"),
        dkim=tuple(DkimFinding(result=Result.PASS, d=d) for d in dkim),
        dmarc=DmarcFinding(result=dmarc, applied=applied, policy=applied, aligned_by=aligned_by),
        author=author,
    )


def ruled(found: Findings, policy: Policy = STERN, client: Client = STRANGER) -> tuple[str, object]:
    ruling = decide.decide(found, policy, client)
    return ruling.code, ruling.verdict


def test_a_good_letter_is_ok() -> None:
    assert ruled(findings()) == ("ok", Accept())
    assert ruled(findings("our.example")) == ("ok", Accept())


def test_by_default_everything_is_accepted_and_the_code_says_what_would_have_been() -> None:
    lax = Policy(domains=("our.example",))
    assert ruled(findings("our.example", Result.NONE), lax) == ("spoof", Accept())
    assert ruled(findings(dmarc=Result.FAIL, applied="reject"), lax) == ("dmarc-fail", Accept())
    assert ruled(findings(dmarc=Result.TEMPERROR), lax) == ("temperror", Accept())
    assert ruled(findings(MissingAuthor(), Result.PERMERROR), lax) == ("no-author", Accept())


@pytest.mark.parametrize(
    "applied, code", [("none", "ok"), ("quarantine", "dmarc-fail"), ("reject", "dmarc-fail")]
)
def test_a_dmarc_failure_counts_under_an_enforced_policy_only(applied: str, code: str) -> None:
    assert ruled(findings(dmarc=Result.FAIL, applied=applied))[0] == code


@pytest.mark.parametrize("domain", ["our.example", "old.example", "crm.our.example", "a.b.our.example"])
@pytest.mark.parametrize("result", [Result.FAIL, Result.NONE])
def test_our_own_domain_unproven_is_a_spoof_whatever_we_publish(domain: str, result: Result) -> None:
    assert ruled(findings(domain, result, applied="none")) == ("spoof", Reject(reply.SPOOF))


@pytest.mark.parametrize("domain", ["notour.example", "our.example.evil.example", "example", "far.example"])
def test_names_that_only_look_like_ours_are_strangers(domain: str) -> None:
    assert ruled(findings(domain, Result.NONE)) == ("ok", Accept())


def test_without_a_dmarc_record_of_ours_alignment_alone_proves() -> None:
    assert ruled(findings("our.example", Result.NONE, aligned_by="dkim")) == ("ok", Accept())
    assert ruled(findings("crm.our.example", Result.NONE, dkim=("our.example",))) == ("ok", Accept())
    assert ruled(findings("crm.our.example", Result.NONE, spf="bounce.our.example")) == ("ok", Accept())
    assert ruled(findings("our.example", Result.NONE, dkim=("old.example", "evil.example")))[0] == "spoof"
    assert ruled(findings("our.example", Result.NONE, spf="evil.our.example.evil.example"))[0] == "spoof"


def test_with_a_dmarc_record_of_ours_only_dmarc_proves() -> None:
    """adkim=s says that a subdomain does not speak for its parent; then it does not."""
    assert ruled(findings("our.example", Result.FAIL, dkim=("crm.our.example",)))[0] == "spoof"


def test_a_subdomain_that_is_listed_itself_is_an_organisation_of_its_own() -> None:
    policy = Policy(domains=("our.example", "guests.our.example"), on_spoof="reject")
    assert ruled(findings("our.example", Result.NONE, dkim=("guests.our.example",)), policy)[0] == "spoof"


def test_one_of_our_domains_anywhere_among_several_authors_is_a_spoof() -> None:
    several = findings(SeveralAuthors(("far.example", "our.example")), Result.PERMERROR)
    assert ruled(several) == ("spoof", Reject(reply.SPOOF))
    strangers = findings(SeveralAuthors(("a.example", "b.example")), Result.PERMERROR)
    assert ruled(strangers) == ("several-authors", Reject(reply.AUTHOR_UNCLEAR))


@pytest.mark.parametrize(
    "author, code",
    [
        (MissingAuthor(), "no-author"),
        (MalformedAuthor("x"), "bad-author"),
        (SeveralAuthors(()), "several-authors"),
    ],
)
def test_each_kind_of_unclear_author_has_its_code(author: Author, code: str) -> None:
    assert ruled(findings(author, Result.PERMERROR)) == (code, Reject(reply.AUTHOR_UNCLEAR))


def test_dns_trouble_defers_where_told() -> None:
    assert ruled(findings(dmarc=Result.TEMPERROR)) == ("temperror", Defer(reply.DNS_PROBLEM))


def test_dns_trouble_never_refuses_our_own_mail_for_good_nor_lets_it_in_unproven() -> None:
    policy = Policy(domains=("our.example",), on_spoof="reject")
    assert ruled(findings("our.example", Result.TEMPERROR), policy) == ("temperror", Defer(reply.DNS_PROBLEM))
    assert ruled(findings("our.example", Result.TEMPERROR, aligned_by="dkim"), policy)[1] == Accept()


def test_the_sternest_action_wins() -> None:
    found = findings("our.example", Result.FAIL, applied="reject")
    both = Policy(domains=("our.example",), on_spoof="quarantine", on_dmarc_fail="reject")
    assert ruled(found, both) == ("dmarc-fail", Reject(reply.DMARC_FAILED))
    spoof = Policy(domains=("our.example",), on_spoof="quarantine", on_dmarc_fail="accept")
    assert ruled(found, spoof) == ("spoof", Quarantine("spoof"))


@pytest.mark.parametrize("action", ACTIONS)
def test_every_action_of_the_configuration_is_known(action: str) -> None:
    policy = Policy(domains=("our.example",), on_spoof=action, on_dmarc_fail=action, on_bad_author=action)
    for found in (
        findings("our.example", Result.NONE),
        findings(dmarc=Result.FAIL, applied="reject"),
        findings(MissingAuthor(), Result.PERMERROR),
    ):
        verdict = decide.decide(found, policy, STRANGER).verdict
        assert type(verdict).__name__.lower() == action


@pytest.mark.parametrize(
    "address", ["198.51.100.7", "::ffff:198.51.100.7", "IPv6:2001:db8::7", "2001:DB8::7"]
)
def test_exempt_clients_are_let_through(address: str) -> None:
    policy = Policy(
        domains=("our.example",), on_spoof="reject", exempt=networks(["198.51.100.1/24", "2001:db8::/32"])
    )
    assert ruled(findings("our.example", Result.NONE), policy, Client(address=address)) == (
        "exempt",
        Accept(),
    )
    assert ruled(findings(), policy, Client(address=address)) == ("ok", Accept())


@pytest.mark.parametrize(
    "client", [Client(local=True), Client(address="203.0.113.9", login="bob"), Client(address="127.0.0.1")]
)
def test_our_own_mail_is_not_judged(client: Client) -> None:
    policy = Policy(domains=("our.example",), on_spoof="reject", internal=networks(["127.0.0.0/8"]))
    assert decide.is_internal(client, policy)
    assert ruled(findings("our.example", Result.NONE), policy, client) == ("internal", Accept())


@pytest.mark.parametrize("address", ["", "unknown", "127.0.0.1.evil.example", "\udcff"])
def test_a_client_without_an_address_is_a_stranger(address: str) -> None:
    policy = Policy(domains=("our.example",), on_spoof="reject", internal=networks(["0.0.0.0/0", "::/0"]))
    assert ruled(findings("our.example", Result.NONE), policy, Client(address=address))[0] == "spoof"


def test_networks_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="mx"):
        networks(["mx.our.example"])
