"""Who may speak as us: every client, every From:, every word of the mx, and nothing signed by default."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postvouch.sign import dkim
from postvouch.sign.choose import (
    KeyTrouble,
    NotSigned,
    Refusal,
    Rules,
    Signing,
    choose,
)
from postvouch.sign.keys import KeyProblem, KeyRing, KeySpec, generate
from postvouch.values.address import Address, parse_author
from postvouch.values.message import Client, Envelope, Field, Message
from postvouch.values.network import internal_hosts, networks

_, PEM = generate("ed25519")


def read(file: str) -> bytes:
    if file == "broken":
        raise KeyProblem("broken: mode 0644 is too open for a private key; chmod 0640 broken")
    return PEM


RING = KeyRing.build(
    [
        KeySpec(domain="our.example", selector="s1", file="k"),
        KeySpec(domain="our.example", selector="s2", file="k"),
        KeySpec(domain="lists.our.example", selector="l", file="k", subdomains=True),
        KeySpec(domain="broken.example", selector="b", file="broken"),
    ],
    read,
)
RULES = Rules(
    domains=frozenset({"our.example", "old.example", "broken.example"}),
    internal=internal_hosts(["192.0.2.0/28", "198.51.100.7", ".lists.our.example"]),
    certificates=frozenset({"crm-int-01.our.example"}),
    vouching=networks(["192.0.2.25", "2001:db8::25", "198.51.100.7"]),
    vouching_id="mx.our.example",
)
NOW = 1_795_000_000
BOB = "bob@our.example"
LOGIN = Client(address="203.0.113.9", login="bob")
LOCAL = Client(address="127.0.0.1", local=True)
INTERNAL = Client(address="192.0.2.4")
MX = Client(address="192.0.2.25")
STRANGER = Client(address="203.0.113.9")


def owns(login: str, address: Address) -> bool | None:
    if login == "lost":
        return None
    return (login, str(address)) in {("bob", BOB), ("bob", "grants@our.example"), ("bob", "bob@far.example")}


def decide(
    client: Client, *fields: tuple[bytes, bytes], rules: Rules = RULES, sender: str = BOB
) -> Signing | NotSigned | Refusal | KeyTrouble:
    message = Message(
        client=client,
        envelope=Envelope(sender=sender, recipients=("x@far.example",)),
        fields=tuple(Field(name, value) for name, value in fields),
    )
    author = parse_author([field.value for field in message.named(b"from")])
    return choose(message, author, rules=rules, ring=RING, owns=owns, now=NOW)


def sender(address: str) -> tuple[bytes, bytes]:
    return (b"From", f" Somebody <{address}>".encode())


def results(text: str) -> tuple[bytes, bytes]:
    return (b"Authentication-Results", b" " + text.encode())


PASS = results("mx.our.example; spf=fail smtp.mailfrom=x@far.example; dmarc=pass header.from=our.example")
RECEIVED = (b"Received", b" from x by mx.our.example; date")


@pytest.mark.parametrize(
    "said, code",
    [
        ("mx.our.example; dmarc=none; x-origin=pass header.from=our.example policy.by=local", "signed"),
        ("mx.our.example; x-origin=pass header.from=our.example policy.by=aligned", "signed"),
        ("mx.our.example; dmarc=fail; x-origin=pass header.from=old.example policy.by=local", "gate-denied"),
        ("mx.our.example; dmarc=none; x-origin=fail header.from=our.example", "gate-denied"),
        ("mx.our.example; dmarc=none; x-origin=pass", "gate-denied"),
        ("mx.far.example; x-origin=pass header.from=our.example policy.by=local", "gate-denied"),
    ],
)
def test_the_mx_vouches_for_what_it_made_itself_and_for_that_domain_only(said: str, code: str) -> None:
    assert code_of(decide(MX, results(said), sender(BOB))) == code


def code_of(choice: object) -> str:
    match choice:
        case Signing():
            return "signed"
        case NotSigned(code=code) | Refusal(code=code) | KeyTrouble(code=code):
            return code
        case _:
            raise AssertionError(choice)


@pytest.mark.parametrize(
    "client", [LOGIN, LOCAL, INTERNAL, Client(address="::1"), Client(address="::ffff:192.0.2.4")]
)
def test_proof_of_origin_signs_with_all_keys_of_the_domain(client: Client) -> None:
    choice = decide(client, sender(BOB))
    assert isinstance(choice, Signing)
    assert [key.selector for key in choice.keys] == ["s1", "s2"]


@pytest.mark.parametrize(
    "client, origin",
    [
        (LOGIN, "login"),
        (LOCAL, "local pickup"),
        (INTERNAL, "internal host 192.0.2.0/28"),
        (Client(address="127.0.0.1"), "internal host 127.0.0.0/8"),
    ],
)
def test_the_origin_is_named_by_the_rule_that_matched(client: Client, origin: str) -> None:
    choice = decide(client, sender(BOB))
    assert isinstance(choice, Signing)
    assert choice.origin == origin


@pytest.mark.parametrize(
    "address", ["203.0.113.9", "", "unknown", "fe80::1%eth0", "192.0.2.16", "2001:db8::26"]
)
def test_a_stranger_is_never_signed_for(address: str) -> None:
    assert code_of(decide(Client(address=address), sender(BOB), PASS)) == "not-internal"


CLIENTS = {"login": LOGIN, "local": LOCAL, "internal": INTERNAL, "mx": MX, "stranger": STRANGER}
FROMS = {
    "ours": (sender(BOB),),
    "foreign": (sender("a@far.example"),),
    "none": (),
    "two-fields": (sender(BOB), sender("a@far.example")),
    "two-mailboxes": ((b"From", b" bob@our.example, a@far.example"),),
    "group": ((b"From", b" us: bob@our.example;"),),
    "encoded": ((b"From", b" =?utf-8?q?bob=40our.example?= <a@far.example>"),),
    "malformed": ((b"From", b" bob@our.example <a@far.example>"),),
    "no-key": (sender("bob@old.example"),),
    "broken-key": (sender("bob@broken.example"),),
    "subdomain": (sender("bob@x.our.example"),),
}
VERDICTS = {
    "no verdict": (),
    "pass": (PASS,),
    "fail": (results("mx.our.example; dmarc=fail header.from=our.example"),),
    "forged": (RECEIVED, PASS),
    "other host": (results("mx.far.example; dmarc=pass header.from=our.example"), PASS),
}


@pytest.mark.parametrize(
    "client, author, verdict", list(itertools.product(CLIENTS, FROMS, VERDICTS)), ids="-".join
)
def test_matrix(client: str, author: str, verdict: str) -> None:
    choice = decide(CLIENTS[client], *VERDICTS[verdict], *FROMS[author])
    proven = client in ("login", "local", "internal")
    code = code_of(choice)
    # The one thing that matters: a signature only for our own From:, with proof.
    may_sign = author == "ours" and (proven or (client == "mx" and verdict == "pass"))
    assert (code == "signed") is may_sign
    if client == "login" and author not in ("ours",):
        assert isinstance(choice, Refusal)
        return
    if client == "mx" and author in ("ours", "no-key", "broken-key", "subdomain") and not may_sign:
        # PASS speaks of our.example only.
        assert choice == NotSigned(code="gate-denied", reason=code_reason(choice), unproven=True)
        return
    if author == "broken-key" and proven:
        assert isinstance(choice, KeyTrouble)
        assert (choice.code, choice.reply.code) == ("key-problem", 451)
        assert "chmod 0640 broken" in choice.reason
        return
    expected = {
        "ours": "signed" if may_sign else "not-internal",
        "foreign": "not-ours",
        "encoded": "not-ours",
        "none": "no-author",
        "two-fields": "several-authors",
        "two-mailboxes": "several-authors",
        "group": "several-authors",
        "malformed": "bad-author",
        "no-key": "no-key-for-domain" if proven else "not-internal",
        "broken-key": "not-internal",
        "subdomain": "no-key-for-domain" if proven else "not-internal",
    }
    assert code == expected[author]
    if isinstance(choice, NotSigned):
        assert choice.unproven is (
            client == "mx" and author in ("two-fields", "two-mailboxes", "group", "malformed")
        )


def code_reason(choice: object) -> str:
    assert isinstance(choice, NotSigned)
    assert choice.reason
    return choice.reason


def test_a_login_may_use_what_it_owns_and_nothing_else() -> None:
    assert code_of(decide(LOGIN, sender("grants@our.example"))) == "signed"
    refused = decide(LOGIN, sender("carol@our.example"))
    assert isinstance(refused, Refusal)
    assert (refused.code, str(refused.reply)[:9]) == ("not-owner", "550 5.7.1")
    assert code_of(decide(LOGIN, sender("carol@far.example"))) == "not-owner"
    assert code_of(decide(LOGIN, sender("bob@far.example"))) == "not-ours"


def test_a_login_from_our_own_network_is_still_bound_to_its_addresses() -> None:
    for address in ("127.0.0.1", "192.0.2.4", "192.0.2.25"):
        assert (
            code_of(decide(Client(address=address, login="bob"), sender("carol@our.example"))) == "not-owner"
        )


def test_a_directory_that_is_away_defers_and_never_refuses() -> None:
    choice = decide(Client(login="lost"), sender(BOB))
    assert isinstance(choice, KeyTrouble)
    assert (choice.code, choice.reply.code) == ("owner-unknown", 451)


def test_without_the_owner_check_a_login_is_proof_and_nothing_is_refused() -> None:
    rules = Rules(domains=RULES.domains, check_owner=False)
    assert code_of(decide(LOGIN, sender("carol@our.example"), rules=rules)) == "signed"
    assert decide(LOGIN, rules=rules) == NotSigned(code="no-author", reason="no From: address")


def test_a_host_that_is_internal_and_vouching_counts_as_vouching() -> None:
    both = Client(address="198.51.100.7")
    assert code_of(decide(both, sender(BOB))) == "gate-denied"
    assert code_of(decide(both, PASS, sender(BOB))) == "signed"
    assert code_of(decide(Client(address="192.0.2.25"), sender(BOB))) == "gate-denied"
    assert code_of(decide(Client(address="2001:db8::25"), PASS, sender(BOB))) == "signed"


@pytest.mark.parametrize(
    "fields, doubt",
    [
        ([], "no Authentication-Results of mx.our.example on top"),
        ([RECEIVED, PASS], "no Authentication-Results of mx.our.example on top"),
        ([results("mx.far.example; dmarc=pass header.from=our.example"), PASS], "is not of mx.our.example"),
        ([results("mx.our.example.evil.example; dmarc=pass header.from=our.example")], "is not of"),
        ([results("mx.our.example 2; dmarc=pass header.from=our.example")], "is not of"),
        ([results("mx.our.example; none")], "no single dmarc result"),
        ([results("mx.our.example; dkim=pass header.d=our.example")], "no single dmarc result"),
        ([results("mx.our.example; dmarc=fail header.from=our.example")], "says dmarc=fail"),
        ([results("mx.our.example; dmarc=temperror header.from=our.example")], "says dmarc=temperror"),
        ([results("mx.our.example; dmarc=pass header.from=far.example")], "for another From: domain"),
        ([results("mx.our.example; dmarc=pass header.from=x.our.example")], "for another From: domain"),
        ([results("mx.our.example; dmarc=pass")], "for another From: domain"),
        (
            [results("mx.our.example; dmarc=pass header.from=our.example header.from=far.example")],
            "for another",
        ),
        ([results('mx.our.example; dmarc=pass header.from="our example"')], "for another"),
        (
            [results("mx.our.example; dmarc=fail; dmarc=pass header.from=our.example")],
            "no single dmarc result",
        ),
        ([results("mx.our.example; dmarc/2=pass header.from=our.example")], "no single dmarc result"),
        (
            [results('mx.our.example; spf=pass reason="; dmarc=pass header.from=our.example"')],
            "no single dmarc",
        ),
        ([results("mx.our.example (; dmarc=pass header.from=our.example")], "malformed"),
        ([results("mx.our.example; dmarc=pass header.from=our.example; !")], "malformed"),
        ([(b"X-Authentication-Results", PASS[1])], "on top"),
    ],
)
def test_every_doubt_closes_the_gate_and_is_named(fields: list[tuple[bytes, bytes]], doubt: str) -> None:
    choice = decide(MX, *fields, sender(BOB))
    assert isinstance(choice, NotSigned)
    assert (choice.code, choice.unproven) == ("gate-denied", True)
    assert doubt in choice.reason


@pytest.mark.parametrize(
    "text",
    [
        "mx.our.example; dmarc=pass header.from=our.example",
        "MX.Our.Example.; DMARC=PASS header.from=OUR.example",
        'mx.our.example 1;\r\n dkim=fail reason="x" header.d=far.example;\r\n'
        " dmarc=pass (p=none) header.from=our.example policy.dmarc=none",
    ],
)
def test_the_word_of_the_mx_opens_the_gate_for_the_domain_it_names(text: str) -> None:
    choice = decide(MX, results(text), RECEIVED, sender(BOB))
    assert isinstance(choice, Signing)
    assert choice.origin == "vouching host 192.0.2.25/32"


PIECES = st.sampled_from(
    [
        b"mx.our.example",
        b";",
        b" ",
        b"dmarc=pass",
        b"dmarc=fail",
        b"header.from=our.example",
        b"(",
        b")",
        b'"',
        b"\\",
        b"\r\n ",
        b"=",
        b"1",
        b"\xff",
        b"spf=pass",
        b"\x00",
    ]
)


@given(st.lists(PIECES | st.binary(max_size=4), max_size=12), st.binary(max_size=30))
def test_no_words_of_a_stranger_open_the_gate_or_raise(pieces: list[bytes], signature: bytes) -> None:
    value = b"mx.far.example;" + b"".join(pieces)
    fields = ((b"Authentication-Results", value), (b"DKIM-Signature", signature), sender(BOB))
    assert code_of(decide(MX, *fields)) == "gate-denied"
    assert code_of(decide(INTERNAL, *fields)) == "signed"


def test_without_an_id_nobody_vouches() -> None:
    rules = Rules(domains=RULES.domains, vouching=RULES.vouching)
    assert code_of(decide(MX, PASS, sender(BOB), rules=rules)) == "gate-denied"


def test_sign_unauthenticated_switches_the_gate_off() -> None:
    rules = Rules(domains=RULES.domains, vouching=RULES.vouching, sign_unauthenticated=True)
    assert code_of(decide(MX, sender(BOB), rules=rules)) == "signed"
    choice = decide(MX, (b"From", b" bob@our.example, a@far.example"), rules=rules)
    assert isinstance(choice, NotSigned)
    assert not choice.unproven


def own_signature(selector: str, *fields: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """What the key of that selector says over these fields and no body."""
    found = RING.find(Address("bob", "our.example"))
    assert found is not None
    (key,) = (key for key in found.keys if key.selector == selector)
    made = dkim.sign(
        Message(fields=tuple(Field(*field) for field in fields)),
        key,
        now=NOW,
        rules=dkim.Rules(headers=()),
    )
    return made.name.encode(), b" " + made.value.replace("\n", "\r\n").encode()


def test_a_signature_of_ours_that_holds_is_not_made_twice_and_the_others_are_made() -> None:
    one, two = (own_signature(selector, sender(BOB)) for selector in ("s1", "s2"))
    for client, more in ((INTERNAL, ()), (LOGIN, ()), (MX, (PASS,))):
        assert code_of(decide(client, *more, one, two, sender(BOB))) == "already-signed"
        choice = decide(client, *more, one, sender(BOB))
        assert isinstance(choice, Signing)
        assert [key.selector for key in choice.keys] == ["s2"]
    assert code_of(decide(INTERNAL, one, two, sender("eve@our.example"))) == "signed"


def test_a_broken_key_defers_even_where_an_old_signature_is_there() -> None:
    field = (b"DKIM-Signature", b" v=1; a=rsa-sha256; d=broken.example; s=b; b=AAAA")
    assert code_of(decide(INTERNAL, field, sender("bob@broken.example"))) == "key-problem"


def test_a_true_signature_of_ours_is_no_way_around_the_gate() -> None:
    one, two = (own_signature(selector, sender(BOB)) for selector in ("s1", "s2"))
    choice = decide(MX, one, two, sender(BOB))
    assert isinstance(choice, NotSigned)
    assert (choice.code, choice.unproven) == ("gate-denied", True)


CERTIFIED = Client(address="203.0.113.9", certificate="CRM-int-01.our.example")


def test_a_client_certificate_is_proof_where_its_name_is_listed() -> None:
    choice = decide(CERTIFIED, sender(BOB))
    assert isinstance(choice, Signing)
    assert choice.origin == "client certificate CRM-int-01.our.example"
    assert code_of(decide(CERTIFIED, sender("a@far.example"))) == "not-ours"


@pytest.mark.parametrize(
    "name",
    ["", "our.example", "x.crm-int-01.our.example", "crm-int-01.our.example.", "crm-int-01.our.example\0",
     " crm-int-01.our.example", "*.our.example", "crm-int-01.our.exampl\u0117"],
)  # fmt: skip
def test_a_certificate_of_another_name_is_no_proof(name: str) -> None:
    assert code_of(decide(replace(CERTIFIED, certificate=name), sender(BOB))) == "not-internal"


def test_a_letter_that_looks_like_a_listed_one_only_in_lower_case_is_not_it() -> None:
    rules = replace(RULES, certificates=frozenset({"k.our.example"}))
    assert (
        code_of(decide(replace(CERTIFIED, certificate="K.our.example"), sender(BOB), rules=rules)) == "signed"
    )
    kelvin = replace(CERTIFIED, certificate="\u212a.our.example")
    assert kelvin.certificate.lower() == "k.our.example"
    assert code_of(decide(kelvin, sender(BOB), rules=rules)) == "not-internal"


def test_a_vouching_host_stays_one_with_whatever_certificate_or_name() -> None:
    for client in (
        replace(MX, certificate="crm-int-01.our.example"),
        replace(MX, name="a.lists.our.example"),
    ):
        assert code_of(decide(client, sender(BOB))) == "gate-denied"
        assert code_of(decide(client, PASS, sender(BOB))) == "signed"


def test_a_host_that_is_internal_by_its_name_is_named_with_the_rule() -> None:
    choice = decide(Client(address="203.0.113.9", name="A.lists.our.example"), sender(BOB))
    assert isinstance(choice, Signing)
    assert choice.origin == "internal host .lists.our.example"
    assert code_of(decide(Client(address="203.0.113.9", name="unknown"), sender(BOB))) == "not-internal"


def test_a_forged_signature_of_ours_is_no_way_around_the_gate() -> None:
    forged = (b"DKIM-Signature", b" v=1; a=rsa-sha256; d=our.example; s=s1; b=AAAA")
    choice = decide(MX, forged, sender(BOB))
    assert isinstance(choice, NotSigned)
    assert (choice.code, choice.unproven) == ("gate-denied", True)


def test_bounces_of_ours_are_signed() -> None:
    choice = decide(LOCAL, sender("MAILER-DAEMON@our.example"), sender="")
    assert isinstance(choice, Signing)


def test_a_subdomain_is_signed_by_the_parent_that_is_meant_for_it() -> None:
    choice = decide(INTERNAL, sender("bob@deep.lists.our.example"))
    assert isinstance(choice, Signing)
    assert [key.domain for key in choice.keys] == ["lists.our.example"]


def test_a_domain_that_has_a_key_is_ours_without_being_listed() -> None:
    rules = Rules(internal=RULES.internal)
    assert code_of(decide(INTERNAL, sender(BOB), rules=rules)) == "signed"
    assert code_of(decide(INTERNAL, sender("a@old.example"), rules=rules)) == "not-ours"


def test_a_network_with_host_bits_is_forgiven_and_junk_is_an_error() -> None:
    assert str(networks(["10.0.0.1/8"])[0]) == "10.0.0.0/8"
    with pytest.raises(ValueError, match="does not appear to be"):
        networks(["mx.our.example"])


@pytest.mark.parametrize(
    "value",
    [
        b"bob@our.\r\n example, x@far.example",
        b'bob@our(a(b)).example, "',
        b"=?utf-8?q?bob=40our=2Eexample?=",
        "bob@ｏｕｒ.example".encode(),
        b"bob@our.ex\0ample",
    ],
)
def test_a_from_that_only_some_reader_takes_for_ours_does_not_leave_in_the_ordinary_way(value: bytes) -> None:
    choice = decide(MX, (b"From", value), (b"From", b"x@far.example"))
    assert isinstance(choice, NotSigned)
    assert choice.unproven


@pytest.mark.parametrize("author", [BOB, "bob@our.example, x@far.example"])
def test_a_host_that_rewrites_senders_lets_no_unknown_client_speak_as_us(author: str) -> None:
    """An mx that connects by an address which vouching_hosts lacks, say its IPv6 one."""
    closed = decide(STRANGER, (b"From", author.encode()), rules=replace(RULES, rewrites=True))
    elsewhere = decide(STRANGER, (b"From", author.encode()))
    assert isinstance(closed, NotSigned)
    assert isinstance(elsewhere, NotSigned)
    assert (closed.unproven, elsewhere.unproven) == (True, False)


@pytest.mark.parametrize(
    ("word", "held"),
    [
        ("mx.our.example; dmarc=pass header.from=our.example", False),
        ("mx.our.example; dmarc=fail header.from=our.example", True),
        ("mx.far.example; dmarc=pass header.from=our.example", True),
    ],
)
def test_on_a_single_host_its_own_verifier_lets_a_letter_leave_and_never_signs_it(
    word: str, held: bool
) -> None:
    rules = replace(RULES, rewrites=True, verified_here="mx.our.example")
    choice = decide(STRANGER, results(word), sender(BOB), rules=rules)
    assert isinstance(choice, NotSigned)
    assert (choice.code, choice.unproven) == ("not-internal", held)
    unsaid = decide(STRANGER, results(word), sender(BOB), rules=replace(RULES, rewrites=True))
    assert isinstance(unsaid, NotSigned)
    assert unsaid.unproven


FROM = sender(BOB)


@pytest.mark.parametrize(
    "values, code",
    [
        ((b" grants@our.example",), ""),
        ((b" carol@our.example",), "not-sender"),
        ((b" bob@our.example, carol@our.example",), "bad-sender"),
        ((b" bob@our.example", b" bob@our.example"), "bad-sender"),
        ((b" nobody at all",), "bad-sender"),
        ((b"",), "bad-sender"),
    ],
)
def test_a_login_may_not_have_another_named_as_its_sender(values: tuple[bytes, ...], code: str) -> None:
    made = decide(LOGIN, FROM, *((b"Sender", value) for value in values))
    assert (made.code if isinstance(made, Refusal) else "") == code
    assert not isinstance(decide(INTERNAL, FROM, *((b"Sender", value) for value in values)), Refusal)


@pytest.mark.parametrize(
    "content, refused",
    [
        (b' multipart/report; report-type=disposition-notification; boundary="x"', False),
        (b' Multipart/Report;\r\n report-type="delivery-status"; boundary="x"', False),
        (b' multipart/report; report-type=feedback-report; boundary="x"', True),
        (b' multipart/report; report-type=x; report-type=delivery-status; boundary="x"', True),
        (b' multipart/mixed; report-type=delivery-status; boundary="x"', True),
        (b' multipart/reportage; report-type=delivery-status; boundary="x"', True),
        (b" text/plain", True),
    ],
)
def test_a_login_sends_reports_only_without_a_sender(content: bytes, refused: bool) -> None:
    made = decide(LOGIN, FROM, (b"Content-Type", content), sender="")
    assert (isinstance(made, Refusal) and made.code == "null-sender") == refused
    twice = decide(LOGIN, FROM, (b"Content-Type", content), (b"Content-Type", content), sender="")
    assert isinstance(twice, Refusal)
    carol = decide(LOGIN, (b"From", b" carol@our.example"), (b"Content-Type", content), sender="")
    assert isinstance(carol, Refusal)
    assert carol.code == "not-owner"
