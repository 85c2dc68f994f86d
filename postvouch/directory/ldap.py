"""LDAP -> a Part of the directory: the servers in turn, everything or only the changes, all or nothing.

Whatever fails is DirectoryUnavailable with the reason in words; the caller then keeps what it had. How a
server is reached and asked is in ``ldapconnect`` and ``ldapsearch``, what becomes of an answer in
``ldaptranslate``, what is remembered in ``ldapdelta``.
"""

import time
from dataclasses import replace

from postvouch.config.names import Ldap
from postvouch.directory import ldapdelta
from postvouch.directory.ldapconnect import DirectoryUnavailable
from postvouch.directory.ldapdelta import Doubt, Known, Memory
from postvouch.directory.ldapsearch import Session, session
from postvouch.directory.ldaptranslate import Record, dn_key, translate, wanted
from postvouch.directory.model import LDAP, Part, Problem

__all__ = ["DirectoryUnavailable", "Record", "read", "translate"]


def read(
    settings: Ldap, domain: str, *, now: float, previous: Part | None = None
) -> tuple[Part, tuple[Problem, ...]]:
    """Ask the first server of ldap.uri that gives an answer, and translate it.

    ``domain``: where logins live if ldap.domain is "". ``previous``: what was read before; with ldap.delta
    only what changed since is asked for, and the result is the same as without. The problems are never fatal:
    each costs one entry or one value, and names its DN. Raises DirectoryUnavailable.
    """
    end = time.monotonic() + settings.deadline
    failures: list[str] = []
    uris = settings.uris
    for index, uri in enumerate(uris):
        # A server that drips must leave the others their share.
        share = (end - time.monotonic()) / (len(uris) - index)
        try:
            with session(settings, uri, until=time.monotonic() + share) as open_session:
                part, problems = _Reading(settings, domain, uri, now).read(open_session, previous)
            if previous is not None and previous.entries and not part.entries:
                raise DirectoryUnavailable(
                    f"{uri}: shows us no account below {settings.base}, where there were some"
                    " (ldap.base, ldap.filter, or what we may see)"
                )
            return part, problems
        except DirectoryUnavailable as error:
            failures.append(str(error))
    raise DirectoryUnavailable("; ".join(failures) or "ldap.uri names no server")


class _Reading:
    """One reading of one server."""

    def __init__(self, settings: Ldap, domain: str, uri: str, now: float) -> None:
        self._settings = settings
        self._domain = settings.domain or domain
        self._uri = uri
        self._now = now
        self._question = ldapdelta.question_of(settings, self._domain)

    def read(self, server: Session, previous: Part | None) -> tuple[Part, tuple[Problem, ...]]:
        """The changes where that is wanted and will do, else everything."""
        if not self._settings.delta:
            records = {dn_key(r.dn): r for r in server.all(wanted(self._settings))}
            return self._part(list(records.values()), self._references(server))
        try:
            return self._changes(server, previous)
        except Doubt:
            return self._everything(server)

    def _changes(self, server: Session, previous: Part | None) -> tuple[Part, tuple[Problem, ...]]:
        if previous is None:
            raise Doubt("nothing was read before")
        memory = ldapdelta.relied_on(previous.state, self._settings, self._uri, self._question, self._now)
        mark = ldapdelta.told_by(
            server.mark(), self._now
        )  # before the entries: what comes later is seen later
        if mark and mark == memory.mark:
            return replace(previous, read_at=self._now), memory.problems
        known = ldapdelta.changed(server, self._settings, memory.records(), self._now)
        return self._remembered(known, replace(memory, mark=mark), self._references(server))

    def _everything(self, server: Session) -> tuple[Part, tuple[Problem, ...]]:
        mark = ldapdelta.told_by(server.mark(), self._now)
        records = list(server.all((*wanted(self._settings), *ldapdelta.STAMPS)))
        known = ldapdelta.known_of(records, self._now)
        references = self._references(server)
        if known is None:
            return self._part(list({dn_key(r.dn): r for r in records}.values()), references)
        memory = Memory(question=self._question, server=self._uri, full_at=self._now, mark=mark)
        return self._remembered(known, memory, references)

    def _remembered(
        self, known: Known, memory: Memory, references: tuple[Problem, ...]
    ) -> tuple[Part, tuple[Problem, ...]]:
        part, problems = self._part([record for _, record in known.values()], references)
        state = ldapdelta.pack(replace(memory, problems=problems), known)
        return replace(part, state=state), problems

    def _part(
        self, records: list[Record], references: tuple[Problem, ...]
    ) -> tuple[Part, tuple[Problem, ...]]:
        entries, problems = translate(records, self._settings, self._domain)
        part = Part(origin=LDAP, strict=False, entries=entries, read_at=self._now)
        return part, (*problems, *references)

    def _references(self, server: Session) -> tuple[Problem, ...]:
        return tuple(
            Problem(source=self._uri, text=f"refers to {uri}, which is not followed", fatal=False)
            for uri in sorted(server.references)
        )
