"""host/dnscache.py: bounds, expiry, and what is dropped first."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postvouch.host.dnscache import MEAN_OCTETS, Cache, Failure
from postvouch.values.dns import NO_DATA, Records, Status


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def found(octets: int = 1) -> Records:
    return Records(status=Status.FOUND, values=(b"x" * octets,))


def key(n: int) -> tuple[str, str]:
    return f"h{n}.example", "TXT"


def test_the_entry_that_nobody_used_goes_first() -> None:
    cache = Cache(3, Clock())
    for n in (1, 2, 3):
        cache.put(key(n), found(), 60)
    assert cache.get(key(1))
    cache.put(key(4), found(), 60)
    assert [bool(cache.get(key(n))) for n in (1, 2, 3, 4)] == [True, False, True, True]


def test_it_drops_one_even_if_all_were_used() -> None:
    cache = Cache(3, Clock())
    for n in (1, 2, 3):
        cache.put(key(n), found(), 60)
        cache.get(key(n))
    cache.put(key(4), found(), 60)
    assert len(cache) == 3
    assert cache.get(key(4))


def test_octets_are_bounded_and_forgotten_with_the_entry() -> None:
    cache = Cache(100, Clock())
    for n in range(6):
        cache.put(key(n), found(25 * MEAN_OCTETS - 64), 60)
    assert [n for n in range(6) if cache.get(key(n))] == [2, 3, 4, 5]
    for n in range(4):
        cache.put(key(n), found(), 60)
    assert len(cache) == 6
    cache.put(key(9), found(101 * MEAN_OCTETS), 60)
    assert not cache.get(key(9))
    assert cache._octets <= 100 * MEAN_OCTETS


@pytest.mark.parametrize("limit, ttl_s", [(0, 60), (10, 0), (10, -1)])
def test_what_may_not_be_kept_is_not_kept_and_replaces_what_was(limit: int, ttl_s: float) -> None:
    cache = Cache(limit, Clock())
    cache.put(key(1), found(), 60, stale_s=600)
    cache.put(key(1), NO_DATA, ttl_s)
    assert cache.get(key(1)) is None
    assert cache.stale(key(1)) is None
    assert len(cache) == cache._octets == 0


def test_a_stale_answer_is_no_hit_until_it_is_freshened_and_never_after_its_last_hour() -> None:
    clock = Clock()
    cache = Cache(10, clock)
    cache.put(key(1), found(), 60, stale_s=600)
    clock.now = 61
    assert cache.get(key(1)) is None
    assert cache.stale(key(1)) == found()
    cache.freshen(key(1), 30)
    assert cache.get(key(1)) == found()
    clock.now = 645
    assert cache.get(key(1)) is None
    cache.freshen(key(1), 30)
    assert cache.get(key(1)) == found()
    clock.now = 661
    assert cache.get(key(1)) is None
    assert cache.stale(key(1)) is None
    cache.freshen(key(1), 30)
    assert cache.get(key(1)) is None


def test_a_fresh_answer_is_not_cut_short_by_freshening() -> None:
    clock = Clock()
    cache = Cache(10, clock)
    cache.put(key(1), found(), 600)
    cache.freshen(key(1), 30)
    clock.now = 599
    assert cache.get(key(1))


def test_a_failure_is_never_stale() -> None:
    clock = Clock()
    cache = Cache(10, clock)
    cache.put(key(1), Failure("no answer in time"), 5, stale_s=600)
    clock.now = 6
    assert cache.stale(key(1)) is None


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3000), st.integers(-1, 9), st.integers(0, 5))))
def test_bounds_hold_whatever_happens(steps: list[tuple[int, int, int, int]]) -> None:
    clock = Clock()
    cache = Cache(4, clock)
    for n, octets, ttl_s, passed in steps:
        clock.now += passed
        cache.get(key((n * 7) % 10))
        cache.put(key(n), found(octets), ttl_s)
        assert len(cache) <= 4
        assert cache._octets == sum(held.octets for held in cache._entries.values()) <= 4 * MEAN_OCTETS


def test_threads_that_read_and_write_at_once_keep_its_books_in_order() -> None:
    cache = Cache(20, Clock())

    def work(seed: int) -> None:
        for n in range(1500):
            number = (n * seed) % 40
            held = cache.get(key(number))
            assert held is None or held == found(number)
            cache.put(key(number), found(number), 60)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, (1, 3, 7, 11, 13, 17)))
    assert len(cache) == 20
    assert cache._octets == sum(held.octets for held in cache._entries.values())
