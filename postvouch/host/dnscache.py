"""Answers of DNS, kept for their TTL and bounded in number and octets; hits cost next to nothing.

Some answers stay usable for a while after their TTL, for the time when nothing better can be had
(RFC 8767). Safe between threads: readers take no lock, since every letter reads and few write.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from postvouch.values.dns import Records

# What an answer in the cache may hold on average, in octets: strangers can publish 64 kB at each name.
MEAN_OCTETS = 1024

Key = tuple[str, str]
"""Name, lower case and without the last dot, and type."""


@dataclass(frozen=True, slots=True)
class Failure:
    """There was no answer, and why."""

    reason: str


Entry = Records | Failure


class _Held:
    """An entry and its times; ``used`` since the cache last looked for one to drop."""

    __slots__ = ("entry", "fresh_until", "octets", "usable_until", "used")

    def __init__(self, entry: Entry, fresh_until: float, usable_until: float) -> None:
        self.entry = entry
        self.fresh_until = fresh_until
        self.usable_until = usable_until
        self.octets = _octets(entry)
        self.used = False


class Cache:
    """A map with expiry. When full it drops the oldest entry that was not used since it last came by."""

    def __init__(self, limit: int, clock: Callable[[], float]) -> None:
        self._limit = limit
        self._octets = 0
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: OrderedDict[Key, _Held] = OrderedDict()

    def get(self, key: Key) -> Entry | None:
        """The entry, if its time is not over."""
        held = self._entries.get(key)
        if held is None or held.fresh_until <= self._clock():
            return None
        held.used = True
        return held.entry

    def stale(self, key: Key) -> Records | None:
        """The answer whose time is over, if it may still be used where nothing better can be had."""
        held = self._entries.get(key)
        if held is None or held.usable_until <= self._clock() or isinstance(held.entry, Failure):
            return None
        return held.entry

    def put(self, key: Key, entry: Entry, ttl_s: float, *, stale_s: float = 0) -> None:
        """Keep an entry for its TTL, and ``stale_s`` longer as ``stale``. What was there is gone."""
        with self._lock:
            self._drop(key)
            if ttl_s <= 0 or not self._limit:
                return
            fresh_until = self._clock() + ttl_s
            held = _Held(entry, fresh_until, fresh_until + stale_s)
            room = self._limit * MEAN_OCTETS - held.octets
            while self._entries and (len(self._entries) >= self._limit or self._octets > room):
                self._drop_one()
            if room >= 0:
                self._entries[key] = held
                self._octets += held.octets

    def freshen(self, key: Key, seconds: float) -> None:
        """Let a stale answer pass for so many seconds, but not beyond its last one."""
        with self._lock:
            held = self._entries.get(key)
            if held is not None:
                held.fresh_until = max(held.fresh_until, min(self._clock() + seconds, held.usable_until))

    def _drop_one(self) -> None:
        """Drop the oldest; those that were used meanwhile count as new (the clock algorithm)."""
        while True:
            key, held = next(iter(self._entries.items()))
            if not held.used:
                return self._drop(key)
            held.used = False
            self._entries.move_to_end(key)

    def _drop(self, key: Key) -> None:
        held = self._entries.pop(key, None)
        if held is not None:
            self._octets -= held.octets

    def __len__(self) -> int:
        return len(self._entries)


def _octets(entry: Entry) -> int:
    """How much memory an answer takes, roughly."""
    if isinstance(entry, Failure):
        return 0
    # Each value is an object of its own; a text of one octet is not free.
    return sum(64 + (len(value) if isinstance(value, bytes) else 0) for value in entry.values)
