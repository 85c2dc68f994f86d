"""Defaults that other settings or the system decide: the host's name, our authserv-id, the main domain."""

import socket
from dataclasses import replace

from postvouch.config.kinds import Domain
from postvouch.config.schema import Config
from postvouch.values.domain import domain_or_nothing


def fill_in(config: Config) -> Config:
    """The configuration with every "Default: …" of the manual carried out, so that readers need none."""
    hostname = config.general.hostname or _hostname()
    domains = config.general.domains
    if config.general.role == "relay" and not domains and "." in hostname:
        domains = tuple(filter(None, (Domain(domain_or_nothing(hostname)),)))
    first = next(iter(domains), Domain(""))
    return replace(
        config,
        general=replace(config.general, hostname=hostname, domains=domains),
        verify=replace(config.verify, authserv_id=config.verify.authserv_id or hostname),
        ldap=replace(config.ldap, domain=config.ldap.domain or first),
        srs=replace(config.srs, domain=config.srs.domain or first),
    )


def _hostname() -> str:
    """gethostname(2) where it is qualified, as Postfix does; only else is the resolver asked."""
    name = socket.gethostname()
    return (name if "." in name else socket.getfqdn()).lower()
