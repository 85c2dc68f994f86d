"""What ``postvouch dkim rotate`` takes from the configuration."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from postvouch.config import keyplaces
from postvouch.config.schema import Config
from postvouch.host.rotation import NAME
from postvouch.host.rotator import Desk
from postvouch.sign.rotate import Terms
from postvouch.values.address import AddressError, parse_domain


def desk_of(config: Config) -> Desk:
    """The folder, the name of this host, the terms, the resolvers."""
    try:
        host = parse_domain(config.general.hostname)
    except AddressError:
        host = "localhost"
    return Desk(
        directory=config.sign.key_directory,
        host=host,
        terms=Terms(
            retire_after_s=int(config.sign.retire_after), delete_after_s=int(config.sign.delete_after)
        ),
        servers=tuple(config.dns.servers),
        require_dnssec=config.sign.require_dnssec,
        reserved=frozenset(_reserved(config)),
    )


def managed_domains(config: Config) -> list[str]:
    """The domains whose keys rotate keeps: by the configuration, or by what is on disk."""
    found: dict[str, None] = {str(key.domain): None for key in config.sign.key if keyplaces.is_managed(key)}
    found |= {path.parent.name: None for path in sorted(Path(config.sign.key_directory).glob(f"*/{NAME}"))}
    return list(found)


def _reserved(config: Config) -> Iterator[tuple[str, str]]:
    """The selectors of tables that name one: today's, and what {year} would find as soon as it is there."""
    for key in config.sign.key:
        if not keyplaces.is_managed(key):
            year = time.localtime().tm_year
            for exists in (os.path.exists, lambda _: True):
                place = keyplaces.place(key, config, year=year, exists=exists)
                yield key.domain, place.selector.lower()
