"""Mail addresses: one strict parser for what comes in, what goes out, and who may sign as whom.

Wherever an identity is decided, two readings of one text are an attack (CERT VU#517845), so whatever is not
exactly one address is a kind of its own here and never "the first that looked good". RFC 5322 with the
obsolete forms that mean one thing only, RFC 6854 (groups), RFC 6532 (UTF-8), RFC 5321 for paths.
All work is linear in the input; nothing recurses.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from postvouch.values.domain import AddressError, fold, parse_domain

__all__ = [
    "Address", "AddressError", "Author", "MalformedAuthor", "MissingAuthor", "OneAuthor", "SeveralAuthors",
    "parse_address", "parse_author", "parse_domain", "parse_path", "quote_local", "split_mailbox",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Address:
    """One mailbox. ``local`` has its quotes undone and its case kept; ``domain`` is lower-case A-labels."""

    local: str
    domain: str

    def __str__(self) -> str:
        return f"{quote_local(self.local)}@{self.domain}"


@dataclass(frozen=True, slots=True)
class OneAuthor:
    """Exactly one From field with exactly one mailbox in a DNS domain."""

    address: Address


@dataclass(frozen=True, slots=True)
class MissingAuthor:
    """No From field, or nothing in it that has a DNS domain (blank, empty group, domain literal)."""


@dataclass(frozen=True, slots=True)
class SeveralAuthors:
    """Several From fields, several mailboxes, or (``group``) one field with a group in it (RFC 6854).

    ``addresses``: all that can be read in the first fields; ``domains``: theirs, sorted, each once, or none.
    """

    domains: tuple[str, ...]
    addresses: tuple[Address, ...] = field(default=(), compare=False)
    group: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class MalformedAuthor:
    """One From field that is not RFC 5322 syntax."""

    reason: str


Author = OneAuthor | MissingAuthor | SeveralAuthors | MalformedAuthor

_ATEXT = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-"
_ATOM = rf"[{_ATEXT}\u0080-\U0010ffff]+"
_QUOTED = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_TOKEN = re.compile(
    rf"(?P<space>[ \t]+)|(?P<atom>{_ATOM})|(?P<quoted>{_QUOTED})"
    r"|(?P<literal>\[[^\[\]\\]*+\])|(?P<mark>[<>@,;:.])",
    re.DOTALL,
)
_COMMENT = re.compile(r"[()]|\\.", re.DOTALL)
_FOLD = re.compile(rb"\r?\n(?=[ \t])")
_DOT_ATOM = re.compile(rf"{_ATOM}(?:\.{_ATOM})*+")
_MAILBOX = re.compile(rf"(?P<local>{_DOT_ATOM.pattern}|{_QUOTED})@(?P<domain>[^@]+)", re.DOTALL)
_ODD_MAILBOX = re.compile(rf"(?P<local>(?:{_ATOM}|\.)++|{_QUOTED})@(?P<domain>[^@]+)", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# Not in a local part: controls, every kind of blank, invisible and bidirectional formatting (they forge log
# lines and look-alikes), octets that were not UTF-8. ZWJ and ZWNJ stay: some scripts need them.
_NOT_LOCAL = re.compile(
    r"[\x00-\x1f\x7f-\xa0\xad\u1680\u180e\u2000-\u200b\u200e\u200f\u2028-\u202f\u205f-\u206f\u3000"
    r"\ud800-\udfff\ufeff\ufff9-\uffff]"
)
# A letter has room for a hundred thousand authors, and IDNA is slow; Postfix cuts a field at 100 kB.
_MAX_MAILBOXES, _MAX_FIELDS, _MAX_OCTETS = 1000, 10, 1 << 17


def split_mailbox(text: str, *, odd_dots: bool = False) -> tuple[str, str]:
    """Split RFC 5321's Mailbox into the local part, quotes undone, and the domain as written, unchecked.

    UTF-8 local parts are fine (RFC 6531); no comments, no blanks around. AddressError otherwise. The local
    part may be longer than 64 octets: such senders exist, and what to do about them is the caller's business.
    So do "a..b" and "a." without quotes, which ``odd_dots`` lets pass, for where nothing is decided.
    """
    found = (_ODD_MAILBOX if odd_dots else _MAILBOX).fullmatch(text)
    if found is None:
        raise AddressError("not local-part@domain")
    local, domain = found.group("local", "domain")
    return _checked_local(_unquote(local) if local[0] == '"' else local), domain


def parse_address(text: str) -> Address:
    """Parse RFC 5321's Mailbox, as ``split_mailbox``, with a DNS domain (no literal, no last dot)."""
    local, domain = split_mailbox(text)
    return Address(local, fold(domain))


def parse_path(text: str) -> Address | None:
    """Parse an envelope address with or without its angle brackets; None for the null sender ("" or "<>")."""
    if text.startswith("<") and text.endswith(">"):
        text = text[1:-1]
    return parse_address(text) if text else None


def quote_local(local: str) -> str:
    """Write a local part, in quotes where RFC 5321 §4.1.2 needs them."""
    if _DOT_ATOM.fullmatch(local):
        return local
    return '"' + local.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _unquote(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL) if "\\" in text else text[1:-1]


def _checked_local(local: str) -> str:
    if not local:
        raise AddressError("the local part is empty")
    if _NOT_LOCAL.search(local):
        raise AddressError("the local part holds characters that it must not")
    return local


def parse_author(values: Sequence[bytes]) -> Author:
    """Find the one author among the values of all From fields; never raises (RFC 9989 §5.3.1).

    Only ``OneAuthor`` may pass DMARC, be signed for or be allowed to send. The order of judgement: several
    fields, syntax, group, several mailboxes, no domain, one author.
    """
    readings: list[_Reading] = []
    problem = ""
    for value in values[:_MAX_FIELDS]:
        try:
            readings.append(_Reading(_tokens(value)))
        except AddressError as error:
            problem = str(error)
    mailboxes = [m for r in readings for m in r.mailboxes]
    if len(values) < 2 and problem:
        return MalformedAuthor(problem)
    if len(values) > 1 or len(mailboxes) > 1 or (mailboxes and readings[0].grouped):
        named = tuple(m for m in mailboxes if m is not None)
        group = len(values) == 1 and readings[0].grouped
        return SeveralAuthors(tuple(sorted({m.domain for m in named})), named, group)
    if not mailboxes or mailboxes[0] is None:
        return MissingAuthor()
    return OneAuthor(mailboxes[0])


_Token = tuple[str, str]
_END: _Token = ("end", "")


def _tokens(value: bytes) -> list[_Token]:
    """Cut a field value into (kind, text); blanks, folds and comments are left out.

    Octets that are not UTF-8 are let through as surrogates: harmless in a display name, refused elsewhere.
    """
    if len(value) > _MAX_OCTETS:
        raise AddressError("too long")
    text = _FOLD.sub(b"", value).decode("utf-8", "surrogateescape")
    if _CONTROL.search(text):
        raise AddressError("control character")
    tokens: list[_Token] = []
    at = 0
    while at < len(text):
        if text[at] == "(":
            at = _after_comment(text, at)
            continue
        found = _TOKEN.match(text, at)
        if found is None:
            raise AddressError(f"unexpected {text[at]!a}")
        at = found.end()
        kind = found.lastgroup or ""
        if kind != "space":
            tokens.append((found[0] if kind == "mark" else kind, found[0]))
    tokens.append(_END)
    return tokens


def _after_comment(text: str, at: int) -> int:
    depth = 0
    for found in _COMMENT.finditer(text, at):
        depth += {"(": 1, ")": -1}.get(found[0], 0)
        if not depth:
            return found.end()
    raise AddressError("unclosed comment")


class _Reading:
    """An address list, read: its mailboxes (None: a domain literal) and whether a group was among them."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self.mailboxes: list[Address | None] = []
        self.grouped = False
        in_group = False
        while True:
            opened = self._item(in_group)
            in_group = in_group or opened
            if opened:
                continue
            if in_group and self._take(";"):
                in_group = False
                if self._kind() not in (",", "end"):
                    raise AddressError("text after a group")
            if self._take(","):
                continue
            if self._kind() != "end":
                raise AddressError(f"unexpected {self._tokens[self._at][1][:1]!a}")
            if in_group:
                raise AddressError("unclosed group")
            return

    def _kind(self) -> str:
        return self._tokens[self._at][0]

    def _take(self, kind: str) -> bool:
        if self._kind() != kind:
            return False
        self._at += 1
        return True

    def _item(self, in_group: bool) -> bool:
        """Read a mailbox, nothing, or a group's name and colon; True for the last."""
        words = self._words()
        if self._take("<"):
            self._phrase(words)
            self._route()
            self._mailbox(self._words())
            if not self._take(">"):
                raise AddressError("unclosed angle bracket")
        elif self._kind() == "@":
            self._mailbox(words)
        elif self._kind() == ":" and words and not in_group:
            self._phrase(words)
            self._at += 1
            self.grouped = True
            return True
        elif words:
            raise AddressError("no @ in an address")
        return False

    def _words(self) -> list[_Token]:
        start = self._at
        while self._kind() in ("atom", "quoted", "."):
            self._at += 1
        return self._tokens[start : self._at]

    def _phrase(self, words: list[_Token]) -> None:
        if words and words[0][0] == ".":
            raise AddressError("a display name begins with a dot")

    def _route(self) -> None:
        # RFC 5322 §4.4: an obsolete source route says how to get there and nothing about who it is.
        routed = False
        while self._take("@"):
            self._domain()
            routed = True
            if not self._take(","):
                break
        if routed and not self._take(":"):
            raise AddressError("broken source route")

    def _mailbox(self, words: list[_Token]) -> None:
        local = _checked_local("".join(_unquote(t) if kind == "quoted" else t for kind, t in _dotted(words)))
        if not self._take("@"):
            raise AddressError("no @ in an address")
        domain = self._domain()
        self.mailboxes.append(Address(local, domain) if domain else None)
        if len(self.mailboxes) > _MAX_MAILBOXES:
            raise AddressError("too many mailboxes")

    def _domain(self) -> str:
        """Read a domain; "" for a domain literal."""
        if self._take("literal"):
            return ""
        words = _dotted(self._words())
        if any(kind == "quoted" for kind, _ in words):
            raise AddressError("quotes in a domain")
        return fold("".join(text for _, text in words))


def _dotted(words: list[_Token]) -> list[_Token]:
    """Words and dots must take turns; blanks around the dots are obsolete but mean one thing only."""
    if not len(words) % 2 or any((kind == ".") != bool(i % 2) for i, (kind, _) in enumerate(words)):
        raise AddressError("words and dots do not take turns in an address")
    return words
