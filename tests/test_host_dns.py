"""host/dns.py against a real, and really misbehaving, DNS server on loopback."""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from postvouch.host.dns import DnsResolver
from postvouch.values.dns import DnsUnavailable, Status

SOA = "ns.example. admin.example. 1 3600 600 86400 60"


class Server:
    """A DNS server whose answers are functions: (query, tcp) -> octets, or None for silence."""

    def __init__(self) -> None:
        self.answers: dict[str, Callable[[dns.message.Message, bool], bytes | None]] = {}
        self.asked: list[tuple[str, str, bool]] = []
        self.flags: list[int] = []
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", 0))
        self.port = self._udp.getsockname()[1]
        self._tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._tcp.bind(("127.0.0.1", self.port))
        self._tcp.listen(5)
        self._udp.settimeout(0.05)
        self._tcp.settimeout(0.05)
        self._over = threading.Event()
        self._threads = [threading.Thread(target=t, daemon=True) for t in (self._serve_udp, self._serve_tcp)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._udp.close()
        self._tcp.close()

    def _answer(self, wire: bytes, tcp: bool) -> bytes | None:
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True)
        self.asked.append((name, dns.rdatatype.to_text(question.rdtype), tcp))
        self.flags.append(int(query.flags))
        return self.answers.get(name, nxdomain)(query, tcp)

    def _serve_udp(self) -> None:
        while not self._over.is_set():
            try:
                wire, peer = self._udp.recvfrom(4096)
            except TimeoutError:
                continue
            reply = self._answer(wire, tcp=False)
            if reply is not None:
                self._udp.sendto(reply, peer)

    def _serve_tcp(self) -> None:
        while not self._over.is_set():
            try:
                connection, _ = self._tcp.accept()
            except TimeoutError:
                continue
            with connection:
                connection.settimeout(1)
                size = struct.unpack("!H", connection.recv(2))[0]
                reply = self._answer(connection.recv(size), tcp=True)
                if reply is not None:
                    connection.sendall(struct.pack("!H", len(reply)) + reply)


def records(
    *sets: str, ttl: int = 300, flags: int = 0
) -> Callable[[dns.message.Message, bool], bytes | None]:
    """Answer with record sets written "owner TYPE rdata", truncated where they do not fit into UDP."""

    def answer(query: dns.message.Message, tcp: bool) -> bytes:
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA | flags
        kind = query.question[0].rdtype
        for text in sets:
            owner, rdtype, rdata = text.split(" ", 2)
            if rdtype in (dns.rdatatype.to_text(kind), "CNAME"):
                values = rdata.split(" | ")
                response.answer.append(dns.rrset.from_text(owner + ".", ttl, "IN", rdtype, *values))
        if not any(r.rdtype == kind for r in response.answer):
            response.authority.append(dns.rrset.from_text("example.", 60, "IN", "SOA", SOA))
        wire = response.to_wire(max_size=65535)
        if not tcp and len(wire) > 1232:
            response.answer.clear()
            response.flags |= dns.flags.TC
            wire = response.to_wire()
        return wire

    return answer


def rcode(code: dns.rcode.Rcode, soa: bool = True) -> Callable[[dns.message.Message, bool], bytes | None]:
    def answer(query: dns.message.Message, tcp: bool) -> bytes:
        response = dns.message.make_response(query)
        response.set_rcode(code)
        if soa:
            response.authority.append(dns.rrset.from_text("example.", 60, "IN", "SOA", SOA))
        return response.to_wire()

    return answer


nxdomain = rcode(dns.rcode.NXDOMAIN)


def silent(query: dns.message.Message, tcp: bool) -> None:
    return None


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


class Clock:
    def __init__(self) -> None:
        self.shift = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.shift


def resolver(server: Server, timeout_s: float = 2.0, **more: object) -> DnsResolver:
    return DnsResolver([f"127.0.0.1@{server.port}"], timeout_s=timeout_s, **more)  # type: ignore[arg-type]


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


def test_a_long_answer_comes_over_tcp(server: Server) -> None:
    long = " ".join(f'"{"x" * 250}"' for _ in range(20))
    server.answers["long.example"] = records(f"long.example TXT {long}")
    assert resolver(server).lookup("long.example", "TXT").texts() == (b"x" * 5000,)
    assert [tcp for _, _, tcp in server.asked] == [False, True]


@pytest.mark.parametrize("code", [dns.rcode.SERVFAIL, dns.rcode.REFUSED, dns.rcode.NOTIMP, dns.rcode.FORMERR])
def test_a_server_that_fails_is_no_answer_and_not_nothing(server: Server, code: dns.rcode.Rcode) -> None:
    server.answers["broken.example"] = rcode(code)
    with pytest.raises(DnsUnavailable):
        resolver(server).lookup("broken.example", "TXT")


def test_silence_ends_after_the_timeout(server: Server) -> None:
    server.answers["slow.example"] = silent
    begin = time.monotonic()
    with pytest.raises(DnsUnavailable, match="in time"):
        resolver(server, timeout_s=0.3).lookup("slow.example", "TXT")
    assert 0.25 < time.monotonic() - begin < 1.5


@pytest.mark.parametrize(
    "reply",
    [
        lambda q, tcp: b"",
        lambda q, tcp: b"\x00" * 11,
        lambda q, tcp: q.to_wire()[:2] + b"\xff" * 40,
        lambda q, tcp: b"\xff\xff" + records("junk.example TXT x")(q, tcp)[2:],
        lambda q, tcp: q.to_wire(),
        lambda q, tcp: records("junk.example TXT x")(q, tcp)[:-3],
    ],
    ids=["empty", "short", "garbage", "wrong-id", "echo", "cut"],
)
def test_garbage_is_no_answer(server: Server, reply: Callable[[dns.message.Message, bool], bytes]) -> None:
    server.answers["junk.example"] = reply
    with pytest.raises(DnsUnavailable):
        resolver(server, timeout_s=0.3).lookup("junk.example", "TXT")


def test_nobody_listens() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DnsUnavailable):
        DnsResolver([f"127.0.0.1@{port}"], timeout_s=0.3).lookup("a.example", "A")


def test_the_second_server_answers_when_the_first_is_down(server: Server) -> None:
    server.answers["a.example"] = records("a.example A 192.0.2.1")
    ask = DnsResolver(["127.0.0.2@1", f"127.0.0.1@{server.port}"], timeout_s=2)
    assert ask.lookup("a.example", "A").names() == ("192.0.2.1",)


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


def test_a_cname_loop_ends_in_trouble(server: Server) -> None:
    server.answers["a.example"] = records("a.example CNAME b.example.")
    server.answers["b.example"] = records("b.example CNAME a.example.")
    server.answers["self.example"] = records("self.example CNAME self.example.")
    ask = resolver(server, timeout_s=0.5)
    for name in ("a.example", "self.example"):
        with pytest.raises(DnsUnavailable):
            ask.lookup(name, "TXT")
    assert len(server.asked) < 20


@pytest.mark.parametrize(
    "name",
    ["", ".", "a..example", ".example", "x" * 64 + ".example", "a." * 130 + "example", "b\xfccher.example",
     "\udcff.example", "x\ud800"],
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


def test_names_are_absolute_whatever_the_search_list(server: Server) -> None:
    server.answers["mx.corp.example"] = records("mx.corp.example A 192.0.2.1")
    ask = resolver(server)
    ask._asking.search = [dns.name.from_text("corp.example")]
    ask._asking.domain = dns.name.from_text("corp.example")
    assert ask.lookup("mx", "A").status is Status.NXDOMAIN
    assert [name for name, _, _ in server.asked] == ["mx"]


def test_the_ad_bit_is_asked_for_and_told(server: Server) -> None:
    server.answers["signed.example"] = records("signed.example A 192.0.2.1", flags=int(dns.flags.AD))
    server.answers["bare.example"] = records("bare.example A 192.0.2.1")
    ask = resolver(server)
    assert ask.lookup("signed.example", "A").secure
    assert not ask.lookup("bare.example", "A").secure
    assert all(flags & dns.flags.AD and flags & dns.flags.RD for flags in server.flags)


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


def test_the_cache_is_bounded_in_octets_and_forgets_them_with_the_entry(server: Server) -> None:
    clock = Clock()
    ask = resolver(server, cache_entries=100, clock=clock)
    text = " ".join(['"' + "x" * 250 + '"'] * 100)
    for n in range(6):
        server.answers[f"n{n}.example"] = records(f"n{n}.example TXT {text}")
        assert ask.lookup(f"n{n}.example", "TXT").status is Status.FOUND
    held = [key[0] for key in ask._cache._entries]
    assert held == ["n2.example.", "n3.example.", "n4.example.", "n5.example."]
    clock.shift = 1000
    for n in range(6):
        ask.lookup(f"n{n}.example", "TXT")
    assert len(ask._cache) == 4


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


def test_many_threads_may_ask_at_once(server: Server) -> None:
    for i in range(10):
        server.answers[f"h{i}.example"] = records(f"h{i}.example A 192.0.2.{i}")
    ask = resolver(server, timeout_s=5)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: ask.lookup(f"h{i % 10}.example", "A").names(), range(100)))
    assert found == [(f"192.0.2.{i % 10}",) for i in range(100)]


def test_the_servers_of_the_system_are_the_default() -> None:
    assert DnsResolver()._asking.nameservers


def test_a_server_that_is_no_address_is_refused() -> None:
    with pytest.raises(ValueError, match="resolver"):
        DnsResolver(["resolver.example"])
