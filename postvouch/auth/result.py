"""The words of RFC 8601 §2.7 and one finding a method, each carrying its reason in plain English.

A finding is a fact; what to do about it is ``decide``'s business. Reasons are for the admin's log and the
header's reason=, so they hold no more of the sender's bytes than they must.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from postvouch.values.address import Author, MissingAuthor


class Result(StrEnum):
    """The result words of RFC 8601 §2.7 for the methods that we evaluate."""

    NONE = "none"
    NEUTRAL = "neutral"
    PASS = "pass"  # noqa: S105 - the RFC's word, not a password
    FAIL = "fail"
    POLICY = "policy"
    SOFTFAIL = "softfail"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpfFinding:
    """One SPF check (RFC 7208). ``domain`` is the domain asked about; ``identity`` "mailfrom" or "helo"."""

    result: Result
    domain: str = ""
    identity: str = "mailfrom"
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DkimFinding:
    """One DKIM-Signature (RFC 6376).

    ``d`` in lower-case A-labels, ``s`` and ``a`` as written, ``i`` with its quoted-printable undone, ``b``
    its first eight characters. "" where a tag is missing, repeated or not printable.
    """

    result: Result
    d: str = ""
    s: str = ""
    a: str = ""
    i: str = ""
    b: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DmarcFinding:
    """The DMARC evaluation (RFC 9989).

    ``domain`` the Author Domain, ``org_domain`` its Organizational Domain, ``policy`` the word that the
    record asks for ("" without a record), ``applied`` that word after t=y has stepped it down (§4.7),
    ``aligned_by`` "spf", "dkim", "spf,dkim" or "", ``record_domain`` where the record was found.
    """

    result: Result
    domain: str = ""
    org_domain: str = ""
    policy: str = ""
    applied: str = ""
    aligned_by: str = ""
    record_domain: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """All that was found out about one message.

    ``mentioned``: where From: does not hold exactly one author, every domain name that a careless reader
    could make out in it. It proves nothing; it keeps a broken From: from dodging the anti-spoofing rule.
    """

    spf: SpfFinding
    helo: SpfFinding
    dkim: tuple[DkimFinding, ...] = ()
    dmarc: DmarcFinding
    author: Author = field(default_factory=MissingAuthor)
    mentioned: tuple[str, ...] = ()
