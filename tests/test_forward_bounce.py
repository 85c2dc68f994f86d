"""What is read off a bounce: real ones, old ones, broken ones."""

import time

import pytest
from bounces import FOLDER, split
from hypothesis import given
from hypothesis import strategies as st

from postvouch.forward import bounce
from postvouch.forward.bounce import Bounce, Recipient
from postvouch.values.message import Field


def read(name: str) -> Bounce:
    return bounce.read(*split((FOLDER / f"{name}.eml").read_bytes()))


FAILED = Recipient(final="alice@gmail.example", status="5.1.1", code="550")


@pytest.mark.parametrize(
    "name, recipient",
    [
        ("postfix", Recipient(final=FAILED.final, original="alice@our.example", status="5.1.1", code="550")),
        (
            "postfix-role",
            Recipient(final=FAILED.final, original="grants@our.example", status="5.1.1", code="550"),
        ),
        (
            "postfix-success",
            Recipient(
                final="alice@our.example", original="alice@our.example", action="expanded", status="2.0.0"
            ),
        ),
        ("exim", FAILED),
        ("exim3", Recipient(final=FAILED.final, status="5.0.0", code="554")),
        ("qmail", Recipient(status="5.1.1", code="550")),
    ],
)
def test_recipient_and_status_are_read(name: str, recipient: Recipient) -> None:
    assert read(name).recipients == (recipient,)


@pytest.mark.parametrize("name", ["postfix", "postfix-role", "postfix-success", "exim", "exim3", "qmail"])
def test_the_header_of_the_letter_returned_is_found(name: str) -> None:
    found = {field.name: field.value.strip() for field in read(name).returned}
    assert (found[b"From"], found[b"Subject"]) == (b"Mara <mara@far.example>", b"The report")
    assert b"Dear all, here it is." not in found


@pytest.mark.parametrize("name", ["postfix", "exim", "exim3", "qmail"])
def test_bounces_are_known_for_what_they_are(name: str) -> None:
    assert bounce.is_bounce(split((FOLDER / f"{name}.eml").read_bytes())[0])


@pytest.mark.parametrize(
    "header",
    [
        b"From: alice@gmail.example\nAuto-Submitted: auto-replied\nSubject: Out of office",
        b"From: alice@gmail.example\nContent-Type: multipart/report; report-type=disposition-notification",
        b"From: Mailer-Daemon@far.example\nContent-Type: multipart/report; report-type=feedback-report",
    ],
)
def test_answers_and_receipts_are_no_bounces(header: bytes) -> None:
    assert not bounce.is_bounce(split(header + b"\n\n")[0])


@pytest.mark.parametrize(
    "header", [b"Subject: x", b"From: <>", b"From: <MAILER-DAEMON>", b"From: postmaster@x.example"]
)
def test_what_a_daemon_or_nobody_wrote_is_a_bounce(header: bytes) -> None:
    assert bounce.is_bounce(split(header + b"\n\n")[0])


REPORT = (Field(b"Content-Type", b' multipart/report; report-type=delivery-status; boundary="b"'),)


def status(text: str) -> tuple[Recipient, ...]:
    body = f"--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; x\n\n{text}\n\n--b--\n"
    return bounce.read(REPORT, body.replace("\n", "\r\n").encode()).recipients


@pytest.mark.parametrize(
    "text, expected",
    [
        ("Final-Recipient: rfc822;a@x.example\nAction: delayed\nStatus: 4.4.1", ("delayed", "4.4.1", "")),
        ("Final-Recipient: rfc822;a@x.example\nAction: failed\nStatus: 2.0.0", ("failed", "5.0.0", "")),
        (
            "Final-Recipient: rfc822;a@x.example\nAction: exploded\nStatus: 5.1.1 (a@x)",
            ("failed", "5.1.1", ""),
        ),
        ("Final-Recipient: rfc822;a@x.example\nAction: relayed\nStatus: 2.1.9", ("relayed", "2.1.9", "")),
        (
            "Final-Recipient: rfc822;a@x.example\nAction: failed\nDiagnostic-Code: smtp; 552 5.2.2 full",
            ("failed", "5.2.2", "552"),
        ),
        (
            "Final-Recipient: rfc822;a@x.example\nAction: failed\nStatus: 5.4.4\n"
            "Diagnostic-Code: X-Postfix; connect to 550.example[192.0.2.1]:25: 550 x",
            ("failed", "5.4.4", ""),
        ),
    ],
)
def test_words_and_numbers_are_taken_only_in_their_form(text: str, expected: tuple[str, str, str]) -> None:
    (found,) = status(text)
    assert (found.action, found.status, found.code) == expected


def test_an_encoded_part_is_decoded() -> None:
    body = (
        b"--b\r\nContent-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        b"UmVwb3J0aW5nLU1UQTogZG5zOyB4CgpGaW5hbC1SZWNpcGllbnQ6IHJmYzgyMjsgYUB4LmV4YW1wbGUK\r\n--b--\r\n"
    )
    assert bounce.read(REPORT, body).recipients[0].final == "a@x.example"


def test_a_report_cut_in_its_middle_says_what_came_before() -> None:
    fields, body = split((FOLDER / "postfix.eml").read_bytes())
    cut = body[: body.index(b"Status:")]
    assert bounce.read(fields, cut).recipients[0].final == "alice@gmail.example"


@given(st.binary(max_size=400), st.binary(max_size=400), st.booleans())
def test_nothing_raises(value: bytes, body: bytes, report: bool) -> None:
    fields = (*(REPORT if report else ()), Field(b"From", value), Field(b"Content-Type", value))
    bounce.is_bounce(fields)
    bounce.read(
        fields, b"--b\r\nContent-Type: message/delivery-status\r\n\r\n" + body + b"\r\n--b\r\n" + body
    )


@pytest.mark.parametrize(
    "unit",
    [b"--b\r\n", b"\n", b"Final-Recipient: rfc822;a@b\n\n", b"a\r\n\r\n", b"-- Below", b"550 5.", b" x\n",
     b"--------", b"--b\r\nContent-Type: message/delivery-status\r\n\r\n"],
)  # fmt: skip
def test_a_hostile_body_costs_no_more_than_its_length(unit: bytes) -> None:
    def cost(size: int) -> float:
        body = b"--b\r\nContent-Type: message/delivery-status\r\n\r\n" + unit * (size // len(unit))
        best = 1e9
        for _ in range(3):
            began = time.process_time()
            bounce.read(REPORT, body)
            bounce.read((), body)
            best = min(best, time.process_time() - began)
        return best

    assert cost(256 << 10) < 16 * max(cost(64 << 10), 0.002)
