"""The example file is made from the schema, and is what the manual says it is."""

import re
import subprocess
import sys

import pytest

from postvouch.config.catalog import Table, settings
from postvouch.config.example import example
from postvouch.config.load import examine, load
from postvouch.config.schema import Config


def test_the_example_as_installed_is_valid_and_inert(tmp_path):
    path = tmp_path / "postvouch.toml"
    path.write_text(example(), "utf-8")
    report = examine(path)
    assert report.problems == ()
    assert report.config is not None
    assert report.config.general.role == ""
    assert report.config.sign == Config().sign
    assert report.places == {}


def test_the_example_with_every_setting_in_force_is_valid_too(tmp_path):
    path = tmp_path / "postvouch.toml"
    path.write_text(re.sub(r"(?m)^#(?=[^ ]|    )", "", example()), "utf-8")
    report = examine(path)
    assert report.problems == ()
    assert set(report.places) == {name for name in settings() if name.count(".") == 1}


@pytest.mark.parametrize("name", sorted(settings()))
def test_every_setting_has_a_manual_that_is_shown(name):
    setting = settings()[name]
    assert setting.doc.endswith((".", '".'))
    flat = " ".join(example().replace("\n# ", " ").split())
    assert " ".join(setting.doc.split()) in flat
    written = f"\n#[[{name}]]" if isinstance(setting.kind, Table) else f"\n#{setting.key} = "
    assert written in example()


def test_lines_fit_a_terminal_of_100_columns():
    assert max(map(len, example().splitlines())) <= 100


def test_the_package_can_print_it_while_it_is_built(tmp_path):
    made = subprocess.run(
        [sys.executable, "-m", "postvouch.config.example"], capture_output=True, text=True, check=True
    )
    assert made.stdout == example()
    path = tmp_path / "p.toml"
    path.write_text(made.stdout)
    assert load(path).log == Config().log
