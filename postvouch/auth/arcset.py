"""The ARC sets of a message, as far as their structure goes (RFC 8617 §4, §5.2 steps 1 to 3).

Strict: what two readers could number differently is no chain. Nothing here asks DNS or does arithmetic.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from postvouch.auth.canonical import FWS, relaxed_field, signing_input
from postvouch.auth.signature import permerror
from postvouch.values.message import Field, Index
from postvouch.wire import taglist

MAX_SETS = 50
"""RFC 8617 §4.2.1."""

RESULTS, SIGNATURE, SEAL = "ARC-Authentication-Results", "ARC-Message-Signature", "ARC-Seal"

_INSTANCE = re.compile(rb"[1-9][0-9]?")
_PREFIX = re.compile(rb"[ \t\r\n]*i[ \t\r\n]*=[ \t\r\n]*([0-9]+)[ \t\r\n]*;")

Tags = Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Set:
    """One ARC set, its three fields and what was read of them; ``claims`` is the text behind the first i=."""

    results: Field
    claims: bytes
    signature: Field
    signature_tags: Tags
    seal: Field
    seal_tags: Tags


def collect(index: Index) -> list[Set]:
    """The sets of a chain whose structure is whole, instance 1 first; [] without any ARC field.

    Raises BadSignature, with the reason, for any other: a set that is not complete, an instance twice or left
    out, more than fifty, a cv= that must not stand there (§5.2 steps 1 to 3).
    """
    results = _numbered(index, RESULTS)
    signatures = _numbered(index, SIGNATURE)
    seals = _numbered(index, SEAL)
    there = set(results) | set(signatures) | set(seals)
    count = max(there, default=0)
    if count in seals and _cv(seals[count][1]) == b"fail":
        raise permerror(f"{SEAL} i={count} says cv=fail")
    sets: list[Set] = []
    for number in range(1, count + 1):
        for name, found in ((RESULTS, results), (SIGNATURE, signatures), (SEAL, seals)):
            if number not in found:
                raise permerror(f"no {name} i={number}")
        tags = seals[number][1]
        if _cv(tags) != (b"pass" if number > 1 else b"none"):
            raise permerror(f"{SEAL} i={number} has the wrong cv=")
        sets.append(
            Set(
                results=results[number][0],
                claims=results[number][1][b""],
                signature=signatures[number][0],
                signature_tags=signatures[number][1],
                seal=seals[number][0],
                seal_tags=tags,
            )
        )
    return sets


def highest(index: Index) -> tuple[int, bool]:
    """The highest instance on a chain that may be broken, and whether its seal says cv=fail already (§5.1).

    Raises BadSignature where some ARC field cannot be numbered.
    """
    seals = _numbered(index, SEAL, strict=False)
    there = {*seals, *_numbered(index, SIGNATURE, strict=False), *_numbered(index, RESULTS, strict=False)}
    last = max(there, default=0)
    return last, last in seals and _cv(seals[last][1]) == b"fail"


def digests(sets: Sequence[Set]) -> list[bytes]:
    """The SHA-256 hash that each seal signs: its own set and all before it, relaxed (RFC 8617 §5.1.1).

    One pass over all of them; a hash for each seal by itself would be quadratic.
    """
    running = hashlib.sha256()
    made: list[bytes] = []
    for each in sets:
        running.update(relaxed_field(each.results) + relaxed_field(each.signature))
        upto = running.copy()
        upto.update(signing_input((), each.seal, relaxed=True))
        made.append(upto.digest())
        running.update(relaxed_field(each.seal))
    return made


def _numbered(index: Index, name: str, *, strict: bool = True) -> dict[int, tuple[Field, Tags]]:
    """The fields of that name by their i=, with their tags; of results the one tag is "": what follows i=."""
    fields = index.get(name.lower().encode(), ())
    if len(fields) > MAX_SETS:
        raise permerror(f"more than {MAX_SETS} sets")
    found: dict[int, tuple[Field, Tags]] = {}
    for field in fields:
        instance, tags = _results(field) if name == RESULTS else _tags(field, name)
        if not _INSTANCE.fullmatch(instance) or int(instance) > MAX_SETS:
            raise permerror(f"{name} without an i= from 1 to {MAX_SETS}")
        if int(instance) in found and strict:
            raise permerror(f"{name} i={int(instance)} twice")
        found[int(instance)] = field, tags
    return found


def _results(field: Field) -> tuple[bytes, Tags]:
    head = _PREFIX.match(field.value)
    return (head[1], {b"": field.value[head.end() :]}) if head else (b"", {})


def _tags(field: Field, name: str) -> tuple[bytes, Tags]:
    try:
        tags = taglist.parse(field.value)
    except taglist.ProtocolError as error:
        raise permerror(f"{name}: {error}") from None
    # DKIM's verifiers forgive an empty tag; ARC's test suite does not (RFC 6376 §3.2).
    if not all(part.strip(FWS) for part in field.value.split(b";")[:-1]):
        raise permerror(f"{name}: an empty tag")
    return tags.get(b"i", b""), tags


def _cv(tags: Tags) -> bytes:
    return tags.get(b"cv", b"").lower()
