"""Asking authoritative servers: hostile and broken ones cost a bounded time, and their trouble is told."""

import time
from collections.abc import Iterator

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from dnsserver import Answering, Reply, Server, nxdomain, rcode, records, silent

from postvouch.host import dnsauthority, dnssecure
from postvouch.host.dnsauthority import look
from postvouch.host.dnsexamine import examine
from postvouch.host.dnslook import Look
from postvouch.sign.finding import Finding
from postvouch.values.dns import Status

AA = int(dns.flags.AA)
NAME = "a._domainkey.far.example"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """One server that is resolver and authority at once, as an attacker would have it."""
    with Server(nxdomain) as running:
        monkeypatch.setattr(dnsauthority, "PORT", running.port)
        running.answers["far.example"] = records(
            "far.example NS ns.far.example.", "far.example SOA ns.example. a.example. 7 1 1 1 60", flags=AA
        )
        running.answers["ns.far.example"] = records("ns.far.example A 127.0.0.1", flags=AA)
        running.answers[NAME] = records(f'{NAME} TXT "v=DKIM1; p="', flags=AA)
        yield running


def ask(server: Server, name: str = NAME, *, deadline_s: float = 8.0, wildcard: bool = False) -> Look:
    began = time.monotonic()
    seen = look(name, [server.address], deadline_s=deadline_s, wildcard=wildcard)
    assert time.monotonic() - began < deadline_s + 2
    return seen


def test_a_server_is_asked_without_recursion_and_tells_its_serial(server: Server) -> None:
    seen = ask(server, "A._DomainKey.Far.Example.")
    (answer,) = seen.servers
    assert (seen.name, seen.zone, seen.trouble) == (NAME, "far.example", "")
    assert (answer.server, answer.address, answer.status) == ("ns.far.example", "127.0.0.1", Status.FOUND)
    assert (answer.texts, answer.serial, answer.negative_ttl_s) == (((b"v=DKIM1; p=",),), 7, 60)
    asked = [q for q in server.queries if q.question[0].name.to_text(True).lower() == NAME]
    assert any(not q.flags & dns.flags.RD for q in asked)
    assert any(q.flags & dns.flags.RD for q in asked)


def two_faced(resolver: Answering, authority: Answering) -> Answering:
    """One to who asks for recursion, the other to who does not."""

    def answer(query: dns.message.Message, tcp: bool) -> Reply:
        return (resolver if query.flags & dns.flags.RD else authority)(query, tcp)

    return answer


def header(query: dns.message.Message, answers: int = 0, flags: int = AA) -> bytes:
    """A reply by hand up to the end of its question."""
    question = dns.message.make_query(query.question[0].name, query.question[0].rdtype, use_edns=False)
    numbers = b"".join(n.to_bytes(2) for n in (query.id, 0x8000 | flags, 1, answers, 0, 0))
    return numbers + question.to_wire()[12:]


@pytest.mark.parametrize(
    "answer, trouble",
    [
        (silent, "no answer in time"),
        (rcode(dns.rcode.REFUSED), "it says REFUSED"),
        (rcode(dns.rcode.SERVFAIL), "it says SERVFAIL"),
        (records(f'{NAME} TXT "x"'), "without authority for far.example (lame)"),
        (lambda query, tcp: header(query)[:12] + b"\xc0\x0c" * 9, "no answer in time"),
        (lambda query, tcp: header(query, answers=255) + b"\xc0\x0c" * 500, "garbled"),
    ],
    ids=["silent", "refused", "servfail", "lame", "no question", "junk"],
)  # fmt: skip
def test_a_server_that_is_of_no_use_is_told_as_such(server: Server, answer: Answering, trouble: str) -> None:
    server.answers[NAME] = two_faced(server.answers[NAME], answer)
    seen = ask(server, deadline_s=1.5 if trouble == "no answer in time" else 8.0)
    (said,) = seen.servers
    assert said.status is None
    assert trouble in said.trouble
    assert seen.silent == (said,)
    assert seen.resolver.status is Status.FOUND
    assert Finding.SILENT in [f.finding for f in examine(NAME, None, [server.address], deadline_s=1).faults]


def test_65000_octets_of_txt_are_not_read(server: Server) -> None:
    server.answers[NAME] = records(f"{NAME} TXT " + " ".join(['"' + "x" * 250 + '"'] * 250), flags=AA)
    seen = ask(server)
    assert "octets long" in seen.servers[0].trouble
    assert "octets long" in seen.resolver.trouble


def test_a_key_that_needs_tcp_is_had(server: Server) -> None:
    text = '"' + '" "'.join(["x" * 250] * 8) + '"'
    server.answers[NAME] = records(f"{NAME} TXT {text}", flags=AA)
    assert ask(server).servers[0].texts == ((b"x" * 250,) * 8,)


def test_tcp_that_drips_is_over_in_time(server: Server) -> None:
    def drip(query: dns.message.Message, tcp: bool) -> Reply:
        return [b"\x10\x00", b"\0" * 10] if tcp else header(query, flags=AA | dns.flags.TC)

    server.answers[NAME] = two_faced(server.answers[NAME], drip)
    assert "cut short" in ask(server).servers[0].trouble


def test_of_many_servers_some_are_asked(server: Server) -> None:
    hosts = [f"ns{n}.far.example" for n in range(200)]
    server.answers["far.example"] = records(
        "far.example NS " + " | ".join(f"{host}." for host in hosts), flags=AA
    )
    for host in hosts:
        addresses = " | ".join(f"127.0.0.{n}" for n in range(1, 60))
        server.answers[host] = records(f"{host} A {addresses}", flags=AA)
    seen = ask(server)
    assert len(seen.servers) == dnsauthority.MAX_SERVERS * dnsauthority.MAX_ADDRESSES
    assert len(server.asked) < 400


@pytest.mark.parametrize("address", ["0.0.0.0", "224.0.0.1", "255.255.255.255"])
def test_an_address_that_is_none_of_a_host_is_not_asked(server: Server, address: str) -> None:
    server.answers["ns.far.example"] = records(f"ns.far.example A {address}", flags=AA)
    assert "no server can have this address" in ask(server).servers[0].trouble


def test_a_server_without_an_address_is_named(server: Server) -> None:
    server.answers["ns.far.example"] = nxdomain
    (said,) = ask(server).servers
    assert (said.server, said.address, said.trouble) == ("ns.far.example", "", "it has no address")


@pytest.mark.parametrize("length", [1, 2, 30])
def test_aliases_without_an_end_are_left(server: Server, length: int) -> None:
    def alias(query: dns.message.Message, tcp: bool) -> bytes:
        name = query.question[0].name.to_text(True)
        number = (int(name.partition(".")[0][1:]) + 1) % length
        return records(f"{name} CNAME c{number}.far.example.", flags=AA)(query, tcp)

    for n in range(length):
        server.answers[f"c{n}.far.example"] = alias
    seen = ask(server, "c0.far.example")
    assert "have no end" in seen.trouble
    assert len(seen.aliases) <= dnsauthority.MAX_ALIASES


def test_an_alias_is_followed_and_said(server: Server) -> None:
    server.answers["b.far.example"] = records(f"b.far.example CNAME {NAME}.", f'{NAME} TXT "x"', flags=AA)
    seen = ask(server, "b.far.example")
    assert seen.aliases == (NAME,)
    assert seen.servers[0].texts == ((b"v=DKIM1; p=",),)


def test_a_wildcard_is_noticed_where_it_is_asked_for(server: Server) -> None:
    def anything(query: dns.message.Message, tcp: bool) -> bytes:
        return records(f'{query.question[0].name.to_text(True)} TXT "v=DKIM1; p="', flags=AA)(query, tcp)

    assert not ask(server, wildcard=True).is_wildcard
    server.default = anything
    assert ask(server, wildcard=True).is_wildcard
    assert not ask(server).is_wildcard


def test_a_resolver_that_is_silent_is_trouble_and_nothing_is_guessed(server: Server) -> None:
    server.default = silent
    server.answers.clear()
    seen = ask(server, deadline_s=1)
    assert (seen.servers, seen.resolver.status) == ((), None)
    assert "no answer in time" in seen.trouble
    began = time.monotonic()
    examination = examine(NAME, None, [server.address], deadline_s=1)
    assert time.monotonic() - began < 4
    assert [fault.finding for fault in examination.faults] == [Finding.DNS_UNAVAILABLE]


@pytest.mark.parametrize("name", ["", ".", "a" * 64 + ".example", "a." * 40 + "example", "ü.example", "a..b"])
def test_a_name_that_cannot_be_is_trouble_and_no_exception(server: Server, name: str) -> None:
    seen = ask(server, name)
    assert not seen.answered
    assert dnssecure.chain(name, [server.address], deadline_s=1).trouble


def test_hundreds_of_keys_and_signatures_are_not_all_tried(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CVE-2023-50387: many keys with one tag, many signatures, each of which might be by any of them."""
    tried: list[int] = []
    monkeypatch.setattr(dnssecure, "is_signed", lambda *_: tried.append(1))
    key = "257 3 13 " + "A" * 86 + "=="
    tag = dnssecure.tag(dns.rrset.from_text(".", 300, "IN", "DNSKEY", key)[0])
    monkeypatch.setattr(dnssecure, "tag", lambda _: tag)

    def trap(query: dns.message.Message, tcp: bool) -> bytes:
        response = dns.message.make_response(query)
        keys = [f"257 3 13 {n:04d}" + "A" * 82 + "==" for n in range(60)]
        signatures = [
            f"DNSKEY 13 0 300 20380101000000 20200101000000 {tag} . {n:04d}" + "A" * 82 + "=="
            for n in range(60)
        ]
        if query.question[0].rdtype == dns.rdatatype.DNSKEY:
            response.answer.append(dns.rrset.from_text(".", 300, "IN", "DNSKEY", *keys))
            response.answer.append(dns.rrset.from_text(".", 300, "IN", "RRSIG", *signatures))
        return response.to_wire(max_size=65535) if tcp else header(query, flags=dns.flags.TC)

    server.answers["."] = server.answers[""] = server.answers["@"] = trap
    found = dnssecure.chain(NAME, [server.address], deadline_s=8)
    assert [fault.finding for fault in found.faults] == [Finding.SIGNATURE_WRONG]
    assert "too many" in found.faults[0].detail
    assert len(tried) == dnssecure.MAX_TRIES
