"""Checks of what hosts share: [redis], and the store of SRS tokens."""

from postvouch.config.checks import Checks

_MAKES_TOKENS = ("srs", "single")


def check(c: Checks) -> None:
    """All of them."""
    redis, srs, role = c.config.redis, c.config.srs, c.config.general.role
    if redis.url and not redis.url.startswith(("redis://", "rediss://", "unix://")):
        c.problem("redis.url must begin with redis://, rediss:// or unix://", "redis.url")
    if redis.url and redis.sentinels:
        c.warning("redis.url has no effect beside redis.sentinels", "redis.url", "redis.sentinels")
    if redis.sentinels and not redis.master:
        c.problem("redis.sentinels without redis.master: whom do they watch?", "redis.sentinels")
    if srs.tokens == "redis" and not redis.used:
        c.problem(
            'srs.tokens = "redis" needs redis.url or redis.sentinels',
            "srs.tokens",
            "redis.url",
            "redis.sentinels",
        )
    if srs.tokens == "file" and not srs.token_file.startswith("/"):
        c.problem(f'srs.token_file: "{srs.token_file}" is no absolute path', "srs.token_file")
    if srs.tokens == "file" and role in ("mx", "srs"):
        c.warning(
            f'srs.tokens = "file" on role {role}: a bounce that comes to another host is refused there; '
            "hosts share redis",
            "srs.tokens",
        )
    if srs.tokens == "off" and role in _MAKES_TOKENS and redis.used:
        c.warning(
            'srs.tokens = "off": senders too long for SRS leave as they are; [redis] could keep them',
            "srs.tokens",
            "redis.url",
            "redis.sentinels",
        )
