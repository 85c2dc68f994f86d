"""Plain counters: what they show is what prometheus_client would show of the same questions."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from postvouch.host.tally import Tally

BOUNDS = (0.001, 0.1, 3.0)
WORDS = st.sampled_from(["alias", "forward", "other"])


@given(st.lists(st.tuples(WORDS, WORDS, st.floats(0, 10) | st.sampled_from(BOUNDS))))
def test_what_is_shown_is_what_prometheus_client_would_show(told: list[tuple[str, str, float]]) -> None:
    theirs, ours = CollectorRegistry(), CollectorRegistry()
    asked = Counter("postvouch_requests", ".", ("daemon", "table", "answer"), registry=theirs)
    took = Histogram("postvouch_seconds", ".", ("daemon",), buckets=BOUNDS, registry=theirs).labels("map")
    tally = Tally("map", BOUNDS)
    ours.register(tally)
    for table, answer, seconds in told:
        asked.labels("map", table, answer).inc()
        took.observe(seconds)
        tally.answered((table, answer), seconds)
    for seconds in (0.05, 4.0):
        took.observe(seconds)
        tally.observe(seconds)
    assert _samples(ours) == _samples(theirs)


def _samples(registry: CollectorRegistry) -> set[str]:
    lines = generate_latest(registry).decode().splitlines()
    return {line for line in lines if not line.startswith("#") and "_created" not in line}
