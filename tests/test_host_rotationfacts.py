"""What the name servers say of a key, all of them together: one word, and why."""

from dataclasses import replace

import pytest

from postvouch.host import dnssecure
from postvouch.host.dnslook import Look, ResolverAnswer, ServerAnswer
from postvouch.host.rotationfacts import HOLD_S, is_free, judge, secured, serves
from postvouch.sign.finding import Fault, Finding
from postvouch.sign.keys import generate
from postvouch.sign.record import revoked, strings
from postvouch.sign.rotate import Seen
from postvouch.sign.rotation import Key, State
from postvouch.values.dns import Status

PRIVATE, _ = generate("ed25519")
OTHER, _ = generate("ed25519")
KEY = Key(selector="a", kind="ed25519", public=PRIVATE.public_text(), generation=1, state=State.MADE, since=0)
HERE = (tuple(text.encode() for text in strings(PRIVATE)),)
EMPTY = ((revoked("ed25519")[0].encode(),),)
WRONG = (tuple(text.encode() for text in strings(OTHER)),)
NONE = ()
SILENT = None


def look(*servers, wildcard=False, trouble="", ttl_s=7, negative_ttl_s=5):
    answers = tuple(
        ServerAnswer(server=f"ns{n}", address=f"192.0.2.{n}", trouble="no answer in time")
        if texts is SILENT
        else ServerAnswer(
            server=f"ns{n}", address=f"192.0.2.{n}", status=Status.FOUND if texts else Status.NXDOMAIN,
            texts=texts, ttl_s=ttl_s if texts else 0, serial=n, negative_ttl_s=negative_ttl_s,
        )
        for n, texts in enumerate(servers, 1)
    )  # fmt: skip
    return Look(
        name="a._domainkey.our.example", servers=answers, resolver=ResolverAnswer(), is_wildcard=wildcard,
        trouble=trouble,
    )  # fmt: skip


@pytest.mark.parametrize(
    "servers, seen",
    [
        ((HERE, HERE), Seen.PUBLISHED),
        ((EMPTY, EMPTY), Seen.REVOKED),
        ((NONE, NONE), Seen.ABSENT),
        ((WRONG, WRONG), Seen.DIFFERS),
        ((HERE, NONE), Seen.MIXED),
        ((HERE, EMPTY), Seen.MIXED),
        ((NONE, WRONG), Seen.MIXED),
        ((HERE, SILENT), Seen.UNKNOWN),
        ((SILENT, SILENT), Seen.UNKNOWN),
        ((), Seen.UNKNOWN),
        ((NONE, SILENT), Seen.MIXED),
        ((EMPTY, SILENT), Seen.MIXED),
        ((HERE * 2, HERE * 2), Seen.DIFFERS),
        ((((b"v=spf1 -all",),),), Seen.ABSENT),
        ((((b"v=DKIM1; oops",),),), Seen.DIFFERS),
    ],
)
def test_only_what_every_server_says_counts(servers, seen):
    assert judge(look(*servers), KEY, PRIVATE).seen is seen


def test_the_file_is_not_needed_to_know_the_record_of_a_key():
    for servers in [(HERE,), (EMPTY,), (NONE,), (WRONG,)]:
        assert judge(look(*servers), KEY, None).seen is judge(look(*servers), KEY, PRIVATE).seen


def test_a_record_that_every_name_has_is_nobodys_unless_it_is_this_key():
    assert judge(look(WRONG, wildcard=True), KEY, PRIVATE).seen is Seen.ABSENT
    assert judge(look(HERE, wildcard=True), KEY, PRIVATE).seen is Seen.PUBLISHED


def test_what_resolvers_may_keep_is_the_longest_of_what_was_seen():
    assert judge(look(HERE), KEY, PRIVATE).hold_s == 5
    assert judge(look(HERE, NONE), KEY, PRIVATE).hold_s == 5
    assert judge(look(HERE, WRONG), KEY, PRIVATE).hold_s == 7
    assert judge(look(NONE, negative_ttl_s=None), KEY, PRIVATE).hold_s == HOLD_S


def test_who_lags_and_who_is_silent_is_named_with_its_serial():
    why = judge(look(HERE, NONE, SILENT), KEY, PRIVATE).why
    assert "ns2 [192.0.2.2] has no record (serial 2)" in why
    assert "ns3 [192.0.2.3] does not answer: no answer in time" in why
    assert judge(look(NONE, NONE), KEY, PRIVATE).why == "every name server has no record"
    assert "keys do not match" in judge(look(WRONG), KEY, PRIVATE).why
    assert judge(look(trouble="the resolver is silent"), KEY, PRIVATE).why == "the resolver is silent"
    assert len(judge(look(HERE, *[NONE] * 40), KEY, PRIVATE).why) < 400


def test_a_selector_is_free_where_nobody_has_a_key_and_unknown_where_nobody_answers():
    assert is_free(look(NONE, SILENT)) is True
    assert is_free(look(WRONG, NONE)) is False
    assert is_free(look(EMPTY)) is False
    assert is_free(look(WRONG, wildcard=True)) is True
    assert is_free(look(SILENT)) is None
    assert is_free(look()) is None


SOUND = dnssecure.Chain()
SIGNED = ResolverAnswer(status=Status.FOUND, texts=HERE, secure=True)


@pytest.mark.parametrize(
    "servers, resolver, chain, seen",
    [
        (HERE, SIGNED, SOUND, Seen.PUBLISHED),
        (HERE, ResolverAnswer(status=Status.FOUND, texts=HERE), SOUND, Seen.INSECURE),
        (HERE, ResolverAnswer(status=Status.FOUND, texts=HERE, is_bogus=True), SOUND, Seen.INSECURE),
        (HERE, ResolverAnswer(status=Status.NXDOMAIN, secure=True), SOUND, Seen.UNKNOWN),
        (HERE, ResolverAnswer(status=Status.FOUND, texts=WRONG, secure=True), SOUND, Seen.UNKNOWN),
        (HERE, ResolverAnswer(trouble="no answer in time"), SOUND, Seen.UNKNOWN),
        (HERE, SIGNED, dnssecure.Chain(trouble="no answer in time"), Seen.UNKNOWN),
        (HERE, SIGNED, dnssecure.Chain(faults=(Fault(Finding.NO_DS),)), Seen.INSECURE),
        (NONE, SIGNED, SOUND, Seen.UNKNOWN),
        (EMPTY, SIGNED, SOUND, Seen.UNKNOWN),
        (NONE, ResolverAnswer(status=Status.NXDOMAIN, secure=True), SOUND, Seen.ABSENT),
        (EMPTY, ResolverAnswer(status=Status.FOUND, texts=EMPTY), SOUND, Seen.REVOKED),
        (WRONG, SIGNED, SOUND, Seen.DIFFERS),
    ],
)
def test_where_dnssec_is_required_name_servers_are_believed_when_the_resolver_has_validated_it(
    servers, resolver, chain, seen
):
    said = replace(look(servers), resolver=resolver)
    fact = secured(judge(said, KEY, PRIVATE), said, serves(KEY, PRIVATE), lambda: chain)
    assert fact.seen is seen
    assert fact.hold_s >= 5
