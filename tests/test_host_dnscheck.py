"""What doctor finds in DNS: a zone that is right, and one defect at a time."""

from dataclasses import replace
from ipaddress import ip_network

import dns.flags
import pytest
from dnsserver import Server, records
from fakedns import zone
from hypothesis import given
from hypothesis import strategies as st

from postvouch.auth.diagnosis import Severity, Wanted
from postvouch.config.schema import Config, General
from postvouch.host import dnsplan, dnswanted
from postvouch.host.dns import DnsResolver
from postvouch.host.dnscheck import dmarc_policies, examine
from postvouch.host.dnsplan import NextHop, Plan, next_hop
from postvouch.sign import record
from postvouch.sign.keys import SigningKey, generate

KEY = SigningKey(domain="our.example", selector="k", private=generate("ed25519")[0])
OTHER = generate("ed25519")[0]
KEY_TEXT = "".join(record.strings(KEY.private))
DIGEST = "ab" * 32
PTR4 = "10.2.0.192.in-addr.arpa"

PLAN = Plan(
    role="srs",
    host="srs.our.example",
    addresses=("192.0.2.10", "2001:db8::10"),
    domains=("our.example",),
    srs_domains=("our.example",),
    mx_networks=(ip_network("192.0.2.25/32"),),
    keys=(KEY,),
)
GOOD = (
    "srs.our.example A 192.0.2.10",
    "srs.our.example AAAA 2001:db8::10",
    "srs.our.example TXT v=spf1 a -all",
    f"{PTR4} PTR srs.our.example",
    "0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa PTR srs.our.example",
    "our.example TXT v=spf1 a:srs.our.example ~all",
    "our.example TXT some-site-verification=1",
    "our.example MX 10 mx.our.example",
    "mx.our.example A 192.0.2.25",
    "25.2.0.192.in-addr.arpa PTR mx.our.example",
    f"_25._tcp.mx.our.example TLSA 3 1 1 {DIGEST}",
    f"k._domainkey.our.example TXT {KEY_TEXT}",
    "_dmarc.our.example TXT v=DMARC1; p=quarantine; np=reject; rua=mailto:d@our.example",
    "_mta-sts.our.example TXT v=STSv1; id=20260101",
    "mta-sts.our.example A 192.0.2.80",
    "_smtp._tls.our.example TXT v=TLSRPTv1; rua=mailto:t@our.example",
)


def changed(*changes):
    """The good zone, where a change "NAME TYPE data" replaces that set, and "NAME TYPE" takes it away."""
    gone = {tuple(each.split(" ", 2)[:2]) for each in changes}
    kept = [each for each in GOOD if tuple(each.split(" ", 2)[:2]) not in gone]
    return zone(*kept, *(each for each in changes if each.count(" ") > 1 or "TEMPERROR" in each), secure=True)


def seen(resolver, plan=PLAN):
    """All findings that are not ok."""
    return [each for each in examine(plan, resolver) if each.severity is not Severity.OK]


def lines(finding):
    return [each.line() for each in finding.publish]


def test_a_zone_that_is_right_has_nothing_but_ok():
    found = examine(PLAN, changed())
    assert [each for each in found if each.severity is not Severity.OK] == []
    areas = {each.area for each in found}
    assert areas == {"helo", "ptr", "spf", "dkim", "dmarc", "mx", "dane", "mta-sts", "tlsrpt"}


def hosts(names):
    return " ".join(f"a:{name}.our.example" for name in names)


DEFECTS = [
    # HELO and the way back
    (["srs.our.example A", "srs.our.example AAAA 2001:db8::10",
      "our.example TXT v=spf1 ip4:192.0.2.10 ip6:2001:db8::10 -all",
      "srs.our.example TXT v=spf1 ip4:192.0.2.10 ip6:2001:db8::10 -all"], "helo", "warning",
     "it sends from 192.0.2.10, which the name does not have", "srs.our.example. IN A 192.0.2.10"),
    ([f"{PTR4} PTR"], "ptr", "error", "192.0.2.10 has no name", f"{PTR4}. IN PTR srs.our.example."),
    ([f"{PTR4} PTR far.example", "far.example A 198.51.100.1"], "ptr", "error",
     "no name of 192.0.2.10 leads back to it", f"{PTR4}. IN PTR srs.our.example."),
    ([f"{PTR4} PTR out.our.example", "out.our.example A 192.0.2.10"], "ptr", "note",
     "it leads to out.our.example and back, and HELO says srs.our.example",
     f"{PTR4}. IN PTR srs.our.example."),
    ([f"{PTR4} TEMPERROR"], "ptr", "warning", "no answer from DNS", ""),
    (["srs.our.example TXT"], "spf", "note", "so bounces pass no check",
     'srs.our.example. IN TXT "v=spf1 a -all"'),
    (["srs.our.example TXT v=spf1 ip4:192.0.2.99 ip6:2001:db8::10 -all"], "spf", "error",
     "192.0.2.10 says this name in HELO and is not listed: fail", 'srs.our.example. IN TXT "v=spf1 a -all"'),
    # SPF
    (["our.example TXT"], "spf", "error", "no SPF record",
     'our.example. IN TXT "v=spf1 a:srs.our.example ~all"'),
    (["our.example TXT v=spf1 ip6:2001:db8::/32 mx -all"], "spf", "error",
     "192.0.2.10 (srs.our.example) sends for it and is not listed: fail",
     'our.example. IN TXT "v=spf1 ip6:2001:db8::/32 mx a:srs.our.example -all"'),
    (["our.example TXT v=spf1 -all", "our.example TXT v=spf1 mx -all"], "spf", "error", "2 SPF records", ""),
    ([f"our.example TXT v=spf1 {hosts('abcdefghijk')} -all",
      *(f"{n}.our.example A 192.0.2.10" for n in "abcdefghijk")],
     "spf", "error", "more than 10 DNS lookups", ""),
    ([f"our.example TXT v=spf1 ip4:192.0.2.10 ip6:2001:db8::10 {hosts('abcdefgh')} -all",
      *(f"{n}.our.example A 192.0.2.99" for n in "abcdefgh")],
     "spf", "note", "8 of 10 lookups used", ""),
    ([f"our.example TXT v=spf1 ip4:192.0.2.10 {hosts('abc')} -all",
      *(f"{n}.our.example A 192.0.2.99" for n in "abc")],
     "spf", "error", "2001:db8::10 (srs.our.example) sends for it: Void lookup limit", ""),
    (["our.example TXT v=spf1 ip4:192.0.2.300 -all"], "spf", "error", "the record is broken", ""),
    (["our.example TXT v=spf1 a:srs.our.example +all"], "spf", "error", "lets every address send", ""),
    (["our.example TXT v=spf1 a:srs.our.example ?all"], "spf", "warning", "says nothing of strangers", ""),
    (["our.example TXT v=spf1 a:srs.our.example ptr -all"], "spf", "note", "ptr is slow", ""),
    (["our.example TXT v=spf1 include:far.example a:srs.our.example -all", "far.example TEMPERROR"],
     "spf", "warning", "no answer from DNS", ""),
    # DKIM
    (["k._domainkey.our.example TXT"], "dkim", "error", "letters are signed that fail: record not found",
     f'k._domainkey.our.example. IN TXT "{KEY_TEXT}"'),
    ([f"k._domainkey.our.example TXT v=DKIM1; k=ed25519; p={OTHER.public_text()}"], "dkim", "error",
     "keys do not match", f'k._domainkey.our.example. IN TXT "{KEY_TEXT}"'),
    (["k._domainkey.our.example TEMPERROR"], "dkim", "warning", "no answer from DNS", ""),
    # DMARC
    (["_dmarc.our.example TXT"], "dmarc", "warning", "no DMARC record",
     '_dmarc.our.example. IN TXT "v=DMARC1; p=none; np=reject; rua=mailto:postmaster@our.example"'),
    (["_dmarc.our.example TXT v=DMARC1; p=quarantine; np=reject; rua=mailto:d@agency.example"],
     "dmarc", "warning", "agency.example does not say that it takes our reports",
     'our.example._report._dmarc.agency.example. IN TXT "v=DMARC1;"'),
    (["_dmarc.our.example TEMPERROR"], "dmarc", "warning", "no answer from DNS", ""),
    # MX and DANE
    (["our.example MX"], "mx", "error", "no MX: bounces to SRS addresses are lost", ""),
    (["our.example MX 0 ."], "mx", "error", "it takes no mail", ""),
    (["our.example MX 10 mx.our.example", "our.example MX 20 old.our.example", "old.our.example TXT x"],
     "mx", "error", "the MX of our.example leads to it, and it has no address", ""),
    (["our.example MX 10 mail.our.example", "mail.our.example CNAME mx.our.example",
      f"_25._tcp.mail.our.example TLSA 3 1 1 {DIGEST}"],
     "mx", "warning", "leads to an alias", ""),
    (["our.example MX 10 mx.our.example", "our.example MX 20 mx.far.example", "mx.far.example A 198.51.100.9",
      f"_25._tcp.mx.far.example TLSA 3 1 1 {DIGEST}"],
     "mx", "warning", "mx.far.example (198.51.100.9) is not of sign.vouching_hosts, and bounces", ""),
    (["our.example TEMPERROR MX"], "mx", "warning", "no answer from DNS", ""),
    (["_25._tcp.mx.our.example TLSA"], "dane", "note", "no TLSA record, though DNSSEC would prove it", ""),
    (["_25._tcp.mx.our.example TEMPERROR"], "dane", "error",
     "senders that check DANE hold the mail back", ""),
    (["_25._tcp.mx.our.example TLSA 3 1 1 abcd"], "dane", "error", "the digest has not the length", ""),
    ([f"_25._tcp.mx.our.example TLSA 3 0 1 {DIGEST}"], "dane", "note", "each renewal needs a new record", ""),
    # MTA-STS and its reports
    (["_mta-sts.our.example TXT"], "mta-sts", "note", "no MTA-STS", ""),
    (["_mta-sts.our.example TXT v=STSv1; id=2026-01-01"], "mta-sts", "error", "32 letters and digits", ""),
    (["mta-sts.our.example A"], "mta-sts", "error", "the policy cannot be had", ""),
    (["_smtp._tls.our.example TXT"], "tlsrpt", "note", "nobody tells",
     '_smtp._tls.our.example. IN TXT "v=TLSRPTv1; rua=mailto:postmaster@our.example"'),
    (["_smtp._tls.our.example TXT v=TLSRPTv1; rua=postmaster@our.example"], "tlsrpt", "warning",
     "postmaster@our.example is neither mailto: nor https:", ""),
    (["_smtp._tls.our.example TEMPERROR"], "tlsrpt", "warning", "no answer from DNS", ""),
]  # fmt: skip


@pytest.mark.parametrize("changes, area, severity, text, publish", DEFECTS, ids=[d[3][:40] for d in DEFECTS])
def test_each_defect_is_one_finding_with_its_remedy(changes, area, severity, text, publish):
    found = seen(changed(*changes))
    assert [(each.area, each.severity) for each in found] == [(area, severity)], found
    assert text in found[0].text
    assert found[0].unanswered == ("no answer from DNS" in text)
    if publish:
        assert publish in lines(found[0])


@pytest.mark.parametrize("usage, text", [("1 1 1", "usage 1 is not for SMTP"), ("3 2 1", "no such selector")])
def test_tlsa_records_that_smtp_cannot_use_are_named(usage, text):
    found = seen(changed(f"_25._tcp.mx.our.example TLSA {usage} {DIGEST}"))
    assert [each.severity for each in found] == ["warning"]
    assert text in found[0].text


def test_without_dnssec_nobody_asks_for_tlsa():
    resolver = zone(*GOOD)
    assert [each for each in examine(PLAN, resolver) if each.area == "dane"] == []
    assert not [name for name, _ in resolver.asked if name.startswith("_25.")]


def test_a_vouching_host_that_no_mx_leads_to_is_missed():
    plan = replace(PLAN, mx_networks=(*PLAN.mx_networks, ip_network("192.0.2.26/32")))
    assert [each.text for each in seen(changed(), plan)] == [
        "192.0.2.26 of sign.vouching_hosts is not in its MX"
    ]


def test_an_mx_host_that_is_missing_in_its_mx_is_an_error_with_the_record():
    plan = replace(PLAN, role="mx", takes_mail=True, host="mx.our.example", addresses=(), mx_networks=(),
                   sends=False, relay=NextHop(name="srs.our.example", by_mx=False), keys=(),
                   peers=("mx2.our.example",))  # fmt: skip
    resolver = changed("mx2.our.example A 192.0.2.26")
    found = seen(resolver, plan)
    assert [each.text for each in found] == ["mx2.our.example takes its mail and is not in its MX"]
    assert lines(found[0]) == ["our.example. IN MX 10 mx2.our.example."]
    both = ["our.example MX 10 mx.our.example", "our.example MX 10 other.our.example",
            "mx2.our.example A 192.0.2.26", "other.our.example A 192.0.2.26",
            f"_25._tcp.other.our.example TLSA 3 1 1 {DIGEST}"]  # fmt: skip
    assert seen(changed(*both), plan) == [], "the same host by another name"


def test_a_second_host_of_the_role_is_checked_like_the_first():
    plan = replace(PLAN, peers=("srs2.our.example",))
    found = seen(changed("srs2.our.example A 192.0.2.11"), plan)
    assert [(each.area, each.severity) for each in found] == [
        ("ptr", "error"), ("spf", "note"), ("spf", "error")
    ]  # fmt: skip
    assert lines(found[2]) == ['our.example. IN TXT "v=spf1 a:srs.our.example a:srs2.our.example ~all"']


def test_several_hosts_that_are_missing_in_spf_are_mended_by_one_record():
    plan = replace(PLAN, peers=("srs2.our.example",))
    resolver = changed("srs2.our.example A 192.0.2.11", "our.example TXT v=spf1 mx -all",
                       "11.2.0.192.in-addr.arpa PTR srs2.our.example")  # fmt: skip
    found = [each for each in seen(resolver, plan) if each.severity is Severity.ERROR]
    assert len(found) == 3
    assert {line for each in found for line in lines(each)} == {
        'our.example. IN TXT "v=spf1 mx a:srs.our.example a:srs2.our.example -all"'
    }


def test_the_hosts_behind_the_next_hop_of_an_mx_must_be_in_spf():
    plan = Plan(role="mx", host="mx.our.example", sends=False, takes_mail=True, domains=("our.example",),
                relay=NextHop(name="out.our.example", by_mx=True))  # fmt: skip
    resolver = changed("out.our.example MX 10 srs.our.example")
    assert seen(resolver, plan) == []
    resolver = changed("out.our.example MX 10 srs9.our.example", "srs9.our.example TXT x")
    assert "srs9.our.example has no address" in seen(resolver, plan)[-1].text
    resolver = changed("out.our.example A 192.0.2.10", f"{PTR4} PTR out.our.example")
    assert "no MX, so Postfix takes the name itself" in " ".join(e.text for e in seen(resolver, plan))


def test_a_host_that_sends_nothing_to_the_world_needs_a_name_as_well_but_less():
    plan = replace(PLAN, role="submission", host="submit.our.example", addresses=(), sends=False,
                   relay=NextHop(name="srs.our.example", by_mx=False), mx_networks=())  # fmt: skip
    found = seen(changed("submit.our.example A 192.0.2.5"), plan)
    assert [(each.area, each.name, each.severity) for each in found] == [("ptr", "192.0.2.5", "warning")]


def test_over_the_wire_tlsa_and_the_null_mx_are_read_as_they_are():
    with Server() as server:
        secure = {"flags": dns.flags.AD}
        server.answers["our.example"] = records("our.example MX 10 mx.our.example.", **secure)
        server.answers["mx.our.example"] = records("mx.our.example A 192.0.2.25", **secure)
        name = "_25._tcp.mx.our.example"
        server.answers[name] = records(f"{name} TLSA 3 1 2 {DIGEST * 2} | 1 1 1 {DIGEST}", **secure)
        server.answers["null.example"] = records("null.example MX 0 .", **secure)
        plan = replace(PLAN, srs_domains=("null.example",))
        found = examine(plan, DnsResolver([server.address], timeout_s=5))
    dane = [(each.name, each.severity, each.text) for each in found if each.area == "dane"]
    assert dane == [(name, "warning", "1 1 1: usage 1 is not for SMTP (RFC 7672 §3.1.3): publish 3 1 1")]
    assert 'its MX says that it takes no mail ("0 .", RFC 7505)' in [each.text for each in found]


def test_a_tlsa_record_of_another_certificate_holds_mail_back():
    ours = (f"3 1 1 {'cd' * 32}", f"3 0 1 {DIGEST}")
    plan = replace(PLAN, role="mx", takes_mail=True, host="mx.our.example", addresses=(), mx_networks=(),
                   sends=False, relay=NextHop(name="srs.our.example", by_mx=False), keys=(),
                   tlsa=ours[:1])  # fmt: skip
    found = seen(changed(), plan)
    assert [(each.area, each.severity) for each in found] == [("dane", "error")]
    assert lines(found[0]) == [f"_25._tcp.mx.our.example. IN TLSA 3 1 1 {'cd' * 32}"]
    name = "_25._tcp.mx.our.example TLSA"
    assert seen(changed(f"{name} {ours[0]}"), plan) == []
    assert seen(changed(f"{name} 3 1 1 {DIGEST}", f"{name} {ours[0]}"), plan) == [], (
        "the next one, before it is used"
    )
    assert seen(changed(f"{name} 2 1 1 {DIGEST}"), plan) == [], "an authority may have signed ours"
    assert lines(seen(changed(name), plan)[0]) == [f"_25._tcp.mx.our.example. IN TLSA 3 1 1 {'cd' * 32}"]
    printed = [each.line() for each in dnswanted.records(plan, identity="1")]
    assert f"_25._tcp.mx.our.example. IN TLSA 3 1 1 {'cd' * 32}" in printed


def test_of_two_srs_hosts_the_one_that_mx_cannot_find_is_named():
    plan = replace(PLAN, peers=("srs2.our.example",), entry="srs-in.our.example")
    second = ["srs2.our.example A 192.0.2.11", "srs2.our.example TXT v=spf1 a -all",
              "11.2.0.192.in-addr.arpa PTR srs2.our.example",
              "our.example TXT v=spf1 a:srs.our.example a:srs2.our.example ~all"]  # fmt: skip
    found = seen(changed(*second, "srs-in.our.example MX 10 srs.our.example"), plan)
    assert [each.text for each in found] == ["srs2.our.example is not in its MX, so no mail gets there"]
    assert lines(found[0]) == ["srs-in.our.example. IN MX 10 srs2.our.example."]
    both = ["srs-in.our.example MX 10 srs.our.example", "srs-in.our.example MX 10 srs2.our.example"]
    assert seen(changed(*second, *both), plan) == []
    assert [each.unanswered for each in seen(changed(*second, "srs-in.our.example TEMPERROR"), plan)] == [
        True
    ]


def test_a_mailbox_for_reports_elsewhere_has_to_agree():
    names = {each.name: each for each in dnswanted.records(PLAN, identity="1", reports="d@agency.example")}
    assert names["our.example._report._dmarc.agency.example"].is_hint
    assert not any(
        "_report" in each.name for each in dnswanted.records(PLAN, identity="1", reports="d@our.example")
    )


def test_a_domain_without_a_key_is_told_where_the_role_signs():
    found = seen(changed(), replace(PLAN, keys=()))
    assert [(each.area, each.text) for each in found] == [
        ("dkim", "no [[sign.key]] for it: its mail leaves unsigned")
    ]
    assert seen(changed(), replace(PLAN, keys=(), role="mx")) == []


def test_a_key_that_cannot_be_read_is_told():
    found = seen(
        changed(), replace(PLAN, keys=(), unreadable_keys=(("our.example", "/k.pem: no such file"),))
    )
    assert [each.text for each in found] == ["a key cannot be used: /k.pem: no such file"]


def test_an_srs_domain_of_its_own_needs_mx_spf_and_dmarc():
    plan = replace(PLAN, srs_domains=("srs.example",))
    found = [each for each in seen(changed(), plan) if each.name.endswith("srs.example")]
    assert [(each.area, each.severity) for each in found] == [
        ("spf", "error"), ("dmarc", "warning"), ("mx", "error"), ("mta-sts", "note"), ("tlsrpt", "note")
    ]  # fmt: skip


def test_the_record_above_speaks_for_a_subdomain():
    plan = replace(PLAN, srs_domains=("b.our.example",))
    found = [each for each in examine(plan, changed()) if each.name == "_dmarc.b.our.example"]
    assert [(each.severity, each.text) for each in found] == [
        ("ok", "_dmarc.our.example speaks for it: p=quarantine")
    ]


def test_a_domain_that_only_sends_may_say_that_it_takes_no_mail():
    plan = replace(PLAN, role="submission", srs_domains=(), mx_networks=())
    assert [(e.area, e.severity) for e in seen(changed("our.example MX 0 ."), plan)] == [("mx", "note")]
    assert [(e.area, e.severity) for e in seen(changed("our.example MX"), plan)] == [("mx", "warning")]


def test_what_else_stands_beside_the_dmarc_record_names_no_receivers():
    other = "_dmarc.our.example TXT v=other; rua=mailto:x@agency.example"
    kept = next(each for each in GOOD if each.startswith("_dmarc"))
    assert seen(changed(other, kept)) == []


@pytest.mark.parametrize("main, bound", [
    ({"smtp_bind_address": "192.0.2.7", "smtp_bind_address6": "[2001:db8::7]"}, ("192.0.2.7", "2001:db8::7")),
    ({"smtp_bind_address": "$other", "smtp_bind_address6": "::1"}, ()),
    ({}, ()),
])  # fmt: skip
def test_the_addresses_that_postfix_is_bound_to_are_those_that_it_sends_from(main, bound):
    config = Config(general=General(role="srs", hostname="srs.our.example"))
    assert dnsplan.plan_of(config, main).addresses == bound


def test_the_name_in_helo_is_the_one_that_postfix_says():
    config = Config(general=General(role="srs", hostname="srs.our.example"))
    assert dnsplan.plan_of(config, {"myhostname": "out.our.example"}).host == "out.our.example"
    said = {"myhostname": "out.our.example", "smtp_helo_name": "helo.our.example"}
    assert dnsplan.plan_of(config, said).host == "helo.our.example"
    assert dnsplan.plan_of(config, {"smtp_helo_name": "$myhostname"}).host == "srs.our.example"


def test_a_name_that_is_not_full_is_an_error():
    found = seen(changed(), replace(PLAN, host="srs"))
    assert ("helo", "error") in [(each.area, each.severity) for each in found]


def test_policies_are_those_that_receivers_apply():
    resolver = changed("_dmarc.lax.example TXT v=DMARC1; p=none", "x.example TEMPERROR",
                       "_dmarc.x.example TEMPERROR")  # fmt: skip
    found = dmarc_policies(("our.example", "a.our.example", "lax.example", "x.example"), resolver, None)
    assert found == {"our.example": "quarantine", "a.our.example": "quarantine"}


def test_what_dns_records_prints_makes_doctor_content():
    plan = replace(PLAN, mx_hosts=("mx.our.example",), mx_networks=())
    wanted = dnswanted.records(plan, identity="20260101", policy="quarantine")
    texts = [f"{each.name} {each.kind} {each.value}" for each in wanted]
    resolver = zone(*texts, "mx.our.example A 192.0.2.25", "mta-sts.our.example A 192.0.2.80")
    assert [each for each in examine(plan, resolver) if each.severity is not Severity.OK] == []


def test_an_answer_that_never_comes_is_no_error_of_the_zone():
    found = seen(zone(*(f"{name} TEMPERROR" for name in {each.split(" ")[0] for each in GOOD})))
    assert found
    assert all(each.unanswered for each in found), found


@pytest.mark.parametrize("transport, hop", [
    ("smtp:[srs.our.example]", NextHop(name="srs.our.example", by_mx=False)),
    ("relay:our.example:2525", NextHop(name="our.example", by_mx=True)),
    ("smtp:[srs.our.example]:587", NextHop(name="srs.our.example", by_mx=False)),
    ("smtp:", None),
    ("smtp:[192.0.2.1]", None),
    ("", None),
])  # fmt: skip
def test_a_next_hop_is_a_host_or_the_mx_of_a_name(transport, hop):
    assert next_hop(transport) == hop


@pytest.mark.parametrize("main, itself", [
    ({}, True), ({"default_transport": "smtp:"}, True),
    ({"default_transport": "smtp:[srs.our.example]"}, False),
    ({"default_transport": "error:no"}, False), ({"relayhost": "[srs.our.example]"}, False),
])  # fmt: skip
def test_whether_an_mx_delivers_to_the_world_by_itself(main, itself):
    assert dnsplan.delivers_itself(main) is itself


@given(st.text(max_size=600))
def test_a_text_of_any_kind_is_one_line_of_a_zone_file(text):
    line = Wanted(name="a.example", kind="TXT", value=text).line()
    assert line.isascii()
    assert line.isprintable()
    assert line.startswith('a.example. IN TXT "')


@given(st.binary(max_size=80), st.binary(max_size=80), st.binary(max_size=80))
def test_junk_in_every_record_raises_nothing(one, two, three):
    class Junk:
        def lookup(self, name, kind):
            found = zone(*GOOD).lookup(name, kind)
            if kind != "TXT":
                return found
            starts = {"_d": b"v=DMARC1;" + one, "_m": b"v=STSv1" + two, "_s": b"v=TLSRPTv1;" + three}
            return replace(found, values=(starts.get(name[:2], b"v=spf1 " + one),))

    assert examine(PLAN, Junk())
