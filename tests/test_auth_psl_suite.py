"""The public suffix list's own tests, and another reader of the list as an opponent."""

from pathlib import Path
from typing import Any

import publicsuffixlist
import pytest
import test_auth_dmarc_suite as rfc9989
from hypothesis import given, settings
from hypothesis import strategies as st

from postvouch.auth.psl import Suffixes
from postvouch.host.suffixes import load
from postvouch.values.domain import parse_domain

VECTORS = Path(__file__).parent / "vectors" / "psl" / "tests.txt"
CASES = [
    line.split()
    for line in VECTORS.read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("//")
]
LIST = Path(publicsuffixlist.PSLFILE)
THEIRS = publicsuffixlist.PublicSuffixList()
LABELS = sorted({label for suffix in THEIRS._publicsuffix for label in suffix.lstrip("!").split(".")} - {"*"})
RULES = sorted(rule.lstrip("!").replace("*", "any") for rule in THEIRS._publicsuffix)


def whole_list() -> Suffixes:
    suffixes, why = load(str(LIST))
    assert suffixes is not None, why
    return suffixes


SUFFIXES = whole_list()


def test_the_suite_is_whole() -> None:
    assert len(CASES) == 78


@pytest.mark.parametrize("name, wanted", CASES, ids=[name for name, _ in CASES])
def test_the_lists_own_tests(name: str, wanted: str) -> None:
    # The first case is "null": no name at all.
    got = SUFFIXES.registrable("" if name == "null" else name)
    assert got == ("" if wanted == "null" else parse_domain(wanted))


def valid(name: str) -> bool:
    try:
        return bool(parse_domain(name))
    except ValueError:
        return False


@settings(max_examples=300)
@given(
    before=st.lists(st.sampled_from(LABELS) | st.sampled_from(["a", "www", "any"]), max_size=3),
    rule=st.sampled_from(RULES),
    drop=st.integers(0, 2),
)
def test_another_reader_finds_the_same_registrable_domain(before: list[str], rule: str, drop: int) -> None:
    name = ".".join([*before, *rule.split(".")[drop:]])
    if valid(name):
        theirs = THEIRS.privatesuffix(parse_domain(name))
        assert SUFFIXES.registrable(name) == (theirs or "")
        assert SUFFIXES.is_suffix(name) == (THEIRS.publicsuffix(parse_domain(name)) == parse_domain(name))


def test_every_rule_of_the_list_is_known() -> None:
    for line in LIST.read_text(encoding="utf-8").splitlines():
        rule = line.partition(" ")[0]
        if rule and not rule.startswith(("//", "!")):
            assert SUFFIXES.is_suffix(rule.replace("*", "any")), rule


@pytest.mark.parametrize("case", rfc9989.CASES, ids=lambda case: case["id"])
def test_the_whole_list_changes_dmarc_only_for_tenants_of_one_suffix(case: dict[str, Any]) -> None:
    guarded = rfc9989.judge(case, SUFFIXES)
    rfc9989.compare(*guarded, {**case["expect"], **case.get("expect_with_psl", {})})
    if "expect_with_psl" not in case:
        assert guarded == rfc9989.judge(case)
