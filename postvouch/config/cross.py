"""Checks that join two settings: each one right by itself, together a hole, a dead end or a surprise.

Holes and dead ends are problems (no daemon starts); what may be meant is a warning (``postvouch check``).
"""

import re
from ipaddress import IPv4Network, IPv6Network, ip_network

from postvouch.config import crosskeys, crosslimits, crossnames, crossshared, crossverdict
from postvouch.config.checks import HOST, Checks
from postvouch.config.gather import Gathered
from postvouch.config.problems import Notes, Where
from postvouch.config.schema import Config
from postvouch.values.network import LOOPBACK, is_network

_DAY = 86400
_URL = re.compile(r"https?://[\w.~:/?#\[\]@!&'()*+,;=%-]+", re.ASCII)
"""What Postfix would put something else for ("$") is none."""
_QUEUE_LIFETIME_DAYS = 5  # maximal_queue_lifetime and bounce_queue_lifetime of Postfix


def check(config: Config, gathered: Gathered, main: Where, notes: Notes) -> None:
    """All checks; ``config`` has defaults where a setting was faulty, and checks of those are left out."""
    checks = Checks(config, gathered, main, notes)
    _role(checks)
    _words(checks)
    _origin(checks)
    crosskeys.check(checks)
    _signing(checks)
    _away(checks)
    crossnames.check(checks)
    _srs(checks)
    _sockets(checks)
    crossshared.check(checks)
    crossverdict.check(checks)
    crosslimits.check(checks)


def _role(c: Checks) -> None:
    role = c.config.general.role
    if not role:
        c.warning("general.role is not set: nothing is signed and every lookup is not found", "general.role")
        return
    if not c.config.general.domains and role == "relay":
        c.warning(
            "role relay without general.domains: only mail From: this host's own name is ours",
            "general.role",
            "general.domains",
        )
    elif not c.config.general.domains:
        c.problem(
            f"role {role} without general.domains: nothing would be ours", "general.role", "general.domains"
        )
    if role in ("srs", "submission", "relay", "single") and not c.config.sign.key:
        c.warning(f"role {role} without a [[sign.key]]: nothing will be signed", "general.role", "sign.key")
    if role == "srs" and not c.config.sign.vouching_hosts:
        c.warning(
            "role srs without sign.vouching_hosts: no mx may connect, so nothing will be forwarded",
            "general.role",
            "sign.vouching_hosts",
        )
    if role == "mx" and c.config.sign.key:
        c.warning("an mx does not sign: its keys are better kept elsewhere", "sign.key")
    if role == "mx" and not c.config.map.forward_transport:
        c.warning(
            "role mx without map.forward_transport: Postfix's own transport must bring forwards to srs",
            "general.role",
            "map.forward_transport",
        )


def _words(c: Checks) -> None:
    """Words whose form the schema's types do not know."""
    config = c.config
    hosts = {
        "general.hostname": config.general.hostname,
        "verify.authserv_id": config.verify.authserv_id,
        "sign.vouching_id": config.sign.vouching_id,
    }
    for name, host in hosts.items():
        if host and not HOST.fullmatch(host):
            c.problem(f'{name}: "{host}" is no host name', name)
    for path in (*config.map.names, config.map.snapshot):
        if not path.startswith("/"):
            name = "map.snapshot" if path == config.map.snapshot else "map.names"
            c.problem(f'{name}: "{path}" is no absolute path', name)


def _origin(c: Checks) -> None:
    listed = [ip_network(each) for each in c.config.general.internal_hosts if is_network(each)]
    internal = list(dict.fromkeys((*listed, *LOOPBACK)))
    vouching = [ip_network(each) for each in c.config.sign.vouching_hosts]
    names = ("sign.vouching_hosts", "general.internal_hosts")
    for ours in internal:
        if ours.prefixlen == 0:
            c.problem(f"{ours} in general.internal_hosts: strangers' mail would be signed", names[1])
    for where, mx in zip(c.gathered.places.get(names[0], ()), vouching, strict=True):
        for ours in internal:
            if _overlap(mx, ours):
                c.notes.problem(
                    where,
                    f"{mx} in sign.vouching_hosts is also in general.internal_hosts ({ours}): what strangers "
                    "send through it would be signed as ours",
                )
    for name in c.config.sign.client_certificates:
        if not HOST.fullmatch(name) or "." not in name:
            c.problem(f'sign.client_certificates: "{name}" is no host name', "sign.client_certificates")
    if vouching and not c.config.sign.vouching_id:
        c.problem(
            "sign.vouching_hosts without sign.vouching_id: whose dmarc=pass is meant?",
            *names[:1],
            "sign.vouching_id",
        )
    if c.config.sign.vouching_id and not vouching:
        c.warning("sign.vouching_id without sign.vouching_hosts has no effect", "sign.vouching_id", names[0])
    if vouching and c.config.general.role not in ("", "srs"):
        c.warning(f"sign.vouching_hosts on role {c.config.general.role}: only srs hosts have any", names[0])
    if c.config.sign.sign_unauthenticated:
        c.warning(
            "sign.sign_unauthenticated: a spoof of ours leaves as ours, signed", "sign.sign_unauthenticated"
        )


def _overlap(one: IPv4Network | IPv6Network, other: IPv4Network | IPv6Network) -> bool:
    if isinstance(one, IPv4Network):
        return isinstance(other, IPv4Network) and one.overlaps(other)
    return isinstance(other, IPv6Network) and one.overlaps(other)


def _signing(c: Checks) -> None:
    sign = c.config.sign
    present, always = sign.oversign_present_headers, sign.oversign_headers
    if "from" not in {each.lower() for each in (*sign.sign_headers, *present, *always)}:
        c.problem(
            "no list of headers holds from: a signature must cover it (RFC 6376 §5.4)",
            "sign.oversign_headers",
            "sign.sign_headers",
        )
    elif "from" not in {each.lower() for each in (*present, *always)}:
        c.warning("sign.oversign_headers lacks from: a second From: could be added", "sign.oversign_headers")
    if 0 < sign.expire <= _QUEUE_LIFETIME_DAYS * _DAY:
        c.warning("sign.expire: mail may wait in queues for 5d and then arrive expired", "sign.expire")
    if sign.retire_after <= _QUEUE_LIFETIME_DAYS * _DAY:
        c.warning(
            "sign.retire_after: mail may wait in queues for 5d and then find no key", "sign.retire_after"
        )


def _away(c: Checks) -> None:
    url = c.config.postfix.help_url
    if url and not _URL.fullmatch(url):
        c.problem(f'postfix.help_url: "{url}" is no http or https address', "postfix.help_url")
    if c.config.postfix.sign_default_action == "accept":
        c.warning(
            'postfix.sign_default_action = "accept": while postvouch-sign is away mail leaves unsigned; '
            '"postvouch unsigned" says which',
            "postfix.sign_default_action",
        )


def _srs(c: Checks) -> None:
    srs, domains = c.config.srs, c.config.general.domains
    if srs.max_age <= 2 * _QUEUE_LIFETIME_DAYS * _DAY:
        c.problem(
            "srs.max_age must be longer than 10d: a bounce may be two queue lifetimes old", "srs.max_age"
        )
    if srs.domain and domains and srs.domain not in domains:
        c.warning(
            f"srs.domain {srs.domain} is not in general.domains: the mx must take its mail",
            "srs.domain",
            "general.domains",
        )
    if srs.unproven_domain and srs.unproven_domain == (srs.domain or next(iter(domains), "")):
        c.problem(
            "srs.unproven_domain must be another domain than srs.domain", "srs.unproven_domain", "srs.domain"
        )
    if (
        c.config.sign.on_unproven == "forward"
        and not srs.unproven_domain
        and c.config.general.role in ("srs", "single")
    ):
        c.problem(
            'sign.on_unproven = "forward" needs srs.unproven_domain',
            "sign.on_unproven",
            "srs.unproven_domain",
        )


def _sockets(c: Checks) -> None:
    daemons = ("verify", "sign", "map", "policy")
    for key in ("socket", "metrics"):
        owners: dict[str, str] = {}
        for name in daemons:
            value = getattr(getattr(c.config, name), key)
            if value and value in owners:
                c.problem(
                    f"{name}.{key} and {owners[value]}.{key} are the same",
                    f"{name}.{key}",
                    f"{owners[value]}.{key}",
                )
            owners.setdefault(value, name)
