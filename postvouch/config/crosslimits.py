"""Checks of [[policy.limit]], each problem at the line of its table."""

from collections.abc import Iterator
from ipaddress import ip_network

from postvouch.config.checks import Checks
from postvouch.config.submission import Limit
from postvouch.values.domain import domain_or_nothing


def check(c: Checks) -> None:
    """All of them."""
    policy = c.config.policy
    if policy.counters and not policy.counters.startswith("/"):
        c.problem(f'policy.counters: "{policy.counters}" is no absolute path', "policy.counters")
    for limit, where in c.named("policy.limit", policy.limit):
        for fault in _faults(limit):
            c.notes.problem(where, fault)


def _faults(limit: Limit) -> Iterator[str]:
    if not (limit.messages or limit.recipients or limit.only):
        yield (
            f'policy.limit "{limit.name}" limits nothing: set messages or recipients; with both 0 it only '
            "makes sense as an exemption (only = [...])"
        )
    for word in limit.only:
        if (fault := _fault(limit.per, word)) is not None:
            yield f'policy.limit.only: "{word}" {fault}'


def _fault(per: str, word: str) -> str | None:
    if per == "client":
        try:
            ip_network(word)
        except ValueError as error:
            return f"is no address or network ({error})"
    elif per == "sender_domain" and not domain_or_nothing(word):
        return "is no domain"
    elif not word.strip():
        return "is no login and no address"
    return None
