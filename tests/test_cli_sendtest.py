"""postvouch send-test; the lab sends one for real (letter 5)."""

import json
from email import message_from_bytes
from email.policy import SMTP
from pathlib import Path

import pytest

from postvouch.cli import sendtest
from postvouch.cli.main import run

FROM = ["--from", "cron@our.example"]


@pytest.fixture
def sendmail(tmp_path, monkeypatch):
    """A sendmail(1) that ends as it is told to and keeps what it was given; the real one is in the lab."""

    def make(text: str) -> Path:
        program = tmp_path / "sendmail"
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        return tmp_path

    return make


def test_the_letter_goes_to_sendmail_with_its_sender_and_says_how_to_follow_it(sendmail, capsys):
    folder = sendmail('cd "$(dirname "$0")" && echo "$@" > arguments && cat > letter')
    assert run(["send-test", "dora@far.example", *FROM, "--subject", "Gr\u00fc\u00dfe", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (folder / "arguments").read_text() == "-i -f cron@our.example -- dora@far.example\n"
    octets = (folder / "letter").read_bytes()
    letter = message_from_bytes(octets, policy=SMTP)
    assert b"\r" not in octets
    assert letter["Message-ID"] == said["message_id"]
    assert letter["Message-ID"].endswith("@our.example>")
    assert (letter["From"], letter["To"]) == ("cron@our.example", "dora@far.example")
    assert letter["Subject"] == "Gr\u00fc\u00dfe"
    assert run(["send-test", "dora@far.example", *FROM]) == 0
    assert 'journalctl -g "message-id=<' in capsys.readouterr().out


def test_what_sendmail_says_is_handed_on(sendmail, capsys):
    sendmail("echo 'fatal: queue is full' >&2; exit 75")
    assert run(["send-test", "dora@far.example", *FROM]) == 75
    assert "ended with 75: fatal: queue is full" in capsys.readouterr().err
    sendmail("exit 1")
    assert run(["send-test", "dora@far.example", *FROM]) == 69


def test_a_host_without_postfix_is_told_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sendtest, "SENDMAIL", str(tmp_path / "none"))
    assert run(["send-test", "dora@far.example", *FROM]) == 69
    assert "is Postfix installed?" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["-bd", *FROM],
        ["dora", *FROM],
        ["dora@far.example"],
        ["d\u00f6ra@far.example", *FROM],
        ["dora@far.example", "--from", "x@"],
        ["dora@far.example", *FROM, "--subject", "a\nBcc: eve@far.example"],
    ],
)
def test_nothing_is_sent_that_was_not_meant(sendmail, arguments):
    folder = sendmail('touch "$(dirname "$0")/sent"')
    assert run(["send-test", *arguments]) == 64
    assert not (folder / "sent").exists()
