"""A refresh in a process of its own: reading and compiling a large directory makes no lookup wait, and the
memory that it takes is given back.

``python -m postvouch.host.refreshing`` is that process: the order comes in as a pickle of our own parent, the
report goes out as JSON.
"""

import contextlib
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass

from postvouch.config.schema import Config
from postvouch.directory.model import Directory
from postvouch.host.gather import Report, refresh

PATIENCE_S = 600.0
"""Beyond ldap.deadline: for files, compiling and writing."""

_NICE = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A report, and the directory itself where it was made in this process."""

    report: Report
    directory: Directory | None = None


Read = Callable[[Config, float, bool], Outcome]
"""``read(config, now, force)``: one refresh. Never raises for what a source does."""


def here(config: Config, now: float, force: bool) -> Outcome:
    """Refresh in this process."""
    report, gathered = refresh(config, now=now, force=force)
    return Outcome(report=report, directory=gathered.compiled.directory)


class Child:
    """Refreshes in a process of their own, one at a time."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._process: subprocess.Popen[bytes] | None = None
        self._over = False

    def __call__(self, config: Config, now: float, force: bool) -> Outcome:
        """A refresh that does not end, or ends badly, is a failure of that name; the old directory stays."""
        patience_s = self._patience_s + config.ldap.deadline
        with subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            self._process = process
            if self._over:
                process.kill()
            try:
                out, said = process.communicate(pickle.dumps((config, now, force)), patience_s)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                return _failed(f"the names were not read within {patience_s:.0f} s")
            finally:
                self._process = None
        try:
            report = json.loads(out)
        except ValueError:
            last = said.decode("utf-8", "replace").strip().rpartition("\n")[2]
            return _failed(
                f"reading the names ended with status {process.returncode}: {last or 'no word'}"[:500]
            )
        return Outcome(
            report=Report(
                failures=tuple(report["failures"]),
                problems=tuple(report["problems"]),
                sizes=tuple((origin, size) for origin, size in report["sizes"]),
                names=report["names"],
                logins=report["logins"],
                changed=report["changed"],
                unsaved=report["unsaved"],
            )
        )

    def stop(self) -> None:
        """End the one under way, and every later one: nothing is lost, a snapshot is written whole or not."""
        self._over = True
        process = self._process
        if process is not None:
            process.kill()


def _failed(text: str) -> Outcome:
    return Outcome(report=Report(failures=(text,)))


def main() -> None:
    """The process."""
    with contextlib.suppress(PermissionError):  # a sandbox may forbid even this
        os.nice(_NICE)
    config, now, force = pickle.load(sys.stdin.buffer)  # noqa: S301 - see above
    report, _ = refresh(config, now=now, force=force)
    json.dump(asdict(report), sys.stdout)


if __name__ == "__main__":
    main()
