"""auth/spf.py: what pyspf does not do, and what must never raise."""

import socket
import time

import pytest
from fakedns import zone
from hypothesis import given
from hypothesis import strategies as st

from postvouch.auth import spf
from postvouch.auth.result import Result, SpfFinding
from postvouch.values.dns import DnsUnavailable, Records, Resolver

HERE = "192.0.2.7"
NEITHER = "192.0.2.7 is neither allowed nor denied to send for far.example: "


def check(
    dns: Resolver, sender: str = "a@far.example", *, address: str = HERE, helo: str = "h.far.example"
) -> SpfFinding:
    return spf.check_mail_from(address=address, sender=sender, helo=helo, resolver=dns)


def test_a_pass_says_which_mechanism_matched() -> None:
    found = check(zone("far.example TXT v=spf1 ip4:192.0.2.0/24 -all"))
    assert found == SpfFinding(
        result=Result.PASS,
        domain="far.example",
        identity="mailfrom",
        reason="192.0.2.7 may send for far.example: ip4:192.0.2.0/24 matched",
    )


@pytest.mark.parametrize(
    "record, result, reason",
    [
        ("v=spf1 -all", "fail", "192.0.2.7 may not send for far.example: -all matched"),
        ("v=spf1 ~all", "softfail", "192.0.2.7 should not send for far.example: ~all matched"),
        ("v=spf1 ?all", "neutral", NEITHER + "?all matched"),
        ("v=spf1 a", "neutral", NEITHER + "no mechanism matched"),
        ("v=spf2.0/pra", "none", "far.example publishes no SPF record"),
        ("v=spf1 moo", "permerror", "Unknown mechanism found: moo"),
    ],
)  # fmt: skip
def test_each_result_has_a_reason(record: str, result: str, reason: str) -> None:
    found = check(zone(f"far.example TXT {record}"))
    assert (found.result, found.reason) == (result, reason)


def test_dns_trouble_is_temperror_and_says_what_was_asked() -> None:
    found = check(zone("far.example TEMPERROR"))
    assert found.result is Result.TEMPERROR
    assert "TXT of far.example" in found.reason


def test_helo_is_a_check_of_its_own() -> None:
    dns = zone("far.example TXT v=spf1 -all", "h.far.example TXT v=spf1 a -all", "h.far.example A 192.0.2.7")
    helo = spf.check_helo(address=HERE, helo="h.far.example", resolver=dns)
    assert (helo.result, helo.identity, helo.domain) == (Result.PASS, "helo", "h.far.example")
    assert check(dns).result is Result.FAIL


def test_the_null_sender_is_judged_by_helo() -> None:
    dns = zone("h.far.example TXT v=spf1 exists:%{l}.%{o} -all", "postmaster.h.far.example A 127.0.0.2")
    found = check(dns, "")
    assert (found.result, found.identity) == (Result.PASS, "helo")


@pytest.mark.parametrize(
    "sender",
    ['"x@far.example"@evil.example', '"x@far.example,"@evil.example', "x@far.example@evil.example"],
)
def test_the_domain_is_what_stands_behind_the_last_at_sign(sender: str) -> None:
    dns = zone("far.example TXT v=spf1 +all", "evil.example TXT v=spf1 -all")
    assert check(dns, sender).domain == "evil.example"
    assert check(dns, sender).result is Result.FAIL


@pytest.mark.parametrize(
    "helo", ["localhost", "[192.0.2.7]", "[IPv6:2001:db8::1]", "", "a b.example", "far..example", "example."]
)
def test_what_is_no_domain_name_is_none_and_is_not_asked_for(helo: str) -> None:
    dns = zone("localhost TXT v=spf1 +all")
    assert spf.check_helo(address=HERE, helo=helo, resolver=dns).result is Result.NONE
    assert not dns.asked


def test_names_are_asked_for_without_a_search_list() -> None:
    dns = zone("far.example TXT v=spf1 a:mx.far.example -all")
    check(dns)
    assert dns.asked == [("far.example", "TXT"), ("mx.far.example", "A")]


def test_no_question_passes_outside_our_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object) -> None:
        raise AssertionError("a question went to the network")

    monkeypatch.setattr(socket.socket, "sendto", no_network)
    monkeypatch.setattr(socket.socket, "connect", no_network)
    record = "v=spf1 a mx ptr include:inc.example ip4:192.0.2.7 exp=e.example -all"
    dns = zone(
        f"far.example TXT {record}",
        "inc.example TXT v=spf1 redirect=more.example",
        "more.example TXT v=spf1 ?all",
        "far.example MX 5 mx.example",
        "mx.example A 192.0.2.99",
    )
    assert check(dns).result is Result.PASS
    assert {kind for _, kind in dns.asked} == {"TXT", "A", "MX", "PTR"}


def test_void_lookups_are_counted_per_term() -> None:
    """An IPv6 client, and an mx with three hosts that only have IPv4: one void term, not three."""
    dns = zone(
        "far.example TXT v=spf1 mx a:six.example -all",
        *(f"far.example MX 10 mx{i}.far.example" for i in range(3)),
        *(f"mx{i}.far.example A 192.0.2.{i}" for i in range(3)),
        "six.example AAAA 2001:db8::7",
    )
    assert check(dns, address="2001:db8::7").result is Result.PASS


def test_the_third_void_term_is_a_permerror() -> None:
    two = "v=spf1 a:n1.example a:n2.example ip4:192.0.2.7 -all"
    three = "v=spf1 a:n1.example a:n2.example a:n3.example ip4:192.0.2.7 -all"
    assert check(zone(f"far.example TXT {two}")).result is Result.PASS
    found = check(zone(f"far.example TXT {three}"))
    assert (found.result, "Void lookup limit" in found.reason) == (Result.PERMERROR, True)


def test_ten_terms_that_ask_and_no_more() -> None:
    def dns(terms: int) -> Resolver:
        asking = " ".join(f"a:h{i}.example" for i in range(terms))
        return zone(
            f"far.example TXT v=spf1 {asking} ip4:192.0.2.7 -all",
            *(f"h{i}.example A 192.0.2.99" for i in range(20)),
        )

    assert check(dns(10)).result is Result.PASS
    assert check(dns(11)).result is Result.PERMERROR


def test_an_include_loop_ends() -> None:
    assert (
        check(
            zone("far.example TXT v=spf1 include:b.example", "b.example TXT v=spf1 include:far.example")
        ).result
        == "permerror"
    )
    assert check(zone("far.example TXT v=spf1 redirect=far.example")).result is Result.PERMERROR


def test_names_made_by_macros_are_cut_to_fit() -> None:
    local = ".".join(["label"] * 60)
    dns = zone("far.example TXT v=spf1 exists:%{l}.x.example -all", "*.x.example A 127.0.0.2")
    found = check(dns, f"{local}@far.example")
    assert found.result is Result.PASS
    assert 240 < len(dns.asked[-1][0]) <= 253


@pytest.mark.parametrize(
    "sender",
    [
        '"a\\300b"@far.example',
        "a\\@far.example",
        "\udcff\udcfe@far.example",
        "zoë@far.example",
        "a" * 5000 + "@far.example",
        "." * 300 + "@far.example",
        "@far.example",
        "%{l}%@far.example",
    ],
)
def test_odd_local_parts_never_raise_and_never_match_by_accident(sender: str) -> None:
    dns = zone("far.example TXT v=spf1 exists:%{l}.x.example exists:%{S}.x.example -all")
    assert check(dns, sender).result is Result.FAIL


@pytest.mark.parametrize(
    "sender", ["a@\udcff.example", "a@" + "x" * 64 + ".example", "a@" + "x." * 200 + "example", "no-at", "a@"]
)
def test_odd_domains_are_none(sender: str) -> None:
    assert check(zone("x.example TXT v=spf1 +all"), sender).result is Result.NONE


def test_a_u_label_domain_is_asked_for_as_a_label() -> None:
    found = check(zone("xn--bcher-kva.example TXT v=spf1 +all"), "a@Bücher.example")
    assert (found.result, found.domain) == (Result.PASS, "xn--bcher-kva.example")


@pytest.mark.parametrize(
    "address, result",
    [
        ("fe80::1%eth0", "pass"),
        ("IPv6:fe80::1", "pass"),
        ("::ffff:192.0.2.7", "pass"),
        ("", "none"),
        ("unknown", "none"),
        ("999.1.1.1", "none"),
        ("list", "none"),
        ("192.0.2.7\x00", "none"),
    ],
)
def test_odd_client_addresses_never_raise(address: str, result: str) -> None:
    dns = zone("far.example TXT v=spf1 ip6:fe80::/10 ip4:192.0.2.7 -all")
    assert check(dns, address=address).result == result


@pytest.mark.parametrize(
    "record",
    [
        "v=spf1 a:" + "a" * 60000 + "!",
        "v=spf1 exists:." + "a" * 60000 + "-",
        "v=spf1 x=" + "." * 60000 + "%{d",
        "v=spf1 " + "a " * 30000,
        "v=spf1 " + "ip4:192.0.2.1/32 " * 3800,
        "v=spf1 a/" + "9" * 8000,
        "v=spf1 exists:" + "%{l}" * 2000,
    ],
    ids=["label", "hyphen", "dots", "terms", "ip4", "digits", "macros"],
)
def test_a_monstrous_record_is_a_permerror_at_once(record: str) -> None:
    begin = time.monotonic()
    assert check(zone(f"far.example TXT {record}"), "a" * 60 + "@far.example").result is Result.PERMERROR
    assert time.monotonic() - begin < 0.5


def test_the_worst_record_that_is_let_in_takes_no_time_to_speak_of() -> None:
    terms = " ".join(["exists:%{ir}." + "x" * 480] * 15)
    begin = time.monotonic()
    for record in (f"v=spf1 {terms}", "v=spf1 " + "a " * 4000, "v=spf1 " + "x=%{s} " * 1000 + "-all"):
        check(zone(f"far.example TXT {record}"), "a" * 500 + "@far.example")
    assert time.monotonic() - begin < 2


def test_reasons_are_one_printable_line_of_bounded_length() -> None:
    found = check(zone("far.example TXT v=spf1 exists:\x1b[31m\x07" + "y" * 400))
    assert found.reason.isprintable()
    assert len(found.reason) <= 200


@pytest.mark.parametrize(
    "term, result",
    [
        ("exists:%{l}.x.example", "neutral"),
        ("exists:%{S1R}.x.example", "neutral"),
        ("include:%{l}.x.example", "neutral"),
        ("a:%{l}.x.example exists:%{d}.x.example", "pass"),
        ("x=%{l} +all", "pass"),
        ("exists:%{o}.x.example", "pass"),
    ],
)
def test_a_term_with_a_local_part_that_is_not_ascii_never_matches(term: str, result: str) -> None:
    """RFC 8616 §4; and it is no error, though an include of nothing would be one."""
    dns = zone(f"xn--bcher-kva.example TXT v=spf1 {term}", "*.x.example A 192.0.2.7")
    assert check(dns, "zoë@bücher.example").result == result
    assert all(name.isascii() and not name.startswith("xn--zo") for name, _ in dns.asked)


def test_a_u_label_in_helo_is_an_a_label_in_a_macro() -> None:
    dns = zone("far.example TXT v=spf1 exists:%{h}.x.example", "xn--bcher-kva.example.x.example A 127.0.0.2")
    assert check(dns, helo="bücher.example").result is Result.PASS


def test_a_finding_is_secure_when_every_answer_was() -> None:
    records = ("far.example TXT v=spf1 a:mx.far.example ip4:192.0.2.7 -all", "mx.far.example A 192.0.2.8")
    assert check(zone(*records, secure=True)).secure
    assert not check(zone(*records)).secure
    assert check(zone("x.example A 192.0.2.7", secure=True)) == SpfFinding(
        result=Result.NONE, domain="far.example", reason="far.example publishes no SPF record", secure=True
    )
    assert not check(zone(*records, "mx.far.example TEMPERROR", secure=True)).secure
    assert not check(zone(secure=True), address="").secure

    class HalfSigned:
        def lookup(self, name: str, kind: str) -> Records:
            return zone(*records, secure=kind == "TXT").lookup(name, kind)

    assert not check(HalfSigned()).secure


def test_a_budget_that_ends_is_a_temperror_wherever_it_ends() -> None:
    records = (
        "far.example TXT v=spf1 a:a.example mx include:in.example exists:%{p}.x.example ?all",
        "a.example A 192.0.2.8",
        "far.example MX 1 mx.example",
        "mx.example A 192.0.2.9",
        "in.example TXT v=spf1 redirect=more.example",
        "more.example TXT v=spf1 a:mx.example -all",
        "*.x.example A 127.0.0.2",
    )

    class Budget:
        def __init__(self, left: int) -> None:
            self.left = left

        def lookup(self, name: str, kind: str) -> Records:
            if not self.left:
                raise DnsUnavailable("too many DNS questions for one message")
            self.left -= 1
            return zone(*records).lookup(name, kind)

    results = [check(Budget(left)).result for left in range(9)]
    # The one for %{p} may fail: then the name is "unknown" (RFC 7208 §7.3).
    assert results == ["temperror"] * 8 + ["pass"]


def test_a_name_that_cannot_be_is_not_asked_for_and_is_no_void_lookup() -> None:
    record = "v=spf1 exists:a..example exists:%{l}..b.example a:.c.example a:" + "x" * 64 + ".example +all"
    dns = zone(f"far.example TXT {record}")
    assert check(dns).result is Result.PASS
    assert dns.asked == [("far.example", "TXT")]


def test_the_validated_name_is_that_of_the_domain_that_asks() -> None:
    """RFC 7208 §7.3: of several names of the client, the one in the current domain."""
    dns = zone(
        "far.example TXT v=spf1 exists:%{p}.first.example include:in.example -all",
        "in.example TXT v=spf1 exists:%{p}.second.example -all",
        "7.2.0.192.in-addr.arpa PTR mx.far.example",
        "7.2.0.192.in-addr.arpa PTR mx.in.example",
        "mx.far.example A 192.0.2.7",
        "mx.in.example A 192.0.2.7",
        "first.example A 192.0.2.1",
        "mx.in.example.second.example A 127.0.0.2",
    )
    assert check(dns).result is Result.PASS
    assert ("mx.far.example.first.example", "A") in dns.asked


def test_percent_signs_in_the_domain_itself_are_no_macros() -> None:
    dns = zone("%{l}.far.example TXT v=spf1 a -all", "%{l}.far.example A 192.0.2.7")
    assert check(dns, "a@%{l}.far.example").result is Result.PASS


def test_an_answer_without_end_is_a_permerror() -> None:
    dns = zone(
        "far.example TXT v=spf1 a:many.example -all",
        *(f"many.example A 10.0.{n // 250}.{n % 250}" for n in range(600)),
    )
    assert check(dns).result is Result.PERMERROR


@pytest.mark.parametrize("of", range(5))
def test_records_made_to_cost_time_cost_little(of: int) -> None:
    """Eleven records of 8 kB, each including the next, filled with what is slowest to read."""
    fillers = [
        lambda n, i: f"exists:{n}x{i}" + ".a%%" * 100 + ".example",
        lambda n, i: f"x{n}x{i}=" + "%{s1r-}" * 60,
        lambda n, i: f"exists:{n}x{i}" + "".join(f"%{{S{k}r.-}}" for k in range(1, 50)),
        lambda n, i: f"exists:{n}x{i}" + "%{p}" * 100,
        lambda n, i: f"ip4:10.{n}.{i % 250}.{i // 250}",
    ]

    class Hostile:
        def lookup(self, name: str, kind: str) -> Records:
            if kind != "TXT":
                return zone(*(f"x.example PTR p{n}.example" for n in range(10))).lookup("x.example", kind)
            n = int(name.split(".")[0][1:] or 0)
            body = " ".join(fillers[of](n, i) for i in range(300))[:8000].rpartition(" ")[0]
            return zone(f"x.example TXT v=spf1 {body} include:n{n + 1}.example ~all").lookup(
                "x.example", kind
            )

    begin = time.process_time()
    found = check(Hostile(), ".-" * 500 + "@n0.example")
    assert found.result is Result.PERMERROR
    assert time.process_time() - begin < 1


@given(
    sender=st.text(max_size=40),
    helo=st.text(max_size=40),
    address=st.text(max_size=20) | st.ip_addresses().map(str),
)
def test_any_envelope_gives_a_finding(sender: str, helo: str, address: str) -> None:
    dns = zone("*.example TXT v=spf1 exists:%{l}.%{h}.%{d} x=%{Sr-} exists:%{S2r-}.%{p} -all")
    for text in (sender, f"{sender}@far.example", f'"{sender}@x"@far.example', f"{sender}@{helo}.example"):
        found = spf.check_mail_from(address=address, sender=text, helo=helo, resolver=dns)
        assert found.reason


@given(
    record=st.text(max_size=60),
    term=st.sampled_from(["", "a:", "mx/", "include:", "exists:%{", "ip6:", "redirect=", "exp="]),
)
def test_any_record_gives_a_finding(record: str, term: str) -> None:
    found = check(zone(f"far.example TXT v=spf1 {term}{record}"))
    assert found.result in tuple(Result)
