"""Verify every DKIM-Signature of a message (RFC 6376, 8301, 8463, 8616), each with its result and reason.

PERMFAIL of RFC 6376 §6.1.1 and §6.1.2 is ``permerror``, of §6.1.3 ``fail``, TEMPFAIL is ``temperror``; a
signature that verifies and must not be believed is ``policy``. Cheap checks come before DNS, DNS before
hashing, hashing before arithmetic, and every amount is bounded, so that a stranger's letter costs little.
Nothing here raises: what can be wrong with a letter is a result.
"""

from collections.abc import Callable, Mapping

from postvouch.auth.canonical import FWS
from postvouch.auth.questions import OUT_OF_TIME
from postvouch.auth.result import DkimFinding, Result
from postvouch.auth.signature import (
    BadSignature,
    domain_in,
    parse_signature,
    printable,
    unambiguous,
    unquote,
)
from postvouch.auth.verifier import Limits, Outcome, Verifier
from postvouch.values.dns import Resolver
from postvouch.values.message import Field, Message
from postvouch.wire import taglist


def verify(
    message: Message,
    resolver: Resolver,
    now: float,
    limits: Limits | None = None,
    spent: Callable[[], bool] = lambda: False,
) -> tuple[DkimFinding, ...]:
    """One finding for each DKIM-Signature field, from the top down; () where there is none.

    Beyond ``limits.max_signatures`` nothing is looked at: one last finding says how many were left. Once
    ``spent`` says that the time for this message is up the rest are temperrors.
    """
    limits = limits or Limits()
    verifier = Verifier(message, resolver, limits)
    there = verifier.index.get(b"dkim-signature", [])
    findings = [
        DkimFinding(result=Result.TEMPERROR, reason=OUT_OF_TIME)
        if spent()
        else _check(verifier, field, now, limits)
        for field in there[: limits.max_signatures]
    ]
    left = len(there) - len(findings)
    if left:
        findings.append(DkimFinding(result=Result.POLICY, reason=f"{left} more signatures not checked"))
    return tuple(findings)


def _check(verifier: Verifier, field: Field, now: float, limits: Limits) -> DkimFinding:
    try:
        tags = taglist.parse(field.value)
    except taglist.ProtocolError as error:
        outcome = Outcome(result=Result.PERMERROR, reason=f"signature syntax error: {error}")
        return _finding(outcome, unambiguous(field.value))
    try:
        signature = parse_signature(tags, now, limits.clock_allowance_s)
    except BadSignature as bad:
        return _finding(Outcome(result=bad.result, reason=bad.reason), tags)
    return _finding(verifier.message_signature(field, signature), tags)


def _finding(outcome: Outcome, tags: Mapping[bytes, bytes]) -> DkimFinding:
    return DkimFinding(
        result=outcome.result,
        d=domain_in(tags.get(b"d", b"")),
        s=printable(tags.get(b"s", b"")),
        a=printable(tags.get(b"a", b"")),
        i=printable(unquote(tags.get(b"i", b""))),
        b=printable(tags.get(b"b", b"").translate(None, FWS)[:8]),
        reason=outcome.reason,
        secure=outcome.secure,
    )
