"""The grammar of Authentication-Results (RFC 8601 §2.2): a strict reader, and a writer that cannot be fooled.

Reader and writer share the alphabet only: what the writer makes is checked by the reader in the tests. Values
come from senders, so the writer quotes or leaves out, and never copies. Both are linear in their input.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NoReturn

from postvouch.values.address import AddressError, parse_domain

MAX_LINE_OCTETS = 78
# Leaves room for any name before it under RFC 5322's 998.
MAX_VALUE_OCTETS = 400
MAX_COMMENT_OCTETS = 270  # a domain name and a word

# Not in a field at all: controls, C1 controls, octets that were not UTF-8, and what else Unicode calls a line
# end or a blank, since readers cut there: a sender's local part "x dmarc=pass" would fall apart.
_BAD = r"\x00-\x08\x0a-\x1f\x7f-\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ud800-\udfff"
_TOKEN_CHAR = rf"[^\x20\t()<>@,;:\\\"/\[\]?={_BAD}]"
_DOT_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.\-\u00a0-\U0010ffff]"
_TOKEN = re.compile(rf"{_TOKEN_CHAR}++")
_QUOTED = re.compile(rf"\"(?:[^\"\\{_BAD}]|\\[^{_BAD}])*+\"")
_ADDRESS = re.compile(
    rf"(?P<local>{_QUOTED.pattern}|{_DOT_ATOM}++)?@(?P<domain>[A-Za-z0-9._\-\u00a0-\U0010ffff]++)"
)
_KEYWORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*+(?<!-)")
_DIGITS = re.compile(r"[0-9]{1,9}(?![0-9])")
_BLANKS = re.compile(r"[ \t]+")
_COMMENT_STEP = re.compile(r"[()]|\\.")
_PAIR = re.compile(r"\\(.)")
_FOLD = re.compile(rb"\r?\n(?=[ \t])")
_UNSAFE = re.compile(rf"[{_BAD}]")
# Where an encoded-word begins, be it with the "=" before a value: readers that decode the field before they
# parse it would see results of the sender's (RFC 2047 §5 forbids it here, which stops nobody).
_ENCODED = "=?"
_SPECIAL = re.compile(r"[()\\]")


class AuthresError(ValueError):
    """The value is not RFC 8601 syntax; the message says where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResInfo:
    """One result. ``properties``: ("ptype.property", value without its quotes), in order; "" no reason.

    ``comment`` is for the writer: a note for people behind the result. What is read has all its comments in
    ``Parsed``.
    """

    method: str
    result: str
    properties: tuple[tuple[str, str], ...] = ()
    reason: str = ""
    method_version: int = 1
    comment: str = ""

    def value(self, name: str) -> str | None:
        """The first value of a property, None without it."""
        return next((value for key, value in self.properties if key == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """A field, read. ``version`` other than None and 1 means: do not use the results (RFC 8601 §2.6)."""

    authserv_id: str
    version: int | None = None
    results: tuple[ResInfo, ...] = ()
    comments: tuple[str, ...] = ()


def parse(value: bytes) -> Parsed:
    """Read the value of an Authentication-Results field to the letter; AuthresError for anything else."""
    text = _FOLD.sub(b"", value.removesuffix(b"\r\n")).decode("utf-8", "surrogateescape")
    return _Reader(text).payload()


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._comments: list[str] = []

    def payload(self) -> Parsed:
        self._cfws()
        authserv_id = self._value()
        version = None
        if self._cfws() and not self._next(";"):
            version = int(self._need(_DIGITS, "version"))
            self._cfws()
        results: list[ResInfo] = []
        while self._at < len(self._text):
            info = self._resinfo(alone=not results)
            if info is None:
                break
            results.append(info)
        else:
            if not results:
                self._fail("a result")
        return Parsed(
            authserv_id=authserv_id, version=version, results=tuple(results), comments=tuple(self._comments)
        )

    def _resinfo(self, alone: bool) -> ResInfo | None:
        """One result with its semicolon; None for "none", which stands alone."""
        self._mark(";")
        self._cfws()
        method = self._need(_KEYWORD, "method").lower()
        self._cfws()
        if method == "none" and alone and self._at == len(self._text):
            return None
        method_version = 1
        if self._next("/"):
            self._mark("/")
            self._cfws()
            method_version = int(self._need(_DIGITS, "method version"))
            self._cfws()
        self._mark("=")
        self._cfws()
        result = self._need(_KEYWORD, "result").lower()
        reason = ""
        properties: list[tuple[str, str]] = []
        while self._cfws() and self._at < len(self._text) and not self._next(";"):
            name = self._need(_KEYWORD, "property").lower()
            self._cfws()
            if name == "reason" and self._next("=") and not reason and not properties:
                self._mark("=")
                self._cfws()
                reason = self._value()
                continue
            self._mark(".")
            self._cfws()
            name += "." + self._need(_KEYWORD, "property").lower()
            self._cfws()
            self._mark("=")
            self._cfws()
            properties.append((name, self._address() or self._value()))
        if self._at < len(self._text) and not self._next(";"):
            self._fail("a blank or a semicolon")
        return ResInfo(
            method=method,
            result=result,
            properties=tuple(properties),
            reason=reason,
            method_version=method_version,
        )

    def _cfws(self) -> bool:
        """Skip blanks and comments; whether there were any."""
        start = self._at
        while True:
            if found := _BLANKS.match(self._text, self._at):
                self._at = found.end()
            elif self._next("("):
                self._comment()
            else:
                return self._at > start

    def _comment(self) -> None:
        depth = 0
        for found in _COMMENT_STEP.finditer(self._text, self._at):
            depth += {"(": 1, ")": -1}.get(found[0], 0)
            if not depth:
                inner = self._text[self._at + 1 : found.end() - 1]
                if _UNSAFE.search(inner):
                    self._fail("no control character")
                self._comments.append(_PAIR.sub(r"\1", inner))
                self._at = found.end()
                return
        self._fail("the end of a comment")

    def _value(self) -> str:
        if found := _QUOTED.match(self._text, self._at):
            self._at = found.end()
            return _PAIR.sub(r"\1", found[0][1:-1])
        return self._need(_TOKEN, "a value")

    def _address(self) -> str:
        """``local@domain`` or ``@domain``, the local part without quotes; "" for none."""
        found = _ADDRESS.match(self._text, self._at)
        if found is None:
            return ""
        self._at = found.end()
        local = found["local"] or ""
        if local.startswith('"'):
            local = _PAIR.sub(r"\1", local[1:-1])
        return f"{local}@{found['domain']}"

    def _next(self, mark: str) -> bool:
        return self._text.startswith(mark, self._at)

    def _mark(self, mark: str) -> None:
        if not self._next(mark):
            self._fail(repr(mark))
        self._at += 1

    def _need(self, pattern: re.Pattern[str], what: str) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            self._fail(what)
        self._at = found.end()
        return found[0]

    def _fail(self, expected: str) -> NoReturn:
        raise AuthresError(f"expected {expected} at character {self._at}")


def write(authserv_id: str, results: Sequence[ResInfo], *, internationalized: bool = False) -> str:
    """Write a field value: folded as LF and blank, lines of 78 octets where values allow, never over 998.

    What cannot be written safely is left out: controls, values over ``MAX_VALUE_OCTETS``, comments that are
    not ASCII, and, unless the message is ``internationalized``, what else is not ASCII (of an address the
    domain is kept, in A-labels).
    ValueError for an authserv-id or a keyword that cannot be written: those are ours.
    """
    head = _safe(authserv_id, internationalized)
    if head is None or not authserv_id:
        raise ValueError("the authserv-id cannot be written")
    parts = [[f"{head};", "none"]] if not results else [[f"{head};"]]
    for index, info in enumerate(results):
        words = [f"{_keyword(info.method)}={_keyword(info.result)}"]
        if info.comment and (note := _commented(info.comment)):
            words.append(note)
        if info.reason and (reason := _safe(info.reason, internationalized)):
            words.append(f"reason={reason}")
        for name, value in info.properties:
            written = _property(value, internationalized)
            if written is not None:
                words.append(f"{_keywords(name)}={written}")
        words[-1] += ";" if index < len(results) - 1 else ""
        parts.append(words)
    # The field's own name stands before the first line.
    return "\n ".join(
        _filled(words, len("Authentication-Results:") if not i else 0) for i, words in enumerate(parts)
    )


def _filled(words: list[str], used: int) -> str:
    lines = [words[0]]
    room = MAX_LINE_OCTETS - used
    for word in words[1:]:
        if len(lines[-1].encode()) + len(word.encode()) + 2 > room:
            lines.append(f" {word}")
            room = MAX_LINE_OCTETS
        else:
            lines[-1] += f" {word}"
    return "\n ".join(lines)


@lru_cache(maxsize=256)
def _keyword(word: str) -> str:
    """``word`` as it stands: a method, a result, the two parts of a property. All of them are ours."""
    if not _KEYWORD.fullmatch(word):
        raise ValueError(f"not a keyword: {word!r}")
    return word


@lru_cache(maxsize=256)
def _keywords(name: str) -> str:
    return ".".join(map(_keyword, name.split(".", 1)))


def _safe(text: str, internationalized: bool) -> str | None:
    """The text as token or quoted-string; None where it cannot be written."""
    if _UNSAFE.search(text) or _ENCODED in f"={text}" or not (internationalized or text.isascii()):
        return None
    if not _TOKEN.fullmatch(text):
        text = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return text if len(text.encode()) <= MAX_VALUE_OCTETS else None


def _commented(text: str) -> str:
    """The text as a comment (RFC 5322 §3.2.2); "" where it cannot be written."""
    if _UNSAFE.search(text) or _ENCODED in text or not text.isascii() or len(text) > MAX_COMMENT_OCTETS:
        return ""
    return "(" + _SPECIAL.sub(r"\\\g<0>", text) + ")"


def _property(value: str, internationalized: bool) -> str | None:
    written = _safe(value, internationalized)
    if written is not None:
        # Only here may an address stand without quotes.
        bare = '"' not in value and _ADDRESS.fullmatch(value)
        return value if bare else written
    _, at, domain = value.rpartition("@")
    try:
        return at + parse_domain(domain)
    except AddressError:
        return None
