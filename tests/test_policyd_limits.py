"""Counting letters: alone, together through a real redis, and alone again while redis is away."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers import Process, accepts, free_port, program, wait_for

from postvouch.config.kinds import Duration, SecretPath
from postvouch.config.shared import Redis
from postvouch.host.counters import LocalCounter, Usage
from postvouch.host.log import Log
from postvouch.host.shared import SharedUnavailable
from postvouch.host.sharedcounters import SharedCounter
from postvouch.policyd.limits import Limit, Limiter


@given(
    st.lists(st.floats(0, 30, allow_nan=False), max_size=80),
    st.integers(1, 10),
    st.floats(1, 100, allow_nan=False),
)
def test_no_window_ever_holds_more_than_the_limit(steps: list[float], limit: int, window_s: float) -> None:
    counter, now, taken = LocalCounter(), 1000.0, list[float]()
    for step in steps:
        now += step
        if counter.take("bob", limit=limit, window_s=window_s, now=now).allowed:
            taken.append(now)
        assert len([t for t in taken if t > now - window_s]) <= limit


def test_what_was_used_is_free_again_after_the_window_and_says_when() -> None:
    counter = LocalCounter()
    for _ in range(2):
        assert counter.take("bob", limit=2, window_s=60.0, now=100.0).allowed
    refused = counter.take("bob", limit=2, window_s=60.0, now=110.0)
    assert refused == Usage(allowed=False, used=2, frees_in_s=51.0)
    assert counter.take("alice", limit=2, window_s=60.0, now=110.0).used == 1
    assert counter.take("bob", limit=2, window_s=60.0, now=110.0 + 51.0 + 0.01).used == 1


def test_limit_0_counts_and_never_refuses() -> None:
    counter = LocalCounter()
    assert [counter.take("bob", limit=0, window_s=60.0, now=1.0).used for _ in range(100)][-1] == 100


def test_memory_is_bounded_and_the_longest_unused_is_forgotten_first() -> None:
    counter = LocalCounter(max_keys=3)
    for key in ("a", "b", "c", "a", "d"):
        counter.take(key, limit=9, window_s=60.0, now=1.0)
    assert [counter.take(key, limit=9, window_s=60.0, now=1.0).used for key in ("a", "d", "c")] == [3, 2, 2]


class Server:
    """A private redis without persistence."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.process = self.start()

    def start(self) -> Process:
        command = [program("redis-server", "redis-server"), "--port", str(self.port), "--bind", "127.0.0.1",
                   "--save", "", "--requirepass", "secret", "--dir", str(self.folder)]  # fmt: skip
        self.process = Process(command, self.folder / "redis.log")
        wait_for(lambda: accepts(self.port), "redis listens")
        return self.process

    def settings(self) -> Redis:
        password = self.folder / "password"
        password.write_text("secret\n")
        return Redis(
            url=f"redis://127.0.0.1:{self.port}/0",
            password_file=SecretPath(str(password)),
            timeout=Duration(0.5),
        )


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("redis"))
    yield server
    server.process.stop()


@asynccontextmanager
async def counter(redis: Server, clock: Callable[[], float] | None = None) -> AsyncIterator[SharedCounter]:
    made = SharedCounter(redis.settings(), **({"clock": clock} if clock else {}))
    try:
        yield made
    finally:
        await made.close()


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with asyncio.timeout(20):
            await test()

    asyncio.run(whole())


def test_two_hosts_never_take_more_than_the_limit_together(redis: Server) -> None:
    async def test() -> None:
        async with counter(redis) as one, counter(redis) as two:
            asked = (host.take("both", limit=10, window_s=60.0) for _ in range(16) for host in (one, two))
            usages = await asyncio.gather(*asked)
        assert sum(usage.allowed for usage in usages) == 10
        assert sorted(usage.used for usage in usages if usage.allowed) == list(range(1, 11))
        assert all(50 < usage.frees_in_s < 62 for usage in usages)

    run(test)


def test_the_shared_window_slides(redis: Server) -> None:
    async def test() -> None:
        async with counter(redis) as shared:
            assert (await shared.take("slide", limit=1, window_s=0.6)).allowed
            refused = await shared.take("slide", limit=1, window_s=0.6)
            assert not refused.allowed
            await asyncio.sleep(refused.frees_in_s + 0.05)
            assert (await shared.take("slide", limit=1, window_s=0.6)).allowed

    run(test)


def test_a_redis_that_hangs_costs_one_deadline_and_then_nothing(redis: Server) -> None:
    now = [0.0]

    async def test() -> None:
        async with counter(redis, lambda: now[0]) as shared:
            await shared.take("hang", limit=9, window_s=60.0)
            loop = asyncio.get_running_loop()
            redis.process.send(signal.SIGSTOP)
            try:
                begun = loop.time()
                with pytest.raises(SharedUnavailable):
                    await shared.take("hang", limit=9, window_s=60.0)
                assert loop.time() - begun < 2.0
                begun = loop.time()
                for _ in range(100):
                    with pytest.raises(SharedUnavailable):
                        await shared.take("hang", limit=9, window_s=60.0)
                assert loop.time() - begun < 0.2
            finally:
                redis.process.send(signal.SIGCONT)
            now[0] += 5.0
            assert (await shared.take("hang", limit=9, window_s=60.0)).allowed

    run(test)


def test_a_wrong_password_is_unavailable_and_not_a_yes(redis: Server) -> None:
    async def test() -> None:
        async with counter(redis) as shared:
            (redis.folder / "password").write_text("wrong\n")
            with pytest.raises(SharedUnavailable, match="redis: "):
                await shared.take("bob", limit=1, window_s=60.0)

    run(test)


def test_without_redis_the_host_counts_alone_and_says_so_once(redis: Server, tmp_path: Path) -> None:
    now = [0.0]

    async def test() -> None:
        with (tmp_path / "log").open("wb") as file:
            log = Log(program="test", descriptor=file.fileno())
            async with counter(redis, lambda: now[0]) as shared:
                limiter = Limiter(Limit(messages=4, window_s=60.0), log, shared, clock=lambda: 100.0)

                async def take(instance: str) -> Usage:
                    usage = limiter.take("eve", instance)
                    return usage if isinstance(usage, Usage) else await usage

                assert [(await take(f"a{n}")).used for n in range(2)] == [1, 2]
                assert (await take("a1")).used == 2
                redis.process.stop()
                try:
                    assert [(await take(f"b{n}")).allowed for n in range(4)] == [True, True, False, False]
                    assert limiter.alone
                finally:
                    redis.start()
                now[0] += 60.0
                assert (await take("c")).used == 1  # this redis forgot; ours keeps nothing on disk
                assert not limiter.alone
        text = (tmp_path / "log").read_text()
        assert text.count("this host counts alone") == 1
        assert text.count("redis is back") == 1

    run(test)


def test_a_letter_is_remembered_so_that_asking_again_changes_nothing() -> None:
    descriptor = os.open(os.devnull, os.O_WRONLY)
    log = Log(program="test", descriptor=descriptor)
    limiter = Limiter(Limit(messages=1, window_s=60.0), log, clock=lambda: 1.0)
    assert limiter.take("bob", "x") == limiter.take("bob", "x")
    refused = limiter.take("bob", "y")
    assert isinstance(refused, Usage)
    assert not refused.allowed
    assert limiter.take("bob", "x") == Usage(allowed=True, used=1, frees_in_s=61.0)
    os.close(descriptor)
