"""Replies are SMTP refusals on one line of ASCII, whoever words them."""

import pytest

from postvouch.values import reply
from postvouch.values.reply import Reply


def test_every_reply_of_the_table_is_one_line_with_both_codes():
    table = {name: value for name, value in vars(reply).items() if isinstance(value, Reply)}
    assert {"LATER", "NULL_SENDER", "SPOOF", "DMARC_FAILED"} <= set(table)
    for line in map(str, table.values()):
        code, enhanced, text = line.split(" ", 2)
        assert code[0] == enhanced[0]
        assert code[0] in "45"
        assert text == text.strip()
        assert "\n" not in line
        # RFC 5321 section 4.5.3.1.5: 512 octets with CRLF.
        assert len(line) <= 510


@pytest.mark.parametrize("name", ["LATER", "KEY_PROBLEM", "DNS_PROBLEM"])
def test_trouble_of_ours_never_bounces(name):
    assert getattr(reply, name).code < 500


def test_who_is_no_owner_reads_what_postfix_would_say():
    assert str(reply.not_owner("bob")) == "553 5.7.1 not owned by user bob"
    assert str(reply.not_owner("b\u00f6b\r\n")) == "553 5.7.1 not owned by user b?b??"


def test_who_is_over_a_limit_is_told_which_and_until_when():
    said = str(reply.over_limit("logins", 500, "messages", 86400, 1500.2))
    assert said == (
        "450 4.7.1 Too much mail: no more than 500 messages in 24 hours (limit logins) "
        "- try again in 26 minutes"
    )
    assert reply.over_limit("x", 5, "recipients", 60, -1).code == 550


@pytest.mark.parametrize(
    "seconds, text",
    [
        (0, "1 second"), (0.2, "1 second"), (1.1, "2 seconds"), (119, "119 seconds"), (119.5, "2 minutes"),
        (7139, "119 minutes"), (7141, "2 hours"), (86400, "24 hours"), (172801, "3 days"), (3e6, "35 days"),
    ],
)  # fmt: skip
def test_a_time_for_people_is_never_too_short(seconds, text):
    assert reply.span(seconds) == text


@pytest.mark.parametrize(
    "code, enhanced, text",
    [
        (250, "2.0.0", "Ok"),
        (600, "6.0.0", "Beyond SMTP"),
        (550, "4.7.1", "Two minds"),
        (451, "5.7.1", "Two minds"),
        (550, "5.7.1", "two\r\nlines"),
        (550, "5.7.1", "später"),
        (550, "5.7.1", "nul\x00"),
    ],
)
def test_what_is_no_refusal_cannot_be_made(code, enhanced, text):
    with pytest.raises(ValueError, match=r"SMTP|ASCII"):
        Reply(code=code, enhanced=enhanced, text=text)
