"""postsrsd's configurations as ours: what is carried, and that every other line is named."""

import json
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postvouch.cli.main import run
from postvouch.config import postsrsd
from postvouch.config.load import examine

OLD = """\
# Default settings for postsrsd
SRS_DOMAIN=our.example
SRS_EXCLUDE_DOMAINS=.our.example,old.example
SRS_SEPARATOR==
SRS_SECRET=/etc/postsrsd.secret
SRS_HASHLENGTH=6
SRS_HASHMIN=4
SRS_FORWARD_PORT=10001
SRS_REVERSE_PORT=10002
RUN_AS=postsrsd
SRS_LISTEN_ADDR=127.0.0.1
CHROOT="/var/lib/postsrsd"
SRS_EXTRA_OPTIONS=-A
"""
NEW = """\
domains = {   # ours
    "our.example", "old.example"  # and its former name
}
domains-file = "/etc/more"
srs-domain = "srs.our.example"
socketmap = unix:/var/spool/postfix/srs
secrets-file = "/etc/postsrsd.secret"
separator = "+"
hash-length = 4
original-envelope = database
milter = inet:localhost:9997
always-rewrite = off
no-such = 1
"""


def read(text):
    return postsrsd.read(text, "file", lambda path: "third.example\n# none\nno domain\n")


def fates(imported):
    return {(each.where.line, each.fate) for each in imported.entries}


def test_1_x_is_read_without_a_shell():
    found = read(OLD)
    assert found.settings == {
        "srs.domain": "our.example",
        "srs.separator": "=",
        "srs.secrets_file": "/etc/postsrsd.secret",
        "srs.hash_length": 6,
    }
    assert found.domains == ["old.example"]
    lost = {line for line, fate in fates(found) if fate == "not-carried"}
    assert lost == {3, 13, 0}
    assert {line for line, _ in fates(found)} == {0, *range(2, 14)}


def test_2_x_has_lists_over_several_lines_and_comments():
    found = read(NEW)
    assert found.domains == ["our.example", "old.example", "third.example"]
    assert found.settings == {
        "srs.domain": "srs.our.example",
        "srs.secrets_file": "/etc/postsrsd.secret",
        "srs.separator": "+",
    }
    lost = {line for line, fate in fates(found) if fate == "not-carried"}
    assert lost == {4, 10, 11, 13}


@pytest.mark.parametrize("value", ["$(id)", "`id`", "$HOME/x", "'open"])
def test_what_only_a_shell_can_say_is_named_and_left(value):
    found = read(f"SRS_SECRET={value}\n")
    assert found.settings == {}
    assert fates(found) == {(1, "not-carried")}


@given(st.text(max_size=300))
def test_no_text_breaks_the_reader(text):
    found = read(text)
    assert all(each.where.line <= text.count("\n") + 2 for each in found.entries)


@given(st.text(alphabet='{}"#=,\nab ', max_size=200))
def test_no_heap_of_its_signs_breaks_it_either(text):
    read(text)


@pytest.mark.parametrize("text", [OLD, NEW])
def test_what_is_written_is_a_configuration_of_ours(text, tmp_path, capsys):
    file = tmp_path / "postsrsd.conf"
    file.write_text(text.replace("/etc/more", str(tmp_path / "none")))
    target = tmp_path / "postvouch.toml"
    assert run(["import", str(file), "-o", str(target), "--role", "srs"]) == 1
    assert f"{file}:" in capsys.readouterr().err
    written = tomllib.loads(target.read_text())
    assert written["general"]["role"] == "srs"
    assert written["srs"]["secrets_file"] == "/etc/postsrsd.secret"
    report = examine(target)
    assert not [each for each in report.problems if "secrets_file" not in str(each)], report.problems
    assert run(["import", str(file), "--from", "postsrsd", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["from"] == "postsrsd"


def test_all_carried_is_0(tmp_path, capsys):
    file = tmp_path / "postsrsd"
    file.write_text("SRS_DOMAIN=our.example\nSRS_SECRET=/etc/postsrsd.secret\n")
    assert run(["import", str(file)]) == 0
    assert '\ndomain = "our.example"\n' in capsys.readouterr().out
