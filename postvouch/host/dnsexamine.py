"""Everything that is wrong with a published key: its record, who serves it, what is cached, its DNSSEC.

Joins ``sign.published`` (the record), ``host.dnsauthority`` (the servers) and ``host.dnssecure`` (the chain).
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from postvouch.host import dnssecure
from postvouch.host.dnsauthority import DEADLINE_S, look
from postvouch.host.dnsexchange import together
from postvouch.host.dnskeys import Anchors
from postvouch.host.dnslook import Look, ServerAnswer
from postvouch.host.dnssecure import Chain
from postvouch.sign.finding import BROKEN, INSECURE, Fault, Finding, in_order
from postvouch.sign.keys import PrivateKey
from postvouch.sign.published import compare
from postvouch.values.dns import Status

_MENTIONED = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What is wrong with one published key, and what was seen. ``faults``: the gravest first."""

    look: Look
    chains: tuple[Chain, ...]
    faults: tuple[Fault, ...]

    @property
    def is_secure(self) -> bool:
        """Whether the record that the resolver has is DNSSEC-secure, and every link that we saw is."""
        unsound = any(fault.finding in INSECURE | BROKEN for fault in self.faults)
        found = self.look.resolver.status is Status.FOUND
        return found and not unsound and (self.look.resolver.secure or _is_proven(self.look, self.chains))


def examine(
    name: str,
    key: PrivateKey | None,
    servers: Sequence[str] = (),
    *,
    deadline_s: float = DEADLINE_S,
    anchors: Anchors | None = None,
) -> Examination:
    """Look from all sides at the record ``name`` (SELECTOR._domainkey.DOMAIN), which should be ``key``.

    ``servers`` as dns.servers. Takes at most twice ``deadline_s`` (once, where the name is no alias). Raises
    ValueError for a resolver that is no IP address.
    """
    first: list[Chain] = []
    follower = threading.Thread(
        target=lambda: first.append(_chain(name, servers, deadline_s, anchors)), daemon=True
    )
    follower.start()
    seen = look(name, servers, deadline_s=deadline_s, wildcard=True)
    follower.join(deadline_s)
    chains = [*first] or [Chain(trouble="no answer in time")]
    # A signed alias of something unsigned is worth nothing.
    more = together(
        {alias: partial(_chain, alias, servers, deadline_s, anchors) for alias in seen.aliases},
        time.monotonic() + deadline_s,
    )
    chains += [each if isinstance(each, Chain) else Chain(trouble=str(each)) for each in more.values()]
    faults = in_order([*_records(seen, key), *_aliases(seen), *_security(seen, chains)])
    return Examination(look=seen, chains=tuple(chains), faults=faults)


def _chain(name: str, servers: Sequence[str], deadline_s: float, anchors: Anchors | None) -> Chain:
    return dnssecure.chain(name, servers, deadline_s=deadline_s, anchors=anchors)


def _records(seen: Look, key: PrivateKey | None) -> list[Fault]:
    """What the servers say, what the resolver remembers, and who says nothing."""
    faults = [Fault(Finding.SILENT, f"{_named(each)}: {each.trouble}") for each in seen.silent]
    resolver = seen.resolver
    if not seen.answered:
        if resolver.status is None:
            why = "; ".join(filter(None, (seen.trouble, resolver.trouble))) or "no server and no resolver"
            return [*faults, Fault(Finding.DNS_UNAVAILABLE, why)]
        if seen.trouble:
            faults.append(Fault(Finding.SILENT, seen.trouble))
        return faults + _at_name(seen, compare(key, resolver.texts))
    judged = {each: compare(key, each.texts) for each in seen.answered}
    found = _over_servers(seen, judged)
    faults += found
    if resolver.status is None:
        faults.append(Fault(Finding.DNS_UNAVAILABLE, resolver.trouble))
    elif not found and not resolver.is_bogus:
        faults += _cached(seen, key)
    return faults


def _over_servers(seen: Look, judged: dict[ServerAnswer, tuple[Fault, ...]]) -> list[Fault]:
    """The faults that all servers agree on, or that they do not agree."""
    kinds = set(judged.values())
    if len(kinds) == 1:
        return _at_name(seen, kinds.pop())
    right = [each for each, faults in judged.items() if not faults]
    wrong = [
        f"{_named(each)}: {', '.join(str(fault) for fault in faults)}"
        for each, faults in judged.items()
        if faults
    ]
    told = f"{len(right)} of {len(judged)} have it; " if right else ""
    more = f"; {len(wrong) - _MENTIONED} more" if len(wrong) > _MENTIONED else ""
    partial = Fault(Finding.PARTIAL, told + "; ".join(wrong[:_MENTIONED]) + more)
    # Where nobody has the right record, what is wrong with the others still has to be mended.
    rest = (
        () if right else (fault for kind in kinds for fault in kind if fault.finding != Finding.NOT_PUBLISHED)
    )
    return [partial, *rest]


def _at_name(seen: Look, faults: Sequence[Fault]) -> list[Fault]:
    """NOT_PUBLISHED with the place where nothing is."""
    where = f"nothing at {seen.aliases[-1] if seen.aliases else seen.name}"
    if seen.zone:
        serials = {each.serial for each in seen.answered if each.serial is not None}
        told = f", serial {', '.join(map(str, sorted(serials)))}" if serials else ""
        where += f" on any server of {seen.zone}{told}"
    return [
        Fault(Finding.NOT_PUBLISHED, where) if fault.finding is Finding.NOT_PUBLISHED else fault
        for fault in faults
    ]


def _cached(seen: Look, key: PrivateKey | None) -> list[Fault]:
    """All servers have it: does the resolver know?"""
    resolver = seen.resolver
    name = seen.aliases[-1] if seen.aliases else seen.name
    if resolver.status is Status.FOUND:
        if not compare(key, resolver.texts):
            return []
        flush = f"unbound-control flush_type {name} TXT, rndc flushname {name}"
        return [Fault(Finding.OLD_CACHED, f"{flush}, or wait {resolver.ttl_s} s")]
    # From a signed "nothing between these names" resolvers make up the same answer again (RFC 8198).
    flush = "unbound-control flush_negative, rndc flushname " + name
    if resolver.secure:
        flush = f"unbound-control flush_zone {seen.zone}, rndc flushtree {seen.zone}"
    return [Fault(Finding.NEGATIVE_CACHED, f"{flush}, or wait {resolver.ttl_s} s")]


def _aliases(seen: Look) -> list[Fault]:
    faults = []
    if seen.aliases:
        faults.append(Fault(Finding.CNAME, f"{seen.name} is {' is '.join(seen.aliases)}"))
    if seen.is_wildcard:
        parent = (seen.aliases[-1] if seen.aliases else seen.name).partition(".")[2]
        faults.append(
            Fault(Finding.WILDCARD, f"a name that nobody made, below {parent}, has the same record")
        )
    return faults


def _security(seen: Look, chains: Sequence[Chain]) -> list[Fault]:
    """The broken links, and what the resolver makes of them."""
    resolver = seen.resolver
    faults = [fault for chain in chains for fault in chain.faults]
    troubles = "; ".join(chain.trouble for chain in chains if chain.trouble)
    if resolver.is_bogus:
        faults.append(Fault(Finding.BOGUS, resolver.trouble))
    elif resolver.status is not Status.FOUND or resolver.secure or faults:
        return faults
    elif not _is_proven(seen, chains):
        why = troubles or "every link is sound, but the resolver does not say so (no AD)"
        faults.append(Fault(Finding.NOT_VALIDATED, why))
    return faults


def _is_proven(seen: Look, chains: Sequence[Chain]) -> bool:
    """Whether our own look is proof enough of what the resolver has, whatever it says itself."""
    anchored = all(chain.is_anchored and chain.holds for chain in chains)
    return anchored and sorted(chains[-1].texts) == sorted(seen.resolver.texts)


def _named(server: ServerAnswer) -> str:
    """A server with its address, and the serial of its zone."""
    address = f" [{server.address}]" if server.address else ""
    serial = f", serial {server.serial}" if server.serial is not None else ""
    return f"{server.server}{address}{serial}"
