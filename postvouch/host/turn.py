"""One thread computes at a time; who waits for the network lets the next one go.

Python computes one thread at a time in any case. But threads that contend for its lock hand it to each other
in the middle of their work, some twenty times a letter, and with 64 connections most of a worker's time goes
into that. One lock in front of the work costs one hand-over a letter. There is one turn in a process.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE_S = 0.1
"""Who has waited so long goes ahead: one letter that takes long holds up no other by more than this."""

_lock = threading.Lock()
_mine = threading.local()


@contextmanager
def taken() -> Iterator[None]:
    """Wait for the turn and keep it while it lasts. Not to be nested."""
    _mine.held = _lock.acquire(timeout=PATIENCE_S)
    try:
        yield
    finally:
        _release()


@contextmanager
def given_back() -> Iterator[None]:
    """Let others compute while this thread waits for something; nothing where it does not have the turn."""
    if not getattr(_mine, "held", False):
        yield
        return
    _release()
    try:
        yield
    finally:
        _mine.held = _lock.acquire(timeout=PATIENCE_S)


def _release() -> None:
    if _mine.held:
        _mine.held = False
        _lock.release()
