"""What was found out about a letter and would be done with it, for programs: ``--jsonl`` and ``--json``.

The members are those of docs/jsonl.rst and stay: others build on them. New ones may come.
"""

from collections.abc import Iterable
from typing import Any

from postvouch.auth.header import FIELD_NAME
from postvouch.auth.judge import Judgement
from postvouch.auth.result import ArcFinding, DkimFinding, DmarcFinding, IprevFinding, Result, SpfFinding
from postvouch.cli.verdict import reply
from postvouch.values.address import Author, MalformedAuthor, MissingAuthor, OneAuthor, SeveralAuthors
from postvouch.values.decision import RemoveField
from postvouch.values.message import Field

_NOT_ASKED = "not asked for (configuration)"


def as_json(judgement: Judgement, fields: Iterable[Field]) -> dict[str, Any]:
    """The members that a judgement gives; ``fields`` are those of the letter, top to bottom."""
    found, ruling = judgement.findings, judgement.ruling
    return {
        "spf": _spf(found.spf),
        "helo": _spf(found.helo),
        "dkim": [_dkim(each) for each in found.dkim],
        "arc": _arc(found.arc or ArcFinding(result=Result.NONE, reason=_NOT_ASKED)),
        "dmarc": _dmarc(found.dmarc),
        "from": _author(found.author),
        "iprev": _iprev(found.iprev or IprevFinding(result=Result.NONE, reason=_NOT_ASKED)),
        "authres": f"{FIELD_NAME}: " + judgement.field.lstrip(" ").replace("\n", "\r\n"),
        "action": ruling.action,
        "code": ruling.code,
        "would": ruling.would,
        "removed_fields": removed(fields, judgement.removals),
    }


def in_full(judgement: Judgement, fields: Iterable[Field]) -> dict[str, Any]:
    """The same and what one letter alone is asked for, for ``postvouch verify --json``."""
    return {
        **as_json(judgement, fields),
        "discovery": judgement.findings.dmarc.difference,
        "list_id": judgement.findings.list_id,
        "mark": judgement.ruling.mark,
        "reply": reply(judgement),
    }


def removed(fields: Iterable[Field], removals: Iterable[RemoveField]) -> list[int]:
    """Where the fields stand that would be removed, counted from 0 among all of the header."""
    places: dict[bytes, list[int]] = {}
    for at, field in enumerate(fields):
        places.setdefault(field.name.rstrip(b" \t").lower(), []).append(at)
    return sorted(places[each.name.lower().encode()][each.nth - 1] for each in removals)


def _spf(found: SpfFinding) -> dict[str, str]:
    return {
        "result": found.result,
        "domain": found.domain,
        "scope": found.identity,
        "reason": found.reason,
    }


def _dkim(found: DkimFinding) -> dict[str, str]:
    return {
        "result": found.result,
        "d": found.d,
        "s": found.s,
        "a": found.a,
        "i": found.i,
        "reason": found.reason,
    }


def _arc(found: ArcFinding) -> dict[str, Any]:
    return {
        "result": found.result,
        "oldest_pass": found.oldest_pass,
        "reason": found.reason,
        "sealers": list(found.sealers),
    }


def _dmarc(found: DmarcFinding) -> dict[str, str]:
    return {
        "result": found.result,
        "domain": found.domain,
        "org_domain": found.org_domain,
        "policy": found.policy,
        "applied": found.applied,
        "aligned_by": found.aligned_by,
        "reason": found.reason,
        "record_domain": found.record_domain,
    }


def _iprev(found: IprevFinding) -> dict[str, str]:
    return {"result": found.result, "name": found.name, "reason": found.reason}


def _author(author: Author) -> dict[str, Any]:
    """``domain`` is never a guess: "" unless there is exactly one author."""
    match author:
        case OneAuthor(address):
            return _from("single", (str(address),), (address.domain,), domain=address.domain)
        case MissingAuthor():
            return _from("none")
        case SeveralAuthors(domains, addresses, group):
            return _from("group" if group else "multiple", map(str, addresses), domains)
        case MalformedAuthor(reason):
            return _from("unparsable", reason=reason)


def _from(
    word: str,
    addresses: Iterable[str] = (),
    domains: Iterable[str] = (),
    *,
    domain: str = "",
    reason: str = "",
) -> dict[str, Any]:
    return {
        "result": word,
        "domain": domain,
        "addresses": list(addresses),
        "domains": list(domains),
        "reason": reason,
    }
