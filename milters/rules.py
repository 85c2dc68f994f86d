"""Who may be signed for, by the configuration, and who wrote a letter: what ``sign.choose`` wants to know."""

from collections.abc import Sequence
from functools import lru_cache

from postvouch.config.schema import Config
from postvouch.sign import choose
from postvouch.values.address import Author, parse_author
from postvouch.values.message import Field, by_name
from postvouch.values.network import internal_hosts, networks


def rules_of(config: Config) -> choose.Rules:
    """The rules of one configuration."""
    return choose.Rules(
        domains=ours(config),
        internal=internal_hosts(config.general.internal_hosts),
        certificates=frozenset(each.lower() for each in config.sign.client_certificates),
        vouching=networks(config.sign.vouching_hosts),
        vouching_id=config.sign.vouching_id,
        sign_unauthenticated=config.sign.sign_unauthenticated,
        check_owner=config.sign.check_owner,
        rewrites=config.general.role == "srs",
    )


def ours(config: Config) -> frozenset[str]:
    """Our domains, those of rewritten senders included: a From: in them is what SPF would align with."""
    rewritten = (config.srs.domain, config.srs.unproven_domain) if config.general.role == "srs" else ()
    return frozenset(filter(None, (*config.general.domains, *rewritten)))


def author_of(fields: Sequence[Field]) -> Author:
    """The author in a header, twice asked and once found out: before the body and after it."""
    values = tuple([field.value for field in by_name(fields).get(b"from", ())])
    if sum(map(len, values)) > _COMMON:
        return parse_author(values)
    return _kept(values)


_COMMON = 1000
_kept = lru_cache(maxsize=256)(parse_author)
