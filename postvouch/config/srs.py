"""The table [srs]: how senders are rewritten, and for how long bounces may come back."""

# ruff: noqa: RUF009 - setting() is dataclasses.field() with a manual

from dataclasses import dataclass

from postvouch.config.kinds import Domain, Duration, SecretPath, setting


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
    tokens: str = setting(
        "off",
        "Where senders are kept that are too long to be wrapped in 64 octets; they leave as a short token. "
        "off: nowhere, they leave as they are. redis: in the server of [redis], for all hosts. file: in "
        "srs.token_file, where one host is all.",
        choices=("off", "redis", "file"),
    )
    token_file: str = setting(
        "/var/lib/postvouch/srs-tokens.db", 'The SQLite file of srs.tokens = "file"; it is made when needed.'
    )
    tokens_per_domain: int = setting(
        10_000, "Live tokens that senders of one domain may have; a further one is deferred.", least=1
    )
