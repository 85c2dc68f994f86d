"""One run, in the container: letters, a resolver, the servers, rounds, the table."""

import argparse
import sys

from bench import maps, policy, postfix, sign, verify
from bench.servers import Broken

SUITES = {
    "verify": verify.main,
    "sign": sign.main,
    "postfix": postfix.main,
    "maps": maps.main,
    "policy": policy.main,
}

FULL = {"rounds": 3, "seconds": 4.0, "connections": [64, 8, 1], "letters": 2000}
QUICK = {"rounds": 1, "seconds": 2.5, "connections": [64, 8], "letters": 400}


def main() -> int:
    """0, or 1 where something did not run or a letter got a wrong answer."""
    parser = argparse.ArgumentParser(prog="./do bench MAILLOAD=PATH")
    parser.add_argument("suite", nargs="?", choices=tuple(SUITES), default="verify")
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--rounds", type=int, help="3, or 1")
    parser.add_argument("--seconds", type=float, help="of each point: 4, or 2.5; long letters have ten")
    parser.add_argument("--sizes", type=_words, help='of the letters, "2k,20k,1M"')
    parser.add_argument("--connections", type=_numbers, help='"64,8,1"')
    parser.add_argument(
        "--spf", choices=("mixed", "plain"), default="mixed", help="verify: the senders' records"
    )
    parser.add_argument(
        "--engine", action="store_true", help="verify: no milter, no peers, our engine's stages"
    )
    parser.add_argument("--profile", action="store_true", help="with --engine: cProfile's view as well")
    parser.add_argument("--letters", type=int, help="postfix: so many a run: 2000, or 400")
    given = parser.parse_args()
    usual = QUICK if given.quick else FULL
    for name, value in usual.items():
        if getattr(given, name) is None:
            setattr(given, name, value)
    try:
        SUITES[given.suite](given)
    except Broken as broken:
        print(f"bench: {broken}", file=sys.stderr)
        return 1
    return 0


def _words(text: str) -> list[str]:
    return text.split(",")


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
