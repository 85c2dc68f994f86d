"""One parsed TOML document after another into values by dotted name, each with the places that set it."""

from dataclasses import dataclass, field
from typing import Any

from postvouch.config.catalog import TABLES, Setting, Table, settings
from postvouch.config.convert import Wrong, convert
from postvouch.config.locate import Path
from postvouch.config.problems import Notes, Where, did_you_mean


@dataclass(slots=True)
class Gathered:
    """What the files said. ``values`` and ``places`` by dotted name; a list has one place an element.

    ``faulty`` names the settings with a problem of their own, so that no other check trips over them.
    """

    values: dict[str, Any] = field(default_factory=dict)
    places: dict[str, list[Where]] = field(default_factory=dict)
    faulty: set[str] = field(default_factory=set)

    def where(self, *names: str) -> Where | None:
        """The first place where any of these settings was set."""
        return next((self.places[name][-1] for name in names if self.places.get(name)), None)


class _Reading:
    """One document on its way in."""

    def __init__(self, file: str, lines: dict[Path, int], gathered: Gathered, notes: Notes) -> None:
        self.file = file
        self.lines = lines
        self.gathered = gathered
        self.notes = notes

    def where(self, path: Path) -> Where:
        return Where(self.file, self.lines.get(path, 0))

    def problem(self, path: Path, text: str) -> None:
        self.notes.problem(self.where(path), text)


def gather(document: dict[str, Any], file: str, lines: dict[Path, int], into: Gathered, notes: Notes) -> None:
    """Add one document; problems go to ``notes``. Lists join what earlier documents said."""
    reading = _Reading(file, lines, into, notes)
    for name, content in document.items():
        if name not in TABLES:
            reading.problem((name,), _unknown_at_top(name, content))
        elif isinstance(content, list):
            reading.problem((name,), f"{name} is one table: write [{name}]")
        elif not isinstance(content, dict):
            reading.problem((name,), f"{name} is a table: write [{name}]")
        else:
            _table(reading, TABLES[name], content)


def _unknown_at_top(name: str, content: object) -> str:
    if isinstance(content, dict | list):
        return f'unknown table "{name}"{did_you_mean(name, list(TABLES))}'
    homes = [table.name for table in TABLES.values() if name in table.settings]
    if homes:
        return f'"{name}" stands outside of its table: put it under [{"] or [".join(homes)}]'
    return f'unknown setting "{name}"{did_you_mean(name, list(settings()))}'


def _unknown_in(table: Table, key: str) -> str:
    hint = did_you_mean(f"{table.name}.{key}", [each.name for each in table.settings.values()])
    if not hint:
        homes = [each.name for each in TABLES.values() if key in each.settings]
        hint = f" (it belongs in [{'] or ['.join(homes)}])" if homes else ""
    return f'unknown setting "{table.name}.{key}"{hint}'


def _table(reading: _Reading, table: Table, content: dict[str, Any]) -> None:
    for key, value in content.items():
        path = (table.name, key)
        setting = table.settings.get(key)
        if setting is None:
            reading.problem(path, _unknown_in(table, key))
        elif isinstance(setting.kind, Table):
            _several_tables(reading, setting, setting.kind, value, path)
        elif setting.many:
            _list(reading, setting, value, path)
        else:
            _one(reading, setting, value, path)


def _one(reading: _Reading, setting: Setting, value: object, path: Path) -> None:
    try:
        converted = _converted(reading, setting, value, path)
    except Wrong as wrong:
        _fault(reading, setting, path, wrong)
        return
    reading.gathered.values[setting.name] = converted
    reading.gathered.places[setting.name] = [reading.where(path)]


def _not_a_list(value: object) -> Wrong:
    hint = f': write ["{value}"]' if isinstance(value, str) else ""
    return Wrong(f"a list is meant{hint}")


def _list(reading: _Reading, setting: Setting, value: object, path: Path) -> None:
    if not isinstance(value, list):
        _fault(reading, setting, path, _not_a_list(value))
        return
    gathered = reading.gathered
    places = gathered.places.setdefault(setting.name, [])
    elements = list(gathered.values.get(setting.name, ()))
    for index, each in enumerate(value):
        try:
            converted = _converted(reading, setting, each, (*path, index))
        except Wrong as wrong:
            _fault(reading, setting, (*path, index), wrong)
            continue
        if converted not in elements:
            elements.append(converted)
            places.append(reading.where((*path, index)))
    gathered.values[setting.name] = tuple(elements)


def _several_tables(reading: _Reading, setting: Setting, table: Table, value: object, path: Path) -> None:
    if isinstance(value, dict):
        _fault(reading, setting, path, Wrong(f"there may be several: write [[{table.name}]]"))
        return
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        _fault(reading, setting, path, Wrong(f"tables are meant: write [[{table.name}]]"))
        return
    gathered = reading.gathered
    for index, content in enumerate(value):
        here = (*path, index)
        given: dict[str, Any] = {}
        faults = False
        for key, each in content.items():
            inner = table.settings.get(key)
            if inner is None:
                reading.problem((*here, key), _unknown_in(table, key))
                continue
            try:
                if inner.many:
                    given[key] = _inner_list(reading, inner, each, (*here, key))
                else:
                    given[key] = _converted(reading, inner, each, (*here, key))
            except Wrong as wrong:
                _fault(reading, inner, (*here, key), wrong)
                faults = True
        for inner in table.settings.values():
            if inner.required and not content.get(inner.key):
                reading.problem(here, f"this [[{table.name}]] lacks its {inner.key}")
                faults = True
        if faults:
            gathered.faulty.add(setting.name)
            continue
        gathered.values[setting.name] = (*gathered.values.get(setting.name, ()), table.cls(**given))
        gathered.places.setdefault(setting.name, []).append(reading.where(here))


def _inner_list(reading: _Reading, setting: Setting, value: object, path: Path) -> tuple[Any, ...]:
    """A list within one of several tables; raises Wrong, with the faults of its elements noted."""
    if not isinstance(value, list):
        raise _not_a_list(value)
    found: dict[Any, None] = {}
    for index, each in enumerate(value):
        try:
            found[_converted(reading, setting, each, (*path, index))] = None
        except Wrong as wrong:
            _fault(reading, setting, (*path, index), wrong)
    return tuple(found)


def _converted(reading: _Reading, setting: Setting, value: object, path: Path) -> Any:
    return convert(
        value, setting, lambda text: reading.notes.warning(reading.where(path), f"{setting.name}: {text}")
    )


def _fault(reading: _Reading, setting: Setting, path: Path, wrong: Wrong) -> None:
    reading.gathered.faulty.add(setting.name)
    reading.problem(path, f"{setting.name}: {wrong}")
