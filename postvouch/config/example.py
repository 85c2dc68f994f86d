"""The commented example file, made from the schema: every setting, its manual, its default. Valid and inert.

``python -m postvouch.config.example`` prints it; the Debian package installs it as
/etc/postvouch/postvouch.toml.
"""

import sys
import textwrap
from collections.abc import Iterator

from postvouch.config.catalog import TABLES, Setting, Table
from postvouch.config.convert import show

_WIDTH = 92

_HEAD = """\
# The configuration of postvouch, see postvouch.toml(5). Every setting is here, commented out, with
# its default where it has one. Further files, conf.d/*.toml beside this one, are read after it in
# the order of their names: a later single value wins; lists and [[tables]] in several files are
# joined.
#
# "postvouch check" names every problem with its line; "postvouch config" shows what is in force.
# Durations are "100s", "5m", "2h", "5d", "3w"; sockets are "unix:/path" or "inet:host:port".
"""


def example() -> str:
    """The whole file."""
    return "\n".join([_HEAD, *("\n".join(_table(table)) + "\n" for table in TABLES.values())]).rstrip() + "\n"


def _table(table: Table) -> Iterator[str]:
    yield from _comment(table.doc)
    yield f"[{table.name}]"
    several = [each for each in table.settings.values() if isinstance(each.kind, Table)]
    for setting in table.settings.values():
        if setting not in several:
            yield ""
            yield from _comment(setting.doc)
            yield f"#{setting.key} = {setting.example or default_text(setting)}"
    for setting in several:
        yield ""
        yield from _comment(f"{setting.doc} {setting.kind.doc}")
        yield f"#[[{setting.kind.name}]]"
        for inner in setting.kind.settings.values():
            yield from _comment(inner.doc)
            yield f"#{inner.key} = {inner.example or default_text(inner)}"


def default_text(setting: Setting) -> str:
    """The default as it would be written in the file."""
    text = show(setting.default, setting.kind)
    if len(text) <= _WIDTH or not setting.many:
        return text
    lines = textwrap.wrap(text[1:-1], _WIDTH - 4, break_on_hyphens=False)
    return "\n".join(["[", *(f"#    {line}" for line in lines), "#]"])


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, _WIDTH, break_on_hyphens=False)]


if __name__ == "__main__":
    sys.stdout.write(example())
