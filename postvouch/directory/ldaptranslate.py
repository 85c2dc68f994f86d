"""LDAP records -> the entries of the directory, each with its DN as source. Pure: no server is asked here.

What is wrong with a record costs that record, or one value of it, and is said with its DN.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from postvouch.config.names import Ldap
from postvouch.directory.model import Entry, Kind, Problem, key_of, target_of
from postvouch.values.address import AddressError

_AROUND = re.compile(r" *([,=+]) *")

Attributes = Mapping[str, Sequence[str]]
"""Attribute name in lower case -> its values."""


@dataclass(frozen=True, slots=True)
class Record:
    """One entry of the server, as it answered."""

    dn: str
    attributes: Attributes


def wanted(settings: Ldap) -> tuple[str, ...]:
    """The attributes that ``translate`` looks at."""
    names = (
        settings.login_attribute, settings.forward_attribute,
        settings.alias_attribute, settings.member_attribute,
    )  # fmt: skip
    return tuple(sorted(set(filter(None, names))))


def translate(
    records: Sequence[Record], settings: Ldap, domain: str
) -> tuple[tuple[Entry, ...], tuple[Problem, ...]]:
    """Records -> entries with their DN as source.

    An account is a login with its address, further addresses, and a forward. An entry with members is a role:
    its members own the address; its mail goes to the forward, or without one to the members.
    """
    logins = {dn_key(r.dn): _first(r, settings.login_attribute) for r in records}
    work = _Translation(settings, domain, logins)
    for record in records:
        work.take(record)
    # After all accounts: whoever may edit an alias attribute must not take another's address with it.
    for record in records:
        work.take_aliases(record)
    return tuple(work.entries), tuple(work.problems)


def _first(record: Record, attribute: str) -> str:
    return next(iter(record.attributes.get(attribute.lower(), ())), "").lower()


def dn_key(dn: str) -> str:
    """A DN in the form in which two spellings of it are equal, but for rare escapes."""
    return (_AROUND.sub(r"\1", dn) if " " in dn else dn).casefold()


class _Translation:
    """One run of ``translate``. ``logins`` is DN -> login, to follow members that are given as DNs."""

    def __init__(self, settings: Ldap, domain: str, logins: Mapping[str, str]) -> None:
        self._settings = settings
        self._domain = domain
        self._logins = logins
        self._known = frozenset(logins.values())
        self._accounts: dict[str, str] = {}
        self.entries: list[Entry] = []
        self.problems: list[Problem] = []

    def take(self, record: Record) -> None:
        """Translate one record; one without a login is no account and nothing else of ours."""
        login = _first(record, self._settings.login_attribute)
        key = self._address(login, record.dn, key_of) if login else ""
        if not key:
            return
        values = record.attributes
        forwards = tuple(filter(None, (
            self._address(part.strip(), record.dn, target_of)
            for value in values.get(self._settings.forward_attribute.lower(), ())
            for part in value.split(",")
        )))  # fmt: skip
        members = values.get(self._settings.member_attribute.lower(), ())
        if members:
            self._role(record.dn, key, members, forwards)
        else:
            self._add(Kind.LOGIN, login, (key,), record.dn)
        if forwards:
            self._add(Kind.FORWARD, key, forwards, record.dn)
        self._accounts.setdefault(key, record.dn)

    def take_aliases(self, record: Record) -> None:
        """Its further addresses, as aliases of its own one: the account owns them as an alias's member."""
        login = _first(record, self._settings.login_attribute)
        values = record.attributes.get(self._settings.alias_attribute.lower(), ())
        if not login or not values:
            return
        key = self._address(login, record.dn, key_of)
        for alias in filter(None, (self._address(value, record.dn, key_of) for value in values)):
            owner = self._accounts.get(alias, record.dn)
            if owner != record.dn:
                self._say(record.dn, f"{alias} belongs to {owner}; left out")
            elif alias != key:
                self._add(Kind.ALIAS, alias, (key,), record.dn)

    def _role(self, dn: str, key: str, members: Iterable[str], forwards: Sequence[str]) -> None:
        targets: list[str] = []
        owners: list[str] = []
        for member in members:
            name = self._logins.get(dn_key(member), "")
            if not name and ("@" in member or "=" not in member):
                name = member.lower()
            if not name:
                self._say(dn, f"member {member} is none of the entries found")
                continue
            target = self._address(name, dn, key_of)
            if target and target != key:
                targets.append(target)
                # By its address a member may be a role itself; a login that LDAP does not show has none.
                owners.append(target if "@" in name or name in self._known else name)
        self._add(Kind.ROLE, key, tuple(owners), dn)
        if not forwards:
            self._add(Kind.ALIAS, key, tuple(targets), dn)

    def _address(self, value: str, dn: str, fold: Any) -> str:
        """The address, a bare local part completed; "" where it is none, which is then told."""
        try:
            return str(fold(value if "@" in value else f"{value}@{self._domain}"))
        except AddressError as error:
            self._say(dn, f"{value!r} is no address ({error}); left out")
            return ""

    def _add(self, kind: Kind, name: str, values: tuple[str, ...], dn: str) -> None:
        if values:
            self.entries.append(Entry(kind=kind, name=name, values=values, source=dn))

    def _say(self, dn: str, text: str) -> None:
        self.problems.append(Problem(source=dn, text=text, fatal=False))
