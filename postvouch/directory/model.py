"""The directory as data: what the sources say (entries), what was made of it (a Directory), what is wrong.

Keys are addresses as ``local@domain``: local part lower-case with any quoting undone, domain as lower-case
A-labels; the last "@" divides them. One dictionary holds all names, since an address is either an alias or a
forward, so a lookup costs the same for ten names and for a million.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from unicodedata import normalize

from postvouch.values.address import AddressError, parse_address, parse_domain, quote_local

FILES = "names"
LDAP = "ldap"
CONFIGURED = "general.domains"
"""The source of a domain that only the configuration names; what a source says of it counts more."""

# No name of ours is longer; a letter's From: may be, and looking for its sub-addresses is quadratic.
_MAX_QUERY = 1000
SRS = re.compile(r"srs[01][=+-]", re.IGNORECASE | re.ASCII)
_ATOM = r"[A-Za-z0-9_+=!#$%&*/?^~'{|}`-]+"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_PLAIN = re.compile(rf"{_ATOM}(?:\.{_ATOM})*+@(?:{_LABEL}\.)*+[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9])?")
"""Addresses that need no parsing, nearly all: a subset of what parse_address takes, in its folded form."""


class Kind(StrEnum):
    """What an entry says. The comments give the meaning of ``name`` and ``values``."""

    DOMAIN = "domain"  # a domain of ours -> () for a primary one, or (the domain it folds to,)
    ALIAS = "alias"  # key -> members; members own the address
    FORWARD = "forward"  # key -> where its mail leaves to
    LOGIN = "login"  # login -> keys that it may use
    ROLE = "role"  # key -> logins and keys that own it, besides what else is said of the key


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One statement of one source, all addresses complete; ``source`` is "file:line" or a DN."""

    kind: Kind
    name: str
    values: tuple[str, ...]
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one source said when it was last read in full; of several, the first has precedence.

    ``origin`` is the source's name (FILES, LDAP). ``strict``: what is wrong
    in it must be mended before any of it is taken; otherwise it costs the entry that is wrong.
    ``read_at`` is seconds since 1970; 0 means never: the source is configured and has not been read yet.
    ``state`` is what the reader of the source wants to find again next time; opaque to everybody else.
    """

    origin: str
    strict: bool = True
    entries: tuple[Entry, ...] = ()
    read_at: float = 0.0
    state: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something wrong at ``source``. ``fatal``: the source must be mended before it is taken."""

    source: str
    text: str
    fatal: bool = True

    def __str__(self) -> str:
        return f"{self.source}: {self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The settings that decide how names are read (map.recipient_delimiter, map.max_targets, srs.domain and
    srs.unproven_domain, map.allowed_targets, map.denied_targets)."""

    delimiter: str = "+"
    max_targets: int = 1000
    srs_domains: frozenset[str] = frozenset()
    allowed_targets: frozenset[str] = frozenset()
    denied_targets: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Name:
    """One address of ours. ``outward``: at least one direct target is not ours, so mx must not show it."""

    kind: Kind
    targets: tuple[str, ...]
    source: str
    outward: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """All names of the organisation, ready to be asked (see ``resolve``). Never changed once made.

    ``loops`` has the cycle, in words, for each name that cannot be expanded; ``dead`` the names that lead
    nowhere. ``logins`` is login -> keys, ``users`` the same the other way round. ``verified_at`` is when the
    stalest source was last read in full (seconds since 1970).
    """

    domain: str = ""
    domains: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, Name] = field(default_factory=dict)
    logins: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    users: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    loops: Mapping[str, str] = field(default_factory=dict)
    dead: frozenset[str] = frozenset()
    rules: Rules = Rules()
    verified_at: float = 0.0

    def candidates(self, key: str) -> Iterator[str]:
        """The keys that may answer for ``key``, the most exact first.

        First the address itself, then without its extension ("bob+list" is also bob; the longest rest first),
        then the same in the domain that an alias domain folds to.
        """
        local, _, domain = key.rpartition("@")
        primary = self.domains.get(domain)
        for where in (domain,) if primary in (None, domain) else (domain, primary):
            yield f"{local}@{where}"
            for at in range(len(local) - 1, 0, -1):
                if local[at] in self.rules.delimiter:
                    yield f"{local[:at]}@{where}"

    def find(self, key: str) -> str | None:
        """The key of the name that answers for ``key``, or None.

        The last one asked is the catch-all of its domain, "@our.example", which has every local part but
        those of SRS: a forged bounce is nobody's.
        """
        if key.rpartition("@")[2] not in self.domains:
            return None
        if self.names.get(key) is not None:
            return key
        return next((c for c in self.candidates(key) if c in self.names), None) or self._catch_all(key)

    def _catch_all(self, key: str) -> str | None:
        local, _, domain = key.rpartition("@")
        if not local or SRS.match(local):
            return None
        return next((c for c in (f"@{domain}", f"@{self.domains.get(domain)}") if c in self.names), None)

    def is_ours(self, key: str) -> bool:
        """Whether the address is in a domain of ours."""
        return key.rpartition("@")[2] in self.domains


def domain_of(text: str) -> str:
    """Everything after the last "@"."""
    return text.rpartition("@")[2]


def key_of(text: str) -> str:
    """The key of an address as written in a file, a query or LDAP. Raises AddressError."""
    if len(text) < 250 and _PLAIN.fullmatch(text):
        return text.lower()
    address = parse_address(text)
    return f"{_lower(address.local)}@{address.domain}"


def target_of(text: str) -> str:
    """An address as mail is sent to it: domain folded, case of the local part kept. Raises AddressError."""
    if len(text) < 250 and _PLAIN.fullmatch(text):
        return text
    return str(parse_address(text))


def written(key: str) -> str:
    """The key as an address for Postfix: quoted again where the local part needs it."""
    local, _, domain = key.rpartition("@")
    return f"{quote_local(local)}@{domain}"


def _lower(local: str) -> str:
    # One mailbox, whether a keyboard writes "ö" as one character or as two.
    return local.lower() if local.isascii() else normalize("NFC", local.lower())


def query_key(text: str) -> str | None:
    """The key in a query of Postfix, None where there is no address in it.

    smtpd(8) asks for ``"a b"@our.example`` and again, unquoted, for ``a b@our.example``; the second is not an
    address by RFC 5321 but names the same mailbox.
    """
    if len(text) > _MAX_QUERY:
        return None
    try:
        return key_of(text)
    except AddressError:
        pass
    local, at, domain = text.rpartition("@")
    if not at or not local or '"' in local or "@" in local or not local.isprintable():
        return None
    try:
        return f"{_lower(local)}@{parse_domain(domain)}"
    except AddressError:
        return None
