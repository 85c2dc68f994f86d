"""The configuration of postsrsd, 1.x (/etc/default/postsrsd) and 2.x (postsrsd.conf), as settings of ours.

1.x is shell: NAME=value, quoted or not. 2.x is "name = value" or "name = { value, value }", a "#" begins a
comment. Nothing is executed and no shell variable is looked up: a value with a "$" is named and left.
"""

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from postvouch.config.opendkimledger import CARRIED, LOST, NEEDLESS, Entry
from postvouch.config.problems import Where
from postvouch.values.address import AddressError, parse_domain

_SHELL = re.compile(r"\s*(?:export\s+)?(SRS_[A-Z_]+|RUN_AS|CHROOT)=(.*)")
_CONF = re.compile(r"\s*([a-z][a-z-]*)\s*=\s*(.*)", re.DOTALL)
_OFF = ("", "none", "off", "no", "false")


@dataclass(slots=True, kw_only=True)
class Imported:
    """What was found: settings by dotted name, our domains, what became of each line."""

    settings: dict[str, Any] = field(default_factory=dict)
    domains: list[str] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)


Read = Callable[[str], str]
"""The text of a file; raises OSError."""


def read(text: str, name: str, read_text: Read) -> Imported:
    """Translate one file. ``read_text`` is asked for the domains-file of 2.x."""
    work = _Work(name, read_text)
    for number, key, value in _lines(text):
        work.take(number, key, value)
    return work.finish()


def looks_like(text: str) -> bool:
    """Whether a file is one of postsrsd's."""
    return any(key.startswith("SRS_") or key in ("srs-domain", "secrets-file") for _, key, _ in _lines(text))


def _lines(text: str) -> Iterator[tuple[int, str, str | None]]:
    """(line, key, value) of each setting; the value is None where it cannot be read."""
    waiting, begun = "", 0
    for number, raw in enumerate(text.split("\n"), 1):
        if waiting:
            waiting += " " + _uncommented(raw)
        elif (shell := _SHELL.fullmatch(raw)) is not None:
            yield number, shell[1], _shell_word(shell[2])
            continue
        else:
            waiting, begun = _uncommented(raw), number
        if waiting.count("{") > waiting.count("}") and number - begun < 1000:
            continue
        found = _CONF.fullmatch(waiting)
        if found is not None:
            yield begun, found[1], found[2].strip()
        elif waiting.strip():
            yield begun, waiting.split()[0], None
        waiting = ""
    if waiting.strip():
        yield begun, waiting.split()[0], None


def _uncommented(line: str) -> str:
    return re.sub(r'("[^"]*")|#.*', lambda found: found[1] or "", line)


def _shell_word(text: str) -> str | None:
    try:
        words = shlex.split(text, comments=True)
    except ValueError:
        return None
    return None if "$" in text or "`" in text else " ".join(words)


def _list(value: str) -> list[str]:
    """The values of a list, or one value, quotes undone."""
    return [
        each.strip().strip('"') for each in re.split(r"[,\s]+", value.strip().strip("{}")) if each.strip('" ')
    ]


class _Work:
    """One file on its way."""

    def __init__(self, name: str, read_text: Read) -> None:
        self._name = name
        self._read = read_text
        self._hash = {"length": 4, "least": 0}
        self.found = Imported()

    def take(self, line: int, key: str, value: str | None) -> None:
        """One setting."""
        where = Where(self._name, line)
        if value is None:
            self._say(where, key, LOST, "cannot be read without a shell, or is no setting; set it by hand")
            return
        plain = value.strip().strip('"')
        match key:
            case "SRS_DOMAIN" | "srs-domain":
                self._domain(where, key, plain)
            case "SRS_EXCLUDE_DOMAINS" | "domains":
                self._domains(where, key, _list(value))
            case "domains-file":
                self._domains_file(where, key, plain)
            case "SRS_SECRET" | "secrets-file":
                self._set(where, key, "srs.secrets_file", plain, "the same secrets give the same addresses")
            case "SRS_SEPARATOR" | "separator":
                self._set(where, key, "srs.separator", plain, "")
            case "SRS_HASHLENGTH" | "hash-length":
                self._number(where, key, plain, "length")
            case "SRS_HASHMIN" | "hash-minimum":
                self._number(where, key, plain, "least")
            case "original-envelope":
                embedded = plain in ("", "embedded")
                text = (
                    "senders are embedded in their address" if embedded else "our addresses hold the sender"
                )
                self._say(where, key, NEEDLESS if embedded else LOST, text)
            case "SRS_EXTRA_OPTIONS":
                self._say(where, key, LOST if plain else NEEDLESS, "options of postsrsd are not read")
            case "envelope-database":
                self._say(
                    where, key, LOST if plain not in _OFF else NEEDLESS, "postvouch does not read that store"
                )
            case "always-rewrite" if plain.lower() not in (*_OFF, "0"):
                self._say(where, key, LOST, "senders in our own domains are never rewritten")
            case "milter" if plain.lower() not in _OFF:
                self._say(
                    where, key, LOST, 'rewriting only what leaves is role = "single" (postvouch postfix)'
                )
            case _ if key in _NEEDLESS:
                self._say(where, key, NEEDLESS, _NEEDLESS[key])
            case _:
                self._say(where, key, LOST, "is no setting that is known")

    def finish(self) -> Imported:
        """All of it."""
        length, least = self._hash["length"], self._hash["least"]
        if length != 4:
            self.found.settings["srs.hash_length"] = length
        if least and least != length:
            where = Where(self._name, 0)
            text = f"shorter hashes are not accepted; srs.hash_length = {least} accepts and makes them"
            self._say(where, "hash-minimum", LOST, text)
        return self.found

    def _domain(self, where: Where, key: str, value: str) -> None:
        try:
            self._set(where, key, "srs.domain", parse_domain(value), "")
        except AddressError as error:
            self._say(where, key, LOST, f"{value!r} is no domain: {error}")

    def _domains(self, where: Where, key: str, values: list[str]) -> None:
        for value in values:
            try:
                domain = parse_domain(value)
            except AddressError as error:
                self._say(where, key, LOST, f"{value!r} is no domain of its own: {error}")
                continue
            if domain not in self.found.domains:
                self.found.domains.append(domain)
            self._say(where, key, CARRIED, f"{domain} in general.domains")

    def _domains_file(self, where: Where, key: str, value: str) -> None:
        if value.lower() in _OFF:
            return
        try:
            lines = self._read(value).splitlines()
        except OSError as error:
            self._say(where, key, LOST, f"{value}: cannot be read: {error.strerror}")
            return
        names = [line.partition("#")[0].strip() for line in lines]
        self._domains(where, key, [name for name in names if name])

    def _number(self, where: Where, key: str, value: str, what: str) -> None:
        if not (value.isascii() and value.isdigit() and 4 <= int(value) <= 27):
            self._say(where, key, LOST, f"{value!r} is no number from 4 to 27")
            return
        self._hash[what] = int(value)
        self._say(where, key, CARRIED, "srs.hash_length")

    def _set(self, where: Where, key: str, name: str, value: str, text: str) -> None:
        if not value:
            self._say(where, key, NEEDLESS, "is empty")
            return
        self.found.settings[name] = value
        self._say(where, key, CARRIED, f"{name}{f'; {text}' if text else ''}")

    def _say(self, where: Where, key: str, fate: str, text: str) -> None:
        self.found.entries.append(Entry(where=where, directive=key, fate=fate, text=text))


_OUR_SOCKET = "postvouch-map has a socket of its own (map.socket); postvouch postfix wires it"
_UNIT = "the unit of postvouch-map says so"
_NEEDLESS = {
    "SRS_FORWARD_PORT": _OUR_SOCKET,
    "SRS_REVERSE_PORT": _OUR_SOCKET,
    "SRS_LISTEN_ADDR": _OUR_SOCKET,
    "socketmap": _OUR_SOCKET,
    "milter": "is off",
    "keep-alive": "Postfix closes what it does not use",
    "connection-limit": "postvouch-map has one process and a limit of its own",
    "domains-file-watch": "general.domains is read at each reload",
    "RUN_AS": _UNIT,
    "CHROOT": _UNIT,
    "chroot-dir": _UNIT,
    "unprivileged-user": _UNIT,
    "pid-file": _UNIT,
    "daemonize": _UNIT,
    "SRS_PID_FILE": _UNIT,
    "SRS_TIMEOUT": "Postfix closes what it does not use",
    "syslog": "each request that is refused is logged",
    "debug": "log.debug",
    "always-rewrite": "is off",
}
