"""Seal a message: one ARC set more on its chain (RFC 8617 §5.1), for those who trust our findings.

It says what the Authentication-Results fields of our own authserv-id say, comments and all. The caller
knows that these are ours: that fields of that id were removed where the message came in.
"""

import base64
import re
from collections.abc import Sequence

from postvouch.auth import authres, canonical
from postvouch.auth.arcset import MAX_SETS, RESULTS, SEAL, SIGNATURE, collect, highest
from postvouch.auth.result import Result
from postvouch.auth.signature import BadSignature
from postvouch.sign.dkim import fold
from postvouch.sign.keys import SigningKey
from postvouch.values.decision import InsertField
from postvouch.values.message import Field, Index, Message, by_name

_STATUS = {Result.NONE: "none", Result.PASS: "pass", Result.FAIL: "fail"}
_NEVER = {b"authentication-results", *(name.lower().encode() for name in (RESULTS, SIGNATURE, SEAL))}
_WIDTH = 900  # b= in one line, as other sealers have it, unless RFC 5322 forbids
_ID = re.compile(r'(?:[^;("]++|"(?:[^"\\]|\\.)*+"|\((?:[^()\\]|\\.)*+\))++;', re.DOTALL)


def seal(
    message: Message,
    key: SigningKey,
    *,
    now: float,
    authserv_id: str,
    chain: Result,
    headers: Sequence[str],
    oversign: Sequence[str] = ("from",),
    digest: bytes | None = None,
    evidence: Sequence[Field] | None = None,
) -> tuple[InsertField, ...]:
    """The three fields of one more set over the message as it stands, in the order in which to insert them.

    ``chain`` is the status that ``auth.arc.verify`` found when the message came in. ``headers`` are covered
    in that order, each as often as it is there, those in ``oversign`` once more, From always. ``digest`` is
    the hash of the relaxed body, where the caller has it. ``evidence`` are the Authentication-Results fields
    to be believed, where not all that bear our id are. () where nothing may be added: the chain says cv=fail
    already, is full, cannot be numbered, or could not be verified for the moment.
    """
    index = by_name(message.fields)
    try:
        last, ended = highest(index)
        before = collect(index) if chain is Result.PASS else []
    except BadSignature:
        return ()
    if chain not in _STATUS or ended or last >= MAX_SETS or (chain is Result.NONE) is not (last == 0):
        return ()
    if digest is None:
        digest = canonical.body_hash(message.body, relaxed=True)
    names = _covered(index, headers, oversign)
    covers = fold([name.decode() + ":" for name in names[:-1]] + [names[-1].decode() + ";"], "", first="h=")
    algorithm, domain, instance = f"a={key.private.algorithm};", f"d={key.domain};", f"i={last + 1};"
    end = f"s={key.selector}; t={int(now)}"

    believed = index.get(b"authentication-results", ()) if evidence is None else evidence
    results = f"{instance} {authserv_id};\n {_results(believed, authserv_id)}"
    body = f"bh={base64.b64encode(digest).decode()};"
    tail = f"\n {body}\n c=relaxed/relaxed; {domain}\n {covers}\n {instance} {end}"
    signature = _signed(SIGNATURE, algorithm, tail, canonical.select(index, names, None), key)
    # RFC 8617 §5.1.2: the seal of a broken chain stands over its own set alone.
    under = [field for each in before for field in (each.results, each.signature, each.seal)]
    under += [_field(RESULTS, results), _field(SIGNATURE, signature)]
    sealed = _signed(SEAL, algorithm, f"\n cv={_STATUS[chain]}; {domain} {instance}\n {end}", under, key)
    return InsertField(RESULTS, results), InsertField(SIGNATURE, signature), InsertField(SEAL, sealed)


def _covered(index: Index, headers: Sequence[str], oversign: Sequence[str]) -> list[bytes]:
    """The names of h=. Never what later hops remove, nor ARC's own fields (RFC 8617 §4.1.2)."""
    wanted = dict.fromkeys(name.lower().encode() for name in (*headers, *oversign, "from"))
    once_more = {name.lower().encode() for name in oversign}
    names: list[bytes] = []
    for name in wanted:
        if name not in _NEVER:
            names += [name] * (len(index.get(name, ())) + (name in once_more))
    return names or [b"from"]


def _results(fields: Sequence[Field], authserv_id: str) -> str:
    """All that the fields of our id say, as one text (RFC 8617 §4.1.1); "none" where they say nothing."""
    found: list[str] = []
    for field in fields:
        try:
            parsed = authres.parse(field.value)
            text = field.value.decode().replace("\r\n", "\n")
        except (authres.AuthresError, UnicodeDecodeError):
            continue
        if _folded(parsed.authserv_id) != _folded(authserv_id) or not parsed.results:
            continue
        if head := _ID.match(text):
            found.append(text[head.end() :].strip())
    return ";\n ".join(found) or "none"


def _folded(authserv_id: str) -> str:
    return authserv_id.rstrip(".").lower()


def _signed(name: str, head: str, tail: str, under: Sequence[Field], key: SigningKey) -> str:
    """The value of a signature field over others and itself, b= between its other tags."""
    octets = canonical.signing_input(under, _field(name, f"{head}\n b=;{tail}"), relaxed=True)
    text = "b=" + base64.b64encode(key.private.sign(octets)).decode()
    return "\n ".join([head, *(text[i : i + _WIDTH] for i in range(0, len(text), _WIDTH))]) + f";{tail}"


def _field(name: str, value: str) -> Field:
    return Field(name.encode(), value.replace("\n", "\r\n").encode())
