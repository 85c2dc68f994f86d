"""What ./do fuzz calls: python3 -m fuzz [--inputs N] [--seed S] [--target NAME] [--only N] [--memory]."""

import argparse
import sys
import time
from pathlib import Path

from fuzz import race

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """One run; 0 when nothing failed."""
    parser = argparse.ArgumentParser(
        prog="./do fuzz", description="The engine and every parser, fed with anything."
    )
    parser.add_argument(
        "--target", choices=(*race.NAMES, "parsers"), default="engine", help="what is fed (engine)"
    )
    parser.add_argument("--inputs", type=int, default=1_000_000, metavar="N", help="so many inputs (1000000)")
    parser.add_argument(
        "--seed", type=int, default=1, metavar="S", help="of the run; each has its own inputs (1)"
    )
    parser.add_argument("--only", type=int, metavar="NUMBER", help="this one input of the run, shown")
    parser.add_argument("--processes", type=int, default=race.cores(), metavar="N", help="so many at once")
    parser.add_argument(
        "--memory", action="store_true", help="instead: what a real daemon needs, letter by letter"
    )
    parser.add_argument(
        "--directory", type=Path, default=ROOT / ".do/fuzz", help="where faults are written (.do/fuzz)"
    )
    given = parser.parse_args()
    if given.memory:
        # Needs libmilter and miltertest, which the rest does not.
        from fuzz import memory

        return memory.main()
    if given.only is not None:
        case, _ = race.made(given.target, given.seed, given.only)
        print(case)
        tally = race.several(given.target, given.seed, range(given.only, given.only + 1))
        race.write(tally, given.target, given.seed, given.directory, known=race.Tally())
        race.report(tally, given.target, given.seed, max(tally.cpu_s, 1e-3), given.directory)
        return 1 if tally.faults else 0
    failed = False
    for target in race.NAMES[1:] if given.target == "parsers" else (given.target,):
        began = time.monotonic()
        tally = race.race(target, given.seed, given.inputs, given.processes, race.progress(), given.directory)
        race.report(tally, target, given.seed, time.monotonic() - began, given.directory)
        failed = failed or bool(tally.faults)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
