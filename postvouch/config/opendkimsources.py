"""OpenDKIM's KeyTable and SigningTable as rows; Domain, Selector and KeyFile as what they amount to there."""

from dataclasses import dataclass

from postvouch.config.opendkim import DataSet, Line, Read, Settings, data_set
from postvouch.config.opendkimledger import Ledger
from postvouch.config.opendkimtables import Signer, from_glob, signers
from postvouch.config.problems import Where
from postvouch.sign.authors import Pattern
from postvouch.values.domain import AddressError, domain_or_nothing

FROM = "%"
"""Stands for the domain of From:, as a name of a key and as its d=."""
_EVERY = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    """A row of the KeyTable: d=, which may be "%", s=, and a path or what should be one."""

    domain: str
    selector: str
    key: str
    where: Where


@dataclass(slots=True, kw_only=True)
class Tables:
    """The two tables of OpenDKIM, those that it has or those that Domain and its company amount to."""

    directive: str
    key_directive: str
    signers: list[Signer]
    keys: dict[str, KeyRow]


def tables(settings: Settings, read: Read, ledger: Ledger) -> Tables:
    """The tables; what is wrong with them goes to the ledger."""
    key_table = settings.get("KeyTable")
    return _two(key_table, settings, read, ledger) if key_table else _single(settings, read, ledger)


def _two(key_table: Line, settings: Settings, read: Read, ledger: Ledger) -> Tables:
    """KeyTable and SigningTable; Domain, Selector and KeyFile do not count beside them."""
    for name in ("Domain", "Selector", "KeyFile", "SubDomains"):
        line = settings.get(name)
        if line is not None:
            ledger.needless(line, "does not count beside a KeyTable")
    made = Tables(directive="SigningTable", key_directive="KeyTable", signers=[], keys={})
    listed = read_set(key_table, read, ledger)
    if listed.globs:
        text = "names of keys cannot be patterns; write them out"
        ledger.lost(key_table.where, key_table.directive.name, text)
        listed = DataSet()
    for row in listed.rows:
        domain, _, rest = row.value.partition(":")
        selector, _, key = rest.partition(":")
        if not (domain and selector and key):
            ledger.lost(row.where, "KeyTable", f'"{row.key}" is not followed by domain:selector:file')
            continue
        made.keys.setdefault(
            row.key, KeyRow(domain=domain, selector=selector, key=key.strip(), where=row.where)
        )
    signing_table = settings.get("SigningTable")
    if signing_table is None:
        if settings.get("SetupPolicyScript") is None:
            text = "OpenDKIM does not start with it alone; a SigningTable is missing"
            ledger.lost(key_table.where, key_table.directive.name, text)
        return made
    made.signers, faults = signers(read_set(signing_table, read, ledger))
    for where, text in faults:
        ledger.lost(where, "SigningTable", text)
    ledger.carried(key_table, "sign.key")
    ledger.carried(signing_table, "sign.key.authors")
    return made


def _single(settings: Settings, read: Read, ledger: Ledger) -> Tables:
    """Domain, Selector, KeyFile and SubDomains, as tables."""
    made = Tables(directive="Domain", key_directive="KeyFile", signers=[], keys={})
    lines = {name: settings.get(name) for name in ("Domain", "Selector", "KeyFile")}
    signing_table = settings.get("SigningTable")
    if signing_table is not None:
        ledger.lost(signing_table.where, "SigningTable", "OpenDKIM does not start with it without a KeyTable")
    below = settings.get("SubDomains")
    if below is not None:
        ledger.carried(below, "sign.key.subdomains")
    domain, selector, file = lines["Domain"], lines["Selector"], lines["KeyFile"]
    if domain is None or selector is None or file is None:
        missing = " and ".join(name for name, line in lines.items() if line is None)
        for name, line in lines.items():
            if line is not None:
                ledger.lost(line.where, name, f"signs nothing without {missing}")
        return made
    listed = read_set(domain, read, ledger)
    for row in listed.rows:
        try:
            patterns = [from_glob(row.key) if row.key.startswith("*") else _exactly(row.key)]
        except AddressError as error:
            ledger.lost(row.where, "Domain", f'"{row.key}": {error}')
            continue
        name = _EVERY if row.key.startswith("*") else row.key.lower()
        if below is not None and below.true and name != _EVERY:
            patterns.append(Pattern(domain=patterns[0].domain, below=True))
        made.signers += [Signer(authors=each, key=name, where=row.where) for each in patterns]
        made.keys[name] = KeyRow(
            domain=FROM if name == _EVERY else name, selector=selector.value, key=file.value, where=file.where
        )
    ledger.carried(domain, "sign.key.domain")
    ledger.carried(selector, "sign.key.selector")
    ledger.carried(file, "sign.key.file")
    return made


def _exactly(text: str) -> Pattern:
    domain = domain_or_nothing(text)
    if not domain:
        raise AddressError("no domain")
    return Pattern(domain=domain)


def read_set(line: Line, read: Read, ledger: Ledger) -> DataSet:
    """The data set of a line; why there is none goes to the ledger."""
    found = data_set(line, read)
    if found.problem:
        ledger.lost(line.where, line.directive.name, found.problem)
    return found
