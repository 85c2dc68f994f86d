"""What can be wrong with a published key: a word, an exit status, a text and a remedy for each.

``sign/published.py`` finds what a record says, ``host/dnsauthority.py`` and ``host/dnssecure.py`` what DNS
does with it; ``postvouch dkim testkey`` tells. Words and statuses stay; new ones may come. The order is that
of gravity: of several findings the first decides the exit status. ``docs/testkey.rst`` has this table.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Finding(StrEnum):
    """One kind of fault, the gravest first."""

    KEY_MISSING = "key-missing"
    KEY_MODE = "key-mode"
    KEY_UNUSABLE = "key-unusable"
    DNS_UNAVAILABLE = "dns-unavailable"
    NOT_PUBLISHED = "not-published"
    PARTIAL = "partial"
    REVOKED = "revoked"
    SEVERAL = "several-records"
    SPLIT = "split"
    MALFORMED = "malformed"
    WRONG_VERSION = "wrong-version"
    WRONG_KIND = "wrong-kind"
    WRONG_HASH = "wrong-hash"
    NOT_EMAIL = "not-email"
    DIFFERS = "differs"
    TESTING = "testing"
    DS_MISMATCH = "ds-mismatch"
    SIGNATURE_EXPIRED = "signature-expired"
    SIGNATURE_EARLY = "signature-early"
    SIGNATURE_MISSING = "signature-missing"
    SIGNATURE_WRONG = "signature-wrong"
    BOGUS = "bogus"
    NEGATIVE_CACHED = "negative-cached"
    OLD_CACHED = "old-cached"
    NO_DS = "no-ds"
    NOT_VALIDATED = "not-validated"
    WILDCARD = "wildcard"
    CNAME = "cname"
    SILENT = "server-silent"


@dataclass(frozen=True, slots=True)
class Meaning:
    """The exit status, what testkey says, and what to do. A warning leaves the status 0 unless all count."""

    status: int
    text: str
    remedy: str
    is_warning: bool = False


MEANINGS: dict[Finding, Meaning] = {
    Finding.KEY_MISSING: Meaning(10, "no key file", "make the key: postvouch dkim genkey, or mend the path"),
    Finding.KEY_MODE: Meaning(11, "key file not private", "close the file and the folders above it: chmod"),
    Finding.KEY_UNUSABLE: Meaning(
        12, "key file not usable", "let it be read, by root; if it is no key, postvouch dkim genkey makes one"
    ),
    Finding.DNS_UNAVAILABLE: Meaning(
        13, "DNS does not answer", "look at the resolver (dns.servers) and at the servers of the zone"
    ),
    Finding.NOT_PUBLISHED: Meaning(
        20,
        "record not found",
        "publish what postvouch dkim record prints; mind the name relative to the zone",
    ),
    Finding.PARTIAL: Meaning(
        21,
        "not the same on all authoritative servers",
        "wait for the zone transfer, or mend it (NOTIFY, AXFR)",
    ),
    Finding.REVOKED: Meaning(
        22, "key revoked (empty p=)", "publish the record again, or rotate to a new key"
    ),
    Finding.SEVERAL: Meaning(
        23, "several records", "leave one TXT record at the name; verifiers pick any (RFC 6376 §3.6.2.2)"
    ),
    Finding.SPLIT: Meaning(
        24, "record split wrongly", "publish it again as postvouch dkim record prints it, in one record"
    ),
    Finding.MALFORMED: Meaning(25, "no key record", "publish it again as postvouch dkim record prints it"),
    Finding.WRONG_VERSION: Meaning(26, "wrong v=", "begin the record with v=DKIM1"),
    Finding.WRONG_KIND: Meaning(27, "wrong k=", "publish the record of this key: postvouch dkim record"),
    Finding.WRONG_HASH: Meaning(28, "h= without sha256", "leave h= away or write h=sha256"),
    Finding.NOT_EMAIL: Meaning(29, "s= is not for email", "leave s= away or write s=email"),
    Finding.DIFFERS: Meaning(
        30, "keys do not match", "publish the record of this key, or sign with the key that is published"
    ),
    Finding.TESTING: Meaning(
        31, "marked as a test (t=y)", "take t=y away: verifiers may treat the mail as unsigned"
    ),
    Finding.DS_MISMATCH: Meaning(
        40, "DS does not match the zone's keys", "give the parent the DS of a key that signs the zone"
    ),
    Finding.SIGNATURE_EXPIRED: Meaning(
        41, "DNSSEC signature expired", "sign the zone again; see why none did"
    ),
    Finding.SIGNATURE_EARLY: Meaning(
        42, "DNSSEC signature not yet valid", "look at the clocks, of the signer and of this host"
    ),
    Finding.SIGNATURE_MISSING: Meaning(
        43, "DNSSEC signature missing", "sign the zone, or take its DS out of the parent"
    ),
    Finding.SIGNATURE_WRONG: Meaning(
        44, "DNSSEC signature wrong", "sign the zone again; see whether a server changes what it serves"
    ),
    Finding.BOGUS: Meaning(
        45, "key bogus (DNSSEC failed)", "mend the signatures of the zone; validating verifiers see nothing"
    ),
    Finding.NEGATIVE_CACHED: Meaning(
        50, "published, but the resolver still remembers that there was nothing", "flush it, or wait"
    ),
    Finding.OLD_CACHED: Meaning(
        51, "published, but the resolver still remembers another record", "flush it, or wait"
    ),
    Finding.NO_DS: Meaning(52, "key not secure", "sign the zone and give its DS to the parent", True),
    Finding.NOT_VALIDATED: Meaning(
        53, "key not secure", "let the resolver validate (unbound: auto-trust-anchor-file)", True
    ),
    Finding.WILDCARD: Meaning(
        54, "a wildcard answers", "publish the name itself; other selectors get the same answer", True
    ),
    Finding.CNAME: Meaning(55, "an alias (CNAME)", "none; who owns its target can change the key", True),
    Finding.SILENT: Meaning(
        56, "an authoritative server does not answer", "start it, or take it out of NS", True
    ),
}
"""Every finding has its place here, in the order of Finding."""

INSECURE = frozenset((Finding.NO_DS, Finding.NOT_VALIDATED))
"""Not secure, but not broken either."""
BROKEN = frozenset(
    (
        Finding.BOGUS, Finding.DS_MISMATCH, Finding.SIGNATURE_EXPIRED, Finding.SIGNATURE_EARLY,
        Finding.SIGNATURE_MISSING, Finding.SIGNATURE_WRONG,
    )
)  # fmt: skip
"""What verifiers that validate see as no answer at all."""

GRAVITY: dict[Finding, int] = {finding: place for place, finding in enumerate(Finding)}


@dataclass(frozen=True, slots=True)
class Fault:
    """One finding about one key; ``detail`` names servers, tags, times: a clause without a full stop."""

    finding: Finding
    detail: str = ""

    def __str__(self) -> str:
        text = MEANINGS[self.finding].text
        return f"{text}: {self.detail}" if self.detail else text


def in_order(faults: Iterable[Fault]) -> tuple[Fault, ...]:
    """Each once, the gravest first."""
    return tuple(sorted(dict.fromkeys(faults), key=lambda fault: GRAVITY[fault.finding]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Strictness:
    """Which warnings are errors: with ``require_dnssec`` "key not secure", with ``all_warnings`` all."""

    require_dnssec: bool = False
    all_warnings: bool = False

    def is_error(self, finding: Finding) -> bool:
        """Whether a key with this finding is no good."""
        required = self.require_dnssec and finding in INSECURE
        return not MEANINGS[finding].is_warning or self.all_warnings or required

    def status(self, faults: Iterable[Fault]) -> int:
        """The exit status: that of the gravest error, 0 where there is none."""
        errors = (fault.finding for fault in in_order(faults) if self.is_error(fault.finding))
        return next((MEANINGS[finding].status for finding in errors), 0)
