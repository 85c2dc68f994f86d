"""Whom no action hits: hosts, names, author domains, lists and sealers that the admin believes.

Each exemption rests on something that a stranger cannot write into a letter: an address, a name that leads
back to it, a signature, SPF, a chain of seals. Only the author's domain is a mere claim; so it excuses that
author (``author_excused``) and nothing else.
"""

from postvouch.auth.listid import proves_list
from postvouch.auth.policy import Policy
from postvouch.auth.result import ArcFinding, Findings, Result
from postvouch.values.address import OneAuthor
from postvouch.values.domain import owned
from postvouch.values.message import Client
from postvouch.values.network import within

HOST = "exempt-host"
NAME = "exempt-name"
DOMAIN = "exempt-domain"
LIST = "exempt-list"
SEALER = "exempt-sealer"
CODES = (HOST, NAME, DOMAIN, LIST, SEALER)


def exemption(findings: Findings, policy: Policy, client: Client) -> str:
    """Find what excuses this letter altogether, as a reason code; "" for nothing."""
    iprev = findings.iprev
    if within(client.address, policy.exempt_hosts):
        return HOST
    if iprev and iprev.result is Result.PASS and owned(iprev.name.lower().rstrip("."), policy.exempt_names):
        return NAME
    if proves_list(findings, policy.exempt_lists, Result.PASS):
        return LIST
    if findings.arc and _believed(findings.arc, findings, policy):
        return SEALER
    return ""


def undecided(findings: Findings, policy: Policy) -> bool:
    """Whether only DNS trouble may have kept ``exemption`` from finding something."""
    iprev, arc = findings.iprev, findings.arc
    return bool(
        (policy.exempt_names and iprev and iprev.result is Result.TEMPERROR)
        or (policy.exempt_sealers and arc and arc.result is Result.TEMPERROR)
        or proves_list(findings, policy.exempt_lists, Result.TEMPERROR)
    )


def author_excused(findings: Findings, policy: Policy) -> bool:
    """Whether the author's domain is one of those whose failures count for nothing; not asked for ours."""
    author = findings.author
    return isinstance(author, OneAuthor) and owned(author.address.domain, policy.exempt_domains) != ""


def _believed(arc: ArcFinding, findings: Findings, policy: Policy) -> bool:
    """Whether sealers that we believe handled the letter from a hop on that saw dmarc=pass for its author.

    What an instance below an unbelieved seal says may have been written by that sealer (RFC 8617 §9.5).
    """
    if arc.result is not Result.PASS or not isinstance(findings.author, OneAuthor):
        return False
    first = len(arc.sealers) + 1
    while first > 1 and arc.sealers[first - 2].lower() in policy.exempt_sealers:
        first -= 1
    author = findings.author.address.domain
    return any(
        first <= instance <= len(arc.sealers) and seen.lower() == author for instance, seen in arc.passes
    )
