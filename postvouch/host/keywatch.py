"""The keys in use, kept up with what is on disk: a new ring, or the old one with a complaint.

A ring is replaced as a whole by one assignment; whoever took it out before goes on with the one he has. Keys
that disappear or turn bad while the daemon runs do not stop mail: the ring that is in use stays, and the log
says once what is wrong with its successor. Looking costs a stat(2) for each file beside a key, every few
seconds; keys are read again only when one of them, its folder or the access to it has changed.
"""

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from postvouch.config.schema import Config
from postvouch.host.keydns import PublishedKeys, name_of
from postvouch.host.keyfiles import load_ring, specs_of
from postvouch.host.log import ERROR, Log
from postvouch.host.rotation import LOCK
from postvouch.sign.keys import KeyRing

INTERVAL_S = 2.0
_MAX_FILES = 1000  # of one folder; keys in a folder with more are found at the next reload

Look = tuple[object, ...]
"""What files looked like at one time; another look that is equal means that nothing has changed."""


class KeyWatch:
    """The ring of one configuration. ``load`` builds one, ``folders`` are where its keys are."""

    def __init__(
        self,
        load: Callable[[], KeyRing],
        folders: Iterable[str],
        log: Log,
        *,
        published: PublishedKeys | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._published = published
        self._folders = tuple(sorted(set(folders)))
        self._log = log
        self._clock = clock
        # What must not sign before it is published is looked up before anything else.
        self._next = self._due = clock() + (0 if published is not None and published.refuse else INTERVAL_S)
        self._lock = threading.Lock()
        self._refused: tuple[str, ...] = ()
        self._looked_up = False
        # Before the keys are read: what changes meanwhile is seen the next time.
        self._seen = look(self._folders)
        self._loaded = self._ring = load()

    @classmethod
    def of(cls, config: Config, log: Log, published: PublishedKeys | None = None) -> "KeyWatch":
        """The keys of a configuration."""
        return cls(lambda: ring_of(config), _folders(config), log, published=published)

    @property
    def ring(self) -> KeyRing:
        """The keys in use. Take it once for each letter."""
        return self._ring

    def poll(self) -> None:
        """Look, if it is time, whether keys have changed on disk, and now and then whether they are in DNS.

        One thread at a time; others pass by.
        """
        if self._clock() < self._next or not self._lock.acquire(blocking=False):
            return
        try:
            self._next = self._clock() + INTERVAL_S
            seen = look(self._folders)
            if seen != self._seen:
                self._seen = seen
                self._take(self._load())
            elif self._published is not None and self._clock() >= self._due:
                self._look_up()
        finally:
            self._lock.release()

    def _take(self, loaded: KeyRing) -> None:
        worse = tuple(problem for problem in loaded.problems if problem not in self._loaded.problems)
        if worse:
            self._stay(worse)
            return
        self._loaded = loaded
        if self._adopt(self._vetted()):
            self._log.note("keys have changed on disk and are in use")

    def _look_up(self) -> None:
        """Are the keys still, or now, in DNS?"""
        first, used = not self._looked_up, _names(self._ring)
        ring = self._vetted()
        self._adopt(ring)
        if first:
            for problem in ring.problems:
                if problem not in self._loaded.problems:  # those have been told
                    self._log.note(f"{problem}; it does not sign", level=ERROR)
        elif _names(self._ring) - used:
            self._log.note("keys have been published and are in use")

    def _vetted(self) -> KeyRing:
        if self._published is None:
            return self._loaded
        ring = self._published.vet(self._loaded)
        self._due = self._clock() + self._published.wait_s
        return ring

    def _adopt(self, ring: KeyRing) -> bool:
        """Use this ring, unless DNS takes from it what signs now.

        Neither does a key stop to sign that is not in DNS any more, nor one that was replaced on disk before
        its successor is in DNS. At the start there is nothing to keep.
        """
        used, wanted, ready = _names(self._ring), _names(self._loaded), _names(ring)
        lost, gone, waiting = used & wanted - ready, used - wanted, wanted - ready
        if self._looked_up and (lost or (gone and waiting)):
            self._stay(ring.problems)
            return False
        self._looked_up, self._refused, self._ring = self._published is not None, (), ring
        return True

    def _stay(self, problems: tuple[str, ...]) -> None:
        if problems != self._refused:
            self._log.note(f"the keys in use stay: {'; '.join(problems)}", level=ERROR)
        self._refused = problems


def _names(ring: KeyRing) -> frozenset[tuple[str, str, str]]:
    return frozenset(map(name_of, ring.keys))


def ring_of(config: Config) -> KeyRing:
    """The keys of a configuration as they are on disk now; nothing is raised, see ``KeyRing.problems``."""
    return load_ring(specs_of(config))


def _folders(config: Config) -> Iterator[str]:
    for key in config.sign.key:
        file = key.file or f"{config.sign.key_directory}/{key.domain}/"
        # What is filled in may change with the year.
        yield file.partition("{")[0].rpartition("/")[0] or "/"


def look(folders: Iterable[str]) -> Look:
    """What is in the folders, and who may get at it: all that decides which keys can be read.

    The year is part of it: a selector may hold it.
    """
    found: list[object] = [time.localtime().tm_year]
    parents: dict[Path, None] = {}
    for folder in folders:
        path = Path(os.path.abspath(folder))
        parents |= dict.fromkeys([path, *path.parents])
        try:
            with os.scandir(path) as entries:
                names = sorted(entry.name for entry in itertools.islice(entries, _MAX_FILES))
        except OSError as error:
            found.append((folder, error.errno))
            continue
        # Drafts and locks come and go while others write.
        found += [
            (folder, name, _file(path / name)) for name in names if not name.startswith(".") and name != LOCK
        ]
    # Others write into folders above all the time; what matters is who may.
    found += [(str(parent), _access(parent)) for parent in parents]
    return tuple(found)


def _file(path: Path) -> object:
    try:
        status = os.stat(path)
    except OSError as error:
        return error.errno
    return _access_of(status), status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _access(path: Path) -> object:
    try:
        return _access_of(os.stat(path))
    except OSError as error:
        return error.errno


def _access_of(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_mode, status.st_uid, status.st_gid
