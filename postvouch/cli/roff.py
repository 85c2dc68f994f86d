"""Manual pages as text: the few macros of man(7) that we need, escaped so that any words pass."""

from collections.abc import Iterable

_ESCAPES = {
    "\\": "\\e",
    "-": "\\-",
    "'": "\\(aq",
    "§": "\\(sc",
    "…": "...",
    "→": "\\(->",
    "–": "\\(en",
    "`": "\\(ga",
    "^": "\\(ha",
    "~": "\\(ti",
}  # fmt: skip


def escape(text: str) -> str:
    """Plain words as roff: no character acts. Raises ValueError for what is left outside of ASCII."""
    escaped = "".join(_ESCAPES.get(c, c) for c in text)
    if not escaped.isascii():
        raise ValueError(f"a manual page is ASCII: {text}")
    return "\n".join(
        "\\&" + line if line.startswith((".", "\\(aq")) else line for line in escaped.split("\n")
    )


class Page:
    """One page while it is written."""

    def __init__(self, name: str, section: int, about: str, version: str) -> None:
        self.name = name
        self.section = section
        self._lines = [
            '.\\" Made by "python -m postvouch.cli.manpages docs/man" from the code; do not edit.',
            f'.TH "{escape(name.upper())}" {section} "" "postvouch {version}" "postvouch manual"',
        ]
        self.heading("NAME")
        self._lines.append(f"{escape(name)} \\- {escape(about)}")

    @property
    def file(self) -> str:
        """The name of the page's file."""
        return f"{self.name}.{self.section}"

    def text(self) -> str:
        """The whole page."""
        return "\n".join(self._lines) + "\n"

    def heading(self, title: str) -> None:
        """A section."""
        self._lines.append(f'.SH "{escape(title)}"')

    def subheading(self, title: str) -> None:
        """A part of a section."""
        self._lines.append(f'.SS "{escape(title)}"')

    def paragraphs(self, text: str) -> None:
        """Running text; an empty line parts paragraphs."""
        for paragraph in text.split("\n\n"):
            self._lines += [".PP", escape(" ".join(paragraph.split()))]

    def verbatim(self, text: str) -> None:
        """Lines as they are, in an indented block."""
        self._lines += [".PP", ".RS 4", ".nf", escape(text.rstrip("\n")), ".fi", ".RE"]

    def terms(self, pairs: Iterable[tuple[str, str]]) -> None:
        """A list of terms in bold, each with its text."""
        for term, text in pairs:
            self._lines += [".TP", f"\\fB{escape(term)}\\fR", escape(" ".join(text.split()))]

    def usage(self, command: str, rest: str) -> None:
        """A line of the synopsis."""
        self._lines += [".PP", f"\\fB{escape(command)}\\fR {escape(rest)}".rstrip()]
