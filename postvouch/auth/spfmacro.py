"""Macros of SPF (RFC 7208 §7): the strict grammar, and expansion in linear work.

pyspf's own expansion lets ``%{d0}``, ``%{dx}``, ``%%%x``, an open ``%{d`` and control characters pass, joins
the parts of most macros with the character that it split at, and is quadratic in the number of dots.
"""

import re
from collections.abc import Callable
from functools import lru_cache

MAX_NAME_OCTETS = 253

_STEP = re.compile(
    r"(?P<literal>[\x21-\x24\x26-\x7e]++)|%(?P<blank>[%_-])"
    r"|%\{(?P<letter>[slodiphvcrtSLODIPHVCRT])(?P<keep>[0-9]*+)(?P<turned>[rR]?)(?P<marks>[-.+,/_=]*+)\}"
)
_BLANKS = {"%": "%", "_": " ", "-": "%20"}
_TOP_LABEL = re.compile(r"(?![0-9]++\Z)[0-9A-Za-z](?:[0-9A-Za-z-]*[0-9A-Za-z])?")
# What is not ASCII stays as it is, so that the name is still seen to be impossible.
_RESERVED = re.compile(r"[^A-Za-z0-9._~\x80-\U0010ffff-]")

Step = str | tuple[str, int, bool, str]
"""Literal text, or a macro: letter, how many parts to keep (0: all), whether in reverse, where to split."""


class MacroError(ValueError):
    """The text is no macro-string, or no domain-spec; the message says why."""


@lru_cache(maxsize=1024)
def parse(text: str) -> tuple[Step, ...]:
    """Read a macro-string. MacroError; also for c, r and t, which only explanations have (RFC 7208 §7.2)."""
    steps: list[Step] = []
    at = 0
    while at < len(text):
        found = _STEP.match(text, at)
        if found is None:
            raise MacroError("invalid macro or character")
        at = found.end()
        if found["literal"]:
            steps.append(found["literal"])
        elif found["blank"]:
            steps.append((found["blank"], 0, False, ""))
        else:
            digits = found["keep"].lstrip("0")
            if found["keep"] and not digits:
                raise MacroError("a macro that keeps no part")
            if found["letter"] in "crtCRT":
                raise MacroError("the macros c, r and t are for explanations only")
            # Of 9999 parts no name has more; int() itself refuses thousands of digits.
            steps.append((found["letter"], int(digits[:4] or 0), bool(found["turned"]), found["marks"]))
    return tuple(steps)


@lru_cache(maxsize=1024)
def parse_domain_spec(text: str) -> tuple[Step, ...]:
    """Read a domain-spec: a macro-string that ends in a macro, or in a top label and perhaps a dot."""
    steps = parse(text)
    _, dot, label = text.removesuffix(".").rpartition(".")
    if steps and (isinstance(steps[-1], tuple) or (dot and _TOP_LABEL.fullmatch(label))):
        return steps
    raise MacroError("no full domain name")


def expand(steps: tuple[Step, ...], value: Callable[[str], str]) -> str:
    """Expand to a name in lower case, no last dot; ``value`` says what a lower-case letter stands for.

    Too long a name loses labels on the left until it fits (RFC 7208 §7.3).
    """
    parts = [step if isinstance(step, str) else _expanded(*step, value) for step in steps]
    name = "".join(parts).removesuffix(".").lower()
    if len(name) > MAX_NAME_OCTETS:
        name = name[name.find(".", len(name) - MAX_NAME_OCTETS - 1) + 1 :]
    return name


def _expanded(letter: str, keep: int, turned: bool, marks: str, value: Callable[[str], str]) -> str:
    if letter in _BLANKS:
        return _BLANKS[letter]
    text = value(letter.lower())
    if keep or turned or marks:
        mark = marks[:1] or "."
        for other in marks[1:]:
            text = text.replace(other, mark)
        parts = text.split(mark)
        text = ".".join((parts[::-1] if turned else parts)[-keep:])
    if letter.isupper():
        text = _RESERVED.sub(lambda found: f"%{ord(found[0]):02X}", text)
    return text
