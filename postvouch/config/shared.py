"""The table [redis]: what several hosts share."""

# ruff: noqa: RUF009 - setting() is dataclasses.field() with a manual

from dataclasses import dataclass

from postvouch.config.kinds import Duration, SecretPath, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Redis:
    """A redis server that several hosts share for counters. Without it, or while it is away, each host counts
    for itself."""

    url: str = setting("", "Server. Empty: none.", example='"redis://redis.our.example:6379/0"')
    password_file: SecretPath = setting(SecretPath(""), "File whose first line is the password.")
    timeout: Duration = setting(
        Duration(0.25), "How long one question may take; then this host counts alone.", least=0.01
    )
