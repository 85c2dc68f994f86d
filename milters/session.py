"""The adapter to libmilter: gathers what Postfix sends into a ``Message``, carries a ``Decision`` back.

Uses pymilter's inner module ``milter``, whose callbacks hand over bytes as they came, with an explicit
negotiation instead of class decorators: fewer calls a field, and types that mypy can follow. libmilter runs a
thread a connection; a ``Session`` belongs to one connection and sees one message after another.

Postfix waits for our answer only to CONNECT, HELO and END-OF-MESSAGE. So nothing that gathers may raise or
refuse: what is wrong with a message is kept until its end and answered there.
"""

import itertools
import socket
import time
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

try:
    import milter
except ImportError as error:
    raise ImportError("pymilter is missing: apt install python3-milter, or pip install pymilter") from error

from postvouch.host.log import ERROR, INFO, Log
from postvouch.host.metrics import Metrics
from postvouch.values.decision import (
    Accept,
    ChangeSender,
    Decision,
    Defer,
    InsertField,
    Quarantine,
    Reject,
    RemoveField,
)
from postvouch.values.message import Client, Envelope, Field, Message
from postvouch.values.reply import LATER, Reply

ACTIONS = milter.ADDHDRS | milter.CHGHDRS | milter.QUARANTINE | milter.CHGFROM
# Events that we have no use for, events that we do not answer, and field values with their first blank kept.
PROTOCOL = (
    (milter.P_NOUNKNOWN | milter.P_NOEOH)
    | (milter.P_NR_MAIL | milter.P_NR_RCPT | milter.P_NR_DATA | milter.P_NR_HDR | milter.P_NR_BODY)
    | milter.P_HDR_LEADSPC
)
BACKLOG = 512
MAX_HEADER = 4 << 20  # octets of all fields, 64 more for each: 10 MB of tiny ones would be hundreds here
LOOPBACK = ("127.0.0.1", "::1")


class Handler(Protocol):
    """What judges a message: verify or sign. Replaced as a whole when the configuration changes."""

    max_body: int

    def handle(self, message: Message) -> Decision:
        """Decide about one message. May block; an exception is a bug and defers the message."""
        ...

    def tick(self) -> None:
        """Called each second or so, in a thread of its own in each worker."""
        ...


@dataclass(slots=True, kw_only=True)
class Door:
    """What all sessions of a process share. ``under_way``: the messages begun and not yet answered."""

    handler: Handler
    log: Log
    metrics: Metrics
    under_way: set[int] = field(default_factory=set)
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)


class Session:
    """One connection from Postfix."""

    __slots__ = (
        "_body", "_client", "_context", "_door", "_fields", "_header_size", "_in_data", "_leading_space",
        "_limit", "_login", "_no_reply", "_number", "_queue_id", "_recipients", "_sender", "_size",
    )  # fmt: skip

    def __init__(self, context: Any, door: Door, protocol: int) -> None:
        self._context = context
        self._door = door
        self._client = Client()
        self._leading_space = bool(protocol & milter.P_HDR_LEADSPC)
        self._no_reply = protocol
        self._number = -1
        self._forget()

    def connect(self, name: str, family: int, address: Any) -> int:
        """The SMTP client, or cleanup(8) playing one as localhost, port 0, for mail that no client sent."""
        known = family in (socket.AF_INET, socket.AF_INET6) and isinstance(address, tuple)
        literal, port = (str(address[0]), int(address[1])) if known else ("", 0)
        self._client = Client(
            address=literal,
            name=name,
            port=port,
            local=name == "localhost" and literal in LOOPBACK and port == 0,
        )
        return int(milter.CONTINUE)

    def helo(self, name: str) -> int:
        """HELO comes again after STARTTLS; the last one counts."""
        self._client = replace(self._client, helo=name)
        return int(milter.CONTINUE)

    def mail(self, path: bytes) -> int:
        """MAIL FROM begins a message, whatever became of the one before."""
        self._forget()
        self._number = next(self._door.numbers)
        self._door.under_way.add(self._number)
        self._sender = _without_brackets(path)
        return self._silent(milter.P_NR_MAIL)

    def rcpt(self, path: bytes) -> int:
        """An accepted recipient, before aliases."""
        self._recipients.append(_without_brackets(path))
        return self._silent(milter.P_NR_RCPT)

    def data(self) -> int:
        """The queue id exists by now; before, only from the second recipient on."""
        self._in_data = True
        self._queue_id = self._context.getsymval("i") or ""
        return self._silent(milter.P_NR_DATA)

    def header(self, name: str, value: bytes) -> int:
        """One field, value as Postfix has it: first blank included, folds as LF."""
        if not self._leading_space:
            value = b" " + value
        if b"\n" in value:
            value = value.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        self._header_size += len(name) + len(value) + 64
        if self._header_size <= MAX_HEADER:
            self._fields.append(Field(name.encode(), value))
        return self._silent(milter.P_NR_HDR)

    def body(self, chunk: bytes) -> int:
        """A chunk of up to 64 KiB. What is above the limit is counted and not kept."""
        self._size += len(chunk)
        if self._size <= self._limit:
            self._body.append(chunk)
        return self._silent(milter.P_NR_BODY)

    def end(self) -> int:
        """Judge and answer. The one place that catches everything: our faults are for us to log, and Postfix
        keeps the message."""
        began = time.perf_counter()
        decision = Decision(verdict=Defer(LATER), code="bug")
        handler = self._door.handler
        try:
            message = self._message()
            if self._size > self._limit or self._header_size > MAX_HEADER:
                code = "body-too-long" if self._size > self._limit else "header-too-long"
                decision = Decision(verdict=Defer(LATER), code=code)
            else:
                decision = handler.handle(message)
            answer = self._apply(decision)
        except Exception as error:
            self._door.log.exception(self._queue_id, error)
            self._door.metrics.bug()
            decision = Decision(verdict=Defer(LATER), code="bug", facts=decision.facts)
            answer = self._refuse(LATER)
        seconds = time.perf_counter() - began
        self._tell(decision.action, decision.code, decision.facts, seconds)
        self._door.metrics.message(decision.action, decision.code, seconds)
        self._door.metrics.results(decision.facts)
        self._forget()
        return answer

    def abort(self) -> int:
        """RSET, or the connection broke. Silence if no data had come: Postfix logs such sessions itself."""
        if self._in_data:
            self._tell("none", "aborted", (), 0.0)
            self._door.metrics.message("none", "aborted", 0.0)
        self._forget()
        return int(milter.CONTINUE)

    def _forget(self) -> None:
        self._door.under_way.discard(self._number)
        self._sender, self._queue_id = "", ""
        self._recipients: list[str] = []
        self._fields: list[Field] = []
        self._body: list[bytes] = []
        self._header_size, self._size, self._limit = 0, 0, self._door.handler.max_body
        self._in_data, self._login = False, ""

    def _silent(self, step: int) -> int:
        """The return value of a step to which no reply was negotiated, or that of a polite old MTA."""
        return int(milter.NOREPLY if self._no_reply & step else milter.CONTINUE)

    def _message(self) -> Message:
        macro = self._context.getsymval
        self._queue_id = macro("i") or self._queue_id
        self._login = macro("{auth_authen}") or ""
        client = replace(
            self._client,
            login=self._login,
            daemon_name=macro("{daemon_name}") or "",
            local=self._client.local and not self._login,
        )
        return Message(
            queue_id=self._queue_id,
            client=client,
            envelope=Envelope(sender=self._sender, recipients=tuple(self._recipients)),
            fields=tuple(self._fields),
            body=tuple(self._body),
        )

    def _apply(self, decision: Decision) -> int:
        match decision.verdict:
            case Reject(reply) | Defer(reply):
                return self._refuse(reply)
            case Quarantine(reason):
                self._edit(decision)
                self._context.quarantine(reason)
            case Accept():
                self._edit(decision)
        return int(milter.CONTINUE)

    def _edit(self, decision: Decision) -> None:
        removals = [edit for edit in decision.edits if isinstance(edit, RemoveField)]
        # From the highest to the lowest: each removal renumbers the fields of that name below it.
        for removal in sorted(removals, key=lambda edit: edit.nth, reverse=True):
            self._context.chgheader(removal.name, removal.nth, None)
        for edit in decision.edits:
            match edit:
                case InsertField(name, value):
                    self._context.addheader(name, (" " if self._leading_space else "") + value, 0)
                case ChangeSender(address):
                    self._context.chgfrom(f"<{address}>")
                case RemoveField():
                    continue

    def _refuse(self, reply: Reply) -> int:
        self._context.setreply(str(reply.code), reply.enhanced, reply.text.replace("%", "%%"))
        return int(milter.TEMPFAIL if reply.code < 500 else milter.REJECT)

    def _tell(self, action: str, code: str, facts: tuple[tuple[str, str], ...], seconds: float) -> None:
        seen = self._client
        pairs = [("from", f"<{self._sender}>"), ("client", f"{seen.name}[{seen.address}]")]
        if self._login:
            pairs.append(("login", self._login))
        pairs += facts
        pairs += [("action", action), ("reason", code), ("ms", f"{seconds * 1000:.0f}")]
        self._door.log.line(self._queue_id, pairs, level=ERROR if code == "bug" else INFO)


def _without_brackets(path: bytes) -> str:
    """<a@b> or a@b, as smtpd or cleanup writes it; octets that are no UTF-8 survive as surrogates."""
    if path.startswith(b"<") and path.endswith(b">"):
        path = path[1:-1]
    return path.decode("utf-8", "surrogateescape")


def listen(where: str, door: Door) -> None:
    """Open the listening socket and register the callbacks, before any worker is forked.

    ``where`` as libmilter writes it ("unix:/path", "inet:port@host"). Raises OSError when the socket cannot
    be opened; libmilter says why to syslog only.
    """

    def negotiate(context: Any, options: list[int]) -> int:
        actions, protocol = options[0] & ACTIONS, options[1] & PROTOCOL
        options[:] = [actions, protocol, 0, 0]
        context.setpriv(Session(context, door, protocol))
        return int(milter.CONTINUE)

    def close(context: Any) -> int:
        session = context.getpriv()
        if session is not None:
            session.abort()
            context.setpriv(None)
        return int(milter.CONTINUE)

    milter.set_connect_callback(lambda context, *args: context.getpriv().connect(*args))
    milter.set_helo_callback(lambda context, helo: context.getpriv().helo(helo))
    milter.set_envfrom_callback(lambda context, path, *args: context.getpriv().mail(path))
    milter.set_envrcpt_callback(lambda context, path, *args: context.getpriv().rcpt(path))
    milter.set_header_callback(lambda context, field, value: context.getpriv().header(field, value))
    milter.set_body_callback(lambda context, chunk: context.getpriv().body(chunk))
    milter.set_eom_callback(lambda context: context.getpriv().end())
    milter.set_abort_callback(lambda context: context.getpriv().abort())
    milter.set_close_callback(close)
    milter.set_exception_policy(milter.TEMPFAIL)
    milter.set_flags(ACTIONS)
    milter.setconn(where)
    # pymilter keeps a pointer into this string; the door keeps the string.
    milter.register(door.log.program, data=lambda context: context.getpriv().data(), negotiate=negotiate)
    milter.setbacklog(BACKLOG)
    try:
        milter.opensocket(False)
    except milter.error as error:
        raise OSError(f"cannot listen on {where}") from error


def serve() -> None:
    """Answer Postfix until libmilter ends; in a thread of its own, see ``workers``."""
    milter.main()
