"""auth/iprev.py: names that lead back, names that do not, and what Postfix knows already."""

import pytest
from fakedns import zone
from hypothesis import given
from hypothesis import strategies as st

from postvouch.auth import iprev
from postvouch.auth.evaluate import Options, evaluate
from postvouch.auth.result import IprevFinding, Result
from postvouch.values.dns import DnsUnavailable, Records
from postvouch.values.message import Client, Message

HERE = "192.0.2.7"
PTR = "7.2.0.192.in-addr.arpa"
SIX = "2001:db8::7"
PTR_SIX = "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"


def test_a_name_that_leads_back_is_a_pass() -> None:
    dns = zone(f"{PTR} PTR mx.far.example", f"mx.far.example A {HERE}", secure=True)
    assert iprev.check(HERE, "unknown", dns) == IprevFinding(
        result=Result.PASS,
        name="mx.far.example",
        reason="mx.far.example leads back to 192.0.2.7",
        secure=True,
    )


def test_an_ipv6_client_is_asked_for_by_nibbles_and_confirmed_by_aaaa() -> None:
    dns = zone(f"{PTR_SIX} PTR mx.far.example", "mx.far.example A 192.0.2.7", f"mx.far.example AAAA {SIX}")
    assert iprev.check("IPv6:2001:DB8:0:0::7", "", dns).result is Result.PASS
    assert dns.asked == [(PTR_SIX, "PTR"), ("mx.far.example", "AAAA")]


def test_an_ipv4_address_in_ipv6_clothes_is_that_ipv4_address() -> None:
    dns = zone(f"{PTR} PTR mx.far.example", f"mx.far.example A {HERE}")
    assert iprev.check("::ffff:192.0.2.7", "", dns).result is Result.PASS


def test_any_of_several_names_may_lead_back() -> None:
    dns = zone(
        f"{PTR} PTR old.far.example",
        f"{PTR} PTR dead.far.example",
        f"{PTR} PTR mx.far.example",
        "old.far.example A 192.0.2.8",
        "dead.far.example TEMPERROR",
        "mx.far.example A 192.0.2.9",
        f"mx.far.example A {HERE}",
    )
    assert (found := iprev.check(HERE, "", dns)).name == "mx.far.example"
    assert not found.secure


def test_names_that_do_not_lead_back_are_a_fail() -> None:
    dns = zone(f"{PTR} PTR mx.bank.example", "mx.bank.example A 192.0.2.8", f"{PTR} PTR gone.example")
    found = iprev.check(HERE, "", dns)
    assert (found.result, found.name) == (Result.FAIL, "")
    assert found.reason == "no name of 192.0.2.7 leads back to it"


@pytest.mark.parametrize("dns", [zone(), zone(f"{PTR} TXT nothing")], ids=["nxdomain", "nodata"])
def test_a_client_without_a_name_is_a_permerror(dns: object) -> None:
    assert iprev.check(HERE, "unknown", dns).result is Result.PERMERROR  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "records",
    [(f"{PTR} TEMPERROR",), (f"{PTR} PTR mx.far.example", "mx.far.example TEMPERROR A")],
    ids=["reverse", "forward"],
)
def test_dns_trouble_is_a_temperror(records: tuple[str, ...]) -> None:
    found = iprev.check(HERE, "", zone(*records, secure=True))
    assert (found.result, found.secure) == (Result.TEMPERROR, False)


def test_a_budget_that_ends_on_the_way_is_a_temperror() -> None:
    class Spent:
        def lookup(self, name: str, kind: str) -> Records:
            if kind == "A":
                raise DnsUnavailable("too many DNS questions for one message")
            return zone(f"{PTR} PTR mx.far.example").lookup(name, kind)

    assert iprev.check(HERE, "", Spent()).result is Result.TEMPERROR


def test_at_most_ten_names_are_looked_up() -> None:
    names = [f"h{n:02}.far.example" for n in range(30)]
    dns = zone(*(f"{PTR} PTR {name}" for name in names), f"h29.far.example A {HERE}")
    assert iprev.check(HERE, "", dns).result is Result.FAIL
    assert len(dns.asked) == 1 + iprev.MAX_NAMES


def test_what_postfix_has_verified_is_not_asked_for_again() -> None:
    dns = zone()
    found = iprev.check(HERE, "MX.Far.Example", dns)
    assert (found.result, found.name, found.secure) == (Result.PASS, "mx.far.example", False)
    assert not dns.asked


@pytest.mark.parametrize(
    "name", ["", "unknown", "Unknown", "[192.0.2.7]", "192.0.2.7", "a b", "x\ny", "a..b"]
)
def test_what_is_no_host_name_is_not_believed(name: str) -> None:
    dns = zone()
    assert iprev.check(HERE, name, dns).result is Result.PERMERROR
    assert dns.asked == [(PTR, "PTR")]


@pytest.mark.parametrize("address", ["", "unknown", "999.1.1.1", "192.0.2.7\x00"])
def test_without_an_address_there_is_nothing_to_say(address: str) -> None:
    dns = zone()
    assert iprev.check(address, "mx.far.example", dns).result is Result.NONE
    assert not dns.asked


def test_a_name_that_is_no_host_name_leads_nowhere() -> None:
    """The owner of an address writes what he likes into its PTR; ours is the field that would carry it."""
    name = "mx.far.example;dmarc=pass"
    dns = zone(f"{PTR} PTR {name}", f"{name} A {HERE}")
    assert iprev.check(HERE, "", dns).result is Result.FAIL


def test_it_is_one_of_the_findings_where_it_is_asked_for() -> None:
    dns = zone(f"{PTR} PTR mx.far.example", f"mx.far.example A {HERE}")
    letter = Message(client=Client(address=HERE, name="unknown"))
    asked, not_asked = (evaluate(letter, dns, 0, Options(iprev=yes)).iprev for yes in (True, False))
    assert asked is not None
    assert (asked.result, asked.name) == (Result.PASS, "mx.far.example")
    assert not_asked is None


def test_a_letter_from_this_host_has_no_client() -> None:
    dns = zone()
    client = Client(address="127.0.0.1", name="localhost", local=True)
    found = evaluate(Message(client=client), dns, 0).iprev
    assert found is not None
    assert found.result is Result.NONE


@given(
    address=st.text(max_size=20) | st.ip_addresses().map(str),
    name=st.text(max_size=40),
    pointer=st.text(max_size=40) | st.ip_addresses().map(str),
)
def test_any_client_gives_a_finding(address: str, name: str, pointer: str) -> None:
    class Junk:
        def lookup(self, asked: str, kind: str) -> Records:
            return zone(f"x.example {kind} {pointer}").lookup("x.example", kind)

    found = iprev.check(address, name, Junk())
    assert found.reason.isprintable()
    assert (found.name != "") == (found.result is Result.PASS)
