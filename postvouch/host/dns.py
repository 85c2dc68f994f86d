"""DNS: absolute names, a cache that keeps TTLs, one question for all who ask the same, a budget per message.

The one door to the network for names. Every kind of trouble (timeout, SERVFAIL, lame server, garbage, budget
spent) is ``DnsUnavailable``; NXDOMAIN, no data and records are told apart; impossible names do not exist.
Asking blocks the calling thread; all of it may be shared between threads.
"""

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from postvouch.host import turn
from postvouch.host.dnscache import Cache, Entry, Failure, Key
from postvouch.host.dnsservers import Servers
from postvouch.host.dnswire import MAX_TTL_S, Question, encode_name, kind_number
from postvouch.values.dns import NO_SUCH_NAME, DnsUnavailable, Records, Status, WouldWait

MAX_CNAMES = 8
# A zone whose servers are dead is not asked again by every letter of a wave (RFC 9520 §3.2).
FAILURE_TTL_S = 5
# A key that was found serves this long after its TTL while nobody answers for it, or one host that is down
# would turn good mail into bad; policies do not, for there an old one may refuse mail (RFC 8767 §5).
STALE_KEY_S = 86400
STALE_RETRY_S = 30
STALE_WAIT_S = 1.8
# Twice SPF at its limits with ten hosts a term, ten signatures and their tree walks stay below.
MESSAGE_LOOKUPS = 400


class _Flight:
    """A question that is being asked. ``entry`` stays None where another should ask again."""

    __slots__ = ("entry", "landed")

    def __init__(self) -> None:
        self.landed = threading.Event()
        self.entry: Entry | None = None


class DnsResolver:
    """A ``values.dns.Resolver`` over the network.

    ``servers`` as ``dnsservers.Servers`` has them. ``timeout_s`` bounds one question, all servers, repeats,
    CNAMEs and TCP included. Raises ValueError for a server that is no IP address.
    """

    def __init__(
        self,
        servers: Sequence[str] = (),
        *,
        timeout_s: float = 5.0,
        cache_entries: int = 20000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.timeout_s = timeout_s
        self._clock = clock
        self._servers = Servers(servers)
        self._cache = Cache(cache_entries, clock)
        self._lock = threading.Lock()
        self._flights: dict[Key, _Flight] = {}

    def lookup(self, name: str, kind: str) -> Records:
        """Ask for ``name`` and ``kind``; see ``values.dns.Resolver``. Raises DnsUnavailable."""
        return self.lookup_until(name, kind, self._clock() + self.timeout_s)

    def for_message(
        self, seconds: float, lookups: int = MESSAGE_LOOKUPS, may_wait: bool = True
    ) -> "MessageResolver":
        """This resolver for one message: so many seconds from now, so many lookups, cached or not.

        Without ``may_wait`` it asks nobody: what is not in the cache raises WouldWait.
        """
        return MessageResolver(self, seconds=seconds, lookups=lookups, clock=self._clock, may_wait=may_wait)

    def lookup_until(self, name: str, kind: str, deadline: float) -> Records:
        """Ask as ``lookup`` does, but wait no longer than until ``deadline`` on the resolver's clock."""
        # Kelvin's sign would become a k.
        if not name.isascii():
            return NO_SUCH_NAME
        key = (name.lower().removesuffix("."), kind)
        entry = self._cache.get(key)
        if entry is None:
            with turn.given_back():
                entry = self._fly(key, deadline)
        return _said(entry)

    def at_hand(self, name: str, kind: str) -> Records:
        """What ``lookup`` would say without asking anybody. Raises WouldWait where it would have to."""
        if not name.isascii():
            return NO_SUCH_NAME
        key = (name.lower().removesuffix("."), kind)
        entry = self._cache.get(key)
        if entry is None:
            question = _question(key)
            if isinstance(question, Question):
                raise WouldWait(f"{kind} of {name}")
            entry = question
        return _said(entry)

    def _fly(self, key: Key, deadline: float) -> Entry:
        """Ask, or wait for the thread that is just asking the same."""
        question = _question(key)
        if not isinstance(question, Question):
            return question
        deadline = min(deadline, self._clock() + self.timeout_s)
        while True:
            with self._lock:
                flight = self._flights.get(key)
                if flight is None:
                    # Another may have landed since we looked.
                    entry = self._cache.get(key)
                    if entry is not None:
                        return entry
                    ours = self._flights[key] = _Flight()
            if flight is None:
                return self._lead(ours, key, question, deadline)
            flight.landed.wait(max(0.0, deadline - self._clock()))
            if flight.entry is not None:
                return flight.entry
            if self._clock() >= deadline:
                return self._stale(key) or Failure("no answer in time")

    def _lead(self, flight: _Flight, key: Key, question: Question, deadline: float) -> Entry:
        """Ask for all who wait; what is not final is held against nobody else."""
        try:
            entry, is_final = self._resolve(key, question, deadline)
            if is_final:
                flight.entry = entry
            return entry
        finally:
            with self._lock:
                del self._flights[key]
            flight.landed.set()

    def _resolve(self, key: Key, question: Question, deadline: float) -> tuple[Entry, bool]:
        """Ask the network and remember the answer; whether more time might have brought another."""
        stale = self._stale(key)
        enough_s = self.timeout_s if stale is None else min(self.timeout_s, STALE_WAIT_S)
        began = self._clock()
        until = min(deadline, began + enough_s)
        try:
            records, ttl_s = self._follow(question, until)
        except DnsUnavailable as trouble:
            # A letter that had not the whole time to wait proves nothing, unless the servers gave up before.
            is_final = until - began > 0.9 * enough_s or self._clock() < until
            if stale is not None:
                if is_final:
                    self._cache.freshen(key, STALE_RETRY_S)
                return stale, is_final
            failure = Failure(str(trouble))
            if is_final:
                self._cache.put(key, failure, FAILURE_TTL_S)
            return failure, is_final
        is_key = records.status is Status.FOUND and _is_key(key)
        self._cache.put(key, records, ttl_s, stale_s=STALE_KEY_S if is_key else 0)
        return records, True

    def _follow(self, question: Question, until: float) -> tuple[Records, int]:
        """Ask, and ask again for CNAMEs that the server left to us. Raises DnsUnavailable."""
        ttl_s, secure = MAX_TTL_S, True
        for _ in range(MAX_CNAMES):
            answer = self._servers.ask(question, until - self._clock())
            ttl_s, secure = min(ttl_s, answer.ttl_s), secure and answer.records.secure
            if answer.records.status is not Status.NODATA or answer.canonical == question.name:
                return replace(answer.records, secure=secure), ttl_s
            question = replace(question, name=answer.canonical)
        raise DnsUnavailable("too many CNAMEs")

    def _stale(self, key: Key) -> Records | None:
        return self._cache.stale(key) if _is_key(key) else None


class MessageResolver:
    """A resolver with a budget: when its seconds or lookups are spent, it raises DnsUnavailable at once.

    Cached answers count as lookups too, so that a verdict does not depend on what was asked before.
    """

    def __init__(
        self,
        resolver: DnsResolver,
        *,
        seconds: float,
        lookups: int,
        clock: Callable[[], float],
        may_wait: bool = True,
    ) -> None:
        self._resolver = resolver
        self._may_wait = may_wait
        self._clock = clock
        self._deadline = clock() + seconds
        self._lookups = lookups
        # Counting like this is one step for all threads, without a lock.
        self._count = itertools.count(1)

    def lookup(self, name: str, kind: str) -> Records:
        """Ask within the budget; see ``values.dns.Resolver``. Raises WouldWait where it must not wait."""
        if next(self._count) > self._lookups:
            raise DnsUnavailable("too many DNS questions for one message")
        if self._clock() >= self._deadline:
            raise DnsUnavailable("the time for DNS is up for this message")
        if not self._may_wait:
            return self._resolver.at_hand(name, kind)
        return self._resolver.lookup_until(name, kind, self._deadline)


def _question(key: Key) -> Question | Entry:
    """The question to ask, or the answer where there is none to ask."""
    wanted = encode_name(key[0])
    if wanted is None:
        return NO_SUCH_NAME
    try:
        return Question(name=wanted, kind=kind_number(key[1]))
    except ValueError as error:
        return Failure(str(error))


def _said(entry: Entry) -> Records:
    if isinstance(entry, Failure):
        raise DnsUnavailable(entry.reason)
    return entry


def _is_key(key: Key) -> bool:
    """Whether this asks for a DKIM key (RFC 6376 §3.6.2.1)."""
    return key[1] == "TXT" and "._domainkey." in key[0]
