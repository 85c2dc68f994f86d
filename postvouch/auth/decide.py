"""What to do about findings: the whole of local policy, in one place.

Four rules, each with its action: a From: that is not one author, our own domain unproven, a failure under an
enforced DMARC policy, DNS trouble. Where several apply the sternest action wins. Unless told, all accept: the
reason code says what would have been.
"""

from dataclasses import dataclass

from postvouch.auth.result import Findings, Result
from postvouch.values import reply
from postvouch.values.address import MissingAuthor, OneAuthor, SeveralAuthors
from postvouch.values.decision import Accept, Defer, Quarantine, Reject, Verdict
from postvouch.values.domain import owned
from postvouch.values.message import Client
from postvouch.values.network import Network, networks, within

OK = "ok"
INTERNAL = "internal"
EXEMPT = "exempt"
SPOOF = "spoof"
DMARC_FAIL = "dmarc-fail"
BAD_AUTHOR = "bad-author"
SEVERAL_AUTHORS = "several-authors"
NO_AUTHOR = "no-author"
TEMPERROR = "temperror"

_REPLIES = {
    SPOOF: reply.SPOOF,
    DMARC_FAIL: reply.DMARC_FAILED,
    BAD_AUTHOR: reply.AUTHOR_UNCLEAR,
    SEVERAL_AUTHORS: reply.AUTHOR_UNCLEAR,
    NO_AUTHOR: reply.AUTHOR_UNCLEAR,
}
_STERNNESS = ("accept", "quarantine", "defer", "reject")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Local policy. Actions are accept, quarantine, defer or reject.

    ``domains``: ours, lower-case A-labels; their subdomains count as ours. ``internal``: clients whose mail
    is ours; ``exempt``: strangers' hosts to which no action applies (trusted forwarders, list servers).
    """

    domains: tuple[str, ...] = ()
    on_dmarc_fail: str = "accept"
    on_spoof: str = "accept"
    on_temperror: str = "accept"
    on_bad_author: str = "accept"
    exempt: tuple[Network, ...] = ()
    internal: tuple[Network, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What to do and why. ``code`` names the rule that applied also where its action is to accept."""

    verdict: Verdict
    code: str


LOOPBACK: tuple[Network, ...] = networks(("127.0.0.0/8", "::1/128"))


def is_internal(client: Client, policy: Policy) -> bool:
    """Whether the mail is our own: local pickup, a login, a client of ours. It is not checked, but marked."""
    return client.local or bool(client.login) or within(client.address, policy.internal) is not None


def decide(findings: Findings, policy: Policy, client: Client) -> Ruling:
    """Judge one message."""
    if is_internal(client, policy):
        return Ruling(verdict=Accept(), code=INTERNAL)
    # The sternest first; of equals the one named first.
    hits = sorted(_hits(findings, policy), key=lambda hit: -_STERNNESS.index(hit[1]))
    if not hits:
        return Ruling(verdict=Accept(), code=OK)
    code, action = hits[0]
    if within(client.address, policy.exempt):
        return Ruling(verdict=Accept(), code=EXEMPT)
    return Ruling(verdict=_verdict(code, action), code=code)


def vouched(findings: Findings, policy: Policy, client: Client) -> str:
    """What proves a From: of ours: "local", "internal" or "aligned"; "" where nothing does or it is not ours.

    The srs host signs on the strength of it. A login proves nothing here: which addresses it may use is known
    to the submission host.
    """
    if not isinstance(findings.author, OneAuthor) or client.login:
        return ""
    if not owned(findings.author.address.domain, policy.domains):
        return ""
    if client.local:
        return "local"
    if within(client.address, policy.internal):
        # A content filter brings strangers' letters back over the loopback.
        return "" if within(client.address, LOOPBACK) else "internal"
    return "aligned" if _proven(findings, policy) else ""


def _hits(findings: Findings, policy: Policy) -> list[tuple[str, str]]:
    """The rules that apply, as (code, action)."""
    hits: list[tuple[str, str]] = []
    undecided = findings.dmarc.result is Result.TEMPERROR
    claimed = next((d for d in _author_domains(findings) if owned(d, policy.domains)), "")
    if claimed and not _proven(findings, policy):
        # With DNS down, an honest letter of ours looks like a spoof: wait, neither lose it nor let it in.
        later = undecided and policy.on_spoof != "accept"
        hits.append((TEMPERROR, "defer") if later else (SPOOF, policy.on_spoof))
    if not isinstance(findings.author, OneAuthor):
        hits.append((_author_code(findings), policy.on_bad_author))
    if findings.dmarc.result is Result.FAIL and findings.dmarc.applied in ("quarantine", "reject"):
        hits.append((DMARC_FAIL, policy.on_dmarc_fail))
    if undecided:
        hits.append((TEMPERROR, policy.on_temperror))
    return hits


def _author_domains(findings: Findings) -> tuple[str, ...]:
    match findings.author:
        case OneAuthor(address):
            return (address.domain,)
        case SeveralAuthors(domains):
            return (*domains, *findings.mentioned)
        case _:
            return findings.mentioned


def _author_code(findings: Findings) -> str:
    match findings.author:
        case MissingAuthor():
            return NO_AUTHOR
        case SeveralAuthors():
            return SEVERAL_AUTHORS
        case _:
            return BAD_AUTHOR


def _proven(findings: Findings, policy: Policy) -> bool:
    """Whether a From: of ours is vouched for, by DMARC or, where we publish none, by alignment alone."""
    if not isinstance(findings.author, OneAuthor):
        return False
    match findings.dmarc.result:
        case Result.PASS:
            return True
        case Result.TEMPERROR:
            # The very same domain passed: no answer of DNS could change that.
            return bool(findings.dmarc.aligned_by)
        case Result.NONE if findings.dmarc.aligned_by:
            return True
        case Result.NONE:
            return _same_home(findings, findings.author.address.domain, policy.domains)
        case _:
            return False


def _same_home(findings: Findings, author: str, domains: tuple[str, ...]) -> bool:
    """Whether what passed and the author lie below the same domain of ours.

    Without a record there is no organisation to walk to; then the domains that the admin lists are the
    organisations, so that our.example may sign for bob@crm.our.example.
    """
    home = owned(author, domains)
    passed = [f.d.lower() for f in findings.dkim if f.result is Result.PASS]
    if findings.spf.result is Result.PASS:
        passed.append(findings.spf.domain)
    return any(owned(domain, domains) == home for domain in passed)


def _verdict(code: str, action: str) -> Verdict:
    match action:
        case "reject":
            return Reject(_REPLIES[code])
        case "defer":
            return Defer(reply.DNS_PROBLEM if code == TEMPERROR else reply.LATER)
        case "quarantine":
            return Quarantine(code)
        case _:
            return Accept()
