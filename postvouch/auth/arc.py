"""Verify the chain of ARC sets on a message (RFC 8617 §5.2).

Structure comes before DNS, the newest message signature before the seals, and what only says how far back a
message is unchanged comes last. The first thing that is wrong ends it: a chain that is not whole is worth as
much as none. Linear in the header, however many seals stand over it. Nothing here raises.
"""

from collections.abc import Callable

from postvouch.auth.arcresults import dmarc_pass
from postvouch.auth.arcset import SEAL, SIGNATURE, Set, Tags, collect, digests
from postvouch.auth.questions import OUT_OF_TIME
from postvouch.auth.result import ArcFinding, Result
from postvouch.auth.signature import BadSignature, Signature, Signer, parse_message_signature, parse_seal
from postvouch.auth.verifier import Limits, Outcome, Verifier
from postvouch.values.dns import Resolver
from postvouch.values.message import Message


def verify(
    message: Message,
    resolver: Resolver,
    now: float,
    limits: Limits | None = None,
    spent: Callable[[], bool] = lambda: False,
) -> ArcFinding:
    """The status of the chain: none without any ARC field, else pass, fail, or temperror.

    RFC 8617 §5.2.1 knows no temperror; where a key could not be had for the moment, or ``spent`` says that
    the time for this message is up, nobody proved the chain wrong, and we say so. A pass whose newest message
    signature leaves out From: claims nothing (``passes`` is empty): it would hold for another author, too.
    """
    if not any(field.name[:4].lower() == b"arc-" for field in message.fields):
        return ArcFinding(result=Result.NONE)
    limits = limits or Limits()
    chain = _Chain(Verifier(message, resolver, limits), now, limits, spent)
    try:
        return chain.verify()
    except BadSignature as bad:
        open_ = bad.result is Result.TEMPERROR
        return ArcFinding(
            result=Result.TEMPERROR if open_ else Result.FAIL, reason=bad.reason, secure=chain.secure
        )


class _Chain:
    """One verification; ``secure`` is kept up to date as keys are asked for."""

    def __init__(self, verifier: Verifier, now: float, limits: Limits, spent: Callable[[], bool]) -> None:
        self._verifier = verifier
        self._now = now
        self._allowance_s = limits.clock_allowance_s
        self._spent = spent
        self._answers: list[bool] = []

    @property
    def secure(self) -> bool:
        return bool(self._answers) and all(self._answers)

    def verify(self) -> ArcFinding:
        """The finding of a chain that passes, or that is none; raises BadSignature for every other."""
        sets = collect(self._verifier.index)
        if not sets:
            return ArcFinding(result=Result.NONE)
        count = len(sets)
        seals = [self._seal(number, each.seal_tags) for number, each in enumerate(sets, 1)]
        newest = self._signature(count, sets[-1].signature_tags)
        self._message(count, sets[-1], newest)
        for number, digest in zip(range(count, 0, -1), reversed(digests(sets)), strict=True):
            self._in_time()
            self._passed(f"{SEAL} i={number}", self._verifier.seal(seals[number - 1], digest))
        oldest, remark = self._oldest(sets)
        covered = b"from" in newest.names
        return ArcFinding(
            result=Result.PASS,
            oldest_pass=oldest,
            sealers=tuple(seal.d for seal in seals),
            passes=self._passes(sets) if covered else (),
            reason=remark if covered else f"{SIGNATURE} i={count} does not cover From",
            secure=self.secure,
        )

    def _oldest(self, sets: list[Set]) -> tuple[int, str]:
        """The lowest instance from which on all message signatures verify, 0 for all; and what broke it."""
        for number in range(len(sets) - 1, 0, -1):
            each = sets[number - 1]
            try:
                self._message(number, each, self._signature(number, each.signature_tags))
            except BadSignature as bad:
                return number + 1, bad.reason
        return 0, ""

    def _passes(self, sets: list[Set]) -> tuple[tuple[int, str], ...]:
        claims = [
            (number, "" if self._spent() else dmarc_pass(each.claims)) for number, each in enumerate(sets, 1)
        ]
        return tuple((number, domain) for number, domain in claims if domain)

    def _message(self, number: int, each: Set, signature: Signature) -> None:
        self._in_time()
        outcome = self._verifier.message_signature(each.signature, signature)
        self._passed(f"{SIGNATURE} i={number}", outcome)

    def _seal(self, number: int, tags: Tags) -> Signer:
        try:
            return parse_seal(tags)
        except BadSignature as bad:
            raise BadSignature(Result.FAIL, f"{SEAL} i={number}: {bad.reason}") from None

    def _signature(self, number: int, tags: Tags) -> Signature:
        try:
            return parse_message_signature(tags, self._now, self._allowance_s)
        except BadSignature as bad:
            raise BadSignature(Result.FAIL, f"{SIGNATURE} i={number}: {bad.reason}") from None

    def _passed(self, what: str, outcome: Outcome) -> None:
        self._answers.append(outcome.secure)
        if outcome.result is not Result.PASS:
            raise BadSignature(outcome.result, f"{what}: {outcome.reason}")

    def _in_time(self) -> None:
        if self._spent():
            raise BadSignature(Result.TEMPERROR, OUT_OF_TIME)
