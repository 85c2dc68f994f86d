"""The target "milter": sessions that Postfix might play, broken, against a connection of the native door."""

import asyncio
import os
import struct
from concurrent.futures import ThreadPoolExecutor

from fuzz.chance import Chance
from postvouch.auth.bodies import BodyHashes
from postvouch.host.log import Log
from postvouch.host.metrics import Metrics
from postvouch.milters.connection import Connection, Shared
from postvouch.milters.gather import Door
from postvouch.values.decision import Accept, Decision, InsertField, Reject, RemoveField
from postvouch.values.message import Field, Message
from postvouch.values.reply import SPOOF
from postvouch.wire import milter

_OFFERS = tuple(
    struct.pack("!LLL", version, actions, protocol)
    for version in (6, 6, 2, 1)
    for actions in (0x1FF, 0x1F, 0)
    for protocol in (0x1FFFFF, 0x7F, 0)
)
_EVENTS = (
    (b"C", b"mx.far.example\x004\x9c\x40192.0.2.7\0"), (b"C", b"localhost\0U"),
    (b"C", b"x\x006\0\0IPv6:::1\0"), (b"D", b"Li\0x\0"),
    (b"H", b"mx.far.example\0"), (b"D", b"M{auth_authen}\0bob\0"), (b"D", b"Ei\x004XyZ\0"),
    (b"D", b"H{cert_subject}\0crm.our.example\0"), (b"A", b""), (b"K", b""), (b"U", b"NOOP\0"), (b"N", b""),
    (b"Q", b""),
)  # fmt: skip
_MESSAGE = (
    (b"M", b"<alice@far.example>\0SIZE=9\0"), (b"R", b"<bob@our.example>\0"), (b"T", b""),
    (b"L", b"From\0 alice@far.example\0"), (b"L", b"X-Old\0\0"), (b"B", b"hello\r\n"), (b"E", b""),
)  # fmt: skip
_REPLIES = frozenset(b"Ocimy")


class _Handler:
    """Refuses some, edits some."""

    keeps = 0

    def hashes(self, fields: object) -> BodyHashes:
        """As the signer does."""
        return BodyHashes([(True, None)])

    def handle(self, message: Message, *, may_wait: bool = True) -> Decision:
        """By the number of fields."""
        assert all(
            isinstance(field, Field) and b"\0" not in field.name + field.value for field in message.fields
        )
        if len(message.fields) % 3 == 2:
            return Decision(verdict=Reject(SPOOF), code="spoof")
        return Decision(verdict=Accept(), code="ok", edits=(RemoveField("X", 1), InsertField("X", "a\n\tb")))

    def tick(self) -> None:
        """Nothing ages."""


class _Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written, self.ended = b"", False

    def write(self, data: bytes) -> None:  # type: ignore[override]
        """Keep it, and take it no more after the end."""
        assert not self.ended
        self.written += data

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self.ended

    def close(self) -> None:
        """The end."""
        self.ended = True


def make(chance: Chance) -> bytes:
    """A session: mostly in order, each packet and the whole of it perhaps broken."""
    packets = [(b"O", chance.one(_OFFERS) if chance.odds(0.3) else _OFFERS[0])]
    for _ in range(1 + chance.upto(2)):
        packets += chance.some(_EVENTS, 4)
        packets += [each for each in _MESSAGE if not chance.odds(0.05)]
        if chance.odds(0.1):
            packets.insert(chance.upto(len(packets)), chance.one(_EVENTS + _MESSAGE))
    parts = []
    for command, data in packets:
        octets = chance.broken(data) if chance.odds(0.03) else data
        parts.append(struct.pack("!L", len(octets) + 1) + command + octets)
    whole = b"".join(parts)
    return chance.broken(whole) if chance.odds(0.2) else whole


def read(octets: bytes) -> str:
    """The same comes of it however it is cut, and nothing of it is a fault of ours."""
    whole = _played([octets])
    assert whole == _played([octets[place : place + 3] for place in range(0, len(octets), 3)])
    written, ended, lines = whole
    # Of our faults there is only the one that the offer makes.
    assert lines.count(b"bug=") == lines.count(b"bug=ValueError: the other side does not offer")
    replies = milter.Decoder().feed(written)
    assert {command for command, _ in replies} <= _REPLIES
    return ("ended " if ended else "") + "".join(sorted({chr(command) for command, _ in replies}))


def _played(pieces: list[bytes]) -> tuple[bytes, bool, bytes]:
    """What was written, whether the connection was ended, and the log, without times."""
    descriptor = os.memfd_create("log")
    try:
        log = Log(program="fuzz", descriptor=descriptor)
        door = Door(handler=_Handler(), log=log, metrics=_METRICS)
        house, transport = Shared(door=door, pool=_POOL), _Transport()
        connection = Connection(house)
        connection.connection_made(transport)
        for piece in pieces:
            if not transport.ended:
                connection.data_received(piece)
        connection.connection_lost(None)
        assert not door.under_way
        assert not house.connections
        lines = os.pread(descriptor, 1 << 20, 0)
    finally:
        os.close(descriptor)
    return (
        transport.written,
        transport.ended,
        b"\n".join(line.rpartition(b", ms=")[0] or line for line in lines.split(b"\n")),
    )


_METRICS = Metrics("fuzz")
_POOL = ThreadPoolExecutor(1)
