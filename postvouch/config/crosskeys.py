"""Checks of the [[sign.key]] tables: their words, whom they sign for, and what DMARC makes of it."""

from postvouch.config import keyplaces
from postvouch.config.checks import Checks
from postvouch.config.problems import Where
from postvouch.config.sign import SigningKey
from postvouch.sign.authors import Pattern, parse
from postvouch.values.domain import AddressError, owned


def check(c: Checks) -> None:
    """All of them; each problem at the line of its table."""
    seen: dict[tuple[str, str], Where] = {}
    places = c.gathered.places.get("sign.key", [])
    for index, key in enumerate(c.config.sign.key):
        where = places[index] if index < len(places) else c.main
        name = (key.domain, key.selector.lower())
        if name in seen:
            what = f"key for {key.selector}._domainkey.{key.domain}" if key.selector else "managed table"
            c.notes.problem(where, f"a second {what}{'' if key.selector else f' of {key.domain}'}")
        seen[name] = where
        for fault in keyplaces.faults(key):
            c.notes.problem(where, fault)
        if key.subdomains and key.authors:
            c.notes.warning(where, "sign.key.subdomains has no effect beside sign.key.authors")
        _authors(c, key, where)


def _authors(c: Checks, key: SigningKey, where: Where) -> None:
    domains = c.config.general.domains
    listed = bool(domains) and "general.domains" not in c.gathered.faulty
    if listed and not key.authors and not owned(key.domain, domains):
        c.notes.warning(where, f"{key.domain} is not in general.domains: is it ours?")
    for pattern in _patterns(key):
        if listed and key.authors and not owned(pattern.domain, domains):
            c.notes.warning(where, f"{pattern} in sign.key.authors is not in general.domains: is it ours?")
        if not _aligned(key.domain, pattern.domain, domains):
            c.notes.warning(
                where,
                f"{key.domain} signs for {pattern}, which is another organisation: DMARC does not count it",
            )


def _patterns(key: SigningKey) -> list[Pattern]:
    if not key.authors:
        return [Pattern(domain=key.domain)]
    found = []
    for text in key.authors:
        try:
            found.append(parse(text))
        except AddressError:
            continue  # the loader has said so already
    return found


def _aligned(signer: str, author: str, domains: tuple[str, ...]) -> bool:
    """Relaxed alignment (RFC 9989 §4.10.2) as far as it can be told without DNS: one below the other, or
    both below one domain of ours."""
    if signer == author or owned(signer, (author,)) or owned(author, (signer,)):
        return True
    return owned(signer, domains) == owned(author, domains) != ""
