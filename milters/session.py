"""The adapter to libmilter: hands Postfix's events to a ``Gathering``, carries its ``Decision`` back.

Uses pymilter's inner module ``milter``, whose callbacks hand over bytes as they came, with an explicit
negotiation instead of class decorators: fewer calls a field, and types that mypy can follow. libmilter runs a
thread a connection; a ``Session`` belongs to one connection and sees one message after another.
"""

import os
import socket
import time
from pathlib import Path
from typing import Any

try:
    import milter
except ImportError as error:
    raise ImportError("pymilter is missing: apt install python3-milter, or pip install pymilter") from error

from postvouch.host.process import clear_socket_path
from postvouch.milters.gather import BUG, MACROS, Door, Gathering, in_order
from postvouch.values.decision import (
    Accept,
    AddField,
    ChangeSender,
    Decision,
    Defer,
    InsertField,
    Quarantine,
    Reject,
    RemoveField,
    ReplaceBody,
)
from postvouch.values.reply import LATER, Reply
from postvouch.wire.milter import STAGES

ACTIONS = milter.ADDHDRS | milter.CHGHDRS | milter.QUARANTINE | milter.CHGFROM | milter.SETSYMLIST
# Events that we have no use for, events that we do not answer, and field values with their first blank kept.
PROTOCOL = (
    (milter.P_NOUNKNOWN | milter.P_NOEOH)
    | (milter.P_NR_MAIL | milter.P_NR_RCPT | milter.P_NR_DATA | milter.P_NR_HDR | milter.P_NR_BODY)
    | milter.P_HDR_LEADSPC
)
BACKLOG = 512


class Session:
    """One connection from Postfix."""

    __slots__ = ("_context", "_gathering", "_leading_space", "_no_reply")

    def __init__(self, context: Any, door: Door, protocol: int) -> None:
        self._context = context
        self._gathering = Gathering(door)
        self._leading_space = bool(protocol & milter.P_HDR_LEADSPC)
        self._no_reply = protocol

    def connect(self, name: str, family: int, address: Any) -> int:
        """The SMTP client."""
        known = family in (socket.AF_INET, socket.AF_INET6) and isinstance(address, tuple)
        literal, port = (str(address[0]), int(address[1])) if known else ("", 0)
        self._gathering.connect(name, literal, port)
        return int(milter.CONTINUE)

    def helo(self, name: str) -> int:
        """HELO or EHLO."""
        self._gathering.helo(name)
        return int(milter.CONTINUE)

    def mail(self, path: bytes) -> int:
        """MAIL FROM."""
        self._gathering.mail(path)
        return self._silent(milter.P_NR_MAIL)

    def rcpt(self, path: bytes) -> int:
        """RCPT TO."""
        self._gathering.rcpt(path)
        return self._silent(milter.P_NR_RCPT)

    def data(self) -> int:
        """The queue id exists by now; before, only from the second recipient on."""
        self._gathering.data(self._context.getsymval("i") or "")
        return self._silent(milter.P_NR_DATA)

    def header(self, name: str, value: bytes) -> int:
        """One field."""
        self._gathering.header([(name.encode(), value if self._leading_space else b" " + value)])
        return self._silent(milter.P_NR_HDR)

    def body(self, chunk: bytes) -> int:
        """A chunk of up to 64 KiB."""
        self._gathering.body(chunk)
        return self._silent(milter.P_NR_BODY)

    def end(self) -> int:
        """Judge and answer. The one place that catches everything: our faults are for us to log, and Postfix
        keeps the message."""
        macro = self._context.getsymval
        decision = BUG
        try:
            self._gathering.end(
                queue_id=macro("i") or "",
                login=macro("{auth_authen}") or "",
                certificate=macro("{cert_subject}") or "",
                daemon_name=macro("{daemon_name}") or "",
            )
            decision = self._gathering.judge()
            answer = self._apply(decision)
        except Exception as error:
            decision = self._gathering.broke(error, decision)
            answer = self._refuse(LATER)
        self._gathering.told(decision)
        return answer

    def abort(self) -> int:
        """RSET, or the connection broke."""
        self._gathering.abort()
        return int(milter.CONTINUE)

    def _silent(self, step: int) -> int:
        """The return value of a step to which no reply was negotiated, or that of a polite old MTA."""
        return int(milter.NOREPLY if self._no_reply & step else milter.CONTINUE)

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
        blank = " " if self._leading_space else ""
        for edit in in_order(decision.edits):
            match edit:
                case AddField(name, value):
                    self._context.addheader(name, blank + value)
                case ReplaceBody(body):
                    self._context.replacebody(body)
                case RemoveField(name, nth):
                    self._context.chgheader(name, nth, None)
                case InsertField(name, value):
                    self._context.addheader(name, blank + value, 0)
                case ChangeSender(address):
                    self._context.chgfrom(f"<{address}>")

    def _refuse(self, reply: Reply) -> int:
        self._context.setreply(str(reply.code), reply.enhanced, reply.text.replace("%", "%%"))
        return int(milter.TEMPFAIL if reply.code < 500 else milter.REJECT)


class Engine:
    """libmilter in this process: opened once in the parent, served in each worker."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def listen(self, where: str) -> None:
        """Open the listening socket and register the callbacks. Raises OSError."""
        if where.startswith("unix:"):
            clear_socket_path(Path(where.removeprefix("unix:")))
        before = _listening()
        _open(libmilter_name(where), self._door)
        for descriptor in _listening() - before:
            # Several workers poll one socket: the loser of a race must not hang in accept(2).
            os.set_blocking(descriptor, False)
            if not where.startswith("unix:"):
                with socket.socket(fileno=os.dup(descriptor)) as listener:
                    # Accepted sockets inherit it; libmilter's small writes would wait 40 ms for Nagle.
                    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def serve(self) -> None:
        """Answer Postfix until libmilter ends."""
        milter.main()

    def drain(self, seconds: float) -> int:
        """Wait for the messages under way now; those that begin later are cut. How many are left."""
        waiting = set(self._door.under_way)
        deadline = time.monotonic() + seconds
        while waiting and time.monotonic() < deadline:
            time.sleep(0.02)
            waiting &= set(self._door.under_way)
        time.sleep(0.05)  # libmilter writes the answer after our callback has returned
        return len(waiting)


def libmilter_name(where: str) -> str:
    """Turn "unix:/path", "inet:host:port", "inet:[v6]:port" into what smfi_setconn(3) reads."""
    kind, _, rest = where.partition(":")
    if kind == "unix":
        return where
    host, _, port = rest.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    return f"{'inet6' if ':' in host else 'inet'}:{port}@{host}"


def _listening() -> set[int]:
    """The descriptors of this process that listen; pymilter does not tell which is its own."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            with socket.socket(fileno=os.dup(int(name))) as candidate:
                if candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    found.add(int(name))
        except OSError:
            continue  # no socket, or the descriptor that listed them
    return found


def _open(where: str, door: Door) -> None:
    """Have libmilter listen on ``where``, as it writes it; it says to syslog only why it cannot."""

    def negotiate(context: Any, options: list[int]) -> int:
        wanted = ACTIONS | (milter.CHGBODY if door.handler.keeps else 0)
        actions, protocol = options[0] & wanted, options[1] & PROTOCOL
        if actions & milter.SETSYMLIST:
            for stage, names in MACROS.items():
                context.setsymlist(STAGES[stage], names)
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
    milter.set_flags(ACTIONS | milter.CHGBODY)
    milter.setconn(where)
    # pymilter keeps a pointer into this string; the door keeps the string.
    milter.register(door.log.program, data=lambda context: context.getpriv().data(), negotiate=negotiate)
    milter.setbacklog(BACKLOG)
    try:
        milter.opensocket(False)
    except milter.error as error:
        raise OSError(f"cannot listen on {where}") from error
