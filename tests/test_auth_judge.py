"""auth/judge.py: findings, ruling and field of one letter belong together. Whole letters: test_corpus.py."""

import pytest
from fakedns import zone

from postvouch.auth import decide
from postvouch.auth.evaluate import Options
from postvouch.auth.judge import judge
from postvouch.auth.policy import Policy
from postvouch.auth.result import Result
from postvouch.values.decision import Accept, Reject, RemoveField
from postvouch.values.message import Client, Envelope, Field, Message

POLICY = Policy(domains=("our.example",), mode="enforce")
SPOOF = (
    Field(b"Authentication-Results", b" mx.our.example; dmarc=pass header.from=our.example"),
    Field(b"From", b" bob@our.example"),
)


class Deaf:
    """A resolver that must not be asked."""

    def lookup(self, name, kind):
        raise AssertionError((name, kind))


def judged(client, resolver):
    message = Message(client=client, envelope=Envelope(sender="x@bulk.example"), fields=SPOOF)
    return judge(message, resolver, 0.0, options=Options(), policy=POLICY, authserv_id="mx.our.example")


def test_a_spoof_is_refused_and_its_forged_field_is_replaced() -> None:
    found = judged(Client(address="198.51.100.66"), zone("_dmarc.our.example TXT v=DMARC1; p=none"))
    assert (found.findings.dmarc.result, found.ruling.code) == (Result.FAIL, decide.SPOOF)
    assert isinstance(found.ruling.verdict, Reject)
    assert found.removals == (RemoveField("Authentication-Results", 1),)
    assert "dmarc=fail" in found.field


@pytest.mark.parametrize("client", [Client(local=True), Client(address="192.0.2.9", login="bob")])
def test_mail_of_our_own_asks_nobody_and_is_marked_all_the_same(client) -> None:
    found = judged(client, Deaf())
    assert (found.ruling.verdict, found.ruling.code) == (Accept(), decide.INTERNAL)
    assert found.findings.dmarc.result is Result.NONE
    assert found.removals == (RemoveField("Authentication-Results", 1),)
    assert found.field.startswith("mx.our.example;")
