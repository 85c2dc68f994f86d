"""auth/exempt.py: each exemption, and the letter that would like to have it."""

from dataclasses import replace

import pytest

from postvouch.auth import decide
from postvouch.auth.policy import Policy
from postvouch.auth.result import (
    ArcFinding,
    DkimFinding,
    DmarcFinding,
    Findings,
    IprevFinding,
    Result,
    SpfFinding,
)
from postvouch.values.address import Address, Author, MissingAuthor, OneAuthor
from postvouch.values.decision import Accept, Reject
from postvouch.values.message import Client, Envelope
from postvouch.values.network import networks

STRANGER = Client(address="198.51.100.7", helo="mx.trusted.example", name="mx.trusted.example")
POLICY = Policy(
    domains=("our.example",),
    mode="enforce",
    enforced_reject="reject",
    other_temperror="defer",
    exempt_hosts=networks(["203.0.113.0/24", "2001:db8::/32"]),
    exempt_names=("trusted.example",),
    exempt_domains=("known.example",),
    exempt_lists=("dev.lists.far.example", "town.example"),
    exempt_sealers=("seal.example", "other.example"),
)
SPF_NONE = SpfFinding(result=Result.NONE)


def failed(
    domain: str = "our.example",
    *,
    result: Result = Result.FAIL,
    author: Author | None = None,
    spf: SpfFinding = SPF_NONE,
    dkim: tuple[DkimFinding, ...] = (),
    list_id: str = "",
    iprev: IprevFinding | None = None,
    arc: ArcFinding | None = None,
) -> Findings:
    """A letter that fails DMARC under p=reject and would be refused."""
    return Findings(
        spf=spf,
        helo=SpfFinding(result=Result.PASS, identity="helo", domain="mx.trusted.example"),
        dkim=dkim,
        dmarc=DmarcFinding(result=result, domain=domain, policy="reject", applied="reject"),
        author=author or OneAuthor(Address("bob", domain)),
        list_id=list_id,
        iprev=iprev,
        arc=arc,
    )


def passed(*domains: str) -> tuple[DkimFinding, ...]:
    return tuple(DkimFinding(result=Result.PASS, d=domain) for domain in domains)


def code(found: Findings, client: Client = STRANGER, sender: str = "", policy: Policy = POLICY) -> str:
    """The reason code; it is an exemption if and only if the letter is let in."""
    ruling = decide.decide(found, policy, client, Envelope(sender=sender))
    assert (ruling.override != "") == (ruling.verdict == Accept())
    assert ruling.override in ("", ruling.code)
    return ruling.code


def test_without_any_exemption_these_letters_are_refused() -> None:
    assert code(failed()) == "spoof"
    assert code(failed("far.example")) == "dmarc-fail"


# Hosts.
@pytest.mark.parametrize("address", ["203.0.113.7", "::ffff:203.0.113.7", "IPv6:2001:db8::7", "2001:DB8::7"])
def test_an_exempt_host_is_let_in_in_every_spelling_of_its_address(address: str) -> None:
    assert code(failed(), Client(address=address)) == "exempt-host"


def test_what_needs_no_exemption_does_not_bear_its_name() -> None:
    good = replace(failed("far.example"), dmarc=DmarcFinding(result=Result.PASS))
    ruling = decide.decide(good, POLICY, Client(address="203.0.113.7"), Envelope())
    assert (ruling.code, ruling.override) == ("ok", "")


# Names.
@pytest.mark.parametrize("name", ["mx.trusted.example", "trusted.example", "MX.Trusted.Example."])
def test_a_name_that_leads_back_to_its_address_is_exempt(name: str) -> None:
    assert code(failed(iprev=IprevFinding(result=Result.PASS, name=name))) == "exempt-name"


@pytest.mark.parametrize(
    "iprev",
    [
        None,
        IprevFinding(result=Result.FAIL, name="mx.trusted.example"),
        IprevFinding(result=Result.PERMERROR),
        IprevFinding(result=Result.PASS, name="mx.evil.example"),
        IprevFinding(result=Result.PASS, name="trusted.example.evil.example"),
        IprevFinding(result=Result.PASS, name="nottrusted.example"),
        IprevFinding(result=Result.PASS, name=""),
    ],
)
def test_helo_and_a_name_that_leads_elsewhere_exempt_nobody(iprev: IprevFinding | None) -> None:
    assert code(failed(iprev=iprev)) == "spoof"


# Author domains.
def test_an_exempt_author_is_let_in() -> None:
    assert code(failed("known.example")) == "exempt-domain"
    assert code(failed("news.known.example")) == "exempt-domain"


def test_an_exempt_author_is_never_one_of_ours() -> None:
    policy = replace(POLICY, exempt_domains=("example", "our.example"))
    assert code(failed("our.example"), policy=policy) == "spoof"
    assert code(failed("far.example"), policy=policy) == "exempt-domain"


def test_the_from_that_anybody_may_write_excuses_no_envelope_of_ours() -> None:
    assert code(failed("known.example"), sender="bob@our.example") == "spoof-sender"


def test_a_broken_from_is_no_exempt_author() -> None:
    found = replace(failed(author=MissingAuthor(), result=Result.PERMERROR), mentioned=("our.example",))
    assert code(found) == "spoof"


# Lists.
@pytest.mark.parametrize(
    "list_id, dkim, spf",
    [
        ("dev.lists.far.example", passed("lists.far.example"), ""),
        ("dev.lists.far.example", passed("dev.lists.far.example"), ""),
        ("dev.lists.far.example", passed("evil.example", "LISTS.far.example"), ""),
        ("dev.lists.far.example", (), "lists.far.example"),
        ("talk.town.example", passed("town.example"), ""),
        ("talk.old.town.example", passed("old.town.example"), ""),
        ("talk.old.town.example", passed("town.example"), ""),
    ],
)
def test_a_list_whose_host_passed_is_exempt(list_id: str, dkim: tuple[DkimFinding, ...], spf: str) -> None:
    envelope = SpfFinding(result=Result.PASS, domain=spf) if spf else SPF_NONE
    assert code(failed(list_id=list_id, dkim=dkim, spf=envelope)) == "exempt-list"


@pytest.mark.parametrize(
    "list_id, dkim, why",
    [
        ("dev.lists.far.example", (), "nothing passed"),
        ("dev.lists.far.example", passed("evil.example"), "the forger's own signature"),
        ("x.evil.example", passed("evil.example"), "his own list, proven"),
        ("dev.lists.far.example.evil.example", passed("evil.example"), "a name that goes on"),
        ("dev.lists.far.example", passed("ists.far.example"), "half a label"),
        ("dev.lists.far.example", passed("far.example"), "any user of the list's provider"),
        ("dev.lists.far.example", passed("example"), "a top-level domain"),
        ("talk.town.example", passed("example"), "a top-level domain"),
        ("lists.far.example", passed("lists.far.example"), "the list beside it"),
        ("town.example", passed("evil.town.example"), "one below"),
        ("", passed("lists.far.example"), "no list"),
        ("dev.lists.far.example", (DkimFinding(result=Result.FAIL, d="lists.far.example"),), "broken"),
    ],
)
def test_a_list_id_alone_is_anybodys_to_write(list_id: str, dkim: tuple[DkimFinding, ...], why: str) -> None:
    assert code(failed(list_id=list_id, dkim=dkim)) == "spoof", why


def test_helo_proves_no_list() -> None:
    found = failed(
        list_id="dev.lists.far.example",
        spf=SpfFinding(result=Result.PASS, identity="helo", domain="lists.far.example"),
    )
    assert code(found) == "spoof"


# Sealers.
def chain(*sealers: str, passes: dict[int, str], result: Result = Result.PASS) -> ArcFinding:
    return ArcFinding(result=result, sealers=sealers, passes=tuple(passes.items()))


@pytest.mark.parametrize(
    "arc",
    [
        chain("seal.example", passes={1: "our.example"}),
        chain("evil.example", "seal.example", passes={2: "our.example"}),
        chain("evil.example", "seal.example", "other.example", passes={3: "our.example"}),
        chain("seal.example", "SEAL.example", passes={1: "OUR.example"}),
    ],
)
def test_a_chain_of_believed_sealers_that_saw_a_pass_is_exempt(arc: ArcFinding) -> None:
    assert code(failed(arc=arc)) == "exempt-sealer"


@pytest.mark.parametrize(
    "arc, why",
    [
        (chain("seal.example", passes={1: "far.example"}), "a pass of another author"),
        (chain("seal.example", passes={}), "no pass"),
        (chain("seal.example", "evil.example", passes={1: "our.example"}), "a stranger last"),
        (
            chain("seal.example", "evil.example", "seal.example", passes={1: "our.example"}),
            "a stranger in the middle may have written what instance 1 says",
        ),
        (chain("evil.example", "seal.example", passes={1: "our.example"}), "the stranger's word"),
        (chain("mail.seal.example", passes={1: "our.example"}), "below a sealer"),
        (chain(passes={1: "our.example"}), "no seal"),
        (chain("seal.example", passes={2: "our.example"}), "no such instance"),
        (chain("seal.example", passes={1: "our.example"}, result=Result.FAIL), "a broken chain"),
    ],
)
def test_a_chain_that_a_stranger_may_have_written_exempts_nobody(arc: ArcFinding, why: str) -> None:
    assert code(failed(arc=arc)) == "spoof", why


def test_a_chain_excuses_one_author_only() -> None:
    arc = chain("seal.example", passes={1: "our.example"})
    broken = replace(
        failed(author=MissingAuthor(), result=Result.PERMERROR, arc=arc), mentioned=("our.example",)
    )
    assert code(broken) == "spoof"


# DNS trouble.
def test_what_dns_leaves_open_for_exempt_mail_is_let_in_or_waits_as_told() -> None:
    undecided = failed(result=Result.TEMPERROR)
    client = Client(address="203.0.113.7")
    assert code(undecided, client) == "exempt-host"
    policy = replace(POLICY, exempt_temperror="defer")
    assert code(undecided, client, policy=policy) == "temperror"
    assert code(failed(), client, policy=policy) == "exempt-host"


@pytest.mark.parametrize(
    "found",
    [
        failed(iprev=IprevFinding(result=Result.TEMPERROR)),
        failed(arc=ArcFinding(result=Result.TEMPERROR)),
        failed(
            list_id="dev.lists.far.example",
            dkim=(DkimFinding(result=Result.TEMPERROR, d="lists.far.example"),),
        ),
        failed(
            list_id="dev.lists.far.example",
            spf=SpfFinding(result=Result.TEMPERROR, domain="lists.far.example"),
        ),
    ],
)
def test_where_dns_leaves_the_exemption_open_nobody_is_refused_for_good_or_let_in(found: Findings) -> None:
    assert code(found) == "temperror"
    without = replace(POLICY, exempt_names=(), exempt_lists=(), exempt_sealers=())
    ruling = decide.decide(found, without, STRANGER, Envelope())
    assert (ruling.code, type(ruling.verdict)) == ("spoof", Reject)


def test_an_open_exemption_makes_nothing_sterner() -> None:
    found = failed(iprev=IprevFinding(result=Result.TEMPERROR))
    for action in ("accept", "mark", "quarantine"):
        ruling = decide.decide(found, replace(POLICY, own_fail=action), STRANGER, Envelope())
        assert (ruling.code, ruling.action) == ("spoof", action)


def test_in_mode_monitor_an_exemption_shows_as_one() -> None:
    ruling = decide.decide(
        failed(), replace(POLICY, mode="monitor"), Client(address="203.0.113.7"), Envelope()
    )
    assert (ruling.code, ruling.would, ruling.override) == ("exempt-host", "", "exempt-host")
