"""All cases of the RFC 9989 vectors: every field that a case expects is compared."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from postvouch.auth import dmarc
from postvouch.auth.psl import Suffixes
from postvouch.auth.result import DkimFinding, Result, SpfFinding
from postvouch.values.address import Address, Author, MissingAuthor, OneAuthor, SeveralAuthors, parse_domain
from postvouch.values.dns import NO_DATA, NO_SUCH_NAME, DnsUnavailable, Records, Status

SUITE = Path(__file__).parent / "vectors" / "dmarc" / "rfc9989.yml"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
CASES = yaml.load(SUITE.read_text(encoding="utf-8"), Loader=LOADER)["cases"]

SUFFIXES = Suffixes.parse("com\nio\ngithub.io\nuk\nco.uk\n")


class SuiteZone:
    """DNS as the suite writes it; ``asked`` are the names asked for TXT, in order, once each."""

    def __init__(self, data: dict[str, dict[str, Any]]) -> None:
        self.data = data
        self.asked: list[str] = []

    def lookup(self, name: str, kind: str) -> Records:
        if kind == "TXT" and name not in self.asked:
            self.asked.append(name)
        entry = self.data.get(name)
        if entry is None:
            return NO_DATA if any(n.endswith("." + name) for n in self.data) else NO_SUCH_NAME
        if entry.get("rcode") == "SERVFAIL" or entry.get("timeout"):
            raise DnsUnavailable("told not to answer")
        if "CNAME" in entry:
            return self.lookup(entry["CNAME"][0], kind)
        values = entry.get(kind, [])
        if kind == "TXT":
            values = ["".join(v).encode() for v in values]
        return Records(status=Status.FOUND, values=tuple(values)) if values else NO_DATA


def author(domains: list[str]) -> Author:
    folded = sorted({parse_domain(d) for d in domains})
    if not folded:
        return MissingAuthor()
    return OneAuthor(Address("a", folded[0])) if len(domains) == 1 else SeveralAuthors(tuple(folded))


def spf_of(given: dict[str, Any] | None) -> SpfFinding:
    # HELO's result reaches DMARC for the null sender only: that is how auth.evaluate makes its findings.
    if given is None or (given["identity"] == "helo" and not given["null_sender"]):
        return SpfFinding(result=Result.NONE)
    return SpfFinding(result=Result(given["result"]), domain=given["domain"], identity=given["identity"])


def test_the_suite_is_whole() -> None:
    assert len(CASES) == 161


def judge(case: dict[str, Any], suffixes: Suffixes | None = None) -> tuple[dmarc.Detail, list[str]]:
    """Our judgement of a case, and the names that were asked for TXT."""
    dns = SuiteZone(case["zone"])
    dkim = [DkimFinding(result=Result(s["result"]), d=s["d"]) for s in case["dkim"]]
    judged = dmarc.judge(author(case["from"]), spf_of(case["spf"]), dkim, dns, suffixes=suffixes)
    assert len(dns.asked) <= 8 * (2 + len(dkim))
    return judged, dns.asked


def compare(judged: dmarc.Detail, asked: list[str], want: dict[str, Any]) -> None:
    """All that a case expects; where it tolerates another result, that alone."""
    assert judged.result in want.get("accept", [want["result"]])
    assert judged.reason
    if judged.result != want["result"]:
        return
    record = judged.record
    got = {
        "result": judged.result,
        "policy_domain": judged.record_domain,
        "org_domain": judged.org_domain,
        "policy": judged.policy,
        "policy_tag": judged.policy_tag,
        "testing": record is not None and record.testing,
        "applied": judged.applied,
        "spf_aligned": judged.spf_aligned,
        "dkim_aligned": list(judged.dkim_aligned),
        "rua": list(record.rua) if record else [],
        "queries": asked,
    }
    wanted = {key: value for key, value in want.items() if key != "accept"}
    assert {key: got[key] for key in wanted} == wanted


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_rfc9989(case: dict[str, Any]) -> None:
    compare(*judge(case), case["expect"])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_rfc9989_with_a_list_as_a_guard(case: dict[str, Any]) -> None:
    guarded = judge(case, SUFFIXES)
    compare(*guarded, {**case["expect"], **case.get("expect_with_psl", {})})
    if "expect_with_psl" not in case:
        assert guarded == judge(case)


def test_the_guard_has_its_cases() -> None:
    assert len([case for case in CASES if "expect_with_psl" in case]) == 5
