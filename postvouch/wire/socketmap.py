"""Postfix's socketmap protocol (socketmap_table(5)): one question, one answer, each in a netstring.

These functions work on what is inside the netstring. Postfix turns PERM into "451 Server configuration error"
and never into a refusal, so a key that must not be delivered is answered NOTFOUND, and the 550 comes from
there being no such address.
"""

import re
from typing import Literal, NamedTuple, assert_never

from postvouch.values.answer import Answer, Found, NotFound, Refused, Unavailable
from postvouch.wire.fault import ProtocolError

__all__ = [
    "MAX_ANSWER",
    "ProtocolError",
    "Query",
    "Status",
    "format_answer",
    "format_reply",
    "parse_query",
    "sayable",
]

Status = Literal["OK", "NOTFOUND", "TEMP", "TIMEOUT", "PERM"]

MAX_ANSWER = 100_000
"""Longer answers are a broken connection to Postfix (dict_sockmap.c)."""

_MAX_REASON = 200  # Postfix logs no more of it
_USUAL = 1000  # shorter ones, nearly all, need no closer look
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]+")


class Query(NamedTuple):
    """One question: the map's name and the key as Postfix wrote it, which may hold anything but a meaning.

    Octets that are not UTF-8 are surrogates (``surrogateescape``); blanks, NUL and line ends are kept.
    """

    map: str
    key: str


def parse_query(request: bytes) -> Query:
    """Split "map key" at the first blank; an empty key is a key. ProtocolError ("malformed") without map."""
    name, blank, key = request.decode("utf-8", "surrogateescape").partition(" ")
    if not blank or not name:
        raise ProtocolError("malformed", "no map name and blank in a request")
    return Query(name, key)


def sayable(answer: Answer) -> Answer:
    """The answer, or Unavailable for a value that cannot be said: empty, too long, control characters."""
    if not isinstance(answer, Found):
        return answer
    if answer.value and answer.value.isascii() and answer.value.isprintable() and len(answer.value) < _USUAL:
        return answer
    if not answer.value or _CONTROLS.search(answer.value):
        return Unavailable("the value found is empty or holds control characters")
    try:
        size = len(answer.value.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        return Unavailable("the value found is no text")
    if size + len("OK ") > MAX_ANSWER:
        return Unavailable(f"the value found is longer than {MAX_ANSWER} octets")
    return answer


def format_answer(answer: Answer) -> bytes:
    """Write an answer; never raises. What is not ``sayable`` is TEMP."""
    said = sayable(answer)
    if isinstance(said, Found):
        return b"OK " + said.value.encode("utf-8", "surrogateescape")
    match said:
        case NotFound() | Refused():
            return b"NOTFOUND "
        case Unavailable(reason):
            return format_reply("TEMP", reason)
        case _ as never:
            assert_never(never)


def format_reply(status: Status, text: str) -> bytes:
    """Write a status and one line of text, which for a failure ends up in Postfix's log.

    The blank after the status is needed even without text: Postfix 3.7 and 3.10 differ on what else they do.
    """
    line = _CONTROLS.sub(" ", text)[:_MAX_REASON]
    return f"{status} {line}".encode("utf-8", "replace")
