"""What every check that joins settings works with: the configuration, and a way to speak about it by name."""

import re
from collections.abc import Collection, Iterable, Iterator
from typing import Protocol, TypeVar

from postvouch.config.gather import Gathered
from postvouch.config.problems import Notes, Where
from postvouch.config.schema import Config

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
"""A host name; also the form of a selector (RFC 6376 §3.1)."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


class _Named(Protocol):
    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=_Named)


class Checks:
    """One configuration, checked."""

    def __init__(self, config: Config, gathered: Gathered, main: Where, notes: Notes) -> None:
        self.config = config
        self.gathered = gathered
        self.main = main
        self.notes = notes

    def problem(self, text: str, *names: str) -> None:
        """A problem of these settings, at the place of the first that is set; silent if one is faulty."""
        if not self.gathered.faulty.intersection(names):
            self.notes.problem(self.gathered.where(*names) or self.main, text)

    def named(
        self, table: str, entries: Iterable[T], *, taken: Collection[str] = ()
    ) -> Iterator[tuple[T, Where]]:
        """Each of the [[tables]] and where it is; names that are none, taken, or there twice are problems."""
        places = self.gathered.places.get(table, ())
        seen: set[str] = set()
        for index, entry in enumerate(entries):
            where = places[index] if index < len(places) else self.main
            if entry.name in seen:
                self.notes.problem(where, f'a second {table} named "{entry.name}"')
            seen.add(entry.name)
            if entry.name in taken:
                text = f'{table}.name: "{entry.name}" is taken; choose another name'
                self.notes.problem(where, text)
            elif entry.name and not _NAME.fullmatch(entry.name):
                text = f'{table}.name: "{entry.name}" is no word of small letters, digits, "-" and "_"'
                self.notes.problem(where, text)
            yield entry, where

    def warning(self, text: str, *names: str) -> None:
        """A warning about these settings."""
        if not self.gathered.faulty.intersection(names):
            self.notes.warning(self.gathered.where(*names) or self.main, text)
