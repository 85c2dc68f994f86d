"""What docs/names.rst shows is taken as it stands there."""

import re
from pathlib import Path
from textwrap import dedent

import pytest
from names import read

from postvouch.config.load import load
from postvouch.directory import resolve, sources
from postvouch.directory.compile import compile_directory
from postvouch.values.answer import Found

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "names.rst").read_text("utf-8")


def blocks(kind: str) -> list[str]:
    found = re.findall(rf"^\.\. code-block:: {kind}\n\n((?:    .*\n|\n)+)", PAGE, re.MULTILINE)
    return [dedent(block) for block in found]


def test_the_names_file_says_what_its_comments_say() -> None:
    (text,) = blocks("yaml")
    part, problems = read(text, "our.example", "old.example")
    assert not problems
    made = compile_directory([part])
    assert not made.problems
    assert resolve.owners(made.directory, "grants@our.example") == Found("alice,bob")
    assert resolve.owners(made.directory, "press@old.example") == Found("alice,bob")
    assert resolve.owners(made.directory, "tickets@our.example") == Found("bob")
    answer = resolve.forward(made.directory, "tickets@our.example")
    assert isinstance(answer, Found)
    assert answer.value == "queue@desk.example"


@pytest.mark.parametrize("text", blocks("toml"))
def test_the_settings_are_settings(text: str, tmp_path: Path) -> None:
    path = tmp_path / "postvouch.toml"
    path.write_text('[general]\ndomains = ["our.example"]\n' + text)
    config = load(path)
    assert sources.order(config)[0] == "names"
    assert config.map.namespace == "profile::mail" or [s.type for s in config.map.source] == [
        "fragments", "flat", "ud-ldap",
    ]  # fmt: skip
