"""What is wrong with a configuration, and where: ``file:line: text``, all of it in one run."""

from dataclasses import dataclass
from difflib import get_close_matches
from typing import NamedTuple


class Where(NamedTuple):
    """A place in a file; ``line`` counts from 1, 0 where the whole file is meant."""

    file: str
    line: int


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One problem or warning, ready to print."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}" if self.line else f"{self.file}: {self.text}"


class ConfigError(Exception):
    """The configuration cannot be used. ``problems`` is never empty and holds all that were found."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


class Notes:
    """Collects problems (the configuration is unusable) and warnings (it may not do what was meant)."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []

    def problem(self, where: Where, text: str) -> None:
        """Note an error."""
        self.problems.append(Problem(where.file, where.line, text))

    def warning(self, where: Where, text: str) -> None:
        """Note a warning."""
        self.warnings.append(Problem(where.file, where.line, text))


def did_you_mean(word: str, known: list[str]) -> str:
    """' (did you mean "x"?)' for a misspelt word, "" where nothing known is close."""
    close = get_close_matches(word.lower(), known, n=1, cutoff=0.7)
    return f' (did you mean "{close[0]}"?)' if close else ""
