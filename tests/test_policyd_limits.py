"""Counting letters: alone, together through a real redis, and alone again while redis is away."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers import Process, accepts, free_port, program, wait_for

from postvouch.config.kinds import Duration, SecretPath
from postvouch.config.shared import Redis
from postvouch.config.submission import Limit
from postvouch.host import countersfile
from postvouch.host.counters import Charge, LocalCounter, Usage
from postvouch.host.countersfile import CountersFile
from postvouch.host.log import Log
from postvouch.host.shared import SharedUnavailable
from postvouch.host.sharedcounters import SharedCounter
from postvouch.policyd.limits import Letter, Limiter, Outcome, Rules


def charge(
    key: str = "bob", *, amount: int = 1, limit: int = 9, window_s: float = 60.0, enforced: bool = True
) -> Charge:
    return Charge(counter=key, amount=amount, limit=limit, window_s=window_s, enforced=enforced)


@given(
    st.lists(st.tuples(st.floats(0, 30, allow_nan=False), st.integers(1, 4)), max_size=80),
    st.integers(1, 10),
    st.floats(1, 100, allow_nan=False),
)
def test_no_window_ever_holds_more_than_the_limit(
    steps: list[tuple[float, int]], limit: int, window_s: float
) -> None:
    counter, now, taken = LocalCounter(), 1000.0, list[tuple[float, int]]()
    for step, amount in steps:
        now += step
        (usage,) = counter.take([charge(amount=amount, limit=limit, window_s=window_s)], now)
        if usage.fits:
            taken.append((now, amount))
        assert sum(n for t, n in taken if t > now - window_s) <= limit
        if not usage.fits and usage.frees_in_s >= 0:
            again = now + usage.frees_in_s + 1e-6 * now
            fresh = LocalCounter()
            for then, n in taken:
                fresh.add([charge(amount=n, limit=limit, window_s=window_s)], then)
            assert fresh.take([charge(amount=amount, limit=limit, window_s=window_s)], again)[0].fits
        assert (usage.frees_in_s < 0) == (amount > limit)


def test_what_was_used_is_free_again_after_the_window_and_says_when() -> None:
    counter = LocalCounter()
    for _ in range(2):
        assert counter.take([charge(limit=2)], 100.0)[0].fits
    assert counter.take([charge(limit=2)], 110.0) == (Usage(fits=False, used=2, frees_in_s=51.0),)
    assert counter.take([charge("alice", limit=2)], 110.0)[0].used == 1
    assert counter.take([charge(limit=2)], 110.0 + 51.0 + 0.01)[0].used == 1


def test_a_letter_is_counted_by_all_limits_or_by_none() -> None:
    counter = LocalCounter()
    both = [charge("day", limit=9), charge("hour", limit=2, amount=2)]
    assert [u.fits for u in counter.take(both, 1.0)] == [True, True]
    assert [(u.fits, u.used) for u in counter.take(both, 1.0)] == [(True, 1), (False, 2)]
    assert counter.take([charge("day", limit=9)], 1.0)[0].used == 2


def test_a_limit_that_is_only_logged_counts_on_and_refuses_nothing() -> None:
    counter = LocalCounter()
    logged = [charge(limit=1, enforced=False)]
    usages = [counter.take(logged, 1.0)[0] for _ in range(3)]
    assert [(u.fits, u.used) for u in usages] == [(True, 1), (False, 2), (False, 3)]


def test_memory_is_bounded_and_the_longest_unused_is_forgotten_first() -> None:
    counter = LocalCounter(most=3)
    for key in ("a", "b", "c", "a", "d"):
        counter.take([charge(key)], 1.0)
    assert [counter.take([charge(key)], 1.0)[0].used for key in ("a", "d", "c")] == [3, 2, 2]


@given(st.lists(st.floats(-1e6, 1e6, allow_nan=False), max_size=30))
def test_a_clock_that_is_set_back_gives_nothing_away_and_locks_nobody_out(jumps: list[float]) -> None:
    counter, now = LocalCounter(), 2e9
    for jump in jumps:
        now += jump
        counter.take([charge(limit=3)], now)
        (usage,) = counter.take([charge(limit=3, amount=3)], now)
        assert usage.used > 0
        assert usage.frees_in_s <= 62.0


def test_what_was_counted_survives_a_restart_in_the_file(tmp_path: Path) -> None:
    path, log = tmp_path / "counters", quiet()
    for day in range(3):
        counter = LocalCounter()
        kept = CountersFile(str(path), counter, log, clock=lambda day=day: 1e9 + day * 10)
        kept.load()
        (usage,) = counter.take([charge(limit=9)], 1e9 + day * 10)
        assert usage.used == day + 1
        kept.save()
    assert path.stat().st_mode & 0o777 == 0o640
    counter = LocalCounter()
    late = CountersFile(str(path), counter, log, clock=lambda: 1e9 + 75)
    late.load()
    assert dict(counter.used(1e9 + 75)) == {"bob": 1}
    late.save()  # cleans the file


def test_the_file_is_written_while_the_daemon_runs_and_a_damaged_one_is_put_aside(tmp_path: Path) -> None:
    path, said = tmp_path / "counters", tmp_path / "log"
    path.write_bytes(b"no database" * 1000)

    async def test() -> None:
        with said.open("wb") as file:
            counter = LocalCounter()
            kept = CountersFile(str(path), counter, Log(program="test", descriptor=file.fileno()))
            kept.load()
            task = asyncio.ensure_future(kept.keep())
            counter.add([charge()], time.time())
            await asyncio.sleep(2.5)
            again = LocalCounter()
            other = CountersFile(str(path), again, quiet())
            other.load()
            assert [used for _, used in again.used(time.time())] == [1]
            task.cancel()

    run(test)
    assert "counting begins at zero" in said.read_text()
    assert path.with_name("counters.damaged").exists()


def test_a_folder_that_cannot_be_written_costs_no_letter_and_is_told_once(tmp_path: Path) -> None:
    said = tmp_path / "log"
    with said.open("wb") as file:
        counter = LocalCounter()
        log = Log(program="test", descriptor=file.fileno())
        kept = CountersFile(str(tmp_path / "none" / "counters"), counter, log)
        kept.load()
        assert counter.take([charge()], time.time())[0].fits
        kept.save()
    assert said.read_text().count("No such file or directory") == 2


def test_what_could_not_be_written_is_written_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(countersfile, "RETRY_S", 0.2)
    folder, said = tmp_path / "later", tmp_path / "log"

    async def test() -> None:
        with said.open("wb") as file:
            counter = LocalCounter()
            log = Log(program="test", descriptor=file.fileno())
            kept = CountersFile(str(folder / "counters"), counter, log)
            counter.add([charge("early")], time.time())
            task = asyncio.ensure_future(kept.keep())
            await asyncio.sleep(1.6)
            counter.add([charge("late")], time.time())
            folder.mkdir()
            await asyncio.sleep(1.0)
            task.cancel()
            again = LocalCounter()
            CountersFile(str(folder / "counters"), again, quiet()).load()
            assert dict(again.used(time.time())) == {"early": 1, "late": 1}

    run(test)
    assert said.read_text().count("a restart would forget what is used") == 1
    assert said.read_text().count("written again") == 1


def test_a_file_at_its_bound_costs_no_letter_and_no_more_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(countersfile, "MOST_OCTETS", 40_960)
    said = tmp_path / "log"
    with said.open("wb") as file:
        counter = LocalCounter()
        kept = CountersFile(
            str(tmp_path / "counters"), counter, Log(program="test", descriptor=file.fileno())
        )
        for n in range(3000):
            assert counter.take([charge(f"a stranger with many addresses, number {n}")], time.time())[0].fits
        kept.save()
    assert "full" in said.read_text()
    assert (tmp_path / "counters").stat().st_size <= 40_960


def test_what_a_wrong_clock_left_in_the_file_counts_once_and_not_for_years(tmp_path: Path) -> None:
    path, year = str(tmp_path / "counters"), 366 * 86400
    ahead = LocalCounter()
    kept = CountersFile(path, ahead, quiet(), clock=lambda: 1e9 + year)
    ahead.add([charge(amount=5)], 1e9 + year)
    kept.save()
    for later, used in ((0, 5), (30, 5), (90, 0)):
        counter = LocalCounter()
        kept = CountersFile(path, counter, quiet(), clock=lambda later=later: 1e9 + later)
        kept.load()
        assert sum(n for _, n in counter.used(1e9 + later)) == used
        kept.save()


def quiet() -> Log:
    return Log(program="test", descriptor=os.open(os.devnull, os.O_WRONLY))


def rules(*limits: Limit) -> Rules:
    return Rules(limits, lambda login, address: address == "press@our.example" and login == "ann")


def keys(made: Rules, **letter: Any) -> list[str]:
    return [c.counter.rpartition("/")[0] for c in made.charges(Letter(**letter))[1]]


def test_each_limit_counts_for_its_subject_by_messages_and_recipients() -> None:
    made = rules(
        Limit(name="day", messages=5, recipients=50),
        Limit(name="hour", messages=2, window=Duration(3600)),
        Limit(name="hosts", per="client", messages=7),
        Limit(name="domains", per="sender_domain", recipients=9),
    )
    letter = Letter(login="bob", client="192.0.2.7", domain="our.example", recipients=3)
    assert [(c.counter, c.amount, c.limit, c.window_s) for c in made.charges(letter)[1]] == [
        ("day/messages/bob/86400", 1, 5, 86400),
        ("day/recipients/bob/86400", 3, 50, 86400),
        ("hour/messages/bob/3600", 1, 2, 3600),
        ("hosts/messages/192.0.2.7/86400", 1, 7, 86400),
        ("domains/recipients/our.example/86400", 3, 9, 86400),
    ]
    assert (
        keys(made, client="2001:db8::1")
        == keys(made, client="2001:db8::ffff")
        == ["hosts/messages/2001:db8::/64"]
    )
    assert keys(made, client="::ffff:192.0.2.7") == keys(made, client="192.0.2.7")
    assert keys(made, client="unknown") == []


def test_a_limit_for_somebody_replaces_those_for_all_of_its_kind() -> None:
    made = rules(
        Limit(name="all", messages=5),
        Limit(name="list", messages=99, only=("newsletter", "press@our.example")),
        Limit(name="list-hour", messages=9, window=Duration(3600), only=("newsletter",)),
        Limit(name="free", only=("robot",)),
        Limit(name="hosts", per="client", messages=7),
        Limit(name="crm", per="client", only=("192.0.2.0/28", "2001:db8::/32"), messages=70),
        Limit(name="us", per="sender_domain", messages=8, only=("B\u00fccher.example",)),
    )
    assert keys(made, login="bob") == ["all/messages/bob"]
    assert keys(made, login="newsletter") == ["list/messages/newsletter", "list-hour/messages/newsletter"]
    assert keys(made, login="ann") == ["list/messages/ann"]
    assert keys(made, login="robot") == []
    assert keys(made, client="192.0.2.7") == ["crm/messages/192.0.2.7"]
    assert keys(made, client="::ffff:192.0.2.7") == ["crm/messages/192.0.2.7"]
    assert keys(made, client="192.0.2.77") == ["hosts/messages/192.0.2.77"]
    assert keys(made, domain="xn--bcher-kva.example") == ["us/messages/xn--bcher-kva.example"]
    assert keys(made, domain="far.example") == []


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
            asked = (host.take([charge("both", limit=10)]) for _ in range(64) for host in (one, two))
            usages = [usage for (usage,) in await asyncio.gather(*asked)]
        assert sum(usage.fits for usage in usages) == 10
        assert sorted(usage.used for usage in usages if usage.fits) == list(range(1, 11))
        assert all(50 < usage.frees_in_s < 62 for usage in usages if not usage.fits)

    run(test)


def test_redis_counts_as_this_host_does(redis: Server) -> None:
    """The same letters to both, in turn and at once: the same answers, but for the clock."""

    async def test() -> None:
        local = LocalCounter()
        letters = [
            [
                charge("o", limit=7, amount=n % 3 + 1),
                charge("p", limit=5),
                charge("q", limit=2, enforced=False),
            ]
            for n in range(12)
        ] + [[charge("o", limit=7, amount=8)]]
        expected = [[(u.fits, u.used, u.frees_in_s < 0) for u in local.take(each, 100.0)] for each in letters]
        async with counter(redis) as shared:
            answers = await asyncio.gather(*(shared.take(each) for each in letters))
        assert [[(u.fits, u.used, u.frees_in_s < 0) for u in each] for each in answers] == expected
        assert not all(fits for each in expected for fits, _, _ in each)

    run(test)


def test_the_shared_window_slides(redis: Server) -> None:
    async def test() -> None:
        async with counter(redis) as shared:
            once = [charge("slide", limit=1, window_s=0.6)]
            assert (await shared.take(once))[0].fits
            (refused,) = await shared.take(once)
            assert not refused.fits
            await asyncio.sleep(refused.frees_in_s + 0.05)
            assert (await shared.take(once))[0].fits

    run(test)


def test_a_redis_that_hangs_costs_one_deadline_and_then_nothing(redis: Server) -> None:
    now = [0.0]

    async def test() -> None:
        async with counter(redis, lambda: now[0]) as shared:
            one = [charge("hang")]
            await shared.take(one)
            loop = asyncio.get_running_loop()
            redis.process.send(signal.SIGSTOP)
            try:
                begun = loop.time()
                with pytest.raises(SharedUnavailable):
                    await shared.take(one)
                assert loop.time() - begun < 2.0
                begun = loop.time()
                for _ in range(100):
                    with pytest.raises(SharedUnavailable):
                        await shared.take(one)
                assert loop.time() - begun < 0.2
            finally:
                redis.process.send(signal.SIGCONT)
            now[0] += 5.0
            assert (await shared.take(one))[0].fits

    run(test)


def test_who_goes_away_while_redis_is_asked_takes_nobody_with_him(redis: Server) -> None:
    async def test() -> None:
        async with counter(redis) as shared:
            asked = [asyncio.ensure_future(shared.take([charge("gone", limit=99)])) for _ in range(20)]
            await asyncio.sleep(0)
            for each in asked[::2]:
                each.cancel()
            assert all(usage.fits for (usage,) in await asyncio.gather(*asked[1::2]))
            assert (await shared.take([charge("gone", limit=99)]))[0].fits

    run(test)


def test_a_wrong_password_is_unavailable_and_not_a_yes(redis: Server) -> None:
    async def test() -> None:
        async with counter(redis) as shared:
            (redis.folder / "password").write_text("wrong\n")
            with pytest.raises(SharedUnavailable, match="redis: "):
                await shared.take([charge(limit=1)])

    run(test)


def test_without_redis_the_host_counts_alone_and_says_so_once(redis: Server, tmp_path: Path) -> None:
    now = [0.0]

    async def test() -> None:
        with (tmp_path / "log").open("wb") as file:
            log = Log(program="test", descriptor=file.fileno())
            async with counter(redis, lambda: now[0]) as shared:
                four = rules(Limit(name="four", messages=4))
                limiter = Limiter(four, log, shared, clock=lambda: 100.0)

                async def take(instance: str) -> Outcome:
                    outcome = limiter.take(Letter(login="eve"), instance)
                    return outcome if isinstance(outcome, Outcome) else await outcome

                assert [(await take(f"a{n}")).usages[0].used for n in range(2)] == [1, 2]
                assert (await take("a1")).usages[0].used == 2
                redis.process.stop()
                try:
                    assert [(await take(f"b{n}")).counted for n in range(4)] == [True, True, False, False]
                    assert limiter.alone
                finally:
                    redis.start()
                now[0] += 60.0
                assert (await take("c")).usages[0].used == 1  # this redis forgot; ours keeps nothing on disk
                assert not limiter.alone
        text = (tmp_path / "log").read_text()
        assert text.count("this host counts alone") == 1
        assert text.count("redis is back") == 1

    run(test)


def test_a_letter_is_remembered_so_that_asking_again_changes_nothing() -> None:
    limiter = Limiter(rules(Limit(name="one", messages=1, window=Duration(60))), quiet(), clock=lambda: 1.0)
    bob = Letter(login="bob")
    first = limiter.take(bob, "x")
    assert isinstance(first, Outcome)
    assert first.counted
    assert limiter.take(bob, "x") == first
    refused = limiter.take(bob, "y")
    assert isinstance(refused, Outcome)
    assert not refused.counted
    assert refused.over is not None
    assert refused.over.usage == Usage(fits=False, used=1, frees_in_s=61.0)
    assert limiter.take(bob, "x") == first
    assert limiter.take(bob, "y") == refused


def test_a_login_that_is_no_text_takes_neither_the_file_nor_redis_away(redis: Server, tmp_path: Path) -> None:
    odd = Letter(login="b\udcf6b\ud800")

    async def test() -> None:
        async with counter(redis) as shared:
            limiter = Limiter(rules(Limit(name="odd", messages=9)), quiet(), shared)
            outcome = limiter.take(odd, "x")
            assert not isinstance(outcome, Outcome)
            assert (await outcome).usages[0].used == 1
            assert not limiter.alone

    run(test)
    local = LocalCounter()
    kept = CountersFile(str(tmp_path / "counters"), local, quiet())
    Limiter(rules(Limit(name="odd", messages=9)), quiet(), counter=local).take(odd, "y")
    kept.save()
    again = LocalCounter()
    CountersFile(str(tmp_path / "counters"), again, quiet()).load()
    assert len(again) == 1
