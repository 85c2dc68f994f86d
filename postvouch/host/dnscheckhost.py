"""The hosts that send: name, addresses, and the way back (HELO, PTR, forward-confirmed reverse DNS)."""

from collections.abc import Iterator
from dataclasses import replace

from postvouch.auth import iprev, spf
from postvouch.auth.diagnosis import About, Diagnosis, Severity
from postvouch.auth.result import Result
from postvouch.auth.spflint import Sender
from postvouch.host import dnswanted
from postvouch.host.dnsplan import Plan
from postvouch.values.dns import DnsUnavailable, Resolver, Status
from postvouch.values.network import client_address

MOST_ADDRESSES = 50


def addresses(host: str, resolver: Resolver) -> tuple[str, ...]:
    """All addresses of a host. Raises DnsUnavailable."""
    found = [resolver.lookup(host, kind) for kind in ("A", "AAAA")]
    return tuple(address for each in found if each.status is Status.FOUND for address in each.names())[
        :MOST_ADDRESSES
    ]


def senders(plan: Plan, resolver: Resolver) -> tuple[tuple[Sender, ...], tuple[Diagnosis, ...]]:
    """The hosts that deliver to the world with their addresses, and what kept us from finding them."""
    found: list[Sender] = []
    troubles: list[Diagnosis] = []
    if plan.sends:
        names = [plan.host, *plan.peers]
    elif plan.relay and plan.relay.by_mx:
        names = _of_mx(plan.relay.name, resolver, troubles)
    else:
        names = [plan.relay.name] if plan.relay else []
    for name in filter(None, names):
        if name == plan.host and plan.addresses:
            found.append(Sender(host=name, addresses=plan.addresses))
            continue
        try:
            found.append(Sender(host=name, addresses=addresses(name, resolver)))
        except DnsUnavailable as error:
            troubles.append(About("helo", name).unanswered(str(error)))
    return tuple(found), tuple(troubles)


def _of_mx(name: str, resolver: Resolver, troubles: list[Diagnosis]) -> list[str]:
    """The hosts behind a next hop without brackets."""
    try:
        values = resolver.lookup(name, "MX").values
    except DnsUnavailable as error:
        troubles.append(About("mx", name).unanswered(str(error)))
        return []
    return [value[1] for value in sorted(v for v in values if isinstance(v, tuple))] or [name]


def check(plan: Plan, sender: Sender, resolver: Resolver) -> Iterator[Diagnosis]:
    """Judge the name and the addresses of one host."""
    about = About("helo", sender.host)
    if "." not in sender.host:
        yield about.error("no full name: HELO needs one (RFC 5321 §4.1.1.1); set general.hostname")
        return
    try:
        known = addresses(sender.host, resolver)
    except DnsUnavailable as error:
        yield about.unanswered(str(error))
        return
    missing = tuple(each for each in sender.addresses if each not in known)
    if not known:
        yield about.error("the name has no address", *dnswanted.host_addresses(sender.host, missing))
    elif missing:
        text = f"it sends from {', '.join(missing)}, which the name does not have"
        yield about.warning(text, *dnswanted.host_addresses(sender.host, missing))
    else:
        yield about.ok(f"has {', '.join(known)}")
    for address in sender.addresses:
        yield from _reverse(sender.host, address, resolver, is_told=address in missing)
    if sender.host not in plan.sending_domains and sender.addresses:
        yield _helo_spf(sender, resolver)


def own(plan: Plan, resolver: Resolver) -> Iterator[Diagnosis]:
    """Judge a host that brings nothing to the world: what strangers may ask of it weighs less."""
    senders_here, troubles = senders(replace(plan, sends=True, peers=()), resolver)
    yield from troubles
    for sender in senders_here:
        for each in check(plan, sender, resolver):
            if each.area != "spf":
                is_grave = each.severity is Severity.ERROR
                yield replace(each, severity=Severity.WARNING) if is_grave else each


def _reverse(host: str, address: str, resolver: Resolver, *, is_told: bool) -> Iterator[Diagnosis]:
    """Whether an address leads to a name and back (RFC 8601 §3); many receivers refuse it otherwise.

    ``is_told``: that the name does not have the address has been said already.
    """
    client = client_address(address)
    if client is None:
        yield About("ptr", address).error("no IP address")
        return
    about = About("ptr", str(client))
    finding = iprev.check(address, "", resolver)
    wanted = dnswanted.pointer(host, str(client))
    if finding.result is Result.TEMPERROR:
        yield about.unanswered(finding.reason)
    elif finding.result is Result.PERMERROR or (finding.result is not Result.PASS and not is_told):
        yield about.error(finding.reason, wanted)
    elif finding.result is Result.PASS and finding.name != host:
        yield about.note(f"it leads to {finding.name} and back, and HELO says {host}", wanted)
    elif finding.result is Result.PASS:
        yield about.ok(f"leads to {host} and back")


def _helo_spf(sender: Sender, resolver: Resolver) -> Diagnosis:
    """What SPF says of the HELO name: all that a bounce has (RFC 7208 §2.4)."""
    about = About("spf", sender.host)
    results = {
        address: spf.check_helo(address=address, helo=sender.host, resolver=resolver)
        for address in sender.addresses
    }
    wanted = dnswanted.helo_spf(sender.host)
    for address, finding in results.items():
        if finding.result is Result.TEMPERROR:
            return about.unanswered(finding.reason)
        if finding.result is Result.NONE:
            return about.note("no SPF record for the name in HELO, so bounces pass no check", wanted)
        if finding.result is not Result.PASS:
            return about.error(
                f"{address} says this name in HELO and is not listed: {finding.result}", wanted
            )
    return about.ok("as a HELO name it may send")
