"""DNS over dnspython: absolute names, a cache that keeps TTLs, a budget per message.

The one place that asks the network for names. Every kind of trouble (timeout, SERVFAIL, lame server,
garbage, budget spent) is ``DnsUnavailable``; NXDOMAIN, no data and records are told apart; impossible names
do not exist. Asking blocks the calling thread; all of it may be shared between threads.
"""

import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rdata
import dns.resolver
import dns.ttl
from dns.rdtypes.ANY.CNAME import CNAME
from dns.rdtypes.ANY.MX import MX
from dns.rdtypes.ANY.NS import NS
from dns.rdtypes.ANY.PTR import PTR
from dns.rdtypes.ANY.TXT import TXT

from postvouch.values.dns import NO_SUCH_NAME, DnsUnavailable, Records, Status

MAX_CNAMES = 8
# No answer is believed for longer than a day, "nothing" not longer than an hour (RFC 2308 §5 allows three).
MAX_TTL_S = 86400
MAX_NEGATIVE_TTL_S = 3600
# A zone whose servers are dead is not asked again by every letter of a wave (RFC 9520 §3.2).
FAILURE_TTL_S = 5
# Twice SPF at its limits with ten hosts a term, ten signatures and their tree walks stay below.
MESSAGE_LOOKUPS = 400
# What an answer in the cache may hold on average, in octets: strangers can publish 64 kB at each name.
MEAN_OCTETS = 1024
# Fits every path without fragments; longer answers come over TCP.
UDP_PAYLOAD = 1232


@dataclass(frozen=True, slots=True)
class _Failure:
    reason: str


_Entry = Records | _Failure


class _Cache:
    """A map with expiry, bounded in entries and octets; the entry unused for longest goes first."""

    def __init__(self, limit: int, clock: Callable[[], float]) -> None:
        self._limit = limit
        self._octets = 0
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: OrderedDict[tuple[str, str], tuple[float, _Entry]] = OrderedDict()

    def get(self, key: tuple[str, str]) -> _Entry | None:
        with self._lock:
            held = self._entries.get(key)
            if held is None:
                return None
            if held[0] <= self._clock():
                self._drop(key)
                return None
            self._entries.move_to_end(key)
            return held[1]

    def put(self, key: tuple[str, str], entry: _Entry, ttl_s: float) -> None:
        if ttl_s <= 0 or not self._limit:
            return
        with self._lock:
            if key in self._entries:
                self._drop(key)
            self._entries[key] = (self._clock() + ttl_s, entry)
            self._octets += _octets(entry)
            while len(self._entries) > self._limit or self._octets > self._limit * MEAN_OCTETS:
                self._drop(next(iter(self._entries)))

    def _drop(self, key: tuple[str, str]) -> None:
        self._octets -= _octets(self._entries.pop(key)[1])

    def __len__(self) -> int:
        return len(self._entries)


def _octets(entry: _Entry) -> int:
    """How much memory an answer takes, roughly."""
    if isinstance(entry, _Failure):
        return 0
    # Each value is an object of its own; a text of one octet is not free.
    return sum(64 + (len(value) if isinstance(value, bytes) else 0) for value in entry.values)


class DnsResolver:
    """A ``values.dns.Resolver`` over the network.

    ``servers`` are IP addresses, each with ``@port`` where it is not 53; none means those of /etc/resolv.conf
    (its search list is not used), and 127.0.0.1 where that is missing. ``timeout_s`` bounds one question, all
    servers, repeats and TCP included. Raises ValueError for a server that is no IP address.
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
        self._cache = _Cache(cache_entries, clock)
        self._asking = _configured(servers)
        # Each server gets its turn before the time is over, at least twice.
        self._asking.timeout = min(2.0, timeout_s / (2 * max(1, len(self._asking.nameservers))))
        # AD in a question asks a validating resolver for its verdict without its proofs (RFC 6840 §5.7).
        self._asking.flags = int(dns.flags.RD | dns.flags.AD)
        self._asking.use_edns(0, 0, UDP_PAYLOAD)

    def lookup(self, name: str, kind: str) -> Records:
        """Ask for ``name`` and ``kind``; see ``values.dns.Resolver``. Raises DnsUnavailable."""
        return self.lookup_within(name, kind, self.timeout_s)

    def for_message(self, seconds: float, lookups: int = MESSAGE_LOOKUPS) -> "MessageResolver":
        """This resolver for one message: so many seconds from now, so many lookups, cached or not."""
        return MessageResolver(self, seconds=seconds, lookups=lookups, clock=self._clock)

    def lookup_within(self, name: str, kind: str, timeout_s: float) -> Records:
        """Ask as ``lookup`` does, but wait at most ``timeout_s`` seconds."""
        wanted = _absolute(name)
        if wanted is None:
            return NO_SUCH_NAME
        key = (str(wanted), kind)
        held = self._cache.get(key)
        if held is None:
            held = self._ask(wanted, kind, timeout_s)
        if isinstance(held, _Failure):
            raise DnsUnavailable(held.reason)
        return held

    def _ask(self, name: dns.name.Name, kind: str, timeout_s: float) -> _Entry:
        """Ask the network, follow CNAMEs that the server left to us, and remember the answer."""
        wanted, ttl_s, secure = name, float(MAX_TTL_S), True
        # What a shortened wait could not find is not held against the name.
        failure_ttl_s = FAILURE_TTL_S if timeout_s >= self.timeout_s else 0
        deadline = self._clock() + timeout_s
        entry: _Entry = _Failure("CNAME chain too long")
        for _ in range(MAX_CNAMES):
            try:
                answer = self._answer(wanted, kind, max(0.01, deadline - self._clock()))
            except dns.exception.DNSException as error:
                entry, ttl_s = _Failure(_trouble(error)), failure_ttl_s
                break
            except (OSError, ValueError, EOFError) as error:
                # A dead interface, or octets that dnspython 2.3 chokes on outside its own family of errors.
                entry, ttl_s = _Failure(f"{type(error).__name__}"), failure_ttl_s
                break
            ttl_s = min(ttl_s, answer.ttl_s)
            secure = secure and answer.records.secure
            entry = Records(status=answer.records.status, values=answer.records.values, secure=secure)
            if answer.records.status is not Status.NODATA or answer.canonical == wanted:
                break
            wanted = answer.canonical
            entry = _Failure("CNAME chain too long")
        self._cache.put((str(name), kind), entry, ttl_s)
        return entry

    def _answer(self, name: dns.name.Name, kind: str, timeout_s: float) -> "_Answer":
        try:
            found = self._asking.resolve(
                name, kind, lifetime=timeout_s, search=False, raise_on_no_answer=False
            )
        except dns.resolver.NXDOMAIN as error:
            response = error.response(name)  # type: ignore[no-untyped-call]
            return _Answer(
                records=Records(status=Status.NXDOMAIN, secure=_secure(response)),
                ttl_s=_negative_ttl(response),
                canonical=name,
            )
        response = found.response
        if found.rrset is None:
            return _Answer(
                records=Records(status=Status.NODATA, secure=_secure(response)),
                ttl_s=_negative_ttl(response),
                canonical=found.canonical_name,
            )
        return _Answer(
            records=Records(
                status=Status.FOUND, values=tuple(_value(r) for r in found.rrset), secure=_secure(response)
            ),
            ttl_s=min(found.chaining_result.minimum_ttl, MAX_TTL_S),
            canonical=found.canonical_name,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    records: Records
    ttl_s: float
    canonical: dns.name.Name


class MessageResolver:
    """A resolver with a budget: when its seconds or lookups are spent, it raises DnsUnavailable at once.

    Cached answers count as lookups too, so that a verdict does not depend on what was asked before.
    """

    def __init__(
        self, resolver: DnsResolver, *, seconds: float, lookups: int, clock: Callable[[], float]
    ) -> None:
        self._resolver = resolver
        self._clock = clock
        self._deadline = clock() + seconds
        self._left = lookups
        self._lock = threading.Lock()

    def lookup(self, name: str, kind: str) -> Records:
        """Ask within the budget; see ``values.dns.Resolver``."""
        with self._lock:
            if not self._left:
                raise DnsUnavailable("too many DNS questions for one message")
            self._left -= 1
        seconds = self._deadline - self._clock()
        if seconds <= 0:
            raise DnsUnavailable("the time for DNS is up for this message")
        return self._resolver.lookup_within(name, kind, min(seconds, self._resolver.timeout_s))


def _configured(servers: Sequence[str]) -> dns.resolver.Resolver:
    if not servers:
        try:
            return dns.resolver.Resolver(configure=True)
        except dns.resolver.NoResolverConfiguration:
            servers = ("127.0.0.1",)
    asking = dns.resolver.Resolver(configure=False)
    addresses: list[str] = []
    for server in servers:
        address, _, port = server.partition("@")
        addresses.append(str(ipaddress.ip_address(address)))
        if port:
            asking.nameserver_ports[addresses[-1]] = int(port)
    asking.nameservers = list(addresses)
    return asking


def _absolute(name: str) -> dns.name.Name | None:
    """The name as labels, lower case; None for one that cannot exist (RFC 1035 §2.3.4).

    Not dns.name.from_text: there a backslash escapes and IDNA happens, and names come from strangers.
    """
    try:
        labels = [label.encode("ascii") for label in name.removesuffix(".").lower().split(".")]
        if not all(labels):
            return None
        return dns.name.Name([*labels, b""])
    except (UnicodeEncodeError, dns.exception.DNSException):
        return None


def _value(rdata: dns.rdata.Rdata) -> bytes | str | tuple[int, str]:
    match rdata:
        case TXT():
            return b"".join(rdata.strings)
        case MX():
            return (int(rdata.preference), _host(rdata.exchange))
        case PTR() | CNAME() | NS():
            return _host(rdata.target)
        case _:
            return rdata.to_text()


def _host(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower()


def _secure(response: dns.message.Message) -> bool:
    return bool(response.flags & dns.flags.AD)


def _negative_ttl(response: dns.message.QueryMessage) -> float:
    """How long to believe in nothing: the SOA says so; without one, not at all (RFC 2308 §5)."""
    ttl_s = response.resolve_chaining().minimum_ttl
    return 0 if ttl_s == dns.ttl.MAX_TTL else min(ttl_s, MAX_NEGATIVE_TTL_S)


def _trouble(error: dns.exception.DNSException) -> str:
    """Say what went wrong without repeating the question."""
    if isinstance(error, dns.exception.Timeout):
        return "no answer in time"
    if isinstance(error, dns.resolver.NoNameservers):
        return "no server gave an answer (SERVFAIL, refused or lame)"
    return type(error).__name__
