"""auth/evaluate.py: whole letters, and letters made of junk."""

import pytest
from fakedns import zone
from hypothesis import given
from hypothesis import strategies as st

from postvouch.auth import decide, dkim, dmarc, spf
from postvouch.auth.authres import parse
from postvouch.auth.evaluate import evaluate, unchecked
from postvouch.auth.header import format_field, removals
from postvouch.auth.policy import Policy
from postvouch.auth.result import Findings, Result
from postvouch.values.address import Address, MissingAuthor, OneAuthor, SeveralAuthors
from postvouch.values.dns import DnsUnavailable
from postvouch.values.message import Client, Envelope, Field, Message

NOW = 1_790_000_000.0
FROM = Field(b"From", b" Alice <alice@far.example>")
CLIENT = Client(address="192.0.2.7", name="mx.far.example", helo="mx.far.example")
FAR = ("far.example TXT v=spf1 ip4:192.0.2.7 -all", "_dmarc.far.example TXT v=DMARC1; p=reject")


def letter(*fields: Field, sender: str = "alice@far.example", client: Client = CLIENT) -> Message:
    return Message(client=client, envelope=Envelope(sender=sender), fields=fields, body=(b"Hello\r\n",))


def words(found: Findings) -> tuple[str, str, tuple[str, ...], str]:
    return found.spf.result, found.helo.result, tuple(f.result for f in found.dkim), found.dmarc.result


def test_a_letter_that_spf_proves() -> None:
    found = evaluate(letter(FROM), zone(*FAR), NOW)
    assert words(found) == ("pass", "none", (), "pass")
    assert (found.dmarc.aligned_by, found.author) == ("spf", OneAuthor(Address("alice", "far.example")))


def test_helo_does_not_stand_in_for_mail_from() -> None:
    """CVE-2019-20790: a HELO that passes says nothing about who wrote a letter with a sender."""
    dns = zone(*FAR, "mx.far.example TXT v=spf1 +all")
    found = evaluate(letter(FROM, sender="x@evil.example"), dns, NOW)
    assert words(found) == ("none", "pass", (), "fail")


def test_the_null_sender_is_proven_by_helo() -> None:
    dns = zone(*FAR, "mx.far.example TXT v=spf1 a -all", "mx.far.example A 192.0.2.7")
    found = evaluate(letter(FROM, sender=""), dns, NOW)
    assert words(found) == ("pass", "pass", (), "pass")
    assert found.spf.identity == "helo"


def test_results_in_header_fields_of_strangers_prove_nothing() -> None:
    forged = Field(b"Authentication-Results", b" mx.our.example; dkim=pass header.d=far.example; dmarc=pass")
    found = evaluate(letter(forged, FROM, sender="x@evil.example"), zone(*FAR), NOW)
    assert words(found) == ("none", "none", (), "fail")


def test_dns_trouble_in_one_method_does_not_hide_another() -> None:
    dns = zone(
        "far.example TEMPERROR TXT",
        "_dmarc.far.example TXT v=DMARC1; p=reject",
        "mx.far.example TXT v=spf1 +all",
    )
    assert words(evaluate(letter(FROM), dns, NOW)) == ("temperror", "pass", (), "temperror")


def test_no_dns_at_all_is_temperror_everywhere() -> None:
    class Down:
        def lookup(self, name: str, kind: str) -> object:
            raise DnsUnavailable("down")

    found = evaluate(
        letter(FROM, Field(b"DKIM-Signature", b" v=1; a=rsa-sha256; d=far.example; s=s; h=from; bh=x; b=x")),
        Down(),
        NOW,
    )  # type: ignore[arg-type]
    assert found.spf.result == found.helo.result == found.dmarc.result == Result.TEMPERROR


def test_without_an_author_spf_is_still_told() -> None:
    found = evaluate(letter(), zone(*FAR), NOW)
    assert words(found) == ("pass", "none", (), "permerror")
    assert found.author == MissingAuthor()


@pytest.mark.parametrize(
    "module, name, words_found",
    [
        (spf, "check_mail_from", ("temperror", "none", (), "temperror")),
        (spf, "check_helo", ("pass", "temperror", (), "pass")),
        (dkim, "verify", ("pass", "none", ("temperror",), "pass")),
        (dmarc, "evaluate", ("pass", "none", (), "temperror")),
    ],
)
def test_a_fault_of_ours_in_one_method_is_its_finding_only(
    monkeypatch: pytest.MonkeyPatch, module: object, name: str, words_found: tuple[object, ...]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RecursionError("deep")

    monkeypatch.setattr(module, name, broken)
    found = evaluate(letter(FROM), zone(*FAR), NOW)
    assert words(found) == words_found
    reasons = [found.spf.reason, found.helo.reason, *(f.reason for f in found.dkim), found.dmarc.reason]
    assert "internal error (RecursionError)" in reasons


def test_a_fault_of_ours_is_never_a_dmarc_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise IndexError

    monkeypatch.setattr(dkim, "verify", broken)
    found = evaluate(letter(FROM, sender="x@evil.example"), zone(*FAR), NOW)
    assert found.dmarc.result is Result.TEMPERROR


def test_our_own_mail_has_findings_without_a_question() -> None:
    found = unchecked(letter(FROM), "sent by a login")
    assert words(found) == ("none", "none", (), "none")
    assert found.author == OneAuthor(Address("alice", "far.example"))


@pytest.mark.parametrize(
    "value",
    [
        b" Bob <bob@our.example> (",
        b' "bob@our.example',
        b" bob@our.example>",
        b" bob@ our . example (x) (",
        b" bob@our.(x)example <",
        b" <bob@OUR.Example.>>",
        b" bob@crm.our.example, alice@far.example",
        b" bob@our.\x00example",
        b" bob@our.example\r\n\xff<",
        b" team: bob@our.example;",
        b" a@x.example," * 5000 + b" bob@our.example (",
    ],
)
def test_a_broken_from_cannot_dodge_the_anti_spoofing_rule(value: bytes) -> None:
    policy = Policy(domains=("our.example",))
    found = evaluate(letter(Field(b"From", value)), zone(*FAR), NOW)
    assert decide.decide(found, policy, CLIENT, Envelope()).code == "spoof"


@pytest.mark.parametrize(
    "value", [b" <x@far.example", b" x@notour.example (", b" x@our.example.evil.example <", b""]
)
def test_a_broken_from_of_a_stranger_is_only_that(value: bytes) -> None:
    policy = Policy(domains=("our.example",))
    found = evaluate(letter(Field(b"From", value)), zone(*FAR), NOW)
    assert decide.decide(found, policy, CLIENT, Envelope()).code in ("bad-author", "no-author")


def test_our_name_in_a_display_name_is_no_claim() -> None:
    policy = Policy(domains=("our.example",))
    found = evaluate(
        letter(Field(b"From", b' "bob@our.example via list" <alice@far.example>')), zone(*FAR), NOW
    )
    assert decide.decide(found, policy, CLIENT, Envelope()).code == "ok"


JUNK = st.binary(max_size=60)
NAME = st.sampled_from(
    [b"From", b"from", b"DKIM-Signature", b"Authentication-Results", b"Subject"]
) | st.binary(max_size=20)
START = st.sampled_from(
    [b"", b" a@far.example", b" v=1; a=rsa-sha256; d=far.example; s=s; h=from; bh=", b" mx.our.example; "]
)
FIELD = st.builds(lambda name, start, junk: Field(name, start + junk), NAME, START, JUNK)
TEXT = st.text(max_size=30) | JUNK.map(lambda b: b.decode("utf-8", "surrogateescape"))
MESSAGE = st.builds(
    Message,
    client=st.builds(Client, address=TEXT | st.ip_addresses().map(str), helo=TEXT, login=TEXT),
    envelope=st.builds(Envelope, sender=TEXT | TEXT.map(lambda t: t + "@far.example")),
    fields=st.lists(FIELD, max_size=6).map(tuple),
    body=st.lists(JUNK, max_size=3).map(tuple),
)


@given(message=MESSAGE, txt=st.text(max_size=30))
def test_any_message_has_findings_and_one_field(message: Message, txt: str) -> None:
    dns = zone(
        f"far.example TXT v=spf1 {txt}",
        f"_dmarc.far.example TXT v=DMARC1; p=none;{txt}",
        f"*.far.example TXT {txt}",
    )
    found = evaluate(message, dns, NOW)
    internal = [f for f in (found.spf, found.helo, *found.dkim, found.dmarc) if "internal error" in f.reason]
    assert not internal
    value = format_field("mx.our.example", found, client=message.client, envelope=message.envelope)
    assert parse(value.encode()).authserv_id == "mx.our.example"
    removals(message, "mx.our.example")


def test_a_blank_before_the_colon_hides_no_second_from() -> None:
    message = Message(fields=(Field(b"From ", b" ceo@bank.example"), Field(b"From", b" x@far.example")))
    author = evaluate(message, zone(), 0.0).author
    assert author == SeveralAuthors(("bank.example", "far.example"))
