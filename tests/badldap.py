"""LDAP servers that misbehave, on TCP: silent ones, slow ones, ones that hang up, ones that talk nonsense."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Behaviour = Callable[[socket.socket, threading.Event], None]
"""What is done with one client, until it is over or the event is set."""


@contextmanager
def server(behave: Behaviour) -> Iterator[int]:
    """Accept on a port of 127.0.0.1 and treat each client so; the port."""
    over = threading.Event()
    threads: list[threading.Thread] = []

    def serve(client: socket.socket) -> None:
        with client, suppress(OSError):
            behave(client, over)

    def accept() -> None:
        while not over.is_set():
            with suppress(TimeoutError):
                client, _ = listener.accept()
                threads.append(threading.Thread(target=serve, args=(client,)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        acceptor = threading.Thread(target=accept)
        acceptor.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            over.set()
            for thread in (acceptor, *threads):
                thread.join(10)


def silent(client: socket.socket, over: threading.Event) -> None:
    """Never says a word."""
    over.wait(30)


def drips(client: socket.socket, over: threading.Event) -> None:
    """An octet of an endless answer every now and then: never idle for long, never done."""
    client.sendall(b"\x30\x84\x00\x10\x00\x00")
    while not over.wait(0.1):
        client.sendall(b"\x00")


def nonsense(client: socket.socket, over: threading.Event) -> None:
    """Another protocol altogether."""
    client.sendall(b"0\x0c220 mail.far.example ESMTP\r\n" * 3)
    over.wait(30)


def _reply(request: bytes, tag: int, code: int) -> bytes:
    """An LDAPResult (RFC 4511 §4.1.9) to a request, whose messageID ldap3 counts for all connections."""
    header = 2 if request[1] < 0x80 else 2 + (request[1] & 0x7F)
    number = request[header : header + 2 + request[header + 1]]
    return bytes([0x30, 9 + len(number), *number, tag, 7, 0x0A, 1, code, 4, 0, 4, 0])


def ends_searches_with(code: int) -> Behaviour:
    """Takes any bind, and answers each search with this result and no entry."""

    def behave(client: socket.socket, over: threading.Event) -> None:
        client.sendall(_reply(client.recv(4096), 0x61, 0))
        while request := client.recv(4096):
            client.sendall(_reply(request, 0x65, code))

    return behave


def between(
    port: int, *, cut_after: int = 1 << 40, delay: float = 0.0, each: Callable[[], None] = lambda: None
) -> Behaviour:
    """Passes everything on to a good server, but hangs up after so many octets of its, or is slow.

    ``each`` is called before each request is passed on.
    """

    def behave(client: socket.socket, over: threading.Event) -> None:
        left = cut_after
        with socket.create_connection(("127.0.0.1", port), 5) as upstream:
            client.settimeout(0.005)
            upstream.settimeout(0.005)
            while not over.is_set():
                with suppress(TimeoutError):
                    data = client.recv(65536)
                    if not data:
                        return
                    each()
                    upstream.sendall(data)
                with suppress(TimeoutError):
                    data = upstream.recv(65536)
                    if not data:
                        return
                    time.sleep(delay)
                    client.sendall(data[:left])
                    left -= len(data)
                    if left <= 0:
                        return

    return behave
