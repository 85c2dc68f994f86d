"""The fragments of main.cf and master.cf in postfix-snippets/, their words filled in, as text and as data;
and what spam filters need to read our field.

A fragment is what Postfix itself would read, but for words like ``@domain@``, and ``@tls_level?@`` for one
that may be empty: its setting is then left as it is. A commented-out service line ("#smtp inet n - y - -
smtpd") means that this service shall not be.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

FILTERS = {"rspamd": "rspamd.lua", "spamassassin": "spamassassin.cf"}
"""Spam filters -> their file in postfix-snippets/filters/."""

_WORD = re.compile(r"@([a-z_]+)(\??)@")
_SERVICE = re.compile(r"(#?)([\w.:\[\]-]+)[ \t]+(inet|unix|unix-dgram|fifo|pass)((?:[ \t]+[-\w?]+){5,}.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """What a role wants of Postfix.

    ``main``: parameter -> value. ``services``: "name/type" -> line of master.cf, None where it shall not be.
    ``main_text`` and ``master_text`` are the same with the reasons, to be read and pasted.
    """

    main: Mapping[str, str]
    services: Mapping[str, str | None]
    main_text: str
    master_text: str


def wiring(role: str, words: Mapping[str, str]) -> Wiring:
    """The wiring of a role. KeyError: a fragment has a word that ``words`` lacks."""
    main_text = "\n".join(fill(_read(folder, "main.cf"), words) for folder in ("common", role))
    master_text = fill(_read(role, "master.cf"), words)
    return Wiring(
        main=parse_main(main_text),
        services=parse_master(master_text),
        main_text=main_text,
        master_text=master_text,
    )


def filter_snippet(name: str, authserv_id: str) -> str:
    """What makes a filter of ``FILTERS`` score the Authentication-Results field with our authserv-id."""
    words = {"authserv_id": authserv_id.lower(), "authserv_pattern": "(?i:" + re.escape(authserv_id) + ")"}
    return fill(_read("filters", FILTERS[name]), words)


def fill(text: str, words: Mapping[str, str]) -> str:
    """The fragment with its words replaced; comments are left alone."""
    return "".join(_fill_line(line, words) for line in text.splitlines(keepends=True))


def _fill_line(line: str, words: Mapping[str, str]) -> str:
    if line.startswith("#"):
        return line
    if any(optional and not words[name] for name, optional in _WORD.findall(line)):
        return (
            f"# {line.partition('=')[0].rstrip()} is left as it is: nothing is said of it in postvouch.toml\n"
        )
    return _WORD.sub(lambda match: words[match[1]], line)


def parse_main(text: str) -> dict[str, str]:
    """main.cf as postconf(1) reads it: comments gone, continued lines joined. A later line wins."""
    found: dict[str, str] = {}
    for line in _logical_lines(text):
        name, _, value = line.partition("=")
        found[name.strip()] = normal(value)
    return found


def parse_master(text: str) -> dict[str, str | None]:
    """master.cf: "name/type" -> the service as one line; None for one that is commented out at column 0."""
    found: dict[str, str | None] = {}
    for line in text.splitlines():
        match = _SERVICE.fullmatch(line)
        if match and match[1]:
            found[f"{match[2]}/{match[3]}"] = None
    for line in _logical_lines(text):
        match = _SERVICE.fullmatch(line)
        if match is None:
            raise ValueError(f"not a service of master.cf: {line}")
        found[f"{match[2]}/{match[3]}"] = normal(line)
    return found


def normal(text: str) -> str:
    """One spelling for what Postfix reads alike: runs of white space, and white space at the ends of {}."""
    return re.sub(r"\s+\}", "}", re.sub(r"\{\s+", "{", " ".join(text.split())))


def _logical_lines(text: str) -> list[str]:
    lines: list[str] = []
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0].isspace() and lines:
            lines[-1] += " " + line.strip()
        else:
            lines.append(line)
    return lines


def _read(folder: str, name: str) -> str:
    file = resources.files("postvouch") / "snippets" / folder / name
    return file.read_text(encoding="utf-8") if file.is_file() else ""
