"""host/dns.py against a real unbound, which asks a server of ours: what an admin's host does all day."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dns.dnssec
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from dnsserver import Answering, Server, rcode, records, silent
from recursor import Unbound

from postvouch.host.dns import DnsResolver
from postvouch.values.dns import DnsUnavailable, Status

LOCAL = (
    "our.example. 300 IN SOA ns.our.example. admin.our.example. 1 3600 600 86400 77",
    'our.example. 300 IN TXT "v=spf1 mx -all"',
    "our.example. 300 IN MX 10 mx.our.example.",
    "mx.our.example. 300 IN A 192.0.2.1",
)
AA = int(dns.flags.AA)
KEY = "s1._domainkey.far.example"


def far(*sets: str, ttl: int = 300) -> Answering:
    """What an authoritative server says."""
    return records(*sets, ttl=ttl, flags=AA)


class Clock:
    shift = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.shift


@pytest.fixture(scope="module")
def upstream() -> Iterator[Server]:
    with Server(rcode(dns.rcode.NXDOMAIN)) as running:
        yield running


@pytest.fixture(scope="module")
def unbound(tmp_path_factory: pytest.TempPathFactory, upstream: Server) -> Iterator[Unbound]:
    running = Unbound(tmp_path_factory.mktemp("unbound"), upstream, *LOCAL)
    yield running
    running.stop()


@pytest.fixture
def ask(unbound: Unbound) -> DnsResolver:
    return DnsResolver([unbound.address])


def test_what_it_knows_itself_is_found(ask: DnsResolver) -> None:
    assert ask.lookup("Our.Example", "TXT").texts() == (b"v=spf1 mx -all",)
    assert ask.lookup("our.example.", "MX").values == ((10, "mx.our.example"),)
    assert ask.lookup("mx.our.example", "A").names() == ("192.0.2.1",)


@pytest.mark.parametrize(
    "name, status, ttl_s",
    [
        ("mx.our.example", Status.NODATA, 77),
        ("gone.our.example", Status.NXDOMAIN, 77),
        ("gone.example", Status.NXDOMAIN, 60),
        ("empty.example", Status.NODATA, 60),
    ],
)
def test_nothing_is_nothing_for_as_long_as_the_soa_says(
    unbound: Unbound, upstream: Server, name: str, status: Status, ttl_s: int
) -> None:
    upstream.answers["empty.example"] = far("empty.example A 192.0.2.1")
    clock = Clock()
    ask = DnsResolver([unbound.address], clock=clock)
    assert ask.lookup(name, "TXT").status is status
    held = ask._cache._entries[name, "TXT"]
    assert ttl_s - 5 < held.fresh_until - clock() <= ttl_s


def test_the_rest_of_a_ttl_is_honoured(unbound: Unbound, upstream: Server) -> None:
    upstream.answers["ttl.example"] = far("ttl.example A 192.0.2.1", ttl=500)
    clock = Clock()
    ask = DnsResolver([unbound.address], clock=clock)
    ask.lookup("ttl.example", "A")
    held = ask._cache._entries["ttl.example", "A"]
    assert 490 < held.fresh_until - clock() <= 500


def test_chains_of_cnames_are_followed(ask: DnsResolver, upstream: Server) -> None:
    for n in range(5):
        upstream.answers[f"c{n}.example"] = far(f"c{n}.example CNAME c{n + 1}.example.")
    upstream.answers["c5.example"] = far('c5.example TXT "the end"')
    assert ask.lookup("c0.example", "TXT").texts() == (b"the end",)
    upstream.answers["dangling.example"] = far("dangling.example CNAME nowhere.example.")
    assert ask.lookup("dangling.example", "TXT").status is Status.NXDOMAIN


def test_a_loop_of_cnames_is_trouble(ask: DnsResolver, upstream: Server) -> None:
    for one, other in ("ab", "ba"):
        upstream.answers[f"{one}.loop.example"] = far(f"{one}.loop.example CNAME {other}.loop.example.")
    with pytest.raises(DnsUnavailable):
        ask.lookup("a.loop.example", "TXT")


@pytest.mark.parametrize("size", [300, 900, 1200, 1500, 4000, 20000, 60000])
def test_texts_of_all_sizes_arrive(ask: DnsResolver, upstream: Server, size: int) -> None:
    name = f"n{size}.example"
    upstream.answers[name] = far(f"{name} TXT " + " ".join(['"' + "x" * 100 + '"'] * (size // 100)))
    assert ask.lookup(name, "TXT").texts() == (b"x" * size,)


@pytest.mark.parametrize("trouble", [dns.rcode.SERVFAIL, dns.rcode.REFUSED, dns.rcode.NOTIMP])
def test_trouble_behind_it_is_trouble(ask: DnsResolver, upstream: Server, trouble: dns.rcode.Rcode) -> None:
    name = f"{dns.rcode.to_text(trouble).lower()}.example"
    upstream.answers[name] = rcode(trouble)
    with pytest.raises(DnsUnavailable, match="SERVFAIL"):
        ask.lookup(name, "TXT")


def test_silence_behind_it_ends_with_our_time(unbound: Unbound, upstream: Server) -> None:
    upstream.answers["silent.example"] = silent
    begin = time.monotonic()
    with pytest.raises(DnsUnavailable):
        DnsResolver([unbound.address], timeout_s=0.5).lookup("silent.example", "TXT")
    assert time.monotonic() - begin < 1.5


def test_many_threads_get_many_answers(ask: DnsResolver, upstream: Server) -> None:
    for n in range(60):
        upstream.answers[f"m{n}.example"] = far(f"m{n}.example A 192.0.2.{n}")
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda n: ask.lookup(f"m{n % 60}.example", "A").names(), range(600)))
    assert found == [(f"192.0.2.{n % 60}",) for n in range(600)]
    assert sum(name.startswith("m") for name, _, _ in upstream.asked) < 300


def test_a_restart_in_the_middle_costs_seconds_and_a_key_not_even_those(
    tmp_path: Path, upstream: Server
) -> None:
    upstream.answers[KEY] = far(f"{KEY} TXT v=DKIM1", ttl=300)
    upstream.answers["far.example"] = far("far.example TXT v=spf1", ttl=300)
    unbound, clock = Unbound(tmp_path, upstream), Clock()
    try:
        ask = DnsResolver([unbound.address], clock=clock)
        key, policy = ask.lookup(KEY, "TXT"), ask.lookup("far.example", "TXT")
        unbound.stop()
        clock.shift = 301
        begin = time.monotonic()
        assert ask.lookup(KEY, "TXT") == key
        with pytest.raises(DnsUnavailable, match="can be reached"):
            ask.lookup("far.example", "TXT")
        assert time.monotonic() - begin < 3
        unbound.start()
        clock.shift = 340
        upstream.answers[KEY] = far(f'{KEY} TXT "v=DKIM1; p="', ttl=300)
        assert ask.lookup(KEY, "TXT").texts() == (b"v=DKIM1; p=",)
        assert ask.lookup("far.example", "TXT") == policy
    finally:
        unbound.stop()


class Signed:
    """The zone signed.example with one key, as its server tells it."""

    def __init__(self) -> None:
        self._private = Ed25519PrivateKey.generate()
        self._zone = dns.name.from_text("signed.example.")
        self._key = dns.dnssec.make_dnskey(
            self._private.public_key(), dns.dnssec.Algorithm.ED25519, flags=257
        )
        self.anchor = f"signed.example. DNSKEY {self._key.to_text()}"
        self.is_forged = False

    def __call__(self, query: dns.message.Message, tcp: bool) -> bytes:
        question = query.question[0]
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA
        if question.rdtype == dns.rdatatype.DNSKEY:
            data = self._key.to_text()
        else:
            data = '"forged"' if self.is_forged else '"signed"'
        rrset = dns.rrset.from_text(question.name, 300, "IN", question.rdtype, data)
        honest = rrset
        if self.is_forged and question.rdtype == dns.rdatatype.TXT:
            honest = dns.rrset.from_text(question.name, 300, "IN", "TXT", '"signed"')
        signature = dns.dnssec.sign(
            honest, self._private, self._zone, self._key, inception=time.time() - 3600, lifetime=86400
        )
        response.answer += [rrset, dns.rrset.from_rdata(question.name, 300, signature)]
        return response.to_wire()


def test_what_it_could_validate_is_secure_and_what_is_forged_is_trouble(tmp_path: Path) -> None:
    signed = Signed()
    with Server() as upstream:
        upstream.answers["signed.example"] = upstream.answers["forged.signed.example"] = signed
        upstream.answers["far.example"] = far("far.example TXT v=spf1")
        unbound = Unbound(tmp_path, upstream, anchor=signed.anchor)
        try:
            ask = DnsResolver([unbound.address])
            answer = ask.lookup("signed.example", "TXT")
            assert (answer.texts(), answer.secure) == ((b"signed",), True)
            assert not ask.lookup("far.example", "TXT").secure
            signed.is_forged = True
            with pytest.raises(DnsUnavailable, match="SERVFAIL"):
                ask.lookup("forged.signed.example", "TXT")
        finally:
            unbound.stop()
