"""All sources of names, read in the order of their precedence; none of them can stop the others."""

from collections.abc import Mapping
from dataclasses import dataclass

from postvouch.config.schema import Config
from postvouch.directory import files, ldap
from postvouch.directory.model import FILES, LDAP, Part, Problem


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


def read_all(config: Config, previous: Mapping[str, Part], *, now: float) -> tuple[Reading, ...]:
    """Read every configured source; the first has precedence. Never raises for what a source does.

    ``previous``: what each source said last, by origin; a reader may ask only for what changed since.
    """
    readings = [_names(config, now)]
    if config.ldap.uri:
        readings.append(_ldap(config, previous.get(LDAP), now))
    return tuple(readings)


def _names(config: Config, now: float) -> Reading:
    part, problems = files.read(config.map.names, config.general.domains, now=now)
    if any(problem.fatal for problem in problems):
        failure = "not taken, see their problems; what they said before stays"
        return Reading(origin=FILES, part=None, problems=problems, failure=failure)
    return Reading(origin=FILES, part=part, problems=problems)


def _ldap(config: Config, previous: Part | None, now: float) -> Reading:
    domain = next(iter(config.general.domains), "")
    try:
        part, problems = ldap.read(config.ldap, domain, now=now, previous=previous)
    except ldap.DirectoryUnavailable as error:
        return Reading(origin=LDAP, part=None, failure=str(error))
    return Reading(origin=LDAP, part=part, problems=problems)
