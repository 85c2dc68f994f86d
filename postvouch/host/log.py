"""One log line a message, in Postfix's shape, so that ``grep QUEUEID`` tells the whole story.

    postvouch-verify[812]: 4XyZ1k2: from=<a@far.example>, client=mx.far.example[192.0.2.7], action=accept, …

Every value is quoted: strangers choose most of them. A backslash starts an escape; a comma before a space is
written ``\\x2c``, so splitting a line at ", " always gives our pairs back and nothing else.
Lines go to stderr in one write each, with systemd's <N> priorities where stderr is the journal.
"""

import hashlib
import os
import re
import secrets
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

ERROR, WARNING, INFO, DEBUG = 3, 4, 6, 7
"""Priorities as syslog numbers them (sd-daemon(3))."""

PRIVATE = frozenset(
    {"from", "to", "client", "login", "helo", "author", "recipient", "sender", "address", "key"}
)
"""Names of values that say who wrote to whom; other values are searched for addresses."""

MAX_VALUE = 400
MAX_LINE = 3500
MAX_OCTETS = 4000
"""Below PIPE_BUF, so that the lines of several workers never mix."""

# Anything around an "@", an IPv4 address, or three and more groups of an IPv6 address.
_ADDRESSES = re.compile(
    r"[^\s<>,;()\[\]]+@[^\s<>,;()\[\]]+|\b\d{1,3}(?:\.\d{1,3}){3}\b|(?<![\w:])[0-9A-Fa-f:]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]+"
)


def quote(text: str, limit: int = MAX_VALUE) -> str:
    """Make ``text`` fit for one line of a log: printable and bounded.

    Control characters, terminal escapes, line ends, bidirectional overrides and undecodable octets (surrogate
    escapes) become ``\\xNN`` or ``\\uNNNN``. Longer text is cut and ends in "...".
    """
    cut = text[:limit]
    if not cut.isprintable() or "\\" in cut:
        cut = "".join(_escape(character) for character in cut)
    return cut if len(text) <= limit else cut + "..."


def _value(text: str) -> str:
    return quote(text).replace(", ", "\\x2c ")


def _escape(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if character.isprintable():
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # an octet that was no UTF-8, kept by "surrogateescape"
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def bare(text: str) -> str:
    """``privacy = full``: the text as it is."""
    return text


def dropped(text: str) -> str:
    """``privacy = drop``: nothing of the text but whether there was one."""
    return "-" if text else ""


def hasher(key: bytes) -> Callable[[str], str]:
    """``privacy = hash``: the same text gives the same short word as long as ``key`` lives."""

    def digest(text: str) -> str:
        octets = text.lower().encode("utf-8", "backslashreplace")
        return f"h:{hashlib.blake2s(octets, key=key, digest_size=6).hexdigest()}" if text else ""

    return digest


def format_line(queue_id: str, pairs: Iterable[tuple[str, str]], hide: Callable[[str], str] = bare) -> str:
    """Build one line, ``QUEUEID: name=value, name=value``; "NOQUEUE" without a queue id, as Postfix writes.

    ``hide`` is applied to the values of PRIVATE names (for ``<a@b>``: to what is inside) and to whatever
    looks like an address in the other values. The result has at most MAX_LINE characters and no line end.
    """
    pairs = tuple(pairs)
    if hide is bare:
        # Most lines hold nothing to escape, which one look at the whole tells.
        plain = ", ".join([f"{name}={value}" for name, value in pairs])
        if len(plain) <= MAX_VALUE and plain.count(", ") < len(pairs) and _is_plain(plain + queue_id):
            return f"{queue_id or 'NOQUEUE'}: {plain}"
    words = [
        f"{quote(name, 32)}={_value(_hidden(name, value[: MAX_VALUE + 1], hide))}" for name, value in pairs
    ]
    return _bounded(f"{quote(queue_id, 64) or 'NOQUEUE'}: {', '.join(words)}")


def _is_plain(text: str) -> bool:
    return len(text) <= MAX_VALUE + 64 and text.isprintable() and "\\" not in text


def _hidden(name: str, value: str, hide: Callable[[str], str]) -> str:
    if hide is bare:
        return value
    if name not in PRIVATE:
        return _ADDRESSES.sub(lambda match: hide(match.group()), value)
    if value.startswith("<") and value.endswith(">"):
        return f"<{hide(value[1:-1])}>"
    return hide(value)


def _bounded(line: str) -> str:
    return line if len(line) <= MAX_LINE else line[: MAX_LINE - 3] + "..."


def is_journal(descriptor: int) -> bool:
    """Whether that descriptor leads to the journal: JOURNAL_STREAM holds its device:inode (systemd.exec(5)).

    A child whose stderr was redirected inherits the variable, but not the stream.
    """
    try:
        status = os.fstat(descriptor)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


@dataclass(slots=True, kw_only=True)
class Log:
    """The log of one daemon. Made before workers are forked, so that all share the key of ``hash``.

    Writing never raises and never waits for more than the write: a daemon does not stop for its log.
    """

    program: str
    descriptor: int = 2
    privacy: str = "full"
    debugging: bool = False
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(16), repr=False)
    _to_journal: bool | None = None

    def line(self, queue_id: str, pairs: Iterable[tuple[str, str]], *, level: int = INFO) -> None:
        """Write the line of one message or request."""
        self._write(level, format_line(queue_id, pairs, self._hide()))

    def note(self, text: str, *, level: int = INFO) -> None:
        """Write a sentence about the daemon itself: started, reloaded, stopped, a worker died."""
        self._write(level, quote(_hidden("", text[:MAX_LINE], self._hide()), MAX_LINE))

    def debug(self, queue_id: str, text: str) -> None:
        """Write one step of a decision, where log.debug asks for it; it may name anybody, so privacy wins."""
        if self.debugging and self.privacy == "full":
            self.line(queue_id, (("debug", text),), level=DEBUG)

    def exception(self, queue_id: str, error: BaseException) -> None:
        """Write a fault of ours: one line that names it and one line for each line of its traceback."""
        self.line(queue_id, (("bug", f"{type(error).__name__}: {error}"),), level=ERROR)
        for block in traceback.format_exception(error)[-20:]:
            for text in block.rstrip().splitlines():
                self.line(queue_id, (("trace", text),), level=ERROR)

    def _hide(self) -> Callable[[str], str]:
        if self.privacy == "full":
            return bare
        return hasher(self._key) if self.privacy == "hash" else dropped

    def _write(self, level: int, text: str) -> None:
        if self._to_journal is None:
            self._to_journal = is_journal(self.descriptor)
        # The journal adds program and pid itself.
        prefix = f"<{level}>" if self._to_journal else f"{self.program}[{os.getpid()}]: "
        data = (prefix + text).encode("utf-8", "backslashreplace")
        if len(data) > MAX_OCTETS:
            data = data[:MAX_OCTETS].decode("utf-8", "ignore").encode()
        try:
            os.write(self.descriptor, data + b"\n")
        except OSError:
            return  # stderr is gone or full; mail goes on


def to_stderr(program: str, *, privacy: str = "full", debugging: bool = False) -> Log:
    """The log of a daemon: standard error, whatever that is connected to."""
    return Log(
        program=program,
        descriptor=sys.__stderr__.fileno() if sys.__stderr__ else 2,
        privacy=privacy,
        debugging=debugging,
    )
