"""host/budget.py: what a thread computes counts, what it waits for does not."""

import threading
import time

from postvouch.host.budget import budget


def work(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_the_time_is_up_when_so_much_was_computed() -> None:
    spent = budget(0.05)
    assert not spent()
    work(0.06)
    assert spent()


def test_waiting_costs_nothing() -> None:
    spent = budget(0.05)
    time.sleep(0.1)
    assert not spent()


def test_a_neighbours_work_is_not_counted() -> None:
    spent = budget(0.05)
    neighbour = threading.Thread(target=work, args=(0.1,))
    neighbour.start()
    neighbour.join()
    assert not spent()
