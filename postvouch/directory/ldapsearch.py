"""A conversation with one LDAP server: bind, then search page by page. Read-only: there is no write path.

Every way in which a server can fail us (down, hanging, dripping, wrong certificate, half a result, a limit)
is one exception with the reason in words.
"""

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

from postvouch.config.names import Ldap
from postvouch.directory.ldapconnect import (
    DirectoryUnavailable,
    bind,
    close,
    connection_to,
    library,
    meaning,
    understood,
    words,
)
from postvouch.directory.ldaptranslate import Record, dn_key

_MAX_ENTRIES = 5_000_000
_PAGED = "1.2.840.113556.1.4.319"  # RFC 2696
_NOT_THERE = 32  # noSuchObject, RFC 4511 appendix A


class Session:
    """A server that took our bind. ``references``: other servers it named, which nobody asks."""

    def __init__(self, ldap3: ModuleType, connection: Any, settings: Ldap) -> None:
        self._ldap3 = ldap3
        self._connection = connection
        self._settings = settings
        self.references: set[str] = set()

    def all(self, attributes: Sequence[str]) -> Iterator[Record]:
        """Everything that matches ldap.filter below ldap.base, or DirectoryUnavailable at whatever page."""
        cookie: bytes | None = None
        total = 0
        while True:
            found = self._search(
                self._settings.base, self._settings.filter, self._ldap3.SUBTREE, attributes,
                paged_size=self._settings.page_size, paged_criticality=True, paged_cookie=cookie,
            )  # fmt: skip
            total += len(found)
            if total > _MAX_ENTRIES:
                raise DirectoryUnavailable(f"has more than {_MAX_ENTRIES} entries")
            yield from found
            control = self._connection.result.get("controls", {}).get(_PAGED, {})
            before, cookie = cookie, control.get("value", {}).get("cookie")
            if not cookie:
                return
            if not found and cookie == before:
                raise DirectoryUnavailable("gives the same empty page again and again")

    def one(self, dn: str, attributes: Sequence[str]) -> Record | None:
        """The entry with that name if it matches ldap.filter."""
        found = self._search(dn, self._settings.filter, self._ldap3.BASE, attributes, absent=True)
        return next(iter(found), None)

    def mark(self) -> tuple[str, ...]:
        """contextCSN of the tree that holds ldap.base: it moves with each change; () where it is not kept."""
        here = dn_key(self._settings.base)
        root = self._search("", "(objectClass=*)", self._ldap3.BASE, ["namingContexts"], absent=True)
        contexts = [c for r in root for c in r.attributes.get("namingcontexts", ())]
        above = [c for c in contexts if here == dn_key(c) or here.endswith("," + dn_key(c))]
        if not above:
            return ()
        tree = max(above, key=len)
        found = self._search(tree, "(objectClass=*)", self._ldap3.BASE, ["contextCSN"], absent=True)
        return tuple(sorted(v for r in found for v in r.attributes.get("contextcsn", ())))

    def _search(
        self,
        base: str,
        filter_: str,
        scope: str,
        attributes: Sequence[str],
        *,
        absent: bool = False,
        **paged: Any,
    ) -> list[Record]:
        """One request; with ``absent`` a base that is not there is an empty answer."""
        with understood(self._ldap3):
            self._connection.search(base, filter_, scope, attributes=list(attributes), **paged)
        result = self._connection.result
        if result["result"] == _NOT_THERE and absent:
            return []
        if result["result"] != 0:
            raise DirectoryUnavailable(f"the search ended with {meaning(result, base)}")
        found: list[Record] = []
        for item in self._connection.response or ():
            if item["type"] == "searchResEntry":
                found.append(_record(item["dn"], item["raw_attributes"]))
            elif item["type"] == "searchResRef" and len(self.references) < 10:
                self.references.update(str(uri)[:200] for uri in item["uri"])
        return found


@contextlib.contextmanager
def session(settings: Ldap, uri: str, *, until: float) -> Iterator[Session]:
    """Speak with the server at ``uri``; all is over at ``until`` (time.monotonic()), done or not.

    Raises DirectoryUnavailable, the server's name in front, for whatever goes wrong, here or in the body.
    """
    ldap3 = library()
    connection: Any = None
    try:
        connection = connection_to(ldap3, settings, uri, until)
        with understood(ldap3):
            bind(connection, settings, until)
        yield Session(ldap3, connection, settings)
    except DirectoryUnavailable as error:
        raise DirectoryUnavailable(f"{uri}: {error}") from error
    except (ldap3.core.exceptions.LDAPException, OSError, ValueError) as error:
        late = time.monotonic() >= until
        reason = f"was not done in time (ldap.deadline is {settings.deadline:g} s)" if late else words(error)
        raise DirectoryUnavailable(f"{uri}: {reason}") from error
    finally:
        if connection is not None:
            close(connection)


def _record(dn: str, raw: Mapping[str, Iterable[bytes]]) -> Record:
    decoded = {name.lower(): [v.decode("utf-8", "replace").strip() for v in raw[name]] for name in raw}
    return Record(dn, {name: [v for v in values if v] for name, values in decoded.items()})
