"""Counters of a daemon that answers tens of thousands of questions a second in one thread.

Plain numbers, turned into families of metrics when somebody reads them. A counter and a histogram of
prometheus_client take locks that one thread does not need, and cost more than most answers do.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.utils import floatToGoString


class Tally:
    """How often each pair of words came, and how long the answers took.

    ``answered`` and ``observe`` belong to one thread; any may ``collect``, and then sees all that is over.
    ``bounds``: of the buckets of the histogram, ascending, in seconds.
    """

    def __init__(self, daemon: str, bounds: Sequence[float]) -> None:
        self._daemon = daemon
        self._bounds = tuple(bounds)
        self._times: dict[tuple[str, str], int] = {}
        self._buckets = [0] * (len(self._bounds) + 1)
        self._sum = 0.0

    def answered(self, pair: tuple[str, str], seconds: float) -> None:
        """One more (table, answer), which took so long; the caller bounds how many different ones come."""
        self._times[pair] = self._times.get(pair, 0) + 1
        self._buckets[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    def observe(self, seconds: float) -> None:
        """Something else took so long."""
        self._buckets[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    def collect(self) -> Iterator[Metric]:
        """The two families, as prometheus_client's own metrics would give them."""
        requests = CounterMetricFamily(
            "postvouch_requests",
            "Lookups and policy requests by table and answer.",
            labels=("daemon", "table", "answer"),
        )
        for (table, answer), times in tuple(self._times.items()):
            requests.add_metric((self._daemon, table, answer), times)
        yield requests
        below, buckets = 0, []
        for bound, times in zip((*self._bounds, float("inf")), tuple(self._buckets), strict=True):
            below += times
            buckets.append((floatToGoString(bound), below))  # type: ignore[no-untyped-call]
        seconds = HistogramMetricFamily(
            "postvouch_seconds",
            "From the last octet of a message or request to our answer.",
            labels=("daemon",),
        )
        seconds.add_metric((self._daemon,), buckets, self._sum)
        yield seconds
