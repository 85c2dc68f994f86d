"""Which domains could a careless reader make out in a From: that does not hold exactly one author?

A broken From: proves nothing, yet some reader down the road will settle on one address in it. So the text is
squeezed as far as any lenient parser might go, and cut wherever one might stop, and then searched. This errs
on the side of finding: it keeps a spoof from dodging the rules about our own domains, and nobody is believed
because of it. Linear.
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from itertools import islice, product

from postvouch.auth.encodedword import decoded

_COMMENT_STEP = re.compile(r"[()]|\\.", re.DOTALL)
_NAME = re.compile(r"[a-z0-9_.\-\u00a1-\U0010ffff]++")
_MAX_NAME = 253
_MAX_SPELLINGS = 64


class _Plain(dict[int, str]):
    """What a character may come down to: itself without case and width, or ``gap`` (blanks, controls, quotes,
    invisible ones, octets that were not UTF-8). Bounded: strangers fill it."""

    def __init__(self, gap: str) -> None:
        super().__init__()
        self._gap = gap

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if unicodedata.category(character)[0] in "CZ" or character in '"\\':
            plain = self._gap
        else:
            # IDNA's other full stops (UTS 46) are dots to whoever maps before he looks.
            plain = unicodedata.normalize("NFKC", character).lower().replace("\u3002", ".")
        if len(self) < 4096:
            self[code] = plain
        return plain


_SQUEEZED, _CUT = _Plain(""), _Plain(" ")


def mentioned(values: Iterable[bytes]) -> tuple[str, ...]:
    """Domain names in the values of the From fields, folded, in A- or U-labels as they stand there; sorted.

    To be compared with ``spellings``: IDNA takes too long for all the names that a From: may hold.
    """
    # Of a run that is too long for a name the end says whose it is.
    names = {run.strip(".")[-_MAX_NAME:] for text in _readings(values) for run in _NAME.findall(text)}
    return tuple(sorted(name for name in names if "." in name))


def mentions(values: Iterable[bytes], domains: Iterable[str]) -> bool:
    """Whether one of ``domains`` (lower-case A-labels) stands in the From fields, in any spelling."""
    wanted = {form for domain in domains for form in spellings(domain)}
    return any(form in text for text in _readings(values) for form in wanted)


@lru_cache(maxsize=1024)
def spellings(domain: str) -> tuple[str, ...]:
    """A domain of ours (lower-case A-labels) in all ways to write it with U-labels, folded as the text is."""
    labels = [dict.fromkeys((label, _u_label(label))) for label in domain.split(".")]
    return tuple(".".join(each) for each in islice(product(*labels), _MAX_SPELLINGS))


def _readings(values: Iterable[bytes]) -> set[str]:
    """Each value squeezed and cut, with and without its comments, encoded-words as they are and decoded."""
    texts = {value.decode("utf-8", "surrogateescape") for value in values}
    texts |= {decoded(text, charset) for text in texts for charset in ("", "utf-8", "latin-1")}
    forms = {form for text in texts for form in (text, _without_comments(text))}
    return {form.translate(table) for form in forms for table in (_SQUEEZED, _CUT)}


def _without_comments(text: str) -> str:
    """The text outside comments; a parenthesis without its partner stays."""
    kept: list[str] = []
    depth = end = opened = 0
    for found in _COMMENT_STEP.finditer(text):
        if found[0] == "(":
            opened = opened if depth else found.start()
            depth += 1
        elif found[0] == ")" and depth:
            depth -= 1
            if not depth:
                kept.append(text[end:opened])
                end = found.end()
    return "".join((*kept, text[end:]))


def _u_label(label: str) -> str:
    if not label.startswith("xn--"):
        return label
    try:
        return label[4:].encode().decode("punycode").translate(_SQUEEZED)
    except UnicodeError:
        return label
