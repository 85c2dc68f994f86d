"""What decides about the author is asked ahead of everything whose answer a stranger can keep back.

Were it not, a sender whose own servers are slow could use up the time for DNS before the author's policy is
asked for, and make a temperror of somebody else's p=reject. The answers are for ``Questions`` to remember.
"""

from collections.abc import Iterator
from contextlib import suppress

from postvouch.auth import dmarc
from postvouch.auth.orgdomain import ByWalk
from postvouch.auth.psl import Suffixes
from postvouch.auth.questions import Questions
from postvouch.auth.result import Result, SpfFinding
from postvouch.auth.signature import BadSignature, domain_in, key_name, selector
from postvouch.values.address import Author, OneAuthor
from postvouch.values.dns import DnsUnavailable
from postvouch.values.domain import domain_or_nothing
from postvouch.values.message import Message
from postvouch.wire import taglist

_NOTHING = SpfFinding(result=Result.NONE)


def ask(
    author: Author,
    message: Message,
    resolver: Questions,
    *,
    by_list: bool,
    suffixes: Suffixes | None,
    max_signatures: int,
) -> None:
    """Ask for the author's policy, his organisation where it may be needed, and keys that may prove him.

    So what is still open in the end is open because of the author's own servers. Never raises.
    """
    if not isinstance(author, OneAuthor):
        return
    domain = author.address.domain
    dmarc.judge(author, _NOTHING, (), resolver, by_list=by_list, suffixes=suffixes)
    signers = list(_signers(message, max_signatures))
    others = {_sender_domain(message), *(name for name, _ in signers)} - {domain, ""}
    with suppress(DnsUnavailable):
        if any(_ends_alike(domain, name, 1) for name in others):
            ByWalk(domain, resolver, suffixes).organisation(domain)
    for name, key in signers:
        if _related(domain, name, suffixes):
            with suppress(DnsUnavailable):
                resolver.lookup(key, "TXT")


def _sender_domain(message: Message) -> str:
    """The domain that SPF will speak of."""
    sender = message.envelope.sender
    return domain_or_nothing(sender.rpartition("@")[2] if sender else message.client.helo)


def _signers(message: Message, most: int) -> Iterator[tuple[str, str]]:
    """d= of each signature that will be looked at, and where its key is."""
    for field in message.named(b"dkim-signature")[:most]:
        with suppress(taglist.ProtocolError, BadSignature):
            tags = taglist.parse(field.value)
            if name := domain_in(tags.get(b"d", b"")):
                yield name, key_name(selector(tags.get(b"s", b"")), name)


def _related(one: str, other: str, suffixes: Suffixes | None) -> bool:
    """Whether both may be of one organisation, as far as can be said without DNS."""
    if one == other:
        return True
    if suffixes is None:
        return _ends_alike(one, other, 2)
    return suffixes.registrable(one) == suffixes.registrable(other) != ""


def _ends_alike(one: str, other: str, labels: int) -> bool:
    return one.split(".")[-labels:] == other.split(".")[-labels:]
