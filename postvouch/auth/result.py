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
    """One SPF check (RFC 7208). ``domain`` is the domain asked about; ``identity`` "mailfrom" or "helo".

    ``secure``: every answer of DNS that it rests on had the AD bit of our resolver; so in all findings.
    """

    result: Result
    domain: str = ""
    identity: str = "mailfrom"
    reason: str = ""
    secure: bool = False


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
    secure: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ArcFinding:
    """The chain of ARC sets (RFC 8617 §5.2): none, pass or fail; temperror where DNS left it open.

    ``sealers`` are the d= of the seals, instance 1 first, () unless the chain passes. ``oldest_pass`` is the
    lowest instance whose message signature still verifies, 0 for all of them (RFC 8617 §5.2 step 5).
    ``passes``: (instance, header.from) of each set whose results say dmarc=pass. All of it is hearsay: worth
    as much as the sealers are trusted.
    """

    result: Result
    oldest_pass: int = 0
    sealers: tuple[str, ...] = ()
    passes: tuple[tuple[int, str], ...] = ()
    reason: str = ""
    secure: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class IprevFinding:
    """Does the client's name lead back to its address (RFC 8601 §3)? ``name``: the one that does, or ""."""

    result: Result
    name: str = ""
    reason: str = ""
    secure: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DmarcFinding:
    """The DMARC evaluation (RFC 9989).

    ``domain`` the Author Domain, ``org_domain`` its Organizational Domain, ``policy`` the word that the
    record asks for ("" without a record), ``applied`` that word after t=y has stepped it down (§4.7),
    ``aligned_by`` "spf", "dkim", "spf,dkim" or "", ``record_domain`` where the record was found.
    ``difference``: what the other way of discovery would have said; "" where it says the same or was not
    asked.
    """

    result: Result
    domain: str = ""
    org_domain: str = ""
    policy: str = ""
    applied: str = ""
    aligned_by: str = ""
    record_domain: str = ""
    reason: str = ""
    secure: bool = False
    difference: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """All that was found out about one message.

    ``mentioned``: where From: does not hold exactly one author, every domain name that a careless reader
    could make out in it, as ``mentioned.mentioned`` gives them. It proves nothing; it keeps a broken From:
    from dodging the anti-spoofing rule.
    ``list_id``: the identifier of List-Id (RFC 2919), lower case, "" without exactly one; a claim, no proof.
    ``arc`` and ``iprev`` are None where they were not asked for.
    """

    spf: SpfFinding
    helo: SpfFinding
    dkim: tuple[DkimFinding, ...] = ()
    dmarc: DmarcFinding
    arc: ArcFinding | None = None
    iprev: IprevFinding | None = None
    list_id: str = ""
    author: Author = field(default_factory=MissingAuthor)
    mentioned: tuple[str, ...] = ()
