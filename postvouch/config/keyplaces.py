"""Where the keys of [[sign.key]] tables are: templates filled in, default places, words that make no sense.

Pure: the year, the host's name and whether a file is there come from the caller (``host/keyfiles.py``).
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from postvouch.config.checks import HOST
from postvouch.config.schema import Config
from postvouch.config.sign import SigningKey

_TEMPLATE = re.compile(r"\{([^{}]*)\}")
_KNOWN = frozenset({"year", "shorthost", "selector"})
YEARS_BACK = 20


class Place(NamedTuple):
    """The selector of a key, and its file."""

    selector: str
    file: str


def is_managed(key: SigningKey) -> bool:
    """Whether ``postvouch dkim rotate`` says which keys these are."""
    return not key.selector and not key.file


def place(key: SigningKey, config: Config, *, year: int, exists: Callable[[str], bool]) -> Place:
    """The key's selector and file, for one that is not managed.

    ``{year}`` is the latest up to ``year`` for which the file exists: at New Year the key of last year goes
    on until its successor is there. If none exists it is ``year``, so that what is missing has a name.
    """
    directory, hostname = config.sign.key_directory, config.general.hostname
    if "{year}" not in key.selector + key.file:
        return _filled(key, directory, hostname, year)
    for each in range(year, year - YEARS_BACK, -1):
        found = _filled(key, directory, hostname, each)
        if exists(found.file):
            return found
    return _filled(key, directory, hostname, year)


def _filled(key: SigningKey, directory: str, hostname: str, year: int) -> Place:
    words = {"year": str(year), "shorthost": hostname.partition(".")[0].lower()}
    selector = _TEMPLATE.sub(lambda found: words.get(found[1], found[0]), key.selector)
    words["selector"] = selector
    file = key.file or f"{directory}/{key.domain}/{{selector}}.pem"
    return Place(selector, _TEMPLATE.sub(lambda found: words.get(found[1], found[0]), file))


def faults(key: SigningKey) -> list[str]:
    """What is wrong with the selector and the file of a table, a sentence each."""
    found = [
        f"sign.key.{name}: {{{word}}} is unknown: "
        "write {year} or {shorthost}, in file {selector} as well"
        for name, text, known in (
            ("selector", key.selector, _KNOWN - {"selector"}),
            ("file", key.file, _KNOWN),
        )
        for word in dict.fromkeys(_TEMPLATE.findall(text))
        if word not in known
    ]
    if key.file and not key.selector:
        found.append("sign.key.file without sign.key.selector: under which name is its record?")
    selector = _filled(key, "", "host", 2000).selector
    if selector and not found and not HOST.fullmatch(selector):
        found.append(f'sign.key.selector: "{key.selector}" is no selector')
    if key.file and ("{year}" in key.selector) != bool(re.search(r"\{(year|selector)\}", key.file)):
        if "{year}" in key.selector:
            found.append("sign.key.selector has {year}, and sign.key.file neither {year} nor {selector}")
        elif "{year}" in key.file:
            found.append("sign.key.file has {year}, and sign.key.selector has not: two keys, one record")
    return found
