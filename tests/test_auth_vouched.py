"""What the mx may tell its srs hosts: this From: is ours, and here is why (decide.vouched)."""

import pytest

from postvouch.auth import authres, decide, header
from postvouch.auth.policy import Policy
from postvouch.auth.result import DkimFinding, DmarcFinding, Findings, Result, SpfFinding
from postvouch.values.address import parse_author
from postvouch.values.message import Client, Envelope
from postvouch.values.network import internal_hosts

POLICY = Policy(domains=("our.example",), internal=internal_hosts(("192.0.2.4", "lists.our.example")))
LOCAL = Client(address="127.0.0.1", name="localhost", local=True)
STRANGER = Client(address="203.0.113.9")


def found(author: str, dmarc: Result, *, aligned_by: str = "", d: str = "") -> Findings:
    return Findings(
        spf=SpfFinding(result=Result.NONE),
        helo=SpfFinding(result=Result.NONE, identity="helo"),
        dkim=(DkimFinding(result=Result.PASS, d=d, s="s"),) if d else (),
        dmarc=DmarcFinding(result=dmarc, aligned_by=aligned_by),
        author=parse_author([author.encode()]),
    )


@pytest.mark.parametrize(
    "client, findings, word",
    [
        (LOCAL, found("MAILER-DAEMON@our.example", Result.NONE), "local"),
        (LOCAL, found("root@mx.our.example", Result.NONE), "local"),
        (LOCAL, found("a@far.example", Result.NONE), ""),
        (Client(address="192.0.2.4"), found("cron@our.example", Result.NONE), "internal"),
        (
            Client(address="203.0.113.9", name="lists.our.example"),
            found("cron@our.example", Result.NONE),
            "internal",
        ),
        (Client(address="192.0.2.4", login="bob"), found("bob@our.example", Result.NONE), ""),
        # A content filter brings strangers' letters back over the loopback.
        (Client(address="127.0.0.1", port=4711), found("bob@our.example", Result.NONE), ""),
        (STRANGER, found("bob@our.example", Result.PASS, aligned_by="dkim"), "aligned"),
        (STRANGER, found("bob@our.example", Result.NONE, d="our.example"), "aligned"),
        (STRANGER, found("bob@our.example", Result.NONE, d="far.example"), ""),
        (STRANGER, found("bob@our.example", Result.FAIL), ""),
        (STRANGER, found("bob@our.example", Result.TEMPERROR), ""),
        (STRANGER, found("a@far.example", Result.PASS, aligned_by="spf"), ""),
        (STRANGER, found("bob@our.example, eve@our.example", Result.PERMERROR), ""),
    ],
)
def test_proof_of_a_from_of_ours_has_one_word(client: Client, findings: Findings, word: str) -> None:
    assert decide.vouched(findings, POLICY, client) == word


def test_the_word_is_written_for_the_author_domain_and_read_back() -> None:
    findings = found("bob@our.example", Result.NONE)
    value = header.format_field(
        "mx.our.example", findings, client=LOCAL, envelope=Envelope(), vouched="local"
    )
    last = authres.parse(value.encode()).results[-1]
    assert (last.method, last.result) == ("x-origin", "pass")
    assert last.properties == (("header.from", "our.example"), ("policy.by", "local"))


def test_without_proof_the_field_has_no_such_result() -> None:
    findings = found("bob@our.example", Result.FAIL)
    value = header.format_field("mx.our.example", findings, client=STRANGER, envelope=Envelope())
    assert "x-origin" not in value
