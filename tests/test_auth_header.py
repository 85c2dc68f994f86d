"""auth/header.py: one field of ours, that no sender can write into, and no other that looks like it."""

import contextlib
import email
import email.policy
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postvouch.auth import authres, header
from postvouch.auth.result import (
    ArcFinding,
    DkimFinding,
    DmarcFinding,
    Findings,
    IprevFinding,
    Result,
    SpfFinding,
)
from postvouch.values.message import Client, Envelope, Field, Message

OURS = "mx.our.example"
CLIENT = Client(address="192.0.2.7", helo="mx.far.example")
ALICE = Envelope(sender="alice@far.example", recipients=("grants@our.example",))
PASSED = Findings(
    spf=SpfFinding(result=Result.PASS, domain="far.example", reason="192.0.2.7 may send"),
    helo=SpfFinding(result=Result.NONE, domain="mx.far.example", identity="helo", reason="no record"),
    dkim=(DkimFinding(result=Result.PASS, d="far.example", s="s1", a="rsa-sha256", b="Ab/+9x=="),),
    dmarc=DmarcFinding(
        result=Result.PASS, domain="far.example", policy="reject", applied="quarantine", aligned_by="spf,dkim"
    ),
)
NOTHING = Findings(
    spf=SpfFinding(result=Result.NONE, identity="helo"),
    helo=SpfFinding(result=Result.NONE, identity="helo"),
    dmarc=DmarcFinding(result=Result.PERMERROR, reason="From: holds no author"),
)


def read(value: str) -> authres.Parsed:
    return authres.parse(value.replace("\n", "\r\n").encode())


def test_the_field_of_a_good_letter() -> None:
    assert header.format_field(OURS, PASSED, client=CLIENT, envelope=ALICE) == (
        "mx.our.example;\n"
        " spf=pass smtp.mailfrom=alice@far.example;\n"
        ' spf=none reason="no record" smtp.helo=mx.far.example;\n'
        ' dkim=pass header.d=far.example header.s=s1 header.a=rsa-sha256\n  header.b="Ab/+9x==";\n'
        " dmarc=pass header.from=far.example policy.dmarc=quarantine"
    )


def test_a_field_is_written_where_there_is_nothing_to_say() -> None:
    assert header.format_field(OURS, NOTHING, client=Client(), envelope=Envelope()) == (
        'mx.our.example;\n spf=none;\n dkim=none;\n dmarc=permerror reason="From: holds no author"'
    )


def test_a_login_is_written_as_auth() -> None:
    client = Client(address="192.0.2.7", helo="laptop", login="bob")
    got = read(header.format_field(OURS, PASSED, client=client, envelope=ALICE))
    assert (got.results[0].method, got.results[0].result) == ("auth", "pass")
    assert got.results[0].value("smtp.auth") == "bob"


def test_iprev_arc_and_the_list_have_their_results() -> None:
    findings = replace(
        PASSED,
        iprev=IprevFinding(result=Result.PASS, name="mx.far.example"),
        arc=ArcFinding(result=Result.PASS, oldest_pass=2, sealers=("a.example", "b.example")),
        list_id="dev.far.example",
    )
    assert header.format_field(OURS, findings, client=CLIENT, envelope=ALICE) == (
        "mx.our.example;\n"
        " iprev=pass (mx.far.example) policy.iprev=192.0.2.7;\n"
        " spf=pass smtp.mailfrom=alice@far.example;\n"
        ' spf=none reason="no record" smtp.helo=mx.far.example;\n'
        ' dkim=pass header.d=far.example header.s=s1 header.a=rsa-sha256\n  header.b="Ab/+9x==";\n'
        " arc=pass header.oldest-pass=2 smtp.remote-ip=192.0.2.7;\n"
        " dmarc=pass header.from=far.example policy.dmarc=quarantine;\n"
        " x-list=pass header.list-id=dev.far.example"
    )


def test_an_ipv6_address_is_quoted_and_read_back() -> None:
    findings = replace(
        PASSED,
        iprev=IprevFinding(result=Result.PASS, name="mx.far.example"),
        arc=ArcFinding(result=Result.PASS),
    )
    client = Client(address="2001:db8::7", helo="mx.far.example")
    got = read(header.format_field(OURS, findings, client=client, envelope=ALICE))
    assert got.results[0].value("policy.iprev") == "2001:db8::7"
    arc = next(r for r in got.results if r.method == "arc")
    assert arc.properties == (("header.oldest-pass", "0"), ("smtp.remote-ip", "2001:db8::7"))


def test_a_chain_that_does_not_pass_vouches_for_no_address() -> None:
    findings = replace(PASSED, arc=ArcFinding(result=Result.FAIL, reason="seal 2: bad signature"))
    value = header.format_field(OURS, findings, client=CLIENT, envelope=ALICE)
    assert ' arc=fail reason="seal 2: bad signature";\n' in value


def test_a_list_that_nothing_proves_is_no_pass() -> None:
    for claim in ("dev.evil.example", "example", "dev.far.example.evil.example"):
        value = header.format_field(OURS, replace(PASSED, list_id=claim), client=CLIENT, envelope=ALICE)
        assert value.endswith(f" x-list=none header.list-id={claim}")


def test_what_rests_on_dnssec_says_so_when_asked_and_only_then() -> None:
    findings = replace(
        PASSED,
        spf=replace(PASSED.spf, secure=True),
        dmarc=replace(PASSED.dmarc, secure=True),
        iprev=IprevFinding(result=Result.PASS, name="mx.far.example", secure=True),
    )
    plain = header.format_field(OURS, findings, client=CLIENT, envelope=ALICE)
    noted = header.format_field(OURS, findings, client=CLIENT, envelope=ALICE, note_dnssec=True)
    assert "dnssec" not in plain
    assert read(noted).comments == ("mx.far.example, dnssec", "dnssec", "dnssec")
    assert " spf=pass (dnssec) smtp.mailfrom=alice@far.example;" in noted
    assert " dmarc=pass (dnssec) header.from=far.example" in noted
    assert [(r.method, r.properties) for r in read(noted).results] == [
        (r.method, r.properties) for r in read(plain).results
    ]


def test_an_exemption_is_written_where_dmarc_is_read() -> None:
    failed = replace(PASSED, dmarc=DmarcFinding(result=Result.FAIL, domain="far.example", applied="reject"))
    value = header.format_field(OURS, failed, client=CLIENT, envelope=ALICE, override="exempt-list")
    assert value.endswith(
        " dmarc=fail header.from=far.example policy.dmarc=reject\n  policy.override=exempt-list"
    )


@pytest.mark.parametrize("name", ["x) dmarc=pass (", "a dmarc=pass b", "\u00e4.example", "a\r\n b", "\\"])
def test_a_name_in_dns_that_is_no_hosts_is_not_written(name: str) -> None:
    findings = replace(PASSED, iprev=IprevFinding(result=Result.PASS, name=name))
    value = header.format_field(OURS, findings, client=CLIENT, envelope=ALICE)
    assert " iprev=pass policy.iprev=192.0.2.7;" in value


@given(st.text(max_size=80) | st.sampled_from(["()", "\\", ")", "a\tb", "x" * 300]))
def test_a_comment_is_written_as_one_comment_or_not_at_all(comment: str) -> None:
    info = authres.ResInfo(method="spf", result="none", comment=comment)
    value = authres.write(OURS, [info, authres.ResInfo(method="dkim", result="none")])
    assert value.isascii()
    got = read(value)
    assert got.comments in ((comment,), ())
    assert [(r.method, r.result) for r in got.results] == [("spf", "none"), ("dkim", "none")]
    short = len(comment) <= authres.MAX_COMMENT_OCTETS and "=?" not in comment
    if comment.isascii() and comment.isprintable() and short:
        assert got.comments == ((comment,) if comment else ())


def test_the_null_sender_has_one_spf_result() -> None:
    helo = SpfFinding(result=Result.PASS, domain="mx.far.example", identity="helo")
    findings = Findings(spf=helo, helo=helo, dmarc=PASSED.dmarc)
    got = read(header.format_field(OURS, findings, client=CLIENT, envelope=Envelope()))
    assert [(r.method, r.properties) for r in got.results if r.method == "spf"] == [
        ("spf", (("smtp.helo", "mx.far.example"),))
    ]


def test_utf8_is_for_internationalized_mail_only() -> None:
    for envelope, written in (
        (Envelope(sender="zoë@bücher.example"), "zoë@bücher.example"),
        (Envelope(sender="a@far.example", recipients=("zoë@our.example",)), "a@far.example"),
    ):
        got = read(header.format_field(OURS, PASSED, client=CLIENT, envelope=envelope))
        assert got.results[0].value("smtp.mailfrom") == written
    client = Client(helo="bücher.example")
    value = header.format_field(OURS, PASSED, client=client, envelope=ALICE)
    assert value.isascii()
    assert read(value).results[1].value("smtp.helo") == "xn--bcher-kva.example"


def test_an_authserv_id_that_cannot_be_written_is_our_mistake() -> None:
    for bad in ("", "mx\r\nX: y", "mx\x00", "mx.bücher.example"):
        with pytest.raises(ValueError, match="authserv-id"):
            header.format_field(bad, PASSED, client=CLIENT, envelope=ALICE)


HOSTILE = [
    "",
    "x; dmarc=pass",
    'a" ; spf=pass "',
    "a\r\n b",
    "\r\nX: y",
    "(",
    ")",
    "\\",
    "a@b; c=d",
    "@0",
    "\udcff",
]
TEXT = st.text(max_size=60) | st.sampled_from([*HOSTILE, "x" * 1200])
RESULT = st.sampled_from(list(Result))
SPF = st.builds(
    SpfFinding, result=RESULT, domain=TEXT, identity=st.sampled_from(["mailfrom", "helo"]), reason=TEXT
)
ARC = st.builds(ArcFinding, result=RESULT, oldest_pass=st.integers(0, 50), reason=TEXT)
IPREV = st.builds(IprevFinding, result=RESULT, name=TEXT, reason=TEXT, secure=st.booleans())
DKIM = st.builds(DkimFinding, result=RESULT, d=TEXT, s=TEXT, a=TEXT, i=TEXT, b=TEXT, reason=TEXT)


@given(
    spf=SPF,
    helo=SPF,
    dkim=st.lists(DKIM, max_size=4),
    dmarc=st.builds(DmarcFinding, result=RESULT, domain=TEXT, applied=TEXT, reason=TEXT),
    arc=st.none() | ARC,
    iprev=st.none() | IPREV,
    list_id=TEXT,
    client=st.builds(Client, address=TEXT, helo=TEXT, login=TEXT),
    sender=TEXT,
    recipient=TEXT,
)
def test_no_sender_can_write_a_result_or_a_line_of_his_own(
    spf: SpfFinding,
    helo: SpfFinding,
    dkim: list[DkimFinding],
    dmarc: DmarcFinding,
    arc: ArcFinding | None,
    iprev: IprevFinding | None,
    list_id: str,
    client: Client,
    sender: str,
    recipient: str,
) -> None:
    findings = Findings(
        spf=spf, helo=helo, dkim=tuple(dkim), dmarc=dmarc, arc=arc, iprev=iprev, list_id=list_id
    )
    envelope = Envelope(sender=sender, recipients=(recipient,))
    value = header.format_field(OURS, findings, client=client, envelope=envelope, note_dnssec=True)
    assert all(line[:1] == " " and line.strip() for line in value.split("\n")[1:])
    assert "\r" not in value
    assert max(len(line.encode()) for line in value.split("\n")) < 998 - len("Authentication-Results: ")
    got = read(value)
    assert got.authserv_id == OURS
    wanted = [("auth", "pass")] if client.login else []
    wanted += [("iprev", iprev.result)] if iprev and client.address else []
    wanted += [("spf", spf.result)] if spf.identity == "mailfrom" else []
    wanted += [("spf", helo.result), *(("dkim", f.result) for f in dkim)]
    wanted += [] if dkim else [("dkim", "none")]
    wanted += [("arc", arc.result)] if arc else []
    wanted += [("dmarc", dmarc.result)]
    assert [(r.method, r.result) for r in got.results if r.method != "x-list"] == wanted
    assert [r.method for r in got.results[len(wanted) :]] == (["x-list"] if list_id else [])
    names = {name for r in got.results for name, _ in r.properties}
    assert names <= {
        "smtp.auth", "smtp.mailfrom", "smtp.helo", "header.d", "header.i", "header.s", "header.a", "header.b",
        "header.from", "policy.dmarc", "policy.iprev", "header.oldest-pass", "smtp.remote-ip",
        "header.list-id",
    }  # fmt: skip
    assert header.claims(value.encode(), OURS)


@pytest.mark.parametrize(
    "local",
    [
        "=?utf-8?q?x=40y=3B_dmarc=3Dpass_header.from=3Dx?=",
        "?utf-8?q?x=40y=3B_dmarc=3Dpass_header.from=3Dx?=",
        "a=?utf-8?b?eEB5OyBkbWFyYz1wYXNzIGhlYWRlci5mcm9tPXg=?=",
    ],
)
def test_an_encoded_word_of_the_sender_is_not_written_whoever_would_decode_it(local: str) -> None:
    for name, value in (("smtp.mailfrom", f"{local}@far.example"), ("header.i", local), ("smtp.helo", local)):
        info = authres.ResInfo(
            method="spf", result="fail", properties=((name, value),), reason=local, comment=local
        )
        written = authres.write(OURS, [info])
        raw = f"Authentication-Results: {written}\n\n".encode()
        read = email.message_from_bytes(raw, policy=email.policy.default)
        assert "dmarc=pass" not in str(read["Authentication-Results"])
        assert "=?" not in written
        assert ("@far.example" in written) == (name == "smtp.mailfrom")


@given(st.binary(max_size=80))
def test_any_octets_are_read_or_refused(junk: bytes) -> None:
    for value in (junk, b"mx.our.example; " + junk, b"mx.our.example; spf=pass " + junk):
        with contextlib.suppress(authres.AuthresError):
            authres.parse(value)
        header.claims(value, OURS)


NOISE = st.lists(
    st.sampled_from(["\x00", " ", "\t", "\r\n ", "(x)", "((y)\\))", "\u00a0", "\u200b", "\x0b", "\ufeff"])
).map("".join)
SPELLING = st.sampled_from(
    [
        OURS,
        OURS.upper(),
        OURS.title(),
        OURS + ".",
        f'"{OURS}"',
        f'"{OURS}."',
        '"' + "".join(f"\\{c}" for c in OURS) + '"',
        "=?utf-8?q?" + OURS + "?=",
        "=?utf-8?q?mx?= =?utf-8?q?=2Eour.example?=",
        "=?us-ascii?B?bXgub3VyLmV4YW1wbGU=?=",
    ]
)


@given(
    before=NOISE,
    spelling=SPELLING,
    after=NOISE,
    rest=st.sampled_from(["", ";", "; none", " 1; spf=pass", ", x", "/2;", "=", ":25"]),
)
def test_every_spelling_of_our_id_is_a_claim(before: str, spelling: str, after: str, rest: str) -> None:
    assert header.claims(f"{before}{spelling}{after}{rest}".encode(), OURS)


@pytest.mark.parametrize(
    "value",
    [
        b"=?utf-8?q?mx.our.example;_dmarc=3Dpass?=",
        b"=?us-ascii?Q?m?==?us-ascii?Q?x.our.example;?= dmarc=pass",
        b"(=?utf-8?q?=29mx.our.example;_?= ) far.example; x=y",
        b"=?utf-7?q?mx+AC4-our.example?=; dmarc=pass",
        b"=?cp037?b?lKdLlqSZS4WngZSXk4VeQISUgZmDfpeBoqI=?=",
    ],
)
def test_a_reader_that_decodes_first_sees_no_id_of_ours_that_stayed(value: bytes) -> None:
    """The semicolon may stand in the encoded-word, the word in a comment, our id in any charset."""
    message = email.message_from_bytes(b"X: " + value + b"\r\n\r\n", policy=email.policy.default)
    assert str(message["X"]).lstrip("()").startswith(f"{OURS};")
    assert header.claims(value, OURS)


@pytest.mark.parametrize(
    "value",
    [
        "mx . our .\r\n example; none",
        "m\\x.our\\.example; none",
        '"mx.our.ex\\"ample"; none',
        "mx\u3002our\uff61example; none",
    ],
)
def test_our_id_loosely_written_is_a_claim(value: str) -> None:
    assert header.claims(value.encode(), OURS)


@pytest.mark.parametrize(
    "value",
    [
        "mx.far.example; spf=pass",
        'mx.far.example; dkim=pass header.i="=?x@far.example"',
        "our.example; spf=pass",
        "mx.our.example.far.example; none",
        "xmx.our.example; none",
        "mx.our.example-2; none",
        "spf=pass (mx.our.example) smtp.mailfrom=mx.our.example",
    ],
)
def test_fields_of_others_stay(value: str) -> None:
    assert not header.claims(value.encode(), OURS)


@pytest.mark.parametrize("filler", ["(a)", "\u00ad", " \t", '""'])
def test_behind_too_much_of_nothing_our_id_may_stand(filler: str) -> None:
    """Reading all of it would cost more than the field is worth."""
    some = filler * (header.MAX_HEAD // len(filler) + 1)
    assert header.claims(f"{some}mx.far.example; x=pass".encode(), OURS)
    assert not header.claims(f"mx.far.example; {some}".encode(), OURS)
    assert not header.claims(f"{'a ' * 100}{some}".encode(), OURS)


@pytest.mark.parametrize("words", ['"a"', "(a)", "a ", "\\a", "\u00ada", '"\\a"'])
def test_forty_of_the_longest_fields_are_read_in_a_moment(words: str) -> None:
    value = (words * (100_000 // len(words)) + "; x=pass").encode()
    begin = time.process_time()
    for _ in range(40):
        header.claims(value, OURS)
    assert time.process_time() - begin < 0.5


def test_an_id_with_blanks_is_known_too() -> None:
    assert header.claims(b'"mail service 1"; none', "mail service 1")
    assert not header.claims(b'"mail service 12"; none', "mail service 1")


def test_removals_go_from_the_last_to_the_first() -> None:
    forged = Field(b"authentication-RESULTS", b" mx.our.example; dmarc=pass")
    foreign = Field(b"Authentication-Results", b" mx.far.example; dmarc=pass")
    edits = header.removals(Message(fields=(forged, foreign, forged, forged)), OURS)
    assert [(e.name, e.nth) for e in edits] == [("Authentication-Results", n) for n in (4, 3, 1)]


def test_every_mark_that_came_in_goes() -> None:
    mark = Field(b"x-postvouch-MARK", b" ok")
    other = Field(b"X-Postvouch-Marker", b" ok")
    hidden = Field(b"X-Postvouch-Mark \t", b" ok")
    edits = header.removals(Message(fields=(mark, other, hidden, mark)), OURS)
    assert [(e.name, e.nth) for e in edits] == [("X-Postvouch-Mark", n) for n in (3, 2, 1)]


MONSTERS = {
    "blanks": b" " * 100_000,
    "open": b"(" * 100_000,
    "comments": b"()" * 50_000,
    "quotes": b'"' * 100_000,
    "backslashes": b"\\" * 100_000,
    "pairs": b'"\\' * 50_000,
    "invisible": "\u00ad".encode() * 50_000,
    "marks": b"a" + "\u0301\u0327".encode() * 25_000,
    "words": b"=?q?" * 25_000,
    "nested": b"(" * 50_000 + b")" * 50_000,
    "equals": b"a=" * 50_000,
    "results": b"; a=b" * 20_000,
}


@pytest.mark.parametrize("value", MONSTERS.values(), ids=MONSTERS)
def test_the_longest_field_is_read_in_a_moment(value: bytes) -> None:
    """As long as Postfix lets a field be (header_size_limit)."""
    begin = time.process_time()
    header.claims(value + b"mx.our.example; x", OURS)
    with pytest.raises(authres.AuthresError):
        authres.parse(value + b"!;")
    assert time.process_time() - begin < 1.5


def test_blanks_without_end_do_not_hide_our_id() -> None:
    for blank in (" ", "\u00ad", "(x)"):
        assert header.claims((blank * 20_000 + "mx.our.example; dmarc=pass").encode(), OURS)


@pytest.mark.parametrize("blank", "\u00a0\u1680\u2003\u2028\u202f\u3000")
def test_a_blank_that_only_unicode_knows_cuts_no_value_of_ours(blank: str) -> None:
    sender = f"x{blank}dmarc=pass{blank}header.from=our.example@far.example"
    findings = Findings(
        spf=SpfFinding(result=Result.FAIL, domain="far.example"),
        helo=SpfFinding(result=Result.NONE, identity="helo"),
        dmarc=DmarcFinding(result=Result.FAIL, domain="our.example"),
    )
    written = header.format_field(
        "mx.our.example", findings, client=Client(helo=f"a{blank}b"), envelope=Envelope(sender=sender)
    )
    assert "smtp.mailfrom=@far.example" in written
    assert "dmarc=pass" not in written
    assert "dmarc=fail" in written.split()


@pytest.mark.parametrize(
    "value",
    [" mx.our.example\r.example; spf=pass", " mx.our.example .example; spf=pass", " mx . our .example ;"],
)
def test_what_some_readers_end_at_a_blank_and_others_join_is_a_claim_either_way(value: str) -> None:
    assert header.claims(value.encode(), OURS)
