"""LDAP -> entries: one paged, read-only search, all or nothing.

Every way in which a server can fail us (down, hanging, wrong certificate, half a result, size limit) is one
exception with the reason in words; the caller then keeps what it had. There is no write path in this file.
ldap3 is optional: it is imported when a search is made (Debian: python3-ldap3).
"""

import contextlib
import math
import re
import ssl
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from postvouch.config.names import Ldap
from postvouch.directory.model import LDAP, Entry, Kind, Part, Problem, key_of, target_of
from postvouch.values.address import AddressError

Attributes = Mapping[str, Sequence[str]]
"""Attribute name in lower case -> its values."""

_MAX_ENTRIES = 5_000_000


class DirectoryUnavailable(Exception):
    """LDAP gave no complete answer; the text says why."""


@dataclass(frozen=True, slots=True)
class Record:
    """One entry of the server, as it answered."""

    dn: str
    attributes: Attributes


def read(settings: Ldap, domain: str, *, now: float) -> tuple[Part, tuple[Problem, ...]]:
    """Ask the server for everything and translate it. ``domain``: where logins live if ldap.domain is "".

    The problems are never fatal: each costs one entry or one value, and names its DN.
    Raises DirectoryUnavailable.
    """
    records = search(settings)
    entries, problems = translate(records, settings, settings.domain or domain)
    return Part(origin=LDAP, strict=False, entries=entries, read_at=now), problems


def search(settings: Ldap) -> list[Record]:
    """All entries that match ldap.filter below ldap.base. Raises DirectoryUnavailable."""
    ldap3 = _library()
    connection: Any = None
    try:
        connection = _connection(ldap3, settings)
        _bind(connection, settings)
        return list(_pages(ldap3, connection, settings))
    except DirectoryUnavailable:
        raise
    except (ldap3.core.exceptions.LDAPException, OSError, ValueError) as error:
        raise DirectoryUnavailable(f"{settings.uri}: {_words(error)}") from error
    finally:
        if connection is not None:
            _close(connection)


def _library() -> ModuleType:
    try:
        with warnings.catch_warnings():
            # ldap3 2.9.1 still uses names that newer pyasn1 only warns about.
            warnings.simplefilter("ignore", DeprecationWarning)
            import ldap3
    except ImportError as error:
        raise DirectoryUnavailable(
            "ldap.uri is set but ldap3 is missing: apt install python3-ldap3"
        ) from error
    return ldap3  # type: ignore[no-any-return]


def _password(settings: Ldap) -> str:
    if not settings.password_file:
        return ""
    lines = Path(settings.password_file).read_text(encoding="utf-8").splitlines()
    return lines[0] if lines else ""


def _connection(ldap3: ModuleType, settings: Ldap) -> Any:
    """A connection, not yet open. Timeouts are whole seconds: ldap3 packs them into a struct timeval."""
    password = _password(settings)
    if settings.bind_dn and not password:
        # RFC 4513 §5.1.2: with a name and no password a server may answer "success" and mean "anonymous".
        raise DirectoryUnavailable("ldap.bind_dn is set, ldap.password_file gives no password")
    seconds = max(1, math.ceil(settings.timeout))
    tls = ldap3.Tls(validate=ssl.CERT_REQUIRED)
    # ldap3 compares host names by a function that Python has dropped; the ssl module does it better anyway.
    tls.wrap_socket = partial(_wrap, ssl.create_default_context(cafile=settings.ca_file or None))
    server = ldap3.Server(settings.uri, tls=tls, get_info=ldap3.NONE, connect_timeout=seconds)
    return ldap3.Connection(
        server,
        user=settings.bind_dn or None,
        password=password or None,
        authentication=ldap3.SIMPLE if settings.bind_dn else ldap3.ANONYMOUS,
        read_only=True,
        auto_referrals=False,
        receive_timeout=seconds,
        raise_exceptions=False,
    )


def _wrap(context: ssl.SSLContext, connection: Any, do_handshake: bool = True) -> None:
    host = connection.server.host
    connection.socket = context.wrap_socket(connection.socket, server_hostname=host)


def _bind(connection: Any, settings: Ldap) -> None:
    connection.open()
    if settings.starttls and not connection.server.ssl:
        connection.start_tls()
    if not connection.bind():
        raise DirectoryUnavailable(f"{settings.uri}: bind refused: {connection.result['description']}")


def _close(connection: Any) -> None:
    """Say goodbye where that is possible, and never leave a socket open, as ldap3 does after a failure."""
    opened = connection.socket
    with contextlib.suppress(Exception):
        connection.unbind()
    if opened is not None:
        opened.close()


def _pages(ldap3: ModuleType, connection: Any, settings: Ldap) -> Iterator[Record]:
    """Page after page. Anything but success on any page means that the whole result is not one."""
    wanted = {settings.login_attribute, settings.forward_attribute} | {
        name for name in (settings.alias_attribute, settings.member_attribute) if name
    }
    cookie: bytes | None = None
    total = 0
    while True:
        connection.search(
            settings.base, settings.filter, ldap3.SUBTREE, attributes=sorted(wanted),
            paged_size=settings.page_size, paged_criticality=True, paged_cookie=cookie,
        )  # fmt: skip
        result = connection.result
        if result["result"] != 0:
            reason = " ".join(filter(None, (result["description"], result["message"])))
            raise DirectoryUnavailable(f"{settings.uri}: search ended with {reason}")
        for item in connection.response or ():
            if item["type"] != "searchResEntry":
                continue  # a reference to another server, which we do not follow
            total += 1
            if total > _MAX_ENTRIES:
                raise DirectoryUnavailable(f"{settings.uri}: more than {_MAX_ENTRIES} entries")
            yield _record(item["dn"], item["raw_attributes"])
        controls = result.get("controls", {}).get("1.2.840.113556.1.4.319", {})
        cookie = controls.get("value", {}).get("cookie")
        if not cookie:
            return


def _record(dn: str, raw: Mapping[str, Iterable[bytes]]) -> Record:
    decoded = {name.lower(): [v.decode("utf-8", "replace").strip() for v in raw[name]] for name in raw}
    return Record(dn, {name: [v for v in values if v] for name, values in decoded.items()})


def _words(error: BaseException) -> str:
    """What went wrong, without the tuples and class names that ldap3 puts around it."""
    text = " ".join(str(error).split()) or type(error).__name__
    return re.sub(r"^\(?['\"]?|['\"]?,?\)?$", "", text)[:300]


def translate(
    records: Sequence[Record], settings: Ldap, domain: str
) -> tuple[tuple[Entry, ...], tuple[Problem, ...]]:
    """Records -> entries with their DN as source.

    An account is a login with its address, further addresses, and a forward. An entry with members is a role:
    its members own the address; its mail goes to the forward, or without one to the members.
    """
    logins = {_dn_key(r.dn): _first(r, settings.login_attribute) for r in records}
    work = _Translation(settings, domain, logins)
    for record in records:
        work.take(record)
    # After all accounts: whoever may edit an alias attribute must not take another's address with it.
    for record in records:
        work.take_aliases(record)
    return tuple(work.entries), tuple(work.problems)


def _first(record: Record, attribute: str) -> str:
    return next(iter(record.attributes.get(attribute.lower(), ())), "").lower()


def _dn_key(dn: str) -> str:
    return re.sub(r"\s*([,=+])\s*", r"\1", dn).casefold()


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
            name = self._logins.get(_dn_key(member), "")
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
