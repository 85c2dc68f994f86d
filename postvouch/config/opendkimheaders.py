"""OpenDKIM's SignHeaders, OmitHeaders and OversignHeaders as our three lists of header fields.

OpenDKIM signs RFC 6376's recommended fields unless told otherwise; our default covers more, and oversigns
what readers see. So only what is said explicitly is carried: a list that replaces the default names all that
is signed, and one with ``*`` adds and takes away.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from postvouch.config.opendkim import DataSet
from postvouch.config.sign import Sign

_NAME = re.compile(r"[!-9;-~]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """The lists of the table [sign]."""

    sign: tuple[str, ...]
    oversign: tuple[str, ...]
    oversign_present: tuple[str, ...]


def default() -> Fields:
    """Ours."""
    ours = Sign()
    return Fields(
        sign=ours.sign_headers,
        oversign=ours.oversign_headers,
        oversign_present=ours.oversign_present_headers,
    )


def signed(fields: Fields, listed: DataSet) -> Fields:
    """With SignHeaders."""
    names = _names(listed)
    if "*" in names:
        removed = {name[1:] for name in names if name.startswith("-")} - {"from"}
        added = [name[1:] for name in names if name.startswith("+") and _NAME.fullmatch(name[1:])]
        return _add(_keep(fields, lambda name: name not in removed), added)
    wanted = {"from", *names}
    kept = _keep(fields, lambda name: name in wanted)
    return _add(kept, [name for name in names if _NAME.fullmatch(name)])


def omitted(fields: Fields, listed: DataSet) -> Fields:
    """With OmitHeaders. From: is signed all the same."""
    names = {name.removeprefix("+") for name in _names(listed) if not name.startswith("-")} - {"from", "*"}
    return _keep(fields, lambda name: name not in names)


def oversigned(fields: Fields, listed: DataSet) -> Fields:
    """With OversignHeaders: what is listed there and not in ours."""
    names = [name for name in _names(listed) if _NAME.fullmatch(name) and name not in fields.oversign]
    rest = _keep(fields, lambda name: name not in names)
    return Fields(sign=rest.sign, oversign=(*rest.oversign, *names), oversign_present=rest.oversign_present)


def _names(listed: DataSet) -> list[str]:
    return list(dict.fromkeys(row.key.lower() for row in listed.rows))


def _keep(fields: Fields, wanted: Callable[[str], bool]) -> Fields:
    return Fields(
        sign=tuple(filter(wanted, fields.sign)),
        oversign=tuple(filter(wanted, fields.oversign)),
        oversign_present=tuple(filter(wanted, fields.oversign_present)),
    )


def _add(fields: Fields, names: list[str]) -> Fields:
    there = {*fields.sign, *fields.oversign, *fields.oversign_present}
    return Fields(
        sign=(*fields.sign, *(name for name in names if name not in there)),
        oversign=fields.oversign,
        oversign_present=fields.oversign_present,
    )
