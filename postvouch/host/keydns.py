"""Whether what signs is published: each key of a ring is compared with its record in DNS.

A letter signed with a key that nobody can find is worse off than it looks: it fails where it is forwarded.
Silence of DNS proves nothing, so what was found out last counts until there is another answer.
"""

from collections.abc import Callable, Iterable

from postvouch.host.log import INFO, WARNING, Log
from postvouch.sign.finding import Finding
from postvouch.sign.keys import KeyRing, SigningKey
from postvouch.sign.published import compare
from postvouch.values.dns import DnsUnavailable, Resolver

AGAIN_S, SOON_S = 3600.0, 60.0
"""How long after one look comes the next: when all was well, and when not."""


class PublishedKeys:
    """What is known of the keys of one daemon. ``ask`` makes a resolver for one look at so many keys.

    With ``refuse`` a key that is not published as it should be is taken out of a ring; else it is complained
    about.
    """

    def __init__(self, ask: Callable[[int], Resolver], log: Log, *, refuse: bool) -> None:
        self.refuse = refuse
        self._ask = ask
        self._log = log
        self._known: dict[tuple[str, str, str], str] = {}
        self._said: tuple[str, ...] = ()
        self._all_answered = True

    def vet(self, ring: KeyRing) -> KeyRing:
        """Look up all keys; the ring as it may be used. Takes as long as DNS does, and raises nothing."""
        resolver = self._ask(len(ring.keys))
        answers = {name_of(key): unpublished(key, resolver) for key in ring.keys}
        self._all_answered = None not in answers.values()
        # Of keys that are gone nothing is remembered.
        self._known = {
            name: self._known.get(name, "") if answer is None else answer for name, answer in answers.items()
        }
        reasons = {
            (key.domain, key.selector): reason for key in ring.keys if (reason := self._known[name_of(key)])
        }
        if self.refuse:
            return ring.without(reasons)
        self._complain(reasons.values())
        return ring

    @property
    def wait_s(self) -> float:
        """How long until the next look."""
        return AGAIN_S if self._all_answered and not any(self._known.values()) else SOON_S

    def _complain(self, reasons: Iterable[str]) -> None:
        said = tuple(reasons)
        if said != self._said:
            text = f"letters are signed that fail: {'; '.join(said)}" if said else "all keys are published"
            self._log.note(text, level=WARNING if said else INFO)
        self._said = said


def unpublished(key: SigningKey, resolver: Resolver) -> str | None:
    """What is wrong with the record of a key: "" for nothing, None where DNS does not say."""
    try:
        records = resolver.lookup(key.record_name, "TXT")
    except DnsUnavailable:
        return None
    faults = compare(key.private, [(text,) for text in records.texts()])
    grave = [str(fault) for fault in faults if fault.finding is not Finding.TESTING]
    return f'{key.record_name}: {grave[0]} (see "postvouch dkim testkey")' if grave else ""


def name_of(key: SigningKey) -> tuple[str, str, str]:
    """What tells one key from another: d=, s= and p=."""
    return key.domain, key.selector, key.private.public_text()
