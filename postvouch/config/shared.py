"""The table [redis]: what several hosts share."""

# ruff: noqa: RUF009 - setting() is dataclasses.field() with a manual

from dataclasses import dataclass

from postvouch.config.kinds import Duration, Endpoint, SecretPath, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Redis:
    """A redis server that several hosts share: counters of logins, and the tokens of long senders where
    srs.tokens is "redis". Without it, or while it is away, each host counts for itself."""

    url: str = setting("", "Server. Empty: none.", example='"redis://redis.our.example:6379/0"')
    sentinels: tuple[Endpoint, ...] = setting(
        (),
        "Instead of redis.url: the Sentinels, which say who is the master now; its database 0 is used.",
        example='["mx1.our.example:26379", "mx2.our.example:26379", "srs1.our.example:26379"]',
    )
    master: str = setting("postvouch", "The name by which the Sentinels know the master.")
    password_file: SecretPath = setting(
        SecretPath(""), "File whose first line is the password, of redis itself and not of the Sentinels."
    )
    timeout: Duration = setting(
        Duration(0.25),
        "How long one question may take; then this host counts alone and token addresses are deferred.",
        least=0.01,
    )

    @property
    def used(self) -> bool:
        """Whether there is any."""
        return bool(self.url or self.sentinels)
