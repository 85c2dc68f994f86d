"""An asyncio server for protocols that are functions on octets: one request, one answer, in order.

Postfix keeps hundreds of connections, most of them idle for as long as an SMTP session lasts, so idleness is
no reason to close one. What is bounded: the connections, the time to finish a request once begun, the answers
that a peer does not collect, the requests waiting behind a slow one. asyncio.Protocol and not streams, which
take 1.6 times as long; uvloop where it is installed.
"""

import asyncio
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from postvouch.host.listening import listen
from postvouch.host.log import ERROR, WARNING, Log
from postvouch.wire.fault import ProtocolError

BACKLOG = 1024
CHUNK = 65536

Request = TypeVar("Request")


class Decoder(Protocol):
    """Cuts octets into requests (``wire.netstring.Decoder``, ``wire.policy.Decoder``)."""

    @property
    def pending(self) -> int:
        """How many octets of an unfinished request are held."""
        ...

    def feed(self, data: bytes, /) -> Sequence[Any]:
        """The requests that are now complete; ProtocolError with those ``before`` it."""
        ...


class Handler(Protocol):
    """What a daemon answers. ``answer`` may be awaited for; one that raises is answered with ``fault``."""

    fault: bytes

    def decoder(self) -> Decoder:
        """A new decoder, for a new connection."""
        ...

    def answer(self, request: Any, /) -> bytes | Awaitable[bytes]:
        """The octets of the answer to one request."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one server bears. Seconds and counts."""

    connections: int = 10000
    request_s: float = 30.0
    collect_s: float = 60.0
    sweep_s: float = 5.0


class _Connection(asyncio.Protocol):
    """One client. Answers are made at once, or, from the first that must be awaited, by one task in order."""

    def __init__(self, server: "Server") -> None:
        self._server = server
        self._decoder = server.handler.decoder()
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[Any] = deque()
        self._task: asyncio.Task[None] | None = None
        self._ending = False
        self._paused = False
        self.begun = 0.0
        self.blocked = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if not self._server.admit(self):
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._waiting.clear()
        self._server.forget(self)

    def data_received(self, data: bytes) -> None:
        if self._ending:
            return
        try:
            requests = self._decoder.feed(data)
        except ProtocolError as error:
            requests = error.before
            self._server.log.note(f"connection closed: {error}", level=WARNING)
            self._ending = True
        if not self._decoder.pending:
            self.begun = 0.0
        elif not self.begun or requests:
            self.begun = time.monotonic()
        if len(requests) == 1 and not (self._waiting or self._task or self.blocked or self._ending):
            # The usual case: one question, answered before the next one is asked.
            answer = self._server.answer(requests[0])
            if isinstance(answer, bytes) and self._transport is not None:
                self._transport.write(answer)
            elif not isinstance(answer, bytes):
                self._begin(answer)
            return
        self._waiting.extend(requests)
        self._go_on()

    def eof_received(self) -> bool:
        self._ending = True
        self._end_if_done()
        return True

    def pause_writing(self) -> None:
        self.blocked = time.monotonic()

    def resume_writing(self) -> None:
        self.blocked = 0.0
        self._go_on()

    def _go_on(self) -> None:
        """Answer what waits until there is nothing left, an answer takes time, or nobody collects answers."""
        answers: list[bytes] = []
        size = 0
        while self._waiting and self._task is None and not self.blocked and self._transport is not None:
            answer = self._server.answer(self._waiting.popleft())
            if not isinstance(answer, bytes):
                self._begin(answer)
                break
            answers.append(answer)
            size += len(answer)
            if size > CHUNK:  # a write may block us: small requests can have large answers
                self._transport.write(b"".join(answers))
                answers, size = [], 0
        if self._transport is None or self._transport.is_closing():
            return
        if answers:
            self._transport.write(b"".join(answers))
        if self._waiting or self.blocked:
            self._pause(self._transport)
        elif not self._ending and self._paused:
            self._paused = False
            self._transport.resume_reading()
        self._end_if_done()

    def _pause(self, transport: asyncio.Transport) -> None:
        if not self._paused:
            self._paused = True
            transport.pause_reading()

    def _begin(self, answer: Awaitable[bytes]) -> None:
        self._task = asyncio.ensure_future(self._work(answer))

    async def _work(self, answer: Awaitable[bytes]) -> None:
        octets = await self._server.awaited(answer)
        if self._transport is not None:
            self._transport.write(octets)
        self._task = None
        self._go_on()

    def _end_if_done(self) -> None:
        if self._ending and self._task is None and not self._waiting and self._transport is not None:
            self._transport.close()

    def finish(self) -> None:
        """Answer what has been asked, then close."""
        self._ending = True
        if self._transport is not None:
            self._pause(self._transport)
        self._end_if_done()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()


class Server:
    """Listens on one socket and serves one handler; ``handler`` may be exchanged at any time."""

    def __init__(
        self, handler: Handler, log: Log, *, bug: Callable[[], None], limits: Limits | None = None
    ) -> None:
        self.handler = handler
        self.log = log
        self.limits = limits or Limits()
        self._bug = bug
        self._connections: set[_Connection] = set()
        self._listening: asyncio.Server | None = None
        self._path: tuple[Path, int] | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._refused = 0

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    async def start(self, address: str) -> None:
        """Listen on "unix:/path" or "inet:host:port". Raises OSError, SocketTaken among them."""
        loop = asyncio.get_running_loop()
        bound = listen(address)
        if bound.family == socket.AF_UNIX:
            path = Path(bound.getsockname())
            self._path = (path, path.stat().st_ino)
            self._listening = await loop.create_unix_server(self._connected, sock=bound, backlog=BACKLOG)
        else:
            self._listening = await loop.create_server(self._connected, sock=bound, backlog=BACKLOG)
        self._sweeper = loop.create_task(self._sweep())

    async def stop(self, grace_s: float = 5.0) -> None:
        """Take no more clients, finish the answers under way, close. Never raises."""
        if self._listening is not None:
            self._listening.close()
        if self._path is not None:
            path, inode = self._path
            try:
                if path.lstat().st_ino == inode:
                    path.unlink()
            except OSError:
                pass  # somebody cleaned up before us, or put his own there
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in tuple(self._connections):
            connection.finish()
        end = time.monotonic() + grace_s
        while self._connections and time.monotonic() < end:
            await asyncio.sleep(0.01)
        for connection in tuple(self._connections):
            connection.abort()
        await asyncio.sleep(0)

    def _connected(self) -> _Connection:
        return _Connection(self)

    def admit(self, connection: _Connection) -> bool:
        """Whether there is room for one more."""
        if len(self._connections) >= self.limits.connections:
            self._refused += 1
            return False
        self._connections.add(connection)
        return True

    def forget(self, connection: _Connection) -> None:
        """The connection is gone."""
        self._connections.discard(connection)

    def answer(self, request: Any) -> bytes | Awaitable[bytes]:
        """The handler's answer; its fault where it has a bug."""
        try:
            return self.handler.answer(request)
        except Exception as error:
            return self._fault(error)

    async def awaited(self, answer: Awaitable[bytes]) -> bytes:
        """The same for an answer that takes time."""
        try:
            return await answer
        except Exception as error:
            return self._fault(error)

    def _fault(self, error: Exception) -> bytes:
        self.log.exception("", error)
        self._bug()
        return self.handler.fault

    async def _sweep(self) -> None:
        """Cut those that begin a request and never end it, and those that never collect their answers."""
        while True:
            await asyncio.sleep(self.limits.sweep_s)
            now = time.monotonic()
            for c in tuple(self._connections):
                if c.begun and now - c.begun > self.limits.request_s:
                    self.log.note("connection closed: a request was begun and not finished", level=WARNING)
                    c.abort()
                elif c.blocked and now - c.blocked > self.limits.collect_s:
                    self.log.note("connection closed: answers are not collected", level=WARNING)
                    c.abort()
            if self._refused:
                text = f"{self._refused} connections refused: {self.limits.connections} are the limit"
                self.log.note(text, level=ERROR)
                self._refused = 0
