"""OpenDKIM's keys as tables [[sign.key]], each with all whom it signs for.

A "%" in the KeyTable stands for the domain of From:. Ours have a fixed d=, so it is written out for the
domains that the tables name; what else it would have signed is named.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from postvouch.config.checks import HOST
from postvouch.config.opendkim import Read, Settings
from postvouch.config.opendkimledger import Ledger
from postvouch.config.opendkimsources import FROM, KeyRow, Tables, read_set, tables
from postvouch.config.opendkimtables import Order, Signer, known_domains, rank, written_out
from postvouch.config.problems import Where
from postvouch.sign.authors import Pattern
from postvouch.values.domain import domain_or_nothing

_PATHS = ("/", "./", "../")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedKey:
    """A table [[sign.key]]: ``patterns`` are all whom it signs for. ``where``: what names its file."""

    domain: str
    selector: str
    file: str
    patterns: tuple[Pattern, ...]
    where: Where

    @property
    def subdomains(self) -> bool:
        """Whether the setting of that name says it all."""
        own = Pattern(domain=self.domain)
        return set(self.patterns) == {own, replace(own, below=True)}

    @property
    def authors(self) -> tuple[str, ...]:
        """The setting of that name; () where it need not be said."""
        if self.subdomains or self.patterns == (Pattern(domain=self.domain),):
            return ()
        return tuple(map(str, self.patterns))


def keys(settings: Settings, read: Read, ledger: Ledger) -> tuple[ImportedKey, ...]:
    """The keys and whom they sign for, in the order of the tables."""
    source = tables(settings, read, ledger)
    resolver = _Resolver(source, settings, ledger)
    several = settings.get("MultipleSignatures")
    rows = list(resolver.rows())
    if source.directive == "Domain":
        rows.sort(key=lambda each: rank(each.authors))
    order = Order(rows, several=several is not None and several.true)
    patterns = order.patterns()
    if patterns is None:
        ledger.lost(_place(settings), source.directive, "too many patterns that overlap; none is carried")
        return ()
    for one, other in order.disputed(patterns):
        text = (
            f"{other.authors} and {one.authors} may fit one address; OpenDKIM goes by the order of its rows, "
            "postvouch takes the one with more literal text"
        )
        ledger.lost(other.where, source.directive, text)
    _exempt(settings, read, patterns, ledger)
    return tuple(resolver.imported(patterns))


def _place(settings: Settings) -> Where:
    line = settings.get("SigningTable") or settings.get("Domain")
    return line.where if line else Where(settings.files[0], 0)


class _Resolver:
    """From names of keys to keys of ours."""

    def __init__(self, source: Tables, settings: Settings, ledger: Ledger) -> None:
        self._source = source
        self._ledger = ledger
        self._known = known_domains(
            source.signers, (row.domain for row in source.keys.values() if row.domain != FROM)
        )
        self._keys: dict[str, ImportedKey | None] = {}
        self._named: set[Where] = set()
        base = settings.get("BaseDirectory")
        self._base = base.value.rstrip("/") if base is not None and base.value.startswith("/") else ""

    def rows(self) -> Iterator[Signer]:
        """The rows, each with the name of a key of ours, written out where that depends on From:."""
        for row in self._source.signers:
            if not row.authors.domain:
                named = ", ".join(self._known) or "none"
                self._lost(row, f"signs for all domains there are; carried for those that are named: {named}")
        for row in written_out(self._source.signers, self._known):
            entry = self._source.keys.get(row.key) if row.key != FROM else None
            if entry is None and row.key != FROM:
                self._lost(row, f'there is no key "{row.key}" in the KeyTable; OpenDKIM defers such mail')
                continue
            scopes = [row.authors]
            if row.authors.below and (entry is None or entry.domain == FROM):
                below = row.authors.domain
                self._lost(row, f"a d= for each domain below {below}; carried for those that are named")
                inside = (each for each in self._known if each.endswith(f".{below}"))
                scopes = [Pattern(local=row.authors.local, domain=each) for each in inside]
            for authors in scopes:
                found = entry or self._source.keys.get(authors.domain)
                if found is None:
                    text = f'there is no key "{authors.domain}" in the KeyTable; OpenDKIM defers such mail'
                    self._lost(row, text)
                elif name := self._key(found, authors.domain):
                    yield Signer(authors=authors, key=name, where=row.where)

    def _lost(self, row: Signer, text: str) -> None:
        """Said once of each row."""
        if row.where not in self._named:
            self._ledger.lost(row.where, self._source.directive, text)
        self._named.add(row.where)

    def _key(self, row: KeyRow, author_domain: str) -> str:
        """The name of a key of ours, "domain selector"; "" where it cannot be carried, which is said once."""
        domain = author_domain if row.domain == FROM else row.domain
        name = f"{domain.lower()} {row.selector.lower()}"
        filled_in = row.key.startswith("/") and self._source.directive == "SigningTable"
        file = self._absolute(row.key.replace(FROM, domain) if filled_in else row.key)
        known = self._keys.get(name)
        if name in self._keys and (known is None or known.file == file):
            return name if known is not None else ""
        problem = self._problem(domain, row, file)
        if known is not None:
            problem = f"a second file for selector {row.selector} of {domain}; the first is {known.file}"
        if problem:
            self._ledger.lost(row.where, self._source.key_directive, problem)
            self._keys.setdefault(name, None)
            return ""
        self._keys[name] = ImportedKey(
            domain=domain_or_nothing(domain), selector=row.selector, file=file, patterns=(), where=row.where
        )
        return name

    def _absolute(self, file: str) -> str:
        return f"{self._base}/{file.removeprefix('./')}" if self._base and file[:1] != "/" else file

    def _problem(self, domain: str, row: KeyRow, file: str) -> str:
        if not domain_or_nothing(domain):
            return f'"{domain}" is no domain'
        if not HOST.fullmatch(row.selector):
            return f'"{row.selector}" is no selector'
        if self._source.directive == "SigningTable" and not row.key.startswith(_PATHS):
            return "the key itself is in the table; put it into a file (0640, root:postvouch) and name that"
        if not file.startswith("/") or not file.isprintable():
            return f"{file}: no absolute path, and there is no BaseDirectory"
        if "{" in file:
            return f"{file}: a brace begins a template in sign.key.file; rename the file"
        return ""

    def imported(self, patterns: dict[Pattern, tuple[str, ...]]) -> Iterator[ImportedKey]:
        """The keys that somebody is signed with, each with all of those."""
        authors: dict[str, list[Pattern]] = {}
        for pattern, names in patterns.items():
            for name in names:
                authors.setdefault(name, []).append(pattern)
        for name, key in self._keys.items():
            if key is not None and name in authors:
                yield replace(key, patterns=tuple(authors[name]))


def _exempt(settings: Settings, read: Read, patterns: dict[Pattern, tuple[str, ...]], ledger: Ledger) -> None:
    """Take ExemptDomains out of the patterns, where that can be said."""
    line = settings.get("ExemptDomains")
    if line is None:
        return
    ledger.carried(line, "those domains are in no sign.key")
    for row in read_set(line, read, ledger).rows:
        domain = domain_or_nothing(row.key)
        for pattern in [each for each in patterns if not each.below and each.domain == domain]:
            del patterns[pattern]
        covered = [each for each in patterns if each.below and domain.endswith(f".{each.domain}")]
        if covered or not domain:
            text = (
                f"{row.key}: no part of {covered[0]} can be left out"
                if covered
                else f'"{row.key}": no domain'
            )
            ledger.lost(row.where, "ExemptDomains", text)
