"""A short run of ./do fuzz, and whether the fuzzer would find what it is there to find."""

import io
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from unittest import mock

import pytest
from fuzz import engine, memory, race

from postvouch.auth import dkim, header, spf
from postvouch.auth.result import DkimFinding, Result

INPUTS = 2500


@pytest.fixture(scope="module")
def tally() -> race.Tally:
    return race.several("engine", 1, range(INPUTS))


def test_no_letter_that_the_fuzzer_makes_breaks_the_engine(tally: race.Tally) -> None:
    assert not tally.faults, "\n".join(text for _, text in tally.faults.values())
    assert tally.inputs == INPUTS


@pytest.mark.parametrize("target", race.TARGETS)
def test_nothing_that_the_fuzzer_makes_breaks_a_parser(target: str) -> None:
    tally = race.several(target, 1, range(500))
    assert not tally.faults, "\n".join(text for _, text in tally.faults.values())


def test_the_fuzzer_reaches_every_result(tally: race.Tally) -> None:
    words = [word.split("=") for word in tally.words]
    for method, legal in engine.LEGAL.items():
        if method != "iprev":
            assert {result for name, result in words if name == method} == legal
    assert {result for name, result in words if name == "action"} == {
        "accept",
        "mark",
        "quarantine",
        "defer",
        "reject",
    }


def test_a_number_is_always_the_same_input() -> None:
    for target in race.NAMES:
        for number in range(20):
            assert repr(race.made(target, 7, number)[0]) == repr(race.made(target, 7, number)[0])
    assert repr(race.made("engine", 7, 1)[0]) != repr(race.made("engine", 8, 1)[0])


def raises(*_: object, **__: object) -> None:
    raise KeyError("a fault of ours")


def passes(*_: object, **__: object) -> tuple[DkimFinding, ...]:
    return (DkimFinding(result=Result.PASS, d="far.example"),)


@pytest.mark.parametrize(
    "module, name, faulty",
    [
        (dkim, "verify", raises),
        (spf, "_folded", raises),
        (header, "removals", lambda *_: ()),
        (header, "claims", lambda *_: True),
        (dkim, "verify", passes),
    ],
)
def test_the_fuzzer_finds_a_fault_though_evaluate_would_hide_it(
    module: object, name: str, faulty: Callable[..., object], tmp_path: Path
) -> None:
    with mock.patch.object(module, name, faulty):
        tally = race.several("engine", 1, range(200))
    assert tally.faults
    number, _ = next(iter(tally.faults.values()))
    race.write(tally, "engine", 1, tmp_path, known=race.Tally())
    with redirect_stdout(io.StringIO()) as said:
        race.report(tally, "engine", 1, 1.0, tmp_path)
    assert f"./do fuzz --target engine --seed 1 --only {number}\n" in said.getvalue()
    assert (
        (tmp_path / f"engine-1-{number}.txt")
        .read_text()
        .startswith("./do fuzz --target engine --seed 1 --only")
    )


def test_an_input_that_takes_too_long_is_a_fault() -> None:
    with mock.patch.object(race, "MOST_CPU_S", 0.0):
        tally = race.several("address", 1, range(3))
    assert len(tally.faults) == 3


def test_an_input_that_never_ends_is_a_fault() -> None:
    def forever(_: bytes) -> str:
        while True:
            pass

    with (
        mock.patch.object(race, "HANGS_S", 0.1),
        mock.patch.dict(race.TARGETS, address=(race.TARGETS["address"][0], forever)),
    ):
        tally = race.several("address", 1, range(1))
    assert [where.split()[0] for where in tally.faults] == ["Hangs"]


@pytest.mark.parametrize(
    "text, segments",
    [
        ("a; b=c", ["a", " b=c"]),
        ('a; b="x;y" c', ["a", " b= c"]),
        ('a; b="x\\";y"; d', ["a", " b=", " d"]),
        ("a (x;(y)z;); b", ["a ", " b"]),
        ("a (\\);); b", ["a ", " b"]),
    ],
)
def test_the_crude_reader_of_our_field(text: str, segments: list[str]) -> None:
    assert engine.crude(text) == segments


def test_a_letter_of_20_mb_costs_the_verifier_little_more_than_nothing() -> None:
    with memory.daemon(workers=1) as made:
        assert memory.huge(made, 20 * memory.MIB) < 8


def test_letter_after_letter_of_new_senders_leaves_memory_flat() -> None:
    with memory.daemon(workers=1, cache_entries=200) as made:
        seen = memory.series(made, 2000, 1000, lambda letters, mib: None)
    assert seen[-1] - seen[-2] < 6, seen
