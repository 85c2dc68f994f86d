"""What the signatures of one message share, whether DKIM's or ARC's: its fields, the keys, the body hashes.

Each key is looked up once and each form of the body hashed once, however many signatures ask. DNS comes
before hashing, hashing before arithmetic. Nothing here raises.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from postvouch.auth import bodies, keyrecord
from postvouch.auth.canonical import select, signing_input
from postvouch.auth.result import Result
from postvouch.auth.signature import BadSignature, Signature, Signer, permerror
from postvouch.values.dns import DnsUnavailable, Records, Resolver
from postvouch.values.message import Digests, Field, Message, by_name

MAX_RECORDS = 8
"""So many TXT texts at one selector are tried; several are a rotation done oddly, dozens are an attack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What we take on for one message. RFC 8301 §3.2: 1024 bits at least, 4096 must work."""

    min_rsa_bits: int = 1024
    max_rsa_bits: int = 8192
    max_signatures: int = 10
    clock_allowance_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one signature; ``reason`` is a remark where it passes."""

    result: Result
    reason: str = ""
    secure: bool = False


class Verifier:
    """The signatures of one message are verified here. ``index``: its fields by lower-case name."""

    def __init__(self, message: Message, resolver: Resolver, limits: Limits) -> None:
        self.index = by_name(message.fields)
        self._limits = limits
        self._message = message
        self._resolver = resolver
        self._answers: dict[str, Records | None] = {}
        self._digests: Digests | None = None

    def message_signature(self, field: Field, signature: Signature) -> Outcome:
        """Verify a DKIM-Signature or an ARC-Message-Signature (RFC 6376 §6.1.2, §6.1.3)."""
        return self._outcome(signature, lambda: self._covers(field, signature))

    def seal(self, signer: Signer, digest: bytes) -> Outcome:
        """Verify an ARC-Seal, given the SHA-256 hash of what it signs (RFC 8617 §5.1.1)."""
        return self._outcome(signer, lambda: self._signed(self._keys(signer), signer, digest))

    def _outcome(self, signer: Signer, work: Callable[[], str]) -> Outcome:
        try:
            result, reason = Result.PASS, work()
        except BadSignature as bad:
            result, reason = bad.result, bad.reason
        answer = self._answers.get(signer.key_name)
        return Outcome(result=result, reason=reason, secure=answer is not None and answer.secure)

    def _covers(self, field: Field, signature: Signature) -> str:
        """The remark that comes with a pass; raises BadSignature for every other result."""
        keys = self._keys(signature)
        if self._digests is None:
            self._digests = bodies.digests(self._message)
        digest, length = self._digests[signature.relaxed_body, None]
        limit = length if signature.limit is None else signature.limit
        if limit > length:
            raise permerror("l= is larger than the body")
        if limit < length:
            form = signature.relaxed_body, limit
            if form not in self._digests:
                raise _tail()
            digest, _ = self._digests[form]
        if digest != signature.bh:
            raise BadSignature(Result.FAIL, _joined("body hash did not verify", _remark(keys)))
        chosen = select(self.index, signature.names, field)
        octets = signing_input(chosen, field, relaxed=signature.relaxed_header)
        remark = self._signed(keys, signature, hashlib.sha256(octets).digest())
        if limit < length:
            raise _tail()
        return remark

    def _signed(self, keys: list[tuple[keyrecord.Check, bool]], signer: Signer, digest: bytes) -> str:
        if not any(check(signer.b, digest) for check, _ in keys):
            raise BadSignature(Result.FAIL, _joined("signature did not verify", _remark(keys)))
        return _remark(keys)

    def _keys(self, signer: Signer) -> list[tuple[keyrecord.Check, bool]]:
        """The keys at the selector that may have made the signature, each with its testing flag.

        RFC 6376 §3.6.2.2 leaves several records undefined; we try each, in the order DNS gave them.
        """
        usable: list[tuple[keyrecord.Check, bool]] = []
        problems: list[str] = []
        for text in self._lookup(signer.key_name):
            try:
                record = keyrecord.parse(text)
                if record.kind != signer.kind:
                    raise keyrecord.UnusableKey("inappropriate key algorithm")
                if record.strict and signer.i_domain != signer.d:
                    raise keyrecord.UnusableKey("key forbids a subdomain in i= (t=s)")
                check = keyrecord.checker(
                    record, min_rsa_bits=self._limits.min_rsa_bits, max_rsa_bits=self._limits.max_rsa_bits
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
        if name not in self._answers:
            try:
                self._answers[name] = self._resolver.lookup(name, "TXT")
            except DnsUnavailable:
                self._answers[name] = None
        answer = self._answers[name]
        if answer is None:
            raise BadSignature(Result.TEMPERROR, "key unavailable")
        return answer.texts()[:MAX_RECORDS]


def _tail() -> BadSignature:
    """RFC 6376 §8.2: what stands behind l= may have been added by anybody."""
    return BadSignature(Result.POLICY, "unsigned content after l=")


def _remark(keys: list[tuple[keyrecord.Check, bool]]) -> str:
    return "key is for testing (t=y)" if any(testing for _, testing in keys) else ""


def _joined(reason: str, remark: str) -> str:
    return f"{reason}; {remark}" if remark else reason
