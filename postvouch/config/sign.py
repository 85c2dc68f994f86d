"""The table [sign]: who may speak as us, with which keys, and what the signatures cover."""

# ruff: noqa: RUF009 - setting() is dataclasses.field() with a manual

from dataclasses import dataclass

from postvouch.config import kinds
from postvouch.config.kinds import (
    AuthorPattern,
    Domain,
    Duration,
    Endpoint,
    Network,
    SecretPath,
    Socket,
    setting,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """One key: mail From: this domain is signed with it. Several keys for the same authors all sign.

    Without selector and file the keys are those that "postvouch dkim rotate" keeps for the domain.
    """

    domain: Domain = setting(
        Domain(""), "The domain (d=) that signs.", example='"our.example"', required=True
    )
    selector: str = setting(
        "",
        "The selector (s=). {year} stands for the latest year, up to this one, for which the file is there; "
        "{shorthost} for the first label of general.hostname.",
        example='"{year}-{shorthost}"',
    )
    file: SecretPath = setting(
        SecretPath(""),
        "PEM file, RSA of 2048 bits or more, or Ed25519. Mode 0640, group postvouch, or stricter. {year}, "
        "{shorthost} and {selector} are filled in. Default: sign.key_directory/DOMAIN/SELECTOR.pem.",
        example='"/etc/postvouch/keys/our.example/{selector}.pem"',
    )
    subdomains: bool = setting(False, "Also sign mail From: subdomains of the domain.")
    authors: tuple[AuthorPattern, ...] = setting(
        (),
        "Whose From: it signs, instead of the whole domain's: an address, a domain, *.domain for all its "
        "subdomains, or a local part with * for any text. The most specific pattern decides which keys sign.",
        example='["news-*@our.example", "*.lists.our.example"]',
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """postvouch-sign: DKIM signatures, only with proof of origin."""

    socket: Socket = kinds.socket(
        "sign", "Where Postfix finds the milter (smtpd_milters, non_smtpd_milters)."
    )
    engine: str = kinds.engine()
    workers: int = kinds.workers()
    metrics: Endpoint = kinds.metrics(9472)
    key: tuple[SigningKey, ...] = setting((), "The keys, a [[sign.key]] table each.")
    key_directory: str = setting("/etc/postvouch/keys", "Where keys are kept, as DOMAIN/SELECTOR.pem.")
    client_certificates: tuple[str, ...] = setting(
        (),
        "Hosts whose mail is ours by their TLS client certificate: its common name, as Postfix verified it "
        "(smtpd_tls_ask_ccert, and a smtpd_tls_CAfile of authorities that you trust with this).",
        example='["crm-int-01.our.example"]',
    )
    vouching_hosts: tuple[Network, ...] = setting(
        (),
        "Our mx hosts. Mail from them is strangers' mail: it is signed only where the topmost "
        "Authentication-Results field of sign.vouching_id says dmarc=pass, or x-origin=pass, for From:.",
    )
    vouching_id: str = setting("", "The authserv-id that vouching hosts write (their verify.authserv_id).")
    sign_unauthenticated: bool = setting(
        False, "Sign our From: from vouching hosts without their dmarc=pass. A spoof then leaves as ours."
    )
    on_unproven: str = setting(
        "quarantine",
        "What happens on srs to mail from a vouching host with our From: and no dmarc=pass. Forwarded like "
        "any other it would pass DMARC at its target through our own envelope sender. quarantine: Postfix "
        "holds it. reject: the mx has to bounce it, often to a forged sender. forward: it leaves unsigned "
        "with an SRS sender in srs.unproven_domain, and fails DMARC at its target, as a spoof should.",
        choices=("quarantine", "reject", "forward"),
    )
    check_owner: bool = setting(
        True, "Where a login is known, refuse a From: address that the login does not own (see map.names)."
    )
    sign_headers: tuple[str, ...] = setting(
        (
            "resent-from", "resent-to", "resent-cc", "resent-sender", "resent-date", "resent-message-id",
            "list-id", "list-help", "list-unsubscribe", "list-unsubscribe-post", "list-subscribe",
            "list-post", "list-owner", "list-archive", "openpgp",
        ),
        "Header fields that are signed where present, every occurrence; more of them may be added later.",
    )  # fmt: skip
    oversign_headers: tuple[str, ...] = setting(
        ("from", "reply-to", "subject", "to", "cc"),
        "Header fields that are signed, present or not, and of which none may be added later.",
    )
    oversign_present_headers: tuple[str, ...] = setting(
        (
            "sender", "date", "message-id", "mime-version", "content-type", "content-transfer-encoding",
            "in-reply-to", "references", "autocrypt",
        ),
        "Header fields that are signed where present, and of which no further one may be added then.",
    )  # fmt: skip
    canonicalization: str = setting(
        "relaxed/relaxed",
        "The form, header/body, in which letters are signed (c=). Simple forms break where a later hop only "
        "folds a line or takes a blank away.",
        choices=("relaxed/relaxed", "relaxed/simple", "simple/simple", "simple/relaxed"),
    )
    remove_old_signatures: str = setting(
        "none",
        "Which DKIM-Signature fields are removed from a letter that we sign: none; own: those of its "
        "author's domain and of the domains that sign it; broken: those that do not verify (DNS is asked); "
        "all. On a forward, all takes from the letter what may let it pass at its target.",
        choices=("none", "own", "broken", "all"),
    )
    arc_seal: bool = setting(
        False,
        "On srs, seal what vouching hosts bring with ARC: what the field of sign.vouching_id says goes into "
        "the chain. The key is the first of srs.domain.",
    )
    unpublished_keys: str = setting(
        "warn",
        "What becomes of a key whose record in DNS is missing, or is not this key: the daemon looks when it "
        "starts, when keys change, and hourly. warn: the log says so. refuse: it does not begin to sign with "
        "it; where the author has no other key, mail is deferred until it is there. ignore: nobody looks. "
        "That DNS does not answer is held against no key.",
        choices=("warn", "refuse", "ignore"),
    )
    require_dnssec: bool = setting(
        False, '"postvouch dkim testkey" and rotate ask that our key records are DNSSEC-secure.'
    )
    retire_after: Duration = setting(
        Duration(10 * 86400),
        "How long the record of a key that signs no more stays, for letters still in queues, before it is "
        "revoked. Longer than the queue lifetime of 5d.",
    )
    delete_after: Duration = setting(
        Duration(30 * 86400), "How long a revoked record (an empty p=) stays before it may be deleted."
    )
    expire: Duration = setting(Duration(0), 'Signatures carry x= this far ahead; "0s" for no x=.')
