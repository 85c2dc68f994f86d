"""A letter in a file as a ``Message``, its octets kept as they are.

Postfix would have handed it over with CRLF line ends; a file written on Unix has LF. Line ends are the only
thing that is changed here, and that is said, because a signature covers every other octet.
"""

import re
from dataclasses import dataclass

from postvouch.values.message import Client, Envelope, Field, Message

_LONE_LF = re.compile(rb"(?<!\r)\n")
_NAME = re.compile(rb"([!-9;-~]+)[ \t]*:")


class LetterError(ValueError):
    """The octets are no letter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A message and what had to be said about reading it."""

    message: Message
    notes: tuple[str, ...]


def read_letter(data: bytes, *, client: Client, envelope: Envelope) -> Letter:
    """Split a letter into fields and body. Raises LetterError where there is no header field at all."""
    notes = []
    if data.startswith(b"From ") and b"\n" in data:
        notes.append("the mbox line at its start was left out")
        data = data.partition(b"\n")[2]
    if _LONE_LF.search(data):
        notes.append("line ends were LF and are read as CRLF, as SMTP would have carried them")
        data = _LONE_LF.sub(b"\r\n", data)
    if data and not data.endswith(b"\r\n"):
        notes.append("the last line had no end and got one, as SMTP would have given it")
        data += b"\r\n"
    fields, body, broken = _split(data)
    if not fields:
        raise LetterError("no header field at its start")
    if broken:
        notes.append("the header ends at a line that is no field; the body begins there, as in Postfix")
    message = Message(client=client, envelope=envelope, fields=tuple(fields), body=(body,) if body else ())
    return Letter(message=message, notes=tuple(notes))


def _split(data: bytes) -> tuple[list[Field], bytes, bool]:
    """Fields, body, and whether the header ended without its empty line."""
    fields: list[Field] = []
    at = 0
    while at < len(data):
        end = data.index(b"\r\n", at)
        if end == at:
            return fields, data[end + 2 :], False
        found = _NAME.match(data, at, end)
        if found is None:
            return fields, data[at:], True
        while data[end + 2 : end + 3] in (b" ", b"\t"):
            end = data.index(b"\r\n", end + 2)
        fields.append(Field(data[at : found.end() - 1], data[found.end() : end]))
        at = end + 2
    return fields, b"", False
