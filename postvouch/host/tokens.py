"""Where the senders behind token addresses are kept (``srs.tokens``): the questions, and redis.

A store never says "not there" unless it knows: SharedUnavailable is raised by whoever cannot know now.
"""

import time
from collections.abc import Callable
from typing import Protocol

from postvouch.config.shared import Redis
from postvouch.host.shared import Shared, SharedUnavailable

_MS = 1000

# KEYS: the token, the tokens of its domain. ARGV: sender, time to live in ms, the cap. Gives 1, or 0 at the
# cap. A domain's set has for each token the time at which it ends, by the clock of redis.
_KEEP = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local life, cap = tonumber(ARGV[2]), tonumber(ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now))
local known = redis.call('ZSCORE', KEYS[2], KEYS[1])
if not known and redis.call('ZCARD', KEYS[2]) >= cap then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', life)
redis.call('ZADD', KEYS[2], string.format('%.0f', now + life), KEYS[1])
redis.call('PEXPIRE', KEYS[2], life)
return 1
"""

# KEYS: the token, a name to write to. A server that was the master until a moment ago answers questions, but
# takes no writes: what is not there must not be said by such a one.
_FIND = """
local sender = redis.call('GET', KEYS[1])
if not sender then redis.call('SET', KEYS[2], '1', 'PX', 1000) end
return sender
"""


class Store(Protocol):
    """What keeps senders. Both questions raise SharedUnavailable."""

    async def keep(self, token: str, sender: str, domain: str) -> bool:
        """Keep it for at least as long as its address is valid; False where the domain has too many."""
        ...

    async def find(self, token: str) -> str | None:
        """The sender; None where there is no such token."""
        ...

    async def close(self) -> None:
        """Close files and connections."""
        ...


class RedisStore:
    """Tokens in redis, for all hosts that share it. Belongs to one event loop; connects when first asked."""

    def __init__(
        self, settings: Redis, *, life_s: float, cap: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._shared = Shared(settings, clock=clock)
        self._life_ms = int(life_s * _MS)
        self._cap = cap

    async def keep(self, token: str, sender: str, domain: str) -> bool:
        """As ``Store``."""
        keys = (_key(token), f"postvouch:srs:domain:{domain}")
        sender = sender.encode("utf-8", "surrogateescape").hex()
        return bool(await self._shared.run(_KEEP, keys, (sender, self._life_ms, self._cap)))

    async def find(self, token: str) -> str | None:
        """As ``Store``."""
        answer = await self._shared.run(_FIND, (_key(token), "postvouch:srs:asked"), ())
        if answer is None:
            return None
        try:
            text = answer.decode("ascii") if isinstance(answer, bytes) else str(answer)
            return bytes.fromhex(text).decode("utf-8", "surrogateescape")
        except ValueError:
            raise SharedUnavailable(f"redis: {_key(token)} holds what we did not write") from None

    async def close(self) -> None:
        """As ``Store``."""
        await self._shared.close()


def _key(token: str) -> str:
    return "postvouch:srs:token:" + token.encode("utf-8", "surrogateescape").decode("ascii", "replace")
