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
from postvouch.config.kinds import Domain, Duration, Endpoint, Host, IpAddress, SecretPath, Socket
from postvouch.config.postfix import Postfix
from postvouch.config.sign import Sign
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
        'cannot. "" until you choose: nothing is signed, every lookup is "not found".',
        choices=("", "mx", "srs", "submission", "relay"),
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Map:
    """postvouch-map: aliases, forwards, alias domains, owners and SRS over Postfix's socketmap protocol."""

    socket: Socket = kinds.socket("map", "Where Postfix finds the maps.")
    metrics: Endpoint = kinds.metrics(9473)
    names: tuple[str, ...] = setting(
        ("/etc/postvouch/names.d/*.yaml",),
        "YAML files (globs) with aliases, forwards, alias domains and logins; merged in this order.",
    )
    snapshot: str = setting(
        "/var/lib/postvouch/directory.snapshot",
        "The compiled directory, which all daemons of this host read; it survives LDAP and restarts.",
    )
    refresh: Duration = setting(Duration(300), "How often files and LDAP are read again.", least=1)
    soft_age: Duration = setting(Duration(7200), "A snapshot older than this is warned about.")
    hard_age: Duration = setting(
        Duration(7 * 86400),
        'Beyond this age "not found" is no longer believed and answered as a temporary failure.',
    )
    max_shrink: int = setting(
        20,
        "A new snapshot that lost more than this many per cent of the entries is refused; the old one stays.",
        most=100,
    )
    forward_transport: str = setting(
        "",
        "On mx, the transport that the map named transport answers for forward addresses.",
        example='"smtp:[srs.our.example]"',
    )
    recipient_delimiter: str = setting(
        "+", 'Characters that separate a sub-address ("bob+list@"), as in main.cf. "" for none.'
    )
    max_targets: int = setting(1000, "An alias or forward with more targets is a loop or a mistake.", least=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ldap:
    """An LDAP server as a source of accounts, forwards and roles. It is read into the snapshot, never asked
    while mail waits."""

    uri: str = setting("", "ldap:// or ldaps://. Empty: no LDAP.", example='"ldaps://ldap.our.example"')
    starttls: bool = setting(False, "Upgrade an ldap:// connection with StartTLS before anything else.")
    ca_file: str = setting("", "Certificates to trust. Default: the system's.")
    bind_dn: str = setting("", "Who we are. Empty: anonymous.")
    password_file: SecretPath = setting(SecretPath(""), "File whose first line is the password of bind_dn.")
    base: str = setting("", "Where to search.", example='"ou=users,dc=our,dc=example"')
    filter: str = setting("(objectClass=*)", "Which entries to read.")
    login_attribute: str = setting("uid", "Attribute that holds the login; the address is login@domain.")
    forward_attribute: str = setting("emailForward", "Attribute with the address that mail goes to.")
    alias_attribute: str = setting("", "Attribute with further addresses of the account.")
    member_attribute: str = setting(
        "member",
        "Attribute of a role with its members: DNs, logins or addresses; they own the role's address.",
    )
    domain: Domain = setting(Domain(""), "Domain of the addresses. Default: the first of general.domains.")
    timeout: Duration = setting(Duration(10), "How long to wait for the server.", least=0.1)
    page_size: int = setting(500, "Entries asked for at a time.", least=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Srs:
    """The sender rewriting scheme. mx and srs hosts share its secrets."""

    domain: Domain = setting(
        Domain(""),
        "Domain of rewritten senders; its mx must run postvouch-map. Default: first of general.domains.",
    )
    secrets_file: SecretPath = setting(
        SecretPath("/etc/postvouch/srs.secrets"),
        "One secret a line: the first signs, all verify. postsrsd's fits.",
    )
    max_age: Duration = setting(
        Duration(21 * 86400),
        "How long a bounce may come back; more than twice the queue lifetime of 5d.",
        most=1000 * 86400,
    )
    unproven_domain: Domain = setting(
        Domain(""),
        "Domain of rewritten senders for mail with our From: that nobody vouched for (sign.on_unproven). "
        "Another organizational domain than that From:, or SPF would align and DMARC pass; its SPF record "
        "lists the srs hosts, its MX are the mx hosts.",
        example='"old.example"',
    )
    separator: str = setting("=", "Character after SRS0 and SRS1.", choices=("=", "+", "-"))
    hash_length: int = setting(
        4, "Characters of the hash that are written (and the fewest accepted).", least=4, most=27
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """postvouch-policy: who may submit as whom, and how much."""

    socket: Socket = kinds.socket("policy", "Where Postfix finds it (check_policy_service).")
    metrics: Endpoint = kinds.metrics(9474)
    limit: int = setting(500, "Messages that one login may send per window; 0 for no limit.")
    window: Duration = setting(Duration(86400), "The window of the limit; it slides.", least=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Redis:
    """A redis server that several hosts share for counters. Without it, or while it is away, each host counts
    for itself."""

    url: str = setting("", "Server. Empty: none.", example='"redis://redis.our.example:6379/0"')
    password_file: SecretPath = setting(SecretPath(""), "File whose first line is the password.")
    timeout: Duration = setting(
        Duration(0.25), "How long one question may take; then this host counts alone.", least=0.01
    )


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
    policy: Policy = _table(Policy)
    redis: Redis = _table(Redis)
    postfix: Postfix = _table(Postfix)
