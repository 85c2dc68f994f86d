"""Redis, which several hosts share; the only place that knows its library.

Questions are Lua scripts. Every one has a deadline; after a failure redis is left alone for a while, so that
a server that hangs costs one deadline now and then and not one for every letter. Behind Sentinels, who is
the master is asked whenever a connection is made, and every failure ends the connections there are.
"""

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from postvouch.config.shared import Redis

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0


class SharedUnavailable(Exception):
    """The shared store gave no answer in time; the text says why."""


class Shared:
    """A redis server. Belongs to one event loop; connects when first asked."""

    def __init__(self, settings: Redis, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._client: Any = None
        self._sentinels: tuple[Any, ...] = ()
        self._pause_s = 0.0
        self._not_before = 0.0
        self._reason = ""

    async def run(self, script: str, keys: Sequence[str], arguments: Sequence[str | int]) -> Any:
        """What a script answers, texts as octets. Raises SharedUnavailable."""
        if self._clock() < self._not_before:
            raise SharedUnavailable(self._reason)
        client = None
        try:
            client = self._connected()
            # The library's own timeout closes a late connection. A mere cancellation, as some versions do
            # it, would leave the late answer there for the next question (CVE-2023-28665): hence _forget.
            call = self._called(client, script, (len(keys), *keys, *arguments))
            answer = await asyncio.wait_for(call, self._settings.timeout)
        except Exception as error:
            # Whatever the library raises (there are many kinds), the answer is not known.
            self._fail(f"redis: {' '.join(str(error).split()) or type(error).__name__}"[:200])
            await self._forget(client)
            raise SharedUnavailable(self._reason) from error
        self._pause_s = 0.0
        return answer

    async def _called(self, client: Any, script: str, words: Sequence[str | int]) -> Any:
        """The script by its name, whole only where the server does not know it (yet, or any more)."""
        from redis.exceptions import NoScriptError

        try:
            return await client.evalsha(_name(script), *words)
        except NoScriptError:
            return await client.eval(script, *words)

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
                text = "[redis] is set, but there is no redis library: apt install python3-redis"
                raise ImportError(text) from error
            options = self._options(self._settings.timeout)
            if self._settings.password_file:
                options["password"] = self._password()
            if self._settings.sentinels:
                self._client = self._behind_sentinels(options)
            else:
                self._client = redis.asyncio.Redis.from_url(self._settings.url, **options)
        return self._client

    def _options(self, timeout: float) -> dict[str, Any]:
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        # Once more and at once, for connections that ended while they were idle; newer versions of the
        # library would try again slowly, beyond any deadline of ours.
        retry = Retry(NoBackoff(), 1)  # type: ignore[no-untyped-call,unused-ignore]
        return {"socket_timeout": timeout, "socket_connect_timeout": timeout, "retry": retry}

    def _behind_sentinels(self, options: dict[str, Any]) -> Any:
        from redis.asyncio.sentinel import Sentinel

        places = [place.rpartition(":") for place in self._settings.sentinels]
        # One of them that hangs must leave time to ask the next.
        share = self._settings.timeout / (len(places) + 1)
        found = Sentinel(
            [(host.strip("[]"), int(port)) for host, _, port in places],
            sentinel_kwargs=self._options(share),
            **options,
        )  # type: ignore[no-untyped-call,unused-ignore]
        self._sentinels = tuple(found.sentinels)
        return found.master_for(self._settings.master)

    def _password(self) -> str:
        lines = Path(self._settings.password_file).read_text(encoding="utf-8").splitlines()
        return lines[0] if lines else ""

    async def _forget(self, client: Any) -> None:
        """Drop all connections of a client, whatever state they are in."""
        if client is None:
            return
        gone = [client]
        if self._client is client:
            self._client = None
            gone += self._sentinels
            self._sentinels = ()
        for each in gone:
            close = getattr(each, "aclose", None) or each.close  # redis 5 renamed it
            # It may be broken in any way; the next question begins with a new client.
            with contextlib.suppress(Exception):
                await asyncio.wait_for(close(), self._settings.timeout)
            with contextlib.suppress(Exception):
                await asyncio.wait_for(each.connection_pool.disconnect(), self._settings.timeout)


@lru_cache(maxsize=100)
def _name(script: str) -> str:
    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
