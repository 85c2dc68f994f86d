"""A DNS server on the loopback, honest or not, over UDP and TCP.

    with serving("far.example TXT v=spf1 ip4:192.0.2.7 -all", "dead.example TEMPERROR") as server:
        servers = [server]                          # "127.0.0.1@PORT"

The records are the literal of ``fakedns``; TEMPERROR is answered as SERVFAIL, so no test waits for a timeout.

    with Server() as server:
        server.answers["far.example"] = records("far.example A 192.0.2.1", ttl=300)
        server.answers["slow.example"] = silent

Here an answer is a function (query, tcp) -> Reply, in a thread of its own: it may wait.
"""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Self

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
from fakedns import zone

from postvouch.values.dns import DnsUnavailable, Resolver, Status

Reply = bytes | list[bytes] | None
"""A message; several datagrams, or pieces of a TCP stream that then ends, as they are; silence."""

Answering = Callable[[dns.message.Message, bool], Reply]

MOST_TEXT = 64000
SOA = "ns.example. admin.example. 1 3600 600 86400 60"


def rcode(code: dns.rcode.Rcode, *, soa: bool = True) -> Answering:
    """Answer with this code and nothing else but, perhaps, the SOA."""

    def answer(query: dns.message.Message, tcp: bool) -> bytes:
        response = dns.message.make_response(query)
        response.set_rcode(code)
        if soa:
            response.authority.append(dns.rrset.from_text("example.", 60, "IN", "SOA", SOA))
        return response.to_wire()

    return answer


def records(*sets: str, ttl: int = 300, flags: int = 0, soa: bool = True) -> Answering:
    """Answer with record sets written "owner TYPE rdata | rdata", truncated where UDP is too short for it."""

    def answer(query: dns.message.Message, tcp: bool) -> bytes:
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA | flags
        kind = query.question[0].rdtype
        for text in sets:
            owner, rdtype, rdata = text.split(" ", 2)
            if rdtype in (dns.rdatatype.to_text(kind), "CNAME"):
                values = rdata.split(" | ")
                response.answer.append(dns.rrset.from_text(owner + ".", ttl, "IN", rdtype, *values))
        if soa and not any(r.rdtype == kind for r in response.answer):
            response.authority.append(dns.rrset.from_text("example.", 60, "IN", "SOA", SOA))
        return _wire(response, query, tcp)

    return answer


def _wire(response: dns.message.Message, query: dns.message.Message, tcp: bool) -> bytes:
    """The response as it is sent, truncated where UDP is too short for it."""
    wire = response.to_wire(max_size=65535)
    # Nobody with EDNS promises less than 512.
    if not tcp and len(wire) > max(512, query.payload):
        response.answer.clear()
        response.flags |= dns.flags.TC
        wire = response.to_wire()
    return wire


nxdomain = rcode(dns.rcode.NXDOMAIN)


def silent(query: dns.message.Message, tcp: bool) -> None:
    """Say nothing."""


class Server:
    """A DNS server whose answers are functions by name; ``asked`` lists (name, type, over TCP)."""

    def __init__(self, default: Answering = nxdomain) -> None:
        self.answers: dict[str, Answering] = {}
        self.default = default
        self.asked: list[tuple[str, str, bool]] = []
        self.queries: list[dns.message.Message] = []
        self._over = threading.Event()
        self._udp, self._tcp = _sockets()
        self.port: int = self._udp.getsockname()[1]
        self.address = f"127.0.0.1@{self.port}"
        self._threads: list[threading.Thread] = []
        self._start(self._serve_udp)
        self._start(self._serve_tcp)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        while self._threads:
            self._threads.pop(0).join()
        self._udp.close()
        self._tcp.close()

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _answer(self, wire: bytes, tcp: bool) -> Reply:
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True)
        self.queries.append(query)
        self.asked.append((name, dns.rdatatype.to_text(question.rdtype), tcp))
        return self.answers.get(name.lower(), self.default)(query, tcp)

    def _serve_udp(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(TimeoutError):
                self._start(self._reply_udp, *self._udp.recvfrom(4096))

    def _reply_udp(self, wire: bytes, peer: object) -> None:
        reply = self._answer(wire, tcp=False)
        for datagram in [reply] if isinstance(reply, bytes) else reply or []:
            self._udp.sendto(datagram, peer)

    def _serve_tcp(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(TimeoutError):
                self._start(self._reply_tcp, self._tcp.accept()[0])

    def _reply_tcp(self, connection: socket.socket) -> None:
        # Who is asked may hang up in the middle of what we say.
        with connection, contextlib.suppress(ConnectionError):
            connection.settimeout(10)
            size = int.from_bytes(connection.recv(2))
            reply = self._answer(connection.recv(size), tcp=True)
            if isinstance(reply, bytes):
                connection.sendall(len(reply).to_bytes(2) + reply)
            elif reply is None:
                connection.recv(1)
            else:
                for piece in reply:
                    connection.sendall(piece)


def _sockets() -> tuple[socket.socket, socket.socket]:
    """A UDP and a TCP socket on one port of the loopback."""
    while True:
        tcp = socket.create_server(("127.0.0.1", 0), backlog=50)
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            udp.bind(tcp.getsockname())
        except OSError:
            tcp.close()
            udp.close()
            continue
        for each in (udp, tcp):
            each.settimeout(0.05)
        return udp, tcp


def told_by(resolver: Resolver) -> Answering:
    """Answer what another resolver says, nothing with an SOA as a server does, no answer as SERVFAIL."""

    def answer(query: dns.message.Message, tcp: bool) -> bytes:
        response = dns.message.make_response(query, recursion_available=True)
        question = query.question[0]
        kind = dns.rdatatype.to_text(question.rdtype)
        try:
            found = resolver.lookup(question.name.to_text(), kind)
            if sum(map(len, found.texts())) > MOST_TEXT:
                raise DnsUnavailable("no message has room for it")
        except DnsUnavailable:
            response.set_rcode(dns.rcode.SERVFAIL)
            return response.to_wire()
        if found.status is Status.NXDOMAIN:
            response.set_rcode(dns.rcode.NXDOMAIN)
        texts = []
        for value in found.values:
            if isinstance(value, bytes):
                parts = [value[n : n + 255] for n in range(0, len(value) or 1, 255)]
                texts.append(
                    " ".join('"' + "".join(f"\\{octet:03}" for octet in part) + '"' for part in parts)
                )
            else:
                preference, name = value if isinstance(value, tuple) else ("", value)
                if kind not in ("A", "AAAA"):
                    # What is odd in a name may be anything else in the text of a record.
                    name = "".join(c if c.isalnum() or c in "-_." else f"\\{ord(c):03}" for c in name) + "."
                texts.append(f"{preference} {name}")
        if texts:
            response.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *texts))
        else:
            response.authority.append(dns.rrset.from_text(".", 60, "IN", "SOA", SOA))
        return _wire(response, query, tcp)

    return answer


@contextlib.contextmanager
def serving(*texts: str) -> Iterator[str]:
    """Serve these records until the end of the block; the server as dns.servers wants it."""
    with Server(told_by(zone(*texts))) as server:
        yield server.address
