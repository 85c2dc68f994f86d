"""Replies are SMTP refusals on one line of ASCII, whoever words them."""

import pytest

from postvouch.values import reply
from postvouch.values.reply import Reply


def test_every_reply_of_the_table_is_one_line_with_both_codes():
    table = {name: value for name, value in vars(reply).items() if isinstance(value, Reply)}
    assert {"LATER", "NOT_OWNER", "SPOOF", "DMARC_FAILED"} <= set(table)
    for line in map(str, table.values()):
        code, enhanced, text = line.split(" ", 2)
        assert code[0] == enhanced[0]
        assert code[0] in "45"
        assert text == text.strip()
        assert "\n" not in line
        # RFC 5321 section 4.5.3.1.5: 512 octets with CRLF.
        assert len(line) <= 510


@pytest.mark.parametrize("name", ["LATER", "KEY_PROBLEM", "DNS_PROBLEM", "OVER_LIMIT"])
def test_trouble_of_ours_never_bounces(name):
    assert getattr(reply, name).code < 500


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
