"""What rotation has to know of the world: the key files, and what every name server says of each key.

Each authoritative server is asked itself; the resolver finds them, and where DNSSEC is required it must have
validated what they say.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from postvouch.host import dnsauthority, dnssecure
from postvouch.host.dnslook import Look, ServerAnswer, Texts
from postvouch.host.keyfiles import load_key
from postvouch.host.keyfolder import folder
from postvouch.sign.keys import KeyProblem, PrivateKey
from postvouch.sign.published import compare, fits, is_revoked
from postvouch.sign.record import owner
from postvouch.sign.rotate import Fact, Facts, Seen, asked
from postvouch.sign.rotation import PENDING, Key, Rotation, State

# Where no server tells the negative TTL: the longest that RFC 2308 §5 recommends.
HOLD_S = 3 * 3600
_MAX_TOLD = 6
_HAS = {
    Seen.PUBLISHED: "has the record",
    Seen.REVOKED: "has an empty p=",
    Seen.ABSENT: "has no record",
}


def gather(
    directory: str, rotation: Rotation, servers: Sequence[str] = (), *, require_dnssec: bool = False
) -> Facts:
    """Look at the files and ask DNS, at most some ten seconds for each key. Nothing is raised."""
    place = folder(directory, rotation.domain)
    records = {}
    for key in asked(rotation):
        name = owner(rotation.domain, key.selector)
        private, problem = _private(str(place / key.file), key)
        if problem and key.state in PENDING | {State.ACTIVE}:
            records[key.selector] = Fact(seen=Seen.NO_KEY, why=problem)
            continue
        look = dnsauthority.look(name, servers, wildcard=True)
        fact = judge(look, key, private)
        if require_dnssec:
            fact = secured(fact, look, serves(key, private), partial(dnssecure.chain, name, servers))
        records[key.selector] = fact
    there = (key.selector for key in rotation.keys if os.path.lexists(place / key.file))
    return Facts(records=records, files=frozenset(there))


def is_free(look: Look) -> bool | None:
    """Whether nobody has a key at the name: a selector that may be taken. None where no server said so."""
    if not look.answered:
        return None
    return look.is_wildcard or not any(map(_is_key, (each.texts for each in look.answered)))


def judge(look: Look, key: Key, private: PrivateKey | None) -> Fact:
    """What the servers say, all together; ``private`` None where the file is gone."""
    is_key = serves(key, private)
    has = {each: _of(each, is_key, look) for each in look.answered}
    some = frozenset(has.values())
    hold_s = max(_holds(each, seen) for each, seen in has.items()) if has else 0
    if not look.silent and len(some) == 1:
        (seen,) = some
    else:
        seen = Seen.UNKNOWN if some <= {Seen.PUBLISHED} else Seen.MIXED
    return Fact(seen=seen, why=_why(look, has, seen, private), some=some, hold_s=hold_s)


def serves(key: Key, private: PrivateKey | None) -> Callable[[Texts], bool]:
    """What tells whether records are those of the key; ``private`` None where the file is gone."""
    return partial(fits, private) if private else partial(_names, key.public)


def _private(file: str, key: Key) -> tuple[PrivateKey | None, str]:
    try:
        private = load_key(file)
    except KeyProblem as problem:
        return None, str(problem)
    if private.public_text() != key.public:
        return None, f"{file}: holds another key than the one that was made"
    return private, ""


def secured(
    fact: Fact, look: Look, is_key: Callable[[Texts], bool], follow: Callable[[], dnssecure.Chain]
) -> Fact:
    """The fact as far as DNSSEC bears it out; ``follow`` gives the chain of trust of the name.

    What the name servers told us is not signed, so that anybody on the way may have said it. The record is
    there when the resolver has validated just that one, and gone when it has not.
    """
    resolver = look.resolver
    has = is_key(resolver.texts)
    if fact.seen in (Seen.REVOKED, Seen.ABSENT) and has and resolver.secure:
        return replace(fact, seen=Seen.UNKNOWN, why=f"the resolver still has the key, for {resolver.ttl_s} s")
    if fact.seen is not Seen.PUBLISHED:
        return fact
    chain = follow()
    if chain.faults:
        return replace(fact, seen=Seen.INSECURE, why="; ".join(map(str, chain.faults)))
    if chain.trouble:
        why = f"the chain of trust could not be followed: {chain.trouble}"
        return replace(fact, seen=Seen.UNKNOWN, why=why)
    if resolver.is_bogus:
        return replace(fact, seen=Seen.INSECURE, why=resolver.trouble)
    if resolver.status is None:
        return replace(fact, seen=Seen.UNKNOWN, why=resolver.trouble)
    if not has:
        why = f"every name server has the record, but the resolver does not know it, for {resolver.ttl_s} s"
        return replace(fact, seen=Seen.UNKNOWN, why=why)
    if not resolver.secure:
        why = "key not secure: every link is sound, but the resolver does not say so (no AD)"
        return replace(fact, seen=Seen.INSECURE, why=why)
    return fact


def _of(server: ServerAnswer, is_key: Callable[[Texts], bool], look: Look) -> Seen:
    """What one server has."""
    if is_key(server.texts):
        return Seen.PUBLISHED
    if not server.texts or look.is_wildcard or not _is_key(server.texts):
        return Seen.ABSENT
    return Seen.REVOKED if is_revoked(server.texts) else Seen.DIFFERS


def _is_key(texts: Texts) -> bool:
    """Whether any of it could be meant as a key; what a wildcard for other purposes says could not."""
    return any(b"p=" in text or text.startswith(b"v=DKIM1") for text in map(b"".join, texts))


def _names(public: str, texts: Texts) -> bool:
    return len(texts) == 1 and b"p=" + public.encode() in b"".join(texts[0])


def _holds(server: ServerAnswer, seen: Seen) -> int:
    """How long a resolver that asks now may go without the record."""
    negative = HOLD_S if server.negative_ttl_s is None else server.negative_ttl_s
    return max(negative, 0 if seen is Seen.PUBLISHED else server.ttl_s)


def _why(look: Look, has: dict[ServerAnswer, Seen], seen: Seen, private: PrivateKey | None) -> str:
    """The state of things in words: what all say, or who says what."""
    if look.trouble or not look.servers:
        return look.trouble or "no name server was found"
    if not look.silent and len(has) == len(look.servers) and seen not in (Seen.MIXED, Seen.UNKNOWN):
        texts = next(iter(has)).texts
        return f"every name server {_words(seen, texts, private)}"
    told = [f"{_name(each)} does not answer: {each.trouble}" for each in look.silent]
    told += [
        f"{_name(each)} {_words(what, each.texts, private)}{_serial(each)}"
        for each, what in has.items()
        if seen is Seen.MIXED
    ]
    more = [f"and {len(told) - _MAX_TOLD} more"] if len(told) > _MAX_TOLD else []
    return "; ".join([*told[:_MAX_TOLD], *more])


def _words(seen: Seen, texts: Texts, private: PrivateKey | None) -> str:
    if seen is not Seen.DIFFERS:
        return _HAS[seen]
    faults = compare(private, texts)
    return f"has another record ({faults[0]})" if faults else "has the record of another key"


def _name(server: ServerAnswer) -> str:
    return f"{server.server} [{server.address}]" if server.address else server.server


def _serial(server: ServerAnswer) -> str:
    return "" if server.serial is None else f" (serial {server.serial})"
