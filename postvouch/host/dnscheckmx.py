"""Who takes the mail: the MX of our domains and of the SRS domains, whether our hosts are in it, and DANE."""

from collections.abc import Iterator
from dataclasses import dataclass

from postvouch.auth.diagnosis import About, Diagnosis
from postvouch.auth.tlsa import names_another
from postvouch.auth.tlslint import lint_tlsa
from postvouch.host import dnswanted
from postvouch.host.dnscheckhost import MOST_ADDRESSES, addresses
from postvouch.host.dnsplan import NextHop, Plan
from postvouch.values.dns import DnsUnavailable, Records, Resolver, Status
from postvouch.values.network import within

MOST_HOSTS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Exchange:
    """One host of an MX; ``secure``: DNSSEC proves its addresses."""

    host: str
    addresses: tuple[str, ...]
    secure: bool


def check(plan: Plan, domain: str, resolver: Resolver) -> Iterator[Diagnosis]:
    """Judge the MX of a domain: there, leading somewhere, and to our hosts."""
    about = About("mx", domain)
    wanted = [dnswanted.mx(domain, host) for host in plan.mx_names]
    try:
        records = resolver.lookup(domain, "MX")
    except DnsUnavailable as error:
        yield about.unanswered(str(error))
        return
    hosts = _hosts(records)
    for_bounces = domain in plan.srs_domains
    is_grave = for_bounces or plan.takes_mail
    if not hosts:
        lost = "bounces to SRS addresses are lost" if for_bounces else "mail to it goes to its A record"
        yield (about.error if is_grave else about.warning)(f"no MX: {lost}", *wanted)
        return
    if "" in hosts:
        # A domain that only sends may well mean it.
        text = 'its MX says that it takes no mail ("0 .", RFC 7505)'
        yield (about.error if is_grave else about.note)(text, *wanted)
        return
    exchanges: list[_Exchange] = []
    is_whole = True
    for host in hosts:
        try:
            yield from _exchange(domain, host, resolver, exchanges)
        except DnsUnavailable as error:
            is_whole = False
            yield About("mx", host).unanswered(str(error))
    yield about.ok(f"leads to {', '.join(hosts)}")
    # What is not known might be the host that seems to be missing.
    if is_whole:
        yield from _ours(plan, about, domain, exchanges, resolver)
    if records.secure:
        for exchange in exchanges:
            if exchange.addresses:
                yield from _dane(plan, exchange, resolver)


def entry(plan: Plan, resolver: Resolver) -> Iterator[Diagnosis]:
    """Judge the MX by which others of ours reach the hosts of this role: one that is missing gets no mail."""
    about = About("route", plan.entry)
    try:
        hosts = _hosts(resolver.lookup(plan.entry, "MX"))
        reached = {address for host in hosts for address in addresses(host, resolver)}
        missing = [
            host
            for host in (plan.host, *plan.peers)
            if host not in hosts and not reached.intersection(_own(plan, host, resolver))
        ]
    except DnsUnavailable as error:
        yield about.unanswered(str(error))
        return
    for host in missing:
        yield about.error(f"{host} is not in its MX, so no mail gets there", dnswanted.mx(plan.entry, host))
    if not missing:
        yield about.ok(f"leads to {', '.join(hosts)}")


def _own(plan: Plan, host: str, resolver: Resolver) -> tuple[str, ...]:
    """The addresses of a host of ours. Raises DnsUnavailable."""
    return plan.addresses if host == plan.host and plan.addresses else addresses(host, resolver)


def route(hop: NextHop, resolver: Resolver) -> Iterator[Diagnosis]:
    """Judge a next hop of ours: whether there is a host behind it (R84)."""
    about = About("route", hop.name)
    try:
        hosts = _hosts(resolver.lookup(hop.name, "MX")) if hop.by_mx else ()
        empty = [host for host in hosts or (hop.name,) if not addresses(host, resolver)]
    except DnsUnavailable as error:
        yield about.unanswered(str(error))
        return
    if hop.by_mx and not hosts:
        yield about.warning(
            "no MX, so Postfix takes the name itself for one host; in brackets it is meant so"
        )
    if empty:
        yield about.error(f"mail that leaves goes there, and {', '.join(empty)} has no address")
    else:
        yield about.ok(f"leads to {', '.join(hosts or (hop.name,))}")


def _hosts(records: Records) -> tuple[str, ...]:
    """The hosts of an MX, the best first; "" for the null MX."""
    values = sorted(value for value in records.values if isinstance(value, tuple))
    return tuple(dict.fromkeys(host.rstrip(".") for _, host in values))[:MOST_HOSTS]


def _exchange(domain: str, host: str, resolver: Resolver, exchanges: list[_Exchange]) -> Iterator[Diagnosis]:
    """Judge one host of an MX, and remember it. Raises DnsUnavailable."""
    about = About("mx", host)
    if resolver.lookup(host, "CNAME").status is Status.FOUND:
        yield about.warning(f"the MX of {domain} leads to an alias; it must be a host (RFC 5321 §5.1)")
    answers = [resolver.lookup(host, kind) for kind in ("A", "AAAA")]
    found = tuple(address for answer in answers for address in answer.names())[:MOST_ADDRESSES]
    if not found:
        yield about.error(f"the MX of {domain} leads to it, and it has no address")
    secure = all(answer.secure for answer in answers)
    exchanges.append(_Exchange(host=host, addresses=found, secure=secure))


def _ours(
    plan: Plan, about: About, domain: str, exchanges: list[_Exchange], resolver: Resolver
) -> Iterator[Diagnosis]:
    """Whether all our mx hosts are in it, by name or by address, and nobody else."""
    reached = {address for exchange in exchanges for address in exchange.addresses}
    names = {exchange.host for exchange in exchanges}
    for host in plan.mx_names:
        try:
            own = _own(plan, host, resolver)
        except DnsUnavailable as error:
            yield About("mx", host).unanswered(str(error))
            continue
        if host not in names and not reached.intersection(own):
            yield about.error(f"{host} takes its mail and is not in its MX", dnswanted.mx(domain, host))
    if not plan.mx_networks:
        return
    for network in plan.mx_networks:
        if network.num_addresses == 1 and not any(within(address, (network,)) for address in reached):
            yield about.warning(f"{network.network_address} of sign.vouching_hosts is not in its MX")
    for exchange in exchanges:
        strange = [each for each in exchange.addresses if not within(each, plan.mx_networks)]
        if strange:
            lost = ", and bounces to SRS addresses are lost there" if domain in plan.srs_domains else ""
            what = f"{exchange.host} ({', '.join(strange)}) is not of sign.vouching_hosts{lost}"
            yield about.warning(what)


def _dane(plan: Plan, exchange: _Exchange, resolver: Resolver) -> Iterator[Diagnosis]:
    """TLSA of an MX host, where DNSSEC proves the way to it (RFC 7672 §2.2); else nobody looks."""
    name = f"_25._tcp.{exchange.host}"
    about = About("dane", name)
    ours = plan.tlsa if exchange.host == plan.host else ()
    wanted = [dnswanted.tlsa(plan.host, ours[0])] if ours else []
    if not exchange.secure:
        yield about.note("DNSSEC does not prove the addresses of this host, so DANE is not used for it")
        return
    try:
        records = resolver.lookup(name, "TLSA")
    except DnsUnavailable as error:
        # RFC 7672 §2.1.2: to a sender no answer means that somebody is in the way.
        text = f"no answer ({error}): senders that check DANE hold the mail back"
        yield about.error(text)
        return
    if records.status is not Status.FOUND:
        text = "no TLSA record, though DNSSEC would prove it: nobody has to take our certificate"
        yield about.note(text, *wanted)
    elif not records.secure:
        yield about.warning("the TLSA records are not DNSSEC-secure, so they do not count")
    elif names_another(records.names(), ours):
        text = "no record is of postfix.tls_cert: senders that check DANE hold the mail back"
        yield about.error(text, *wanted)
    else:
        yield from lint_tlsa(name, records.names())
