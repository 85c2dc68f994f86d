"""What a hostile letter costs: counted, or compared with one of twice the size; never measured in seconds.

The letters are judged the whole way: findings, ruling, our field, removals.
"""

import base64
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from unittest import mock

import dnsserver
import pytest
from fakedns import Zone, zone
from fuzz.world import EXPONENTS, key_records, keys
from letters import message_of
from postfixplay import Header, Postfix
from test_milters_verify import start

from postvouch.auth import bodies, decide, evaluate, header, keyrecord, verifier
from postvouch.auth.canonical import BodyHasher
from postvouch.auth.evaluate import Options
from postvouch.auth.policy import Policy
from postvouch.auth.result import Findings, Result
from postvouch.host.dns import MessageResolver
from postvouch.sign import dkim
from postvouch.sign.keys import SigningKey
from postvouch.values.decision import Reject
from postvouch.values.dns import NO_SUCH_NAME, DnsUnavailable, Records, Resolver, Status
from postvouch.values.message import Client, Envelope, Field, Message

NOW = 1_767_225_600.0
OURS = "mx.our.example"
POLICY = Policy(domains=("our.example",), mode="enforce", enforced_reject="reject", other_fail="reject")
KEY = SigningKey(domain="far.example", selector="e1", private=keys()[0])
RECORDS = (
    "far.example TXT v=spf1 ip4:192.0.2.7 -all",
    "_dmarc.far.example TXT v=DMARC1; p=reject",
    "e1._domainkey.far.example TXT " + key_records()[0].decode(),
    "loop.example CNAME pool.example",
    "pool.example CNAME loop.example",
)
FROM = Field(b"From", b" Mara <mara@far.example>")


def letter(*fields: Field, body: bytes = b"hello\r\n", client: str = "192.0.2.7") -> Message:
    return Message(
        client=Client(address=client, helo="mx.far.example"),
        envelope=Envelope(sender="mara@far.example"),
        fields=fields,
        body=(body,) if body else (),
    )


def signed(
    *fields: Field, body: bytes = b"hello\r\n", names: tuple[str, ...] = ("from", "subject")
) -> Message:
    """A letter with a signature that verifies."""
    message = letter(*fields, body=body)
    made = dkim.sign(message, KEY, now=NOW, rules=dkim.Rules(headers=names))
    value = b" " + made.value.replace("\n", "\r\n").encode()
    return replace(message, fields=(Field(made.name.encode(), value), *fields))


def judge(message: Message, dns: Resolver | None = None, options: Options | None = None) -> Findings:
    """All that the daemon does with a letter."""
    findings = evaluate.evaluate(message, dns or zone(*RECORDS), NOW, options)
    ruling = decide.decide(findings, POLICY, message.client, message.envelope)
    header.format_field(
        OURS, findings, client=message.client, envelope=message.envelope, override=ruling.override
    )
    header.removals(message, OURS)
    return findings


def named(name: str, value: bytes) -> Message:
    return letter(FROM, Field(name.encode(), b" " + value))


# Each makes a letter of about that many octets, fields, or whatever it is full of.
LETTERS: dict[str, tuple[int, Callable[[int], Message]]] = {
    "blanks in a signed field": (80_000, lambda n: signed(FROM, Field(b"Subject", b" a" + b" " * n + b"b"))),
    "folds in a signed field": (
        80_000,
        lambda n: signed(FROM, Field(b"Subject", b" a" + b"\r\n \t" * (n // 4))),
    ),
    "blanks in a signed body": (2_000_000, lambda n: signed(FROM, body=b"a" + b" \t" * (n // 2) + b"b\r\n")),
    "blank lines in a signed body": (2_000_000, lambda n: signed(FROM, body=b" \r\n" * (n // 3) + b"b\r\n")),
    "carriage returns in a body": (2_000_000, lambda n: signed(FROM, body=b"\r" * n)),
    "line ends in odd order": (2_000_000, lambda n: signed(FROM, body=b"\r\n\n\r\r" * (n // 5))),
    "signed fields": (
        10_000,
        lambda n: signed(FROM, *[Field(b"Subject", b" hello")] * n, names=("from", "subject")),
    ),
    "fields": (10_000, lambda n: letter(FROM, *(Field(b"X-%d" % i, b" y") for i in range(n)))),
    "signatures": (1_000, lambda n: letter(*signed(FROM).fields * n)),
    "names in h=": (10_000, lambda n: named("DKIM-Signature", b"v=1; h=" + b":".join([b"from"] * n))),
    "names that no field has": (
        10_000,
        lambda n: named("DKIM-Signature", SOUND.replace(b"h=from", b"h=from" + b":x" * n)),
    ),
    "tags": (10_000, lambda n: named("DKIM-Signature", b"a=b; " * n)),
    "semicolons": (200_000, lambda n: named("DKIM-Signature", b";" * n)),
    "base64": (400_000, lambda n: named("DKIM-Signature", SOUND + b"A" * n)),
    "a number": (
        400_000,
        lambda n: named("DKIM-Signature", SOUND.replace(b"b=", b"x=" + b"9" * n + b"; b=")),
    ),
    "i=": (
        400_000,
        lambda n: named("DKIM-Signature", SOUND.replace(b"b=", b"i=" + b"=40@" * (n // 4) + b"; b=")),
    ),
    "ARC sets": (1_000, lambda n: letter(FROM, *(arc(i) for i in range(n)))),
    "blanks in an ARC field": (400_000, lambda n: named("ARC-Authentication-Results", b" " * n + b"i=1; x")),
    "comments in From": (3_000, lambda n: letter(Field(b"From", b"(" * n + b")" * n + b" mara@far.example"))),
    "open comments in From": (100_000, lambda n: letter(Field(b"From", b"(" * n))),
    "addresses in From": (5_000, lambda n: letter(Field(b"From", b"a@far.example, " * n + b"b@far.example"))),
    "groups in From": (50_000, lambda n: letter(Field(b"From", b"x:;, " * n))),
    "quotes in From": (400_000, lambda n: letter(Field(b"From", b'"\\' * n))),
    "dots in From": (400_000, lambda n: letter(Field(b"From", b"a." * (n // 2) + b"@far.example"))),
    "routes in From": (
        50_000,
        lambda n: letter(Field(b"From", b"<" + b"@a.example," * n + b":x@y.example>")),
    ),
    "encoded-words in From": (20_000, lambda n: letter(Field(b"From", b"=?utf-8?q?a?= " * n))),
    "open encoded-words": (400_000, lambda n: letter(Field(b"From", b"=?utf-8?q?" * (n // 10)))),
    "megabyte of From": (500_000, lambda n: letter(Field(b"From", b"x" * n + b"@far.example"))),
    "names of domains in From": (20_000, lambda n: letter(Field(b"From", b" a\xc3\xa4.example" * n))),
    "fields From": (10_000, lambda n: letter(*[FROM] * n)),
    "forged results": (
        10_000,
        lambda n: letter(*[Field(b"Authentication-Results", b" mx.our.example; x=y")] * n),
    ),
    "comments in results": (3_000, lambda n: named("Authentication-Results", b"(" * n + b")" * n + b"x;")),
    "open comments in results": (200_000, lambda n: named("Authentication-Results", b"(" * n)),
    "quotes in results": (400_000, lambda n: named("Authentication-Results", b'"\\' * n)),
    "combining marks": (
        100_000,
        lambda n: named("Authentication-Results", b"x\xcc\x81" + b"\xcc\xa7\xcc\x81" * n),
    ),
    "encoded-words in results": (20_000, lambda n: named("Authentication-Results", b"=?utf-8?b?bXg=?= " * n)),
    "angle brackets in List-Id": (400_000, lambda n: named("List-Id", b"<" * n)),
    "blanks in List-Id": (400_000, lambda n: named("List-Id", b"<" + b" " * n + b"x>")),
    "one field of megabytes": (
        2_000_000,
        lambda n: signed(FROM, Field(b"Subject", b" a" + b" b" * (n // 2))),
    ),
}
SOUND = b" v=1; a=ed25519-sha256; d=far.example; s=e1; h=from; bh=AAAA; b="


def arc(number: int) -> Field:
    return Field(b"ARC-Seal", b" i=%d; a=rsa-sha256; cv=pass; d=far.example; s=e1; b=AAAA" % number)


def cost(message: Message) -> float:
    """Seconds of CPU, the least of three tries."""
    best = 1e9
    for _ in range(3):
        dns = zone(*RECORDS)
        began = time.thread_time()
        judge(message, dns)
        best = min(best, time.thread_time() - began)
    return best


@pytest.mark.parametrize("what", LETTERS)
def test_twice_as_much_of_anything_costs_at_most_twice_as_much(what: str) -> None:
    usual, make = LETTERS[what]
    once, twice = make(usual), make(2 * usual)
    for _ in range(5):
        # A millisecond is what any letter costs; a quadratic one is far above three times at these sizes.
        if cost(twice) < 3 * cost(once) + 0.001:
            return
    raise AssertionError(f"{what}: {cost(once):.4f} s, and of twice as much {cost(twice):.4f} s")


RECORD_BOMBS = {
    "terms": b"v=spf1" + b" ip4:192.0.2.8" * 4_000 + b" -all",
    "blanks": b"v=spf1" + b" " * 60_000 + b"-all",
    "macros": b"v=spf1 exists:" + b"%{s}" * 15_000 + b".x -all",
    "digits": b"v=spf1 exists:%{d" + b"9" * 60_000 + b"} -all",
    "delimiters": b"v=spf1 exists:%{l" + b".-+,/_=" * 8_000 + b"}.x -all",
    "colons": b"v=spf1 " + b":" * 60_000,
    "modifiers": b"v=spf1 " + b" ".join(b"x%d=y" % n for n in range(7_000)),
    "prefix": b"v=spf1 ip4:192.0.2.0/" + b"0" * 60_000,
    "dots": b"v=spf1 a:" + b"a." * 30_000 + b"b -all",
    "tags": b"v=DMARC1; p=none;" + b"a=b;" * 15_000,
    "blank values": b"v=DMARC1; p=" + b" " * 60_000 + b"none",
    "reports": b"v=DMARC1; p=none; rua=" + b"mailto:a@b," * 5_000,
    "semicolons": b"v=DMARC1" + b";" * 60_000,
    "key tags": b"v=DKIM1; p=AAAA" + b"; a=b" * 12_000,
    "key": b"v=DKIM1; k=rsa; p=" + b"A" * 60_000,
}


class Everywhere:
    """The same text at every name."""

    def __init__(self, text: bytes) -> None:
        self._text = text

    def lookup(self, name: str, kind: str) -> Records:
        return Records(status=Status.FOUND, values=(self._text,)) if kind == "TXT" else NO_SUCH_NAME


@pytest.mark.parametrize("what", RECORD_BOMBS)
def test_a_record_of_64_kb_costs_at_most_twice_as_much_as_half_of_it(what: str) -> None:
    whole = RECORD_BOMBS[what]
    half = whole[: len(whole) // 2]
    message = signed(FROM)

    def least(text: bytes) -> float:
        best = 1e9
        for salt in range(3):
            # Another text each time: what was read once is remembered.
            dns = Everywhere(text + b" " * (salt + 1))
            began = time.thread_time()
            judge(message, dns)
            best = min(best, time.thread_time() - began)
        return best

    for _ in range(5):
        if least(whole) < 3 * least(half) + 0.002:
            return
    raise AssertionError(f"{what}: {least(half):.4f} s, and of twice as much {least(whole):.4f} s")


def test_of_a_hundred_signatures_ten_are_looked_at_and_the_rest_counted() -> None:
    one = signed(FROM).fields[0]
    fields = [Field(one.name, one.value.replace(b"s=e1", b"s=k%d" % n)) for n in range(100)]
    dns = zone(
        *RECORDS, *(f"k{n}._domainkey.far.example TXT {key_records()[0].decode()}" for n in range(100))
    )
    with mock.patch.object(keyrecord, "checker", wraps=keyrecord.checker) as checker:
        findings = judge(letter(*fields, FROM), dns)
    assert len(findings.dkim) == 11
    assert findings.dkim[-1].reason == "90 more signatures not checked"
    assert checker.call_count == 10
    assert sum("._domainkey." in name for name, _ in dns.asked) == 10


def test_a_body_is_hashed_in_few_forms_however_many_signatures_ask() -> None:
    fields = [
        Field(b"DKIM-Signature", SOUND.replace(b"; b=", f"; l={n}; c={c}; b=".encode()))
        for n in range(1, 50)
        for c in ("relaxed/relaxed", "simple/simple", "simple/relaxed", "x/y")
    ]
    body = b"hello  world \r\n" * 1000
    octets = 0
    before = BodyHasher.feed

    def feed(self: BodyHasher, chunk: bytes) -> None:
        nonlocal octets
        octets += len(chunk)
        before(self, chunk)

    with mock.patch.object(BodyHasher, "feed", feed):
        judge(letter(*fields, FROM, body=body))
    assert octets <= (2 + bodies.MAX_LIMITED) * len(body)


def test_a_key_of_16384_bits_or_with_a_huge_exponent_is_refused_before_any_arithmetic() -> None:
    first = signed(FROM).fields[0]
    field = Field(first.name, first.value.replace(b"ed25519", b"rsa"))
    odd = key_records()[len(keys()) :]
    huge = [odd[8 * len(EXPONENTS) + 4], odd[7 * len(EXPONENTS) + 4], odd[4 * len(EXPONENTS) + 7]]
    for text, why in zip(huge, ("too large (16384", "too large (8193", "exponent too large"), strict=True):
        with mock.patch.object(keyrecord, "_rsa_check") as arithmetic:
            findings = judge(letter(field, FROM), Everywhere(text))
        assert why in findings.dkim[0].reason
        assert findings.dkim[0].result is Result.PERMERROR
        assert not arithmetic.called


def test_one_key_is_asked_for_once_and_at_most_eight_of_its_records_are_tried() -> None:
    dns = zone(*RECORDS, *["e1._domainkey.far.example TXT " + key_records()[1].decode()] * 100)
    tried = 0

    def checker(record: keyrecord.KeyRecord, **_: int) -> keyrecord.Check:
        nonlocal tried
        tried += 1
        return lambda signature, digest: False

    message = signed(FROM)
    with mock.patch.object(keyrecord, "checker", checker):
        judge(letter(*[message.fields[0]] * 10, FROM), dns)
    assert tried == 10 * verifier.MAX_RECORDS
    assert sum("._domainkey." in name for name, _ in dns.asked) == 1


BOMBS = {
    "includes in circles": [
        "far.example TXT v=spf1 include:b.example include:b.example -all",
        "b.example TXT v=spf1 include:c.example include:c.example -all",
        "c.example TXT v=spf1 include:b.example ?all",
    ],
    "hosts of hosts": [
        "far.example TXT v=spf1 " + " ".join(f"mx:m{n}.example" for n in range(20)) + " -all",
        *(f"m{n}.example MX 10 h{n}-{k}.example" for n in range(20) for k in range(40)),
    ],
    "names of the client": [
        "far.example TXT v=spf1 ptr ptr:x.example ptr:y.example -all",
        *(f"7.2.0.192.in-addr.arpa PTR h{n}.example" for n in range(200)),
    ],
    "macros of macros": [
        "far.example TXT v=spf1 " + " ".join(["exists:%{l}%{l}%{s}%{p}.%{ir}.x.example"] * 30) + " -all"
    ],
    "a chain of redirects": [
        f"{'a' * n or 'far'}.example TXT v=spf1 redirect={'a' * (n + 1)}.example" for n in range(50)
    ],
    "nothing at every name": [
        "far.example TXT v=spf1 " + " ".join(f"a:v{n}.example" for n in range(100)) + " -all"
    ],
}


@pytest.mark.parametrize("what", BOMBS)
def test_an_spf_bomb_asks_few_questions(what: str) -> None:
    dns = zone(*BOMBS[what])
    findings = judge(letter(FROM), dns)
    assert findings.spf.result in (Result.PERMERROR, Result.FAIL)
    # Ten terms, each of which may ask for one record and ten hosts (RFC 7208 §4.6.4).
    assert len(dns.asked) < 130


def test_a_loop_of_aliases_is_a_temperror_everywhere() -> None:
    fields = [Field(f.name, f.value.replace(b"far.example", b"loop.example")) for f in signed(FROM).fields]
    message = replace(letter(*fields), envelope=Envelope(sender="x@loop.example"))
    dns = zone(
        *RECORDS, "_dmarc.loop.example CNAME pool.example", "e1._domainkey.loop.example CNAME pool.example"
    )
    findings = judge(message, dns)
    results = (findings.spf.result, findings.dkim[0].result, findings.dmarc.result)
    assert results == (Result.TEMPERROR,) * 3


class Slow:
    """DNS that takes four seconds for everything, by a clock of its own; what of a DnsResolver is needed."""

    def __init__(self, *records: str) -> None:
        self.now = 0.0
        self.zone = zone(*records)

    def lookup_until(self, name: str, kind: str, deadline: float) -> Records:
        self.now = min(self.now + 4.0, deadline)
        if self.now == deadline:
            raise DnsUnavailable("no answer in time")
        return self.zone.lookup(name, kind)


def test_slow_dns_costs_the_seconds_of_one_message_and_no_more() -> None:
    includes = " ".join(f"include:i{n}.example" for n in range(9))
    slow = Slow(
        f"far.example TXT v=spf1 {includes} -all",
        *(f"i{n}.example TXT v=spf1 ?all" for n in range(9)),
        *RECORDS[1:],
    )
    resolver = MessageResolver(slow, seconds=20.0, lookups=400, clock=lambda: slow.now)  # type: ignore[arg-type]
    findings = judge(letter(*[signed(FROM).fields[0]] * 10, FROM), resolver)
    assert slow.now == 20.0
    assert len(slow.zone.asked) == 4
    assert findings.spf.result is Result.TEMPERROR
    _is_not_refused(findings)


def test_whatever_is_left_undone_when_the_lookups_are_spent_refuses_no_honest_letter() -> None:
    for most in range(12):
        left = iter(range(most))
        dns = zone(*RECORDS)

        class Budget:
            def lookup(self, name: str, kind: str, left: Iterator[int] = left, dns: Zone = dns) -> Records:
                if next(left, None) is None:
                    raise DnsUnavailable("too many DNS questions for one message")
                return dns.lookup(name, kind)

        _is_not_refused(judge(signed(FROM), Budget()))
        assert len(dns.asked) <= most


def test_whenever_the_computing_time_ends_no_honest_letter_is_refused() -> None:
    seen = set()
    for most in range(40):
        left = iter(range(most))
        options = Options(spent=lambda left=left: next(left, None) is None)  # type: ignore[misc]
        findings = judge(signed(FROM), options=options)
        _is_not_refused(findings)
        seen.add(findings.dmarc.result)
    assert seen == {Result.TEMPERROR, Result.PASS}


def _is_not_refused(findings: Findings) -> None:
    assert findings.dmarc.result in (Result.PASS, Result.TEMPERROR)
    ruling = decide.decide(findings, POLICY, Client(address="192.0.2.7"), Envelope(sender="mara@far.example"))
    assert not isinstance(ruling.verdict, Reject), ruling


def test_once_the_computing_time_is_up_nothing_is_asked_and_all_is_temperror() -> None:
    dns = zone(*RECORDS)
    message = signed(FROM, arc(1))
    findings = judge(message, dns, Options(spent=lambda: True))
    assert dns.asked == []
    found = (findings.spf, findings.helo, findings.dmarc, findings.iprev, *findings.dkim)
    assert {each.result for each in found if each} == {Result.TEMPERROR}


def test_a_megabyte_of_raw_octets_is_a_letter_like_others() -> None:
    raw = bytes(range(256)) * 4096
    for octets in (raw, b"From:" + raw, base64.b64encode(raw), b"From: a@far.example\r\n\r\n" + raw):
        assert judge(message_of(octets)).dmarc.result in (Result.PERMERROR, Result.NONE, Result.FAIL)


def test_a_letter_that_waits_for_dns_keeps_no_other_waiting(tmp_path: Path) -> None:
    answered = threading.Event()
    sound = dnsserver.told_by(zone(*RECORDS))

    def late(query: object, tcp: bool) -> dnsserver.Reply:
        answered.wait(10)
        return sound(query, tcp)  # type: ignore[arg-type]

    header_of: Callable[[str], Header] = lambda name: [(b"From", f" a@{name}.example".encode())]  # noqa: E731
    with dnsserver.Server(sound) as server:
        server.answers["slow.example"] = late
        # One process: its threads are all there is.
        with start(tmp_path, server.address, "workers = 1") as daemon, Postfix(daemon.path) as slow:
            slow.connect()
            slow.envelope(b"<x@slow.example>")
            slow.content(header_of("slow"))
            slow.begin_end()
            with Postfix(daemon.path) as quick:
                quick.connect()
                for n in range(50):
                    outcome = quick.message(header_of("far"), b"hello\r\n", queue_id=f"4Quick{n}")
                    assert "spf=pass" in outcome.inserted("Authentication-Results")[0]
            assert ("slow.example", "TXT", False) in server.asked
            assert not any("x@slow.example" in line for line in daemon.log())
            answered.set()
            assert slow.outcome().word == "c"
