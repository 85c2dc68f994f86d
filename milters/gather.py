"""One connection from Postfix, whatever carries it: gathers events into a ``Message``, has it judged, tells.

The doors (``session`` over libmilter, ``native`` without) hand events in as octets and carry the decision
back. Postfix waits for our answer to END-OF-MESSAGE and to little else. So nothing that gathers may raise or
refuse: what is wrong with a message is kept until its end and answered there.
"""

import itertools
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from postvouch.auth.bodies import BodyHashes
from postvouch.host import turn
from postvouch.host.log import ERROR, INFO, Log
from postvouch.host.metrics import Metrics
from postvouch.values.decision import Decision, Defer, Edit, RemoveField
from postvouch.values.message import Client, Envelope, Field, Header, Message
from postvouch.values.reply import LATER
from postvouch.wire import milter

MAX_HEADER = (
    4 << 20
)  # octets of fields and recipients, 64 more for each: 10 MB of tiny ones would be hundreds here
LOOPBACK = ("127.0.0.1", "::1")
MACROS = {
    # "j" because it is always there: libmilter does not forget what was said before when nothing is said.
    milter.CONNECT: "j {daemon_name}", milter.HELO: "j {cert_subject}",
    # {cert_subject} again: who says STARTTLS need not say HELO after it.
    milter.MAIL: "j i {auth_authen} {cert_subject}", milter.RCPT: "i", milter.DATA: "i", milter.END: "i",
}  # fmt: skip
"""Command -> what Postfix shall say before it, whatever milter_*_macros in its main.cf are."""
NOTHING = Message()
BUG = Decision(verdict=Defer(LATER), code="bug")


class Handler(Protocol):
    """What judges a message: verify or sign. Replaced as a whole when the configuration changes.

    ``keeps``: so many octets of the body of a letter of the null sender are kept for ``handle``, which may
    replace that body; 0: of none, and no body is ever replaced.
    """

    keeps: int

    def hashes(self, fields: Sequence[Field]) -> BodyHashes:
        """What is to be made of the body as it arrives, and is not kept; asked with its first chunk."""
        ...

    def handle(self, message: Message, *, may_wait: bool = True) -> Decision:
        """Decide about one message; an exception is a bug and defers the message.

        Without ``may_wait`` it raises ``WouldWait`` instead of waiting for anything outside, having changed
        nothing; it is then called again, in a thread where it may wait.
        """
        ...

    def tick(self) -> None:
        """Called each second or so, in a thread of its own in each worker."""
        ...


@dataclass(slots=True, kw_only=True)
class Door:
    """What all connections of a process share. ``under_way``: the messages begun and not yet answered."""

    handler: Handler
    log: Log
    metrics: Metrics
    under_way: set[int] = field(default_factory=set)
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)


class Gathering:
    """What one connection has said so far: one message after another, each from MAIL FROM to its end."""

    __slots__ = (
        "_address", "_began", "_body", "_door", "_fault", "_fields", "_handler", "_hashes", "_header",
        "_header_size", "_helo", "_in_data", "_local", "_login", "_message", "_name", "_number", "_port",
        "_queue_id", "_recipients", "_room", "_sender",
    )  # fmt: skip
    _recipients: list[str]
    _header_size: int
    _fields: list[Field]
    _body: list[bytes]
    _header: Header
    _hashes: BodyHashes | None
    _fault: Exception | None
    _message: Message

    def __init__(self, door: Door) -> None:
        self._door = door
        self._number = -1
        self._forget()
        self.connect("", "", 0)

    def connect(self, name: str, address: str, port: int) -> None:
        """The SMTP client, or cleanup(8) playing one as localhost, port 0, for mail that no client sent.

        ``address`` is "" where Postfix does not know it.
        """
        self._name, self._address, self._port, self._helo = name, address, port, ""
        self._local = name == "localhost" and address in LOOPBACK and port == 0
        if self._number >= 0:
            self._forget()

    def helo(self, name: str) -> None:
        """HELO comes again after STARTTLS; the last one counts."""
        self._helo = name

    def mail(self, path: bytes) -> None:
        """MAIL FROM begins a message, whatever became of the one before."""
        if self._number >= 0:
            self._forget()
        # A message that began with one configuration ends with it.
        self._handler = self._door.handler
        self._number = next(self._door.numbers)
        self._door.under_way.add(self._number)
        self._sender = _without_brackets(path)
        self._room = 0 if self._sender else self._handler.keeps

    def rcpt(self, path: bytes) -> None:
        """An accepted recipient, before aliases."""
        self._header_size += len(path) + 64
        if self._header_size <= MAX_HEADER:
            self._recipients.append(_without_brackets(path))

    def data(self, queue_id: str) -> None:
        """The message follows."""
        self._in_data, self._queue_id = True, queue_id

    def header(self, fields: Iterable[tuple[bytes, bytes]]) -> None:
        """Some fields, name and value as Postfix has it: first blank included, folds as LF."""
        size, append = self._header_size, self._fields.append
        for name, value in fields:
            if b"\n" in value:
                value = value.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
            size += len(name) + len(value) + 64
            if size <= MAX_HEADER:
                append(Field(name, value))
        self._header_size = size

    def body(self, chunk: bytes) -> None:
        """A chunk of the body: hashed and forgotten, but for the head of one that may be replaced."""
        if self._room > 0:
            self._body.append(chunk[: self._room])
            self._room -= len(chunk)
        try:
            if self._hashes is None:
                self._header = Header(self._fields)
                self._hashes = self._handler.hashes(self._header)
            self._hashes.feed(chunk)
        except Exception as error:
            # Postfix hears nothing until the end of the message: so does our fault.
            self._fault = error

    def end(self, *, queue_id: str, login: str, certificate: str, daemon_name: str) -> None:
        """The end of the message, with what the other side says beside it."""
        self._began = time.perf_counter()
        self._queue_id = queue_id or self._queue_id
        self._login = login
        try:
            self._message = Message(
                queue_id=self._queue_id,
                client=Client(
                    address=self._address,
                    name=self._name,
                    helo=self._helo,
                    port=self._port,
                    login=login,
                    certificate=certificate,
                    daemon_name=daemon_name,
                    local=self._local and not login,
                ),
                envelope=Envelope(sender=self._sender, recipients=tuple(self._recipients)),
                fields=self._header if self._hashes is not None else Header(self._fields),
                body=tuple(self._body),
                digests=self._hashes.finish() if self._hashes is not None else None,
            )
        except Exception as error:
            self._fault = self._fault or error

    def judge(self, *, may_wait: bool = True) -> Decision:
        """What the handler decides about the message that has ended; a fault of ours is logged and is BUG.

        WouldWait where it may not wait and would have to; it is then asked again, in any thread.
        """
        if self._fault is not None:
            return self.broke(self._fault)
        if self._header_size > MAX_HEADER:
            return Decision(verdict=Defer(LATER), code="header-too-long")
        try:
            if not may_wait:
                return self._handler.handle(self._message, may_wait=False)
            with turn.taken():
                return self._handler.handle(self._message)
        except Exception as error:
            return self.broke(error)

    def broke(self, error: Exception, decision: Decision = BUG) -> Decision:
        """Log a fault of ours, with its traceback; what becomes of the message, and what was found so far."""
        self._door.log.exception(self._queue_id, error)
        self._door.metrics.bug()
        return Decision(verdict=BUG.verdict, code=BUG.code, facts=decision.facts)

    def told(self, decision: Decision) -> None:
        """The decision was carried back: its log line and its numbers; the message is over."""
        seconds = time.perf_counter() - self._began
        self._tell(decision.action, decision.code, decision.facts, seconds)
        self._door.metrics.message(decision.action, decision.code, seconds)
        self._door.metrics.results(decision.facts, decision.code)
        self._forget()

    def abort(self) -> None:
        """RSET, or the connection broke. Silence if no data had come: Postfix logs such sessions itself."""
        if self._in_data:
            self._tell("none", "aborted", (), 0.0)
            self._door.metrics.message("none", "aborted", 0.0)
        if self._number >= 0:
            self._forget()

    def _forget(self) -> None:
        self._door.under_way.discard(self._number)
        self._number = -1
        self._handler = self._door.handler
        self._sender, self._queue_id, self._login = "", "", ""
        self._recipients, self._fields, self._header_size = [], [], 0
        self._in_data, self._room = False, 0
        self._body = []
        self._hashes, self._fault, self._message = None, None, NOTHING
        self._began = time.perf_counter()

    def _tell(self, action: str, code: str, facts: tuple[tuple[str, str], ...], seconds: float) -> None:
        pairs = [("from", f"<{self._sender}>"), ("client", f"{self._name}[{self._address}]")]
        if self._login:
            pairs.append(("login", self._login))
        pairs += facts
        pairs += [("action", action), ("reason", code), ("ms", f"{seconds * 1000:.0f}")]
        self._door.log.line(self._queue_id, pairs, level=ERROR if code == "bug" else INFO)


def in_order(edits: Sequence[Edit]) -> list[Edit]:
    """Edits as they must go out: removals first, the highest first, as each renumbers those below it."""
    removals = [edit for edit in edits if isinstance(edit, RemoveField)]
    if not removals:
        return list(edits)
    removals.sort(key=lambda edit: edit.nth, reverse=True)
    return [*removals, *(edit for edit in edits if not isinstance(edit, RemoveField))]


def _without_brackets(path: bytes) -> str:
    """<a@b> or a@b, as smtpd or cleanup writes it; octets that are no UTF-8 survive as surrogates."""
    if path.startswith(b"<") and path.endswith(b">"):
        path = path[1:-1]
    return path.decode("utf-8", "surrogateescape")
