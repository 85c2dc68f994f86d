"""The computing time of one message: a clock that counts what this thread computes, not what it waits."""

import time
from collections.abc import Callable


def budget(seconds: float) -> Callable[[], bool]:
    """Start counting for the calling thread; the function says whether the ``seconds`` are up.

    To be called by that thread only. Waiting for DNS costs nothing here: it has a limit of its own.
    """
    end = time.thread_time() + seconds
    return lambda: time.thread_time() > end
