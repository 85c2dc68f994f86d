"""All records that a plan implies, ready to publish (``postvouch dns-records``). Asks nobody."""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address

from postvouch.auth import dmarclint, spflint, tlslint
from postvouch.auth.diagnosis import Wanted
from postvouch.host.dnsplan import Plan
from postvouch.sign import record
from postvouch.values.domain import owned

_PREFERENCE = 10


def records(plan: Plan, *, identity: str, policy: str = "none", reports: str = "") -> tuple[Wanted, ...]:
    """Every record once, host first, then domain by domain.

    ``identity`` is the id of MTA-STS, ``policy`` the DMARC policy, ``reports`` the mailbox for reports.
    """
    found = [*_host(plan)]
    for domain in plan.sending_domains:
        found += _domain(plan, domain, identity, policy, reports)
    found += [dkim(key.domain, key.selector, record.strings(key.private)) for key in plan.keys]
    return tuple({(each.name, each.kind, each.value): each for each in found}.values())


def dkim(domain: str, selector: str, strings: tuple[str, ...]) -> Wanted:
    """The record of a key."""
    name = f"{selector.lower()}._domainkey.{domain}"
    return Wanted(name=name, kind="TXT", value="".join(strings), remark=f"DKIM key {selector}")


def host_addresses(host: str, addresses: tuple[str, ...]) -> tuple[Wanted, ...]:
    """A and AAAA of a host."""
    kinds = {4: "A", 6: "AAAA"}
    return tuple(
        Wanted(name=host, kind=kinds[ip_address(each).version], value=each, remark="the name said in HELO")
        for each in addresses
    )


def pointer(host: str, address: str) -> Wanted:
    """The PTR of an address: to be set by whoever the address is from."""
    remark = f"whoever assigns {address} sets it"
    name = ip_address(address).reverse_pointer
    return Wanted(name=name, kind="PTR", value=host, remark=remark, is_hint=True)


def helo_spf(host: str) -> Wanted:
    """SPF of a HELO name: bounces have no other sender (RFC 7208 §2.4)."""
    return Wanted(name=host, kind="TXT", value="v=spf1 a -all", remark="HELO; bounces have no other sender")


def mx(domain: str, host: str) -> Wanted:
    """One MX record."""
    return Wanted(name=domain, kind="MX", value=f"{_PREFERENCE} {host}", remark="takes mail for it")


def tlsa(host: str, value: str) -> Wanted:
    """The TLSA record of an mx host; it counts where the zone is signed."""
    return Wanted(name=f"_25._tcp.{host}", kind="TLSA", value=value, remark="postfix.tls_cert, for DANE")


def _host(plan: Plan) -> Iterator[Wanted]:
    if plan.host:
        yield from host_addresses(plan.host, plan.addresses)
        yield from (pointer(plan.host, each) for each in plan.addresses)
    if plan.entry:
        yield from (mx(plan.entry, host) for host in (plan.host, *plan.peers))
    if plan.takes_mail and plan.host and plan.tlsa:
        yield tlsa(plan.host, plan.tlsa[0])
    if plan.sends:
        yield from (
            helo_spf(each) for each in (plan.host, *plan.peers) if each and each not in plan.sending_domains
        )


def _consents(domain: str, reports: str) -> Iterator[Wanted]:
    """That a mailbox outside takes reports; at a domain of others it is for them to say."""
    receiver = reports.rpartition("@")[2].lower()
    if receiver and not owned(receiver, (domain,)) and not owned(domain, (receiver,)):
        yield replace(dmarclint.consent(domain, receiver), is_hint=True)


def _domain(plan: Plan, domain: str, identity: str, policy: str, reports: str) -> Iterator[Wanted]:
    if plan.role != "relay":
        yield from (mx(domain, host) for host in plan.mx_names)
    if plan.senders:
        remark = "and whoever else sends for it"
        yield replace(spflint.wanted(domain, plan.senders), remark=remark)
    yield dmarclint.wanted(domain, policy=policy, reports=reports)
    yield from _consents(domain, reports)
    if plan.role != "relay":
        yield tlslint.wanted_sts(domain, identity)
        yield tlslint.wanted_reports(domain, reports)
