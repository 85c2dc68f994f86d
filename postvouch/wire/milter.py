"""The milter protocol, versions 2 to 6, as a filter speaks it: packets of a length, a command and its data.

Sans-IO: octets in, commands out, however the stream was cut; replies as octets, each whole. A fault is final.
The numbers are those of Sendmail's libmilter (mfdef.h, mfapi.h); Postfix is the other side (milter8.c).
"""

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from postvouch.wire.fault import ProtocolError

MAX_SIZE = 1 << 20
"""Octets of one packet. Body chunks have 65535, a header field what Postfix's header_size_limit lets in."""

MAX_MACROS = 64 << 10
"""Octets of the macros of one stage; those that we ask for have some hundred, and as objects many more."""

VERSION = 6

# Commands, as the first octet of a packet reads.
OPTIONS, CONNECT, HELO, MAIL, RCPT, DATA = b"OCHMRT"
HEADER, END_OF_HEADER, BODY, END = b"LNBE"
MACROS, ABORT, QUIT, QUIT_FOR_NEXT, UNKNOWN = b"DAQKU"

# What a filter may do to a message (SMFIF_*): the other side offers, the filter takes.
ADD_HEADERS, CHANGE_BODY, CHANGE_HEADERS, QUARANTINE, CHANGE_SENDER = 0x01, 0x02, 0x10, 0x20, 0x40
SET_MACROS = 0x100

# Steps without a reply, and commands not sent at all (SMFIP_*).
NO_END_OF_HEADER, NO_UNKNOWN = 0x40, 0x100
SILENT = {
    CONNECT: 0x1000, HELO: 0x2000, MAIL: 0x4000, RCPT: 0x8000, DATA: 0x10000, UNKNOWN: 0x20000,
    END_OF_HEADER: 0x40000, HEADER: 0x80, BODY: 0x80000,
}  # fmt: skip
"""Command -> the bit that says "no reply to it"."""
LEADING_SPACE = 0x100000
"""Field values come, and go, with the blank after the colon."""

STAGES = {stage: number for number, stage in enumerate((CONNECT, HELO, MAIL, RCPT, DATA, END, END_OF_HEADER))}
"""The commands before which macros come, numbered as libmilter does."""

CONTINUE, TEMPFAIL = b"\0\0\0\1c", b"\0\0\0\1t"

MAX_TEXT = 900
"""Octets of one line of a reply, below what RFC 5321 §4.5.3.1.5 and libmilter allow."""

_LENGTH, _HEAD = struct.Struct("!L"), struct.Struct("!LB")
_THREE = struct.Struct("!LLL")
_REPEATED = (HEADER, BODY)


class Decoder:
    """Cuts a stream into commands of at most ``max_size`` octets."""

    __slots__ = ("_fault", "_held", "_max_size", "_need")

    def __init__(self, *, max_size: int = MAX_SIZE) -> None:
        self._held = bytearray()
        self._max_size = max_size
        # Below this many octets there is nothing new to say: a large packet that arrives octet by octet is
        # looked at once.
        self._need = 0
        self._fault: ProtocolError | None = None

    @property
    def pending(self) -> int:
        """How many octets of an unfinished packet are held."""
        return len(self._held)

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Take what arrived and return the commands that are now complete: their letter and their data.

        Macros of header fields and body chunks are left out: they repeat what is known.
        ProtocolError, now and ever after, with the code "bad-length" or "too-long".
        """
        if self._fault is not None:
            raise self._fault
        if self._held:
            self._held += data
            if len(self._held) < self._need:
                return []
            data = bytes(self._held)
            self._held.clear()
        commands: list[tuple[int, bytes]] = []
        unpack, most = _HEAD.unpack_from, self._max_size
        start, size = 0, len(data)
        self._need = 4
        last = size - 5
        while start <= last:
            length, command = unpack(data, start)
            end = start + 4 + length
            if length > most or not length:
                raise self._broken(length, commands)
            if end > size:
                self._need = 4 + length
                break
            if command != MACROS or length == 1 or data[start + 5] not in _REPEATED:
                commands.append((command, data[start + 5 : end]))
            start = end
        if start < size:
            if start + 4 == size:  # a length and nothing behind it yet
                (length,) = _LENGTH.unpack_from(data, start)
                if length > most or not length:
                    raise self._broken(length, commands)
            self._held += data[start:]
        return commands

    def _broken(self, length: int, commands: list[tuple[int, bytes]]) -> ProtocolError:
        code, text = (
            ("too-long", f"more than {self._max_size} octets") if length else ("bad-length", "no octet")
        )
        self._fault = ProtocolError(code, f"a packet of {text}")
        return ProtocolError(code, f"a packet of {text}", tuple(commands))


_NOTHING_SAID = [b""] * len(STAGES)


class Macros:
    """What the other side has said beside its commands: {auth_authen}, i, ... each good for one stage.

    What was said at a stage is forgotten when that stage, or one before it, comes again.
    """

    __slots__ = ("_fresh", "_said", "_values")

    def __init__(self) -> None:
        self._said = [*_NOTHING_SAID]
        self._values: dict[bytes, bytes] | None = None  # of all that was said, read when somebody asks
        self._fresh = -1

    def define(self, data: bytes) -> None:
        """Take the data of a MACROS command, which comes before the command that it belongs to.

        ProtocolError "malformed", "too-long". Macros for commands that are no stage are passed over.
        """
        stage = STAGES.get(data[0]) if data else None
        if stage is None:
            return
        if len(data) > MAX_MACROS:
            raise ProtocolError("too-long", f"macros of more than {MAX_MACROS} octets")
        if len(data) > 1 and (data[-1] or data.count(b"\0") % 2):
            raise ProtocolError("malformed", "macros that are not pairs of strings")
        self._forget(stage)
        self._said[stage] = data[1:]
        self._fresh = stage

    def begin(self, command: int) -> None:
        """The command itself has come: what was not said for it this time was said for an earlier one."""
        stage = STAGES[command]
        if self._fresh != stage:
            self._forget(stage)
        self._fresh = -1

    def _forget(self, stage: int) -> None:
        self._said[stage:] = _NOTHING_SAID[stage:]
        self._values = None

    def get(self, name: bytes) -> str:
        """The value that was said last, "" where none was; octets that are no UTF-8 survive as surrogates."""
        if self._values is None:
            words = b"".join(self._said).split(b"\0")
            self._values = dict(zip(words[::2], words[1::2], strict=False))
        return self._values.get(name, b"").decode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is negotiated: the version, what the filter may do, which steps are silent or left out."""

    version: int = VERSION
    actions: int = 0
    protocol: int = 0

    @classmethod
    def read(cls, data: bytes) -> "Options":
        """Read the data of an OPTIONS command. ProtocolError "malformed"; versions below 2 are "too-old"."""
        if len(data) < _THREE.size:
            raise ProtocolError("malformed", "options cut short")
        version, actions, protocol = _THREE.unpack_from(data)
        if version < 2:
            raise ProtocolError("too-old", f"protocol version {version}")
        return cls(version=version, actions=actions, protocol=protocol)

    def taking(self, *, actions: int, protocol: int) -> "Options":
        """Of what is offered here, what the filter wants."""
        return Options(
            version=min(self.version, VERSION),
            actions=self.actions & actions,
            protocol=self.protocol & protocol,
        )

    def reply(self, macros: Mapping[int, str]) -> bytes:
        """The answer to OPTIONS. ``macros``: command -> names wanted before it, asked for where one may."""
        lists = b""
        if self.actions & SET_MACROS:
            lists = b"".join(_LENGTH.pack(STAGES[stage]) + _string(names) for stage, names in macros.items())
        return packet(b"O", _THREE.pack(self.version, self.actions, self.protocol) + lists)


def first(data: bytes) -> bytes:
    """The first of one or more strings: the path of MAIL and RCPT, the name of HELO. ProtocolError."""
    word, end, _ = data.partition(b"\0")
    if not end:
        raise ProtocolError("malformed", "a string without its end")
    return word


def field(data: bytes, blank: bytes = b"") -> tuple[bytes, bytes]:
    """Name and value of a HEADER command, the value behind ``blank``. ProtocolError "malformed"."""
    try:
        name, value, rest = data.split(b"\0")
    except ValueError:
        rest = b"?"
    if rest or not name:
        raise ProtocolError("malformed", "a header field that is not two strings")
    return name, blank + value


def client(data: bytes) -> tuple[str, str, int]:
    """Name, IP literal (not checked) and port of a CONNECT command; "" and 0 for a client without.

    ProtocolError "malformed".
    """
    name, end, rest = data.partition(b"\0")
    if not end or not rest:
        raise ProtocolError("malformed", "a client without name or kind of address")
    text = name.decode("utf-8", "surrogateescape")
    if rest[:1] not in (b"4", b"6"):
        return text, "", 0
    try:
        literal = first(rest[3:]).decode("ascii")
    except ValueError:
        raise ProtocolError("malformed", "a client whose address is none") from None
    return text, literal.removeprefix("IPv6:").partition("%")[0], int.from_bytes(rest[1:3], "big")


def packet(command: bytes, data: bytes) -> bytes:
    """One packet."""
    return _LENGTH.pack(len(data) + 1) + command + data


def insert_field(place: int | None, name: str, value: str) -> bytes:
    """Insert a field, 0 above all others, None below. ``value``: folds as LF and white space. ValueError."""
    if _breaks(value):
        raise ValueError("a line that is no fold would begin another field")
    command, where = (b"h", b"") if place is None else (b"i", _LENGTH.pack(place))
    return packet(command, where + _name(name) + _string(value.replace("\r\n", "\n")))


def replace_body(body: bytes) -> bytes:
    """Replace the whole body, in as many packets as it takes: at least one, or the old one stays."""
    return b"".join(packet(b"b", body[at : at + 65535]) for at in range(0, max(len(body), 1), 65535))


def remove_field(nth: int, name: str) -> bytes:
    """Remove the ``nth`` field (from 1) of that name. ValueError."""
    return packet(b"m", _LENGTH.pack(nth) + _name(name) + b"\0")


def change_sender(path: str) -> bytes:
    """Replace the envelope sender by ``path``, angle brackets included. ValueError."""
    return packet(b"e", _string(path))


def quarantine(reason: str) -> bytes:
    """Have the message held. ValueError."""
    return packet(b"q", _string(reason))


def refuse(code: int, enhanced: str, lines: Iterable[str]) -> bytes:
    """Refuse with an SMTP reply of one or more lines.

    What is no printable ASCII becomes "?"; a "%" goes doubled, as the other side undoes it.
    """
    texts = ["".join(c if " " <= c <= "~" else "?" for c in line)[:MAX_TEXT] for line in lines] or [""]
    marks = ["-"] * (len(texts) - 1) + [" "]
    reply = "\r\n".join(f"{code}{mark}{enhanced} {text}" for mark, text in zip(marks, texts, strict=True))
    return packet(b"y", _string(reply.replace("%", "%%")))


def _breaks(value: str) -> bool:
    """Whether there is a LF that nothing blank follows, or a CR without its LF."""
    if "\r" in value and value.count("\r") != value.count("\r\n"):
        return True
    return value.count("\n") != value.count("\n ") + value.count("\n\t")


def _name(name: str) -> bytes:
    if not name or not name.isascii() or not name.isprintable() or ":" in name or " " in name:
        raise ValueError(f"not the name of a header field: {name!r}")
    return name.encode() + b"\0"


def _string(text: str) -> bytes:
    if "\0" in text:
        raise ValueError("a NUL would end the string")
    return text.encode() + b"\0"
