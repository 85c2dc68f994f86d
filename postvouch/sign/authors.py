r"""Whose From: a key signs: patterns of addresses, and a table that finds the most specific ones that fit.

===================  =======================================================================
bob@our.example      one address, its local part in any case
news-*@our.example   each ``*`` in a local part stands for any text, or none
our.example          the domain, as ``*@our.example``; not what lies below it
\*.our.example       all that lies below it, however deep, and not the domain itself;
                     bob@*.our.example and news-*@*.our.example likewise
===================  =======================================================================

The nearest domain decides first: the author's own, then ``*.`` with each parent, from the longest. Within it
an address comes before a pattern with ``*``, of these the one with more literal text, and all before the
whole domain. Those that are alike in this all count.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from postvouch.values.address import Address, quote_local, split_mailbox
from postvouch.values.domain import parse_domain


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """``local``, folded, may hold ``*`` and is "" for every one; ``below``: the sub-domains of ``domain``."""

    local: str = ""
    domain: str
    below: bool = False

    def __str__(self) -> str:
        local = f"{quote_local(self.local)}@" if self.local else ""
        return f"{local}{'*.' if self.below else ''}{self.domain}"


def parse(text: str) -> Pattern:
    """Read a pattern; raises AddressError."""
    local, domain = split_mailbox(text) if "@" in text else ("", text)
    local = local.lower()
    name = parse_domain(domain.removeprefix("*."))
    return Pattern(local=local if local.strip("*") else "", domain=name, below=domain.startswith("*."))


def matches(glob: str, text: str) -> bool:
    """Whether ``*`` in a glob, and else its characters, make up the text. Linear: no turning back."""
    first, *rest = glob.split("*")
    if not rest:
        return text == glob
    last = rest.pop()
    if not text.startswith(first) or not text.endswith(last) or len(text) < len(first) + len(last):
        return False
    at, end = len(first), len(text) - len(last)
    for piece in rest:
        # The leftmost place leaves the most for the pieces behind it.
        at = text.find(piece, at, end)
        if at < 0:
            return False
        at += len(piece)
    return True


@dataclass(slots=True)
class _Scope:
    """What the patterns of one domain, or of all below it, lead to."""

    addresses: dict[str, list[int]] = field(default_factory=dict)
    globs: list[tuple[str, int]] = field(default_factory=list)
    everyone: list[int] = field(default_factory=list)

    def find(self, local: str) -> list[int]:
        if local in self.addresses:
            return self.addresses[local]
        found: list[int] = []
        weight = -1
        for glob, number in self.globs:
            if found and _literal(glob) < weight:
                break
            if matches(glob, local) and number not in found:
                found.append(number)
                weight = _literal(glob)
        return found or self.everyone


class Table:
    """Patterns, and the number of the key that each leads to.

    A look-up costs a step for each label of the domain, and one for each glob of a domain that fits.
    """

    __slots__ = ("_scopes",)

    def __init__(self, rows: Iterable[tuple[Pattern, int]] = ()) -> None:
        scopes: dict[tuple[bool, str], _Scope] = {}
        for pattern, number in dict.fromkeys(rows):
            scope = scopes.setdefault((pattern.below, pattern.domain), _Scope())
            if not pattern.local:
                scope.everyone.append(number)
            elif "*" in pattern.local:
                scope.globs.append((pattern.local, number))
            else:
                scope.addresses.setdefault(pattern.local, []).append(number)
        for scope in scopes.values():
            scope.globs.sort(key=lambda each: -_literal(each[0]))
        self._scopes = scopes

    def domains(self) -> frozenset[str]:
        """The domains of all patterns."""
        return frozenset(domain for _, domain in self._scopes)

    def find(self, author: Address) -> tuple[int, ...]:
        """The numbers that the most specific patterns for this author have, in the order of the rows."""
        local = author.local.lower()
        key, rest = (False, author.domain), author.domain
        while True:
            scope = self._scopes.get(key)
            if scope is not None and (found := scope.find(local)):
                return tuple(found)
            _, dot, rest = rest.partition(".")
            if not dot:
                return ()
            key = (True, rest)


def _literal(glob: str) -> int:
    return len(glob) - glob.count("*")
