"""Counters for Prometheus, served at /metrics; the only place that knows prometheus_client.

A daemon of one process keeps its values in memory. Forked workers share a private directory of mapped files
(the library's multi-process mode), which one process of its own reads when asked. Labels hold words of ours
and never of a stranger's: what is no plain word, or one word too many, counts as "other".
"""

import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, values
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import start_http_server
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from postvouch.host.tally import Tally

SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
MAX_WORDS = 50
"""Different words that one label may take before the rest is "other"."""

_WORD = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


class _Words:
    """The bounded set of words that one label takes."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def __call__(self, word: str) -> str:
        if word in self._known:
            return word
        if len(self._known) >= MAX_WORDS or not _WORD.fullmatch(word):
            return "other"
        self._known.add(word)
        return word


class _Computed:
    """Gauges that are asked for their value when somebody reads them, like the age of a file."""

    def __init__(self, daemon: str, gauges: Mapping[str, tuple[str, Callable[[], float]]]) -> None:
        self._daemon = daemon
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        for name, (text, value) in self._gauges.items():
            family = GaugeMetricFamily(name, text, labels=("daemon",))
            family.add_metric((self._daemon,), value())
            yield family


def shared_directory() -> Path:
    """Make a private directory for the values of forked workers, below the unit's RuntimeDirectory or /tmp.

    A new one each start: counters begin at 0 with the daemon, as those of any program do.
    """
    parent = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0] or None
    return Path(tempfile.mkdtemp(prefix="postvouch-metrics-", dir=parent))


class Metrics:
    """All metrics of one daemon. ``daemon`` is "verify", "sign", "map" or "policy".

    ``directory`` (see ``shared_directory``) makes the values those of all processes forked afterwards. One
    process may hold one such instance: where the library keeps its values is global to it.
    """

    def __init__(self, daemon: str, *, directory: Path | None = None) -> None:
        self._directory = directory
        self._registry = CollectorRegistry()
        self._words: dict[str, _Words] = {}
        self._told: dict[tuple[str, str], Counter] = {}
        self._asked: set[tuple[str, str]] = set()
        if directory is not None:
            # The library reads the variable when it opens a file and takes the class when a metric is made;
            # setting both here spares us the rule "set it before the first import anywhere".
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
            values.ValueClass = values.MultiProcessValue()  # type: ignore[no-untyped-call]
        else:
            values.ValueClass = values.MutexValue
        # With shared values the collector reads the files; registered, this process would count twice.
        home = None if directory is not None else self._registry
        me: Any = {"registry": home, "labelnames": ("daemon",)}
        self._daemon = daemon
        self._messages = Counter(
            "postvouch_messages",
            "Messages by what was done and why.",
            ("daemon", "action", "code"),
            registry=home,
        )
        self._results = Counter(
            "postvouch_results",
            "Results of SPF, DKIM, ARC and DMARC.",
            ("daemon", "method", "result"),
            registry=home,
        )
        self._would = Counter(
            "postvouch_would",
            "Messages let in by mode monitor, by what enforce would do and why.",
            ("daemon", "action", "code"),
            registry=home,
        )
        self._outcomes = Counter(
            "postvouch_forward_outcome",
            "Letters that leave, by whether they can pass DMARC at their target.",
            ("daemon", "outcome"),
            registry=home,
        )
        self._tokens = Counter(
            "postvouch_srs_tokens",
            "Token addresses of long senders, by what became of them.",
            ("daemon", "result"),
            registry=home,
        )
        self._bugs = Counter(
            "postvouch_bugs", "Faults of ours, each with its traceback in the log.", **me
        ).labels(daemon)
        self._deaths = Counter("postvouch_worker_deaths", "Workers that ended unasked.", **me).labels(daemon)
        self._tally = Tally(daemon, SECONDS)
        self._seconds: Any = self._tally
        if directory is None:
            self._registry.register(self._tally)
        else:
            self._seconds = Histogram(
                "postvouch_seconds",
                "From the last octet of a message or request to our answer.",
                buckets=SECONDS,
                **me,
            ).labels(daemon)
        # Only the process that is reloaded sets these two: "livesum" is its value, whatever workers do.
        alone: Any = {**me, "multiprocess_mode": "livesum"}
        self._config_ok = Gauge(
            "postvouch_config_ok", "1 while the configuration on disk is in use.", **alone
        ).labels(daemon)
        self._started = Gauge(
            "postvouch_start_time_seconds", "When the daemon started, since the epoch.", **alone
        ).labels(daemon)
        self._started.set(time.time())
        self._config_ok.set(1)

    def message(self, action: str, code: str, seconds: float) -> None:
        """Count one message: its action, its reason code, how long its sender waited for us."""
        counter = self._told.get((action, code))
        if counter is None:
            words = self._word("action", action), self._word("code", code)
            counter = self._messages.labels(self._daemon, *words)
            if words == (action, code):  # and so one of a bounded number
                self._told[action, code] = counter
        counter.inc()
        self._seconds.observe(seconds)

    def request(self, table: str, answer: str, seconds: float) -> None:
        """Count one lookup or policy request: the table or check that was asked, the word we answered.

        For daemons of one process and one thread that answers.
        """
        pair = (table, answer)
        if pair not in self._asked:
            pair = (self._word("table", table), self._word("answer", answer))
            if pair == (table, answer):  # and so one of a bounded number
                self._asked.add(pair)
        self._tally.answered(pair, seconds)

    def results(self, facts: Iterable[tuple[str, str]], code: str = "") -> None:
        """Count what a decision's facts say: spf, dkim, arc and dmarc by the first word of each, and would
        with the ``code`` of the decision, and outcome."""
        for name, text in facts:
            if name in ("spf", "dkim", "arc", "dmarc"):
                self._results.labels(self._daemon, name, self._word("result", text.partition(" ")[0])).inc()
            elif name == "would":
                self._would.labels(self._daemon, self._word("action", text), self._word("code", code)).inc()
            elif name == "outcome":
                self._outcomes.labels(self._daemon, self._word("outcome", text)).inc()

    def token(self, result: str) -> None:
        """Count one question to the store of tokens."""
        self._tokens.labels(self._daemon, self._word("result", result)).inc()

    def bug(self) -> None:
        """Count one fault of ours."""
        self._bugs.inc()

    def worker_died(self, pid: int) -> None:
        """Count a worker that ended unasked and forget its gauges; its counters stay, they were true."""
        self._deaths.inc()
        if self._directory is not None:
            mark_process_dead(pid, str(self._directory))  # type: ignore[no-untyped-call]

    def config_ok(self, ok: bool) -> None:
        """Say whether the last reload took."""
        self._config_ok.set(1 if ok else 0)

    def serve(
        self, address: str, gauges: Mapping[str, tuple[str, Callable[[], float]]] | None = None
    ) -> None:
        """Serve /metrics at "host:port" ("[v6]:port") from a thread of the calling process; return at once.

        ``gauges``: name -> (text, function) for what is measured when asked, like a file's age. Raises
        OSError where the address cannot be had and ValueError where it is none.
        """
        registry = self._registry
        if self._directory is not None:
            MultiProcessCollector(registry, str(self._directory))  # type: ignore[no-untyped-call]
        if gauges:
            registry.register(_Computed(self._daemon, gauges))
        host, port = split_address(address)
        start_http_server(port, addr=host, registry=registry)

    def close(self) -> None:
        """Remove the shared directory; the last act of the process that made it."""
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)

    def _word(self, label: str, word: str) -> str:
        return self._words.setdefault(label, _Words())(word)


def split_address(address: str) -> tuple[str, int]:
    """Take "127.0.0.1:9471" or "[::1]:9471" apart; ValueError names what is wrong."""
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{address!r} is not host:port")
    return host.removeprefix("[").removesuffix("]"), int(port)
