"""Every setting, its default and its manual, in one place.

The loader, the commented example file, the man page and ``postvouch config`` all read ``Config`` and nothing
else. A class is a TOML table of the lower-case name in ``Config``; a field is a key; ``doc`` is the manual
text. Types say how a value is written: ``Duration`` is seconds, written "100s", "5m", "2h", "5d", "3w";
``Socket`` is "unix:/path" or "inet:host:port"; ``SecretPath`` a file that nobody but its owner and group may
read.
"""

# ruff: noqa: RUF009 - setting() is dataclasses.field() with a manual

from dataclasses import dataclass, field
from typing import Any

from postvouch.config import kinds
from postvouch.config.forward import Forward
from postvouch.config.kinds import Domain, Duration, Host, IpAddress
from postvouch.config.names import Ldap, Map
from postvouch.config.postfix import Postfix
from postvouch.config.shared import Redis
from postvouch.config.sign import Sign
from postvouch.config.srs import Srs
from postvouch.config.submission import Policy
from postvouch.config.verdict import Verdict
from postvouch.config.verify import Verify

setting = kinds.setting


@dataclass(frozen=True, slots=True, kw_only=True)
class General:
    """What every daemon on this host needs to know."""

    role: str = setting(
        "",
        "What this host does. mx: verify, resolve aliases, undo SRS. srs: resolve forwards, rewrite the "
        "envelope, sign, send. submission: logins send as themselves, signed. relay: signs for hosts that "
        "cannot. single: one host that is mx, srs and submission at once. "
        '"" until you choose: nothing is signed, every lookup is "not found".',
        choices=("", "mx", "srs", "submission", "relay", "single"),
    )
    domains: tuple[Domain, ...] = setting(
        (),
        "The domains of this organisation, alias domains included. Default, on relay only: general.hostname.",
        example='["our.example"]',
    )
    hostname: str = setting("", "The name of this host. Default: what the system says, fully qualified.")
    internal_hosts: tuple[Host, ...] = setting(
        (Host("127.0.0.0/8"), Host("::1/128")),
        "Clients whose mail is ours: signed, not verified. Addresses, networks, and host names that lead "
        "back to the client's address (.our.example for all hosts below); the loopback is always one of "
        "them. On srs this names the submission hosts and never the mx hosts, which bring strangers' mail "
        "(see sign.vouching_hosts).",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """The log lines, one a message or request."""

    privacy: str = setting(
        "full",
        "Addresses and client addresses in log lines: full, hash (the same address gives the same short "
        "hash until the daemon restarts), drop.",
        choices=("full", "hash", "drop"),
    )
    debug: bool = setting(False, "Also log how each decision came about, step by step.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dns:
    """How DNS is asked. A validating resolver on this host is the best choice."""

    servers: tuple[IpAddress, ...] = setting((), "Resolvers, as IP addresses. Default: /etc/resolv.conf.")
    timeout: Duration = setting(Duration(5), "How long one answer may take, TCP retry included.", least=0.1)
    message_timeout: Duration = setting(
        Duration(20), "How long all DNS for one message may take; then it is all a temperror.", least=1
    )
    cache_entries: int = setting(20000, "Answers kept in memory by each worker, the oldest dropped first.")


def _table(cls: type) -> Any:
    return field(default_factory=cls)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole configuration."""

    general: General = _table(General)
    log: Log = _table(Log)
    dns: Dns = _table(Dns)
    verify: Verify = _table(Verify)
    verdict: Verdict = _table(Verdict)
    sign: Sign = _table(Sign)
    map: Map = _table(Map)
    ldap: Ldap = _table(Ldap)
    srs: Srs = _table(Srs)
    forward: Forward = _table(Forward)
    policy: Policy = _table(Policy)
    redis: Redis = _table(Redis)
    postfix: Postfix = _table(Postfix)
