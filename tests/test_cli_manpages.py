"""The manual pages are what the code says, and roff that any man(1) renders."""

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postvouch.cli import manpages
from postvouch.cli.main import GROUPS
from postvouch.cli.roff import escape
from postvouch.config.catalog import Table, settings

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "man"
PAGES = manpages.pages()


@pytest.mark.parametrize("name", sorted(PAGES))
def test_the_pages_in_docs_are_current(name):
    assert (FOLDER / name).read_text("ascii") == PAGES[name], "run: python -m postvouch.cli.manpages docs/man"


def test_no_page_is_left_over():
    assert {path.name for path in FOLDER.iterdir()} == set(PAGES)


def test_every_verb_and_every_setting_has_its_place():
    for verbs in GROUPS.values():
        for verb in verbs:
            assert f'.SS "postvouch {escape(verb)}' in PAGES["postvouch.1"]
    for setting in settings().values():
        is_table = isinstance(setting.kind, Table)
        written = f'.SS "[[{setting.name}]]"' if is_table else f"\\fB{escape(setting.key)}\\fR"
        assert written in PAGES["postvouch.toml.5"]


def test_every_command_has_a_page():
    assert {"postvouch-verify.8", "postvouch-sign.8", "postvouch-map.8", "postvouch-policy.8"} <= set(PAGES)


@given(st.text(alphabet=st.characters(max_codepoint=126), max_size=40))
def test_no_text_acts_as_a_macro(text):
    for line in escape(text).split("\n"):
        assert not line.startswith((".", "'"))


@pytest.mark.skipif(shutil.which("groff") is None, reason="no groff here")
@pytest.mark.parametrize("name", sorted(PAGES))
def test_groff_has_nothing_to_complain_about(name):
    made = subprocess.run(
        ["groff", "-man", "-Tascii", "-ww", "-z"],
        input=PAGES[name],
        capture_output=True,
        text=True,
        check=True,
    )
    assert made.stderr == ""
