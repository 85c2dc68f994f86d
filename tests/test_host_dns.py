"""host/dns.py against a server on loopback: what becomes of names, answers, TTLs, budgets and threads."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import dns.flags
import dns.message
import dns.rcode
import pytest
from dnsserver import Reply, Server, rcode, records, silent

from postvouch.host.dns import DnsResolver
from postvouch.values.dns import DnsUnavailable, Records, Status, WouldWait


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


class Clock:
    def __init__(self) -> None:
        self.shift = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.shift


def resolver(server: Server, timeout_s: float = 2.0, **more: object) -> DnsResolver:
    return DnsResolver([server.address], timeout_s=timeout_s, **more)  # type: ignore[arg-type]


def test_each_kind_of_record_has_its_shape(server: Server) -> None:
    server.answers["all.example"] = records(
        'all.example TXT "v=spf1 " "-all" | "second\\255"',
        "all.example A 192.0.2.1 | 192.0.2.2",
        "all.example AAAA 2001:db8::1",
        "all.example MX 10 MX1.Example. | 20 mx2.example.",
        "all.example PTR Host.Example.",
    )
    ask = resolver(server)
    assert set(ask.lookup("All.Example.", "TXT").values) == {b"v=spf1 -all", b"second\xff"}
    assert set(ask.lookup("all.example", "A").names()) == {"192.0.2.1", "192.0.2.2"}
    assert ask.lookup("all.example", "AAAA").names() == ("2001:db8::1",)
    assert set(ask.lookup("all.example", "MX").values) == {(10, "mx1.example"), (20, "mx2.example")}
    assert ask.lookup("all.example", "PTR").names() == ("host.example",)


def test_no_such_name_and_no_data_are_told_apart(server: Server) -> None:
    server.answers["here.example"] = records("here.example A 192.0.2.1")
    ask = resolver(server)
    assert ask.lookup("gone.example", "TXT").status is Status.NXDOMAIN
    assert ask.lookup("here.example", "TXT").status is Status.NODATA
    assert ask.lookup("here.example", "A").status is Status.FOUND


def test_cnames_are_followed_in_one_answer_and_over_several(server: Server) -> None:
    server.answers["one.example"] = records(
        "one.example CNAME two.example.", 'two.example TXT "in the same answer"'
    )
    server.answers["split.example"] = records("split.example CNAME far.example.")
    server.answers["far.example"] = records('far.example TXT "asked for"')
    ask = resolver(server)
    assert ask.lookup("split.example", "TXT").texts() == (b"asked for",)
    server.answers["one.example"] = records("one.example CNAME far.example.", "far.example TXT hello")
    assert ask.lookup("one.example", "TXT").texts() == (b"hello",)


def test_a_cname_to_nowhere_is_no_such_name(server: Server) -> None:
    server.answers["dangling.example"] = records("dangling.example CNAME gone.example.")
    assert resolver(server).lookup("dangling.example", "TXT").status is Status.NXDOMAIN


@pytest.mark.parametrize(
    "name",
    ["", ".", "a..example", ".example", "x" * 64 + ".example", "a." * 130 + "example", "b\xfccher.example",
     "\u212aey.example",     "\udcff.example", "x\ud800"],
)  # fmt: skip
def test_impossible_names_do_not_exist_and_are_not_asked(server: Server, name: str) -> None:
    assert resolver(server).lookup(name, "TXT").status is Status.NXDOMAIN
    assert not server.asked


def test_odd_octets_in_a_name_are_octets(server: Server) -> None:
    for name in (
        "a b.example",
        "a\\300b.example",
        "a\x00b.example",
        '"x".example',
        "a@b.example",
        "*.example",
    ):
        assert resolver(server).lookup(name, "TXT").status is Status.NXDOMAIN
    assert len(server.asked) == 6


def test_the_ad_bit_is_asked_for_and_told(server: Server) -> None:
    server.answers["signed.example"] = records("signed.example A 192.0.2.1", flags=int(dns.flags.AD))
    server.answers["bare.example"] = records("bare.example A 192.0.2.1")
    ask = resolver(server)
    assert ask.lookup("signed.example", "A").secure
    assert not ask.lookup("bare.example", "A").secure
    assert all(query.flags & dns.flags.AD and query.flags & dns.flags.RD for query in server.queries)


def test_answers_are_kept_for_their_ttl(server: Server) -> None:
    server.answers["a.example"] = records("a.example A 192.0.2.1", ttl=100)
    clock = Clock()
    ask = resolver(server, clock=clock)
    for shift, asked in ((0, 1), (99, 1), (101, 2)):
        clock.shift = shift
        assert ask.lookup("A.example", "A").names() == ("192.0.2.1",)
        assert len(server.asked) == asked


def test_nothing_is_kept_as_long_as_the_soa_says(server: Server) -> None:
    clock = Clock()
    ask = resolver(server, clock=clock)
    server.answers["empty.example"] = records("empty.example A 192.0.2.1")
    for shift, asked in ((0, 2), (59, 2), (61, 4)):
        clock.shift = shift
        assert ask.lookup("gone.example", "TXT").status is Status.NXDOMAIN
        assert ask.lookup("empty.example", "TXT").status is Status.NODATA
        assert len(server.asked) == asked


def test_a_record_with_ttl_zero_is_not_kept(server: Server) -> None:
    server.answers["a.example"] = records("a.example A 192.0.2.1", ttl=0)
    ask = resolver(server)
    ask.lookup("a.example", "A")
    ask.lookup("a.example", "A")
    assert len(server.asked) == 2


def test_a_failure_is_remembered_for_a_few_seconds_only(server: Server) -> None:
    server.answers["a.example"] = rcode(dns.rcode.SERVFAIL)
    clock = Clock()
    ask = resolver(server, clock=clock)
    for _ in range(2):
        with pytest.raises(DnsUnavailable):
            ask.lookup("a.example", "A")
    asked = len(server.asked)
    server.answers["a.example"] = records("a.example A 192.0.2.1")
    clock.shift = 6
    assert ask.lookup("a.example", "A").names() == ("192.0.2.1",)
    assert asked == 1


def test_a_wait_cut_short_by_a_budget_is_not_held_against_the_name(server: Server) -> None:
    server.answers["a.example"] = silent
    ask = resolver(server)
    with pytest.raises(DnsUnavailable):
        ask.for_message(0.1, 10).lookup("a.example", "A")
    server.answers["a.example"] = records("a.example A 192.0.2.1")
    assert ask.lookup("a.example", "A").names() == ("192.0.2.1",)


def test_the_cache_is_bounded_and_drops_the_oldest(server: Server) -> None:
    ask = resolver(server, cache_entries=3)
    for i in (1, 2, 3, 1, 4):
        server.answers[f"h{i}.example"] = records(f"h{i}.example A 192.0.2.{i}")
        ask.lookup(f"h{i}.example", "A")
    assert len(ask._cache) == 3
    server.asked.clear()
    ask.lookup("h1.example", "A")
    assert not server.asked
    ask.lookup("h2.example", "A")
    assert len(server.asked) == 1


def test_a_message_may_ask_so_often_and_no_more(server: Server) -> None:
    server.answers["a.example"] = records("a.example A 192.0.2.1")
    budget = resolver(server).for_message(5, 3)
    for _ in range(3):
        budget.lookup("a.example", "A")
    with pytest.raises(DnsUnavailable, match="too many"):
        budget.lookup("a.example", "A")


def test_a_message_may_wait_so_long_and_no_longer(server: Server) -> None:
    server.answers["slow.example"] = silent
    budget = resolver(server).for_message(0.3, 100)
    begin = time.monotonic()
    for i in range(20):
        with pytest.raises(DnsUnavailable):
            budget.lookup(f"slow{i}.example" if i else "slow.example", "A")
    assert time.monotonic() - begin < 1.5


def test_who_must_not_wait_asks_nobody_and_gets_what_is_in_the_cache(server: Server) -> None:
    server.answers["a.example"] = records("a.example A 192.0.2.1", ttl=100)
    server.answers["dead.example"] = rcode(dns.rcode.SERVFAIL)
    clock = Clock()
    ask = resolver(server, clock=clock)
    for name in ("a.example", "gone.example", "dead.example"):
        for _ in range(2):
            with pytest.raises(WouldWait):
                ask.for_message(5, 10, may_wait=False).lookup(name, "A")
    assert not server.asked
    with pytest.raises(DnsUnavailable):
        ask.lookup("dead.example", "A")
    assert {ask.lookup(name, "A").status for name in ("a.example", "gone.example")} == {
        Status.FOUND,
        Status.NXDOMAIN,
    }
    server.asked.clear()
    letter = ask.for_message(5, 10, may_wait=False)
    assert letter.lookup("A.example.", "A").names() == ("192.0.2.1",)
    assert letter.lookup("gone.example", "A").status is Status.NXDOMAIN
    with pytest.raises(DnsUnavailable, match="SERVFAIL"):
        letter.lookup("dead.example", "A")
    clock.shift = 101
    with pytest.raises(WouldWait):
        ask.for_message(5, 10, may_wait=False).lookup("a.example", "A")
    assert not server.asked


def test_what_needs_no_question_needs_no_waiting(server: Server) -> None:
    server.answers["key.example"] = records("key.example A 192.0.2.1")
    ask = resolver(server)
    ask.lookup("key.example", "A")
    letter = ask.for_message(5, 3, may_wait=False)
    assert letter.lookup("a..example", "A").status is Status.NXDOMAIN
    assert letter.lookup("\u212aey.example", "A").status is Status.NXDOMAIN
    with pytest.raises(DnsUnavailable, match="no such type"):
        letter.lookup("a.example", "TEXT")
    with pytest.raises(DnsUnavailable, match="too many"):
        letter.lookup("a.example", "A")


def test_many_threads_may_ask_at_once(server: Server) -> None:
    for i in range(10):
        server.answers[f"h{i}.example"] = records(f"h{i}.example A 192.0.2.{i}")
    ask = resolver(server, timeout_s=5)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: ask.lookup(f"h{i % 10}.example", "A").names(), range(100)))
    assert found == [(f"192.0.2.{i % 10}",) for i in range(100)]


def test_dns_that_is_slow_for_one_letter_holds_up_no_other(server: Server) -> None:
    server.answers["slow.example"] = silent
    server.answers["a.example"] = records("a.example A 192.0.2.1", ttl=0)
    ask = resolver(server, timeout_s=0.5)

    def stuck(_: int) -> float:
        begin, letter = time.monotonic(), ask.for_message(0.6, 100)
        for n in range(5):
            with pytest.raises(DnsUnavailable):
                letter.lookup(f"x{n}.slow.example" if n else "slow.example", "A")
        return time.monotonic() - begin

    server.default = silent
    with ThreadPoolExecutor(8) as pool:
        letters = [pool.submit(stuck, n) for n in range(8)]
        time.sleep(0.1)
        begin = time.monotonic()
        for _ in range(20):
            assert ask.for_message(5, 10).lookup("a.example", "A").names() == ("192.0.2.1",)
        assert time.monotonic() - begin < 0.4
        assert all(letter.result() < 1.0 for letter in letters)


class Gate:
    """An answer that waits until it may; what it waits for is told."""

    def __init__(self, then: Callable[[dns.message.Message, bool], Reply]) -> None:
        self.then = then
        self.asked = threading.Event()
        self.open = threading.Event()

    def __call__(self, query: dns.message.Message, tcp: bool) -> Reply:
        self.asked.set()
        self.open.wait(10)
        return self.then(query, tcp)


def waiting(ask: DnsResolver) -> int:
    """How many threads wait for another's question."""
    return sum(len(flight.landed._cond._waiters) for flight in ask._flights.values())  # type: ignore[attr-defined]


def until(check: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not check():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_many_who_ask_the_same_at_once_ask_once(server: Server) -> None:
    gate = Gate(records("a.example A 192.0.2.1", ttl=0))
    server.answers["a.example"] = gate
    ask = resolver(server, timeout_s=20)
    before = threading.active_count()
    with ThreadPoolExecutor(12) as pool:
        found = [pool.submit(ask.lookup, "A.example" if n % 2 else "a.example.", "A") for n in range(12)]
        until(lambda: waiting(ask) == 11)
        gate.open.set()
        assert {answer.result().names() for answer in found} == {("192.0.2.1",)}
    assert len(server.asked) == 1
    assert not ask._flights
    until(lambda: threading.active_count() <= before + 1)


def test_a_failure_is_shared_by_all_who_wait_for_it(server: Server) -> None:
    gate = Gate(rcode(dns.rcode.SERVFAIL))
    server.answers["a.example"] = gate
    ask = resolver(server, timeout_s=20)
    with ThreadPoolExecutor(4) as pool:
        found = [pool.submit(ask.lookup, "a.example", "A") for _ in range(4)]
        until(lambda: waiting(ask) == 3)
        gate.open.set()
        for answer in found:
            with pytest.raises(DnsUnavailable, match="SERVFAIL"):
                answer.result()
    assert len(server.asked) == 1


def test_who_has_less_time_gives_up_alone(server: Server) -> None:
    gate = Gate(records("a.example A 192.0.2.1"))
    server.answers["a.example"] = gate
    ask = resolver(server, timeout_s=20)
    with ThreadPoolExecutor(1) as pool:
        patient = pool.submit(ask.lookup, "a.example", "A")
        gate.asked.wait(5)
        begin = time.monotonic()
        with pytest.raises(DnsUnavailable, match="in time"):
            ask.for_message(0.1, 10).lookup("a.example", "A")
        assert time.monotonic() - begin < 1
        gate.open.set()
        assert patient.result().names() == ("192.0.2.1",)


def test_whoever_asked_first_and_gives_up_early_dooms_nobody(server: Server) -> None:
    first = threading.Event()

    def answer(query: dns.message.Message, tcp: bool) -> Reply:
        first.set()
        # All that the hasty one may ask before its time is over.
        return None if len(server.asked) <= 3 else records("a.example A 192.0.2.1")(query, tcp)

    server.answers["a.example"] = answer
    ask = resolver(server, timeout_s=5)
    with ThreadPoolExecutor(4) as pool:
        hasty = pool.submit(ask.for_message(0.6, 10).lookup, "a.example", "A")
        first.wait(5)
        patient = [pool.submit(ask.lookup, "a.example", "A") for _ in range(3)]
        with pytest.raises(DnsUnavailable):
            hasty.result()
        assert {answer.result().names() for answer in patient} == {("192.0.2.1",)}
    assert len(server.asked) == 4
    assert not ask._flights


KEY = "s1._domainkey.far.example"


def key_of(ask: DnsResolver) -> Records:
    return ask.lookup(KEY, "TXT")


@pytest.mark.parametrize("trouble", [silent, rcode(dns.rcode.SERVFAIL), rcode(dns.rcode.REFUSED)])
def test_a_key_serves_for_a_day_after_its_ttl_while_dns_is_in_trouble(
    server: Server, trouble: Callable[[dns.message.Message, bool], Reply]
) -> None:
    server.answers[KEY] = records(f"{KEY} TXT v=DKIM1", ttl=300)
    clock = Clock()
    ask = resolver(server, timeout_s=0.2, clock=clock)
    fresh = key_of(ask)
    server.answers[KEY] = trouble
    for clock.shift in (301, 302, 3600, 86000):
        assert key_of(ask) == fresh
    clock.shift = 300 + 86400 + 1
    with pytest.raises(DnsUnavailable):
        key_of(ask)


def test_a_stale_key_is_asked_for_again_every_half_minute_and_replaced(server: Server) -> None:
    server.answers[KEY] = records(f"{KEY} TXT old", ttl=300)
    clock = Clock()
    ask = resolver(server, clock=clock)
    key_of(ask)
    server.answers[KEY] = rcode(dns.rcode.SERVFAIL)
    server.asked.clear()
    for clock.shift, asked in ((301, 1), (302, 1), (329, 1), (332, 2), (340, 2)):
        assert key_of(ask).texts() == (b"old",)
        assert len(server.asked) == asked
    server.answers[KEY] = records(f"{KEY} TXT new", ttl=300)
    clock.shift = 363
    assert key_of(ask).texts() == (b"new",)


@pytest.mark.parametrize("soa", [True, False])
def test_a_key_that_is_withdrawn_is_gone_at_once(server: Server, soa: bool) -> None:
    clock = Clock()
    ask = resolver(server, clock=clock)
    for gone, status in (
        (rcode(dns.rcode.NXDOMAIN, soa=soa), Status.NXDOMAIN),
        (rcode(dns.rcode.NOERROR, soa=soa), Status.NODATA),
    ):
        server.answers[KEY] = records(f"{KEY} TXT v=DKIM1", ttl=300)
        clock.shift += 1000
        assert key_of(ask).status is Status.FOUND
        server.answers[KEY] = gone
        clock.shift += 1000
        assert key_of(ask).status is status
        server.answers[KEY] = rcode(dns.rcode.SERVFAIL)
        clock.shift += 100
        with pytest.raises(DnsUnavailable):
            key_of(ask)


@pytest.mark.parametrize("name", ["far.example", "_dmarc.far.example", "x_domainkey.far.example"])
def test_a_policy_is_never_stale(server: Server, name: str) -> None:
    server.answers[name] = records(f"{name} TXT v=spf1", ttl=300)
    clock = Clock()
    ask = resolver(server, clock=clock)
    ask.lookup(name, "TXT")
    server.answers[name] = rcode(dns.rcode.SERVFAIL)
    clock.shift = 301
    with pytest.raises(DnsUnavailable):
        ask.lookup(name, "TXT")


def test_a_stale_key_does_not_wait_for_the_whole_timeout(server: Server) -> None:
    server.answers[KEY] = records(f"{KEY} TXT v=DKIM1", ttl=300)
    clock = Clock()
    ask = resolver(server, timeout_s=20, clock=clock)
    key_of(ask)
    server.answers[KEY] = silent
    clock.shift = 301
    begin = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        found = [pool.submit(key_of, ask) for _ in range(4)]
        assert {answer.result().texts() for answer in found} == {(b"v=DKIM1",)}
    assert time.monotonic() - begin < 4


def test_a_hasty_letter_takes_the_stale_key_and_leaves_the_question_to_others(server: Server) -> None:
    server.answers[KEY] = records(f"{KEY} TXT old", ttl=300)
    clock = Clock()
    ask = resolver(server, clock=clock)
    key_of(ask)
    server.answers[KEY] = silent
    clock.shift = 301
    assert ask.for_message(0.1, 10).lookup(KEY, "TXT").texts() == (b"old",)
    server.answers[KEY] = records(f"{KEY} TXT new", ttl=300)
    assert key_of(ask).texts() == (b"new",)


@pytest.mark.parametrize("soa", [True, False])
def test_a_ttl_is_that_of_the_shortest_link(server: Server, soa: bool) -> None:
    server.answers["a.example"] = records("a.example CNAME b.example.", ttl=10, soa=soa)
    server.answers["b.example"] = records("b.example A 192.0.2.1", ttl=300)
    clock = Clock()
    ask = resolver(server, clock=clock)
    for shift, asked in ((0, 2), (9, 2), (11, 4)):
        clock.shift = shift
        assert ask.lookup("a.example", "A").names() == ("192.0.2.1",)
        assert len(server.asked) == asked


@pytest.mark.parametrize("ttl", [2**31 - 1, 10**6])
def test_no_answer_is_believed_for_longer_than_a_day(server: Server, ttl: int) -> None:
    server.answers["a.example"] = records("a.example A 192.0.2.1", ttl=ttl)
    clock = Clock()
    ask = resolver(server, clock=clock)
    for shift, asked in ((0, 1), (86399, 1), (86401, 2)):
        clock.shift = shift
        ask.lookup("a.example", "A")
        assert len(server.asked) == asked


def test_nothing_without_an_soa_is_not_kept(server: Server) -> None:
    server.answers["gone.example"] = rcode(dns.rcode.NXDOMAIN, soa=False)
    ask = resolver(server)
    for _ in range(2):
        assert ask.lookup("gone.example", "A").status is Status.NXDOMAIN
    assert len(server.asked) == 2


def test_a_type_that_does_not_exist_is_trouble_and_no_crash(server: Server) -> None:
    with pytest.raises(DnsUnavailable, match="no such type"):
        resolver(server).lookup("a.example", "TEXT")


def test_a_hit_costs_microseconds(server: Server) -> None:
    server.answers["far.example"] = records("far.example TXT v=spf1")
    letter = resolver(server).for_message(100, 10**6)
    letter.lookup("far.example", "TXT")
    begin = time.thread_time()
    for _ in range(2000):
        letter.lookup("Far.example", "TXT")
    assert (time.thread_time() - begin) / 2000 < 50e-6


def test_threads_names_and_troubles_at_random_end_in_time_and_leave_nothing(server: Server) -> None:
    def answer(query: dns.message.Message, tcp: bool) -> Reply:
        kind = random.choice((silent, rcode(dns.rcode.SERVFAIL), None, None))
        name = query.question[0].name.to_text(omit_final_dot=True)
        return (kind or records(f"{name} TXT {name}", ttl=random.choice((0, 1))))(query, tcp)

    server.default = answer
    clock = Clock()
    ask = resolver(server, timeout_s=0.15, clock=clock, cache_entries=3)

    def letter(number: int) -> None:
        begin = time.monotonic()
        budget = ask.for_message(random.uniform(0.01, 0.3), 20)
        for _ in range(10):
            name = f"s{random.randrange(5)}._domainkey.example"
            try:
                assert budget.lookup(name, "TXT").texts() == (name.encode(),)
            except DnsUnavailable:
                clock.shift += 0.3
        assert time.monotonic() - begin < 2

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(letter, range(80)))
    assert not ask._flights
    assert len(ask._cache) <= 3
    server.default = records("calm.example TXT calm")
    assert ask.lookup("calm.example", "TXT").texts() == (b"calm",)
