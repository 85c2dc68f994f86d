"""One query to one DNS server, by a deadline on the monotonic clock.

Each has a new socket, so a new port (RFC 5452 §9.2): whoever forges replies has to guess it. The callers say
which reply is the one to their question. Raises OSError, TimeoutError when the time is over.
"""

import socket
import time
from collections.abc import Callable

from postvouch.host.dnswire import BadReply

IsReply = Callable[[bytes], bool]


def over_udp(address: str, port: int, query: bytes, is_reply: IsReply, end: float) -> bytes:
    """The first reply that is one; others are passed over."""
    with _open(address, socket.SOCK_DGRAM) as udp:
        # Connected, so that the kernel drops what comes from elsewhere and tells when nobody listens.
        udp.connect((address, port))
        udp.send(query)
        while True:
            udp.settimeout(_until(end))
            reply = udp.recv(65535)
            if is_reply(reply):
                return reply


def over_tcp(
    address: str, port: int, query: bytes, is_reply: IsReply, end: float, *, most_octets: int = 65535
) -> bytes:
    """The reply; also raises BadReply for one that is none, or too long, or cut short."""
    with _open(address, socket.SOCK_STREAM) as tcp:
        tcp.settimeout(_until(end))
        tcp.connect((address, port))
        tcp.sendall(len(query).to_bytes(2) + query)
        size = int.from_bytes(_receive(tcp, 2, end))
        if size > most_octets:
            raise BadReply(f"the reply is {size} octets long")
        reply = _receive(tcp, size, end)
    if not is_reply(reply):
        raise BadReply("the reply is garbled")
    return reply


def _open(address: str, kind: socket.SocketKind) -> socket.socket:
    return socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)


def _receive(tcp: socket.socket, size: int, end: float) -> bytes:
    """So many octets, however they drip."""
    octets = bytearray()
    while len(octets) < size:
        tcp.settimeout(_until(end))
        more = tcp.recv(size - len(octets))
        if not more:
            raise BadReply("the reply is cut short")
        octets += more
    return bytes(octets)


def _until(end: float) -> float:
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
