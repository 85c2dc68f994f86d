"""The door of our own: the milter protocol on asyncio, one loop a worker, on uvloop where it is installed.

No thread a connection, so nobody waits for a lock; it finishes what is under way when it is told to stop; and
over TCP it is not slowed down by Nagle and delayed ACK.
"""

import asyncio
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from postvouch.host import listening, loop
from postvouch.host.log import ERROR
from postvouch.milters.connection import Connection, Shared
from postvouch.milters.gather import Door

BACKLOG = 512
THREADS = 512
"""Messages of a worker that may wait for DNS at once; any above wait until one of these is done."""

LAST_READ_S = 0.02
"""What Postfix has written when the stop comes is still read."""


class Engine:
    """The protocol spoken by this process: the socket opened once in the parent, served in each worker."""

    _descriptor: int
    _listening: asyncio.AbstractServer

    def __init__(self, door: Door) -> None:
        self._shared = Shared(door=door, pool=ThreadPoolExecutor(THREADS, thread_name_prefix="waits"))
        self._make_loop = loop.factory()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = asyncio.Event()

    def listen(self, where: str) -> None:
        """Open the listening socket. Raises OSError."""
        bound = listening.listen(where)
        bound.setblocking(False)
        bound.listen(BACKLOG)
        self._descriptor = bound.detach()  # this process keeps it for the workers to come, to its end

    def serve(self) -> None:
        """Answer Postfix until ``drain``."""
        loop.raise_file_limit()
        sys.setswitchinterval(loop.SWITCH_S)
        with asyncio.Runner(loop_factory=self._make_loop) as runner:
            runner.run(self._serve())

    def drain(self, seconds: float) -> int:
        """Take no new connection and let the messages under way end. How many did not within ``seconds``."""
        if self._loop is None:
            return 0
        try:
            return asyncio.run_coroutine_threadsafe(self._drain(seconds), self._loop).result(seconds + 1)
        except TimeoutError:  # a handler that waits in the loop, against its word
            return len(self._shared.door.under_way)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(self._report)
        bound = socket.socket(fileno=self._descriptor)
        make = self._loop.create_server
        if bound.family == socket.AF_UNIX:
            make = self._loop.create_unix_server  # type: ignore[assignment]
        self._listening = await make(lambda: Connection(self._shared), sock=bound, backlog=BACKLOG)
        await self._stopped.wait()

    async def _drain(self, seconds: float) -> int:
        shared = self._shared
        self._listening.close()
        await asyncio.sleep(LAST_READ_S)
        shared.draining = True
        for connection in tuple(shared.connections):
            connection.finish()
        deadline = time.monotonic() + seconds
        while shared.connections and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        self._stopped.set()
        return sum(connection.open for connection in shared.connections)

    def _report(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, OSError) or error is None:
            self._shared.door.log.note(f"{context['message']}: {error}", level=ERROR)
        else:
            self._shared.door.log.exception("", error)
