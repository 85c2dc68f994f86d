"""Write the manual pages from the verbs, the daemons and the schema.

    python -m postvouch.cli.manpages docs/man

``tests/test_cli_manpages.py`` fails when the pages are not what this writes.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from postvouch import __version__
from postvouch.cli import daemonpages, output
from postvouch.cli.main import GROUPS, postvouch
from postvouch.cli.roff import Page
from postvouch.config.catalog import TABLES, Setting, Table
from postvouch.config.convert import show

ABOUT = "verify, sign, forward and police mail beside Postfix"


def pages() -> dict[str, str]:
    """Every page by its file name."""
    made = [_postvouch(), _configuration(), *daemonpages.pages()]
    return {page.file: page.text() for page in made}


def _postvouch() -> Page:
    page = Page("postvouch", 1, ABOUT, __version__)
    page.heading("SYNOPSIS")
    page.usage("postvouch", "VERB [OPTIONS] [ARGUMENTS]")
    page.heading("DESCRIPTION")
    page.paragraphs(
        "postvouch is the command with which an admin asks, checks and prepares; the work beside Postfix is "
        "done by postvouch-verify(8), postvouch-sign(8), postvouch-map(8) and postvouch-policy(8).\n\n"
        "Tables and colours are for terminals; a pipe gets plain text. --json prints one JSON document."
    )
    context = click.Context(postvouch, info_name="postvouch")
    for title, verbs in GROUPS.items():
        page.heading(title)
        for name in verbs:
            command = postvouch.get_command(context, name)
            if command is not None:
                _verb(page, f"postvouch {name}", command, context)
    page.heading("EXIT STATUS")
    page.terms((str(status), f"{text}.") for status, text in output.STATUSES.items())
    page.heading("FILES")
    page.terms(daemonpages.FILES)
    page.heading("SEE ALSO")
    page.paragraphs(
        "postvouch.toml(5), postvouch-verify(8), postvouch-sign(8), postvouch-map(8), postvouch-policy(8), "
        "postconf(1), postmap(1)"
    )
    return page


def _verb(page: Page, title: str, command: click.Command, parent: click.Context) -> None:
    context = click.Context(command, info_name=title, parent=parent)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None:
                _verb(page, f"{title} {name}", inner, context)
        return
    page.subheading(" ".join([title, *_arguments(command)]))
    page.paragraphs(_plain(command.help or ""))
    page.terms(options(command))


def _arguments(command: click.Command) -> Iterator[str]:
    for each in command.params:
        if isinstance(each, click.Argument):
            name = (each.metavar or each.name or "").upper()
            yield name if each.required else f"[{name}]"


def options(command: click.Command) -> Iterator[tuple[str, str]]:
    """Each option as it is written, and its text. click renders them differently with each version."""
    for each in command.params:
        if not isinstance(each, click.Option) or each.hidden:
            continue
        value = "" if each.is_flag else f" {_value(each)}"
        shown = each.show_default and each.default is not None
        default = f" Default: {each.default}." if shown else ""
        yield ", ".join((*each.opts, *each.secondary_opts)) + value, f"{each.help or ''}{default}"


def _value(option: click.Option) -> str:
    if option.metavar:
        return option.metavar
    if isinstance(option.type, click.Choice):
        return "|".join(str(each) for each in option.type.choices)
    return {"integer": "NUMBER", "float": "NUMBER", "path": "PATH", "directory": "FOLDER"}.get(
        option.type.name, "TEXT"
    )


def _plain(help_text: str) -> str:
    return "\n\n".join(" ".join(part.split()) for part in help_text.replace("\b", "").split("\n\n"))


def _configuration() -> Page:
    page = Page("postvouch.toml", 5, "configuration of postvouch", __version__)
    page.heading("SYNOPSIS")
    page.paragraphs("/etc/postvouch/postvouch.toml, /etc/postvouch/conf.d/*.toml")
    page.heading("DESCRIPTION")
    page.paragraphs(
        "The files are TOML. Those in conf.d are read after the main one, in the order of their names; names "
        "that begin with a dot are left out. A later single value wins over an earlier one. Lists in several "
        "files are joined; the first takes the place of the default. [[Tables]] of all files count.\n\n"
        "Unknown tables and keys are errors. A daemon does not start with, or reload into, a configuration "
        'with a problem; "postvouch check" lists all of them with file and line.'
    )
    page.heading("VALUES")
    page.terms(
        [
            ("duration", 'A number with its unit: "100s", "5m", "2h", "5d", "3w".'),
            ("socket", '"unix:/path", or "inet:host:port".'),
            ("network", 'An address or "address/length"; names are not allowed.'),
            ("domain", "A domain name, in Unicode or in A-labels; case and a last dot do not matter."),
            (
                "secret file",
                "An absolute path. Others may not read the file, and its group may not write it.",
            ),
        ]
    )
    for table in TABLES.values():
        _table(page, table)
    page.heading("EXAMPLE")
    page.verbatim(_EXAMPLE)
    page.heading("NAMES FILES")
    page.paragraphs(
        "The files of map.names are YAML, with up to five sections. Several files are merged. A name without "
        "@ is in the first domain of general.domains."
    )
    page.verbatim(_NAMES)
    page.paragraphs(
        "An alias leads to other names, and its members may send as the alias. A forward leads to where its "
        "owner reads mail. An address from which no mail would go anywhere is unknown. A login that is not "
        "listed may send as the forward of its name; a listed one may send as what is listed, and no more."
        "\n\n"
        'postvouch-map reads the files every map.refresh; "postvouch directory refresh" does so at once. '
        "Files with a fault are not used: the names before them stay in force."
    )
    page.heading("SEE ALSO")
    page.paragraphs(
        "postvouch(1), postvouch-verify(8), postvouch-sign(8), postvouch-map(8), postvouch-policy(8)"
    )
    return page


def _table(page: Page, table: Table) -> None:
    page.heading(f"[{table.name}]")
    page.paragraphs(table.doc)
    page.terms(_setting(each) for each in table.settings.values() if not isinstance(each.kind, Table))
    for each in table.settings.values():
        if isinstance(each.kind, Table):
            page.subheading(f"[[{each.kind.name}]]")
            page.paragraphs(each.kind.doc)
            page.terms(_setting(inner) for inner in each.kind.settings.values())


def _setting(setting: Setting) -> tuple[str, str]:
    told = "Default:" in setting.doc  # in words, where it is no constant
    default = "" if told else f" Default: {show(setting.default, setting.kind)}."
    example = f" Example: {setting.example}." if setting.example else ""
    return setting.key, f"{setting.doc}{default}{example}"


_EXAMPLE = """\
[general]
role = "srs"
domains = ["our.example", "old.example"]
internal_hosts = ["127.0.0.0/8", "::1/128", "203.0.113.25"]

[sign]
vouching_hosts = ["203.0.113.10", "203.0.113.11"]
vouching_id = "mx.our.example"

[[sign.key]]
domain = "our.example"
selector = "2026-srs"
file = "/etc/postvouch/keys/our.example/2026-srs.pem"
"""


_NAMES = """\
domains:
  old.example: our.example            # x@old.example is x@our.example
aliases:
  grants: [alice, bob]
forwards:
  alice: alice@gmail.example
  bob: [bob@riseup.example, bob@gmail.example]
logins:
  bob: [bob, bob.b]
"""


def main(folder: Path) -> None:
    """Write all pages into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, "ascii")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
