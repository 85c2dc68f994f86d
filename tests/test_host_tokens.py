"""The stores of tokens: a real redis, real Sentinels, a real file; stopped, hanging, full, damaged."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from sqlite3 import connect

import pytest
from redisserver import Sentinel, Server, command
from servers import free_port, wait_for

from postvouch.config.kinds import Duration, Endpoint
from postvouch.config.shared import Redis
from postvouch.host.shared import SharedUnavailable
from postvouch.host.tokens import RedisStore, Store
from postvouch.host.tokensfile import FileStore

SENDER = 'a"b\\ é漢\udce9@far.example'


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("redis"), keeps=True)
    yield server
    server.process.stop()


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with asyncio.timeout(40):
            await test()

    asyncio.run(whole())


async def keeps_finds_and_caps(one: Store, other: Store) -> None:
    """What every store does, seen by two who share it."""
    try:
        assert await other.find("t1") is None
        assert await one.keep("t1", SENDER, "far.example")
        assert await other.find("t1") == SENDER
        assert await other.keep("t2", "two@far.example", "far.example")
        assert not await one.keep("t3", "three@far.example", "far.example")
        assert await one.find("t3") is None
        assert await one.keep("t1", SENDER, "far.example")  # known: no further one
        assert await one.keep("t3", "three@else.example", "else.example")
        assert await other.find("t\udce9\0") is None
    finally:
        await one.close()
        await other.close()


def test_two_hosts_share_what_redis_keeps_up_to_the_cap_of_a_domain(redis: Server) -> None:
    command(redis.port, "FLUSHALL")

    async def test() -> None:
        await keeps_finds_and_caps(*(RedisStore(redis.settings(), life_s=60, cap=2) for _ in range(2)))

    run(test)
    assert int(command(redis.port, "PTTL", "postvouch:srs:token:t1")[1:]) > 50_000


def test_two_programs_share_what_a_file_keeps_up_to_the_cap_of_a_domain(tmp_path: Path) -> None:
    path = tmp_path / "tokens.db"

    async def test() -> None:
        await keeps_finds_and_caps(*(FileStore(str(path), life_s=60, cap=2) for _ in range(2)))

    run(test)
    assert path.stat().st_mode & 0o777 == 0o640


def test_redis_forgets_a_token_after_its_time_and_the_cap_has_room_again(redis: Server) -> None:
    async def test() -> None:
        store = RedisStore(redis.settings(), life_s=0.3, cap=1)
        assert await store.keep("old", "a@old.example", "old.example")
        assert not await store.keep("new", "b@old.example", "old.example")
        await asyncio.sleep(0.35)
        assert await store.find("old") is None
        assert await store.keep("new", "b@old.example", "old.example")
        await store.close()

    run(test)


def test_a_file_forgets_a_token_after_its_time_and_what_has_expired_is_purged(tmp_path: Path) -> None:
    path, now = tmp_path / "tokens.db", [1000.0]

    async def test() -> None:
        store = FileStore(str(path), life_s=100, cap=1, clock=lambda: now[0])
        assert await store.keep("old", "a@far.example", "far.example")
        now[0] += 99
        assert await store.find("old") == "a@far.example"
        assert not await store.keep("new", "b@far.example", "far.example")
        now[0] += 2 * 86400
        assert await store.find("old") is None
        assert await store.keep("new", "b@far.example", "far.example")
        await store.close()

    run(test)
    with closing(connect(path)) as database:
        assert [row[0] for row in database.execute("SELECT token FROM tokens")] == ["new"]


def test_a_sender_who_writes_again_keeps_his_token_alive_in_a_file(tmp_path: Path) -> None:
    now = [1000.0]

    async def test() -> None:
        store = FileStore(str(tmp_path / "db"), life_s=10 * 86400, cap=9, clock=lambda: now[0])
        for _ in range(30):
            assert await store.keep("t", "a@far.example", "far.example")
            now[0] += 5 * 86400
        now[0] += 4 * 86400
        assert await store.find("t") == "a@far.example"
        await store.close()

    run(test)


def test_a_file_that_cannot_be_made_or_is_damaged_or_locked_is_unavailable_and_then_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "gone" / "tokens.db"

    async def test() -> None:
        store = FileStore(str(path), life_s=60, cap=9)
        with pytest.raises(SharedUnavailable, match=r"tokens\.db: .*No such file"):
            await store.find("t")
        path.parent.mkdir()
        path.write_bytes(b"no database at all " * 300)
        for question in (store.find("t"), store.keep("t", "a@far.example", "far.example")):
            with pytest.raises(SharedUnavailable, match="not a database"):
                await question
        path.unlink()
        assert await store.keep("t", "a@far.example", "far.example")
        monkeypatch.setattr("postvouch.host.tokensfile.WAIT_S", 0.2)
        with closing(connect(path, isolation_level=None)) as locking:
            locking.execute("BEGIN IMMEDIATE")
            with pytest.raises(SharedUnavailable, match=r"tokens\.db: no answer in time"):
                await store.keep("u", "b@far.example", "far.example")
        monkeypatch.undo()
        assert await store.find("t") == "a@far.example"
        await store.close()
        with pytest.raises(SharedUnavailable):
            await store.find("t")

    run(test)


def test_a_redis_stopped_or_hanging_is_unavailable_within_the_deadline_and_back_with_its_tokens(
    redis: Server,
) -> None:
    now = [0.0]

    async def unavailable(store: RedisStore) -> None:
        begun = time.monotonic()
        with pytest.raises(SharedUnavailable, match="redis: "):
            await store.find("stays")
        with pytest.raises(SharedUnavailable, match="redis: "):
            await store.keep("stays", SENDER, "far.example")
        assert time.monotonic() - begun < 2.5
        now[0] += 60

    async def test() -> None:
        store = RedisStore(redis.settings(), life_s=60, cap=9, clock=lambda: now[0])
        assert await store.keep("stays", SENDER, "stay.example")
        redis.process.send(signal.SIGSTOP)
        try:
            await unavailable(store)
        finally:
            redis.process.send(signal.SIGCONT)
        assert await store.find("stays") == SENDER
        redis.process.stop()
        try:
            await unavailable(store)
        finally:
            redis.start()
        assert await store.find("stays") == SENDER
        await store.close()

    run(test)


def test_what_others_wrote_into_redis_is_unavailable_and_no_sender(redis: Server) -> None:
    command(redis.port, "SET", "postvouch:srs:token:odd", "hello")
    command(redis.port, "LPUSH", "postvouch:srs:token:list", "x")

    async def test() -> None:
        for token in ("odd", "list"):
            store = RedisStore(redis.settings(), life_s=60, cap=9)
            with pytest.raises(SharedUnavailable, match="redis: "):
                await store.find(token)
            await store.close()

    run(test)


def test_a_server_that_is_only_a_replica_never_says_that_there_is_no_such_token(
    redis: Server, tmp_path: Path
) -> None:
    replica = Server(tmp_path / "replica", of=redis)
    try:
        wait_for(redis.has_replica, "the replica follows")

        async def test() -> None:
            store = RedisStore(replica.settings(), life_s=60, cap=9)
            with pytest.raises(SharedUnavailable, match="redis: "):
                await store.find("unheard-of")
            await store.close()

        run(test)
    finally:
        replica.process.stop()


def test_when_the_master_dies_the_one_that_sentinel_makes_master_has_the_tokens(tmp_path: Path) -> None:
    first = Server(tmp_path / "first")
    second = Server(tmp_path / "second", of=first)
    sentinel = None
    try:
        wait_for(first.has_replica, "the replica follows")
        sentinel = Sentinel(tmp_path / "sentinel", first)
        sentinel.process.says("+slave slave")
        settings = Redis(
            sentinels=(Endpoint(f"127.0.0.1:{free_port()}"), Endpoint(f"127.0.0.1:{sentinel.port}")),
            master="house", password_file=first.password(), timeout=Duration(0.5),
        )  # fmt: skip

        async def test() -> None:
            store = RedisStore(settings, life_s=60, cap=9)
            assert await store.keep("before", SENDER, "far.example")
            wait_for(first.has_replica, "the replica has it")
            first.process.stop(signal.SIGKILL)
            with pytest.raises(SharedUnavailable):
                await store.keep("between", SENDER, "far.example")
            end = time.monotonic() + 25
            while time.monotonic() < end:
                try:
                    assert await store.find("before") == SENDER
                    break
                except SharedUnavailable:
                    await asyncio.sleep(0.2)
            assert await store.keep("after", SENDER, "far.example")
            await store.close()

        run(test)
        assert command(second.port, "EXISTS", "postvouch:srs:token:after") == b":1"
    finally:
        for each in (sentinel, second, first):
            if each is not None:
                each.process.stop(signal.SIGKILL)
