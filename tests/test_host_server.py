"""The asyncio server as its clients see it: order, limits, slow and broken peers, a clean stop."""

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from postvouch.host.listening import listen
from postvouch.host.log import Log
from postvouch.host.process import SocketTaken
from postvouch.host.server import Limits, Server
from postvouch.wire import netstring


class Echo:
    """Answers with what it was asked; "slow…" after a while, "bug…" never."""

    fault = netstring.encode(b"fault")

    def __init__(self) -> None:
        self.gate = asyncio.Event()

    def decoder(self) -> netstring.Decoder:
        return netstring.Decoder(max_size=200_000)

    def answer(self, request: bytes) -> bytes | Awaitable[bytes]:
        if request.startswith(b"bug"):
            raise RuntimeError("a bug")
        if request.startswith(b"slow"):
            return self._later(request)
        if request.startswith(b"big"):
            return netstring.encode(b"x" * 100_000)
        return netstring.encode(request)

    async def _later(self, request: bytes) -> bytes:
        await self.gate.wait()
        if request.startswith(b"slowbug"):
            raise RuntimeError("a slow bug")
        return netstring.encode(request)


class Bench:
    """A server in a running loop, with a log in a file and a count of bugs."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.path = folder / "s.sock"
        self.log_path = folder / "log"
        self.handler = Echo()
        self.bugs = 0
        self._descriptor = os.open(self.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        log = Log(program="test", descriptor=self._descriptor)
        self.server = Server(self.handler, log, bug=self._count, limits=limits)

    def _count(self) -> None:
        self.bugs += 1

    async def __aenter__(self) -> "Bench":
        await self.server.start(f"unix:{self.path}")
        return self

    async def __aexit__(self, *exception: object) -> None:
        self.handler.gate.set()
        await self.server.stop()
        os.close(self._descriptor)

    async def client(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(str(self.path), limit=1 << 22)

    def said(self) -> str:
        return self.log_path.read_text()


Run = Callable[[Callable[[Bench], Coroutine[Any, Any, None]]], None]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., None]:
    def runs(test: Callable[[Bench], Coroutine[Any, Any, None]], **limits: Any) -> None:
        async def whole() -> None:
            async with asyncio.timeout(20), Bench(tmp_path, Limits(**limits)) as bench:
                await test(bench)

        asyncio.run(whole())

    return runs


async def answer(reader: asyncio.StreamReader) -> bytes:
    length = await reader.readuntil(b":")
    return (await reader.readexactly(int(length[:-1]) + 1))[:-1]


def test_pipelined_requests_are_answered_in_order_even_behind_a_slow_one(run: Run) -> None:
    async def test(bench: Bench) -> None:
        reader, writer = await bench.client()
        asked = [b"a", b"slow1", b"b", b"slow2", b"c", b"d"]
        writer.write(b"".join(map(netstring.encode, asked)))
        assert await answer(reader) == b"a"
        bench.handler.gate.set()
        assert [await answer(reader) for _ in asked[1:]] == asked[1:]
        writer.close()

    run(test)


def test_a_bug_is_answered_with_the_fault_and_the_connection_lives_on(run: Run) -> None:
    async def test(bench: Bench) -> None:
        reader, writer = await bench.client()
        bench.handler.gate.set()
        for request in (b"bug", b"slowbug"):
            writer.write(netstring.encode(request))
            assert await answer(reader) == b"fault"
        writer.write(netstring.encode(b"well"))
        assert await answer(reader) == b"well"
        assert bench.bugs == 2
        assert "RuntimeError: a slow bug" in bench.said()
        writer.close()

    run(test)


def test_garbage_ends_the_connection_after_what_was_asked_before_it(run: Run) -> None:
    async def test(bench: Bench) -> None:
        reader, writer = await bench.client()
        writer.write(netstring.encode(b"a") + b"garbage")
        assert await reader.read() == netstring.encode(b"a")
        assert "connection closed: " in bench.said()
        writer.close()

    run(test)


def test_a_client_that_says_no_more_still_gets_its_answers(run: Run) -> None:
    async def test(bench: Bench) -> None:
        reader, writer = await bench.client()
        writer.write(netstring.encode(b"slow") + netstring.encode(b"b"))
        writer.write_eof()
        await asyncio.sleep(0.05)
        bench.handler.gate.set()
        assert await reader.read() == netstring.encode(b"slow") + netstring.encode(b"b")
        writer.close()

    run(test)


def test_hundreds_of_idle_clients_stay_and_are_served(run: Run) -> None:
    async def test(bench: Bench) -> None:
        clients = [await bench.client() for _ in range(400)]
        await asyncio.sleep(0.3)  # several sweeps
        for number, (_, writer) in enumerate(clients):
            writer.write(netstring.encode(b"%d" % number))
        for number, (reader, _) in enumerate(clients):
            assert await answer(reader) == b"%d" % number
        assert bench.server.connections == 400
        for _, writer in clients:
            writer.close()

    run(test, sweep_s=0.05, request_s=0.1, collect_s=0.1)


def test_one_client_too_many_is_turned_away_and_that_is_said(run: Run) -> None:
    async def test(bench: Bench) -> None:
        first = await bench.client()
        first[1].write(netstring.encode(b"a"))
        assert await answer(first[0]) == b"a"
        second = await bench.client()
        with contextlib.suppress(ConnectionResetError):
            assert await second[0].read() == b""
        await asyncio.sleep(0.1)
        assert "1 connections refused: 1 are the limit" in bench.said()
        for _, writer in (first, second):
            writer.close()

    run(test, connections=1, sweep_s=0.05)


def test_a_request_that_is_never_finished_is_cut_however_slowly_it_grows(run: Run) -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async def test(bench: Bench) -> None:
        _, writer = await bench.client()
        writer.write(b"1000:")
        with pytest.raises(ConnectionError):
            await drip(writer)
        assert "begun and not finished" in bench.said()
        writer.close()

    run(test, sweep_s=0.05, request_s=0.2)


def test_answers_that_nobody_collects_are_bounded_and_cut(run: Run) -> None:
    async def flood(client: socket.socket) -> None:
        while True:
            await asyncio.get_running_loop().sock_sendall(client, netstring.encode(b"big") * 20)

    async def test(bench: Bench) -> None:
        with socket.socket(socket.AF_UNIX) as client:
            client.setblocking(False)
            await asyncio.get_running_loop().sock_connect(client, str(bench.path))
            with pytest.raises(ConnectionError):
                await flood(client)
        assert "not collected" in bench.said()
        assert bench.server.connections == 0

    run(test, sweep_s=0.05, collect_s=0.2)


def test_a_stop_finishes_the_answers_under_way_and_frees_the_path(tmp_path: Path) -> None:
    async def test() -> None:
        bench = Bench(tmp_path, Limits())
        async with asyncio.timeout(20), bench:
            reader, writer = await bench.client()
            idle, idle_writer = await bench.client()
            writer.write(netstring.encode(b"slow"))
            await asyncio.sleep(0.05)
            stopping = asyncio.ensure_future(bench.server.stop())
            await asyncio.sleep(0.05)
            assert not bench.path.exists()
            assert await idle.read() == b""
            bench.handler.gate.set()
            assert await reader.read() == netstring.encode(b"slow")
            await stopping
            writer.close()
            idle_writer.close()

    asyncio.run(test())


def test_a_socket_is_for_owner_and_group_and_a_dead_one_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    listen(f"unix:{path}").close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    with listen(f"unix:{path}") as alive:
        alive.listen()
        with pytest.raises(SocketTaken):
            listen(f"unix:{path}")
    with listen("inet:127.0.0.1:0") as bound:
        assert bound.getsockname()[0] == "127.0.0.1"
