"""Senders too long for an SRS address: kept before their token leaves, found when a bounce comes home.

While the store cannot be asked, or a domain has too many tokens, mail is deferred: neither bounced nor sent
unrewritten. Only a token that the store does not know is refused.
"""

import asyncio
from collections.abc import Callable

from postvouch.config.schema import Config
from postvouch.host.metrics import Metrics
from postvouch.host.shared import SharedUnavailable
from postvouch.host.tokens import RedisStore, Store
from postvouch.host.tokensfile import FileStore
from postvouch.srs.tokens import Find, Keep, is_made_of
from postvouch.values.answer import Answer, Found, Refused, Unavailable

_MARGIN_S = 3 * 86400.0
"""A store keeps longer than an address is valid: stamps are whole days, and clocks differ."""


class Tokens:
    """Puts the questions of ``policyd.srs`` to the store of a configuration. Belongs to one event loop."""

    def __init__(self, config: Config, metrics: Metrics) -> None:
        self._config = config
        self._metrics = metrics
        self._store = _store(config)

    def suit(self, config: Config) -> bool:
        """Whether a new configuration leaves the store as it is."""
        return (config.srs, config.redis) == (self._config.srs, self._config.redis)

    async def answer(self, question: Keep | Find) -> Answer:
        """The answer of srs-forward or srs-reverse."""
        if self._store is None:
            return Unavailable('srs.tokens is "off"')
        try:
            if isinstance(question, Keep):
                word, answer = await self._keep(self._store, question)
            else:
                word, answer = await self._find(self._store, question)
        except SharedUnavailable as error:
            word, answer = "away", Unavailable(f"the store of SRS tokens cannot be asked: {error}")
        self._metrics.token(word)
        return answer

    async def close(self) -> None:
        """Close files and connections."""
        if self._store is not None:
            await self._store.close()

    async def _keep(self, store: Store, question: Keep) -> tuple[str, Answer]:
        if await store.keep(question.token, question.sender, question.domain):
            return "kept", question.address
        cap = self._config.srs.tokens_per_domain
        return "too-many", Unavailable(
            f"senders of {question.domain} have {cap} SRS tokens already (srs.tokens_per_domain)"
        )

    async def _find(self, store: Store, question: Find) -> tuple[str, Answer]:
        sender = await store.find(question.token)
        if sender is None:
            return "unknown", Refused("unknown SRS token: nothing is kept under it, here or any longer")
        if not is_made_of(question.token, sender, question.secrets):
            return "changed", Refused("the store of SRS tokens holds another sender than we put there")
        return "found", Found(sender, f"token, {question.source}")


async def closed_at_the_end(tokens: Callable[[], Tokens]) -> None:
    """Close what is in use when the loop ends, which is when this is cancelled."""
    try:
        await asyncio.Event().wait()
    finally:
        await tokens().close()


def _store(config: Config) -> Store | None:
    srs, life_s = config.srs, config.srs.max_age + _MARGIN_S
    if srs.tokens == "redis":
        return RedisStore(config.redis, life_s=life_s, cap=srs.tokens_per_domain)
    if srs.tokens == "file":
        return FileStore(srs.token_file, life_s=life_s, cap=srs.tokens_per_domain)
    return None
