"""Running a target: input after input in several processes, each timed, whatever fails written down."""

import multiprocessing
import os
import queue
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fuzz import engine
from fuzz.chance import Chance
from fuzz.parsers import TARGETS

NAMES = ("engine", *TARGETS)
SLOWEST = 10
MOST_CPU_S = 1.0
HANGS_S = 20
MOST_FAULTS = 20
_TELL_EVERY = 200


class Hangs(Exception):
    """An input that takes too long."""


@dataclass(slots=True)
class Tally:
    """What came of some inputs. ``slow``: (CPU seconds, number), the slowest first; ``faults`` by where."""

    inputs: int = 0
    cpu_s: float = 0.0
    words: Counter[str] = field(default_factory=Counter)
    slow: list[tuple[float, int]] = field(default_factory=list)
    faults: dict[str, tuple[int, str]] = field(default_factory=dict)
    failed: int = 0

    def add(self, other: "Tally") -> None:
        self.inputs += other.inputs
        self.cpu_s += other.cpu_s
        self.words += other.words
        self.failed += other.failed
        self.slow = sorted(self.slow + other.slow, reverse=True)[:SLOWEST]
        for where, fault in other.faults.items():
            self.faults.setdefault(where, fault)


def made(target: str, seed: int, number: int) -> tuple[Any, Callable[[Any], object]]:
    """The input of that number in the run of that seed, and what reads it."""
    chance = Chance(seed << 40 | number)
    if target == "engine":
        return engine.make(chance, seed << 40 | number), engine.run
    make, read = TARGETS[target]
    return make(chance), read


def one(target: str, seed: int, number: int, tally: Tally) -> None:
    """Try one input."""
    tally.inputs += 1
    case: Any = None
    began = time.thread_time()
    try:
        with _watched():
            case, read = made(target, seed, number)
            began = time.thread_time()
            words = read(case)
        tally.words.update(words if isinstance(words, tuple) else (str(words),))
    except Exception as error:
        tally.failed += 1
        tally.faults.setdefault(_where(error), (number, _told(case, error)))
    took = time.thread_time() - began
    tally.cpu_s += took
    if len(tally.slow) < SLOWEST or took > tally.slow[-1][0]:
        tally.slow = sorted([*tally.slow, (took, number)], reverse=True)[:SLOWEST]
    if took > MOST_CPU_S:
        tally.failed += 1
        tally.faults.setdefault(f"slow {number}", (number, f"{took:.1f} s of CPU\n\n{case!r}"))


def several(target: str, seed: int, numbers: range, tell: Callable[[Tally], None] = lambda _: None) -> Tally:
    """Try the inputs of these numbers in this process; ``tell`` hears of some at a time."""
    whole, part = Tally(), Tally()
    with engine.unguarded() if target == "engine" else nullcontext():
        for number in numbers:
            one(target, seed, number, part)
            if part.inputs == _TELL_EVERY:
                tell(part)
                whole.add(part)
                part = Tally()
                if len(whole.faults) >= MOST_FAULTS:
                    break
    tell(part)
    whole.add(part)
    return whole


def race(
    target: str, seed: int, inputs: int, processes: int, say: Callable[[str], None], directory: Path
) -> Tally:
    """Try the first ``inputs`` inputs in so many processes, with a line on how it goes."""
    told: multiprocessing.Queue[Tally | str] = multiprocessing.Queue()
    workers = [
        multiprocessing.Process(target=_work, args=(target, seed, range(n, inputs, processes), told))
        for n in range(processes)
    ]
    for worker in workers:
        worker.start()
    whole, began, left = Tally(), time.monotonic(), len(workers)
    try:
        while left:
            try:
                part = told.get(timeout=60)
            except queue.Empty:
                part = "silent" if any(worker.is_alive() for worker in workers) else "dead"
            if isinstance(part, Tally):
                write(part, target, seed, directory, known=whole)
                whole.add(part)
                rate = whole.inputs / (time.monotonic() - began)
                say(f"{whole.inputs:,} of {inputs:,}, {rate:,.0f}/s, {len(whole.faults)} faults")
            elif part == "done":
                left -= 1
            elif part == "dead":
                whole.faults["dead"] = (-1, "a process died")
                break
            if len(whole.faults) >= MOST_FAULTS:
                break
    finally:
        for worker in workers:
            worker.terminate()
            worker.join()
    return whole


def _work(target: str, seed: int, numbers: range, told: "multiprocessing.Queue[Tally | str]") -> None:
    # Ctrl-C reaches the whole group; the parent alone answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.getppid()

    def tell(part: Tally) -> None:
        if os.getppid() != parent:
            os._exit(1)
        told.put(part)

    several(target, seed, numbers, tell)
    told.put("done")


@contextmanager
def _watched() -> Iterator[None]:
    """Hangs, after so many seconds of this process's CPU. Python's regular expressions let signals in."""

    def ring(*_: object) -> None:
        raise Hangs(f"after {HANGS_S} s")

    before = signal.signal(signal.SIGVTALRM, ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, HANGS_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _where(error: Exception) -> str:
    """The last places of a traceback: what fails there is one fault."""
    frames = traceback.extract_tb(error.__traceback__)[-2:]
    places = " ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)
    return f"{type(error).__name__} {places}"


def _told(case: object, error: Exception) -> str:
    return f"{''.join(traceback.format_exception(error))[-6000:]}\n{case!r}"[:200_000]


def write(tally: Tally, target: str, seed: int, directory: Path, known: Tally) -> None:
    """Each fault that is not known yet to a file of its own."""
    for where, (number, text) in tally.faults.items():
        if where not in known.faults:
            directory.mkdir(parents=True, exist_ok=True)
            path = directory / f"{target}-{seed}-{number}.txt"
            path.write_text(f"{_again(target, seed, number)}\n\n{text}\n", "utf-8", errors="backslashreplace")


def _again(target: str, seed: int, number: int) -> str:
    return f"./do fuzz --target {target} --seed {seed} --only {number}"


def report(tally: Tally, target: str, seed: int, seconds: float, directory: Path) -> None:
    """What came of it all, to stdout."""
    rate, each = tally.inputs / seconds, tally.cpu_s / max(1, tally.inputs) * 1e6
    print(f"\n{target}, seed {seed}: {tally.inputs:,} inputs in {seconds:,.0f} s, {rate:,.0f}/s")
    print(f"  CPU     {each:,.0f} us each")
    kinds: dict[str, list[str]] = {}
    for word, count in sorted(tally.words.items()):
        method, _, result = word.rpartition("=")
        kinds.setdefault(method, []).append(f"{result} {count:,}")
    for method, results in kinds.items():
        print(f"  {method:<8}{', '.join(results)}")
    slow = ", ".join(f"{took * 1000:.1f} ms (--only {number})" for took, number in tally.slow)
    print(f"  slowest {slow}")
    for where, (number, text) in tally.faults.items():
        path = directory / f"{target}-{seed}-{number}.txt"
        print(f"\nFAULT {where}\n  {path}\n  again: {_again(target, seed, number)}\n{text[:3000]}")
    print(f"  {len(tally.faults)} faults in {tally.failed} inputs")


def progress() -> Callable[[str], None]:
    """One line that is written over on a terminal; elsewhere one every half minute."""
    last = time.monotonic() if not sys.stderr.isatty() else 0.0

    def say(text: str) -> None:
        nonlocal last
        if time.monotonic() - last > (0.5 if sys.stderr.isatty() else 30):
            last = time.monotonic()
            end = "\r" if sys.stderr.isatty() else "\n"
            print(f"fuzz: {text}", end=end, file=sys.stderr, flush=True)

    return say


def cores() -> int:
    """How many processes are worth starting here."""
    return len(os.sched_getaffinity(0))
