"""Checks of the table [verdict], with what it needs of others: exemptions that excuse too many or nobody."""

import re
from ipaddress import ip_network

from postvouch.auth.policy import ACTIONS, MARK
from postvouch.config.checks import HOST, Checks
from postvouch.values.domain import owned

_URL = re.compile(r"https?://[!-~]+")
_LONGEST_URL = 200  # the line of a reply has 512 octets (RFC 5321 §4.5.3.1.5)


def check(c: Checks) -> None:
    """All of them."""
    _url(c)
    _own(c)
    _everybody(c)
    _nobody(c)
    _suffixes(c)


def _url(c: Checks) -> None:
    url = c.config.verdict.own_url
    if url and not (_URL.fullmatch(url) and len(url) <= _LONGEST_URL):
        c.problem(
            f"verdict.own_url: http:// or https://, at most {_LONGEST_URL} characters, ASCII, no blanks; "
            f'not "{url[:60]}"',
            "verdict.own_url",
        )


def _own(c: Checks) -> None:
    verdict = c.config.verdict
    names = ("verdict.own_fail", "verdict.own_temperror")
    if verdict.mode == "enforce" and verdict.own_fail == "accept":
        c.warning('verdict.own_fail = "accept": spoofs of ours are let in', names[0], "verdict.mode")
    if ACTIONS.index(verdict.own_fail) > ACTIONS.index(MARK) and verdict.own_temperror == "accept":
        c.warning(
            'verdict.own_temperror = "accept": a spoof of ours gets in while DNS fails, or is made to',
            *reversed(names),
        )


def _everybody(c: Checks) -> None:
    """Exemptions that are wider than anyone can mean."""
    verdict, ours = c.config.verdict, c.config.general.domains
    hosts = {"verdict.own_hosts": verdict.own_hosts, "verdict.exempt_hosts": verdict.exempt_hosts}
    for name, listed in hosts.items():
        for network in listed:
            if not ip_network(network).prefixlen:
                c.problem(f"{network} in {name}: that is everybody", name)
    domains = {
        "verdict.exempt_names": verdict.exempt_names,
        "verdict.exempt_domains": verdict.exempt_domains,
        "verdict.exempt_lists": verdict.exempt_lists,
    }
    for name, names in domains.items():
        for each in names:
            if not HOST.fullmatch(each):
                c.problem(f'{name}: "{each}": {_name_meant(name, each)}', name)
            elif "." not in each:
                c.problem(f'{name}: "{each}" is a whole top-level domain', name)
    for domain in verdict.exempt_domains:
        if owned(domain, ours):
            c.problem(
                f"{domain} in verdict.exempt_domains is ours: who may write as us is verdict.own_hosts",
                "verdict.exempt_domains",
                "general.domains",
            )


def _name_meant(name: str, text: str) -> str:
    if name != "verdict.exempt_lists":
        return "not a host name"
    if not text.isascii():
        return "write a domain that is not ASCII as A-labels (xn--...), as List-Id has it"
    return "write the name that stands between < and > in List-Id, without a dot at its end"


def _nobody(c: Checks) -> None:
    """Exemptions that wait for what is not found out."""
    verdict, verify = c.config.verdict, c.config.verify
    if verdict.exempt_sealers and not verify.arc:
        c.problem("verdict.exempt_sealers needs verify.arc = true", "verdict.exempt_sealers", "verify.arc")
    if verdict.exempt_names and not verify.iprev:
        c.problem("verdict.exempt_names needs verify.iprev = true", "verdict.exempt_names", "verify.iprev")


def _suffixes(c: Checks) -> None:
    if c.config.verify.discovery != "treewalk" and not c.config.verify.public_suffixes:
        c.problem(
            f'verify.discovery = "{c.config.verify.discovery}" needs verify.public_suffixes',
            "verify.discovery",
            "verify.public_suffixes",
        )
