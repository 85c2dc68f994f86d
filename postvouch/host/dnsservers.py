"""The DNS servers that we ask, and how: UDP, TCP for what does not fit, the next one when one is of no use.

Each try has a new socket (``host/dnssocket.py``) and a new number (RFC 5452 §9.2).
Blocks the calling thread for at most the time given; no threads, no locks.
"""

import ipaddress
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from postvouch.host.dnssocket import over_tcp, over_udp
from postvouch.host.dnswire import (
    FORMERR,
    NOTIMP,
    Answer,
    BadReply,
    Question,
    is_truncated,
    rcode,
    read,
)
from postvouch.values.dns import DnsUnavailable

RESOLV_CONF = Path("/etc/resolv.conf")
# As many as the C library takes from there.
MAX_SERVERS = 3
# How often each server gets its turn; what is left of the time is shared between the turns that are left.
ROUNDS = 3
# Before another round when nobody listens: a resolver that restarts is back in a moment.
PAUSE_S = 0.2
# How long a server comes last that was silent for so long, or down.
REST_S = 30
SILENCE_S = 0.4


@dataclass(frozen=True, slots=True)
class _Server:
    address: str
    port: int


class Servers:
    """Some servers, each as good as the other: the first that answers is believed.

    ``servers`` are IP addresses, each with ``@port`` where it is not 53; none means those of
    /etc/resolv.conf, and 127.0.0.1 where that names none. Raises ValueError for one that is no IP address.
    """

    def __init__(self, servers: Sequence[str] = (), resolv_conf: Path = RESOLV_CONF) -> None:
        self._servers = [_server(text) for text in servers] or _of_system(resolv_conf)
        # Written without a lock: at worst a server rests for one question more or less.
        self._heard = dict.fromkeys(self._servers, 0.0)
        self._resting = dict.fromkeys(self._servers, 0.0)

    @property
    def endpoints(self) -> tuple[tuple[str, int], ...]:
        """Address and port of each."""
        return tuple((server.address, server.port) for server in self._servers)

    def ask(self, question: Question, seconds: float) -> Answer:
        """Ask until one server has an answer or the time is over. Raises DnsUnavailable."""
        now = time.monotonic()
        end = now + seconds
        left = sorted(self._servers, key=lambda server: self._resting[server] > now)
        trouble = "no answer in time"
        for number in range(ROUNDS):
            is_pause_due = True
            turns = tuple(left)
            for place, server in enumerate(turns):
                began = time.monotonic()
                more = (ROUNDS - number - 1) * len(left) + len(turns) - place
                try:
                    answer = _exchange(server, question, began + max(0.0, end - began) / more)
                except TimeoutError:
                    is_pause_due, trouble = False, "no answer in time"
                    # One that meanwhile answered others is well, and only this name is slow.
                    if self._heard[server] < began < time.monotonic() - SILENCE_S:
                        self._resting[server] = time.monotonic() + REST_S
                except OSError as error:
                    trouble = f"no server can be reached: {error.strerror or type(error).__name__}"
                    self._resting[server] = time.monotonic() + REST_S
                except BadReply as bad:
                    left.remove(server)
                    trouble = str(bad)
                    self._heard[server] = time.monotonic()
                else:
                    self._heard[server] = time.monotonic()
                    self._resting[server] = 0.0
                    return answer
                if time.monotonic() >= end:
                    raise DnsUnavailable(trouble)
            if not left:
                break
            if is_pause_due and number < ROUNDS - 1:
                time.sleep(max(0.0, min(PAUSE_S, end - time.monotonic())))
        raise DnsUnavailable(trouble)


def _server(text: str) -> _Server:
    address, _, port = text.partition("@")
    number = int(port) if port else 53
    if not 0 < number < 65536:
        raise ValueError(f"not a valid port: {port}")
    return _Server(str(ipaddress.ip_address(address)), number)


def _of_system(resolv_conf: Path) -> list[_Server]:
    """The servers of resolv.conf(5); its search list is of no use to mail."""
    found = []
    try:
        lines = resolv_conf.read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        match line.split():
            case ["nameserver", address, *_]:
                try:
                    found.append(_Server(str(ipaddress.ip_address(address)), 53))
                except ValueError:
                    continue
    return found[:MAX_SERVERS] or [_Server("127.0.0.1", 53)]


def _exchange(server: _Server, question: Question, end: float) -> Answer:
    """One question to one server. Raises OSError (TimeoutError when the time is over), BadReply."""
    reply = _reply(server, question, end, edns=True)
    if rcode(reply) in (FORMERR, NOTIMP):
        reply = _reply(server, question, end, edns=False)
    return read(reply, question)


def _reply(server: _Server, question: Question, end: float, *, edns: bool) -> bytes:
    number = int.from_bytes(os.urandom(2))
    query = question.query(number, edns=edns)
    is_reply = partial(question.is_answered_by, number=number)
    reply = over_udp(server.address, server.port, query, is_reply, end)
    return over_tcp(server.address, server.port, query, is_reply, end) if is_truncated(reply) else reply
