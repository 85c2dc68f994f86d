"""The zones of the openspf suite: as a literal resolver, and behind a DNS server on loopback sockets.

    with Server() as server:
        server.zone = Zone(scenario["zonedata"])
        DnsResolver([server.address])               # "127.0.0.1@PORT"

TIMEOUT and names that begin with "error." get no answer at all. What is larger than 512 octets is truncated
over UDP, so that it is asked for again over TCP. Where there is no TXT, the suite's "SPF" stands for it.
"""

import socket
import struct
import threading
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import yaml
from dns.rdtypes.ANY.TXT import TXT

from postvouch.values.dns import NO_DATA, NO_SUCH_NAME, DnsUnavailable, Records, Status

FOLDER = Path(__file__).parent / "vectors" / "spf"
# The C loader is five times as fast; wheels have it, Debian has it, a source build may not.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
SCENARIOS = list(yaml.load_all((FOLDER / "rfc7208-tests.yml").read_text(encoding="utf-8"), Loader=LOADER))
CASES = [(scenario, name, case) for scenario in SCENARIOS for name, case in scenario["tests"].items()]
UDP_OCTETS = 512


class Zone:
    """Zone data as the suite writes them."""

    def __init__(self, zonedata: dict[str, list[Any]]) -> None:
        self.names = {name.lower(): entries for name, entries in zonedata.items()}
        self.silent = "TIMEOUT" in str(zonedata)

    def step(self, name: str, kind: str) -> tuple[str, list[Any]] | None:
        """What the name itself has: ("CNAME", [target]) or (kind, values); None for no such name.

        Raises DnsUnavailable for silence.
        """
        entries = self.names.get(name)
        if entries is None:
            if name.startswith("error."):
                raise DnsUnavailable("timeout")
            return None
        pairs = [(t, v) for e in entries if e != "TIMEOUT" for t, v in e.items()]
        types = {t for t, _ in pairs}
        if "CNAME" in types and kind != "CNAME":
            return "CNAME", [v for t, v in pairs if t == "CNAME"]
        wanted = "SPF" if kind == "TXT" and "TXT" not in types else kind
        found = [v for t, v in pairs if t == wanted and v != "NONE"]
        if not found and "TIMEOUT" in entries:
            raise DnsUnavailable("timeout")
        return kind, found

    def lookup(self, name: str, kind: str) -> Records:
        """Answer as ``postvouch.values.dns.Resolver`` does."""
        name = name.lower().removesuffix(".")
        seen: set[str] = set()
        while name not in seen:
            seen.add(name)
            step = self.step(name, kind)
            if step is None:
                return NO_SUCH_NAME
            if step[0] == kind:
                values = tuple(_value(kind, v) for v in step[1])
                return Records(status=Status.FOUND, values=values) if values else NO_DATA
            name = step[1][0].lower().removesuffix(".")
        raise DnsUnavailable("CNAME loop")


def _strings(value: str | list[str]) -> list[bytes]:
    return [s.encode("latin-1") for s in ([value] if isinstance(value, str) else value)]


def _value(kind: str, value: Any) -> bytes | str | tuple[int, str]:
    if kind == "TXT":
        return b"".join(_strings(value))
    if kind == "MX":
        return (value[0], value[1].lower().removesuffix("."))
    return str(value).lower().removesuffix(".")


class Server:
    """One zone at a time over UDP and TCP. ``asked``: (transport, name, type) of every question, in order."""

    def __init__(self) -> None:
        self.zone = Zone({})
        self.asked: list[tuple[str, str, str]] = []
        self._tcp = socket.create_server(("127.0.0.1", 0))
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(self._tcp.getsockname())
        self._udp.settimeout(0.1)
        self._tcp.settimeout(0.1)
        self._stop = threading.Event()
        self.address = f"127.0.0.1@{self._tcp.getsockname()[1]}"
        self._threads = [threading.Thread(target=t) for t in (self._serve_udp, self._serve_tcp)]

    def __enter__(self) -> "Server":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._udp.close()
        self._tcp.close()

    def _serve_udp(self) -> None:
        while not self._stop.is_set():
            try:
                octets, client = self._udp.recvfrom(65535)
            except TimeoutError:
                continue
            response = self._answer(octets, "udp")
            if response is None:
                continue
            wire = response.to_wire(max_size=65535)
            if len(wire) > UDP_OCTETS:
                response.flags |= dns.flags.TC
                response.answer = []
                wire = response.to_wire()
            self._udp.sendto(wire, client)

    def _serve_tcp(self) -> None:
        while not self._stop.is_set():
            try:
                connection, _ = self._tcp.accept()
            except TimeoutError:
                continue
            connection.settimeout(5)
            with connection, connection.makefile("rb") as stream:
                (length,) = struct.unpack("!H", stream.read(2))
                response = self._answer(stream.read(length), "tcp")
                if response is not None:
                    wire = response.to_wire(max_size=65535)
                    connection.sendall(struct.pack("!H", len(wire)) + wire)

    def _answer(self, octets: bytes, transport: str) -> dns.message.Message | None:
        """The response as a recursive server gives it, CNAMEs followed; None for silence."""
        query = dns.message.from_wire(octets)
        response = dns.message.make_response(query, recursion_available=True)
        name, kind = query.question[0].name, dns.rdatatype.to_text(query.question[0].rdtype)
        self.asked.append((transport, _text(name), kind))
        for _ in range(10):
            try:
                step = self.zone.step(_text(name), kind)
            except DnsUnavailable:
                return None
            if step is None:
                response.set_rcode(dns.rcode.NXDOMAIN)
                return response
            for value in step[1]:
                rdata = _rdata(step[0], value)
                rrset = response.find_rrset(response.answer, name, rdata.rdclass, rdata.rdtype, create=True)
                rrset.add(rdata, 60)
            if step[0] == kind:
                return response
            name = _name(step[1][0])
        response.answer = []
        response.set_rcode(dns.rcode.SERVFAIL)
        return response


def _text(name: dns.name.Name) -> str:
    return b".".join(name.labels[:-1]).decode("latin-1").lower()


def _name(text: str) -> dns.name.Name:
    labels = text.removesuffix(".").encode("latin-1").split(b".")
    return dns.name.Name([*(label for label in labels if label), b""])


def _rdata(kind: str, value: Any) -> dns.rdata.Rdata:
    if kind == "TXT":
        cut = [s[n : n + 255] for s in _strings(value) for n in range(0, len(s) or 1, 255)]
        return TXT(dns.rdataclass.IN, dns.rdatatype.TXT, cut or [b""])
    text = f"{value[0]} {_name(value[1])}" if kind == "MX" else str(value)
    if kind in ("CNAME", "PTR"):
        text = _name(value).to_text()
    return dns.rdata.from_text("IN", kind, text)
