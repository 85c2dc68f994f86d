"""auth/decide.py: local policy, rule by rule. What is exempt has its own file."""

import itertools
from dataclasses import replace

import pytest

from postvouch.auth import decide
from postvouch.auth.policy import ACTIONS, Policy
from postvouch.auth.result import DkimFinding, DmarcFinding, Findings, Result, SpfFinding
from postvouch.values import reply
from postvouch.values.address import (
    Address,
    Author,
    MalformedAuthor,
    MissingAuthor,
    OneAuthor,
    SeveralAuthors,
)
from postvouch.values.decision import Accept, Defer, Quarantine, Reject, Verdict
from postvouch.values.message import Client, Envelope
from postvouch.values.network import Hosts, networks

STRANGER = Client(address="198.51.100.7", helo="mx.far.example")
OURS = ("our.example", "old.example")
STERN = Policy(
    domains=OURS,
    srs_domains=("our.example",),
    mode="enforce",
    enforced_reject="reject",
    enforced_quarantine="reject",
    enforced_temperror="defer",
    other_temperror="defer",
    bad_author="reject",
)


def findings(
    author: Author | str = "far.example",
    dmarc: Result = Result.PASS,
    *,
    applied: str = "",
    aligned_by: str = "",
    spf: str = "",
    spf_result: Result = Result.PASS,
    dkim: tuple[str, ...] = (),
    dkim_result: Result = Result.PASS,
) -> Findings:
    if isinstance(author, str):
        author = OneAuthor(Address("bob", author))
    return Findings(
        spf=SpfFinding(result=spf_result if spf else Result.NONE, domain=spf),
        helo=SpfFinding(result=Result.NONE, identity="helo"),
        dkim=tuple(DkimFinding(result=dkim_result, d=d) for d in dkim),
        dmarc=DmarcFinding(result=dmarc, applied=applied, policy=applied, aligned_by=aligned_by),
        author=author,
    )


def ruled(
    found: Findings, policy: Policy = STERN, client: Client = STRANGER, sender: str = ""
) -> tuple[str, Verdict]:
    ruling = decide.decide(found, policy, client, Envelope(sender=sender))
    return ruling.code, ruling.verdict


# The matrix. By hand: which setting governs a letter, and the code that its log line bears.
GOVERNED = """
    our.example   fail       none        own_fail             spoof
    our.example   fail       reject      own_fail             spoof
    our.example   none       -           own_fail             spoof
    our.example   temperror  reject      own_temperror        temperror
    our.example   temperror  -           own_temperror        temperror
    far.example   fail       reject      enforced_reject      dmarc-fail
    far.example   fail       quarantine  enforced_quarantine  dmarc-fail
    far.example   temperror  reject      enforced_temperror   temperror
    far.example   temperror  quarantine  enforced_temperror   temperror
    far.example   fail       none        other_fail           dmarc-fail-none
    far.example   none       -           other_none           dmarc-none
    far.example   temperror  none        other_temperror      temperror
    far.example   temperror  -           other_temperror      temperror
    -             permerror  -           bad_author           no-author
    a,b           permerror  -           bad_author           several-authors
    (             permerror  -           bad_author           bad-author
"""
# What an action comes to in mode enforce: the word, the verdict's class, whether a mark is left.
DONE = {
    "accept": ("accept", Accept, False),
    "mark": ("mark", Accept, True),
    "quarantine": ("quarantine", Quarantine, True),
    "defer": ("defer", Defer, False),
    "reject": ("reject", Reject, False),
}
REPLIES = {
    "spoof": "550 5.7.1 This domain's mail must be authenticated: use its submission server",
    "dmarc-fail": "550 5.7.1 Message refused by the DMARC policy of its From: domain",
    "dmarc-fail-none": "550 5.7.1 From: must match a passing DKIM signature or SPF result",
    "dmarc-none": "550 5.7.1 The From: domain must publish a DMARC record",
    "no-author": "550 5.7.1 From: must hold exactly one valid address",
    "several-authors": "550 5.7.1 From: must hold exactly one valid address",
    "bad-author": "550 5.7.1 From: must hold exactly one valid address",
}
# Whom the client is, and what of the table above then holds: the code instead, "" for no change.
CLIENTS = {
    "stranger": ("198.51.100.7", lambda setting: ""),
    "internal": ("192.0.2.9", lambda setting: "internal"),
    "exempt": ("203.0.113.1", lambda setting: "exempt-host"),
    "own host": ("203.0.113.2", lambda setting: "own-host" if setting == "own_fail" else ""),
}
AUTHORS: dict[str, Author] = {
    "our.example": OneAuthor(Address("bob", "our.example")),
    "far.example": OneAuthor(Address("mara", "far.example")),
    "-": MissingAuthor(),
    "a,b": SeveralAuthors(("a.example", "b.example")),
    "(": MalformedAuthor("unclosed comment"),
}
# Every setting at its sternest, so that one that governs what is not its business shows.
STERNEST = {
    **dict.fromkeys(("own_fail", "enforced_reject", "enforced_quarantine"), "reject"),
    **dict.fromkeys(("other_fail", "other_none", "bad_author"), "reject"),
    **dict.fromkeys(("own_temperror", "enforced_temperror", "other_temperror"), "defer"),
}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("mode", ["monitor", "enforce"])
@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("row", GOVERNED.strip().splitlines(), ids=lambda row: " ".join(row.split()))
def test_each_letter_has_its_setting_and_each_action_its_deed(
    row: str, action: str, mode: str, client: str
) -> None:
    author, dmarc, applied, setting, code = row.split()
    if setting.endswith("temperror") and action == "reject":
        action = "quarantine"
    address, instead = CLIENTS[client]
    policy = replace(
        Policy(
            domains=OURS,
            mode=mode,
            internal=Hosts(networks=networks(["192.0.2.0/24"])),
            exempt_hosts=networks(["203.0.113.1"]),
            own_hosts=networks(["203.0.113.2"]),
        ),
        **{**STERNEST, setting: action},
    )
    found = findings(AUTHORS[author], Result(dmarc), applied=applied.strip("-"))
    ruling = decide.decide(found, policy, Client(address=address), Envelope())
    own = "own_fail" if setting.startswith("own_") else setting
    if instead(own) and not (setting in ("other_fail", "other_none") and action == "accept"):
        code, action = instead(own), "accept"
    elif setting in ("other_fail", "other_none") and action == "accept":
        # Nothing to say about half of all mail.
        code = "internal" if client == "internal" else "ok"
    word, kind, marked = DONE[action] if mode == "enforce" else DONE["accept"]
    assert (ruling.code, ruling.action, type(ruling.verdict)) == (code, word, kind)
    assert ruling.mark == (code if marked else "")
    assert ruling.would == (action if mode == "monitor" and action != "accept" else "")
    if isinstance(ruling.verdict, Reject):
        assert str(ruling.verdict.reply) == REPLIES[code]
    elif isinstance(ruling.verdict, Defer):
        wanted = "451 4.7.24" if code == "temperror" else "451 4.7.1"
        assert str(ruling.verdict.reply).startswith(f"{wanted} ")
    elif isinstance(ruling.verdict, Quarantine):
        assert ruling.verdict.reason == code


@pytest.mark.parametrize("author", ["our.example", "far.example", "crm.our.example"])
def test_a_pass_is_ok_however_stern_we_are(author: str) -> None:
    assert ruled(findings(author)) == ("ok", Accept())


def test_the_defaults_refuse_nobody_but_would_refuse_a_spoof() -> None:
    policy = Policy(domains=OURS)
    seen = {}
    for author, dmarc, applied in itertools.product(
        AUTHORS, (Result.FAIL, Result.NONE), ("reject", "none", "")
    ):
        ruling = decide.decide(
            findings(AUTHORS[author], dmarc, applied=applied), policy, STRANGER, Envelope()
        )
        assert ruling.verdict == Accept()
        seen[author, dmarc, applied] = ruling.would
    assert {author for (author, _, _), would in seen.items() if would == "reject"} == {"our.example"}
    assert seen["far.example", Result.FAIL, "reject"] == "mark"
    assert seen["far.example", Result.FAIL, "none"] == ""


@pytest.mark.parametrize("domain", ["our.example", "old.example", "crm.our.example", "a.b.our.example"])
@pytest.mark.parametrize("result", [Result.FAIL, Result.NONE])
def test_our_own_domain_unproven_is_a_spoof_whatever_we_publish(domain: str, result: Result) -> None:
    assert ruled(findings(domain, result, applied="none")) == ("spoof", Reject(reply.SPOOF))


@pytest.mark.parametrize("domain", ["notour.example", "our.example.evil.example", "example", "far.example"])
def test_names_that_only_look_like_ours_are_strangers(domain: str) -> None:
    assert ruled(findings(domain, Result.NONE)) == ("ok", Accept())
    assert ruled(findings(), sender=f"bob@{domain}") == ("ok", Accept())


def test_the_refusal_of_a_spoof_ends_with_the_page_of_the_admin_and_no_other_does() -> None:
    policy = replace(STERN, own_url="https://our.example/mail")
    _, verdict = ruled(findings("our.example", Result.FAIL), policy)
    assert isinstance(verdict, Reject)
    assert str(verdict.reply).endswith("use its submission server: https://our.example/mail")
    _, verdict = ruled(findings(dmarc=Result.FAIL, applied="reject"), policy)
    assert verdict == Reject(reply.DMARC_FAILED)


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
    policy = replace(STERN, domains=("our.example", "guests.our.example"))
    assert ruled(findings("our.example", Result.NONE, dkim=("guests.our.example",)), policy)[0] == "spoof"


def test_one_of_our_domains_anywhere_among_several_authors_is_a_spoof() -> None:
    several = findings(SeveralAuthors(("far.example", "our.example")), Result.PERMERROR)
    assert ruled(several) == ("spoof", Reject(reply.SPOOF))
    strangers = findings(SeveralAuthors(("a.example", "b.example")), Result.PERMERROR)
    assert ruled(strangers) == ("several-authors", Reject(reply.AUTHOR_UNCLEAR))


def test_our_name_in_a_broken_from_is_a_spoof_even_with_a_signature_of_ours() -> None:
    broken = replace(
        findings(MalformedAuthor("x"), Result.PERMERROR, dkim=("our.example",)), mentioned=("our.example",)
    )
    assert ruled(broken) == ("spoof", Reject(reply.SPOOF))


def test_dns_trouble_never_refuses_our_own_mail_for_good_nor_lets_it_in_unproven() -> None:
    later = ("temperror", Defer(reply.DNS_PROBLEM))
    assert ruled(findings("our.example", Result.TEMPERROR)) == later
    assert ruled(findings("our.example", Result.TEMPERROR, aligned_by="dkim"))[1] == Accept()
    # We publish no record, and whether our own signature is good could not be had.
    open_dkim = findings("our.example", Result.NONE, dkim=("crm.our.example",), dkim_result=Result.TEMPERROR)
    assert ruled(open_dkim) == later
    open_spf = findings("our.example", Result.NONE, spf="our.example", spf_result=Result.TEMPERROR)
    assert ruled(open_spf, sender="bob@our.example") == later
    # DNS trouble of a stranger leaves nothing of ours open.
    evil = findings("our.example", Result.NONE, dkim=("evil.example",), dkim_result=Result.TEMPERROR)
    assert ruled(evil)[0] == "spoof"


def test_the_sternest_action_wins() -> None:
    found = findings(dmarc=Result.FAIL, applied="reject")
    policy = replace(STERN, own_fail="quarantine", enforced_reject="mark")
    assert ruled(found, policy, sender="bob@our.example") == ("spoof-sender", Quarantine("spoof-sender"))
    policy = replace(STERN, own_fail="quarantine", enforced_reject="reject")
    assert ruled(found, policy, sender="bob@our.example")[0] == "dmarc-fail"


# The envelope sender.
@pytest.mark.parametrize(
    "sender",
    [
        "bob@our.example", "BOB@OUR.Example", "bob@crm.old.example", "bob@our.example.", "@our.example",
        '"a b"@our.example', "srs0bob@our.example", "SRS0=x=y=far.example=mara@old.example",
    ],
)  # fmt: skip
def test_our_domain_in_the_envelope_alone_is_a_spoof(sender: str) -> None:
    assert ruled(findings(), sender=sender) == ("spoof-sender", Reject(reply.SPOOF))


@pytest.mark.parametrize(
    "sender",
    [
        "", "mara@far.example", "nonsense", "bob@[192.0.2.1]", "bob@our.example@far.example", "\udcff@\udcff",
        "SRS0=HHHH=TT=far.example=mara@our.example", "srs1+HHHH=first.example==x=y@OUR.example",
        '"SRS0=HHHH=TT=far.example=a b"@our.example',
    ],
)  # fmt: skip
def test_no_spoof_is_a_null_sender_a_stranger_or_what_comes_back_that_we_forwarded(sender: str) -> None:
    assert ruled(findings(), sender=sender) == ("ok", Accept())


def test_an_srs_sender_of_ours_excuses_no_from_of_ours() -> None:
    found = findings("our.example", Result.FAIL)
    assert ruled(found, sender="SRS0=HHHH=TT=far.example=mara@our.example")[0] == "spoof"


@pytest.mark.parametrize(
    "found",
    [
        findings(spf="our.example"),
        findings(dkim=("our.example",)),
        findings(dkim=("far.example", "crm.our.example")),
        findings("our.example"),
        # Whoever holds our key may bounce to another domain of ours.
        findings("old.example", aligned_by="dkim", dkim=("old.example",)),
    ],
)
def test_spf_a_signature_of_ours_or_a_proven_from_prove_the_envelope(found: Findings) -> None:
    assert ruled(found, sender="bob@our.example") == ("ok", Accept())


@pytest.mark.parametrize(
    "found",
    [
        findings(spf="evil.example"),
        findings(dkim=("old.example",)),
        findings(spf="our.example", spf_result=Result.SOFTFAIL),
        findings(dkim=("our.example",), dkim_result=Result.FAIL),
    ],
)
def test_a_strangers_pass_does_not_prove_the_envelope(found: Findings) -> None:
    assert ruled(found, sender="bob@our.example") == ("spoof-sender", Reject(reply.SPOOF))


def test_helo_proves_no_envelope() -> None:
    found = replace(findings(), helo=SpfFinding(result=Result.PASS, identity="helo", domain="our.example"))
    assert ruled(found, sender="bob@our.example")[0] == "spoof-sender"


def test_dns_trouble_leaves_the_envelope_open() -> None:
    found = findings(spf="our.example", spf_result=Result.TEMPERROR)
    assert ruled(found, sender="bob@our.example") == ("temperror", Defer(reply.DNS_PROBLEM))


def test_an_author_of_ours_that_is_open_leaves_the_envelope_open_too() -> None:
    found = findings("old.example", Result.NONE, dkim=("old.example",), dkim_result=Result.TEMPERROR)
    assert ruled(found, sender="bob@our.example") == ("temperror", Defer(reply.DNS_PROBLEM))


# Whose the client is.
@pytest.mark.parametrize(
    "client", [Client(local=True), Client(address="203.0.113.9", login="bob"), Client(address="127.0.0.1")]
)
def test_our_own_mail_is_not_judged(client: Client) -> None:
    policy = replace(STERN, internal=Hosts(networks=networks(["127.0.0.0/8"])))
    assert decide.is_internal(client, policy)
    assert ruled(findings("our.example", Result.NONE), policy, client) == ("internal", Accept())


@pytest.mark.parametrize("address", ["", "unknown", "127.0.0.1.evil.example", "\udcff"])
def test_a_client_without_an_address_is_a_stranger(address: str) -> None:
    everybody = networks(["0.0.0.0/0", "::/0"])
    policy = replace(STERN, internal=Hosts(networks=everybody), own_hosts=everybody, exempt_hosts=everybody)
    assert ruled(findings("our.example", Result.NONE), policy, Client(address=address))[0] == "spoof"


def test_a_host_that_may_write_as_us_may_do_no_more_and_is_vouched_for_by_nobody() -> None:
    policy = replace(STERN, own_hosts=networks(["203.0.113.2"]))
    printer = Client(address="203.0.113.2")
    spoof = findings("our.example", Result.FAIL, applied="reject")
    assert ruled(spoof, policy, printer, sender="scan@our.example") == ("own-host", Accept())
    assert decide.vouched(spoof, policy, printer) == ""
    failed = findings(dmarc=Result.FAIL, applied="reject")
    assert ruled(failed, policy, printer, sender="scan@our.example")[0] == "dmarc-fail"


def test_networks_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="mx"):
        networks(["mx.our.example"])
