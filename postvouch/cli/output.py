"""What every verb of postvouch(1) shares: exit statuses, ``--config``, ``--json``, tables and colours.

Tables and colours are for terminals; a pipe gets plain text, the same words in the same order. What came out
of a letter or a file is printed with its control characters spelled out: none of it talks to the terminal.
"""

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from postvouch.config.load import DEFAULT_PATH, load
from postvouch.config.problems import ConfigError
from postvouch.config.schema import Config
from postvouch.values.answer import Found, NotFound, Refused, Unavailable

OK = 0
NEGATIVE = 1
USAGE = os.EX_USAGE
DATA = os.EX_DATAERR
UNAVAILABLE = os.EX_UNAVAILABLE
TEMPFAIL = os.EX_TEMPFAIL
CONFIG = os.EX_CONFIG

STATUSES = {
    OK: "yes, found, done",
    NEGATIVE: "no, not found, refused: the answer to the question is negative",
    USAGE: "the command was used wrongly",
    DATA: "the input is not what it should be",
    UNAVAILABLE: "a daemon, a library or a file that is needed is not there",
    TEMPFAIL: "not now: the same may succeed later",
    CONFIG: "the configuration has problems; each is printed with file and line",
}
"""The exit statuses, those of sysexits(3); scripts may rely on them."""

ANSWERS: dict[type, str] = {
    Found: "found",
    NotFound: "not-found",
    Unavailable: "unavailable",
    Refused: "refused",
}
"""The four answers as words of JSON."""

STATUS_OF_ANSWER: dict[type, int] = {
    Found: OK,
    NotFound: NEGATIVE,
    Unavailable: TEMPFAIL,
    Refused: NEGATIVE,
}

F = TypeVar("F", bound=Callable[..., Any])


class Failure(Exception):
    """Ends the command: one line on standard error and an exit status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def config_option(function: F) -> F:
    """``--config FILE``, given to the verb as ``path``."""
    option = click.option(
        "--config",
        "path",
        metavar="FILE",
        type=click.Path(path_type=Path, readable=False),  # whether it is, the reader says, with what to do
        help=f"Configuration file; conf.d/*.toml beside it is read too. Default: {DEFAULT_PATH}",
    )
    return option(function)


def json_option(function: F) -> F:
    """``--json``, given to the verb as ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


def configuration(path: Path | None) -> Config:
    """The configuration, or the end of the command with its problems and status 78."""
    try:
        return load(path)
    except ConfigError as error:
        raise Failure(CONFIG, "\n".join(map(str, error.problems))) from None


def print_json(data: Any) -> None:
    """One JSON document; ASCII, so that no byte of a letter reaches a terminal raw."""
    click.echo(json.dumps(data, indent=2))


def clean(text: object) -> str:
    """``text`` with control characters spelled out as in a Python string."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(text))


def terminal() -> bool:
    """Whether a person looks at standard output."""
    return sys.stdout.isatty()


_STYLES = {
    "pass": "green", "ok": "green", "accept": "green", "good": "green",
    "fail": "red", "reject": "red", "permerror": "red", "problem": "red",
    "error": "red",
    "softfail": "yellow", "temperror": "yellow", "warning": "yellow", "defer": "yellow",
    "quarantine": "yellow",
}  # fmt: skip


def styled(word: str) -> str:
    """A word in the colour of its meaning, on terminals that want colour."""
    colour = _STYLES.get(word)
    if not colour or not terminal() or "NO_COLOR" in os.environ:
        return word
    return click.style(word, fg=colour)


def heading(text: str) -> None:
    """A line that begins a part of the output."""
    click.echo(click.style(text, bold=True) if terminal() else text)


def line(text: str) -> None:
    """One line of text, cleaned."""
    click.echo(clean(text))


def raw(text: str) -> None:
    """One line whose parts have been cleaned and may hold colours."""
    click.echo(text.rstrip())


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table: drawn on a terminal, aligned columns without frame or cutting elsewhere."""
    cells = [[clean(cell) for cell in row] for row in rows]
    if terminal():
        drawn = Table(box=None, header_style="bold", pad_edge=False)
        for header in headers:
            drawn.add_column(header, overflow="fold")
        for row in cells:
            drawn.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
        Console().print(drawn)
        return
    widths = [max(map(len, column)) for column in zip(headers, *cells, strict=True)]
    for row in [list(headers), *cells]:
        padded = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo(padded.rstrip())


def leave(status: int) -> NoReturn:
    """End the verb with this exit status."""
    raise click.exceptions.Exit(status)
