"""The spoof, in full: whatever comes from whomever with whatever words of the mx, and how the signer acts."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from spoofmatrix import CLIENTS, FROMS, MX_ID, Outcome, expected, table, verdicts

from postvouch.sign import choose as choose_module
from postvouch.sign import dkim
from postvouch.sign.choose import Choice, KeyTrouble, NotSigned, Refusal, Rules, Signing, choose
from postvouch.sign.keys import KeyProblem, KeyRing, KeySpec, generate
from postvouch.values.address import Address, OneAuthor, parse_author
from postvouch.values.message import Envelope, Field, Message
from postvouch.values.network import internal_hosts, networks

MANUAL = Path(__file__).resolve().parent.parent / "docs" / "signing.rst"
NOW = 1_795_000_000
_, PEM = generate("ed25519")


def read(file: str) -> bytes:
    if file == "broken":
        raise KeyProblem("broken: no such file")
    return PEM


RING = KeyRing.build(
    [
        KeySpec(domain="our.example", selector="one", file="k"),
        KeySpec(domain="our.example", selector="two", file="k"),
        KeySpec(domain="our.example", selector="sub", file="k", authors=("*.keyed.our.example",)),
        KeySpec(domain="broken.example", selector="b", file="broken"),
        KeySpec(domain="broken.example", selector="c", file="k"),
    ],
    read,
)
RULES = Rules(
    domains=frozenset({"our.example", "old.example", "broken.example"}),
    internal=internal_hosts(["192.0.2.0/28", "198.51.100.7", ".lists.our.example"]),
    certificates=frozenset({"crm.our.example"}),
    vouching=networks(["192.0.2.25", "198.51.100.7"]),
    vouching_id=MX_ID,
)
FORGED = (
    b"DKIM-Signature",
    b" v=1; a=ed25519-sha256; c=relaxed/relaxed; d=our.example; s=one; h=from; bh=; b=AAAA",
)


def chosen(client: str, shape: str, fields: tuple[tuple[bytes, bytes], ...]) -> Choice:
    kind = CLIENTS[client]
    message = Message(
        client=kind.client,
        envelope=Envelope(sender="x@far.example", recipients=("y@far.example",)),
        fields=tuple(Field(*each) for each in (*fields, *FROMS[shape].fields)),
    )
    author = parse_author([field.value for field in message.named(b"from")])

    def owns(login: str, address: Address) -> bool:
        return login == "bob"

    return choose(
        message, author, rules=replace(RULES, rewrites=kind.rewrites), ring=RING, owns=owns, now=NOW
    )


def outcome(choice: Choice) -> Outcome:
    match choice:
        case Signing():
            return Outcome("signed", "ok")
        case Refusal(code=code):
            return Outcome("refused", code)
        case KeyTrouble(code=code):
            return Outcome("deferred", code)
        case NotSigned(code=code, unproven=unproven):
            return Outcome("held" if unproven else "unsigned", code)


CASES = [(client, shape) for client in CLIENTS for shape in FROMS]
each_case = pytest.mark.parametrize("client, shape", CASES)


@each_case
def test_every_letter_fares_as_the_policy_says_whatever_the_mx_said(client: str, shape: str) -> None:
    kind, author = CLIENTS[client], FROMS[shape]
    for said, (word, fields) in verdicts(author.author or "our.example").items():
        choice = chosen(client, shape, fields)
        assert outcome(choice) == expected(kind, author, word), said
        assert choice.origin if isinstance(choice, Signing) else choice.reason, said


@each_case
def test_nothing_is_signed_without_proof_and_nothing_with_a_broken_key_leaves(
    client: str, shape: str
) -> None:
    kind, author = CLIENTS[client], FROMS[shape]
    for said, (word, fields) in verdicts(author.author or "our.example").items():
        choice = chosen(client, shape, fields)
        proven = kind.proof == "always" or (kind.proof == "word" and word)
        if isinstance(choice, Signing):
            assert proven, said
            assert author.author, said
            assert {key.domain for key in choice.keys} == {"our.example"}, said
        if proven and author.key == "broken" and kind.owns:
            assert isinstance(choice, KeyTrouble), said
            assert choice.reply.code == 451, said


@each_case
def test_a_forged_signature_of_ours_changes_nothing(client: str, shape: str) -> None:
    for said, (_, fields) in verdicts(FROMS[shape].author or "our.example").items():
        before = outcome(chosen(client, shape, fields))
        assert outcome(chosen(client, shape, (FORGED, *fields))) == before, said
        assert outcome(chosen(client, shape, (*fields, FORGED))) == before, said


def test_a_true_signature_of_ours_opens_no_door_either() -> None:
    shape = FROMS["ours"]
    found = RING.find(Address("bob", "our.example"))
    assert found is not None
    letter = Message(fields=tuple(Field(*each) for each in shape.fields))
    own = tuple(
        (made.name.encode(), b" " + made.value.replace("\n", "\r\n").encode())
        for made in dkim.sign_all(letter, found.keys, now=NOW, rules=dkim.Rules(headers=()))
    )
    for client, kind in CLIENTS.items():
        for said, (word, fields) in verdicts("our.example").items():
            wanted = expected(kind, shape, word)
            if wanted.what == "signed":
                wanted = Outcome("unsigned", "already-signed")
            assert outcome(chosen(client, "ours", (*fields, *own))) == wanted, (client, said)


def test_the_shapes_of_from_are_what_they_are_called() -> None:
    for name, shape in FROMS.items():
        author = parse_author([value for _, value in shape.fields])
        assert isinstance(author, OneAuthor) is (not shape.flaw), name
        if isinstance(author, OneAuthor):
            assert author.address.domain == shape.author, name


def test_the_manual_explains_every_reason_code() -> None:
    source = Path(choose_module.__file__).read_text("utf-8")
    codes = {*re.findall(r'code="([a-z-]+)"', source), *re.findall(r'code, reason = "([a-z-]+)"', source)}
    assert {"no-author", "bad-author", "gate-denied", "no-key-for-domain"} <= codes
    manual = MANUAL.read_text("utf-8")
    assert {code for code in codes | {"ok"} if f"\n``{code}``" not in manual} == set()


def test_the_manual_has_this_very_table() -> None:
    assert table() in MANUAL.read_text("utf-8"), "python tests/spoofmatrix.py prints it"
