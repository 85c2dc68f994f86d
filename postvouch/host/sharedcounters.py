"""Counters that several hosts share, in redis.

One Lua script counts and decides at once, by the clock of the redis server, in the slots of
``host.counters``.
"""

import time
from collections.abc import Callable

from postvouch.config.shared import Redis
from postvouch.host.counters import SLOTS, Usage
from postvouch.host.shared import Shared

# KEYS: the counter. ARGV: limit, window in milliseconds, number of slots. Gives allowed, used, frees in ms.
_TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local limit, window, count = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local width = window / count
local current = math.floor(now / width)
local used, oldest = 0, current
local slots = redis.call('HGETALL', KEYS[1])
for i = 1, #slots, 2 do
  local slot = tonumber(slots[i])
  if slot < current - count then
    redis.call('HDEL', KEYS[1], slots[i])
  else
    used = used + tonumber(slots[i + 1])
    if slot < oldest then oldest = slot end
  end
end
local frees = math.floor((oldest + 1) * width + window - now)
if limit > 0 and used >= limit then return {0, used, frees} end
redis.call('HINCRBY', KEYS[1], string.format('%.0f', current), 1)
redis.call('PEXPIRE', KEYS[1], math.floor(window + 2 * width))
return {1, used + 1, frees}
"""


class SharedCounter:
    """Counters in redis. Belongs to one event loop; connects when first asked."""

    def __init__(self, settings: Redis, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._shared = Shared(settings, clock=clock)

    async def take(self, key: str, *, limit: int, window_s: float) -> Usage:
        """Count one for ``key`` if that keeps it within ``limit`` (0: no limit). Raises SharedUnavailable."""
        window_ms = int(window_s * 1000)
        name = f"postvouch:sent:{window_ms}:{key}"
        answer = await self._shared.run(_TAKE, (name,), (limit, window_ms, SLOTS))
        allowed, used, frees_ms = (int(number) for number in answer)
        return Usage(allowed=bool(allowed), used=used, frees_in_s=frees_ms / 1000)

    async def close(self) -> None:
        """Close the connections."""
        await self._shared.close()
