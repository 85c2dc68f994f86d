"""Which line of a TOML file a key stands on: ``tomllib`` reads the values and forgets where they were.

A small scanner over text that tomllib has already accepted, so it need not find faults, only places: headers,
keys (bare, quoted, dotted), and inside values arrays and inline tables; strings of all four kinds are skipped
as units. Linear in the input; nesting is bounded as in tomllib, by Python's recursion limit.
"""

import re
import tomllib

Path = tuple[str | int, ...]
"""("sign", "key", 0, "file"): names of tables and keys, indexes into arrays."""

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BASIC = re.compile(r'"(?:[^"\\]|\\.)*"')
_LITERAL = re.compile(r"'[^']*'")
_LONG_BASIC = re.compile(r'"""(?:[^"\\]|\\.|"(?!""))*"{3,5}', re.DOTALL)
_LONG_LITERAL = re.compile(r"'''(?:[^']|'(?!''))*'{3,5}", re.DOTALL)
_SCALAR = re.compile(r"[^,\]}#\r\n]+")


def locate(text: str) -> dict[Path, int]:
    """The line (from 1) of every key, table header and array element of a valid TOML document.

    A table that is only implied (``[a.b]`` implies ``a``) has the line where it first appears.
    """
    scanner = _Scanner(text)
    scanner.document()
    return scanner.lines


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[Path, int] = {}
        self._line = 1
        self._counted = 0
        self._lengths: dict[Path, int] = {}

    def document(self) -> None:
        """Headers and pairs to the end."""
        table: Path = ()
        while self._skip(_BLANK) < len(self.text):
            if self.text[self.at] != "[":
                self._pair(table)
                continue
            several = self.text.startswith("[[", self.at)
            line = self._here()
            self.at += 2 if several else 1
            table = self._resolve(self._key(), several)
            self._note(table, line)
            self.at += 2 if several else 1

    def _resolve(self, names: tuple[str, ...], several: bool) -> Path:
        """A header's path: each array of tables on the way means its last element."""
        path: Path = ()
        for name in names[:-1]:
            path = self._last((*path, name))
        path = (*path, names[-1])
        if not several:
            return self._last(path)
        self._lengths[path] = self._lengths.get(path, 0) + 1
        return self._last(path)

    def _last(self, path: Path) -> Path:
        return (*path, self._lengths[path] - 1) if path in self._lengths else path

    def _pair(self, table: Path) -> None:
        line = self._here()
        path = (*table, *self._key())
        self.at += 1  # the equals sign
        self._note(path, line)
        self._value(path)

    def _key(self) -> tuple[str, ...]:
        """A dotted key, and the blanks around it; ends on what follows ("=" or "]")."""
        names = []
        while True:
            self._skip(_SPACE)
            start = self.at
            quote = self.text[start]
            if quote in "\"'":
                self._skip(_BASIC if quote == '"' else _LITERAL)
                names.append(str(tomllib.loads(f"k={self.text[start : self.at]}")["k"]))
            else:
                self._skip(_BARE_KEY)
                names.append(self.text[start : self.at])
            self._skip(_SPACE)
            if self.text[self.at] != ".":
                return tuple(names)
            self.at += 1

    def _value(self, path: Path) -> None:
        self._skip(_SPACE)
        text, at = self.text, self.at
        if text.startswith('"""', at):
            self._skip(_LONG_BASIC)
        elif text.startswith("'''", at):
            self._skip(_LONG_LITERAL)
        elif text[at] == '"':
            self._skip(_BASIC)
        elif text[at] == "'":
            self._skip(_LITERAL)
        elif text[at] == "[":
            self._array(path)
        elif text[at] == "{":
            self._inline_table(path)
        else:
            self._skip(_SCALAR)

    def _array(self, path: Path) -> None:
        self.at += 1
        index = 0
        while self.text[self._skip(_BLANK)] != "]":
            self._note((*path, index), self._here())
            self._value((*path, index))
            index += 1
            if self.text[self._skip(_BLANK)] == ",":
                self.at += 1
        self.at += 1

    def _inline_table(self, path: Path) -> None:
        self.at += 1
        while self.text[self._skip(_BLANK)] != "}":
            self._pair(path)
            if self.text[self._skip(_BLANK)] == ",":
                self.at += 1
        self.at += 1

    def _note(self, path: Path, line: int) -> None:
        for length in range(1, len(path) + 1):
            self.lines.setdefault(path[:length], line)

    def _here(self) -> int:
        self._line += self.text.count("\n", self._counted, self.at)
        self._counted = self.at
        return self._line

    def _skip(self, pattern: re.Pattern[str]) -> int:
        found = pattern.match(self.text, self.at)
        if found is not None:
            self.at = found.end()
        return self.at
