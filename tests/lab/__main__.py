"""What ./do calls: python3 -m lab demo | up | down [--all] | deb | unit | fuzz [--release 12|13] [...]."""

import argparse
import sys

from lab import bring_up, demo, images, package, workshop
from lab.engine import EngineError, find

RELEASES = tuple(sorted(images.SUITES))


def main() -> int:
    """One command; the exit code."""
    parser = argparse.ArgumentParser(prog="python3 -m lab")
    parser.add_argument("command", choices=("demo", "up", "down", "deb", "unit", "fuzz"))
    parser.add_argument("--release", choices=RELEASES, help="default: 13; for down and deb: both")
    parser.add_argument("--all", action="store_true", help="down: remove the images as well")
    given, rest = parser.parse_known_args()
    arguments = [argument for argument in rest if argument != "--"]
    if arguments and given.command not in ("unit", "fuzz"):
        parser.error(f"what is {arguments[0]}?")
    release = given.release or "13"
    several = (given.release,) if given.release else RELEASES
    try:
        match given.command:
            case "demo":
                return demo.demo(release)
            case "up":
                bring_up.up(release)
            case "down":
                for one in several:
                    bring_up.down(one)
                if given.all:
                    bring_up.tidy(find())
            case "deb":
                for one in several:
                    print(package.package(find(), one, checked=True))
            case "unit":
                return workshop.unit(release, arguments)
            case "fuzz":
                return workshop.fuzz(release, arguments)
    except EngineError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
