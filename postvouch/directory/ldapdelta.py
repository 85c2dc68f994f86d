"""What a server said last time, kept in ``Part.state``, so that next time only the changes are asked for.

First contextCSN is compared: where the server keeps it (slapd with syncprov) and it has not moved, nothing
has. Else the server lists entryUUID and entryCSN (or modifyTimestamp) of everything, and those that are new
are read; who is not listed is gone. Whatever does not add up is ``Doubt``: then everything is read.
"""

import base64
import binascii
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from hashlib import sha256

import postvouch
from postvouch.config.names import Ldap
from postvouch.directory.ldapsearch import Session
from postvouch.directory.ldaptranslate import Record, wanted
from postvouch.directory.model import Problem

_UUID, _CSN, _TIME = "entryuuid", "entrycsn", "modifytimestamp"
STAMPS = ("entryUUID", "entryCSN", "modifyTimestamp")  # RFC 4530, RFC 4512 §3.4
_SKEW_S = 600.0
"""A clock of the server's may be this far from ours; more is a doubt."""
_MOST_STATE = 64_000_000
_MOST_JSON = 1_000_000_000
_MOST_PROBLEMS = 1000
_OF_THE_WAY = (
    "timeout",
    "deadline",
    "full",
    "page_size",
    "password_file",
    "ca_file",
    "starttls",
    "uri",
    "delta",
)
"""Settings that say how the server is reached, not what is asked of it."""

Known = Mapping[str, tuple[str, Record]]
"""entryUUID -> (stamp, record); a stamp of "" is too young, or too odd, to be relied on."""


class Doubt(Exception):
    """The changes alone would not do; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What was read. ``body`` holds the records, packed; ``mark`` is contextCSN, () if it tells nothing."""

    question: str
    server: str
    full_at: float
    mark: tuple[str, ...]
    problems: tuple[Problem, ...] = ()
    body: str = field(default="", repr=False)

    def records(self) -> Known:
        """All of them. Raises Doubt if they cannot be unpacked."""
        try:
            unpack = zlib.decompressobj()
            text = unpack.decompress(base64.b85decode(self.body), _MOST_JSON)
            if not unpack.eof:
                raise Doubt("the memory is damaged")
            rows = json.loads(text)
            return {uuid: (stamp, Record(dn, attributes)) for uuid, stamp, dn, attributes in rows}
        except (ValueError, TypeError, zlib.error, binascii.Error, RecursionError) as error:
            raise Doubt("the memory is damaged") from error


def question_of(settings: Ldap, domain: str) -> str:
    """A digest of all that the answer depends on besides the server."""
    asked = [
        postvouch.__version__, domain,
        *(f"{f.name}={getattr(settings, f.name)!r}" for f in fields(settings) if f.name not in _OF_THE_WAY),
    ]  # fmt: skip
    return sha256("\n".join(asked).encode("utf-8", "replace")).hexdigest()[:32]


def pack(memory: Memory, known: Known) -> str:
    """As Part.state; "" where it would be too large, and then everything is read again."""
    rows = [[uuid, stamp, r.dn, r.attributes] for uuid, (stamp, r) in known.items()]
    octets = zlib.compress(json.dumps(rows, separators=(",", ":")).encode(), 1)
    if len(octets) * 5 // 4 > _MOST_STATE:
        return ""
    few = len(memory.problems) <= _MOST_PROBLEMS
    head = {
        "question": memory.question, "server": memory.server, "full_at": memory.full_at,
        # Without the problems the mark is of no use: they are to be said as long as they last.
        "mark": memory.mark if few else (),
        "problems": [[p.source, p.text] for p in memory.problems] if few else [],
    }  # fmt: skip
    return f"{json.dumps(head)}\n{base64.b85encode(octets).decode()}"


def unpack(state: str) -> Memory:
    """The memory in a Part.state. Raises Doubt."""
    head, _, body = state.partition("\n")
    if not body or len(body) > _MOST_STATE:
        raise Doubt("there is no memory")
    try:
        told = json.loads(head)
        return Memory(
            question=str(told["question"]), server=str(told["server"]), full_at=float(told["full_at"]),
            mark=tuple(map(str, told["mark"])), body=body,
            problems=tuple(Problem(source=str(s), text=str(t), fatal=False) for s, t in told["problems"]),
        )  # fmt: skip
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Doubt("the memory is damaged") from error


def relied_on(state: str, settings: Ldap, uri: str, question: str, now: float) -> Memory:
    """The memory, if it may be used for this question to this server at this time. Raises Doubt."""
    memory = unpack(state)
    if memory.question != question:
        raise Doubt("the settings of [ldap] have changed")
    if memory.server != uri:
        raise Doubt("another server answers")
    if not memory.full_at <= now < memory.full_at + settings.full:
        raise Doubt("it is time for a full reading")
    return memory


def told_by(mark: Sequence[str], now: float) -> tuple[str, ...]:
    """The mark, or () if it does not tell a change from none: one of the future stands still for long."""
    return tuple(mark) if all((_seconds(each) or now) <= now + _SKEW_S for each in mark) else ()


def known_of(records: Iterable[Record], now: float) -> Known | None:
    """Records with their stamps, or None if the server does not say who is who and when it changed."""
    known: dict[str, tuple[str, Record]] = {}
    for record in records:
        uuid, stamp = _identity(record)
        if not uuid or not stamp or uuid in known:
            return None
        kept = {name: v for name, v in record.attributes.items() if name not in (_UUID, _CSN, _TIME)}
        known[uuid] = (_settled(stamp, now), Record(record.dn, kept))
    return known


def changed(session: Session, settings: Ldap, before: Known, now: float) -> Known:
    """What the server has now, in its order; only what is new or different is read. Raises Doubt."""
    fine = all("#" in stamp for stamp, _ in before.values())
    listed = known_of(session.all(STAMPS[:2] if fine else STAMPS), now)
    if listed is None:
        raise Doubt("the server does not give entryUUID and entryCSN or modifyTimestamp of all entries")
    fresh = [
        uuid for uuid, (stamp, record) in listed.items() if not _same(before.get(uuid), stamp, record.dn)
    ]
    if len(fresh) > max(100, len(listed) // 8):
        raise Doubt("too much has changed")
    after = {uuid: before[uuid] for uuid in listed if uuid in before}
    attributes = (*wanted(settings), *STAMPS)
    for uuid in fresh:
        record = session.one(listed[uuid][1].dn, attributes)
        one = known_of([record], now) if record else None
        if not one or uuid not in one:
            raise Doubt("an entry went away while it was read")
        after[uuid] = one[uuid]
    return {uuid: after[uuid] for uuid in listed}


def _same(old: tuple[str, Record] | None, stamp: str, dn: str) -> bool:
    # A subtree that is renamed gives its entries new names and leaves their stamps alone.
    return old is not None and bool(stamp) and old[0] == stamp and old[1].dn == dn


def _identity(record: Record) -> tuple[str, str]:
    """entryUUID and the finest stamp there is; "" for what is missing."""

    def value(name: str) -> str:
        return next(iter(record.attributes.get(name, ())), "")

    return value(_UUID), value(_CSN) or value(_TIME)


def _settled(stamp: str, now: float) -> str:
    """ "" for a stamp that a later change may bear, too: one of this second, or of a clock that is ahead."""
    if "#" in stamp:
        return stamp  # entryCSN counts within a microsecond
    at = _seconds(stamp)
    return stamp if at is not None and at < now - _SKEW_S else ""


def _seconds(stamp: str) -> float | None:
    """When; the first 14 digits of a generalizedTime and of a CSN are the same (RFC 4517 §3.3.13)."""
    try:
        return datetime.strptime(stamp[:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
