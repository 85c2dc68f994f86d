"""Which mailing list says that it sent this: List-Id (RFC 2919 §3), and whether anything proves it."""

import re
from collections.abc import Iterable

from postvouch.auth.result import Findings, Result
from postvouch.values.domain import owned
from postvouch.values.message import Message

_ID = re.compile(rb"[^<>]*<[ \t]*([A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,255})[ \t]*>[^<>]*")


def list_id(message: Message) -> str:
    """The identifier between the angle brackets, lower case; "" where there is not exactly one such field.

    A claim, no proof.
    """
    fields = message.named(b"list-id")
    if len(fields) != 1:
        return ""
    found = _ID.fullmatch(fields[0].value.replace(b"\r\n", b"")[:998])
    return found[1].decode().lower().strip(".") if found else ""


def proves_list(findings: Findings, lists: Iterable[str], result: Result) -> bool:
    """Whether List-Id names one of ``lists``, or one below, and DKIM or SPF has ``result`` for its host.

    List-Id alone is anybody's to write. The host is the name without its first label (RFC 2919 §2) or the
    name itself; above the listed name it is taken up to one label, and never a single label: far.example
    speaks for dev.far.example, and not for dev.lists.far.example unless lists.far.example is listed.
    """
    dots = [listed.count(".") for listed in lists if owned(findings.list_id, (listed,))]
    if not dots:
        return False
    domains = [found.d.lower() for found in findings.dkim if found.result is result]
    if findings.spf.result is result and findings.spf.identity == "mailfrom":
        domains.append(findings.spf.domain.lower())
    fewest = max(1, min(dots) - 1)
    return any(domain.count(".") >= fewest and owned(findings.list_id, (domain,)) for domain in domains)
