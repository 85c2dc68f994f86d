"""Counters in an SQLite file, so that they survive a restart of the daemon and of the host.

What has changed is written once a second, by a thread: a daemon that is killed forgets at most that second.
A file that cannot be read or written costs no letter; it is told once, and counting goes on in memory.
"""

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from postvouch.host.counters import SLOTS, LocalCounter, Row
from postvouch.host.log import WARNING, Log

EVERY_S = 1.0
RETRY_S = 30.0
MOST_OCTETS = 1 << 28
"""Beyond this size the file takes nothing new: who has addresses without end shall not fill the disk."""

_CLEAN_S = 600.0
_BUSY_S = 2.0
_PAGE = 4096
_TABLE = """
CREATE TABLE IF NOT EXISTS used (
  counter TEXT NOT NULL, slot INTEGER NOT NULL, width_s REAL NOT NULL, used INTEGER NOT NULL,
  PRIMARY KEY (counter, slot)
) WITHOUT ROWID
"""
# What is over, and what a clock that has been set back left in the future: the counter has taken that to now.
_CLEAN = "DELETE FROM used WHERE (slot + 1 + :slots) * width_s < :now OR slot * width_s > :now"


class CountersFile:
    """Keeps a LocalCounter in a file (0640). ``clock``: the counter's, seconds since 1970."""

    def __init__(
        self, path: str, counter: LocalCounter, log: Log, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._path = Path(path)
        self._counter = counter
        self._log = log
        self._clock = clock
        self._failed = False
        self._cleaned = 0.0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="counters")

    def load(self) -> None:
        """Take back what was counted before. What is wrong is told; a damaged file is put aside."""
        try:
            with contextlib.closing(self._open()) as database:
                question = "SELECT counter, slot, width_s, used FROM used ORDER BY slot * width_s"
                rows = [
                    Row(counter=str(counter), slot=int(slot), width_s=float(width_s), used=int(used))
                    for counter, slot, width_s, used in database.execute(question)
                    if width_s > 0 and used > 0
                ]
        except (OSError, sqlite3.Error, ValueError, TypeError) as error:
            self._log.note(f"{self._path}: {error}: counting begins at zero", level=WARNING)
            if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
                self._put_aside()
            return
        self._counter.restore(rows, self._clock())

    async def keep(self) -> None:
        """Write every second, until cancelled; where that fails, half a minute later."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(RETRY_S if self._failed else EVERY_S)
            rows = self._counter.changes()
            if rows or self._is_to_clean() or self._failed:
                kept = await loop.run_in_executor(self._thread, self._write, rows)
                if not kept:
                    self._counter.not_kept(rows)

    def save(self) -> None:
        """Write what is not written yet, now; the end."""
        self._thread.submit(self._write, self._counter.changes()).result()
        self._thread.shutdown()

    def _is_to_clean(self) -> bool:
        return abs(self._clock() - self._cleaned) > _CLEAN_S

    def _write(self, rows: Sequence[Row]) -> bool:
        try:
            with contextlib.closing(self._open()) as database:
                if self._is_to_clean():
                    now = self._clock()
                    with database:
                        database.execute(_CLEAN, {"slots": SLOTS, "now": now})
                    self._cleaned = now
                with database:
                    database.executemany(
                        "INSERT OR REPLACE INTO used VALUES (?, ?, ?, ?)",
                        [(row.counter, row.slot, row.width_s, row.used) for row in rows],
                    )
        except (OSError, sqlite3.Error) as error:
            if not self._failed:
                self._log.note(f"{self._path}: {error}: a restart would forget what is used", level=WARNING)
            self._failed = True
            return False
        if self._failed:
            self._log.note(f"{self._path}: written again")
        self._failed = False
        return True

    def _open(self) -> sqlite3.Connection:
        # SQLite gives the files beside it, which it makes, the mode of this one.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640))
        database = sqlite3.connect(self._path, timeout=_BUSY_S)
        try:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute(f"PRAGMA max_page_count = {MOST_OCTETS // _PAGE}")
            database.execute(_TABLE)
        except sqlite3.Error:
            database.close()
            raise
        return database

    def _put_aside(self) -> None:
        with contextlib.suppress(OSError):
            self._path.replace(f"{self._path}.damaged")
        for suffix in ("-wal", "-shm"):
            with contextlib.suppress(OSError):
                Path(f"{self._path}{suffix}").unlink()
