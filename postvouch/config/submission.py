"""The table [policy]: who may submit as whom, and how much."""

# ruff: noqa: RUF009 - setting() is dataclasses.field() with a manual

from dataclasses import dataclass

from postvouch.config import kinds
from postvouch.config.kinds import Duration, Endpoint, Socket, setting

DAY_S = 86400


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """How much one login, client or sender domain may send in a window that slides."""

    name: str = setting(
        "", "What the user, the log and the counters call it.", example='"logins"', required=True
    )
    per: str = setting(
        "login",
        "Whose letters are counted together: of a login, of a client's address (an IPv6 network of /64), or "
        "of the domain of the envelope sender.",
        choices=("login", "client", "sender_domain"),
    )
    messages: int = setting(0, "Messages per window; 0 for no limit.")
    recipients: int = setting(0, "Recipients per window, of all messages together; 0 for no limit.")
    window: Duration = setting(Duration(DAY_S), "The window; it slides.", least=1)
    only: tuple[str, ...] = setting(
        (),
        "Whom it is for: logins, or an address of ours for all logins that may send as it; networks where "
        "it is per client; domains where per sender_domain. For these it counts in place of the limits of "
        "its kind (per) that have no such list. Empty: for all others.",
        example='["newsletter", "press@our.example"]',
    )
    mode: str = setting(
        "enforce",
        "enforce: 450 beyond it, until the window has room. log: only the log says would=over-limit.",
        choices=("enforce", "log"),
    )


DEFAULT_LIMITS = (Limit(name="logins", messages=500, recipients=2000),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """postvouch-policy: who may submit as whom, and how much."""

    socket: Socket = kinds.socket("policy", "Where Postfix finds it (check_policy_service).")
    metrics: Endpoint = kinds.metrics(9474)
    limit: tuple[Limit, ...] = setting(
        (),
        "How much may be sent, a [[policy.limit]] table each; a letter has to be within all. Default: one "
        'named "logins", 500 messages and 2000 recipients a day for each login.',
    )
    counters: str = setting(
        "/var/lib/postvouch/counters",
        "SQLite file in which this host keeps what it has counted; it survives restarts. Empty: nowhere. "
        "With [redis] all hosts count there, and by this file while redis is away.",
    )
    password_files: tuple[str, ...] = setting(
        (),
        "Dovecot's passwd-files (globs), in which postvouch account looks for a person; never for passwords.",
        example='["/etc/dovecot/passwd*"]',
    )

    @property
    def limits(self) -> tuple[Limit, ...]:
        """Those that hold."""
        return self.limit or DEFAULT_LIMITS
