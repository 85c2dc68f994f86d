"""``postvouch check``: everything wrong with the configuration, its keys and its names, in one run.

No daemon starts with, or reloads into, what this refuses. Nothing is changed; only --dns asks the network.
"""

import time
from glob import glob
from pathlib import Path
from typing import Any

import click

from postvouch.cli import output
from postvouch.config import keyplaces
from postvouch.config.load import DEFAULT_PATH, Report, examine
from postvouch.config.problems import Notes, Problem, Where
from postvouch.config.schema import Config
from postvouch.config.secrets import (
    UNSEEN,
    check_presence,
    closed_to_daemons,
    hidden_from_daemons,
    is_daemon_user,
)


@click.command()
@output.config_option
@click.option("--dns", "ask", is_flag=True, help="Ask DNS, too: is each key that signs published?")
@click.option(
    "--config-dir",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Where Postfix's main.cf and master.cf are, if there is one here. Default: its own.",
)
@output.json_option
def check(path: Path | None, ask: bool, config_dir: Path | None, as_json: bool) -> None:
    """Check the configuration, the keys and the names files.

    Every problem is printed as "file:line: text", and the exit status is then 78. Warnings do not count. With
    --dns a key that is not published is a problem where sign.unpublished_keys is "refuse", else a warning.
    """
    report = examine(path)
    notes = Notes()
    if report.config is not None:
        main = Where(str(path or DEFAULT_PATH), 0)
        _beyond_the_file(report.config, report, main, notes)
        _postfix(report.config, config_dir, notes)
        if ask:
            _dns(report.config, report, main, notes)
    problems = [*report.problems, *notes.problems]
    warnings = [*report.warnings, *notes.warnings]
    if as_json:
        output.print_json(
            {
                "ok": not problems,
                "role": report.config.general.role if report.config else None,
                "files": [str(each) for each in report.files],
                "problems": [_data(each) for each in problems],
                "warnings": [_data(each) for each in warnings],
            }
        )
    else:
        _print(report, problems, warnings)
    output.leave(output.CONFIG if problems else output.OK)


def _beyond_the_file(config: Config, report: Report, main: Where, notes: Notes) -> None:
    check_presence(config, report.places, main, notes)
    role = config.general.role
    if role and "." not in config.general.hostname:
        notes.warning(main, f'this system calls itself "{config.general.hostname}": set general.hostname')
    if role in ("srs", "submission", "relay", "single") and config.sign.key:
        _keys(config, report, main, notes)
    if role in ("mx", "srs", "submission", "single"):
        _names(config, main, notes)
    if role in ("mx", "single") and config.verify.public_suffixes:
        _suffixes(config, report, main, notes)


def _postfix(config: Config, config_dir: Path | None, notes: Notes) -> None:
    """Where Postfix lets mail go by our milters while they are away."""
    from postvouch.cli.postfixaround import milters_let_off, postfix_of

    if config.general.role:
        around = postfix_of(config_dir)
        for text in milters_let_off(config, around):
            reason = (
                "while our milter is away, mail goes by it, unverified or unsigned; tempfail makes it wait"
            )
            notes.warning(Where(around.main_cf, 0), f"{text}: {reason}")


def _keys(config: Config, report: Report, main: Where, notes: Notes) -> None:
    """What is wrong with a key file that is there and can be read; absence has been reported already."""
    from postvouch.host import rotation
    from postvouch.host.keyfiles import load_key, specs_of_table
    from postvouch.host.keyfolder import folder
    from postvouch.sign.keys import KeyProblem

    wheres = report.places.get("sign.key", ())
    for index, key in enumerate(config.sign.key):
        where = wheres[index] if index < len(wheres) else main
        for spec in specs_of_table(key, config):
            state = folder(config.sign.key_directory, key.domain) / rotation.NAME
            if spec.problem and _is_hidden(state):
                notes.warning(where, f"sign.key: {state} {UNSEEN}")
            elif spec.problem:
                notes.problem(where, spec.problem)
            elif keyplaces.is_managed(key) and hidden_from_daemons(spec.file):
                notes.problem(where, closed_to_daemons(spec.file))
            elif _holds_something(spec.file):
                try:
                    load_key(spec.file)
                except KeyProblem as problem:
                    notes.problem(where, str(problem))


def _dns(config: Config, report: Report, main: Where, notes: Notes) -> None:
    """Which keys that sign DNS does not have. Keys that cannot be read have been reported already."""
    from postvouch.host.dns import DnsResolver
    from postvouch.host.keydns import unpublished
    from postvouch.host.keyfiles import load_ring, specs_of_table

    resolver = DnsResolver(config.dns.servers, timeout_s=config.dns.timeout).for_message(
        config.dns.message_timeout
    )
    wheres = report.places.get("sign.key", ())
    tell = notes.problem if config.sign.unpublished_keys == "refuse" else notes.warning
    for index, table in enumerate(config.sign.key):
        where = wheres[index] if index < len(wheres) else main
        for key in load_ring(specs_of_table(table, config)).keys:
            found = unpublished(key, resolver)
            if found is None:
                notes.warning(where, f"DNS does not answer for {key.record_name}")
            elif found:
                tell(where, found)


def _is_hidden(file: Path) -> bool:
    """Whether it is for others to see than who asks, who is none of the daemons."""
    try:
        file.stat()
    except PermissionError:
        return not is_daemon_user()
    except OSError:
        pass
    return False


def _holds_something(file: str) -> bool:
    try:
        with Path(file).open("rb") as opened:
            return opened.read(1) != b""
    except OSError:
        return False


def _suffixes(config: Config, report: Report, main: Where, notes: Notes) -> None:
    from postvouch.host.suffixes import load

    _, trouble = load(config.verify.public_suffixes)
    where = next(iter(report.places.get("verify.public_suffixes", ())), main)
    if trouble and config.verify.discovery == "treewalk":
        notes.warning(where, trouble)
    elif trouble:  # postvouch-verify does not reload into it
        notes.problem(where, f'{trouble}; verify.discovery = "{config.verify.discovery}" needs the list')


def _names(config: Config, main: Where, notes: Notes) -> None:
    from postvouch.directory import sources
    from postvouch.directory.compile import compile_directory
    from postvouch.host.gather import rules_of

    readings = sources.read_files(config, now=time.time())
    parts = [reading.part for reading in readings if reading.part is not None]
    found = [problem for reading in readings for problem in reading.problems]
    if len(parts) == len(readings) and not config.ldap.uri:  # else much would seem to be missing
        found += compile_directory(parts, rules=rules_of(config)).problems
    for each in found:
        file, colon, number = each.source.rpartition(":")
        where = Where(file, int(number)) if colon and number.isdecimal() else Where(each.source, 0)
        (notes.problem if each.fatal else notes.warning)(where, each.text)
    patterns = sources.patterns(config)
    for name in dict.fromkeys(path for pattern in patterns for path in sorted(glob(pattern))):
        if hidden_from_daemons(name):
            notes.problem(Where(name, 0), closed_to_daemons(name).removeprefix(f"{name}: "))
    if len(parts) == len(readings) and not any(part.entries for part in parts) and not config.ldap.uri:
        notes.warning(main, f"no names: nothing matches {', '.join(patterns)}, and there is no LDAP")


def _print(report: Report, problems: list[Problem], warnings: list[Problem]) -> None:
    for each in problems:
        output.line(str(each))
    for each in warnings:
        place = f"{each.file}:{each.line}" if each.line else each.file
        output.line(f"{place}: warning: {each.text}")
    count = f"{_count(len(problems), 'problem')}, {_count(len(warnings), 'warning')}"
    role = report.config.general.role if report.config else ""
    read = ", ".join(map(str, report.files))
    verdict = output.styled("problem" if problems else "ok")
    click.echo(f"{verdict}: {read}: {f'role {role}, ' if role else ''}{count}")


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _data(each: Problem) -> dict[str, Any]:
    return {"file": each.file, "line": each.line, "text": each.text}
