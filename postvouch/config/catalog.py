"""The schema as data: every table and setting with its kind, limits and manual, read from ``schema.py``.

The loader, the example file, the man page and ``postvouch config`` walk this; there is no second list.
"""

from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any, get_args, get_origin, get_type_hints

from postvouch.config.schema import Config


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One key. ``kind`` is a type of ``kinds.py`` or ``str``, ``int``, ``bool``, or a Table for [[tables]].

    ``many`` is true for a list; then ``kind`` is that of its elements.
    """

    table: str
    key: str
    kind: Any
    many: bool
    default: Any
    doc: str
    choices: tuple[str, ...]
    example: str
    required: bool
    least: float
    most: float | None

    @property
    def name(self) -> str:
        """The dotted name, "sign.vouching_id"."""
        return f"{self.table}.{self.key}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One TOML table: its dotted name, its class, its manual text, its settings by key."""

    name: str
    cls: Any
    doc: str
    settings: dict[str, Setting]


def _table(name: str, cls: Any) -> Table:
    kinds = get_type_hints(cls)
    settings = {}
    for each in fields(cls):
        kind = kinds[each.name]
        many = get_origin(kind) is tuple
        if many:
            kind = get_args(kind)[0]
        if is_dataclass(kind):
            kind = _table(f"{name}.{each.name}", kind)
        assert each.default is not MISSING, f"{name}.{each.name} is made by setting()"  # noqa: S101
        meta = each.metadata
        settings[each.name] = Setting(
            table=name,
            key=each.name,
            kind=kind,
            many=many,
            default=each.default,
            doc=meta["doc"],
            choices=meta["choices"],
            example=meta["example"],
            required=meta["required"],
            least=meta.get("least", 0),
            most=meta.get("most"),
        )
    return Table(name=name, cls=cls, doc=" ".join((cls.__doc__ or "").split()), settings=settings)


TABLES: dict[str, Table] = {
    each.name: _table(each.name, get_type_hints(Config)[each.name]) for each in fields(Config)
}
"""All tables by name, in the order of the schema."""


def settings() -> dict[str, Setting]:
    """Every setting by its dotted name, those of [[tables]] included ("sign.key.file")."""
    found: dict[str, Setting] = {}
    for table in TABLES.values():
        for each in table.settings.values():
            found[each.name] = each
            if isinstance(each.kind, Table):
                found.update({inner.name: inner for inner in each.kind.settings.values()})
    return found
