"""The turn: who computes, who waits, and that nobody waits for long."""

import threading
import time

import pytest

from postvouch.host import turn


def in_thread(work) -> threading.Thread:  # type: ignore[no-untyped-def]
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_one_computes_and_the_next_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn, "PATIENCE_S", 30)
    inside, order = threading.Event(), []

    def other() -> None:
        with turn.taken():
            order.append("other")

    with turn.taken():
        thread = in_thread(lambda: (inside.set(), other()))
        inside.wait(5)
        time.sleep(0.05)
        order.append("first")
    thread.join(5)
    assert order == ["first", "other"]


def test_who_waits_for_the_network_lets_another_go_and_goes_on_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turn, "PATIENCE_S", 30)
    done = threading.Event()

    def other() -> None:
        with turn.taken():
            done.set()

    with turn.taken():
        thread = in_thread(other)
        assert not done.wait(0.05)
        with turn.given_back():
            assert done.wait(5)
        thread.join(5)
        late = in_thread(other)
        done.clear()
        assert not done.wait(0.05)
    assert done.wait(5)
    late.join(5)


def test_nobody_waits_longer_than_the_patience_for_a_letter_that_takes_for_ever() -> None:
    done = threading.Event()

    def other() -> None:
        with turn.taken(), turn.given_back():
            done.set()

    with turn.taken():
        in_thread(other).join(5)
        assert done.is_set()
    # And the turn is free again: not released once too often, not kept.
    with turn.taken():
        assert turn._lock.locked()
    assert not turn._lock.locked()


def test_outside_of_a_turn_there_is_none_to_give_back() -> None:
    with turn.given_back():
        assert not turn._lock.locked()


def test_a_fault_gives_the_turn_back() -> None:
    with pytest.raises(ValueError, match="x"), turn.taken():
        raise ValueError("x")
    assert not turn._lock.locked()
