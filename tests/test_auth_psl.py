"""auth/psl.py: rules in the small; the whole list and its own tests are in test_auth_psl_suite.py."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postvouch.auth.psl import Suffixes

LIST = """\
// ===BEGIN ICANN DOMAINS===
// a comment, and a blank line

com
IO   and everything behind the blank is a comment
uk
co.uk\r
jp
*.kobe.jp
!city.kobe.jp
cn
公司.cn
*.ck
!www.ck
// ===END ICANN DOMAINS===
// ===BEGIN PRIVATE DOMAINS===
\tgithub.io
compute.cloud.com
// ===END PRIVATE DOMAINS===
"""
SUFFIXES = Suffixes.parse(LIST)


@pytest.mark.parametrize(
    "name, registrable",
    [
        ("com", ""),
        ("far.com", "far.com"),
        ("a.b.far.com", "far.com"),
        ("github.io", ""),
        ("victim.github.io", "victim.github.io"),
        ("www.victim.github.io", "victim.github.io"),
        ("hub.io", "hub.io"),
        ("a.cloud.com", "cloud.com"),
        ("a.compute.cloud.com", "a.compute.cloud.com"),
        ("kobe.jp", ""),
        ("c.kobe.jp", ""),
        ("b.c.kobe.jp", "b.c.kobe.jp"),
        ("city.kobe.jp", "city.kobe.jp"),
        ("www.city.kobe.jp", "city.kobe.jp"),
        ("www.ck", "www.ck"),
        ("公司.cn", ""),
        ("食狮.公司.cn", "xn--85x722f.xn--55qx5d.cn"),
        ("a.XN--85x722f.xn--55qx5d.CN", "xn--85x722f.xn--55qx5d.cn"),
        ("unlisted", ""),
        ("a.b.unlisted", "b.unlisted"),
        ("Far.CO.UK.", "far.co.uk"),
        ("", ""),
        (".", ""),
        (".far.com", ""),
        ("far..com", ""),
        ("192.0.2.1", ""),
        ("far.com\x00", ""),
        ("x" * 300, ""),
    ],
)
def test_the_longest_rule_decides_and_an_exception_before_it(name: str, registrable: str) -> None:
    assert SUFFIXES.registrable(name) == registrable


@pytest.mark.parametrize(
    "name", ["com", "co.uk", "GitHub.io", "any.kobe.jp", "kobe.jp", "公司.cn", "unlisted"]
)
def test_a_public_suffix_is_one(name: str) -> None:
    assert SUFFIXES.is_suffix(name)


@pytest.mark.parametrize("name", ["far.com", "city.kobe.jp", "www.ck", "hub.io", "", "..", "a b.com"])
def test_what_is_none_is_none(name: str) -> None:
    assert not SUFFIXES.is_suffix(name)


def test_without_any_rule_each_top_level_is_a_suffix() -> None:
    empty = Suffixes.parse("")
    assert empty.is_suffix("com")
    assert empty.registrable("a.b.co.uk") == "co.uk"


def test_a_list_is_a_value() -> None:
    assert Suffixes.parse(LIST) == SUFFIXES
    assert hash(Suffixes.parse(LIST)) == hash(SUFFIXES)


FRAGMENT = st.sampled_from(
    ["*", "!", ".", "com", "a", "ß", "公司", "\udcff", "\x00", " ", "\n", "//", "\u2028"]
)


@given(st.lists(FRAGMENT, max_size=30).map("".join), st.lists(FRAGMENT, max_size=8).map("".join))
def test_any_text_is_a_list_and_any_text_a_name(text: str, name: str) -> None:
    suffixes = Suffixes.parse(text)
    for each in (name, "a.b.com", "com"):
        found = suffixes.registrable(each)
        assert not (found and suffixes.is_suffix(each))
        assert found == "" or suffixes.registrable(found) == found
        assert found == "" or suffixes.is_suffix(found.partition(".")[2])


def test_long_lists_and_long_names_cost_little() -> None:
    began = time.process_time()
    text = "\n".join(f"s{i}.example" for i in range(20000)) + "\n" + "a." * 100000 + "b\n" + "*" * 100000
    suffixes = Suffixes.parse(text)
    for _ in range(200):
        suffixes.registrable("a." * 120 + "example")
        suffixes.registrable("a." * 100000)
    assert time.process_time() - began < 1
