"""The target ``engine``: one letter the whole way of the daemon, and what must hold whatever it is.

The order is that of ``Verifier.handle``. ``evaluate`` turns a fault of its own into a finding; here it is let
through (``unguarded``).
"""

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from unittest import mock

from fuzz import letters
from fuzz.answers import MOODS, Answers
from fuzz.chance import Chance
from fuzz.world import ADDRESSES, CLIENTS, NOW, OURS
from postvouch.auth import bodies, decide, evaluate, header, receivedspf
from postvouch.auth.authres import parse
from postvouch.auth.dkim import Limits
from postvouch.auth.policy import Policy
from postvouch.auth.psl import Suffixes
from postvouch.auth.result import Findings, Result
from postvouch.host.log import format_line
from postvouch.milters.verify import facts_of
from postvouch.values.address import OneAuthor
from postvouch.values.decision import Accept, Reject
from postvouch.values.message import Client, Envelope, Field, Message
from postvouch.values.network import Hosts, client_address, networks

LEGAL = {
    "spf": {"none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"},
    "dkim": {"pass", "fail", "policy", "temperror", "permerror"},
    "arc": {"none", "pass", "fail", "temperror"},
    "dmarc": {"none", "pass", "fail", "temperror", "permerror"},
    "iprev": {"none", "pass", "fail", "temperror", "permerror"},
}
_ILL = re.compile(r"\n(?! +\S)|[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_SEGMENT = re.compile(r" ([a-z-]+)=([a-z]+)(?: |\Z)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One input. ``budget``: after so many questions the computing time is up, None for never."""

    number: int
    message: Message
    mood: str
    options: evaluate.Options
    policy: Policy
    draft: letters.Draft
    vouched_for: bool
    budget: int | None

    def __repr__(self) -> str:
        parts = (self.message, self.options, self.policy, self.mood, self.budget)
        return "\n".join(repr(part) for part in parts)


@lru_cache(maxsize=1)
def _settings() -> tuple[list[evaluate.Options], list[Policy]]:
    listed = Suffixes.parse("example\nco.example\n*.wild.example\n!not.wild.example\ncom\n")
    options = [
        evaluate.Options(discovery=discovery, suffixes=suffixes, arc=on, iprev=on, limits=limits)
        for discovery in ("treewalk", "psl", "both-log-differences")
        for suffixes in (None, listed)
        for on in (True, True, False)
        for limits in (Limits(), Limits(max_signatures=2, min_rsa_bits=2048))
    ]
    plain = Policy(
        domains=("our.example",), internal=Hosts(networks=networks(("127.0.0.0/8",))), mode="enforce"
    )
    stern = replace(
        plain, own_fail="reject", enforced_reject="reject", enforced_quarantine="quarantine",
        other_fail="reject",
        other_none="reject", bad_author="reject", other_temperror="defer", enforced_temperror="quarantine",
    )  # fmt: skip
    lenient = replace(
        stern, exempt_hosts=networks(("192.0.2.8",)), exempt_names=("far.example",),
        exempt_domains=("other.example",),
        exempt_lists=("list.example", "lists.our.example"), exempt_sealers=("far.example", "list.example"),
        own_hosts=networks(("203.0.113.0/24",)), srs_domains=("our.example",), exempt_temperror="defer",
    )  # fmt: skip
    return options, [plain, stern, lenient, replace(stern, mode="monitor"), Policy()]


def make(chance: Chance, number: int) -> Case:
    """The input of that number."""
    draft = letters.draft(chance)
    options, policies = _settings()
    body = letters.chunks(chance, draft.body)
    message = Message(
        client=_client(chance), envelope=_envelope(chance), fields=tuple(draft.fields), body=body
    )
    if chance.odds(0.5):
        hashes = bodies.BodyHashes(bodies.forms(message.fields))
        for chunk in body:
            hashes.feed(chunk)
        message = replace(message, body=(), digests=hashes.finish())
    return Case(
        number=number,
        message=message,
        mood=chance.one(MOODS),
        options=chance.one(options),
        policy=chance.one(policies),
        draft=draft,
        vouched_for=message.client.local or bool(message.client.login),
        budget=chance.upto(30) if chance.odds(0.05) else None,
    )


def _client(chance: Chance) -> Client:
    address = chance.one(CLIENTS) if chance.odds(0.9) else chance.one(ADDRESSES)
    helo = letters.domain(chance)
    return Client(
        address=address if chance.odds(0.99) else chance.broken_text(address),
        name=chance.one(("unknown", "", "mx.far.example", 'a"b', "a b")),
        helo=helo if chance.odds(0.9) else chance.broken_text(helo),
        login="" if chance.odds(0.97) else chance.one(("bob", "b ob", 'b"o', "\udcff", "é", "x" * 999)),
        local=chance.odds(0.02),
    )


def _envelope(chance: Chance) -> Envelope:
    sender = "" if chance.odds(0.1) else letters.address(chance)
    return Envelope(
        sender=sender, recipients=("bob@our.example",) if chance.odds(0.9) else ("é@our.example",)
    )


def run(case: Case) -> tuple[str, ...]:
    """Judge it and look at everything; the result words, for the statistics. AssertionError, or any other."""
    message, policy = case.message, case.policy
    client, envelope = message.client, message.envelope
    answers = Answers(case.number, case.mood, client.address)
    options = case.options
    if case.budget is not None:
        left = case.budget

        def spent() -> bool:
            nonlocal left
            left -= 1
            return left < 0

        options = replace(options, spent=spent)
    findings = evaluate.evaluate(message, answers, NOW, options)
    ruling = decide.decide(findings, policy, client, envelope)
    vouched = decide.vouched(findings, policy, client)
    infos = header.results(findings, client, envelope, override=ruling.override, note_dnssec=True)
    field = header.format_field(
        OURS,
        findings,
        client=client,
        envelope=envelope,
        vouched=vouched,
        override=ruling.override,
        note_dnssec=True,
    )
    _check_findings(case, findings, answers)
    _check_ruling(case, findings, ruling, vouched)
    _check_field(field, [(i.method, str(i.result)) for i in infos] + [("x-origin", "pass")] * bool(vouched))
    _check_removals(case, Field(b"Authentication-Results", b" " + field.encode()))
    value = receivedspf.format_value(findings.spf, client=client, envelope=envelope, receiver=OURS)
    _check_lines(value, "Received-SPF")
    assert value.isascii(), value
    assert value.split(" ")[0] == findings.spf.result, value
    line = format_line("4X", (("from", f"<{envelope.sender}>"), *facts_of(findings)))
    assert line.isprintable(), line
    assert len(line) <= 3500, line
    return (
        f"spf={findings.spf.result}",
        f"helo={findings.helo.result}",
        *(f"dkim={found.result}" for found in findings.dkim[:3]),
        *((f"arc={findings.arc.result}",) if findings.arc else ()),
        f"dmarc={findings.dmarc.result}",
        f"from={type(findings.author).__name__}",
        f"action={ruling.action}",
        f"reason={ruling.code}",
    )


def _check_findings(case: Case, findings: Findings, answers: Answers) -> None:
    found = [
        ("spf", findings.spf), ("spf", findings.helo), ("dmarc", findings.dmarc), ("arc", findings.arc),
        ("iprev", findings.iprev), *(("dkim", each) for each in findings.dkim),
    ]  # fmt: skip
    for method, finding in found:
        assert finding is None or finding.result in LEGAL[method], (method, finding)
        if finding is not None:
            assert "cannot be evaluated" not in finding.reason, finding
            assert "internal error" not in finding.reason, finding
    dmarc = findings.dmarc
    passed = {each.d for each in findings.dkim if each.result is Result.PASS}
    assert not passed or case.draft.signed, passed
    assert not (findings.arc and findings.arc.result is Result.PASS) or case.draft.sealed
    if findings.spf.result is Result.PASS:
        passed.add(findings.spf.domain)
    if dmarc.result is Result.PASS or dmarc.aligned_by:
        assert isinstance(findings.author, OneAuthor)
        assert dmarc.domain == findings.author.address.domain
        assert dmarc.aligned_by
        assert any(_related(name, dmarc.domain, answers, case) for name in passed), (passed, dmarc)
    open_ = [each.d for each in findings.dkim if each.result is Result.TEMPERROR]
    if dmarc.domain and dmarc.domain in open_:
        assert dmarc.result is not Result.FAIL, dmarc
    if case.mood == "dead" and client_address(case.message.client.address):
        assert dmarc.result in (Result.TEMPERROR, Result.PERMERROR), dmarc
        assert not passed


def _related(name: str, author: str, answers: Answers, case: Case) -> bool:
    """Whether anything can join the two: one name, or an end of both that has a DMARC record or is listed."""
    if name == author:
        return True
    ends = [f".{author}"[at + 1 :] for at, char in enumerate(f".{author}") if char == "."]
    common = [end for end in ends if f".{name}".endswith("." + end)]
    if case.options.suffixes is not None and "." in (common or [""])[0]:
        return True
    return any(answers.asked.get((f"_dmarc.{end}", "TXT")) for end in common)


def _check_ruling(case: Case, findings: Findings, ruling: decide.Ruling, vouched: str) -> None:
    policy = case.policy
    if case.vouched_for:
        assert isinstance(ruling.verdict, Accept)
    if policy.mode != "enforce":
        assert isinstance(ruling.verdict, Accept), ruling
        assert not ruling.mark, ruling
    assert not (isinstance(ruling.verdict, Reject) and ruling.code == decide.TEMPERROR)
    if case.mood == "dead" and client_address(case.message.client.address):
        about_names = (decide.SPOOF_SENDER, decide.DMARC_FAIL, decide.DMARC_FAIL_NONE, decide.DMARC_NONE)
        assert ruling.code not in about_names, ruling
    if vouched == "aligned":
        names = {each.result for each in findings.dkim} | {findings.spf.result}
        assert Result.PASS in names, findings


def _check_lines(value: str, name: str) -> None:
    assert max(map(len, f"{name}: {value}".encode().split(b"\n"))) <= 998, value
    assert not _ILL.search(value), value


def _check_field(value: str, expected: list[tuple[str, str]]) -> None:
    """Read our own field twice: by our strict reader, and by a crude one that knows quotes and comments."""
    _check_lines(value, "Authentication-Results")
    parsed = parse(value.encode())
    assert parsed.authserv_id == OURS
    assert [(info.method, info.result) for info in parsed.results] == expected, (parsed, expected)
    segments = crude(value.replace("\n", ""))
    assert segments[0] == OURS, value
    seen = [found.groups() if (found := _SEGMENT.match(each)) else None for each in segments[1:]]
    assert seen == expected, (seen, value)


def crude(text: str) -> list[str]:
    """The text cut at each semicolon outside quotes and comments, which are left out."""
    segments, quoted, depth, escaped = [""], False, 0, False
    for piece in re.split(r'([;"()\\])', text):
        if escaped and piece:
            escaped = False
            piece = piece[1:] if len(piece) == 1 else piece
            continue
        if piece == "\\" and (quoted or depth):
            escaped = True
        elif piece == '"' and not depth:
            quoted = not quoted
        elif piece in ("(", ")") and not quoted:
            depth += 1 if piece == "(" else -1
        elif piece == ";" and not quoted and not depth:
            segments.append("")
        elif not quoted and not depth:
            segments[-1] += piece
    assert (quoted, depth) == (False, 0), text
    return [re.sub(" {2,}", " ", each) for each in segments]


def _check_removals(case: Case, ours: Field) -> None:
    """Apply them as Postfix does, and see what is left."""
    left = list(case.message.fields)
    for removal in header.removals(case.message, OURS):
        same = [n for n, each in enumerate(left) if each.is_named(removal.name.encode())]
        del left[same[removal.nth - 1]]
    left.insert(0, ours)
    remaining = [each.value for each in left if each.is_named(b"Authentication-Results")]
    for value in remaining[1:]:
        bare = re.sub(rb'["\\]', b"", value).lower().strip()
        rest = bare[len(OURS) :].lstrip(b".")
        mine = bare.startswith(OURS.encode()) and not re.match(rb"[a-z0-9_-]|[\x80-\xff]", rest)
        assert not mine, value
    kept = {id(each) for each in left}
    for each in case.draft.forged:
        assert id(each) not in kept, each
    for each in case.draft.foreign:
        assert id(each) in kept, each
    assert not any(each.is_named(header.MARK.encode()) for each in left)


@contextlib.contextmanager
def unguarded() -> Iterator[None]:
    """Let faults out of ``evaluate`` instead of into findings."""

    def kept(work: Callable[[], object], otherwise: Callable[[str], object]) -> object:
        return work()

    with mock.patch.object(evaluate, "_kept", kept):
        yield
