"""Read /etc/postvouch/postvouch.toml and conf.d/*.toml beside it into one frozen ``Config``.

Files are read in lexical order of their names after the main one. A later single value wins over an earlier
one; lists in several files are joined; so are [[tables]]. All problems of all files are found in one run,
each as ``file:line: text``; unknown tables and keys are problems, since a setting that is not understood is
one that silently does nothing.
"""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from postvouch.config import cross, defaults, secrets
from postvouch.config.catalog import TABLES
from postvouch.config.gather import Gathered, gather
from postvouch.config.locate import locate
from postvouch.config.problems import ConfigError, Notes, Problem, Where
from postvouch.config.schema import Config

__all__ = ["DEFAULT_PATH", "Config", "ConfigError", "Problem", "Report", "examine", "load"]

DEFAULT_PATH = Path("/etc/postvouch/postvouch.toml")

_AT = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_TWICE = re.compile(r"^Cannot declare \((.*)\) twice$")
_HINTS = {
    "Invalid value": " (text stands in quotes)",
    "Cannot overwrite a value": " (it is set twice)",
    "Illegal character '\\n'": " (the line ends before its quote is closed)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What came of reading. ``config`` is None if there are problems; ``places``: where each is set.

    ``settings`` is what could be read, problems or not: for the defaults of tools, and for looking at keys.
    ``unread``: those of ``files`` of which nothing could be read.
    """

    config: Config | None
    settings: Config
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    files: tuple[Path, ...]
    unread: tuple[Path, ...]
    places: dict[str, tuple[Where, ...]]


def load(path: Path | None = None) -> Config:
    """The configuration that starts at ``path`` (DEFAULT_PATH if None), defaults filled in.

    Raises ConfigError with every problem found.
    """
    report = examine(path)
    if report.config is None:
        raise ConfigError(report.problems)
    return report.config


def examine(path: Path | None = None) -> Report:
    """Read and check everything, and say all of it; raises nothing. For ``postvouch check``."""
    main = Path(path) if path is not None else DEFAULT_PATH
    notes = Notes()
    gathered = Gathered()
    files = (main, *_drop_ins(main))
    unread = [each for each in files if not _read(each, gathered, notes)]
    config = _build(gathered)
    if not unread:
        cross.check(config, gathered, Where(str(main), 0), notes)
    settings = defaults.fill_in(config)
    secrets.check_modes(settings, gathered, Where(str(main), 0), notes)
    problems = tuple(dict.fromkeys(notes.problems))
    return Report(
        config=None if problems else settings,
        settings=settings,
        problems=problems,
        warnings=tuple(dict.fromkeys(notes.warnings)),
        files=files,
        unread=tuple(unread),
        places={name: tuple(wheres) for name, wheres in gathered.places.items()},
    )


def _drop_ins(main: Path) -> tuple[Path, ...]:
    """conf.d/*.toml in lexical order; names with a dot in front are files still being written."""
    found = (each for each in (main.parent / "conf.d").glob("*.toml") if not each.name.startswith("."))
    return tuple(sorted(found))


def _read(path: Path, gathered: Gathered, notes: Notes) -> bool:
    """Gather one file; False if it could not be read as TOML at all."""
    try:
        data = path.read_bytes()
    except OSError as error:
        how = "; postvouch config --example prints one" if isinstance(error, FileNotFoundError) else ""
        notes.problem(Where(str(path), 0), f"cannot be read: {error.strerror}{how}")
        return False
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        notes.problem(Where(str(path), data.count(b"\n", 0, error.start) + 1), "not UTF-8")
        return False
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _AT.search(str(error))
        line = int(found[1]) if found and found[1] else max(1, len(text.splitlines()))
        notes.problem(Where(str(path), line), f"not TOML: {_in_words(_AT.sub('', str(error)))}")
        return False
    except RecursionError:
        notes.problem(Where(str(path), 0), "not TOML: nested too deeply")
        return False
    gather(document, str(path), locate(text), gathered, notes)
    return True


def _in_words(fault: str) -> str:
    """What tomllib says, and what to do where it is one of the usual slips."""
    twice = _TWICE.search(fault)
    if twice is not None:
        name = ".".join(re.findall(r"'([^']*)'", twice[1]))
        return f"a second [{name}] in this file: put the settings below the first"
    return f"{fault.lower()}{_HINTS.get(fault, '')}"


def _build(gathered: Gathered) -> Config:
    tables: dict[str, Any] = {}
    for name, table in TABLES.items():
        given = {
            key: gathered.values[f"{name}.{key}"]
            for key in table.settings
            if f"{name}.{key}" in gathered.values
        }
        tables[name] = table.cls(**given)
    return Config(**tables)
