"""host/dnsservers.py against servers that are down, slow, lame or liars: one outcome each, in time."""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from dnsserver import Answering, Reply, Server, nxdomain, rcode, records, silent

from postvouch.host.dns import DnsResolver
from postvouch.host.dnsservers import Servers
from postvouch.host.dnswire import Answer, Question, encode_name, kind_number
from postvouch.values.dns import DnsUnavailable, Records, Status

Query = dns.message.Message

NAME = "far.example"
GOOD = records(f"{NAME} TXT good")


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


@pytest.fixture
def other() -> Iterator[Server]:
    with Server(GOOD) as running:
        yield running


def question(name: str = NAME, kind: str = "TXT") -> Question:
    wanted = encode_name(name)
    assert wanted is not None
    return Question(name=wanted, kind=kind_number(kind))


def ask(*servers: Server, seconds: float = 2.0, kind: str = "TXT") -> Records:
    return Servers([server.address for server in servers]).ask(question(kind=kind), seconds).records


def closed_port() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1@{free.getsockname()[1]}"


def texts(*strings: bytes) -> Callable[[Query], bytes]:
    """A good answer with these strings in one TXT record."""

    def answer(query: Query) -> bytes:
        rdata = b"".join(bytes([len(s)]) + s for s in strings)
        return forged(query, [(b"\xc0\x0c", 16, 300, rdata)])

    return answer


def forged(query: Query, found: list[tuple[bytes, int, int, bytes]], flags: int = 0x8180) -> bytes:
    """A reply of (owner, type, TTL, data) as octets, however wrong."""
    asked = query.to_wire()[12 : 12 + len(query.question[0].name.to_wire()) + 4]
    head = struct.pack("!HHHHHH", query.id, flags, 1, len(found), 0, 0)
    return (
        head
        + asked
        + b"".join(
            owner + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data for owner, kind, ttl, data in found
        )
    )


# Transport


@pytest.mark.parametrize(
    "size, over_tcp", [(300, False), (900, False), (1500, True), (5000, True), (60000, True)]
)
def test_what_does_not_fit_into_a_datagram_comes_over_tcp(server: Server, size: int, over_tcp: bool) -> None:
    long = " ".join(f'"{"x" * 250}"' for _ in range(size // 250))
    server.answers[NAME] = records(f"{NAME} TXT {long}")
    assert len(b"".join(ask(server).texts())) == size // 250 * 250
    assert [tcp for _, _, tcp in server.asked] == ([False, True] if over_tcp else [False])


def test_each_question_has_a_port_and_a_number_of_its_own(server: Server) -> None:
    server.answers[NAME] = records(f"{NAME} TXT x", ttl=0)
    servers = Servers([server.address])
    for _ in range(20):
        servers.ask(question(), 2)
    assert len({query.id for query in server.queries}) > 15
    assert all(query.edns == 0 and query.payload == 1232 for query in server.queries)


def test_a_name_is_asked_as_it_is_and_no_search_list_is_tried(server: Server) -> None:
    server.answers["mx.corp.example"] = records("mx.corp.example A 192.0.2.1")
    assert Servers([server.address]).ask(question("mx", "A"), 2).records.status is Status.NXDOMAIN
    assert [name for name, _, _ in server.asked] == ["mx"]


@pytest.mark.parametrize("code", [dns.rcode.FORMERR, dns.rcode.NOTIMP])
def test_a_server_that_knows_no_edns_is_asked_without(server: Server, code: dns.rcode.Rcode) -> None:
    def old(query: Query, tcp: bool) -> Reply:
        if query.edns < 0:
            return GOOD(query, tcp)
        # Its header and nothing else: it could not read the rest.
        return struct.pack("!HHHHHH", query.id, 0x8180 | code, 0, 0, 0, 0)

    server.answers[NAME] = old
    assert ask(server).texts() == (b"good",)


def test_the_servers_of_the_system_are_the_default(tmp_path: Path) -> None:
    conf = tmp_path / "resolv.conf"

    def found() -> list[tuple[str, int]]:
        return [(server.address, server.port) for server in Servers((), conf)._servers]

    assert found() == [("127.0.0.1", 53)]
    conf.write_text("# nameserver 192.0.2.9\nsearch corp.example\nnameserver 192.0.2.1\nnameserver\n"
                    "nameserver nonsense\n nameserver 2001:db8::1 # x\noptions edns0\n"
                    "nameserver 192.0.2.3\nnameserver 192.0.2.4\n")  # fmt: skip
    assert found() == [("192.0.2.1", 53), ("2001:db8::1", 53), ("192.0.2.3", 53)]
    conf.write_bytes(b"\xff\xfe\n\n")
    assert found() == [("127.0.0.1", 53)]
    assert Servers()._servers


@pytest.mark.parametrize("text", ["resolver.example", "192.0.2.1@x", "", "192.0.2.1:53", "192.0.2.1@65536"])
def test_a_server_that_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"address|valid"):
        DnsResolver([text])


def test_a_server_may_have_an_address_of_ipv6() -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as there:
        there.bind(("::1", 0))
        there.settimeout(5)

        def serve() -> None:
            wire, peer = there.recvfrom(4096)
            there.sendto(bytes(GOOD(dns.message.from_wire(wire), False) or b""), peer)  # type: ignore[arg-type]

        with ThreadPoolExecutor(1) as pool:
            pool.submit(serve)
            answer = Servers([f"::1@{there.getsockname()[1]}"]).ask(question(), 2)
    assert answer.records.texts() == (b"good",)


# Several servers


@pytest.mark.parametrize(
    "bad",
    [
        *map(rcode, (dns.rcode.SERVFAIL, dns.rcode.REFUSED, dns.rcode.NOTIMP, dns.rcode.FORMERR)),
        silent,
        lambda q, tcp: q.to_wire()[:2] + b"\x81\x80" + q.to_wire()[4:20],
        lambda q, tcp: forged(q, [], 0x8380) if not tcp else [b"\0\x40abc"],
    ],
    ids=["servfail", "refused", "notimp", "formerr", "silent", "garbage", "cut-tcp"],
)  # fmt: skip
def test_the_next_server_answers_for_one_that_is_of_no_use(
    server: Server, other: Server, bad: Answering
) -> None:
    server.answers[NAME] = bad
    assert ask(server, other).texts() == (b"good",)


def test_the_next_server_answers_for_one_that_is_down(other: Server) -> None:
    servers = Servers([closed_port(), other.address])
    assert servers.ask(question(), 2).records.texts() == (b"good",)


def test_a_server_that_is_silent_comes_last_for_a_while(server: Server, other: Server) -> None:
    server.default = silent
    servers = Servers([server.address, other.address])
    begin = time.monotonic()
    for _ in range(5):
        assert servers.ask(question(), 6).records.texts() == (b"good",)
    assert time.monotonic() - begin < 2
    assert len(server.asked) == 1


def test_a_slow_name_does_not_put_a_server_last_that_answers_others(server: Server, other: Server) -> None:
    server.default = GOOD
    server.answers["slow.example"] = silent
    other.default = nxdomain
    servers = Servers([server.address, other.address])
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(servers.ask, question("slow.example"), 3)
        while not slow.done():
            assert servers.ask(question(), 2).records.texts() == (b"good",)
            time.sleep(0.02)


def test_a_server_that_restarts_in_a_moment_is_waited_for() -> None:
    port = closed_port()

    def later() -> None:
        time.sleep(0.1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as back:
            back.bind(("127.0.0.1", int(port.partition("@")[2])))
            back.settimeout(5)
            wire, peer = back.recvfrom(4096)
            back.sendto(bytes(GOOD(dns.message.from_wire(wire), False) or b""), peer)  # type: ignore[arg-type]

    thread = threading.Thread(target=later)
    thread.start()
    assert Servers([port]).ask(question(), 5).records.texts() == (b"good",)
    thread.join()


def test_a_server_that_is_down_is_no_answer_long_before_the_timeout() -> None:
    begin = time.monotonic()
    with pytest.raises(DnsUnavailable, match="can be reached"):
        Servers([closed_port()]).ask(question(), 20)
    assert time.monotonic() - begin < 2


def test_the_last_server_has_its_time_when_the_first_is_of_no_use(server: Server, other: Server) -> None:
    def slow(query: Query, tcp: bool) -> Reply:
        time.sleep(0.1)
        return GOOD(query, tcp)

    server.default = rcode(dns.rcode.SERVFAIL)
    other.default = slow
    with Server(silent) as third:
        assert ask(server, third, other, seconds=1.2).texts() == (b"good",)


# Liars. Each has one outcome, in time, and nothing of it stays.


def _wrong_question(query: Query, tcp: bool) -> bytes:
    asked = dns.message.make_query("near.example", "TXT", id=query.id)
    return bytes(records("near.example TXT forged")(asked, tcp) or b"")  # type: ignore[arg-type]


def _referral(query: Query, tcp: bool) -> bytes:
    response = dns.message.make_response(query)
    response.authority.append(dns.rrset.from_text(".", 300, "IN", "NS", "a.root-servers.example."))
    return response.to_wire()


def _loop(query: Query, tcp: bool) -> bytes:
    at = 16 + len(query.question[0].name.to_wire())
    return forged(query, [(struct.pack("!H", 0xC000 | at), 16, 300, b"\x01x")])


def _pointers(query: Query, tcp: bool) -> bytes:
    """Sixteen thousand octets of pointers, each to the one before, and many names that begin at the end."""
    if not tcp:
        return forged(query, [], 0x8380)
    base = 16 + len(query.question[0].name.to_wire()) + 12
    chain = b"".join(struct.pack("!H", 0xC000 | (base + 2 * (n - 1) if n else 12)) for n in range(7500))
    end = struct.pack("!H", 0xC000 | base + 2 * 7499)
    return forged(query, [(b"\xc0\x0c", 999, 300, chain), *[(end, 16, 300, b"\x01x")] * 900])


def _long_labels(query: Query, tcp: bool) -> bytes:
    if not tcp:
        return forged(query, [], 0x8380)
    chain = b"\x01a" * 7500 + b"\0"
    start = 16 + len(query.question[0].name.to_wire()) + 12
    return forged(
        query, [(b"\xc0\x0c", 999, 1, chain), *[(struct.pack("!H", 0xC000 | start), 16, 1, b"\x01x")] * 900]
    )


def _late(query: Query, tcp: bool) -> Reply:
    time.sleep(0.6)
    return GOOD(query, tcp)


def _drip(query: Query, tcp: bool) -> Reply:
    return forged(query, [], 0x8380) if not tcp else None


def _trickle(query: Query, tcp: bool) -> Reply:
    if not tcp:
        return forged(query, [], 0x8380)

    class Slow(list[bytes]):
        def __iter__(self) -> Iterator[bytes]:
            for octet in b"\xff\xff" + bytes(200):
                time.sleep(0.02)
                yield bytes([octet])

    return Slow()


def _many(query: Query, tcp: bool) -> bytes:
    a = [(b"\xc0\x0c", 16, 300, b"\x01x")] * 4600
    return forged(query, a) if tcp else forged(query, [], 0x8380)


def _count_of_10000(query: Query, tcp: bool) -> bytes:
    wire = bytearray(texts(b"x")(query))
    wire[6:8] = struct.pack("!H", 10000)
    return bytes(wire)


def _bad_edns(query: Query, tcp: bool) -> bytes:
    """BADVERS: its lower half, in the header, is NOERROR."""
    wire = forged(query, [])
    return wire[:10] + b"\0\1" + wire[12:] + b"\0\0\x29\x04\xd0\1\0\0\0\0\0"


LIARS: dict[str, Answering] = {
    "wrong-number": lambda q, tcp: b"\xff\xff" + bytes(GOOD(q, tcp) or b"")[2:],  # type: ignore[arg-type]
    "wrong-question": _wrong_question,
    "echo": lambda q, tcp: q.to_wire(),
    "empty": lambda q, tcp: b"",
    "short": lambda q, tcp: b"\x00" * 11,
    "noise": lambda q, tcp: q.to_wire()[:2] + b"\xff" * 40,
    "cut": lambda q, tcp: bytes(GOOD(q, tcp) or b"")[:-3],  # type: ignore[arg-type]
    "header-only": lambda q, tcp: struct.pack("!HHHHHH", q.id, 0x8180, 0, 0, 0, 0),
    "other-name": lambda q, tcp: records("near.example TXT forged")(q, tcp),
    "referral": _referral,
    "loop": _loop,
    "pointers": _pointers,
    "long-labels": _long_labels,
    "label-of-65": lambda q, tcp: forged(q, [(b"\x41" + b"a" * 65 + b"\0", 16, 300, b"\x01x")]),
    "text-beyond-its-record": lambda q, tcp: forged(q, [(b"\xc0\x0c", 16, 300, b"\x09x")]),
    "always-truncated": lambda q, tcp: forged(q, [], 0x8380),
    "late": _late,
    "tcp-cut": lambda q, tcp: forged(q, [], 0x8380) if not tcp else [b"\x00\x40abc"],
    "tcp-of-nothing": lambda q, tcp: forged(q, [], 0x8380) if not tcp else [],
    "tcp-of-zero": lambda q, tcp: forged(q, [], 0x8380) if not tcp else b"",
    "tcp-stalls": _drip,
    "tcp-trickles": _trickle,
    "tcp-other-number": lambda q, tcp: forged(q, [], 0x8380) if not tcp else b"\xff\xff" + texts(b"x")(q)[2:],
    "too-many": _many,
    "too-many-promised": _count_of_10000,
    "bad-edns": _bad_edns,
    "nxdomain-with-answer": lambda q, tcp: forged(q, [(b"\xc0\x0c", 16, 300, b"\x01x")], 0x8183),
    "cname-to-itself": records(f"{NAME} CNAME {NAME}."),
    "cname-ring": records(f"{NAME} CNAME a.example.", f"a.example CNAME {NAME}."),
    "long-cname-chain": records(f"{NAME} CNAME c0.example.",
                                *(f"c{n}.example CNAME c{n + 1}.example." for n in range(30))),
}  # fmt: skip


REASONS = {
    "in time": "wrong-number wrong-question echo empty short noise header-only late tcp-stalls tcp-trickles",
    "garbled": "cut loop pointers long-labels label-of-65 text-beyond-its-record tcp-of-zero "
    "tcp-other-number nxdomain-with-answer",
    "cut short": "always-truncated tcp-cut tcp-of-nothing",
    "another question": "other-name",
    "lame": "referral",
    "too many records": "too-many too-many-promised",
    "EDNS": "bad-edns",
    "too many CNAMEs": "cname-to-itself cname-ring long-cname-chain",
}


def test_every_liar_has_one_outcome() -> None:
    assert sorted(" ".join(REASONS.values()).split()) == sorted(LIARS)


@pytest.mark.parametrize(
    "liar, reason", [(liar, why) for why, all_ in REASONS.items() for liar in all_.split()]
)
def test_a_liar_is_no_answer_and_not_believed(server: Server, liar: str, reason: str) -> None:
    server.answers[NAME] = LIARS[liar]
    resolver = DnsResolver([server.address], timeout_s=0.4)
    begin, cpu = time.monotonic(), time.thread_time()
    with pytest.raises(DnsUnavailable, match=reason):
        resolver.lookup(NAME, "TXT")
    assert time.monotonic() - begin < 2
    assert time.thread_time() - cpu < 0.25
    assert not resolver._flights
    assert resolver._cache._octets == 0
    assert len(resolver._cache) == 1
    server.answers["near.example"] = records("near.example TXT honest")
    assert resolver.lookup("near.example", "TXT").texts() == (b"honest",)


@pytest.mark.parametrize(
    "noise",
    [
        lambda q: b"",
        lambda q: b"\x00" * 5,
        lambda q: b"\xff" * 600,
        lambda q: struct.pack("!H", q.id ^ 1) + texts(b"forged")(q)[2:],
        lambda q: _wrong_question(q, False),
        lambda q: q.to_wire(),
        lambda q: texts(b"forged")(q).replace(b"\x00\x10\x00\x01", b"\x00\x10\x00\x03", 1),
    ],
    ids=["empty", "short", "noise", "wrong-number", "wrong-question", "echo", "wrong-class"],
)  # fmt: skip
def test_what_is_not_a_reply_to_the_question_is_passed_over(
    server: Server, noise: Callable[[Query], bytes]
) -> None:
    server.answers[NAME] = lambda q, tcp: [noise(q)] * 5 + [texts(b"good")(q)]
    assert ask(server).texts() == (b"good",)
    assert len(server.asked) == 1


def test_a_text_of_64_kilobytes_is_a_text(server: Server) -> None:
    server.answers[NAME] = lambda q, tcp: texts(*[b"x" * 255] * 250)(q) if tcp else forged(q, [], 0x8380)
    assert ask(server).texts() == (b"x" * 255 * 250,)


def test_a_thousand_addresses_are_a_thousand_addresses(server: Server) -> None:
    a = [(b"\xc0\x0c", 1, 300, struct.pack("!I", 0xC0000200 + n)) for n in range(1000)]
    server.answers[NAME] = lambda q, tcp: forged(q, a) if tcp else forged(q, [], 0x8380)
    assert len(ask(server, kind="A").names()) == 1000


def test_nothing_at_all_is_no_data_and_not_kept(server: Server) -> None:
    server.answers[NAME] = lambda q, tcp: forged(q, [])
    answer: Answer = Servers([server.address]).ask(question(), 2)
    assert answer.records.status is Status.NODATA
    assert answer.ttl_s == 0


def test_what_an_answer_says_of_other_names_is_not_kept(server: Server) -> None:
    server.answers[NAME] = lambda q, tcp: forged(
        q, [(b"\xc0\x0c", 16, 300, b"\x04good"), (b"\x04near\x07example\0", 16, 300, b"\x06forged")]
    )
    resolver = DnsResolver([server.address])
    assert resolver.lookup(NAME, "TXT").texts() == (b"good",)
    assert resolver.lookup("near.example", "TXT").status is Status.NXDOMAIN


def test_cnames_without_end_are_trouble_after_a_few_questions(server: Server) -> None:
    def on_and_on(query: Query, tcp: bool) -> Reply:
        name = query.question[0].name.to_text(omit_final_dot=True)
        return records(f"{name} CNAME n{len(server.asked)}.example.", soa=False)(query, tcp)

    server.default = on_and_on
    resolver = DnsResolver([server.address], timeout_s=5)
    with pytest.raises(DnsUnavailable, match="CNAME"):
        resolver.lookup("a.example", "TXT")
    assert len(server.asked) < 12


def test_a_loop_of_cnames_over_several_replies_is_trouble(server: Server) -> None:
    server.answers["a.example"] = records("a.example CNAME b.example.", soa=False)
    server.answers["b.example"] = records("b.example CNAME a.example.", soa=False)
    with pytest.raises(DnsUnavailable, match="CNAME"):
        DnsResolver([server.address]).lookup("a.example", "TXT")
    assert len(server.asked) < 12
