"""A DNS server on the loopback for daemons under test: the literal of ``fakedns`` over UDP.

    with serving("far.example TXT v=spf1 ip4:192.0.2.7 -all", "dead.example TEMPERROR") as server:
        servers = [server]                          # "127.0.0.1@PORT"

TEMPERROR is answered as SERVFAIL, so no test waits for a timeout.
"""

import contextlib
import socket
import threading
from collections.abc import Iterator

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
from fakedns import Zone, zone

from postvouch.values.dns import DnsUnavailable, Status


def _answer(records: Zone, octets: bytes) -> bytes:
    query = dns.message.from_wire(octets)
    response = dns.message.make_response(query, recursion_available=True)
    question = query.question[0]
    kind = dns.rdatatype.to_text(question.rdtype)
    try:
        found = records.lookup(question.name.to_text(), kind)
    except DnsUnavailable:
        response.set_rcode(dns.rcode.SERVFAIL)
        return response.to_wire()
    if found.status is Status.NXDOMAIN:
        response.set_rcode(dns.rcode.NXDOMAIN)
    texts = []
    for value in found.values:
        if isinstance(value, bytes):
            parts = [value[n : n + 255] for n in range(0, len(value), 255)]
            texts.append(
                " ".join(
                    '"' + part.decode().replace("\\", "\\\\").replace('"', '\\"') + '"' for part in parts
                )
            )
        else:
            texts.append(f"{value[0]} {value[1]}." if isinstance(value, tuple) else value)
    if texts:
        response.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *texts))
    return response.to_wire()


@contextlib.contextmanager
def serving(*records: str) -> Iterator[str]:
    """Serve these records until the end of the block; the server as dns.servers wants it."""
    literal = zone(*records)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(0.1)
        stop = threading.Event()

        def serve() -> None:
            while not stop.is_set():
                try:
                    octets, client = server.recvfrom(4096)
                except TimeoutError:
                    continue
                server.sendto(_answer(literal, octets), client)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1@{server.getsockname()[1]}"
        finally:
            stop.set()
            thread.join()
