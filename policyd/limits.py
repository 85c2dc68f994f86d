"""How much may a login send? Each letter counts once, at DATA; a refused one does not count.

With redis all hosts count together. While redis is away this host counts alone, with what it has seen
itself: neither unlimited nor closed, and the log and a metric say so.
"""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from postvouch.host.counters import LocalCounter, Usage
from postvouch.host.log import WARNING, Log
from postvouch.host.shared import SharedUnavailable
from postvouch.host.sharedcounters import SharedCounter

_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """At most ``messages`` in any ``window_s`` seconds; 0 for no limit."""

    messages: int
    window_s: float


class Limiter:
    """Counts letters per login. ``limit`` may be replaced at any time; what was counted stays."""

    def __init__(
        self, limit: Limit, log: Log, shared: SharedCounter | None = None, *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.limit = limit
        self.alone = False
        self._log = log
        self._shared = shared
        self._local = LocalCounter()
        self._clock = clock
        self._seen: OrderedDict[str, Usage] = OrderedDict()

    def take(self, login: str, instance: str) -> Usage | Awaitable[Usage]:
        """Count the letter ``instance`` of ``login``; asked about it again, give the same answer."""
        known = self._seen.get(instance) if instance else None
        if known is not None:
            return known
        if self._shared is None:
            return self._remember(instance, self._count_here(login))
        return self._count_shared(self._shared, login, instance)

    async def replace_shared(self, shared: SharedCounter | None) -> None:
        """Count with another redis from now on."""
        old, self._shared = self._shared, shared
        if old is not None:
            await old.close()

    async def _count_shared(self, shared: SharedCounter, login: str, instance: str) -> Usage:
        try:
            usage = await shared.take(login, limit=self.limit.messages, window_s=self.limit.window_s)
        except SharedUnavailable as error:
            if not self.alone:
                self.alone = True
                self._log.note(f"{error}: this host counts alone", level=WARNING)
            return self._remember(instance, self._count_here(login))
        if self.alone:
            self.alone = False
            self._log.note("redis is back: all hosts count together")
        if usage.allowed:
            self._count_here(login)  # so that this host knows its own share should redis go away
        return self._remember(instance, usage)

    def _count_here(self, login: str) -> Usage:
        return self._local.take(
            login, limit=self.limit.messages, window_s=self.limit.window_s, now=self._clock()
        )

    def _remember(self, instance: str, usage: Usage) -> Usage:
        if instance:
            self._seen[instance] = usage
            if len(self._seen) > _REMEMBERED:
                self._seen.popitem(last=False)
        return usage
