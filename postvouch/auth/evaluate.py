"""Is this mail what it says? All methods over one message, each with its own answer.

Pure given a resolver and the time. Never raises: what one method cannot do is its own finding and hides no
other's. DMARC takes SPF and DKIM from here and from nowhere else, least of all from header fields.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from postvouch.auth import ahead, arc, dkim, dmarc, iprev, spf
from postvouch.auth.listid import list_id
from postvouch.auth.mentioned import mentioned
from postvouch.auth.psl import Suffixes
from postvouch.auth.questions import Questions
from postvouch.auth.result import (
    ArcFinding,
    DkimFinding,
    DmarcFinding,
    Findings,
    IprevFinding,
    Result,
    SpfFinding,
)
from postvouch.auth.verifier import Limits
from postvouch.values.address import Author, MalformedAuthor, OneAuthor, parse_author
from postvouch.values.dns import Resolver
from postvouch.values.message import Message

MAX_QUESTIONS = 1000
"""Bounds what one message makes us remember; the caller's resolver ends sooner."""

T = TypeVar("T")
_FAULT = "internal error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is asked and how much of it.

    ``spent``: whether the computing time for this message is up; from then on whatever would need more is a
    temperror. ``discovery`` as in the setting verify.discovery; ``suffixes`` is the list that it goes by.
    ``organisation``: find the author's Organizational Domain even where nothing depends on it, to show it.
    """

    limits: Limits = field(default_factory=Limits)
    discovery: str = "treewalk"
    suffixes: Suffixes | None = None
    arc: bool = True
    iprev: bool = True
    organisation: bool = False
    spent: Callable[[], bool] = lambda: False


def evaluate(message: Message, resolver: Resolver, now: float, options: Options | None = None) -> Findings:
    """Find out about one message; ``now`` is in seconds since 1970, ``resolver`` bounds the work on DNS.

    ``spf`` is the MAIL FROM identity, and that of HELO where the sender is null (RFC 9989 §4.4.2, RFC 7208
    §2.4); ``helo`` is always HELO.
    """
    options = options or Options()
    asked = Questions(resolver, MAX_QUESTIONS, options.spent)
    client = message.client
    author = _author(message)
    _kept(
        lambda: ahead.ask(
            author,
            message,
            asked,
            by_list=options.discovery == "psl",
            suffixes=options.suffixes,
            max_signatures=options.limits.max_signatures,
        ),
        lambda _: None,
    )
    mail_from = None
    if message.envelope.sender:
        mail_from = _kept(
            lambda: spf.check_mail_from(
                address=client.address, sender=message.envelope.sender, helo=client.helo, resolver=asked
            ),
            lambda why: SpfFinding(result=Result.TEMPERROR, reason=why),
        )
    # After MAIL FROM, which may prove the author and must not want for DNS because of a name in HELO.
    helo = _kept(
        lambda: spf.check_helo(address=client.address, helo=client.helo, resolver=asked),
        lambda why: SpfFinding(result=Result.TEMPERROR, identity="helo", reason=why),
    )
    mail_from = mail_from or helo
    signatures = _kept(
        lambda: dkim.verify(message, asked, now, options.limits, options.spent),
        lambda why: (DkimFinding(result=Result.TEMPERROR, reason=why),),
    )
    judged = _kept(
        lambda: dmarc.evaluate(
            author, mail_from, signatures, asked, discovery=options.discovery, suffixes=options.suffixes
        ),
        lambda why: DmarcFinding(result=Result.TEMPERROR, reason=why),
    )
    reasons = (mail_from.reason, *(finding.reason for finding in signatures))
    if judged.result is Result.FAIL and any(reason.startswith(_FAULT) for reason in reasons):
        # Our own fault refuses nobody's mail for good.
        judged = replace(judged, result=Result.TEMPERROR, reason="SPF or DKIM could not be evaluated")
    if options.organisation and judged.domain:
        found = dmarc.organisation(
            judged.domain, asked, by_list=options.discovery == "psl", suffixes=options.suffixes
        )
        judged = replace(judged, org_domain=found or judged.org_domain)
    chain = names = None
    if options.arc:
        # After the rest, which must not want for DNS because of it.
        chain = _kept(
            lambda: arc.verify(message, asked, now, options.limits, options.spent),
            lambda why: ArcFinding(result=Result.TEMPERROR, reason=why),
        )
    if options.iprev:
        # sendmail(1) has no client, though cleanup(8) names one.
        names = _kept(
            lambda: iprev.check("" if client.local else client.address, client.name, asked),
            lambda why: IprevFinding(result=Result.TEMPERROR, reason=why),
        )
    others = () if isinstance(author, OneAuthor) else _kept(lambda: mentioned(_from(message)), lambda _: ())
    return Findings(
        spf=mail_from,
        helo=helo,
        dkim=signatures,
        dmarc=judged,
        arc=chain,
        iprev=names,
        list_id=_kept(lambda: list_id(message), lambda _: ""),
        author=author,
        mentioned=others,
    )


def unchecked(message: Message, why: str) -> Findings:
    """The findings of a message that is not checked because it is our own: all ``none``, with that reason."""
    return Findings(
        spf=SpfFinding(result=Result.NONE, reason=why),
        helo=SpfFinding(result=Result.NONE, identity="helo", reason=why),
        dmarc=DmarcFinding(result=Result.NONE, reason=why),
        author=_author(message),
    )


def _author(message: Message) -> Author:
    return _kept(lambda: parse_author(_from(message)), MalformedAuthor)


def _from(message: Message) -> list[bytes]:
    return [each.value for each in message.named(b"from")]


def _kept(work: Callable[[], T], otherwise: Callable[[str], T]) -> T:
    """What ``work`` found; a fault of ours in it is a finding that says so, and not the end of the others.

    RecursionError and MemoryError included: a letter made to cause them must not take its neighbours along.
    """
    try:
        return work()
    except Exception as error:
        return otherwise(f"{_FAULT} ({type(error).__name__})")
