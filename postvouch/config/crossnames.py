"""Checks of [map] and [ldap]: where names come from, which of them count, how old they may be."""

import re

from postvouch.config.checks import Checks
from postvouch.config.names import Source
from postvouch.config.problems import Where

_TAKEN = ("names", "ldap")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_PLACEHOLDERS = ("role", "shorthost")


def check(c: Checks) -> None:
    """All of them."""
    _names(c)
    _ldap(c)
    _tables(c)
    _precedence(c)
    _targets(c)


def _tables(c: Checks) -> None:
    """Each problem at the line of its [[map.source]]."""
    for path in c.config.map.names:
        for fault in _placeholders(path):
            c.problem(f"map.names: {fault}", "map.names")
    for source, where in c.named("map.source", c.config.map.source, taken=_TAKEN):
        for fault in _faults(source):
            c.notes.problem(where, fault)
        _section(c, source, where)


def _faults(source: Source) -> list[str]:
    faults = []
    for path in source.files:
        if not path.startswith("/"):
            faults.append(f'map.source.files: "{path}" is no absolute path')
        faults += [f"map.source.files: {fault}" for fault in _placeholders(path)]
    return faults


def _section(c: Checks, source: Source, where: Where) -> None:
    if source.type == "ud-ldap" and source.section not in ("", "aliases", "forwards"):
        text = f'map.source.section: "{source.section}" is not for people to edit; put it in a file of yours'
        c.notes.problem(where, f'{text} (type = "flat" or "yaml")')
    if source.section and source.type not in ("flat", "ud-ldap"):
        c.notes.warning(where, f'map.source.section has no effect with type = "{source.type}"')


def _placeholders(path: str) -> list[str]:
    known = " and ".join(f"{{{each}}}" for each in _PLACEHOLDERS)
    return [
        f'"{path}": {{{word}}} stands for nothing; there are {known}'
        for word in _PLACEHOLDER.findall(path)
        if word not in _PLACEHOLDERS
    ]


def _precedence(c: Checks) -> None:
    order = c.config.map.precedence
    known = [*_TAKEN, *(source.name for source in c.config.map.source)]
    for name in dict.fromkeys(order):
        if name not in known:
            c.problem(f'map.precedence: no source is named "{name}"', "map.precedence", "map.source")
    if "ldap" in order and not c.config.ldap.uri:
        c.warning('map.precedence names "ldap", but ldap.uri is not set', "map.precedence", "ldap.uri")


def _targets(c: Checks) -> None:
    both = sorted(set(c.config.map.allowed_targets) & set(c.config.map.denied_targets))
    if both:
        c.problem(
            f"{', '.join(both)} in map.allowed_targets and map.denied_targets: denied counts",
            "map.denied_targets",
            "map.allowed_targets",
        )


def _names(c: Checks) -> None:
    names = c.config.map
    if names.soft_age >= names.hard_age:
        c.problem("map.soft_age must be shorter than map.hard_age", "map.soft_age", "map.hard_age")
    if names.refresh >= names.soft_age:
        c.warning(
            "map.refresh is not shorter than map.soft_age: every snapshot grows old",
            "map.refresh",
            "map.soft_age",
        )
    if c.config.dns.timeout > c.config.dns.message_timeout:
        c.problem("dns.timeout is longer than dns.message_timeout", "dns.timeout", "dns.message_timeout")


def _ldap(c: Checks) -> None:
    ldap = c.config.ldap
    if not ldap.uri:
        return
    if not all(uri.startswith(("ldap://", "ldaps://", "ldapi://")) for uri in ldap.uris):
        c.problem("ldap.uri must begin with ldap:// or ldaps://", "ldap.uri")
    if not ldap.base:
        c.problem("ldap.uri without ldap.base: where is to be searched?", "ldap.uri", "ldap.base")
    if ldap.starttls and all(uri.startswith("ldaps:") for uri in ldap.uris):
        c.problem(
            "ldap.starttls is for ldap:// only: ldaps:// is encrypted from the start",
            "ldap.starttls",
            "ldap.uri",
        )
    if ldap.bind_dn and not ldap.password_file:
        c.problem("ldap.bind_dn without ldap.password_file", "ldap.bind_dn", "ldap.password_file")
    if ldap.password_file and not ldap.starttls and any(uri.startswith("ldap:") for uri in ldap.uris):
        c.warning(
            "ldap.password_file over ldap:// without starttls: the password is sent in clear",
            "ldap.uri",
            "ldap.starttls",
        )
