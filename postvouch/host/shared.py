"""Counters that several hosts share, in redis; the only place that knows the redis library.

One Lua script counts and decides at once, by the clock of the redis server, in the slots of
``host.counters``. Every question has a deadline; after a failure redis is left alone for a while, so that a
server that hangs costs one deadline now and then and not one for every letter.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from postvouch.config.shared import Redis
from postvouch.host.counters import SLOTS, Usage

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0

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


class SharedUnavailable(Exception):
    """Redis gave no answer in time; the text says why."""


class SharedCounter:
    """Counters in redis. Belongs to one event loop; connects when first asked."""

    def __init__(self, settings: Redis, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._client: Any = None
        self._pause_s = 0.0
        self._not_before = 0.0
        self._reason = ""

    async def take(self, key: str, *, limit: int, window_s: float) -> Usage:
        """Count one for ``key`` if that keeps it within ``limit`` (0: no limit). Raises SharedUnavailable."""
        if self._clock() < self._not_before:
            raise SharedUnavailable(self._reason)
        window_ms = int(window_s * 1000)
        name = f"postvouch:sent:{window_ms}:{key}"
        client = None
        try:
            client = self._connected()
            # The library's own timeout closes a late connection. A mere cancellation, as some versions do
            # it, would leave the late answer there for the next question (CVE-2023-28665): hence _forget.
            call = client.eval(_TAKE, 1, name, limit, window_ms, SLOTS)
            answer = await asyncio.wait_for(call, self._settings.timeout)
            allowed, used, frees_ms = (int(number) for number in answer)
        except Exception as error:
            # Whatever the library raises (there are many kinds), this host then counts alone.
            self._fail(f"redis: {' '.join(str(error).split()) or type(error).__name__}"[:200])
            await self._forget(client)
            raise SharedUnavailable(self._reason) from error
        self._pause_s = 0.0
        return Usage(allowed=bool(allowed), used=used, frees_in_s=frees_ms / 1000)

    async def close(self) -> None:
        """Close the connections."""
        await self._forget(self._client)

    def _fail(self, reason: str) -> None:
        if self._clock() < self._not_before:
            return  # one of several questions that were under way together
        self._reason = reason
        self._pause_s = min(LONGEST_PAUSE_S, self._pause_s * 2 or FIRST_PAUSE_S)
        self._not_before = self._clock() + self._pause_s

    def _connected(self) -> Any:
        if self._client is None:
            try:
                import redis.asyncio
            except ImportError as error:
                text = "redis.url is set, but there is no redis library: apt install python3-redis"
                raise ImportError(text) from error
            timeout = self._settings.timeout
            options: dict[str, Any] = {"socket_timeout": timeout, "socket_connect_timeout": timeout}
            if self._settings.password_file:
                options["password"] = self._password()
            self._client = redis.asyncio.Redis.from_url(self._settings.url, **options)
        return self._client

    def _password(self) -> str:
        lines = Path(self._settings.password_file).read_text(encoding="utf-8").splitlines()
        return lines[0] if lines else ""

    async def _forget(self, client: Any) -> None:
        """Drop all connections of a client, whatever state they are in."""
        if client is None:
            return
        if self._client is client:
            self._client = None
        close = getattr(client, "aclose", None) or client.close  # redis 5 renamed it
        # It may be broken in any way; the next question begins with a new client.
        with contextlib.suppress(Exception):
            await asyncio.wait_for(close(), self._settings.timeout)
        with contextlib.suppress(Exception):
            await asyncio.wait_for(client.connection_pool.disconnect(), self._settings.timeout)
