"""What pyspf alone says: the same as we where the RFC is plain, and something else where it is wrong.

Should a release of pyspf mend one of these, its test fails, and the part of ours can go
(docs/decisions/0007-spf.rst).
"""

from typing import Any

import pytest
import spf as pyspf
from fakedns import zone
from hypothesis import example, given
from hypothesis import strategies as st

from postvouch.auth import spf
from postvouch.auth.result import SpfFinding
from postvouch.values.dns import Resolver

HERE = "192.0.2.7"
WORLD = (
    "in.example TXT v=spf1 ip4:198.51.100.0/24 ip6:2001:db8::/32 ~all",
    "out.example TXT v=spf1 a:mx.example -all",
    "broken.example TXT v=spf1 moo",
    "mx.example A 192.0.2.7",
    "mx.example A 192.0.2.200",
    "mx.example AAAA 2001:db8::7",
    "far.example MX 10 mx.example",
    "far.example A 198.51.100.9",
    "far.example AAAA 2001:db8:1::9",
    "192.0.2.7.yes.example A 127.0.0.2",
    "a.yes.example A 127.0.0.2",
    "b.yes.example A 127.0.0.2",
)


class Stock(pyspf.query):  # type: ignore[misc]
    """pyspf as it comes, but for where its answers come from."""

    dns_zone: Resolver

    def dns(self, name: str, qtype: str, cnames: object = None, ignore_void: bool = False) -> list[Any]:
        values = self.dns_zone.lookup(name, qtype).values
        return [(v,) for v in values] if qtype == "TXT" else list(values)


def stock(dns: Resolver, sender: str = "a@far.example", address: str = HERE, helo: str = "h.example") -> str:
    query = Stock(i=address, s=sender, h=helo)
    query.dns_zone = dns
    return query.check()[0]


def ours(
    dns: Resolver, sender: str = "a@far.example", address: str = HERE, helo: str = "h.example"
) -> SpfFinding:
    return spf.check_mail_from(address=address, sender=sender, helo=helo, resolver=dns)


TERMS = st.sampled_from(
    [
        "a", "mx", "a/24", "mx/24//64", "a:mx.example", "a:mx.example/25//96", "mx:far.example", "mx:%{d2}",
        "a/0", "a//0", "mx/33", "ptr", "A", "a:far", "a:192.0.2.7", "a:%{d}", "a,", "ip4", "ip4:192.0.2.7",
        "ip4:192.0.2.0/24", "ip4:192.0.2.128/25", "ip4:0.0.0.0/0", "ip4:192.0.2.7/33", "ip4:1.2",
        "IP4:192.0.2.7", "ip6:2001:db8::7", "ip6:2001:db8::/32", "ip6:::/0", "ip6:2001:db8::/129",
        "ip6:::ffff:192.0.2.7", "include:in.example", "include:out.example", "include:broken.example",
        "include:none.example", "include:far.example", "Include:Out.Example", "exists:mx.example",
        "exists:%{i}.yes.example", "exists:%{l}.yes.example", "all", "all:", "moo", "exp=e.example",
        "x=%{d}", "redirect=out.example", "redirect=in.example", "redirect=",
    ]
)  # fmt: skip


@given(
    terms=st.lists(
        st.tuples(st.sampled_from(["", "+", "-", "~", "?"]), TERMS),
        max_size=6,
        unique_by=lambda term: term[1],
    ),
    address=st.sampled_from(
        [HERE, "192.0.2.129", "198.51.100.9", "203.0.113.1", "2001:db8::7", "2001:db9::1"]
    ),
)
@example(terms=[("", "redirect=out.example")], address=HERE)
def test_what_we_remember_and_compare_is_what_pyspf_finds(terms: list[tuple[str, str]], address: str) -> None:
    record = " ".join(["v=spf1", *(mark + term for mark, term in terms)])
    dns = zone(f"far.example TXT {record}", *WORLD)
    for _ in "first, and then from memory":
        assert ours(dns, address=address).result == stock(dns, address=address)


@given(
    networks=st.lists(st.ip_addresses().map(str), max_size=4),
    bits=st.integers(0, 128),
    address=st.ip_addresses(),
)
def test_addresses_are_compared_as_pyspf_compares_them(networks: list[str], bits: int, address: Any) -> None:
    kind = f"ip{address.version}"
    near = [str(address.__class__(int(address) ^ 1 << n)) for n in (0, 7, 31)]
    terms = " ".join(
        f"{kind}:{network}/{min(bits, address.max_prefixlen)}"
        for network in networks + near
        if (":" in network) == (address.version == 6)
    )
    dns = zone(f"far.example TXT v=spf1 {terms} -all")
    assert ours(dns, address=str(address)).result == stock(dns, address=str(address))


@pytest.mark.parametrize(
    "record, theirs, right",
    [
        # RFC 7208 §7.1: what is in a macro, and what may stand around one.
        ("v=spf1 exists:%{d0}.x.example -all", "fail", "permerror"),
        ("v=spf1 exists:%{dx}.x.example -all", "fail", "permerror"),
        ("v=spf1 exists:%{d!}.x.example -all", "fail", "permerror"),
        ("v=spf1 exists:%{d.x.example -all", "fail", "permerror"),
        ("v=spf1 exists:%%%x.x.example -all", "fail", "permerror"),
        ("v=spf1 exists:a\x07b.x.example -all", "fail", "permerror"),
        ("v=spf1 x=a\x7fb -all", "fail", "permerror"),
        ("v=spf1 exists:%{dR}.ok.example -all", "fail", "pass"),
        # §7.3: parts are joined by dots, whatever they were split at.
        ("v=spf1 exists:%{h-}.ok.example -all", "fail", "pass"),
        # §6: names of modifiers have no case, and unknown ones may be there twice.
        ("v=spf1 Redirect=pass.example", "neutral", "pass"),
        ("v=spf1 x=a x=b ip4:192.0.2.7 -all", "permerror", "pass"),
        # §4.6.4: terms that are evaluated count, and a redirect behind a match is not.
        ("v=spf1 " + "a:no.example " * 9 + "a:mx.example redirect=pass.example", "permerror", "pass"),
    ],
)
def test_pyspf_alone_gets_it_wrong(record: str, theirs: str, right: str) -> None:
    dns = zone(
        f"far.example TXT {record}",
        "example.far.ok.example A 127.0.0.2",
        "h.o.example.ok.example A 127.0.0.2",
        "pass.example TXT v=spf1 +all",
        "no.example A 192.0.2.99",
        *WORLD,
    )
    helo = "h-o.example"
    assert stock(dns, helo=helo) == theirs
    assert ours(dns, helo=helo).result == right


def test_pyspf_alone_expands_macros_in_the_domain_itself() -> None:
    dns = zone("%{l}.far.example TXT v=spf1 a -all", "%{l}.far.example A 192.0.2.7")
    assert stock(dns, "a@%{l}.far.example") == "fail"
    assert ours(dns, "a@%{l}.far.example").result == "pass"


def test_pyspf_alone_asks_for_local_parts_that_are_not_ascii() -> None:
    dns = zone("far.example TXT v=spf1 include:%{l}.x.example ip4:192.0.2.7")
    assert stock(dns, "zoë@far.example") == "permerror"
    assert ours(dns, "zoë@far.example").result == "pass"
