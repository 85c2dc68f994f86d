"""What is wrong with the SPF record of a domain of ours, and how it reads with one more host in it.

Our own evaluation decides (``spf``, ``spfquery``): what it says of the addresses that send, and of one that
belongs to nobody. Never raises; asks DNS through the resolver given.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from postvouch.auth import spf
from postvouch.auth.diagnosis import About, Diagnosis, Severity, Wanted, shown
from postvouch.auth.result import Result
from postvouch.auth.spfquery import Query
from postvouch.values.dns import DnsUnavailable, Resolver

AREA = "spf"
MAX_LOOKUPS = 10
_FEW_LEFT = 8
# Reserved for ever (RFC 1112 §4): whom no record lists, but by listing all.
NOBODY = "240.0.0.1"
_ALL = re.compile(r"(?:^| )[-+~?]?all(?= |\Z)", re.IGNORECASE)
_PTR = re.compile(r" [-+~?]?ptr(?:[:/ ]|\Z)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """A host that sends for us: its name, and the addresses that it sends from."""

    host: str
    addresses: tuple[str, ...]


def wanted(domain: str, hosts: Iterable[str], published: str = "") -> Wanted:
    """The record of ``domain`` with these hosts in it, before its "all" where there is one already.

    Hosts by name, so that both kinds of address are meant: that costs a lookup each.
    """
    added = [f"a:{host}" if host != domain else "a" for host in dict.fromkeys(hosts)]
    if not published:
        return Wanted(
            name=domain, kind="TXT", value=" ".join(["v=spf1", *added, "~all"]), remark="who sends for it"
        )
    kept = [word for word in published.split() if word.lower() != "v=spf1"]
    places = [at for at, word in enumerate(kept) if _ALL.fullmatch(word) or word.startswith("redirect=")]
    at = places[0] if places else len(kept)
    words = ["v=spf1", *kept[:at], *(each for each in added if each not in kept), *kept[at:]]
    return Wanted(name=domain, kind="TXT", value=" ".join(words))


def check(domain: str, senders: Iterable[Sender], resolver: Resolver) -> Iterator[Diagnosis]:
    """Judge the SPF record of a domain in which these hosts write envelope senders."""
    about = About(AREA, domain)
    senders = tuple(senders)
    try:
        texts = resolver.lookup(domain, "TXT").texts()
    except DnsUnavailable as error:
        yield about.unanswered(str(error))
        return
    records = [text for text in texts if text.lower() == b"v=spf1" or text.lower().startswith(b"v=spf1 ")]
    hosts = [sender.host for sender in senders]
    if not records:
        yield about.error("no SPF record: anyone may write as this domain", wanted(domain, hosts))
        return
    if len(records) > 1:
        yield about.error(f"{len(records)} SPF records, so none counts (RFC 7208 §4.5): leave one")
        return
    published = records[0].decode("latin-1")
    found = list(_of_nobody(about, domain, published, resolver))
    yield from found
    # Where the record as a whole is void, every address would say so again.
    if not any(each.unanswered or each.severity is Severity.ERROR for each in found):
        yield from _of_senders(about, domain, published, senders, resolver)


def _of_nobody(about: About, domain: str, published: str, resolver: Resolver) -> Iterator[Diagnosis]:
    """What the record says of whom it cannot know; that way all its terms are read, and counted."""
    query = Query(NOBODY, "postmaster", domain, domain, resolver)
    try:
        word, _, text = query.check()
        result = Result(word)
    except Exception as error:
        yield about.error(f"the record cannot be evaluated ({type(error).__name__}): {shown(published)}")
        return
    used = int(query.lookups)
    if result is Result.TEMPERROR:
        yield about.unanswered(shown(str(text), 120))
    elif result is Result.PERMERROR and used > MAX_LOOKUPS:
        yield about.error(
            f"it takes more than {MAX_LOOKUPS} DNS lookups, so it counts as none (RFC 7208 §4.6.4): "
            "ip4: and ip6: cost none"
        )
    elif result is Result.PERMERROR:
        yield about.error(f"the record is broken: {shown(str(text), 120)}")
    elif result is Result.PASS:
        yield about.error("it lets every address send for this domain")
    elif result is Result.NEUTRAL:
        yield about.warning('it says nothing of strangers: end it with "~all" or "-all"')
    elif used >= _FEW_LEFT:
        yield about.note(f"{used} of {MAX_LOOKUPS} lookups used")
    else:
        yield about.ok(f"{used} of {MAX_LOOKUPS} lookups used")
    if _PTR.search(published):
        yield about.note("ptr is slow, and not to be used any more (RFC 7208 §5.5)")


def _of_senders(
    about: About, domain: str, published: str, senders: Sequence[Sender], resolver: Resolver
) -> Iterator[Diagnosis]:
    """What the record says of each address of each host; one record mends it for all."""
    said = [
        (
            sender,
            address,
            spf.check_mail_from(
                address=address, sender=f"postmaster@{domain}", helo=sender.host, resolver=resolver
            ),
        )
        for sender in senders
        for address in sender.addresses
    ]
    settled = (Result.PASS, Result.TEMPERROR, Result.PERMERROR)
    mended = wanted(domain, [sender.host for sender, _, f in said if f.result not in settled], published)
    for sender, address, finding in said:
        who = f"{address} ({sender.host})"
        if finding.result is Result.PASS:
            yield about.ok(f"{who} may send")
        elif finding.result is Result.TEMPERROR:
            yield about.unanswered(finding.reason)
        elif finding.result is Result.PERMERROR:
            yield about.error(f"{who} sends for it: {finding.reason}")
        else:
            yield about.error(f"{who} sends for it and is not listed: {finding.result}", mended)
