"""``postvouch doctor``: everything that DNS says against what a plan wants, one finding at a time.

Judges what a resolver says; ``spflint``, ``dmarclint``, ``tlslint`` and ``sign.published`` know the records,
``dnscheckhost`` the hosts. No answer is never taken for "no record". Raises nothing.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from postvouch.auth import dmarclint, spflint, tlslint
from postvouch.auth.diagnosis import About, Diagnosis, shown
from postvouch.auth.dmarcrecord import parse_record
from postvouch.auth.orgdomain import ByWalk
from postvouch.auth.psl import Suffixes
from postvouch.host import dnscheckhost, dnscheckmx, dnswanted
from postvouch.host.dnsplan import Plan
from postvouch.sign import record
from postvouch.sign.finding import MEANINGS, Finding
from postvouch.sign.keys import SigningKey
from postvouch.sign.published import compare
from postvouch.values.dns import DnsUnavailable, Resolver
from postvouch.values.domain import owned

_AT_ONCE = 8

Check = Callable[[], Iterator[Diagnosis]]


def examine(plan: Plan, resolver: Resolver, suffixes: Suffixes | None = None) -> tuple[Diagnosis, ...]:
    """All findings, host first, then domain by domain, always in this order.

    ``resolver`` is asked by several threads at once. ``suffixes`` as for DMARC's discovery.
    """
    senders, troubles = dnscheckhost.senders(plan, resolver)
    checks: list[Check] = [partial(dnscheckhost.check, plan, sender, resolver) for sender in senders]
    if not plan.sends and plan.host:
        checks.append(partial(dnscheckhost.own, plan, resolver))
    for domain in plan.sending_domains:
        if senders:
            checks.append(partial(spflint.check, domain, senders, resolver))
        checks.append(partial(_dkim, plan, domain, resolver))
        checks.append(partial(_dmarc, domain, resolver, suffixes))
        if plan.role != "relay":
            checks.append(partial(dnscheckmx.check, plan, domain, resolver))
            checks.append(partial(_mta_sts, domain, resolver))
            checks.append(partial(_tlsrpt, domain, resolver))
    if plan.entry:
        checks.append(partial(dnscheckmx.entry, plan, resolver))
    if plan.relay:
        checks.append(partial(dnscheckmx.route, plan.relay, resolver))
    checks += [partial(_foreign_key, key, plan, resolver) for key in plan.keys]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = [each for findings in pool.map(lambda check: tuple(check()), checks) for each in findings]
    return (*troubles, *dict.fromkeys(found))


def dmarc_policies(domains: tuple[str, ...], resolver: Resolver, suffixes: Suffixes | None) -> dict[str, str]:
    """Domain -> the DMARC policy that receivers apply to it, of those whose policy is not none."""
    found = {}
    for domain in domains:
        try:
            place = ByWalk(domain, resolver, suffixes).policy_record()
        except DnsUnavailable:
            continue
        if place and place[1].usable:
            policy, _ = place[1].policy(own=place[0] == domain, exists=True)
            if policy != "none":
                found[domain] = policy
    return found


def _dkim(plan: Plan, domain: str, resolver: Resolver) -> Iterator[Diagnosis]:
    """Each key that signs as a domain, against its record."""
    about = About("dkim", domain)
    yield from (
        about.warning(f"a key cannot be used: {why}") for d, why in plan.unreadable_keys if d == domain
    )
    for key in plan.keys:
        if key.domain == domain:
            yield from _key(key, resolver)
    is_signer = plan.role in ("srs", "submission", "relay", "single") and domain in plan.domains
    signing = {key.domain for key in plan.keys} | {broken for broken, _ in plan.unreadable_keys}
    if is_signer and not owned(domain, signing):
        yield about.warning("no [[sign.key]] for it: its mail leaves unsigned")


def _foreign_key(key: SigningKey, plan: Plan, resolver: Resolver) -> Iterator[Diagnosis]:
    """A key of a domain that is not among ours."""
    if key.domain not in plan.sending_domains:
        yield from _key(key, resolver)


def _key(key: SigningKey, resolver: Resolver) -> Iterator[Diagnosis]:
    about = About("dkim", key.record_name)
    try:
        texts = resolver.lookup(key.record_name, "TXT").texts()
    except DnsUnavailable as error:
        yield about.unanswered(str(error))
        return
    faults = compare(key.private, [(text,) for text in texts])
    if not faults:
        yield about.ok("published as it signs")
    mend = dnswanted.dkim(key.domain, key.selector, record.strings(key.private))
    for fault in faults:
        tell = about.warning if MEANINGS[fault.finding].is_warning else about.error
        is_gone = fault.finding is Finding.NOT_PUBLISHED
        text = f"{'letters are signed that fail: ' if is_gone else ''}{shown(str(fault), 160)}"
        yield tell(text, mend)


def _dmarc(domain: str, resolver: Resolver, suffixes: Suffixes | None) -> Iterator[Diagnosis]:
    """The record of a domain, or the one above that speaks for it, and who is to take its reports."""
    name = f"_dmarc.{domain}"
    about = About(dmarclint.AREA, name)
    try:
        texts = resolver.lookup(name, "TXT").texts()
        walk = ByWalk(domain, resolver, suffixes)
        place = walk.policy_record()
        if not texts and place and place[0] != domain:
            policy, tag = place[1].policy(own=False, exists=True)
            yield about.ok(f"_dmarc.{place[0]} speaks for it: {tag}={policy}")
            return
        yield from dmarclint.lint(domain, texts)
        ours = walk.organisation(domain)
        for text in texts:
            for receiver in dmarclint.outside(text) if parse_record(text) else ():
                if walk.organisation(receiver) != ours:
                    yield from _consent(about, domain, receiver, resolver)
    except DnsUnavailable as error:
        yield about.unanswered(str(error))


def _consent(about: About, domain: str, receiver: str, resolver: Resolver) -> Iterator[Diagnosis]:
    """Whether somebody outside agrees to take our reports (RFC 9990 §4)."""
    wanted = dmarclint.consent(domain, receiver)
    texts = resolver.lookup(wanted.name, "TXT").texts()
    if not any(text.replace(b" ", b"").startswith(b"v=DMARC1") for text in texts):
        yield about.warning(f"{receiver} does not say that it takes our reports, so none are sent", wanted)


def _mta_sts(domain: str, resolver: Resolver) -> Iterator[Diagnosis]:
    name, server = f"_mta-sts.{domain}", f"mta-sts.{domain}"
    try:
        finding = tlslint.lint_sts(domain, resolver.lookup(name, "TXT").texts())
        yield finding
        if finding.severity == "ok" and not dnscheckhost.addresses(server, resolver):
            yield About("mta-sts", server).error("no address: the policy cannot be had from there")
    except DnsUnavailable as error:
        yield About("mta-sts", name).unanswered(str(error))


def _tlsrpt(domain: str, resolver: Resolver) -> Iterator[Diagnosis]:
    name = f"_smtp._tls.{domain}"
    try:
        yield from tlslint.lint_reports(domain, resolver.lookup(name, "TXT").texts())
    except DnsUnavailable as error:
        yield About("tlsrpt", name).unanswered(str(error))
