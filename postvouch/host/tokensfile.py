"""Tokens in an SQLite file, where one host is all that makes and undoes SRS addresses.

One thread reads and writes, so the event loop never waits for a disk. A token is on the disk before its
address leaves (WAL, synchronous=FULL); what has expired goes with the next one that is new.
"""

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from postvouch.host.shared import SharedUnavailable

WAIT_S = 5.0
"""How long a question may take, all those before it included."""
MOST_OCTETS = 1 << 30
"""Beyond this size the file takes no more tokens."""

_DAY_S = 86400.0
_PAGE = 4096
_TABLE = """
CREATE TABLE IF NOT EXISTS tokens (
  token TEXT PRIMARY KEY, sender BLOB NOT NULL, domain TEXT NOT NULL, expires REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tokens_by_domain ON tokens (domain, expires);
CREATE INDEX IF NOT EXISTS tokens_by_expiry ON tokens (expires);
"""

_T = TypeVar("_T")


class FileStore:
    """As ``host.tokens.Store``. The file is made when first asked for, 0640; ``clock``: since 1970."""

    def __init__(self, path: str, *, life_s: float, cap: int, clock: Callable[[], float] = time.time) -> None:
        self._path = Path(path)
        self._life_s = life_s
        self._cap = cap
        self._clock = clock
        self._database: sqlite3.Connection | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tokens")

    async def keep(self, token: str, sender: str, domain: str) -> bool:
        """As ``Store``."""
        return await self._ask(lambda database: self._keep(database, token, sender, domain))

    async def find(self, token: str) -> str | None:
        """As ``Store``."""
        return await self._ask(lambda database: self._find(database, token))

    async def close(self) -> None:
        """As ``Store``. What is asked afterwards is unavailable."""
        with contextlib.suppress(RuntimeError):
            self._thread.submit(self._forget)
        self._thread.shutdown(wait=False)

    async def _ask(self, question: Callable[[sqlite3.Connection], _T]) -> _T:
        try:
            answer = asyncio.get_running_loop().run_in_executor(self._thread, self._answered, question)
            return await asyncio.wait_for(answer, WAIT_S)
        except (TimeoutError, OSError, sqlite3.Error, RuntimeError) as error:
            raise SharedUnavailable(f"{self._path}: {str(error) or 'no answer in time'}") from error

    def _answered(self, question: Callable[[sqlite3.Connection], _T]) -> _T:
        try:
            return question(self._opened())
        except (OSError, sqlite3.Error):
            self._forget()
            raise

    def _opened(self) -> sqlite3.Connection:
        if self._database is None:
            # SQLite gives the files beside it, which it makes, the mode of this one.
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640))
            database = sqlite3.connect(self._path, timeout=WAIT_S / 2, isolation_level=None)
            self._database = database
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")
            database.execute(f"PRAGMA max_page_count = {MOST_OCTETS // _PAGE}")
            database.executescript(_TABLE)
        return self._database

    def _forget(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            with contextlib.suppress(sqlite3.Error):
                database.close()

    def _keep(self, database: sqlite3.Connection, token: str, sender: str, domain: str) -> bool:
        now = self._clock()
        expires = now + self._life_s
        row = database.execute("SELECT expires FROM tokens WHERE token = ?", (_text(token),)).fetchone()
        if row is not None and row[0] > expires:
            return True  # today's mailing has been here before: a day more than asked for was given
        database.execute("BEGIN IMMEDIATE")
        try:
            database.execute("DELETE FROM tokens WHERE expires <= ?", (now,))
            if row is None or row[0] <= now:
                count = "SELECT count(*) FROM tokens WHERE domain = ?"
                if database.execute(count, (domain,)).fetchone()[0] >= self._cap:
                    database.execute("COMMIT")
                    return False
            database.execute(
                "INSERT OR REPLACE INTO tokens VALUES (?, ?, ?, ?)",
                (_text(token), sender.encode("utf-8", "surrogateescape"), domain, expires + _DAY_S),
            )
            database.execute("COMMIT")
        except BaseException:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise
        return True

    def _find(self, database: sqlite3.Connection, token: str) -> str | None:
        ask = "SELECT sender FROM tokens WHERE token = ? AND expires > ?"
        row = database.execute(ask, (_text(token), self._clock())).fetchone()
        return None if row is None else bytes(row[0]).decode("utf-8", "surrogateescape")


def _text(token: str) -> str:
    return token.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
