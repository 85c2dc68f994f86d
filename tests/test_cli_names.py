"""postvouch lookup and postvouch directory, with and without a running postvouch-map."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from postvouch.cli.main import run
from postvouch.directory import times

NAMES = """\
domains: {our.example: primary, old.example: our.example}
aliases: {grants: [alice]}
forwards: {alice: alice@gmail.example}
logins: {alice: [alice@our.example]}
"""


@pytest.fixture
def host(tmp_path):
    """An srs host in a folder; returns the options that name its configuration."""
    (tmp_path / "a.yaml").write_text(NAMES)
    (tmp_path / "s").write_text("secret\n")
    (tmp_path / "s").chmod(0o640)
    (tmp_path / "postvouch.toml").write_text(
        f'[general]\nrole = "srs"\nhostname = "srs.our.example"\ndomains = ["our.example", "old.example"]\n'
        f'[map]\nnames = ["{tmp_path}/*.yaml"]\nsnapshot = "{tmp_path}/snapshot"\n'
        f'socket = "unix:{tmp_path}/map.sock"\nmetrics = ""\n[srs]\nsecrets_file = "{tmp_path}/s"\n'
    )
    return ["--config", str(tmp_path / "postvouch.toml")]


@pytest.fixture
def daemon(host, tmp_path):
    """The same host with its postvouch-map running."""
    log = (tmp_path / "log").open("wb")
    environment = {k: v for k, v in os.environ.items() if k not in ("NOTIFY_SOCKET", "JOURNAL_STREAM")}
    process = subprocess.Popen(
        [sys.executable, "-m", "postvouch.policyd.maps", *host], stderr=log, stdout=log, env=environment
    )
    try:
        deadline = time.monotonic() + 20
        while b"addresses" not in (tmp_path / "log").read_bytes():
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.05)
        yield host
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        log.close()


@pytest.mark.parametrize(
    "name, key, value",
    [
        ("forward", "grants@our.example", "alice@gmail.example"),
        ("recipients", "grants@old.example", "OK"),
        ("alias-domain", "old.example", "our.example"),
    ],
)
def test_without_a_daemon_the_names_files_answer(host, capsys, name, key, value):
    assert run(["lookup", name, key, *host]) == 0
    assert capsys.readouterr().out == f"{value}\n"


def test_not_found_is_1_and_silent_as_with_postmap(host, capsys):
    assert run(["lookup", "forward", "nobody@our.example", *host]) == 1
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "")


def test_verbose_names_the_line_of_the_file(host, tmp_path, capsys):
    assert run(["lookup", "-v", "forward", "alice@our.example", *host]) == 0
    shown = capsys.readouterr()
    assert shown.out == "alice@gmail.example\n"
    assert f"{tmp_path}/a.yaml:3" in shown.err
    assert "names files" in shown.err


def test_a_map_that_nobody_has_is_wrong_usage(host, capsys):
    assert run(["lookup", "aliases", "x@our.example", *host]) == 64
    assert "'alias'" in capsys.readouterr().err


def test_a_running_daemon_is_asked(daemon, tmp_path, capsys):
    assert run(["lookup", "forward", "alice@our.example", "--json", *daemon]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["value"] == "alice@gmail.example"
    assert data["via"] == f"postvouch-map at unix:{tmp_path}/map.sock"
    assert run(["lookup", "-v", "forward", "alice@our.example", *daemon]) == 0
    assert f"{tmp_path}/a.yaml:3" in capsys.readouterr().err
    assert run(["lookup", "forward", "nobody@our.example", *daemon]) == 1
    assert run(["lookup", "srs-forward", "mara@far.example", *daemon]) == 0
    wrapped = capsys.readouterr().out.strip()
    assert run(["lookup", "srs-reverse", wrapped, *daemon]) == 0
    assert capsys.readouterr().out == "mara@far.example\n"
    assert run(["lookup", "--local", "srs-reverse", wrapped, *daemon]) == 0
    assert run(["lookup", "srs-reverse", wrapped.replace("SRS0=", "SRS0=x"), *daemon]) == 1


def test_a_daemon_that_hangs_up_is_no_answer_and_75(host, tmp_path, capsys):
    code = (
        "import socket,sys\ns=socket.socket(socket.AF_UNIX);s.bind(sys.argv[1]);s.listen()\n"
        "print(flush=True);c=s.accept()[0];c.recv(100);c.close()"
    )
    listener = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "map.sock")], stdout=subprocess.PIPE
    )
    try:
        listener.stdout.readline()
        assert run(["lookup", "forward", "alice@our.example", *host]) == 75
        assert "gave no answer" in capsys.readouterr().err
    finally:
        listener.kill()
        listener.wait()
        listener.stdout.close()


def test_names_are_read_anew_and_their_state_is_shown(host, tmp_path, capsys):
    assert run(["directory", "status", *host]) == 69
    assert run(["directory", "refresh", *host]) == 0
    assert Path(tmp_path / "snapshot").stat().st_mode & 0o777 == 0o640
    assert run(["directory", "status", *host]) == 0
    shown = capsys.readouterr().out
    assert "names  0s ago  1        1         1       0      2" in shown
    assert run(["lookup", "-v", "forward", "alice@our.example", *host]) == 0
    assert "snapshot" in capsys.readouterr().err


def test_a_broken_file_is_not_taken_and_what_was_there_stays(host, tmp_path, capsys):
    run(["directory", "refresh", *host])
    (tmp_path / "a.yaml").write_text("aliases: [\n")
    assert run(["directory", "refresh", "--json", *host]) == 65
    data = json.loads(capsys.readouterr().out.partition("\n")[2])
    assert data["failures"]
    assert f"{tmp_path}/a.yaml:" in data["problems"][0]
    assert run(["lookup", "forward", "alice@our.example", *host]) == 0


def test_an_old_directory_is_1_and_a_very_old_one_75(host, tmp_path, capsys):
    run(["directory", "refresh", *host])
    for age, status in ((3 * 3600, 1), (8 * 86400, 75)):
        kept = times.read(tmp_path / "snapshot")
        read_at = dict.fromkeys(kept.read_at, time.time() - age)
        times.save(tmp_path / "snapshot", replace(kept, read_at=read_at))
        assert run(["directory", "status", *host]) == status
    assert run(["lookup", "recipients", "nobody@our.example", *host]) == 75
    assert run(["lookup", "recipients", "alice@our.example", *host]) == 0


def test_a_snapshot_that_cannot_be_written_is_69(host, tmp_path, capsys):
    path = tmp_path / "postvouch.toml"
    path.write_text(path.read_text().replace(f"{tmp_path}/snapshot", f"{tmp_path}/none/snapshot"))
    assert run(["directory", "refresh", *host]) == 69
    assert "No such file" in capsys.readouterr().err


def test_what_a_refresh_would_change_is_shown_and_nothing_is_changed(host, tmp_path, capsys):
    assert run(["directory", "diff", *host]) == 69
    run(["directory", "refresh", *host])
    capsys.readouterr()
    assert run(["directory", "diff", *host]) == 0
    names = tmp_path / "a.yaml"
    names.write_text(names.read_text().replace("alice@gmail.example", "alice@riseup.example"))
    assert run(["directory", "diff", *host]) == 1
    shown = capsys.readouterr().out
    assert shown == (
        f"! forward alice@our.example: alice@gmail.example -> alice@riseup.example ({tmp_path}/a.yaml:3)\n"
    )
    assert run(["lookup", "forward", "alice@our.example", *host]) == 0
    assert capsys.readouterr().out == "alice@gmail.example\n"
    names.write_text("forwards: {")
    assert run(["directory", "diff", "--json", *host]) == 65
    assert json.loads(capsys.readouterr().out)["changes"] == []


def test_entries_are_shown_with_their_place(host, tmp_path, capsys):
    run(["directory", "refresh", *host])
    capsys.readouterr()
    assert run(["directory", "show", "ALICE@our.example", *host]) == 0
    shown = capsys.readouterr().out
    assert f"{tmp_path}/a.yaml:3" in shown
    assert run(["directory", "show", "*@gmail.example", "--json", *host]) == 0
    (entry,) = json.loads(capsys.readouterr().out)["entries"]
    assert entry["name"] == "alice@our.example"
    assert run(["directory", "show", "nobody@*", *host]) == 1
