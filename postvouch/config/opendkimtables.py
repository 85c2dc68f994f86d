"""OpenDKIM's SigningTable as patterns of ``sign.authors``: who is signed for, by which keys.

There the first row that fits decides: in a refile by its place, in any other table by what is asked first
(``user@host``, ``host``, ``user@.parent``, ``.parent``, ..., ``user@*``, ``*``). With MultipleSignatures all
that fit sign. Here the most specific pattern decides. So each pattern gets the keys that OpenDKIM would take
for it, and where two overlap, what they share becomes a pattern of its own; of two with ``*`` in the local
part that cannot be said, and they are named.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations

from postvouch.config.opendkim import DataSet
from postvouch.config.problems import Where
from postvouch.sign.authors import Pattern, matches, parse
from postvouch.values.domain import AddressError, domain_or_nothing

MAX_PATTERNS = 20000
MAX_GLOBS = 500
_REGEX = set("[](){}|?^$\\")
_Scope = tuple[bool, str]  # below, domain
_STAR = "\0"  # stands for a * in what is compared: no * there, but any * here, takes it


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """A row in its turn: these authors, and the name of what signs for them."""

    authors: Pattern
    key: str
    where: Where


def signers(table: DataSet) -> tuple[list[Signer], list[tuple[Where, str]]]:
    """The rows of a SigningTable in the order in which they decide, and what is wrong with the others."""
    found, faults = [], []
    for row in table.rows:
        try:
            authors = from_glob(row.key) if table.globs else from_key(row.key)
        except AddressError as error:
            faults.append((row.where, f'"{row.key}": {error}'))
            continue
        if not row.value:
            faults.append((row.where, f'"{row.key}" names no key; OpenDKIM defers such mail'))
        else:
            found.append(Signer(authors=authors, key=row.value.partition(":")[0], where=row.where))
    if not table.globs:
        found = list({each.authors: each for each in reversed(found)}.values())[::-1]
        found.sort(key=lambda each: rank(each.authors))
    return found, faults


def from_key(key: str) -> Pattern:
    """A key of a table that is no refile. Raises AddressError where no address ever asks for it."""
    local, at, domain = key.rpartition("@")
    if (at and not local) or "*" in local or "*" in domain.removesuffix("*"):
        raise AddressError("no address is looked up like this; a * is one in a refile: only")
    if domain == "*":
        return Pattern(local=local.lower(), domain="", below=True)
    if domain.startswith("."):
        return _pattern(local, domain[1:], below=True)
    return _pattern(local, domain, below=False)


def from_glob(glob: str) -> Pattern:
    """A pattern of a refile. Raises AddressError where ours have nothing like it."""
    odd = _REGEX.intersection(glob)
    if odd:
        raise AddressError(f'"{min(odd)}" belongs to a regular expression')
    local, at, domain = glob.rpartition("@")
    if not at:
        if glob.strip("*") and not glob.startswith("*."):
            raise AddressError("without an @ it fits parts of names, or nothing")
        local = "*"
    if not domain.strip("*"):
        return Pattern(local=_local(local), domain="", below=True)
    return _pattern(local, domain.removeprefix("*."), below=domain.startswith("*."))


def _local(text: str) -> str:
    return text.lower() if text.strip("*") else ""


def _pattern(local: str, domain: str, *, below: bool) -> Pattern:
    if "*" in domain:
        raise AddressError('a "*" in a domain may only stand in front, as "*."')
    text = f"{local}@{'*.' if below else ''}{domain}" if _local(local) else f"{'*.' if below else ''}{domain}"
    return parse(text)


def rank(pattern: Pattern) -> tuple[bool, int, bool]:
    """Which of two keys of a table is asked for first, where both fit one address."""
    labels = pattern.domain.count(".") + 1 if pattern.domain else 0
    return pattern.below, -labels, not pattern.local


def covers(wide: Pattern, narrow: Pattern) -> bool:
    """Whether all whom ``narrow`` fits are fitted by ``wide``."""
    return scope_covers(wide, narrow) and local_covers(wide.local, narrow.local)


def scope_covers(wide: Pattern, narrow: Pattern) -> bool:
    """Whether the domains of ``narrow`` are all among those of ``wide``."""
    if not wide.below:
        return not narrow.below and wide.domain == narrow.domain
    if narrow.below and wide.domain == narrow.domain:
        return True
    return not wide.domain or narrow.domain.endswith(f".{wide.domain}")


def local_covers(wide: str, narrow: str) -> bool:
    """Whether all local parts of ``narrow`` are among those of ``wide``."""
    if not wide or wide == narrow:
        return True
    return bool(narrow) and "*" in wide and matches(wide, narrow.replace("*", _STAR))


def known_domains(rows: Iterable[Signer], more: Iterable[str]) -> tuple[str, ...]:
    """The domains that ``*`` is written out for."""
    named = (each.authors.domain for each in rows)
    return tuple(dict.fromkeys(filter(None, (*named, *map(domain_or_nothing, more)))))


def written_out(rows: Iterable[Signer], domains: Iterable[str]) -> list[Signer]:
    """The rows, those of every domain replaced by one for each of these and one for what lies below it."""
    all_of_them = [Pattern(domain=each, below=below) for each in domains for below in (False, True)]
    out = []
    for row in rows:
        scopes = [row.authors] if row.authors.domain else all_of_them
        for scope in scopes:
            authors = Pattern(local=row.authors.local, domain=scope.domain, below=scope.below)
            out.append(Signer(authors=authors, key=row.key, where=row.where))
    return out


class Order:
    """Rows in their order, and the patterns of ours that decide like them."""

    def __init__(self, rows: Iterable[Signer], *, several: bool) -> None:
        self._several = several
        self._scopes: dict[_Scope, dict[str, list[tuple[int, Signer]]]] = {}
        for number, row in enumerate(rows):
            scope = self._scopes.setdefault((row.authors.below, row.authors.domain), {})
            scope.setdefault(row.authors.local, []).append((number, row))
        self._globs = {key: [each for each in scope if "*" in each] for key, scope in self._scopes.items()}

    def keys_for(self, pattern: Pattern) -> tuple[str, ...]:
        """The keys that OpenDKIM takes for one whom no narrower row fits."""
        return tuple(dict.fromkeys(row.key for _, row in self._deciding(pattern)))

    def _deciding(self, pattern: Pattern) -> list[tuple[int, Signer]]:
        fit: list[tuple[int, Signer]] = []
        for key in _around(pattern.below, pattern.domain):
            scope = self._scopes.get(key, {})
            for local in dict.fromkeys(("", pattern.local, *self._globs.get(key, ()))):
                if local in scope and local_covers(local, pattern.local):
                    fit += scope[local]
        fit.sort(key=lambda each: each[0])
        return fit if self._several else fit[:1]

    def patterns(self) -> dict[Pattern, tuple[str, ...]] | None:
        """Patterns with their keys, and none that another would do for; None: there would be too many."""
        closed: dict[Pattern, tuple[str, ...]] = {}
        count = 0
        for (below, domain), own in self._scopes.items():
            for local in dict.fromkeys((*own, *self._from_above(below, domain))):
                count += "*" in local
                if len(closed) >= MAX_PATTERNS or count > MAX_GLOBS:
                    return None
                pattern = Pattern(local=local, domain=domain, below=below)
                closed[pattern] = self.keys_for(pattern)
        return _without_idle(closed)

    def _from_above(self, below: bool, domain: str) -> Iterator[str]:
        """Local parts of wider scopes that here are a part of a pattern with another key."""
        here = self._scopes[below, domain]
        wide = [local for local in here if not local or "*" in local]
        for key in _around(below, domain):
            for local in self._scopes.get(key, ()) if wide else ():
                if local not in here and any(local_covers(each, local) for each in wide):
                    yield local

    def disputed(self, patterns: Iterable[Pattern]) -> Iterator[tuple[Signer, Signer]]:
        """Two rows with ``*`` in the local part that may fit one address, and ours decide it otherwise."""
        globs = [each for each in patterns if "*" in each.local]
        for one, other in combinations(globs, 2):
            if not _may_meet(one, other):
                continue
            ours, theirs = self._deciding(one), self._deciding(other)
            winner = ours if _wins(one, other) else theirs if _wins(other, one) else ours + theirs
            every = sorted(dict(ours + theirs).items())
            wanted = every if self._several else every[:1]
            if {row.key for _, row in winner} != {row.key for _, row in wanted}:
                yield ours[0][1], theirs[0][1]


def _around(below: bool, domain: str) -> Iterator[_Scope]:
    """The scopes that hold this one: itself, then "*." with each parent."""
    yield below, domain
    rest = domain.partition(".")[2]
    while rest:
        yield True, rest
        rest = rest.partition(".")[2]


def _without_idle(closed: dict[Pattern, tuple[str, ...]]) -> dict[Pattern, tuple[str, ...]]:
    """The same decisions with fewer patterns: none that its own scope decides alike without it, and no scope
    that the wider ones decide alike."""
    scopes: dict[_Scope, dict[str, tuple[str, ...]]] = {}
    for pattern in sorted(closed, key=_weight, reverse=True):
        scopes.setdefault((pattern.below, pattern.domain), {})[pattern.local] = closed[pattern]

    globs = {key: [each for each in scope if "*" in each] for key, scope in scopes.items()}

    def decided(local: str, keys: Iterable[_Scope], *, but: str | None = None) -> tuple[str, ...] | None:
        for key in keys:
            scope = scopes.get(key, {})
            for each in (local, *globs.get(key, ()), ""):
                if each != but and each in scope and local_covers(each, local):
                    return scope[each]
        return None

    def idle_scope(key: _Scope) -> bool:
        wider = list(_around(*key))[1:]
        if globs[key] and any(globs.get(each) for each in wider):
            return False  # they may meet where no pattern says so
        return all(decided(local, wider) == keys for local, keys in scopes[key].items())

    def idle(pattern: Pattern) -> bool:
        key = pattern.below, pattern.domain
        if not pattern.local or ("*" in pattern.local and len(globs[key]) > 1):
            return False
        return decided(pattern.local, [key], but=pattern.local) == closed[pattern]

    gone = {key for key in scopes if idle_scope(key)}
    return {
        each: keys
        for each, keys in closed.items()
        if (each.below, each.domain) not in gone and not idle(each)
    }


def _weight(pattern: Pattern) -> int:
    return len(pattern.local.replace("*", ""))


def _may_meet(one: Pattern, other: Pattern) -> bool:
    """Whether both may fit one address, and what they share is no pattern, or is one as specific as both."""
    if not scope_covers(one, other) and not scope_covers(other, one):
        return False
    if local_covers(one.local, other.local) or local_covers(other.local, one.local):
        return (one.below, one.domain, _weight(one)) == (other.below, other.domain, _weight(other))
    (a, *_, z), (b, *_, y) = one.local.split("*"), other.local.split("*")
    return (a.startswith(b) or b.startswith(a)) and (z.endswith(y) or y.endswith(z))


def _wins(first: Pattern, second: Pattern) -> bool:
    """Whether the first is the more specific of two."""
    if (first.below, first.domain) != (second.below, second.domain):
        return scope_covers(second, first)
    return _weight(first) > _weight(second)
