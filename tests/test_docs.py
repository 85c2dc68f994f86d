"""The documents say what the code does."""

import importlib.util
import re
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
NAMED = re.compile(r"``((?:docs|tests|postvouch|milters|policyd|postfix-snippets)/[\w./-]+)``")


def _load(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_list_of_standards_is_current():
    rfcindex = _load(TOP / "docs" / "rfcindex.py")
    assert (TOP / "docs" / "rfc.rst").read_text("utf-8") == rfcindex.page(), "run python3 docs/rfcindex.py"


def test_every_file_that_a_document_names_exists():
    missing = []
    for page in [*TOP.glob("*.rst"), *TOP.glob("docs/**/*.rst")]:
        for name in re.findall(
            r"``((?:docs|tests|postvouch|milters|policyd|postfix-snippets)/[\w./-]+)``",
            page.read_text("utf-8"),
        ):
            if not (TOP / name).exists():
                missing.append(f"{page.relative_to(TOP)}: {name}")
    assert not missing


def test_every_reason_of_the_verifier_is_explained():
    from postvouch.auth import decide, exempt

    page = (TOP / "docs" / "flow.rst").read_text("utf-8")
    codes = {value for name, value in vars(decide).items() if name.isupper() and isinstance(value, str)}
    codes = (codes | set(exempt.CODES)) - set(decide.ACTIONS)
    assert {"spoof", "internal", "exempt-list"} <= codes
    assert {code for code in codes if f"\n``{code}``" not in page} == set()
