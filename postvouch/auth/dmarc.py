"""DMARC (RFC 9989): does what SPF or DKIM proved belong to the author that the reader sees?

The PyPI package ``dmarc`` does not decide here; docs/decisions/0003-dmarc-library.rst says why. Nothing is
taken from header fields: results come in as findings made in this process. Never raises.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from postvouch.auth.dmarcrecord import Record
from postvouch.auth.orgdomain import ByList, ByWalk, Discovery
from postvouch.auth.psl import Suffixes
from postvouch.auth.questions import Questions
from postvouch.auth.result import DkimFinding, DmarcFinding, Result, SpfFinding
from postvouch.values.address import (
    AddressError,
    Author,
    MalformedAuthor,
    OneAuthor,
    SeveralAuthors,
    parse_domain,
)
from postvouch.values.dns import DnsUnavailable, Resolver, Status

MAX_QUESTIONS = 100
"""The walks of an author, of SPF and of ten signatures, all at their longest and apart, stay below."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """An evaluation with all its detail.

    ``record`` and ``record_domain``: what was found; ``policy`` and ``policy_tag``: what it asks for this
    author; ``spf_aligned`` and ``dkim_aligned``, one for each signature: "pass and aligned". ``looked_up``:
    ``org_domain`` was really looked for, and not taken from a name that is the author's own.
    """

    result: Result
    reason: str
    domain: str = ""
    org_domain: str = ""
    looked_up: bool = False
    record: Record | None = None
    record_domain: str = ""
    policy: str = ""
    policy_tag: str = ""
    spf_aligned: bool = False
    dkim_aligned: tuple[bool, ...] = ()
    secure: bool = False

    @property
    def aligned_by(self) -> str:
        """Which of "spf" and "dkim" proved the author, comma between."""
        words = [w for w, yes in (("spf", self.spf_aligned), ("dkim", any(self.dkim_aligned))) if yes]
        return ",".join(words)

    @property
    def applied(self) -> str:
        """``policy`` after t=y (RFC 9989 §4.7)."""
        return self.record.applied(self.policy) if self.record and self.policy else ""


def evaluate(
    author: Author,
    spf: SpfFinding,
    dkim: Sequence[DkimFinding],
    resolver: Resolver,
    *,
    discovery: str = "treewalk",
    suffixes: Suffixes | None = None,
) -> DmarcFinding:
    """Evaluate DMARC; ``spf`` is the finding for MAIL FROM, which for the null sender is that of HELO.

    ``discovery`` as in the setting verify.discovery; without ``suffixes`` it is always by DNS alone.
    """
    both = discovery == "both-log-differences" and suffixes is not None
    if both:
        # What the walk has asked the list's way does not ask again.
        resolver = Questions(resolver, MAX_QUESTIONS)
    judged = judge(author, spf, dkim, resolver, by_list=discovery == "psl", suffixes=suffixes)
    finding = DmarcFinding(
        result=judged.result,
        domain=judged.domain,
        org_domain=judged.org_domain,
        policy=judged.policy,
        applied=judged.applied,
        aligned_by=judged.aligned_by,
        record_domain=judged.record_domain,
        reason=judged.reason,
        secure=judged.secure,
    )
    if not both:
        return finding
    other = judge(author, spf, dkim, resolver, by_list=True, suffixes=suffixes)
    return replace(finding, difference=_difference(judged, other))


def _difference(walked: Detail, listed: Detail) -> str:
    """What the list would have said, in one line; "" where it makes no difference to anybody."""
    if walked.result is listed.result is Result.NONE:
        return ""
    pairs = [("result", listed.result, walked.result), ("policy", listed.applied, walked.applied)]
    if walked.looked_up and listed.looked_up:
        pairs.append(("organisation", listed.org_domain, walked.org_domain))
    words = [
        f"{what} {theirs or '(none)'}, not {ours or '(none)'}"
        for what, theirs, ours in pairs
        if theirs != ours
    ]
    return "by the list of public suffixes: " + "; ".join(words) if words else ""


def judge(
    author: Author,
    spf: SpfFinding,
    dkim: Sequence[DkimFinding],
    resolver: Resolver,
    *,
    by_list: bool = False,
    suffixes: Suffixes | None = None,
) -> Detail:
    """Evaluate DMARC with all its detail. RFC 9989 §5.3.1: exactly one Author Domain, or no validation."""
    match author:
        case OneAuthor(address):
            questions = Questions(resolver, MAX_QUESTIONS)
            way = _way(address.domain, questions, by_list=by_list, suffixes=suffixes)
            judged = _Evaluation(address.domain, spf, dkim, questions, way).run()
            return replace(judged, secure=True) if questions.secure else judged
        case SeveralAuthors(group=group):
            reason = "From: holds a group" if group else "From: holds several authors"
        case MalformedAuthor(why):
            reason = f"From: cannot be read: {why}"
        case _:
            reason = "From: holds no author"
    return Detail(result=Result.PERMERROR, reason=reason)


def organisation(
    domain: str, resolver: Resolver, *, by_list: bool = False, suffixes: Suffixes | None = None
) -> str:
    """Find the Organizational Domain of an author for who wants to see it; "" where DNS does not say."""
    try:
        return _way(domain, resolver, by_list=by_list, suffixes=suffixes).organisation(domain)
    except DnsUnavailable:
        return ""


def _way(domain: str, resolver: Resolver, *, by_list: bool, suffixes: Suffixes | None) -> Discovery:
    if by_list and suffixes is not None:
        return ByList(domain, resolver, suffixes)
    return ByWalk(domain, resolver, suffixes)


class _Evaluation:
    """One evaluation for one Author Domain; what needs DNS is asked when, and as far as, it is needed."""

    def __init__(
        self,
        domain: str,
        spf: SpfFinding,
        dkim: Sequence[DkimFinding],
        resolver: Resolver,
        discovery: Discovery,
    ) -> None:
        self._domain = domain
        self._spf = spf
        self._dkim = dkim
        self._resolver = resolver
        self._discovery = discovery
        self._trouble = ""

    def run(self) -> Detail:
        try:
            place = self._discovery.policy_record()
        except DnsUnavailable as error:
            # Identity needs no DNS: what is proven stays proven for decide's anti-spoofing rule.
            spf, dkim = self._proven(strict_spf=True, strict_dkim=True)
            return self._say(Result.TEMPERROR, f"no DMARC policy could be had: {error}", spf, dkim)
        if place is None or not place[1].usable:
            # DMARC does not apply; alignment is computed all the same, for decide's anti-spoofing rule.
            # Without any record above it the author is its own organisation, and so is every other name.
            alone = self._discovery.alone()
            spf, dkim = self._proven(strict_spf=alone, strict_dkim=alone)
            why = f"{place[0]} asks for no DMARC processing" if place else "no DMARC record"
            return self._say(Result.NONE, why, spf, dkim)
        return self._apply(*place)

    def _apply(self, where: str, record: Record) -> Detail:
        spf, dkim = self._proven(strict_spf=record.strict_spf, strict_dkim=record.strict_dkim)
        passed = spf or any(dkim)
        undecided = "" if passed else self._undecided(record)
        policy, tag, trouble = self._policy(where, record)
        if passed:
            result, reason = Result.PASS, "aligned"
        elif undecided or trouble:
            result, reason = Result.TEMPERROR, undecided or trouble
        else:
            result, reason = Result.FAIL, self._unaligned(record)
        return self._say(result, reason, spf, dkim, where, record, policy, tag)

    def _unaligned(self, record: Record) -> str:
        """Why nothing proves the author; strict alignment is named where it may have decided."""
        tags = [
            tag
            for tag, strict, passed in (
                ("aspf=s", record.strict_spf, self._spf.result is Result.PASS),
                ("adkim=s", record.strict_dkim, any(f.result is Result.PASS for f in self._dkim)),
            )
            if strict and passed
        ]
        how = f" ({', '.join(tags)})" if tags else ""
        return f"nothing that passed is aligned with {self._domain}{how}"

    def _say(
        self,
        result: Result,
        reason: str,
        spf: bool,
        dkim: tuple[bool, ...],
        where: str = "",
        record: Record | None = None,
        policy: str = "",
        tag: str = "",
    ) -> Detail:
        # Where an identical name passed under a record of its own, that name counts as the organisation
        # (§4.10.2), and "" says that the evaluation could do without.
        known = self._discovery.known()
        own = where if result is Result.PASS and where == self._domain else ""
        return Detail(
            result=result,
            reason=reason,
            domain=self._domain,
            org_domain=known or own,
            looked_up=bool(known),
            record=record,
            record_domain=where,
            policy=policy,
            policy_tag=tag,
            spf_aligned=spf,
            dkim_aligned=dkim,
        )

    def _policy(self, where: str, record: Record) -> tuple[str, str, str]:
        """Policy, its tag, and trouble where it could not be settled (then the milder one)."""
        own = where == self._domain
        present = record.policy(own=own, exists=True)
        absent = record.policy(own=own, exists=False)
        if present == absent:
            return *present, ""
        try:
            # NXDOMAIN holds for all types; NODATA and empty non-terminals are names that exist (§3.2.13).
            exists = self._resolver.lookup(self._domain, "A").status is not Status.NXDOMAIN
        except DnsUnavailable as error:
            milder = min(present, absent, key=lambda p: ("none", "quarantine", "reject").index(p[0]))
            return *milder, f"whether {self._domain} exists could not be had: {error}"
        return *(present if exists else absent), ""

    def _proven(self, *, strict_spf: bool, strict_dkim: bool) -> tuple[bool, tuple[bool, ...]]:
        """For SPF and for each signature: did it pass, and does its domain align?"""
        spf = self._spf.result is Result.PASS and self._aligned(self._spf.domain, strict_spf)
        dkim = tuple(f.result is Result.PASS and self._aligned(f.d, strict_dkim) for f in self._dkim)
        return spf, dkim

    def _undecided(self, record: Record) -> str:
        """Why the message might still have passed, had DNS been well; "" if it could not."""
        if self._trouble:
            return self._trouble
        if self._left_open(self._spf.result, self._spf.domain, record.strict_spf):
            return "SPF of an aligned domain could not be checked"
        if any(self._left_open(f.result, f.d, record.strict_dkim) for f in self._dkim):
            return "a signature of an aligned domain could not be checked"
        # Asking what is aligned may have met trouble of its own.
        return self._trouble

    def _left_open(self, result: Result, identifier: str, strict: bool) -> bool:
        """Whether this may yet prove the author; one that ran out of time before its name was read may."""
        return result is Result.TEMPERROR and (not identifier or self._aligned(identifier, strict))

    def _aligned(self, identifier: str, strict: bool) -> bool:
        """Whether ``identifier`` belongs to the author; DNS trouble is a no, and noted (RFC 9989 §4.10.2)."""
        try:
            name = parse_domain(identifier)
        except AddressError:
            return False
        if name == self._domain or strict:
            return name == self._domain
        if name.rpartition(".")[2] != self._domain.rpartition(".")[2]:
            # An Organizational Domain is an end of its name: without a common one there is nothing to ask.
            return False
        try:
            org = self._discovery.organisation(self._domain)
            if name != org and not name.endswith("." + org):
                return False
            return self._discovery.organisation(name) == org
        except DnsUnavailable as error:
            self._trouble = f"whether {name} belongs to {self._domain} could not be had: {error}"
            return False
