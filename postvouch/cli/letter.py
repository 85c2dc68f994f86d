"""A letter in a file as a ``Message``, its octets kept as they are; any octets at all are a letter.

Read as Postfix reads what SMTP carries: the first line that is no field ends the header and begins the body.
A file written on Unix has LF where SMTP has CRLF; its line ends are changed, and that is said, because a
signature covers them. Where the first line ends in CRLF a lone LF or CR further down is an octet like others,
though in mail Postfix would have made a line end or a blank of it before a milter sees it.
"""

import re
from dataclasses import dataclass

from postvouch.values.message import Client, Envelope, Field, Message

_LINE_END = re.compile(rb"\r?\n")
_LONE_LF = re.compile(rb"(?<!\r)\n")
_NAME = re.compile(rb"([!-9;-~]+)[ \t]*:")
# smtpd(8) takes such lines for those of a mailbox file, but "From :" at the very top is what it looks like.
_MBOX = re.compile(rb"(?:>*From (?![ \t]*:)[^\n]*\n)+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A message and what had to be said about reading it."""

    message: Message
    notes: tuple[str, ...]


def read_letter(data: bytes, *, client: Client, envelope: Envelope) -> Letter:
    """Split a letter into fields and body. Names keep blanks before their colon, which Postfix drops."""
    notes = []
    mbox = _MBOX.match(data)
    if mbox is not None:
        notes.append("the mbox line at its start was left out")
        data = data[mbox.end() :]
    first = _LINE_END.search(data)
    if first is not None and first[0] == b"\n":
        notes.append("line ends were LF and are read as CRLF, as SMTP would have carried them")
        data = _LONE_LF.sub(b"\r\n", data)
    if data and not data.endswith(b"\r\n"):
        notes.append("the last line had no end and got one, as SMTP would have given it")
        data += b"\r\n"
    fields, body, broken = _split(data)
    if not fields:
        notes.append("no header field at its start: all of it is body, as in Postfix")
    elif broken:
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
