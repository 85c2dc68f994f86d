"""How a letter's tale is told: what happens, what was seen, what is claimed. A false claim ends the tale.

The demo prints it while it happens; pytest shows it when a test failed.
"""

import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from lab.lab import LetterFailed

WIDTH = 118


def _print(line: str) -> None:
    print(line, flush=True)


@dataclass(slots=True, kw_only=True)
class Story:
    """One tale. ``write`` gets it line by line; ``began`` is the time from which journals are read."""

    write: Callable[[str], None] = _print
    began: float = field(default_factory=time.time)

    def tell(self, text: str) -> None:
        """What is being done, in a sentence."""
        for line in textwrap.wrap(text, WIDTH - 4):
            self.write(f"    {line}")

    def show(self, who: str, *lines: str) -> None:
        """What a host said: log lines, header fields, replies."""
        for line in lines:
            first, *more = textwrap.wrap(line.strip(), WIDTH - 22, break_long_words=False) or [""]
            self.write(f"      {who:>10} | {first}")
            for rest in more:
                self.write(f"      {'':>10} |   {rest}")

    def claim(self, what: str, true: object, seen: object = "") -> None:
        """Say that something holds. Raises LetterFailed, with what was seen instead, where it does not."""
        if not true:
            self.write(f"    NOT SO: {what}")
            raise LetterFailed(f"{what}: not so; seen: {seen!r}")
        self.write(f"    ok: {what}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One scene: the letter of the issue it belongs to, its name for pytest, its title for people."""

    number: int
    name: str
    title: str
    act: Callable[..., None]


LETTERS: list[Letter] = []


def letter(number: int, title: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Put a function ``(lab, story) -> None`` among the letters, in the order they are written."""

    def keep(act: Callable[..., None]) -> Callable[..., None]:
        LETTERS.append(Letter(number=number, name=act.__name__, title=title, act=act))
        return act

    return keep
