"""Local policy as the core sees it: which mail is whose, and what each kind of failure leads to.

The manual of each field is the setting of the same name in config/verdict.py; ``config.policy.policy_of``
fills it in for the daemon and for the command line alike.
"""

from dataclasses import dataclass

from postvouch.values.network import NOBODY, Hosts, Network

ACCEPT, MARK, QUARANTINE, DEFER, REJECT = ACTIONS = ("accept", "mark", "quarantine", "defer", "reject")
"""From the mildest to the sternest; of several rules that apply the sternest wins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Local policy.

    ``domains``: ours, lower-case A-labels; their subdomains count as ours. ``internal``: clients whose mail
    is ours. ``srs_domains``: where our SRS senders are. The others are the settings of the table [verdict],
    domains as lower-case A-labels, networks read.
    """

    domains: tuple[str, ...] = ()
    internal: Hosts = NOBODY
    srs_domains: tuple[str, ...] = ()
    mode: str = "monitor"
    own_fail: str = REJECT
    own_temperror: str = DEFER
    own_hosts: tuple[Network, ...] = ()
    own_url: str = ""
    enforced_reject: str = MARK
    enforced_quarantine: str = MARK
    enforced_temperror: str = ACCEPT
    other_fail: str = ACCEPT
    other_none: str = ACCEPT
    other_temperror: str = ACCEPT
    bad_author: str = MARK
    exempt_hosts: tuple[Network, ...] = ()
    exempt_names: tuple[str, ...] = ()
    exempt_domains: tuple[str, ...] = ()
    exempt_lists: tuple[str, ...] = ()
    exempt_sealers: tuple[str, ...] = ()
    exempt_temperror: str = ACCEPT
