"""Whole DNS messages, for tools that examine DNS itself: flags, signatures, one server at a time.

Mail asks ``host/dns.py``, which is quicker and tells less. Each question has a deadline, each reply a size
that can be read in a moment; any trouble is a ``NoAnswer`` with its reason.
"""

import errno
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from postvouch.host.dnsservers import Servers
from postvouch.host.dnssocket import over_tcp, over_udp
from postvouch.host.dnswire import (
    FORMERR,
    NOTIMP,
    UDP_PAYLOAD,
    BadReply,
    Question,
    encode_name,
    is_truncated,
    kind_number,
    rcode,
)

# Reading compressed names takes dnspython seconds in the worst 64 kB; no honest answer here is half as long.
MAX_REPLY_OCTETS = 16 << 10
# How long each try over UDP may take before the question is sent again.
TRIES_S = (1.0, 1.5, 2.5)
MAX_LABELS = 32

K = TypeVar("K")
T = TypeVar("T")


class NoAnswer(Exception):
    """A server that could not be asked, or said nothing of use; ``is_unroutable``: we have no route there."""

    def __init__(self, reason: str, *, is_unroutable: bool = False) -> None:
        super().__init__(reason)
        self.is_unroutable = is_unroutable


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """A zone and the names of its servers, as the resolver knows them; lower case, "" for the root."""

    name: str
    servers: tuple[str, ...] = ()


def exchange(
    address: str, port: int, name: str, kind: str, *, deadline: float, flags: int = 0
) -> dns.message.QueryMessage:
    """Ask one server; ``deadline`` is on the monotonic clock. Raises NoAnswer.

    The answer has the code and the flags it came with. DNSSEC's records are asked for (RFC 3225 DO).
    """
    wire_name = encode_name(name) if name else b"\0"
    if wire_name is None:
        raise NoAnswer("no such name can exist")
    question = Question(name=wire_name, kind=kind_number(kind))
    try:
        reply = _udp(address, port, question, flags, deadline, edns=True)
        if rcode(reply) in (FORMERR, NOTIMP):
            reply = _udp(address, port, question, flags, deadline, edns=False)
        if is_truncated(reply):
            reply = _tcp(address, port, question, flags, deadline)
    except BadReply as bad:
        raise NoAnswer(f"over TCP {bad}") from None
    except TimeoutError:
        raise NoAnswer("no answer in time") from None
    except OSError as error:
        unroutable = error.errno in (
            errno.ENETUNREACH,
            errno.EHOSTUNREACH,
            errno.EADDRNOTAVAIL,
            errno.EAFNOSUPPORT,
        )
        reason = "nobody listens" if error.errno == errno.ECONNREFUSED else error.strerror or "not reachable"
        raise NoAnswer(reason.lower(), is_unroutable=unroutable) from None
    try:
        message = dns.message.from_wire(reply)
    # Its parser meets octets of strangers: besides its own errors it is known to raise these.
    except (dns.exception.DNSException, ValueError, IndexError, RecursionError):
        raise NoAnswer("its reply is garbled") from None
    if not isinstance(message, dns.message.QueryMessage):
        raise NoAnswer("its reply is garbled")
    return message


def _query(question: Question, flags: int, *, edns: bool) -> tuple[bytes, int]:
    number = int.from_bytes(os.urandom(2))
    query = dns.message.make_query(
        dns.name.from_wire(question.name, 0)[0],
        dns.rdatatype.RdataType.make(question.kind),
        use_edns=0 if edns else -1,
        want_dnssec=edns,
        payload=UDP_PAYLOAD,
        flags=flags,
        id=number,
    )
    return query.to_wire(), number


def _udp(address: str, port: int, question: Question, flags: int, deadline: float, *, edns: bool) -> bytes:
    for seconds in TRIES_S:
        query, number = _query(question, flags, edns=edns)
        is_reply = partial(question.is_answered_by, number=number)
        try:
            return over_udp(address, port, query, is_reply, min(deadline, time.monotonic() + seconds))
        except TimeoutError:
            continue
    raise TimeoutError


def _tcp(address: str, port: int, question: Question, flags: int, deadline: float) -> bytes:
    query, number = _query(question, flags, edns=True)

    def is_reply(reply: bytes) -> bool:
        return question.is_answered_by(reply, number) and not is_truncated(reply)

    return over_tcp(address, port, query, is_reply, deadline, most_octets=MAX_REPLY_OCTETS)


def together(jobs: Mapping[K, Callable[[], T]], deadline: float) -> dict[K, T | NoAnswer]:
    """Do all at once, each in a thread; what is not done by the deadline is a NoAnswer. Raises nothing.

    The threads are daemons: one that hangs in spite of its own deadline holds up neither us nor the exit.
    """
    done: dict[K, T | NoAnswer] = {}

    def run(key: K, job: Callable[[], T]) -> None:
        try:
            done[key] = job()
        except NoAnswer as trouble:
            done[key] = trouble

    threads = [threading.Thread(target=run, args=item, daemon=True) for item in jobs.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    late = NoAnswer("no answer in time")
    return {key: done.get(key, late) for key in jobs}


class Recursor:
    """The resolvers of ``dns.servers``, or of resolv.conf, until a deadline on the monotonic clock.

    Raises ValueError for a server that is no IP address.
    """

    def __init__(self, servers: Sequence[str], deadline: float) -> None:
        self.deadline = deadline
        self.endpoints = Servers(servers).endpoints

    def ask(self, name: str, kind: str, *, check: bool = True) -> dns.message.QueryMessage:
        """The answer of the first that gives one, SERVFAIL included; without ``check`` not validated (CD).

        Raises NoAnswer.
        """
        flags = dns.flags.RD | dns.flags.AD | (0 if check else dns.flags.CD)
        trouble = NoAnswer("no resolver")
        for number, (address, port) in enumerate(self.endpoints):
            left = max(0.0, self.deadline - time.monotonic())
            until = time.monotonic() + left / (len(self.endpoints) - number)
            try:
                return exchange(address, port, name, kind, deadline=until, flags=flags)
            except NoAnswer as reason:
                trouble = NoAnswer(f"the resolver {address}: {reason}")
        raise trouble

    def zones(self, name: str) -> tuple[Zone, ...]:
        """The zones above ``name``, the root first, the one it is in last. Raises NoAnswer.

        A zone whose servers the resolver cannot reach is no guess: it is a NoAnswer.
        """
        labels = name.split(".")
        if len(labels) > MAX_LABELS:
            raise NoAnswer("the name has too many labels")
        above = [".".join(labels[n:]) for n in range(len(labels))]
        jobs = {each: partial(self.ask, each, "NS", check=False) for each in above}
        zones: list[Zone] = []
        for each, reply in together(jobs, self.deadline).items():
            if isinstance(reply, NoAnswer):
                if not zones:
                    raise reply
                continue
            servers = answer(reply, each, "NS")
            if servers is not None:
                zones.append(Zone(name=each, servers=tuple(sorted(text(rr.target) for rr in servers))))
            # An alias that leads nowhere fails as well; who serves it will say so.
            elif reply.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN) and not zones and each != name:
                raise NoAnswer(f"the resolver says {said(reply)} to {each} NS")
        return (Zone(name=""), *reversed(zones))


def text(name: dns.name.Name) -> str:
    """A name as text: lower case, no last dot."""
    return name.to_text(omit_final_dot=True).lower() if name != dns.name.root else ""


def answer(reply: dns.message.Message, name: str, kind: str, covers: str = "NONE") -> dns.rrset.RRset | None:
    """The records of that name and type in the answer, or None."""
    return reply.get_rrset(
        reply.answer,
        dns.name.from_text(name + "."),
        dns.rdataclass.IN,
        dns.rdatatype.from_text(kind),
        dns.rdatatype.from_text(covers),
    )


def said(reply: dns.message.Message) -> str:
    """The code of a reply, with the reason that a resolver may add (RFC 8914)."""
    reasons = [
        f"{option.code.name.replace('_', ' ').lower()}{f': {option.text}' if option.text else ''}"
        for option in reply.options
        if isinstance(option, dns.edns.EDEOption)
    ]
    return dns.rcode.to_text(reply.rcode()) + (f" ({'; '.join(reasons[:3])})" if reasons else "")
