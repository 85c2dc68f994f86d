"""``postvouch config``: what is in force, the defaults, one value, the example file."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from postvouch.cli import output
from postvouch.config.catalog import TABLES, Table, settings
from postvouch.config.convert import show
from postvouch.config.example import example
from postvouch.config.load import examine
from postvouch.config.problems import did_you_mean
from postvouch.config.schema import Config


@click.command()
@click.argument("key", required=False)
@click.option("--defaults", is_flag=True, help="Show the defaults; no file is read.")
@click.option("--example", "want_example", is_flag=True, help="Print the commented example file.")
@output.config_option
@output.json_option
def config(key: str | None, defaults: bool, want_example: bool, path: Path | None, as_json: bool) -> None:
    """Show the settings in force.

    KEY is one setting ("sign.vouching_id"), printed alone, a list with one element a line; or a table
    ("sign"). Without it all settings are shown, each with the file and line that set it.
    """
    if want_example:
        click.echo(example(), nl=False)
        return
    values, places = _read(path, defaults)
    if key in settings() and key.count(".") == 1:
        _print_value(values, key, as_json)
        return
    if key is not None and key not in TABLES:
        raise click.UsageError(f'no setting "{output.clean(key)}"{did_you_mean(key, [*settings(), *TABLES])}')
    if as_json:
        data: dict[str, Any] = asdict(values)
        output.print_json(data[key] if key else data)
        return
    rows = list(_rows(values, [TABLES[key]] if key else list(TABLES.values()), places))
    if output.terminal():
        output.table(("setting", "value", "from"), rows)
        return
    for name, value, place in rows:
        output.line(f"{name} = {value}  # {place}")


def _read(path: Path | None, defaults: bool) -> tuple[Config, dict[str, str]]:
    if defaults:
        return Config(), {}
    report = examine(path)
    if report.config is None:
        raise output.Failure(output.CONFIG, "\n".join(map(str, report.problems)))
    found = {
        name: ", ".join(dict.fromkeys(f"{where.file}:{where.line}" for where in wheres))
        for name, wheres in report.places.items()
    }
    return report.config, found


def _print_value(values: Config, key: str, as_json: bool) -> None:
    setting = settings()[key]
    value = getattr(getattr(values, setting.table), setting.key)
    if as_json:
        output.print_json(asdict(values)[setting.table][setting.key])
    elif isinstance(setting.kind, Table):
        for number in range(len(value)):
            for name, text in _inner(setting.kind, value[number]):
                output.line(f"{name}={text}")
            if number + 1 < len(value):
                output.line("")
    else:
        for each in value if setting.many else (value,):
            text = show(each, setting.kind)
            output.line(str(each) if isinstance(each, str) else text.strip('"'))


def _rows(values: Config, tables: list[Table], places: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    for table in tables:
        for setting in table.settings.values():
            value = getattr(getattr(values, table.name), setting.key)
            place = places.get(setting.name) or (
                "default" if value == setting.default else "default, derived"
            )
            if not isinstance(setting.kind, Table):
                yield setting.name, show(value, setting.kind), place
                continue
            for number, each in enumerate(value):
                for name, text in _inner(setting.kind, each):
                    yield f"{setting.name}[{number}].{name}", text, place


def _inner(table: Table, each: object) -> Iterator[tuple[str, str]]:
    for inner in table.settings.values():
        yield inner.key, show(getattr(each, inner.key), inner.kind)
