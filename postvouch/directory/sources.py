"""All sources of names, read in the order of their precedence; none of them can stop the others."""

import glob
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from postvouch.config.names import Source
from postvouch.config.schema import Config
from postvouch.directory import files, flat, fragments, ldap
from postvouch.directory.model import FILES, LDAP, Part, Problem

_SECTION = {"flat": "aliases", "ud-ldap": "forwards"}
"""What the lines of a file are where map.source.section does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What became of reading one source.

    ``part`` is None where it could not be read in full or must be mended
    first; ``failure`` then says why, and what the source said before stays.
    """

    origin: str
    part: Part | None
    problems: tuple[Problem, ...] = ()
    failure: str = ""


def order(config: Config) -> tuple[str, ...]:
    """The sources by name, the first has precedence: those of map.precedence, then the rest."""
    sources = [FILES, *(source.name for source in config.map.source)]
    if config.ldap.uri:
        sources.append(LDAP)
    first = [name for name in dict.fromkeys(config.map.precedence) if name in sources]
    return tuple(dict.fromkeys((*first, *sources)))


def read_all(config: Config, previous: Mapping[str, Part], *, now: float) -> tuple[Reading, ...]:
    """Read every configured source; the first has precedence. Never raises for what a source does.

    ``previous``: what each source said last, by origin; a reader may ask only for what changed since.
    """
    return tuple(
        _ldap(config, previous.get(LDAP), now) if name == LDAP else _file(config, name, now)
        for name in order(config)
    )


def read_files(config: Config, *, now: float) -> tuple[Reading, ...]:
    """The same for the sources that are on this host: all but LDAP."""
    return tuple(_file(config, name, now) for name in order(config) if name != LDAP)


def placed(config: Config, patterns: Iterable[str]) -> tuple[str, ...]:
    """The patterns with {role} and {shorthost} filled in.

    These are layers, as Hiera has them: a host or a role may do without its own file.
    """
    host = (config.general.hostname or os.uname().nodename).partition(".")[0]
    found = []
    for pattern in patterns:
        path = pattern.replace("{role}", config.general.role or "none").replace("{shorthost}", host)
        if path == pattern or not _is_missing(path):
            found.append(path)
    return tuple(found)


def patterns(config: Config) -> tuple[str, ...]:
    """Globs of all files that the sources on this host read."""
    found = [*placed(config, config.map.names)]
    for source in config.map.source:
        where = placed(config, source.files)
        inside = source.type == "fragments"
        found += (
            [f"{folder}/*{ending}" for folder in where for ending in fragments.ENDINGS] if inside else where
        )
    return tuple(found)


def _is_missing(path: str) -> bool:
    try:
        os.stat(path)
    except FileNotFoundError:
        return not glob.has_magic(path)
    except OSError:  # there, and out of reach: whoever reads it says so
        return False
    return False


def _file(config: Config, name: str, now: float) -> Reading:
    source = next((each for each in config.map.source if each.name == name), None)
    part, problems = _read(config, source, now)
    if any(problem.fatal for problem in problems):
        failure = "not taken, see their problems; what they said before stays"
        return Reading(origin=name, part=None, problems=problems, failure=failure)
    return Reading(origin=name, part=part, problems=problems)


def _read(config: Config, source: Source | None, now: float) -> tuple[Part, tuple[Problem, ...]]:
    domains, namespace = config.general.domains, config.map.namespace
    if source is None:
        names = placed(config, config.map.names)
        return files.read(names, domains, now=now, namespace=namespace)
    where = placed(config, source.files)
    match source.type:
        case "yaml":
            return files.read(where, domains, now=now, origin=source.name, namespace=namespace)
        case "fragments":
            return fragments.read(where, domains, now=now, origin=source.name)
        case kind:
            return flat.read(
                where, domains, now=now, origin=source.name,
                section=source.section or _SECTION[kind], strict=kind == "flat",
            )  # fmt: skip


def _ldap(config: Config, previous: Part | None, now: float) -> Reading:
    domain = next(iter(config.general.domains), "")
    try:
        part, problems = ldap.read(config.ldap, domain, now=now, previous=previous)
    except ldap.DirectoryUnavailable as error:
        return Reading(origin=LDAP, part=None, failure=str(error))
    return Reading(origin=LDAP, part=part, problems=problems)
