"""The four honest answers to a question: found, not found, not now, not ever.

Postfix's own dictionaries tell the same four apart (``dict.h``). Mixing up the second and the third bounces
mail for every user while a server restarts, so they are different types and not different values.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Found:
    """The value, never empty, and where it came from ("names.yaml:12", a DN), for people who ask why."""

    value: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class NotFound:
    """Authoritatively nothing: Postfix may answer 550 on the strength of it."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Unavailable:
    """We cannot know now: Postfix answers 451 and the sender retries."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The key is ours and wrong (forged SRS, loop): never delivered; the reason goes to the log."""

    reason: str


Answer = Found | NotFound | Unavailable | Refused
