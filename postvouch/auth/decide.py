"""What to do about findings: the whole of local policy, in one place.

Each rule that applies is a reason code with an action; the sternest action wins. In mode monitor all mail is
accepted, and the ruling says what would have been. ``docs/flow.rst`` lists the codes.
"""

from dataclasses import dataclass, replace

from postvouch.auth import exempt
from postvouch.auth.mentioned import spellings
from postvouch.auth.policy import ACCEPT, ACTIONS, DEFER, MARK, QUARANTINE, REJECT, Policy
from postvouch.auth.result import Findings, Result
from postvouch.srs import codec
from postvouch.values import reply
from postvouch.values.address import MissingAuthor, OneAuthor, SeveralAuthors
from postvouch.values.decision import Accept, Defer, Quarantine, Reject, Verdict, action_of
from postvouch.values.domain import domain_or_nothing, owned
from postvouch.values.message import Client, Envelope
from postvouch.values.network import LOOPBACK, within

OK = "ok"
INTERNAL = "internal"
OWN_HOST = "own-host"
SPOOF = "spoof"
SPOOF_SENDER = "spoof-sender"
DMARC_FAIL = "dmarc-fail"
DMARC_FAIL_NONE = "dmarc-fail-none"
DMARC_NONE = "dmarc-none"
BAD_AUTHOR = "bad-author"
SEVERAL_AUTHORS = "several-authors"
NO_AUTHOR = "no-author"
TEMPERROR = "temperror"

_REPLIES = {
    SPOOF: reply.SPOOF,
    SPOOF_SENDER: reply.SPOOF,
    DMARC_FAIL: reply.DMARC_FAILED,
    DMARC_FAIL_NONE: reply.NOT_ALIGNED,
    DMARC_NONE: reply.NO_RECORD,
    BAD_AUTHOR: reply.AUTHOR_UNCLEAR,
    SEVERAL_AUTHORS: reply.AUTHOR_UNCLEAR,
    NO_AUTHOR: reply.AUTHOR_UNCLEAR,
}

_EXEMPTIONS = (OWN_HOST, *exempt.CODES)

Hit = tuple[str, str]
"""A rule that applies: its reason code and its action."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What to do and why.

    ``code`` names the rule that applied, also where its action is to accept or is not carried out. ``mark``
    is what an X-Postvouch-Mark field is to say, "" for none: a letter that is held carries it too, for the
    day it is let go. ``would``, in mode monitor only: the action that enforce would take, "" for accept.
    """

    verdict: Verdict
    code: str
    mark: str = ""
    would: str = ""

    @property
    def action(self) -> str:
        """What is done, as a word of ``ACTIONS``."""
        return action_of(self.verdict, marked=bool(self.mark))

    @property
    def override(self) -> str:
        """The exemption that kept an action from this letter, as its code; "" for none."""
        return self.code if self.code in _EXEMPTIONS else ""


def is_internal(client: Client, policy: Policy) -> bool:
    """Whether the mail is our own: local pickup, a login, a client of ours. It is not checked, only marked as
    such."""
    return client.local or bool(client.login) or policy.internal.rule(client) != ""


def decide(findings: Findings, policy: Policy, client: Client, envelope: Envelope) -> Ruling:
    """Judge one message. Pure; raises nothing."""
    if is_internal(client, policy):
        return Ruling(verdict=Accept(), code=INTERNAL)
    code, action = _outcome(findings, policy, client, envelope)
    if action != ACCEPT and policy.mode != "enforce":
        return Ruling(verdict=Accept(), code=code, would=action)
    marked = code if action in (MARK, QUARANTINE) else ""
    return Ruling(verdict=_verdict(code, action, policy), code=code, mark=marked)


def vouched(findings: Findings, policy: Policy, client: Client) -> str:
    """What proves a From: of ours: "local", "internal" or "aligned"; "" where nothing does or it is not ours.

    The srs host signs on the strength of it. A login proves nothing here: which addresses it may use is known
    to the submission host.
    """
    if not _author_home(findings, policy) or client.login:
        return ""
    if client.local:
        return "local"
    if policy.internal.rule(client):
        # A content filter brings strangers' letters back over the loopback.
        return "" if within(client.address, LOOPBACK) else "internal"
    return "aligned" if _proven(findings, policy) else ""


def _outcome(findings: Findings, policy: Policy, client: Client, envelope: Envelope) -> Hit:
    """The rule that counts, exemptions applied."""
    own = _own_hits(findings, policy, envelope)
    strangers = _stranger_hits(findings, policy)
    excuse = ""
    if own and within(client.address, policy.own_hosts):
        own, excuse = [], OWN_HOST
    if strangers and exempt.author_excused(findings, policy):
        strangers, excuse = _excused(strangers, policy), exempt.DOMAIN
    hits = own + strangers
    if hits and (whole := exempt.exemption(findings, policy, client)):
        hits, excuse = _excused(hits, policy), whole
    if not hits:
        return excuse or OK, ACCEPT
    # Of equals the one named first.
    code, action = max(hits, key=lambda hit: ACTIONS.index(hit[1]))
    if action == REJECT and exempt.undecided(findings, policy):
        return TEMPERROR, DEFER
    return code, action


def _excused(hits: list[Hit], policy: Policy) -> list[Hit]:
    """What is left of the rules for mail that is exempt: perhaps patience with DNS."""
    waits = policy.exempt_temperror != ACCEPT and any(code == TEMPERROR for code, _ in hits)
    return [(TEMPERROR, policy.exempt_temperror)] if waits else []


def _own_hits(findings: Findings, policy: Policy, envelope: Envelope) -> list[Hit]:
    """The rule about our own domains, for From: and for the envelope sender."""
    if _proven(findings, policy):
        return []
    hits: list[Hit] = []
    # With DNS down an honest letter of ours looks like a spoof.
    undecided = _may_be_proven(findings, policy)
    if _claims_ours(findings, policy.domains):
        hits.append((TEMPERROR, policy.own_temperror) if undecided else (SPOOF, policy.own_fail))
    home = _sender_home(envelope, policy)
    if home and home not in _homes(findings, policy, Result.PASS):
        undecided = undecided or home in _homes(findings, policy, Result.TEMPERROR)
        hits.append((TEMPERROR, policy.own_temperror) if undecided else (SPOOF_SENDER, policy.own_fail))
    return hits


def _sender_home(envelope: Envelope, policy: Policy) -> str:
    """Which domain of ours the envelope sender claims; "" for none.

    An SRS sender of ours that comes back is no claim: who forwards what we forwarded keeps it. Its hash is
    checked where a bounce to it arrives.
    """
    local, _, written = envelope.sender.rpartition("@")
    domain = domain_or_nothing(written)
    if domain in policy.srs_domains and codec.is_tagged(local):
        return ""
    return owned(domain, policy.domains)


def _stranger_hits(findings: Findings, policy: Policy) -> list[Hit]:
    """The rules about authors who are not us."""
    if not isinstance(findings.author, OneAuthor):
        return [(_author_code(findings), policy.bad_author)]
    if _author_home(findings, policy):
        return []
    dmarc = findings.dmarc
    enforced = dmarc.applied in ("quarantine", "reject")
    match dmarc.result:
        case Result.TEMPERROR:
            return [(TEMPERROR, policy.enforced_temperror if enforced else policy.other_temperror)]
        case Result.FAIL if enforced:
            actions = {"quarantine": policy.enforced_quarantine, "reject": policy.enforced_reject}
            return [(DMARC_FAIL, actions[dmarc.applied])]
        case Result.FAIL:
            hit = (DMARC_FAIL_NONE, policy.other_fail)
        case Result.NONE:
            hit = (DMARC_NONE, policy.other_none)
        case _:
            return []
    # Half of all mail is such; unless the admin minds it there is nothing to say.
    return [hit] if hit[1] != ACCEPT else []


def _claims_ours(findings: Findings, domains: tuple[str, ...]) -> bool:
    """Whether From: is ours, or a careless reader could take it for that."""
    match findings.author:
        case OneAuthor(address):
            return bool(owned(address.domain, domains))
        case SeveralAuthors(authors) if any(owned(each, domains) for each in authors):
            return True
    ours = tuple(form for domain in domains for form in spellings(domain))
    below = tuple(f".{form}" for form in ours)
    return any(name in ours or name.endswith(below) for name in findings.mentioned)


def _author_code(findings: Findings) -> str:
    match findings.author:
        case MissingAuthor():
            return NO_AUTHOR
        case SeveralAuthors():
            return SEVERAL_AUTHORS
        case _:
            return BAD_AUTHOR


def _proven(findings: Findings, policy: Policy) -> bool:
    """Whether From: is ours and vouched for, by DMARC or, where we publish none, by alignment alone."""
    home = _author_home(findings, policy)
    match findings.dmarc.result:
        case Result.PASS:
            return bool(home)
        case Result.TEMPERROR:
            # The very same domain passed: no answer of DNS could change that.
            return bool(home and findings.dmarc.aligned_by)
        case Result.NONE if home:
            # Without a record there is no organisation to walk to; then the domains that the admin lists are
            # the organisations, so that our.example may sign for bob@crm.our.example.
            return bool(findings.dmarc.aligned_by) or home in _homes(findings, policy, Result.PASS)
        case _:
            return False


def _may_be_proven(findings: Findings, policy: Policy) -> bool:
    """Whether From: is ours and DNS trouble alone may be why it is not proven."""
    home = _author_home(findings, policy)
    match findings.dmarc.result:
        case Result.TEMPERROR:
            return bool(home)
        case Result.NONE if home:
            return home in _homes(findings, policy, Result.TEMPERROR)
        case _:
            return False


def _author_home(findings: Findings, policy: Policy) -> str:
    """Which domain of ours the one author is in; "" for a stranger, and where there is not one author."""
    match findings.author:
        case OneAuthor(address):
            return owned(address.domain, policy.domains)
        case _:
            return ""


def _homes(findings: Findings, policy: Policy, result: Result) -> set[str]:
    """The domains of ours for which, or below which, SPF or a signature has that result ("" may be in it)."""
    names = [found.d.lower() for found in findings.dkim if found.result is result]
    if findings.spf.result is result:
        names.append(findings.spf.domain)
    return {owned(name, policy.domains) for name in names}


def _verdict(code: str, action: str, policy: Policy) -> Verdict:
    if action == REJECT:
        said = _REPLIES[code]
        if said is reply.SPOOF and policy.own_url:
            said = replace(said, text=f"{said.text}: {policy.own_url}")
        return Reject(said)
    if action == DEFER:
        return Defer(reply.DNS_PROBLEM if code == TEMPERROR else reply.LATER)
    return Quarantine(code) if action == QUARANTINE else Accept()
