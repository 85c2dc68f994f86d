"""``postvouch import``: the configuration of another program as ours, and what of it has no counterpart."""

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import click

from postvouch.cli import importkeys, importsrs, output
from postvouch.config import postsrsd
from postvouch.config.opendkim import Settings, parse
from postvouch.config.opendkimimport import Imported, convert
from postvouch.config.opendkimledger import CARRIED, LOST, NEEDLESS, Entry
from postvouch.config.opendkimtoml import ROLES, toml
from postvouch.config.sign import Sign

SOURCES = ("opendkim", "postsrsd")
MAX_OCTETS = 16 << 20
_EXISTS = "{}: exists already; it is not overwritten"


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path, readable=False))
@click.option("--from", "source", type=click.Choice(SOURCES), help="What FILE is. Default: found out.")
@click.option(
    "-o",
    "--output",
    "target",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write the configuration there, where nothing may be yet. Default: standard output.",
)
@click.option(
    "--role", type=click.Choice(ROLES), help="What this host does (general.role). Default: left to you."
)
@click.option(
    "--copy-keys",
    is_flag=True,
    help="Copy the keys to DIRECTORY/DOMAIN/SELECTOR.pem, 0640 root:postvouch, never over another file.",
)
@click.option(
    "-D",
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(Sign().key_directory),
    show_default=True,
    help="Where --copy-keys puts them.",
)
@output.json_option
def import_(
    file: Path,
    source: str | None,
    target: Path | None,
    role: str | None,
    copy_keys: bool,
    directory: Path,
    as_json: bool,
) -> None:
    """Write an opendkim.conf, or the configuration of postsrsd, as one of postvouch.

    The same keys sign for the same authors, so the records in DNS stay as they are; with the same
    secrets, SRS addresses are undone by either program. What cannot be carried
    is named on standard error as "file:line: directive: text", and the exit status is then 1. What became of
    every line stands at the end of the configuration. No file of theirs or of Postfix's is changed.
    """
    if target is not None and os.path.lexists(target):  # before any key is copied
        raise output.Failure(output.UNAVAILABLE, _EXISTS.format(target))
    try:
        if source == "postsrsd" or (source is None and postsrsd.looks_like(read_text(str(file)))):
            _import_postsrsd(file, target, role or "", as_json)
        settings = parse(str(file), read_text)
    except OSError as error:
        raise output.Failure(output.UNAVAILABLE, f"{file}: cannot be read: {error.strerror}") from None
    if source is None:
        _recognise(settings, file)
    imported = convert(settings, read_text)
    entries = list(imported.entries)
    if copy_keys:
        moved, found = importkeys.copy(imported.keys, directory.absolute())
        imported = replace(imported, keys=moved)
        entries += found
    entries += importkeys.examine(imported.keys)
    entries.sort(key=lambda each: (each.where.file != str(file), each.where))
    text = toml(imported, tuple(entries), role=role or "")
    if target is not None:
        _write(target, text)
    if as_json:
        output.print_json(_data(imported, entries, None if target else text))
    elif target is None:
        click.echo(text, nl=False)
    else:
        counts = ", ".join(
            f"{sum(each.fate == fate for each in entries)} {fate.replace('-', ' ')}"
            for fate in (CARRIED, NEEDLESS, LOST)
        )
        output.line(f"{target}: keys: {len(imported.keys)}; lines: {counts}")
    lost = [each for each in entries if each.fate == LOST]
    for each in lost:
        click.echo(output.clean(each), err=True)
    output.leave(output.NEGATIVE if lost else output.OK)


def _import_postsrsd(file: Path, target: Path | None, role: str, as_json: bool) -> NoReturn:
    imported = postsrsd.read(read_text(str(file)), str(file), read_text)
    text = importsrs.toml(imported, file, role)
    if target is not None:
        _write(target, text)
    if as_json:
        output.print_json(importsrs.data(imported, file, None if target else text))
    elif target is None:
        click.echo(text, nl=False)
    lost = [each for each in imported.entries if each.fate == LOST]
    for each in lost:
        click.echo(output.clean(each), err=True)
    output.leave(output.NEGATIVE if lost else output.OK)


def read_text(path: str) -> str:
    """A file as text; octets that are no UTF-8 survive. Raises OSError, also for one that is too long."""
    with open(path, "rb") as opened:
        data = opened.read(MAX_OCTETS + 1)
    if len(data) > MAX_OCTETS:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
    return data.decode("utf-8", "surrogateescape")


def _recognise(settings: Settings, file: Path) -> None:
    """Refuse what has more lines that OpenDKIM does not know than such as it does."""
    if len(settings.lines) <= sum(fault.text.startswith("no directive") for fault in settings.faults):
        text = f"{file}: does not look like an opendkim.conf; if it is one: --from opendkim"
        raise output.Failure(output.DATA, text)


def _write(target: Path, text: str) -> None:
    try:
        with target.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except FileExistsError:
        raise output.Failure(output.UNAVAILABLE, _EXISTS.format(target)) from None
    except OSError as error:
        raise output.Failure(output.UNAVAILABLE, f"{target}: cannot be written: {error.strerror}") from None


def _data(imported: Imported, entries: list[Entry], text: str | None) -> dict[str, Any]:
    return {
        "ok": not any(each.fate == LOST for each in entries),
        "from": SOURCES[0],
        "files": list(imported.files),
        "domains": list(imported.domains),
        "settings": imported.settings,
        "keys": [
            {
                "domain": key.domain,
                "selector": key.selector,
                "file": key.file,
                "subdomains": key.subdomains,
                "authors": list(key.authors),
            }
            for key in imported.keys
        ],
        "lines": [
            {
                "file": each.where.file,
                "line": each.where.line,
                "directive": each.directive,
                "fate": each.fate,
                "text": each.text,
            }
            for each in entries
        ],
        "toml": text,
    }
