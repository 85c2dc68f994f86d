"""host/suffixes.py: a list of public suffixes from a file, or a sentence that says why not."""

import os
from pathlib import Path

import pytest

from postvouch.host.suffixes import MAX_FILE_OCTETS, load

WHOLE = "// a list\ncom\norg\nio\ngithub.io\n公司.cn\n// ===END PRIVATE DOMAINS===\n"


def test_a_list_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / "list.dat"
    file.write_text(WHOLE, "utf-8")
    suffixes, why = load(str(file))
    assert why == ""
    assert suffixes is not None
    assert suffixes.registrable("a.b.github.io") == "b.github.io"


@pytest.mark.parametrize(
    "content, says",
    [
        (b"", "not a list"),
        (b"<html>not found</html>", "not a list"),
        (WHOLE.encode().partition(b"// ===END")[0], "not all of it"),
        (WHOLE.replace("com\n", "").encode(), "not a list"),
        (b"com\norg\n\xff\n// ===END PRIVATE DOMAINS===\n", "not UTF-8"),
        (b"#" * (MAX_FILE_OCTETS + 1), "too long"),
    ],
)
def test_what_is_no_whole_list_is_none_and_named(tmp_path: Path, content: bytes, says: str) -> None:
    file = tmp_path / "list.dat"
    file.write_bytes(content)
    suffixes, why = load(str(file))
    assert suffixes is None
    assert says in why
    assert str(file) in why


def test_a_file_that_is_missing_names_the_package_that_brings_it(tmp_path: Path) -> None:
    suffixes, why = load(str(tmp_path / "none.dat"))
    assert suffixes is None
    assert "no such file" in why
    assert "apt install publicsuffix" in why


def test_a_pipe_does_not_hang_the_daemon_and_a_folder_is_no_list(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        assert load(str(path))[0] is None
        assert "not a regular file" in load(str(path))[1]


@pytest.mark.parametrize("path", ["", "\x00", "\udcff" * 9999])
def test_any_path_has_an_answer(path: str) -> None:
    suffixes, why = load(path)
    assert suffixes is None
    assert why
