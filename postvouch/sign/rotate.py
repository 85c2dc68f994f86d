"""How managed keys move from state to state: what is stored, what DNS says and the time, to what is next.

``step`` goes as far as the facts allow and says what it waits for. A state is advanced by what every
authoritative server said, never by what one of them did not say. Applied twice with the same facts, it
changes nothing the second time; whoever is stopped anywhere begins again with what is stored.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from postvouch.sign.managed import late
from postvouch.sign.rotation import GONE, PENDING, Key, Rotation, State

MAX_HOLD_S = 7 * 86400


class Seen(StrEnum):
    """What the authoritative servers have for a key, all of them together."""

    PUBLISHED = "published"
    REVOKED = "revoked"
    ABSENT = "absent"
    DIFFERS = "differs"
    MIXED = "mixed"
    INSECURE = "insecure"
    UNKNOWN = "unknown"
    NO_KEY = "no-key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """What was seen for one key, and ``why`` in words.

    PUBLISHED, REVOKED and ABSENT say that every server has just that; UNKNOWN that nothing speaks against the
    key but not all was seen; NO_KEY that the key file is not as it must be. ``some`` is what the servers have
    that answered, each of them one of these. ``hold_s``: how long resolvers may go on with another answer
    than the record.
    """

    seen: Seen
    why: str = ""
    some: frozenset[Seen] = frozenset()
    hold_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The world at one moment: facts by selector, and the selectors whose key file is in the folder."""

    records: Mapping[str, Fact]
    files: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How long a record stays: after the last signature, and after its p= was emptied; seconds."""

    retire_after_s: int
    delete_after_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A key changes its state."""

    selector: str
    before: State
    after: State


class Need(StrEnum):
    """What is waited for: a person (the first four), the name servers, time."""

    PUBLISH = "publish"
    REVOKE = "revoke"
    REMOVE = "remove"
    CONFIRM = "confirm"
    SERVERS = "servers"
    TIME = "time"
    ALARM = "alarm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """What must happen before a key goes on; ``why`` in words, ``until`` in seconds of the epoch for TIME.

    ALARM is no step of a rotation: a record that is needed is not what it has to be.
    """

    selector: str
    need: Need
    why: str = ""
    until: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What to store, then the key files to remove, then what to wait for."""

    rotation: Rotation
    moves: tuple[Move, ...]
    remove: tuple[str, ...]
    waits: tuple[Wait, ...]


_NOT_SEEN = Fact(seen=Seen.UNKNOWN, why="not looked for")
_LACKING = (Seen.ABSENT, Seen.REVOKED, Seen.DIFFERS)


def step(rotation: Rotation, facts: Facts, now: int, terms: Terms) -> Step:
    """Take every step that is due at ``now``."""
    before = rotation
    rotation = _look(rotation, facts, now)
    if _ready(rotation, facts, now):
        rotation = _activate(rotation, now)
    keys = tuple(_retire(key, rotation, facts, now, terms) for key in rotation.keys)
    rotation = replace(rotation, keys=keys)
    states = {key.selector: key.state for key in before.keys}
    return Step(
        rotation=rotation,
        moves=tuple(
            Move(selector=key.selector, before=states[key.selector], after=key.state)
            for key in rotation.keys
            if key.state is not states[key.selector]
        ),
        remove=tuple(key.selector for key in rotation.among(*GONE) if key.selector in facts.files),
        waits=tuple(wait for key in rotation.keys for wait in _waits(key, rotation, facts, now, terms)),
    )


def asked(rotation: Rotation) -> tuple[Key, ...]:
    """The keys whose records matter."""
    return tuple(key for key in rotation.keys if key.state is not State.DELETED)


def _fact(key: Key, facts: Facts) -> Fact:
    return facts.records.get(key.selector, _NOT_SEEN)


def _look(rotation: Rotation, facts: Facts, now: int) -> Rotation:
    """Made or published, by what is seen of the keys that are to sign."""

    def look(key: Key) -> Key:
        if key.state not in PENDING:
            return key
        fact = _fact(key, facts)
        key = replace(key, hold_s=min(MAX_HOLD_S, max(key.hold_s, fact.hold_s)))
        if key.state is State.MADE and fact.seen is Seen.PUBLISHED:
            return replace(key, state=State.PUBLISHED, since=now)
        if key.state is State.PUBLISHED and fact.seen not in (Seen.PUBLISHED, Seen.UNKNOWN, Seen.NO_KEY):
            # Resolvers may keep what is there now: the time begins again when the record is back.
            return replace(key, state=State.MADE, since=now)
        return key

    return replace(rotation, keys=tuple(map(look, rotation.keys)))


def _ready(rotation: Rotation, facts: Facts, now: int) -> bool:
    return bool(rotation.pending) and all(
        key.state is State.PUBLISHED
        and _fact(key, facts).seen is Seen.PUBLISHED
        and now >= key.since + key.hold_s
        for key in rotation.pending
    )


def _activate(rotation: Rotation, now: int) -> Rotation:
    def move(key: Key) -> Key:
        if key.state is State.ACTIVE:
            return replace(key, state=State.RETIRING, since=now)
        return replace(key, state=State.ACTIVE, since=now) if key.state in PENDING else key

    return replace(rotation, keys=tuple(map(move, rotation.keys)))


def _due(key: Key, terms: Terms) -> int | None:
    """When the record of a retiring key has had its time; None while somebody may still sign with it."""
    if key.stopped is None:
        return None
    return key.stopped + (0 if key.stolen else terms.retire_after_s)


def _retire(key: Key, rotation: Rotation, facts: Facts, now: int, terms: Terms) -> Key:
    """The way of a key that signs no more, as far as it goes."""
    seen = _fact(key, facts).seen
    if key.state is State.RETIRING and key.stopped is None and _stopped(key, rotation):
        key = replace(key, stopped=now)
    if key.state is State.RETIRING and seen in (Seen.REVOKED, Seen.ABSENT):
        due = _due(key, terms)
        if due is not None and now >= due:
            key = replace(key, state=State.REVOKED, since=now)
    if key.state is State.REVOKED and seen is Seen.ABSENT:
        key = replace(key, state=State.DELETED, since=now)
    return key


def _stopped(key: Key, rotation: Rotation) -> bool:
    return all(rotation.confirmed.get(host, -1) > key.generation for host in rotation.hosts)


def _waits(key: Key, rotation: Rotation, facts: Facts, now: int, terms: Terms) -> list[Wait]:
    """What one key waits for after the step."""
    fact = _fact(key, facts)
    waits: list[Wait] = []

    def wait(need: Need, why: str = fact.why, until: int = 0) -> None:
        waits.append(Wait(selector=key.selector, need=need, why=why, until=until))

    match key.state:
        case State.MADE | State.PUBLISHED if fact.seen is Seen.NO_KEY:
            wait(Need.ALARM)
        case State.MADE:
            wait(_asks(fact, Seen.PUBLISHED, Need.PUBLISH))
        case State.PUBLISHED:
            if fact.seen is not Seen.PUBLISHED:
                wait(Need.SERVERS)
            elif now < key.since + key.hold_s:
                wait(
                    Need.TIME,
                    "resolvers may still know that there was no such record",
                    key.since + key.hold_s,
                )
        case State.ACTIVE:
            if fact.seen is not Seen.PUBLISHED:
                wait(Need.SERVERS if fact.seen is Seen.UNKNOWN else Need.ALARM)
        case State.RETIRING:
            due = _due(key, terms)
            if due is None:
                wait(Need.CONFIRM, ", ".join(late(rotation)))
            if key.stolen or (due is not None and now >= due):
                wait(_asks(fact, Seen.REVOKED, Need.REVOKE))
            else:
                if fact.seen in (*_LACKING, Seen.MIXED):
                    wait(Need.ALARM)
                if due is not None:
                    wait(Need.TIME, "letters signed with it may still be in queues", due)
        case State.REVOKED:
            until = key.since + terms.delete_after_s
            if fact.seen in (Seen.PUBLISHED, Seen.INSECURE):
                wait(Need.ALARM, "its record is there again with the key")
            elif now < until:
                wait(Need.TIME, "the empty record says that the key was withdrawn", until)
            else:
                wait(_asks(fact, Seen.ABSENT, Need.REMOVE))
        case State.DELETED:
            pass
    return waits


def _asks(fact: Fact, wanted: Seen, need: Need) -> Need:
    """A person is asked to do what no server shows yet; what some show is on its way."""
    some = fact.some or {fact.seen} - {Seen.MIXED, Seen.UNKNOWN, Seen.INSECURE}
    return need if some and wanted not in some else Need.SERVERS
