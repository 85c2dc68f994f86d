"""What every check that joins settings works with: the configuration, and a way to speak about it by name."""

import re

from postvouch.config.gather import Gathered
from postvouch.config.problems import Notes, Where
from postvouch.config.schema import Config

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
"""A host name; also the form of a selector (RFC 6376 §3.1)."""


class Checks:
    """One configuration, checked."""

    def __init__(self, config: Config, gathered: Gathered, main: Where, notes: Notes) -> None:
        self.config = config
        self.gathered = gathered
        self.main = main
        self.notes = notes

    def problem(self, text: str, *names: str) -> None:
        """A problem of these settings, at the place of the first that is set; silent if one is faulty."""
        if not self.gathered.faulty.intersection(names):
            self.notes.problem(self.gathered.where(*names) or self.main, text)

    def warning(self, text: str, *names: str) -> None:
        """A warning about these settings."""
        if not self.gathered.faulty.intersection(names):
            self.notes.warning(self.gathered.where(*names) or self.main, text)
