"""What to change in Postfix's configuration, what was there before, how to get back. Pure: no file is read.

A change maps a name to its new value, None for "not there". The record of what we wrote and what stood there
before is kept beside main.cf as postvouch-before.json, so that undoing does not need our configuration.
"""

import difflib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from postvouch.config.snippets import Wiring, normal

Changes = Mapping[str, str | None]

_OPTION = re.compile(r" -o (?:\{ ?(\w+) ?= ?(.*?) ?\}(?= -o |$)|(\w+)=(\S*))")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is written in main.cf (parameter -> value) and master.cf ("name/type" -> line); no defaults."""

    main: Mapping[str, str]
    services: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Was:
    """One setting of ours: what stood there ``before``, and what we ``wrote``; None for nothing."""

    before: str | None
    wrote: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """All settings of ours on this host."""

    role: str
    main: Mapping[str, Was]
    services: Mapping[str, Was]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to write; what stays ours; what we leave alone and why (``notes``)."""

    main: Changes = field(default_factory=dict)
    services: Changes = field(default_factory=dict)
    record: Record | None = None
    notes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.main or self.services)


def to_apply(role: str, wanted: Wiring, now: Settings, known: frozenset[str], record: Record | None) -> Plan:
    """From what is there to the wiring of ``role``.

    ``known`` are the parameters that this Postfix has; it is told nothing of others. Settings of an earlier
    wiring that this one does not have go back to what they were.
    """
    notes = [f"{name}: this Postfix has no such parameter" for name in wanted.main if name not in known]
    ours = {name: value for name, value in wanted.main.items() if name in known}
    main, was_main = _towards(ours, now.main, record.main if record else {}, notes, normal)
    services, was_services = _towards(
        wanted.services, now.services, record.services if record else {}, notes, service_key
    )
    return Plan(
        main=main,
        services=services,
        record=Record(role=role, main=was_main, services=was_services),
        notes=(*notes, *doubts(_changed(now.services, services))),
    )


def doubts(services: Mapping[str, str]) -> tuple[str, ...]:
    """What in master.cf would let mail past our milters, or through them twice; never changed by us.

    A listener to which a content filter brings mail back is known by its empty content_filter.
    """
    found = []
    for name, line in services.items():
        fields = normal(line).split()
        options = {one or two: value or more for one, value, two, more in _OPTION.findall(normal(line))}
        if fields[7:8] != ["smtpd"]:
            continue
        skips = "no_milters" in options.get("receive_override_options", "")
        if options.get("content_filter") == "" and not skips and options.get("smtpd_milters") != "":
            found.append(
                f"{name}: mail that a content filter brings back goes through the milters once more; "
                "add -o receive_override_options=no_milters"
            )
        if options.get("milter_default_action") == "accept" or "default_action=accept" in options.get(
            "smtpd_milters", ""
        ):
            found.append(f"{name}: milter_default_action=accept lets mail pass while a milter is away")
        if "content_filter" not in options and (skips or options.get("smtpd_milters") == ""):
            found.append(f"{name}: no milters here, so nothing that comes in is verified or signed")
    return tuple(found)


def to_remove(now: Settings, record: Record) -> Plan:
    """Back to what was before us; a setting that somebody else has changed since is left alone."""
    notes: list[str] = []
    main, _ = _towards({}, now.main, record.main, notes, normal)
    services, _ = _towards({}, now.services, record.services, notes, service_key)
    return Plan(main=main, services=services, notes=tuple(notes))


def _towards(
    wanted: Mapping[str, str | None],
    now: Mapping[str, str],
    record: Mapping[str, Was],
    notes: list[str],
    key: Callable[[str], str],
) -> tuple[dict[str, str | None], dict[str, Was]]:
    changes: dict[str, str | None] = {}
    ours: dict[str, Was] = {}
    for name, value in wanted.items():
        if not _same(now.get(name), value, key):
            changes[name] = value
        before = record[name].before if name in record else now.get(name)
        # Pasted by hand before we came: then "before" is nothing, or undoing would leave Postfix wired to us.
        if before is not None and "postvouch/" in before:
            before = None
        ours[name] = Was(before, value)
    for name, was in record.items():
        if name in wanted or _same(now.get(name), was.before, key):
            continue
        if _same(now.get(name), was.wrote, key):
            changes[name] = was.before
        else:
            notes.append(f"{name}: changed since we wrote it, so it is left as it is")
    return changes, ours


def _same(one: str | None, other: str | None, key: Callable[[str], str]) -> bool:
    if one is None or other is None:
        return one is other
    return key(one) == key(other)


def service_key(line: str) -> str:
    """A line of master.cf in one spelling, an option a line: easy to compare and to read in a diff."""
    return normal(line).replace(" -o ", "\n-o ")


def after(now: Settings, plan: Plan) -> Settings:
    """The settings when the plan is carried out."""
    return Settings(main=_changed(now.main, plan.main), services=_changed(now.services, plan.services))


def _changed(now: Mapping[str, str], changes: Changes) -> dict[str, str]:
    merged = {**now, **changes}
    return {name: value for name, value in merged.items() if value is not None}


def diff(now: Settings, then: Settings) -> str:
    """A unified diff of both files as postconf(1) would list them; "" where they are equal."""
    pairs = (
        ("main.cf", _main_lines(now.main), _main_lines(then.main)),
        ("master.cf", _service_lines(now.services), _service_lines(then.services)),
    )
    out: list[str] = []
    for name, old, new in pairs:
        out += difflib.unified_diff(old, new, f"{name} (now)", f"{name} (wanted)", lineterm="", n=1)
    return "\n".join(out)


def _main_lines(main: Mapping[str, str]) -> list[str]:
    return [f"{name} = {normal(value)}".rstrip() for name, value in sorted(main.items())]


def _service_lines(services: Mapping[str, str]) -> list[str]:
    return [line for key in sorted(services) for line in service_key(services[key]).split("\n")]


def dump(record: Record) -> str:
    """The record as the text of its file."""
    data = {
        "about": "What Postfix had before postvouch postfix --apply; --remove puts it back.",
        "role": record.role,
        "main": _plain(record.main),
        "services": _plain(record.services),
    }
    return json.dumps(data, indent=1, sort_keys=True) + "\n"


def read(text: str) -> Record:
    """The record from the text of its file. ValueError: it is not one."""
    try:
        data = json.loads(text)
        return Record(role=str(data["role"]), main=_was(data["main"]), services=_was(data["services"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a record of postvouch postfix: {error!r}") from error


def _plain(settings: Mapping[str, Was]) -> dict[str, dict[str, str | None]]:
    return {name: {"before": was.before, "wrote": was.wrote} for name, was in settings.items()}


def _was(data: Any) -> dict[str, Was]:
    found: dict[str, Was] = {}
    for name, was in data.items():
        before, wrote = was["before"], was["wrote"]
        if not all(value is None or isinstance(value, str) for value in (before, wrote)):
            raise TypeError(f"{name}: neither text nor null")
        found[name] = Was(before, wrote)
    return found
