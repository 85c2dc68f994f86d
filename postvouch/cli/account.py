"""``postvouch account``: all that is said of a person, or what is left of one who went."""

import glob
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from postvouch.cli import output
from postvouch.directory.owners import Left, left_of, password_entries
from postvouch.host.gather import gather


@click.command(short_help="Show what names a person: password, forward, roles, rights.")
@click.argument("name")
@click.option("--expect-gone", is_flag=True, help="Exit with 0 only if nothing is left.")
@output.config_option
@output.json_option
def account(name: str, expect_gone: bool, path: Path | None, as_json: bool) -> None:
    """List everything that names the person with the login NAME, and where it is written: the account and
    its addresses, the entry in policy.password_files, forwards, aliases, memberships, rights, targets.

    All sources are read now, so that what was removed a minute ago is not found in the snapshot. Exit status
    1: nothing was found; with --expect-gone: something was. 75: a source or a file could not be read, and
    nothing was found in the others.
    """
    config = output.configuration(path)
    gathered = gather(config, (), now=time.time())
    passwords, unread = _passwords(config.policy.password_files, name)
    left = [
        *passwords,
        *left_of(
            gathered.parts,
            name,
            domains=config.general.domains,
            delimiter=config.map.recipient_delimiter,
        ),
    ]
    failures = [*gathered.failures, *unread]
    if as_json:
        output.print_json(
            {
                "name": name,
                "found": [{"what": e.what, "text": e.text, "source": e.source} for e in left],
                "failures": failures,
            }
        )
    else:
        if left:
            output.table(("what", "where", "text"), [(e.what, e.source, e.text) for e in left])
        for each in failures:
            click.echo(output.clean(each), err=True)
    if failures and not left:
        output.leave(output.TEMPFAIL)
    output.leave(output.OK if bool(left) is not expect_gone else output.NEGATIVE)


def _passwords(patterns: Iterable[str], name: str) -> tuple[list[Left], list[str]]:
    """The person's lines in the password files, and the files that could not be read, with the reason."""
    left: list[Left] = []
    unread: list[str] = []
    for file in _files(patterns):
        try:
            with open(file, encoding="utf-8", errors="surrogateescape") as lines:
                numbers = list(password_entries(lines, name))
        except OSError as error:
            unread.append(f"{file}: {error.strerror}")
            continue
        left += (Left(what="password", text="a password entry", source=f"{file}:{n}") for n in numbers)
    return left, unread


def _files(patterns: Iterable[str]) -> Iterator[str]:
    """Each file once; a name that is no pattern is looked for even if it is not there."""
    seen: set[str] = set()
    for pattern in patterns:
        found = sorted(glob.glob(pattern))
        for file in found or ([] if glob.has_magic(pattern) else [pattern]):
            if file not in seen:
                seen.add(file)
                yield file
