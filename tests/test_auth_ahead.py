"""auth/ahead.py: a sender whose DNS is slow makes no temperror of somebody else's policy."""

from collections import Counter

import pytest

from postvouch.auth import dmarc
from postvouch.auth.evaluate import Options, evaluate
from postvouch.auth.psl import Suffixes
from postvouch.auth.result import Result
from postvouch.cli.zonefile import ZoneFile
from postvouch.values.dns import DnsUnavailable
from postvouch.values.message import Client, Envelope, Field, Message

ZONE = """
_dmarc.far.example TXT v=DMARC1; p=none; sp=quarantine; np=reject
far.example TXT v=spf1 -all
mail.far.example A 192.0.2.9
"""
BODY_HASH = "frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY="
SUFFIXES = Suffixes.parse("example\n")


class Tired:
    """The first question about one of the attacker's names uses up all the time there is."""

    def __init__(self):
        self.zone = ZoneFile(ZONE)
        self.asked = Counter()
        self.time_is_up = False

    def lookup(self, name, kind):
        self.asked[name, kind] += 1
        if self.time_is_up or name.endswith("evil.example"):
            self.time_is_up = True
            raise DnsUnavailable("the time for DNS is up for this message")
        return self.zone.lookup(name, kind)


def signed_by(d, s="s"):
    return Field(
        b"DKIM-Signature",
        f" v=1; a=rsa-sha256; d={d}; s={s}; h=from; bh={BODY_HASH}; b=AAAA".encode(),
    )


def letter(author, *signers, sender="x@evil.example", helo="mx.evil.example"):
    return Message(
        client=Client(address="192.0.2.66", helo=helo),
        envelope=Envelope(sender=sender),
        fields=(*map(signed_by, signers), Field(b"From", f" {author}".encode())),
        body=(b"x\r\n",),
    )


def found_in(message, **options):
    resolver = Tired()
    found = evaluate(message, resolver, 0, Options(**options))
    assert resolver.time_is_up
    assert set(resolver.asked.values()) == {1}
    return found.dmarc


@pytest.mark.parametrize("discovery", ["treewalk", "psl", "both-log-differences"])
@pytest.mark.parametrize(
    "message",
    [
        letter("ceo@mail.far.example"),
        letter("ceo@mail.far.example", "evil.example", "far.example", "mail.far.example"),
        letter("ceo@mail.far.example", "evil.example", sender="x@far.example"),
        letter("ceo@mail.far.example", "evil.example", "other.example", sender=""),
        letter("ceo@mail.far.example", "evil.example", sender="", helo="far.example"),
    ],
)
def test_whose_names_are_slow_cannot_hide_what_another_publishes(message, discovery):
    found = found_in(message, discovery=discovery, suffixes=SUFFIXES)
    assert (found.result, found.applied, found.record_domain) == (Result.FAIL, "quarantine", "far.example")


def test_without_a_list_of_public_suffixes_it_is_the_same():
    found = found_in(letter("ceo@nosuch.far.example", "evil.example", "far.example", "x.far.example"))
    assert (found.result, found.applied) == (Result.FAIL, "reject")


def test_trouble_with_the_authors_own_names_still_leaves_it_open():
    message = letter("x@evil.example", "evil.example")
    found = found_in(message)
    assert (found.result, found.applied) == (Result.TEMPERROR, "")


def test_an_honest_letter_is_asked_for_no_more_than_before():
    """Exact names need no organisation, and a signature of somebody else is looked up in its turn only."""
    message = letter("a@far.example", "far.example", sender="a@far.example", helo="mx.far.test")
    resolver = Tired()
    found = evaluate(message, resolver, 0, Options(iprev=False))
    assert found.dmarc.result is Result.FAIL
    assert sorted(name for name, _ in resolver.asked) == [
        "_dmarc.far.example",
        "far.example",
        "mx.far.test",
        "s._domainkey.far.example",
    ]
    assert dmarc.judge(found.author, found.spf, found.dkim, resolver).result is Result.FAIL
