"""Ask each authoritative server of a name's zone what it says: no cache in between.

The zone and its servers come from the resolver (NS, A, AAAA); each address is asked without recursion, all at
once, UDP first. A name that is an alias is followed. What a server says is a stranger's: amounts and time are
bounded, and one that is silent, refuses, or speaks without authority is reported as such.
"""

import ipaddress
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import dns.exception
import dns.flags
import dns.message
import dns.rcode

from postvouch.host.dnsexchange import NoAnswer, Recursor, Zone, answer, exchange, said, text, together
from postvouch.host.dnslook import Look, ResolverAnswer, ServerAnswer
from postvouch.values.dns import Status

DEADLINE_S = 10.0
PORT = 53
# Of a zone with more only the first are asked. The root has 13 servers of two addresses each.
MAX_SERVERS = 16
MAX_ADDRESSES = 4
MAX_ALIASES = 8


def look(
    name: str, servers: Sequence[str] = (), *, deadline_s: float = DEADLINE_S, wildcard: bool = False
) -> Look:
    """Ask the resolvers ``servers`` (as dns.servers) and every authoritative server for the TXT of ``name``.

    Takes at most ``deadline_s``; with ``wildcard`` a sibling is asked for as well. DNS trouble is in the
    answer; raises ValueError for a resolver that is no IP address.
    """
    name = name.lower().removesuffix(".")
    deadline = time.monotonic() + deadline_s
    # What is late is reported by whoever waits for it, so each outer wait is a little longer.
    recursor = Recursor(servers, deadline - deadline_s / 10)
    jobs: dict[str, Callable[[], ResolverAnswer | _Walk]] = {
        "resolver": lambda: _resolve(recursor, name),
        "walk": lambda: _walk(recursor, name, wildcard),
    }
    done = together(jobs, deadline)
    resolver, walk = done["resolver"], done["walk"]
    if not isinstance(resolver, ResolverAnswer):
        resolver = ResolverAnswer(trouble=str(resolver))
    if not isinstance(walk, _Walk):
        walk = _Walk(trouble=str(walk))
    return Look(
        name=name, aliases=walk.aliases, zone=walk.zone, servers=walk.servers, resolver=resolver,
        is_wildcard=walk.is_wildcard, trouble=walk.trouble,
    )  # fmt: skip


def _resolve(recursor: Recursor, name: str) -> ResolverAnswer:
    """What the resolver says; where it refuses, whether it would have said something without validation."""
    reply = recursor.ask(name, "TXT")
    if reply.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        return _resolved(reply, name)
    trouble = f"the resolver says {said(reply)}"
    unchecked = recursor.ask(name, "TXT", check=False)
    if unchecked.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        return replace(_resolved(unchecked, name), is_bogus=True, secure=False, trouble=trouble)
    return ResolverAnswer(trouble=trouble)


def _resolved(reply: dns.message.QueryMessage, name: str) -> ResolverAnswer:
    try:
        chain = reply.resolve_chaining()
    except dns.exception.DNSException:
        return ResolverAnswer(trouble="the resolver's reply is garbled")
    found = chain.answer
    if found is not None:
        status = Status.FOUND
    else:
        status = Status.NXDOMAIN if reply.rcode() == dns.rcode.NXDOMAIN else Status.NODATA
    return ResolverAnswer(
        status=status,
        texts=tuple(tuple(record.strings) for record in found or ()),
        ttl_s=chain.minimum_ttl,
        secure=bool(reply.flags & dns.flags.AD),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Walk:
    """Where the search for the servers has come to; the fields are those of Look."""

    aliases: tuple[str, ...] = ()
    zone: str = ""
    servers: tuple[ServerAnswer, ...] = ()
    is_wildcard: bool = False
    trouble: str = ""


def _walk(recursor: Recursor, name: str, wildcard: bool) -> _Walk:
    """Ask the servers of the name's zone, then those of what it is an alias of."""
    aliases: tuple[str, ...] = ()
    strays: tuple[ServerAnswer, ...] = ()
    while True:
        at = aliases[-1] if aliases else name
        try:
            zone = recursor.zones(at)[-1]
            answers = _ask_all(recursor, zone, at)
        except NoAnswer as trouble:
            return _Walk(aliases=aliases, servers=strays, trouble=str(trouble))
        target = next((each.alias for each in answers if each.alias), "")
        if not target:
            break
        # Those that know nothing of the alias lack what it leads to.
        strays += tuple(each for each in answers if not each.alias)
        if target in (name, *aliases) or len(aliases) == MAX_ALIASES:
            return _Walk(
                aliases=aliases, zone=zone.name, trouble=f"the aliases (CNAME) of {name} have no end"
            )
        aliases += (target,)
    found = next((each for each in answers if each.texts), None)
    return _Walk(
        aliases=aliases,
        zone=zone.name,
        servers=(*answers, *strays),
        is_wildcard=wildcard and found is not None and _is_wildcard(recursor, zone, at, found),
    )


def _ask_all(recursor: Recursor, zone: Zone, name: str) -> tuple[ServerAnswer, ...]:
    """Every server of the zone at every address, all at once."""
    hosts = zone.servers[:MAX_SERVERS]
    lookups = {(host, kind): partial(recursor.ask, host, kind) for host in hosts for kind in ("A", "AAAA")}
    replies = together(lookups, recursor.deadline)
    jobs: dict[tuple[str, str], Callable[[], ServerAnswer]] = {}
    for host in hosts:
        addresses = [
            *_addresses(replies[host, "A"], host, "A"),
            *_addresses(replies[host, "AAAA"], host, "AAAA"),
        ]
        for address in addresses or [""]:
            jobs[host, address] = partial(_ask, host, address, zone.name, name, recursor.deadline)
    done = together(jobs, recursor.deadline)
    return tuple(
        each
        if isinstance(each, ServerAnswer)
        else ServerAnswer(server=host, address=address, trouble=str(each), is_unroutable=each.is_unroutable)
        for (host, address), each in done.items()
    )


def _addresses(reply: dns.message.Message | NoAnswer, host: str, kind: str) -> list[str]:
    records = None if isinstance(reply, NoAnswer) else answer(reply, host, kind)
    return [record.address for record in records or ()][:MAX_ADDRESSES]


def _ask(host: str, address: str, zone: str, name: str, deadline: float) -> ServerAnswer:
    """One address: the records of the name, and the SOA. Raises NoAnswer."""
    if not address:
        raise NoAnswer("it has no address")
    if _is_odd(address):
        raise NoAnswer("no server can have this address")
    reply = exchange(address, PORT, name, "TXT", deadline=deadline)
    if reply.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        raise NoAnswer(f"it says {said(reply)}")
    if not reply.flags & dns.flags.AA:
        raise NoAnswer(f"it answers without authority for {zone or 'the root'} (lame)")
    records, alias = answer(reply, name, "TXT"), answer(reply, name, "CNAME")
    if records is not None:
        status = Status.FOUND
    else:
        status = Status.NXDOMAIN if reply.rcode() == dns.rcode.NXDOMAIN and not alias else Status.NODATA
    soa = _soa(address, zone, deadline)
    return ServerAnswer(
        server=host,
        address=address,
        status=status,
        texts=tuple(tuple(record.strings) for record in records or ()),
        ttl_s=records.ttl if records is not None else 0,
        alias=text(alias[0].target) if alias else "",
        serial=soa[0] if soa else None,
        negative_ttl_s=soa[1] if soa else None,
    )


def _soa(address: str, zone: str, deadline: float) -> tuple[int, int] | None:
    """Serial, and how long resolvers remember that there is nothing (RFC 2308 §5)."""
    try:
        soa = answer(exchange(address, PORT, zone, "SOA", deadline=deadline), zone, "SOA")
    except NoAnswer:
        return None
    return (soa[0].serial, min(soa.ttl, soa[0].minimum)) if soa else None


def _is_wildcard(recursor: Recursor, zone: Zone, name: str, found: ServerAnswer) -> bool:
    """Whether a name beside this one that nobody can have made has the same records."""
    sibling = f"{secrets.token_hex(12)}.{name.partition('.')[2]}"
    try:
        other = _ask(found.server, found.address, zone.name, sibling, recursor.deadline)
    except NoAnswer:
        return False
    return sorted(other.texts) == sorted(found.texts)


def _is_odd(address: str) -> bool:
    """Whether it is no address of one host: asked, it would be a question to many or to ourselves."""
    parsed = ipaddress.ip_address(address)
    return parsed.is_multicast or parsed.is_unspecified or address == "255.255.255.255"
