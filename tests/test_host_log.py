"""The log line: one call is one line whatever the bytes, and nobody's value can pass for a pair of ours."""

import os
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from postvouch.host import log

ANY_TEXT = st.text(st.characters(), max_size=600) | st.binary(max_size=600).map(
    lambda octets: octets.decode("utf-8", "surrogateescape")
)
NAMES = st.sampled_from(["from", "client", "spf", "dkim", "reason", "action", "ms"])


def written(tmp_path: Path, **settings: object) -> tuple[log.Log, Path]:
    path = tmp_path / "stderr"
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    return log.Log(program="postvouch-verify", descriptor=descriptor, **settings), path  # type: ignore[arg-type]


@given(ANY_TEXT, st.lists(st.tuples(NAMES, ANY_TEXT), max_size=8), st.sampled_from(["full", "hash", "drop"]))
@example("Q1", [("from", "<a@far.example>\r\n<6>postvouch-verify[1]: Q2: action=accept")], "full")
@example("Q1", [("reason", "\x1b[2Jgone\u202e\u2028\x85")], "full")
@example("Q1", [("reason", "a" * 599 + "@")], "drop")
def test_one_call_is_one_line_of_printable_text(
    queue_id: str, pairs: list[tuple[str, str]], privacy: str
) -> None:
    hide = {"full": log.bare, "hash": log.hasher(b"k"), "drop": log.dropped}[privacy]
    line = log.format_line(queue_id, pairs, hide)
    assert line.isprintable()
    assert len(line) <= log.MAX_LINE


@given(st.lists(st.tuples(NAMES, ANY_TEXT), min_size=1, max_size=6))
@example([("from", "<x, action=accept>"), ("reason", "no, action=accept, reason=ok")])
@example([("from", "a,"), ("reason", ",")])
def test_splitting_at_the_separator_gives_our_pairs_and_no_others(pairs: list[tuple[str, str]]) -> None:
    line = log.format_line("Q1", pairs)
    assert [word.split("=", 1)[0] for word in line.removeprefix("Q1: ").split(", ")] == [
        name for name, _ in pairs
    ]


@given(ANY_TEXT)
def test_quoting_loses_nothing_that_it_does_not_cut(text: str) -> None:
    quoted = log.quote(text, limit=10_000)

    def undo(match: re.Match[str]) -> str:
        return "\\" if match[1] == "\\" else chr(int(match[1][1:], 16))

    octet_kept = re.sub("[\udc80-\udcff]", lambda match: chr(ord(match.group()) - 0xDC00), text)
    assert re.sub(r"\\(\\|x..|u....|U.{8})", undo, quoted) == octet_kept


def test_a_line_has_the_shape_that_postfix_admins_grep_for(tmp_path: Path) -> None:
    to_file, path = written(tmp_path)
    to_file.line("4XyZ1k2", [("from", "<a@far.example>"), ("client", "x[192.0.2.7]"), ("ms", "38")])
    assert path.read_text() == (
        f"postvouch-verify[{os.getpid()}]: 4XyZ1k2: from=<a@far.example>, client=x[192.0.2.7], ms=38\n"
    )


def test_a_message_without_queue_id_is_noqueue() -> None:
    assert log.format_line("", [("action", "defer")]) == "NOQUEUE: action=defer"


@pytest.mark.parametrize("privacy", ["hash", "drop"])
def test_private_lines_hold_no_address_and_no_client(tmp_path: Path, privacy: str) -> None:
    to_file, path = written(tmp_path, privacy=privacy)
    to_file.line(
        "Q1",
        [
            ("from", "<alice@far.example>"),
            ("client", "mx.far.example[192.0.2.7]"),
            ("login", "bob"),
            ("reason", "no MX for alice@far.example at 2001:db8::7 (192.0.2.7)"),
            ("dkim", "pass (far.example/s1)"),
        ],
    )
    to_file.note("refused alice@far.example from [192.0.2.7]")
    to_file.exception("Q1", ValueError("bad address alice@far.example"))
    text = path.read_text()
    for secret in ("alice", "192.0.2.7", "2001:db8", "bob", "mx.far.example"):
        assert secret not in text
    assert "dkim=pass (far.example/s1)" in text
    assert text.startswith(f"postvouch-verify[{os.getpid()}]: Q1: from=<")


def test_hashed_addresses_can_be_followed_from_line_to_line(tmp_path: Path) -> None:
    to_file, path = written(tmp_path, privacy="hash")
    for sender in ("<alice@far.example>", "<Alice@far.example>", "<carol@far.example>", "<>"):
        to_file.line("Q", [("from", sender)])
    first, second, third, null = (line.split("from=")[1] for line in path.read_text().splitlines())
    assert first == second != third
    assert null == "<>"


def test_the_journal_gets_priorities_and_adds_program_and_pid_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to_file, path = written(tmp_path)
    status = path.stat()
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
    to_file.note("ready")
    to_file.line("Q1", [("action", "defer")], level=log.WARNING)
    assert path.read_text() == "<6>ready\n<4>Q1: action=defer\n"


def test_a_stderr_that_is_not_the_journal_gets_no_priorities(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to_file, path = written(tmp_path)
    monkeypatch.setenv("JOURNAL_STREAM", "1:1")
    to_file.note("ready")
    assert path.read_text() == f"postvouch-verify[{os.getpid()}]: ready\n"


def test_a_bug_is_logged_with_its_traceback_under_its_queue_id(tmp_path: Path) -> None:
    to_file, path = written(tmp_path)
    try:
        raise KeyError("two\nlines")
    except KeyError as error:
        to_file.exception("Q7", error)
    lines = path.read_text().splitlines()
    assert len(lines) >= 4
    assert all(": Q7: " in line for line in lines)
    assert "KeyError" in lines[0]


def test_a_lost_stderr_stops_nobody() -> None:
    read, write = os.pipe()
    os.close(read)
    log.Log(program="postvouch-verify", descriptor=write).note("nobody reads this")
    os.close(write)
    log.Log(program="postvouch-verify", descriptor=write).note("nor this")


def test_debug_lines_appear_only_where_asked_for(tmp_path: Path) -> None:
    quiet, path = written(tmp_path)
    quiet.debug("Q1", "step")
    assert path.read_text() == ""
    quiet.debugging = True
    quiet.debug("Q1", "step")
    assert "Q1: debug=step" in path.read_text()


def test_debug_lines_never_undo_privacy(tmp_path: Path) -> None:
    to_file, path = written(tmp_path, privacy="hash", debugging=True)
    to_file.debug("Q1", "signed for login bob")
    assert path.read_text() == ""
