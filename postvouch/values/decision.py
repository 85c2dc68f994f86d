"""What we decided about a message, as data: a verdict, edits in the order to apply, a stable reason code.

The doors carry a decision out; nothing else touches a message. Removing fields counts occurrences of a name
from 1, as the milter protocol does, and must go from the highest to the lowest, before any insertion: each
removal shifts those below it (the shape of CVE-2022-48521).
"""

from dataclasses import dataclass

from postvouch.values.reply import Reply


@dataclass(frozen=True, slots=True)
class RemoveField:
    """Remove the ``nth`` field (from 1) of that name."""

    name: str
    nth: int


@dataclass(frozen=True, slots=True)
class InsertField:
    """Insert a field above all others, our own Received included. ``value``: folds as LF + white space."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class AddField:
    """Add a field below all others. ``value``: folds as LF + white space."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class ReplaceBody:
    """Put ``body`` (CRLF lines) in the place of the whole body."""

    body: bytes


@dataclass(frozen=True, slots=True)
class ChangeSender:
    """Replace the envelope sender by ``address``, written without angle brackets.

    Postfix still puts it through sender_canonical_maps (canonical(5)).
    """

    address: str


Edit = RemoveField | InsertField | AddField | ReplaceBody | ChangeSender


@dataclass(frozen=True, slots=True)
class Accept:
    """Let it pass."""


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuse for good, with a public text."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Defer:
    """Refuse for now: the sender keeps the message and tries again."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Accept and hold: Postfix's hold queue, until an admin looks."""

    reason: str


Verdict = Accept | Reject | Defer | Quarantine


def action_of(verdict: Verdict, *, marked: bool = False) -> str:
    """A verdict as the word of log lines: accept, mark, reject, defer or quarantine."""
    return "mark" if marked and isinstance(verdict, Accept) else type(verdict).__name__.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One decision. ``code`` is the stable reason code of the log line, ``facts`` its further pairs.

    ``marked``: the edits hold a mark for filters to read.
    """

    verdict: Verdict
    code: str
    edits: tuple[Edit, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    marked: bool = False

    @property
    def action(self) -> str:
        """The word of the log line: accept, mark, reject, defer or quarantine."""
        return action_of(self.verdict, marked=self.marked)
