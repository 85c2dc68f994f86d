"""Verify every DKIM-Signature of a message (RFC 6376, 8301, 8463, 8616), each with its result and reason.

PERMFAIL of RFC 6376 §6.1.1 and §6.1.2 is ``permerror``, of §6.1.3 ``fail``, TEMPFAIL is ``temperror``; a
signature that verifies and must not be believed is ``policy``. Cheap checks come before DNS, DNS before
hashing, hashing before arithmetic, and every amount is bounded, so that a stranger's letter costs little.
Nothing here raises: what can be wrong with a letter is a result.
"""

from collections.abc import Callable
from dataclasses import dataclass

from postvouch.auth import bodies, keyrecord
from postvouch.auth.canonical import FWS, by_name, select, signing_input
from postvouch.auth.result import DkimFinding, Result
from postvouch.auth.signature import (
    BadSignature,
    Signature,
    domain_or_nothing,
    parse_signature,
    permerror,
    printable,
    unambiguous,
    unquote,
)
from postvouch.values.dns import DnsUnavailable, Resolver
from postvouch.values.message import Digests, Field, Message
from postvouch.wire import taglist

MAX_RECORDS = 8
"""So many TXT texts at one selector are tried; several are a rotation done oddly, dozens are an attack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What we take on for one message. RFC 8301 §3.2: 1024 bits at least, 4096 must work."""

    min_rsa_bits: int = 1024
    max_rsa_bits: int = 8192
    max_signatures: int = 10
    clock_allowance_s: int = 0


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
    work = _Work(message, resolver, now, limits or Limits())
    there = work.index.get(b"dkim-signature", [])
    findings = [
        DkimFinding(result=Result.TEMPERROR, reason="the computing time for this message is up")
        if spent()
        else work.check(field)
        for field in there[: work.limits.max_signatures]
    ]
    left = len(there) - len(findings)
    if left:
        findings.append(DkimFinding(result=Result.POLICY, reason=f"{left} more signatures not checked"))
    return tuple(findings)


class _Work:
    """What the signatures of one message share: the fields by name, the keys and the body hashes."""

    def __init__(self, message: Message, resolver: Resolver, now: float, limits: Limits) -> None:
        self.index = by_name(message.fields)
        self.limits = limits
        self._message = message
        self._resolver = resolver
        self._now = now
        self._texts: dict[str, tuple[bytes, ...] | None] = {}
        self._digests: Digests | None = None

    def check(self, field: Field) -> DkimFinding:
        try:
            tags = taglist.parse(field.value)
        except taglist.ProtocolError as error:
            return _finding(Result.PERMERROR, f"signature syntax error: {error}", unambiguous(field.value))
        try:
            remark = self._verify(field, parse_signature(tags, self._now, self.limits.clock_allowance_s))
        except BadSignature as bad:
            return _finding(bad.result, bad.reason, tags)
        return _finding(Result.PASS, remark, tags)

    def _verify(self, field: Field, signature: Signature) -> str:
        """The remark that comes with a pass; raises BadSignature for every other result."""
        keys = self._keys(signature)
        remark = "key is for testing (t=y)" if any(testing for _, testing in keys) else ""
        digest, length = self._hash(signature)
        if signature.limit is not None and signature.limit > length:
            raise permerror("l= is larger than the body")
        if digest != signature.bh:
            raise BadSignature(Result.FAIL, _joined("body hash did not verify", remark))
        chosen = select(self.index, signature.names, field)
        octets = signing_input(chosen, field, relaxed=signature.relaxed_header)
        if not any(check(signature.b, octets) for check, _ in keys):
            raise BadSignature(Result.FAIL, _joined("signature did not verify", remark))
        # RFC 6376 §8.2: what stands behind l= may have been added by anybody.
        if signature.limit is not None and signature.limit < length:
            raise BadSignature(Result.POLICY, "unsigned content after l=")
        return remark

    def _hash(self, signature: Signature) -> tuple[bytes, int]:
        """Hash and length of the canonical body; of a body still whole made once, when first asked for."""
        if self._digests is None:
            self._digests = bodies.digests(self._message)
        found = self._digests.get((signature.relaxed_body, signature.limit))
        if found is None:
            raise BadSignature(Result.POLICY, "too many signatures with an l= of their own")
        return found

    def _keys(self, signature: Signature) -> list[tuple[keyrecord.Check, bool]]:
        """The keys at the selector that may have made the signature, each with its testing flag.

        RFC 6376 §3.6.2.2 leaves several records undefined; we try each, in the order DNS gave them.
        """
        usable: list[tuple[keyrecord.Check, bool]] = []
        problems: list[str] = []
        for text in self._lookup(f"{signature.s}._domainkey.{signature.d}"):
            try:
                record = keyrecord.parse(text)
                if record.kind != signature.kind:
                    raise keyrecord.UnusableKey("inappropriate key algorithm")
                if record.strict and signature.i_domain != signature.d:
                    raise keyrecord.UnusableKey("key forbids a subdomain in i= (t=s)")
                check = keyrecord.checker(
                    record, min_rsa_bits=self.limits.min_rsa_bits, max_rsa_bits=self.limits.max_rsa_bits
                )
            except keyrecord.UnusableKey as error:
                problems.append(str(error))
            else:
                usable.append((check, record.testing))
        if not usable:
            # Text that is no key record at all (an SPF record, a wildcard) says the least: name it last.
            problems.sort(key=lambda reason: reason.startswith(keyrecord.SYNTAX))
            raise permerror(problems[0] if problems else "no key for signature")
        return usable

    def _lookup(self, name: str) -> tuple[bytes, ...]:
        if name not in self._texts:
            try:
                self._texts[name] = self._resolver.lookup(name, "TXT").texts()[:MAX_RECORDS]
            except DnsUnavailable:
                self._texts[name] = None
        texts = self._texts[name]
        if texts is None:
            raise BadSignature(Result.TEMPERROR, "key unavailable")
        return texts


def _finding(result: Result, reason: str, tags: dict[bytes, bytes]) -> DkimFinding:
    return DkimFinding(
        result=result,
        d=domain_or_nothing(tags.get(b"d", b"")),
        s=printable(tags.get(b"s", b"")),
        a=printable(tags.get(b"a", b"")),
        i=printable(unquote(tags.get(b"i", b""))),
        b=printable(tags.get(b"b", b"").translate(None, FWS)[:8]),
        reason=reason,
    )


def _joined(reason: str, remark: str) -> str:
    return f"{reason}; {remark}" if remark else reason
