"""One connection of the native door: octets in, commands to a ``Gathering``, its decision back as octets.

A message is judged in the loop where its handler need not wait, and in a thread where it must; its connection
reads nothing meanwhile. One write an answer, so that no TCP timer ever comes between us and Postfix.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from itertools import chain
from typing import cast

from postvouch.host.log import WARNING
from postvouch.milters.answer import answer, negotiate, refuse
from postvouch.milters.gather import Door, Gathering
from postvouch.values.decision import Decision
from postvouch.values.dns import WouldWait
from postvouch.values.reply import LATER
from postvouch.wire import milter
from postvouch.wire.fault import ProtocolError

MANY_FIELDS, LARGE_FIELD = 64, 16384
"""So many fields wait at most to be read, and none of so many octets."""


@dataclass(slots=True, kw_only=True)
class Shared:
    """What the connections of a process share. ``pool`` has the threads that may wait."""

    door: Door
    pool: Executor
    connections: "set[Connection]" = field(default_factory=set)
    draining: bool = False


class Connection(asyncio.Protocol):
    """One connection from Postfix."""

    __slots__ = (
        "_blocked", "_busy", "_decoder", "_fault", "_fields", "_gathering", "_known", "_macros", "_options",
        "_paused", "_rest", "_shared", "_socket", "_transport",
    )  # fmt: skip

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._gathering = Gathering(shared.door)
        self._decoder = milter.Decoder()
        self._macros = milter.Macros()
        self._options = _NOTHING_AGREED
        self._fields: list[bytes] = []
        self._known = _NEW
        self._transport: asyncio.Transport | None = None
        self._socket: socket.socket | None = None
        self._rest: Iterator[tuple[int, bytes]] = iter(())
        self._fault: ProtocolError | None = None
        self._busy = self._blocked = self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Postfix connects."""
        self._transport = cast(asyncio.Transport, transport)
        self._shared.connections.add(self)
        peer = transport.get_extra_info("socket")
        if peer is not None and peer.family != socket.AF_UNIX:
            self._socket = peer
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # a host that vanishes says nothing

    def connection_lost(self, error: Exception | None) -> None:
        """It is gone; a message under way is aborted, at once or when its thread is done with it."""
        self._transport = None
        self._rest = iter(())
        self._shared.connections.discard(self)
        if not self._busy:
            self._gathering.abort()

    def data_received(self, data: bytes) -> None:
        """Some octets of the protocol."""
        if self._socket is not None:
            # Postfix writes a message in several pieces, and Nagle has each wait for our ACK of the last.
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        if self._fault is not None:
            return
        try:
            commands = self._decoder.feed(data)
        except ProtocolError as error:
            self._fault = error
            commands = [*error.before, (_END_OF_PROTOCOL, b"")]
        # While a command is waited for nothing is read, but what was read before may follow it.
        self._rest = chain(self._rest, commands) if self._paused else iter(commands)
        self._go_on()

    def pause_writing(self) -> None:
        """Nobody collects our answers."""
        self._blocked = True

    def resume_writing(self) -> None:
        """They are being collected."""
        self._blocked = False
        self._go_on()

    @property
    def open(self) -> bool:
        """Whether a message is under way."""
        return self._known is _OPEN or self._known is _BODY

    def finish(self) -> None:
        """End when no message is under way."""
        if not self.open and self._transport is not None:
            self._transport.close()

    def _go_on(self) -> None:
        """Take command after command until there is none, or one that has to be waited for."""
        try:
            for command, data in self._rest:
                step = self._known.get(command)
                if step is None:
                    fault = self._fault if command == _END_OF_PROTOCOL else None
                    raise fault or ProtocolError("unexpected", "a command unknown, or out of its order")
                step(self, data)
                if self._busy or self._blocked or self._known is _OVER:
                    break
        except ProtocolError as error:
            self._shared.door.log.note(f"connection closed: {error}", level=WARNING)
            self._close()
        except Exception as error:
            self._shared.door.log.exception("", error)
            self._shared.door.metrics.bug()
            self._close()
        pause = self._busy or self._blocked
        if pause is not self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = pause
            if pause:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def _close(self) -> None:
        self._known, self._rest = _OVER, iter(())
        if self._transport is not None:
            self._transport.close()

    def _write(self, octets: bytes) -> None:
        if self._transport is not None:
            self._transport.write(octets)

    def _continue(self, command: int) -> None:
        """Answer a command that decides nothing, unless no answer was negotiated."""
        if not self._options.protocol & milter.SILENT[command]:
            self._write(milter.CONTINUE)

    def _on_options(self, data: bytes) -> None:
        self._options, reply = negotiate(data[:12], self._shared.door.handler.keeps > 0)
        self._known = _IDLE
        self._write(reply)

    def _on_macros(self, data: bytes) -> None:
        self._macros.define(data)

    def _on_connect(self, data: bytes) -> None:
        self._macros.begin(milter.CONNECT)
        name, address, port = milter.client(data)
        try:
            if address:
                socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
        except OSError:
            raise ProtocolError("malformed", "a client whose address is none") from None
        self._gathering.connect(name, address, port)
        self._continue(milter.CONNECT)

    def _on_helo(self, data: bytes) -> None:
        self._macros.begin(milter.HELO)
        self._gathering.helo(milter.first(data).decode("utf-8", "surrogateescape"))
        self._continue(milter.HELO)

    def _on_mail(self, data: bytes) -> None:
        self._macros.begin(milter.MAIL)
        self._fields = []
        self._gathering.mail(milter.first(data))
        self._known = _OPEN
        self._continue(milter.MAIL)

    def _on_rcpt(self, data: bytes) -> None:
        self._gathering.rcpt(milter.first(data))
        self._continue(milter.RCPT)

    def _on_data(self, data: bytes) -> None:
        self._gathering.data(self._macros.get(b"i"))
        self._continue(milter.DATA)

    def _on_header(self, data: bytes) -> None:
        self._fields.append(data)
        if len(self._fields) == MANY_FIELDS or len(data) > LARGE_FIELD:
            self._read_fields()
        if not self._options.protocol & _SILENT_HEADER:
            self._write(milter.CONTINUE)

    def _read_fields(self) -> None:
        """Fields are read together, which costs less than one by one."""
        waiting, self._fields = self._fields, []
        blank = b"" if self._options.protocol & milter.LEADING_SPACE else b" "
        self._gathering.header([milter.field(data, blank) for data in waiting])

    def _on_body(self, data: bytes) -> None:
        self._known = _BODY
        self._read_fields()
        self._gathering.body(data)
        self._continue(milter.BODY)

    def _on_end(self, data: bytes) -> None:
        self._read_fields()
        if data:  # the last chunk may come with the end
            self._gathering.body(data)
        macro = self._macros.get
        self._gathering.end(
            queue_id=macro(b"i"),
            login=macro(b"{auth_authen}"),
            certificate=macro(b"{cert_subject}"),
            daemon_name=macro(b"{daemon_name}"),
        )
        try:
            decision = self._gathering.judge(may_wait=False)
        except WouldWait:
            self._busy = True
            loop = asyncio.get_running_loop()
            loop.run_in_executor(self._shared.pool, self._gathering.judge).add_done_callback(self._judged)
        else:
            self._answer(decision)

    def _judged(self, future: "asyncio.Future[Decision]") -> None:
        """A thread has judged, and waited where it had to."""
        self._busy = False
        if self._transport is None:
            self._gathering.abort()
            return
        self._answer(future.result())
        self._go_on()

    def _answer(self, decision: Decision) -> None:
        """Carry a decision back; what cannot be said, or was not offered, is a fault of ours."""
        try:
            octets = answer(decision, self._options)
        except Exception as error:
            decision = self._gathering.broke(error, decision)
            octets = refuse(LATER)
        self._write(octets)
        self._gathering.told(decision)
        self._over()

    def _over(self) -> None:
        self._known = _IDLE
        if self._shared.draining:
            self._close()

    def _on_abort(self, data: bytes) -> None:
        self._gathering.abort()
        self._over()

    def _on_quit(self, data: bytes) -> None:
        self._close()

    def _on_quit_for_next(self, data: bytes) -> None:
        """Another client comes on this connection."""
        self._gathering.abort()
        self._macros = milter.Macros()
        self._over()


_NOTHING_AGREED = milter.Options()
_SILENT_HEADER = milter.SILENT[milter.HEADER]
_END_OF_PROTOCOL = -1
_Steps = dict[int, Callable[[Connection, bytes], None]]
_NEW: _Steps = {milter.OPTIONS: Connection._on_options, milter.QUIT: Connection._on_quit}
_BODY: _Steps = {
    milter.MACROS: Connection._on_macros,
    milter.HELO: Connection._on_helo,
    milter.MAIL: Connection._on_mail,
    milter.BODY: Connection._on_body,
    milter.END: Connection._on_end,
    milter.ABORT: Connection._on_abort,
    milter.QUIT: Connection._on_quit,
    milter.QUIT_FOR_NEXT: Connection._on_quit_for_next,
    milter.UNKNOWN: lambda self, data: self._continue(milter.UNKNOWN),
}
_OPEN: _Steps = {
    **_BODY,
    milter.RCPT: Connection._on_rcpt,
    milter.DATA: Connection._on_data,
    milter.HEADER: Connection._on_header,
    milter.END_OF_HEADER: lambda self, data: self._continue(milter.END_OF_HEADER),
}
_OVER: _Steps = {}
_IDLE: _Steps = {
    **{command: step for command, step in _BODY.items() if command not in (milter.BODY, milter.END)},
    milter.CONNECT: Connection._on_connect,
}
