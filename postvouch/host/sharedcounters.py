"""Counters that several hosts share, in redis.

One Lua script counts and decides at once, by the clock of the redis server, in the slots of
``host.counters``. Letters that come while a question is under way are the next question together: with many
clients the cost of asking is shared, with one it is one question a letter.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

from postvouch.config.shared import Redis
from postvouch.host.counters import SLOTS, Charge, Usage
from postvouch.host.shared import Shared, SharedUnavailable

MOST_AT_ONCE = 100
"""Letters in one question: redis does nothing else meanwhile."""

# KEYS: the counter of each charge. ARGV: the number of slots; then for each letter the number of its charges,
# and of each: limit, window in ms, amount, 1 if enforced. Gives fits, used, frees in ms (-1: never) of each.
# A counter is a hash of its slots; their sum, the oldest and the newest beside them spare a look at all.
_TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local count, at, key, said = tonumber(ARGV[1]), 2, 0, {}

local function whole(number) return string.format('%.0f', number) end

local function slots_of(c)
  local held, slots, ahead = redis.call('HGETALL', c.key), {}, 0
  c.used, c.oldest = 0, c.current
  for i = 1, #held, 2 do
    local slot, used = tonumber(held[i]), tonumber(held[i + 1])
    if slot and slot < c.current - count then
      redis.call('HDEL', c.key, held[i])
    elseif slot then
      if slot > c.current then
        redis.call('HDEL', c.key, held[i])
        redis.call('HINCRBY', c.key, whole(c.current), used)
        slot = c.current
      end
      c.used = c.used + used
      c.oldest = math.min(c.oldest, slot)
      slots[#slots + 1] = {slot, used}
    end
  end
  return slots
end

while at <= #ARGV do
  local charges, room = {}, true
  for each = 1, tonumber(ARGV[at]) do
    local a = at + (each - 1) * 4
    local c = {limit = tonumber(ARGV[a + 1]), window = tonumber(ARGV[a + 2]), amount = tonumber(ARGV[a + 3])}
    key = key + 1
    c.key, c.frees, c.width = KEYS[key], 0, c.window / count
    c.current = math.floor(now / c.width)
    local sum = redis.call('HMGET', c.key, 'used', 'oldest', 'newest')
    c.used, c.oldest = tonumber(sum[1]), tonumber(sum[2])
    if not c.oldest or c.oldest < c.current - count or tonumber(sum[3]) > c.current then slots_of(c) end
    c.fits = c.used + c.amount <= c.limit
    if not c.fits then
      local slots = slots_of(c)
      local wanted = c.used + c.amount - c.limit
      c.frees = -1
      table.sort(slots, function(x, y) return x[1] < y[1] end)
      for _, slot in ipairs(slots) do
        wanted = wanted - slot[2]
        if wanted <= 0 then
          c.frees = math.floor((slot[1] + 1) * c.width + c.window - now)
          break
        end
      end
      if ARGV[a + 4] == '1' then room = false end
    end
    charges[each] = c
  end
  at = at + 1 + #charges * 4
  for _, c in ipairs(charges) do
    if room then
      c.used = c.used + c.amount
      redis.call('HINCRBY', c.key, whole(c.current), c.amount)
      redis.call('HSET', c.key, 'used', whole(c.used), 'oldest', whole(c.oldest), 'newest', whole(c.current))
      redis.call('PEXPIRE', c.key, math.floor(c.window + 2 * c.width))
    end
    said[#said + 1] = c.fits and 1 or 0
    said[#said + 1] = c.used
    said[#said + 1] = c.frees
  end
end
return said
"""

_Asked = tuple[Sequence[Charge], "asyncio.Future[tuple[Usage, ...]]"]


class SharedCounter:
    """Counters in redis. Belongs to one event loop; connects when first asked."""

    def __init__(self, settings: Redis, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._shared = Shared(settings, clock=clock)
        self._waiting: list[_Asked] = []
        self._task: asyncio.Task[None] | None = None

    async def take(self, charges: Sequence[Charge]) -> tuple[Usage, ...]:
        """As ``LocalCounter.take``, for all hosts together. Raises SharedUnavailable."""
        future: asyncio.Future[tuple[Usage, ...]] = asyncio.get_running_loop().create_future()
        self._waiting.append((charges, future))
        if self._task is None:
            self._task = asyncio.ensure_future(self._ask_all())
        return await future

    async def _ask_all(self) -> None:
        try:
            while self._waiting:
                batch = self._waiting[:MOST_AT_ONCE]
                del self._waiting[:MOST_AT_ONCE]
                await self._ask(batch)
        finally:
            self._task = None

    async def _ask(self, batch: Sequence[_Asked]) -> None:
        keys = [f"postvouch:sent:{charge.counter}" for charges, _ in batch for charge in charges]
        arguments: list[str | int] = [SLOTS]
        for charges, _ in batch:
            arguments.append(len(charges))
            for c in charges:
                arguments += (c.limit, int(c.window_s * 1000), c.amount, int(c.enforced))
        try:
            numbers = iter(await self._shared.run(_TAKE, keys, arguments))
            usages = [
                Usage(fits=bool(fits), used=int(used), frees_in_s=frees / 1000 if frees >= 0 else -1.0)
                for fits, used, frees in zip(numbers, numbers, numbers, strict=True)
            ]
            if len(usages) != len(keys):
                raise ValueError("another number of answers than of questions")
        except (SharedUnavailable, TypeError, ValueError) as error:
            for _, future in batch:
                if not future.done():  # its client may have gone
                    future.set_exception(SharedUnavailable(str(error)))
            return
        answers = iter(usages)
        for charges, future in batch:
            own = tuple(next(answers) for _ in charges)
            if not future.done():
                future.set_result(own)

    async def close(self) -> None:
        """Close the connections."""
        await self._shared.close()
