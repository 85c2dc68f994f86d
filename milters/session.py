"""The adapter to libmilter: hands Postfix's events to a ``Gathering``, carries its ``Decision`` back.

Uses pymilter's inner module ``milter``, whose callbacks hand over bytes as they came, with an explicit
negotiation instead of class decorators: fewer calls a field, and types that mypy can follow. libmilter runs a
thread a connection; a ``Session`` belongs to one connection and sees one message after another.
"""

import socket
import time
from typing import Any

try:
    import milter
except ImportError as error:
    raise ImportError("pymilter is missing: apt install python3-milter, or pip install pymilter") from error

from postvouch.milters.gather import BUG, Door, Gathering
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
from postvouch.values.reply import LATER, Reply

ACTIONS = milter.ADDHDRS | milter.CHGHDRS | milter.QUARANTINE | milter.CHGFROM
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
        self._gathering.header(name.encode(), value if self._leading_space else b" " + value)
        return self._silent(milter.P_NR_HDR)

    def body(self, chunk: bytes) -> int:
        """A chunk of up to 64 KiB."""
        self._gathering.body(chunk)
        return self._silent(milter.P_NR_BODY)

    def end(self) -> int:
        """Judge and answer. The one place that catches everything: our faults are for us to log, and Postfix
        keeps the message."""
        began = time.perf_counter()
        macro = self._context.getsymval
        decision = BUG
        try:
            decision = self._gathering.judge(
                queue_id=macro("i") or "",
                login=macro("{auth_authen}") or "",
                daemon_name=macro("{daemon_name}") or "",
            )
            answer = self._apply(decision)
        except Exception as error:
            self._gathering.broke(error)
            decision = Decision(verdict=BUG.verdict, code=BUG.code, facts=decision.facts)
            answer = self._refuse(LATER)
        self._gathering.told(decision, time.perf_counter() - began)
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
