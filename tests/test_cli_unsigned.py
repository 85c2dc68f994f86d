"""postvouch unsigned: from files, standard input and a journal to lines and an exit status."""

import gzip
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from postvouch.cli.main import run

BARE = """\
Nov 24 03:15:55 out postfix/smtpd[7]: warning: connect to Milter service unix:sign.sock: No such file
Nov 24 03:15:55 out postfix/smtpd[7]: 4XyZ1k2Lz3: client=desk.our.example[192.0.2.9]
Nov 24 03:15:55 out postfix/cleanup[8]: 4XyZ1k2Lz3: message-id=<1@our.example>
Nov 24 03:15:55 out postfix/qmgr[2]: 4XyZ1k2Lz3: from=<bob@our.example>, size=300, nrcpt=1 (queue active)
"""
LEAVES = """\
Nov 24 03:15:56 out postfix/smtp[9]: 4XyZ1k2Lz3: to=<x@far.example>, relay=mx.far.example[192.0.2.1]:25, \
delay=0.5, delays=0.1/0/0.2/0.2, dsn=2.0.0, status=sent (250 ok)
Nov 24 03:15:56 out postfix/qmgr[2]: 4XyZ1k2Lz3: removed
"""
SIGNED = "Nov 24 03:15:55 out postvouch-sign[5]: 4XyZ1k2Lz3: from=<>, action=accept, reason=ok, ms=1\n"

JOURNALCTL = """#!/bin/sh
echo "$@" >> "$(dirname "$0")/asked"
cat "$(dirname "$0")/journal"
echo "-- cursor: s=1;i=$(wc -l < "$(dirname "$0")/asked" | tr -d ' ')"
"""


@pytest.fixture
def journal(tmp_path, monkeypatch):
    """A journalctl(1) that says what it is told to; the real one is in the lab."""
    program = tmp_path / "bin" / "journalctl"
    program.parent.mkdir()
    program.write_text(JOURNALCTL)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return program.parent / "journal"


def config(tmp_path: Path, role: str = "submission") -> list[str]:
    file = tmp_path / "postvouch.toml"
    file.write_text(f'[general]\nrole = "{role}"\ndomains = ["our.example"]\nhostname = "out.our.example"\n')
    return ["--config", str(file)]


def test_a_letter_that_left_unsigned_is_one_line_and_status_1(tmp_path, capsys):
    file = tmp_path / "mail.log"
    file.write_text(BARE + LEAVES)
    assert run(["unsigned", str(file)]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(
        "4XyZ1k2Lz3: event=unsigned_outbound, from=<bob@our.example>, to-domain=far.example, "
    )
    assert "relay=mx.far.example[192.0.2.1]:25, " in line
    assert line.endswith("why=connect to Milter service unix:sign.sock: No such file")


def test_a_log_of_signed_letters_is_silence_and_status_0(tmp_path, capsys):
    file = tmp_path / "mail.log"
    file.write_text(BARE + SIGNED + LEAVES)
    assert run(["unsigned", str(file)]) == 0
    assert capsys.readouterr().out == ""


def test_several_files_are_one_log_and_old_ones_may_be_packed(tmp_path, capsys):
    old, new = tmp_path / "mail.log.2.gz", tmp_path / "mail.log"
    old.write_bytes(gzip.compress(BARE.encode()))
    new.write_text(LEAVES)
    assert run(["unsigned", str(old), str(new)]) == 1
    assert "4XyZ1k2Lz3" in capsys.readouterr().out
    assert run(["unsigned", str(new)]) == 0  # how it came is not known


def test_standard_input_and_json(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", "from postvouch.cli.main import main; main()", "unsigned", "--json", "-"],
        input=BARE + LEAVES, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    said = json.loads(done.stdout)
    assert (said["event"], said["queue_id"], said["from"]) == (
        "unsigned_outbound",
        "4XyZ1k2Lz3",
        "bob@our.example",
    )
    assert said["to_domain"] == "far.example"
    assert time.strptime(said["time"][:19], "%Y-%m-%dT%H:%M:%S").tm_min == 15


@pytest.mark.parametrize(
    ("since", "status"), [("2020-01-01", 1), ("@15", 1), ("5200w", 1), ("1s", 0), ("2126-01-01 10:00", 0)]
)
def test_since_leaves_out_what_left_before(tmp_path, since, status):
    file = tmp_path / "mail.log"
    file.write_text(BARE + LEAVES)
    assert run(["unsigned", str(file), "--since", since]) == status


@pytest.mark.parametrize("since", ["yesterday-ish", "@now", "@nan", "-5", "99999999999-01-01", "0001-01-01"])
def test_a_time_that_is_none_is_said_so(tmp_path, since, capsys):
    status = run(["unsigned", str(tmp_path), "--since", since])
    assert status in (64, 69)
    assert capsys.readouterr().err.count("\n") == 1


def test_a_file_that_is_not_there_is_said_so(tmp_path, capsys):
    assert run(["unsigned", str(tmp_path / "none")]) == 69
    assert "none: " in capsys.readouterr().err
    broken = tmp_path / "broken.gz"
    broken.write_bytes(gzip.compress(BARE.encode() * 50)[:-9])
    assert run(["unsigned", str(broken)]) == 69


def test_an_alert_of_the_timer_is_told_once_and_a_letter_may_wait_between_two_runs(tmp_path, journal, capsys):
    command = ["unsigned", "--state", str(tmp_path / "state"), *config(tmp_path)]
    journal.write_text(BARE)
    assert run(command) == 0
    journal.write_text(LEAVES)
    assert run(command) == 1
    assert capsys.readouterr().out.count("unsigned_outbound") == 1
    journal.write_text("")
    assert run(command) == 0
    first, second, third = (journal.parent / "asked").read_text().splitlines()
    assert "--since=@" in first
    assert "SYSLOG_FACILITY=2" in first
    assert "--after-cursor=s=1;i=1 " in second
    assert "--after-cursor=s=1;i=2 " in third


def test_a_state_that_is_damaged_is_made_anew(tmp_path, journal):
    state = tmp_path / "state"
    state.write_text('{"cursor": 5')
    journal.write_text(BARE)
    assert run(["unsigned", "--state", str(state), *config(tmp_path)]) == 0
    assert json.loads(state.read_text())["cursor"] == "s=1;i=1"


def test_a_journal_that_cannot_be_read_is_no_good_news(tmp_path, journal, capsys):
    (journal.parent / "journalctl").write_text("#!/bin/sh\necho 'No journal files were found.' >&2\nexit 1\n")
    state = tmp_path / "state"
    assert run(["unsigned", "--state", str(state), *config(tmp_path)]) == 69
    assert "No journal files were found." in capsys.readouterr().err
    assert not state.exists()


def test_a_host_that_signs_nothing_has_nothing_to_find(tmp_path, journal, capsys):
    journal.write_text(BARE + LEAVES)
    assert run(["unsigned", *config(tmp_path, "mx")]) == 0
    assert "nothing is signed on this host" in capsys.readouterr().out
    assert not (journal.parent / "asked").exists()


def test_options_that_do_not_go_together_are_refused(tmp_path, capsys):
    state = ["--state", str(tmp_path / "state")]
    assert run(["unsigned", *state, "x.log"]) == 64
    assert run(["unsigned", *state, "--follow"]) == 64
    assert run(["unsigned", "--follow", "x.log", "y.log"]) == 64


def test_a_log_that_grows_is_followed_until_somebody_has_seen_enough(tmp_path):
    file = tmp_path / "mail.log"
    file.write_text(BARE)
    start = "from postvouch.cli.main import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", start, "unsigned", "--follow", str(file)],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:  # fmt: skip
        assert isinstance(process.stdout, io.TextIOBase)
        with file.open("a") as log:
            log.write(LEAVES)
        assert "event=unsigned_outbound" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 1
