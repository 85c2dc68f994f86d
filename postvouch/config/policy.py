"""From the configuration to what the core takes: one reading, for the daemon and for the command line."""

from dataclasses import fields
from typing import Any

from postvouch.auth.evaluate import Options
from postvouch.auth.policy import Policy
from postvouch.auth.psl import Suffixes
from postvouch.auth.verifier import Limits
from postvouch.config.schema import Config
from postvouch.config.verdict import Verdict
from postvouch.values.network import internal_hosts, networks

_NETWORKS = ("own_hosts", "exempt_hosts")


def policy_of(config: Config) -> Policy:
    """The policy that ``auth.decide.decide`` takes. Raises nothing for a configuration that was loaded."""
    same: dict[str, Any] = {each.name: getattr(config.verdict, each.name) for each in fields(Verdict)}
    same |= {name: networks(same[name]) for name in _NETWORKS}
    same["exempt_lists"] = tuple(each.lower().strip(".") for each in config.verdict.exempt_lists)
    srs_domains = (config.srs.domain or next(iter(config.general.domains), ""), config.srs.unproven_domain)
    return Policy(
        domains=config.general.domains,
        internal=internal_hosts(config.general.internal_hosts),
        srs_domains=tuple(filter(None, srs_domains)),
        **same,
    )


def options_of(config: Config, suffixes: Suffixes | None) -> Options:
    """The options that ``auth.evaluate.evaluate`` takes; the caller adds ``spent``, letter by letter.

    ``suffixes``: the list that verify.public_suffixes names, None where it cannot be had.
    """
    verify = config.verify
    return Options(
        limits=Limits(min_rsa_bits=verify.min_rsa_bits, max_signatures=verify.max_signatures),
        discovery=verify.discovery,
        suffixes=suffixes,
        arc=verify.arc,
        iprev=verify.iprev,
    )
