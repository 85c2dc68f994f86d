"""``postvouch accounts``: the file of passwords that Dovecot reads."""

import grp
import pwd
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import click

from postvouch.cli import output
from postvouch.directory import passwords
from postvouch.directory.passwords import Finding
from postvouch.host.gather import gather


@click.group(short_help="Look after the file of passwords.")
def accounts() -> None:
    """The passwords of logins are in a passwd-file of Dovecot. No verb shows a password or a hash."""


@accounts.command(short_help="What is wrong with a passwd-file.")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, readable=False))
@click.option(
    "--dovecot",
    type=click.Choice(passwords.DOVECOTS),
    default="2.4",
    show_default=True,
    help="For which Dovecot: 2.4 refuses weak schemes, MD5 of any kind among them.",
)
@click.option("--directory", is_flag=True, help="Compare with the logins of the directory, read now.")
@output.config_option
@output.json_option
def lint(file: Path, dovecot: str, directory: bool, path: Path | None, as_json: bool) -> None:
    """Say what is wrong with a passwd-file: who can read it, lines that log nobody in, logins that are there
    twice, passwords that the next Dovecot refuses; with --directory, logins that only one side knows.

    Exit status 1: somebody cannot log in, or the wrong people can read the file. 75: it cannot be read, or a
    source of the directory cannot.
    """
    try:
        found = list(_of_file(file))
        lines = file.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError as error:
        raise output.Failure(output.TEMPFAIL, f"{file}: {error.strerror}") from error
    found += passwords.lint(lines, dovecot=dovecot, logins=_logins(path) if directory else None)
    if as_json:
        output.print_json(
            [{"line": e.line, "login": e.login, "text": e.text, "level": _level(e)} for e in found]
        )
    elif found:
        rows = [(f"{file}:{e.line}" if e.line else str(file), _level(e), e.login, e.text) for e in found]
        output.table(("where", "", "login", "text"), rows)
    output.leave(output.NEGATIVE if any(each.is_problem for each in found) else output.OK)


def _level(finding: Finding) -> str:
    return "problem" if finding.is_problem else "note"


def _of_file(file: Path) -> Iterator[Finding]:
    """Who may read it and write it. Raises OSError."""
    for place, what in ((file, "file"), (file.resolve().parent, "folder")):
        status = place.stat()
        mode = stat.S_IMODE(status.st_mode)
        if what == "file" and mode & 0o007:
            yield Finding(line=0, login="", text=f"mode {mode:04o}: anybody may read it; chmod 0640 {file}")
        if what == "file" and mode & 0o040 and status.st_gid not in (0, _group("dovecot")):
            name = _name_of(status.st_gid)
            yield Finding(line=0, login="", text=f"the group {name} may read it; chgrp dovecot {file}")
        writers = mode & 0o022 and not (what == "folder" and mode & stat.S_ISVTX)
        if writers or (what == "file" and mode & 0o020):
            yield Finding(line=0, login="", text=f"{place}: mode {mode:04o}: others than its owner may write")
        if status.st_uid != 0:
            name = _user_of(status.st_uid)
            text = f"{place}: owner {name}, who is then as good as root for passwords; chown root {place}"
            yield Finding(line=0, login="", text=text, is_problem=what == "file")


def _group(name: str) -> int:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return -1


def _name_of(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _user_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _logins(path: Path | None) -> frozenset[str]:
    config = output.configuration(path)
    gathered = gather(config, (), now=time.time())
    if gathered.failures:
        raise output.Failure(output.TEMPFAIL, "; ".join(gathered.failures))
    return frozenset(gathered.compiled.directory.logins)
