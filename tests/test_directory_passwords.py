"""Passwd-files: what logs nobody in, what the next Dovecot refuses, and that no hash is ever shown."""

import grp
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postvouch.cli.main import run
from postvouch.directory.passwords import DOVECOTS, Entry, entries, lint

GOOD = "bob:{SHA512-CRYPT}$6$salt$hash"


def texts(*lines: str, dovecot: str = "2.4", logins: frozenset[str] | None = None) -> list[str]:
    return [
        f"{'!' if each.is_problem else ''}{each.line}:{each.login}:{each.text}"
        for each in lint(lines, dovecot=dovecot, logins=logins)
    ]


@pytest.mark.parametrize(
    "password, scheme",
    [
        ("{SHA512-CRYPT}$6$a$b", "SHA512-CRYPT"),
        ("{CRYPT}$1$a$b", "MD5-CRYPT"),
        ("$1$a$b", "MD5-CRYPT"),
        ("{crypt}$2y$05$x", "BLF-CRYPT"),
        ("$y$j9T$x", "YESCRYPT"),
        ("{CRYPT}abJnggxhB/yWI", "DES-CRYPT"),
        ("{CRYPT}$apr1$a$b", ""),
        ("plainly", ""),
        ("{PLAIN.B64}c2VjcmV0", "PLAIN"),
        ("{PLAIN}", ""),
        ("", ""),
        ("{ARGON2ID}$argon2id$v=19$x:1000:1000::/home", "ARGON2ID"),
    ],
)
def test_the_scheme_of_a_password_is_what_it_means(password: str, scheme: str) -> None:
    (entry,) = entries([f"bob:{password}\n"])
    assert isinstance(entry, Entry)
    assert entry.scheme == scheme


def test_a_good_file_has_no_findings() -> None:
    assert texts("# people", "", GOOD, "ann:{ARGON2ID}$argon2id$x") == []


@pytest.mark.parametrize(
    "line, said",
    [
        ("bob", "!2::no colon: Dovecot passes over the line"),
        (":{PLAIN}x", "!2::no login before the colon"),
        ("ann:", "!2:ann:no password, or a hash that crypt(3) does not know: nobody can log in with it"),
        ("ann:{NOSUCH}x", "!2:ann:unknown scheme {NOSUCH}: nobody can log in with it"),
        ("ann:*", "2:ann:locked: no password fits"),
        ("ann:{CRYPT}!$6$a$b", "2:ann:locked: no password fits"),
    ],
)
def test_each_thing_that_is_wrong_has_its_line(line: str, said: str) -> None:
    assert texts(GOOD, line) == [said]


def test_names_that_dovecot_never_finds_and_names_that_are_there_twice() -> None:
    found = texts(GOOD, "Ann:{SSHA512}x", "x@our.example:{SSHA512}x", "BOB:{SSHA512}x")
    assert [each.split(":", 2)[:2] for each in found] == [
        ["!2", "Ann"],
        ["!3", "x@our.example"],
        ["!4", "BOB"],
    ]
    assert "the first is in line 1" in found[2]


def test_what_dovecot_2_4_refuses_is_said_before_it_comes() -> None:
    assert [text[0] for text in texts("bob:{SMD5}x", "ann:$1$a$b")] == ["!", "!"]
    assert [text[0] for text in texts("bob:{SMD5}x", "ann:$1$a$b", dovecot="2.3")] == ["1", "2"]
    assert "Dovecot 2.4 refuses it" in texts("bob:{SMD5}x", dovecot="2.3")[0]


def test_both_sides_are_compared_with_the_directory() -> None:
    found = texts(GOOD, "gone:{SSHA512}x", logins=frozenset({"bob", "new"}))
    assert [each.split(":")[:2] for each in found] == [["2", "gone"], ["0", "new"]]


@given(st.lists(st.text(max_size=60), max_size=8), st.sampled_from(DOVECOTS))
def test_any_file_is_read_to_its_end(lines: list[str], dovecot: str) -> None:
    for finding in lint(lines, dovecot=dovecot, logins=frozenset({"a"})):
        assert 0 <= finding.line <= len(lines)


def test_no_hash_is_shown(tmp_path, capsys) -> None:
    file = tmp_path / "passwords"
    file.write_text("a:{NOSUCH}sesame\nb:$1$sesame$sesame\nc:{PLAIN}sesame\nd:sesame\n")
    for how in ([], ["--json"]):
        assert run(["accounts", "lint", str(file), *how]) == 1
        said = capsys.readouterr()
        assert "sesame" not in said.out + said.err


def test_who_may_read_the_file_is_said_with_the_command_that_mends_it(tmp_path, capsys) -> None:
    file = tmp_path / "passwords"
    file.write_text(GOOD + "\n")
    file.chmod(0o644)
    assert run(["accounts", "lint", str(file), "--json"]) == 1
    (first, *_) = json.loads(capsys.readouterr().out)
    assert first["text"] == f"mode 0644: anybody may read it; chmod 0640 {file}"
    file.chmod(0o620)
    assert run(["accounts", "lint", str(file)]) == 1
    assert "others than its owner may write" in capsys.readouterr().out
    file.chmod(0o600)
    if os.getuid() == 0:
        tmp_path.chmod(0o700)
        assert run(["accounts", "lint", str(file)]) == 0
        os.chown(file, -1, grp.getgrnam("mail").gr_gid)
        file.chmod(0o640)
        assert run(["accounts", "lint", str(file)]) == 1
        assert "the group mail may read it" in capsys.readouterr().out
        os.chown(file, 65534, -1)
        assert run(["accounts", "lint", str(file)]) == 1
    assert run(["accounts", "lint", str(tmp_path / "none")]) == 75


def test_the_logins_of_the_directory_are_read_now(tmp_path, capsys) -> None:
    file = tmp_path / "passwords"
    file.write_text(GOOD + "\n")
    file.chmod(0o600)
    (tmp_path / "names.yaml").write_text("logins: {bob: [bob@our.example], new: [new@our.example]}\n")
    (tmp_path / "postvouch.toml").write_text(
        '[general]\nrole = "submission"\ndomains = ["our.example"]\n'
        f'[map]\nnames = ["{tmp_path}/names.yaml"]\nsnapshot = "{tmp_path}/snapshot"\n'
    )
    options = ["--directory", "--json", "--config", str(tmp_path / "postvouch.toml")]
    run(["accounts", "lint", str(file), *options])
    found = [each for each in json.loads(capsys.readouterr().out) if each["login"]]
    assert [(each["login"], each["level"]) for each in found] == [("new", "note")]
    (tmp_path / "names.yaml").write_text("logins: [")
    assert run(["accounts", "lint", str(file), *options]) == 75
