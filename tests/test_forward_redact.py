"""The report that a stranger gets: valid, and without a word of where the forward goes."""

import re
from pathlib import Path

import pytest
from bounces import CORPUS, FOLDER, SENDER, known, octets_of, parsed, report, split
from hypothesis import given
from hypothesis import strategies as st

from postvouch.directory.model import Rules
from postvouch.forward.redact import tells
from postvouch.values.decision import AddField, RemoveField, ReplaceBody
from postvouch.values.message import Field

SECRET = re.compile(
    rb"gmail|corp\.example|alice-inbox|192\.0\.2|127\.0\.0|SRS0|Mailer-Daemon@|qmail|Exim|Postfix", 0
)
STATUS_FIELDS = {"original-recipient", "final-recipient", "action", "status", "diagnostic-code"}


def groups(made) -> list:  # type: ignore[no-untyped-def]
    """The fields of message/delivery-status, a group each (RFC 3464 §2.1)."""
    (part,) = [part for part in parsed(made).walk() if part.get_content_type() == "message/delivery-status"]
    return part.get_payload()


@pytest.mark.parametrize("path", CORPUS, ids=[path.stem for path in CORPUS])
def test_no_word_of_the_target_is_left_of_a_real_bounce(path: Path) -> None:
    made = report(*split(path.read_bytes()))
    assert not SECRET.search(octets_of(made))


@pytest.mark.parametrize("path", CORPUS, ids=[path.stem for path in CORPUS])
def test_the_new_report_is_one_by_the_rfcs(path: Path) -> None:
    made = report(*split(path.read_bytes()))
    message = parsed(made)
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    kinds = [part.get_content_type() for part in message.get_payload()]
    assert kinds == ["text/plain", "message/delivery-status", "text/rfc822-headers"]
    about, *recipients = groups(made)
    assert about["Reporting-MTA"] == "dns; srs.our.example"
    assert [key.lower() for key in about] == ["reporting-mta"]
    assert len(recipients) == 1
    assert {key.lower() for key in recipients[0]} <= STATUS_FIELDS
    assert re.fullmatch(r"[245]\.\d{1,3}\.\d{1,3}", recipients[0]["Status"])
    assert message["To"] == SENDER
    assert message["From"] == "Mail Delivery System <MAILER-DAEMON@our.example>"
    assert all(len(line) < 998 for line in octets_of(made).split(b"\r\n"))
    assert b"\n" not in octets_of(made).replace(b"\r\n", b"")
    returned = message.get_payload()[2].get_payload()
    assert "Subject: The report" in returned
    assert "Dear all" not in returned


@pytest.mark.parametrize(
    "name, alias",
    [("postfix", "alice"), ("postfix-role", "grants"), ("postfix-success", "alice"), ("exim", "grants"),
     ("exim3", "grants"), ("qmail", "grants")],
)  # fmt: skip
def test_the_name_is_one_that_the_sender_wrote_to(name: str, alias: str) -> None:
    made = report(*split((FOLDER / f"{name}.eml").read_bytes()))
    assert made.aliases == (f"{alias}@our.example",)
    (_, recipient) = groups(made)
    assert recipient["Final-Recipient"] == recipient["Original-Recipient"] == f"rfc822; {alias}@our.example"


def test_code_and_status_of_the_remote_stay_and_its_words_go() -> None:
    (_, recipient) = groups(report(*split((FOLDER / "exim.eml").read_bytes())))
    assert (recipient["Action"], recipient["Status"]) == ("failed", "5.1.1")
    assert recipient["Diagnostic-Code"] == "smtp; 550 5.1.1"


def test_a_success_is_told_as_one() -> None:
    made = report(*split((FOLDER / "postfix-success.eml").read_bytes()))
    assert groups(made)[1]["Action"] == "expanded"
    assert parsed(made)["Subject"] == "Successful Mail Delivery Report"


def exim(to: bytes) -> tuple[tuple[Field, ...], bytes]:
    fields, body = split((FOLDER / "exim.eml").read_bytes())
    return fields, body.replace(b"To: Grants <grants@our.example>", b"To: " + to)


def test_a_letter_to_several_of_us_names_nobody_when_the_report_is_from_outside() -> None:
    # Or made-up reports would be answered with who is behind an address.
    made = report(*exim(b"alice@our.example, bob@our.example"))
    assert made.aliases == ("undisclosed-recipient@our.example",)


def test_of_several_the_directory_finds_the_one_when_our_own_postfix_reports() -> None:
    made = report(*exim(b"alice@our.example, bob@our.example"), made_here=True)
    assert made.aliases == ("alice@our.example",)


@pytest.mark.parametrize("guess", ["alice@gmail.example", "alice@nowhere.example"])
def test_made_up_reports_do_not_say_whether_a_guess_is_right(guess: str) -> None:
    def answer(to: bytes) -> tuple[str, ...]:
        fields, body = exim(to)
        return report(fields, body.replace(b"alice@gmail.example", guess.encode())).aliases

    assert answer(b"list@lists.far.example") == ("undisclosed-recipient@our.example",)
    assert answer(b"bob@our.example") == ("bob@our.example",)


def test_without_a_directory_the_names_in_the_report_are_enough() -> None:
    from postvouch.forward.names import Names

    names = Names(domains=frozenset({"our.example"}))
    made = report(*split((FOLDER / "postfix.eml").read_bytes()), names=names)
    assert made.aliases == ("alice@our.example",)
    assert not SECRET.search(octets_of(made))


def test_how_many_are_behind_one_address_is_not_told() -> None:
    fields, body = split((FOLDER / "postfix-role.eml").read_bytes())
    start, end = body.index(b"Final-Recipient:"), body.index(b"Content-Description: Undelivered Message")
    one = body[start : body.rindex(b"\r\n\r\n--", 0, end)]
    two = one.replace(b"alice@gmail.example", b"bob@riseup.example").replace(
        b"Status: 5.1.1", b"Status: 5.2.2"
    )
    assert len(groups(report(fields, body.replace(one, one + b"\r\n\r\n" + two)))) == 2


def test_fields_of_the_letter_that_tell_go_and_the_others_stay() -> None:
    fields, body = split((FOLDER / "exim.eml").read_bytes())
    told = (
        b"Subject: =?utf-8?B?Zm9yIGFsaWNlQGdtYWlsLmV4YW1wbGU=?=\r\nX-Original-To: grants@our.example\r\n"
        b"Cc: a\r\n l@GMAIL.example\r\nIn-Reply-To: <2@far.example>"
    )
    made = report(fields, body.replace(b"Subject: The report", told))
    assert not re.search(rb"gmail|Z?m9yI|X-Original", octets_of(made), re.IGNORECASE)
    assert b"In-Reply-To: <2@far.example>" in made.body
    assert b"From: Mara <mara@far.example>" in made.body


def test_with_too_many_targets_to_look_for_nothing_of_the_letter_is_shown() -> None:
    many = ", ".join(f"zq{n}@zx{n}.example" for n in range(900))
    names = known(f"domains: {{our.example: primary}}\nforwards: {{grants: [{many}], b: [{many}]}}\n")
    fields, body = split((FOLDER / "postfix-role.eml").read_bytes())
    assert b"From: Mara" in report(fields, body, names=names).body
    many = ", ".join(f"zq{n}@zx{n}.example" for n in range(1500))
    names = known(
        f"domains: {{our.example: primary}}\nforwards: {{grants: [{many}]}}\n", Rules(max_targets=2000)
    )
    made = report(fields, body, names=names)
    assert b"From: Mara" not in made.body
    assert groups(made)[1]["Final-Recipient"] == "rfc822; grants@our.example"


def test_that_the_sender_is_at_the_same_place_is_not_told_by_silence() -> None:
    fields, body = split((FOLDER / "exim.eml").read_bytes())
    made = report(
        fields, body.replace(b"mara@far.example", b"mara@gmail.example"), recipients=("mara@gmail.example",)
    )
    assert b"From: Mara <mara@gmail.example>" in made.body
    assert b"alice@gmail" not in octets_of(made)


def test_the_edits_take_every_old_field_away_from_the_last_to_the_first() -> None:
    fields = (Field(b"Received", b" a"), Field(b"X", b" b"), Field(b"received", b" c"))
    edits = report(fields, b"").edits(fields)
    assert edits[:3] == (RemoveField("received", 2), RemoveField("X", 1), RemoveField("Received", 1))
    assert isinstance(edits[-1], ReplaceBody)
    added = [edit.name for edit in edits if isinstance(edit, AddField)]
    # As many hops as before, or two mail systems could bounce one report between them for ever.
    assert added.count("Received") == 2


local = st.from_regex(r"zq[a-z0-9]{3,12}(\.[a-z0-9]{1,8})?", fullmatch=True)
domain = st.from_regex(r"zx[a-z0-9]{3,10}\.(example|test)", fullmatch=True)


@given(
    local, domain, st.sampled_from(CORPUS), st.booleans(),
    st.sampled_from(["{}", "=?utf-8?Q?{}?=", "x {} y", "<{}>", "a=b={}"]),
    st.sampled_from([b"From", b"To", b"Cc", b"Subject", b"References", b"X-Any", b"Delivered-To"]),
)  # fmt: skip
def test_no_address_domain_or_local_part_of_a_target_is_ever_told(
    local: str, domain: str, path: Path, made_here: bool, form: str, name: bytes
) -> None:
    target = f"{local}@{domain}"
    text = path.read_bytes().replace(b"alice@gmail.example", target.encode())
    told = name + b": " + form.format(target).encode() + b"\nMessage-ID: <1@far"
    text = text.replace(b"Message-ID: <1@far", told).replace(b"alice-inbox", local.encode())
    names = known(
        f"domains: {{our.example: primary}}\naliases: {{grants: [alice]}}\nforwards: {{alice: {target}}}\n"
    )
    made = report(*split(text), names=names, made_here=made_here)
    octets = octets_of(made).lower()
    assert domain.encode() not in octets
    assert local.encode() not in octets
    parsed(made)


@given(st.binary(max_size=300), st.binary(max_size=300), st.text(max_size=20))
def test_of_any_octets_a_valid_report_is_made(value: bytes, body: bytes, recipient: str) -> None:
    fields = (Field(b"Content-Type", b' multipart/report; boundary="b"'), Field(b"Subject", value))
    whole = (
        b"--b\r\nContent-Type: message/delivery-status\r\n\r\nA: b\r\n\r\nFinal-Recipient: rfc822;" + value
        + b"\r\nOriginal-Recipient: " + body + b"\r\n--b\r\nContent-Type: text/rfc822-headers\r\n\r\nSubject:"
        + value + b"\r\nTo:" + body + b"\r\n--b--\r\n"
    )  # fmt: skip
    made = report(fields, whole, recipients=(recipient,))
    assert made.body.isascii()
    about, *recipients = groups(made)
    assert about["Reporting-MTA"] == "dns; srs.our.example"
    assert recipients
    assert b"\n" not in octets_of(made).replace(b"\r\n", b"")


def test_a_word_is_found_however_it_is_written() -> None:
    secrets = frozenset({"alice@gmail.example"})
    for value in ("Alice@Gmail.Example", "alice@\r\n gmail.example", "=?utf-8?Q?alice=40gmail.example?="):
        assert tells(value, secrets)
    assert not tells("alice at gmail", secrets)


def test_the_bounce_in_the_document_is_a_real_one_and_what_becomes_of_it() -> None:
    page = (Path(__file__).parent.parent / "docs" / "forwards.rst").read_text("utf-8")
    blocks = re.findall(r"\.\. code-block:: text\n\n((?:    [^\n]*\n|\n)+)", page)
    before, after = (re.sub(r"(?m)^    ", "", block).strip() for block in blocks)
    old = (FOLDER / "postfix-role.eml").read_bytes()
    assert before == old.decode().strip()
    assert after == octets_of(report(*split(old), made_here=True)).replace(b"\r\n", b"\n").decode().strip()
