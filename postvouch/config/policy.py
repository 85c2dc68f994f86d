"""From the configuration to the policy of the core: one reading, for the daemon and for the command line."""

from dataclasses import fields
from typing import Any

from postvouch.auth.policy import Policy
from postvouch.config.schema import Config
from postvouch.config.verdict import Verdict
from postvouch.values.network import networks

_NETWORKS = ("own_hosts", "exempt_hosts")


def policy_of(config: Config) -> Policy:
    """The policy that ``auth.decide.decide`` takes. Raises nothing for a configuration that was loaded."""
    same: dict[str, Any] = {each.name: getattr(config.verdict, each.name) for each in fields(Verdict)}
    same |= {name: networks(same[name]) for name in _NETWORKS}
    same["exempt_lists"] = tuple(each.lower().strip(".") for each in config.verdict.exempt_lists)
    srs_domains = (config.srs.domain or next(iter(config.general.domains), ""), config.srs.unproven_domain)
    return Policy(
        domains=config.general.domains,
        internal=networks(config.general.internal_hosts),
        srs_domains=tuple(filter(None, srs_domains)),
        **same,
    )
