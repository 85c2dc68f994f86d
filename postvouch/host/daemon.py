"""What the four commands share: ``--config``, ``--version``, a bad configuration is exit status 78, reload.

A ``Service`` holds the one configuration in use. It is replaced as a whole or not at all.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from postvouch import __version__
from postvouch.config.load import DEFAULT_PATH, load
from postvouch.config.problems import ConfigError
from postvouch.config.schema import Config
from postvouch.host.log import ERROR, Log, to_stderr

EX_CONFIG = os.EX_CONFIG
"""78: systemd is told not to start again what only a person can mend."""


@dataclass(slots=True, kw_only=True)
class Service:
    """One daemon on this host: its name, where its configuration is, the one in use, its log."""

    program: str
    path: Path | None
    config: Config
    log: Log

    def reload(self, check: Callable[[Config], list[str]] = lambda config: []) -> bool:
        """Read the configuration again; keep the old one and log every problem if it has any.

        ``check`` may find further problems (a key that cannot be read). Whether the new one is in use.
        """
        try:
            config = load(self.path)
        except ConfigError as error:
            problems = [str(problem) for problem in error.problems]
        else:
            problems = check(config)
        if problems:
            for problem in problems:
                self.log.note(problem, level=ERROR)
            self.log.note("reload refused: the configuration in use stays", level=ERROR)
            return False
        self.config = config
        self.log.privacy, self.log.debugging = config.log.privacy, config.log.debug
        return True


def start(program: str, path: Path | None) -> Service:
    """Load the configuration or leave with 78, every problem on a line of its own."""
    log = to_stderr(program)
    try:
        config = load(path)
    except ConfigError as error:
        for problem in error.problems:
            log.note(str(problem), level=ERROR)
        sys.exit(EX_CONFIG)
    log.privacy, log.debugging = config.log.privacy, config.log.debug
    return Service(program=program, path=path, config=config, log=log)


def command(program: str, doc: str, run: Callable[[Service], int]) -> click.Command:
    """Make the command of one daemon: it loads the configuration, then runs in the foreground."""

    @click.command(name=program, help=doc)
    @click.option(
        "--config",
        "path",
        type=click.Path(dir_okay=False, path_type=Path),
        help=f"Configuration file. Default: {DEFAULT_PATH}",
    )
    @click.version_option(__version__, prog_name=program)
    def main(path: Path | None) -> None:
        sys.exit(run(start(program, path)))

    return main
