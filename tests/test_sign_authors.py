"""Patterns of authors: what each fits, which of several decides, and that neither text nor glob is a trap."""

import fnmatch
import re
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postvouch.sign.authors import Pattern, Table, matches, parse
from postvouch.values.address import Address
from postvouch.values.domain import AddressError


def finds(*patterns: str, author: str) -> list[str]:
    """Which of the patterns decide about an author."""
    local, _, domain = author.rpartition("@")
    table = Table((parse(text), number) for number, text in enumerate(patterns))
    return [patterns[number] for number in table.find(Address(local, domain))]


@pytest.mark.parametrize(
    "pattern, fits, others",
    [
        (
            "bob@our.example",
            ["bob@our.example", "BOB@our.example"],
            ["bobb@our.example", "bob@x.our.example"],
        ),
        (
            "News-*@our.example",
            ["news-@our.example", "NEWS-a-b@our.example"],
            ["news@our.example", "old-news-@our.example", "news-a@x.our.example"],
        ),
        (
            "a*b*c@our.example",
            ["abc@our.example", "axbxbxc@our.example"],
            ["ab@our.example", "acb@our.example"],
        ),
        ("our.example", ["a@our.example"], ["a@x.our.example", "a@notour.example", "a@example"]),
        ("*@our.example", ["a@our.example"], ["a@x.our.example"]),
        ("*.our.example", ["a@x.our.example", "a@y.x.our.example"], ["a@our.example", "a@notour.example"]),
        ("bob@*.our.example", ["bob@y.x.our.example"], ["bob@our.example", "eve@x.our.example"]),
        ("b*@*.our.example", ["bob@y.x.our.example"], ["bob@our.example", "eve@x.our.example"]),
        ('"john doe"@our.example', ["john doe@our.example"], ["john@our.example"]),
        ("straße@bücher.example", ["Straße@xn--bcher-kva.example"], ["strasse@xn--bcher-kva.example"]),
    ],
)
def test_a_pattern_fits_what_it_says_and_nothing_beside_it(
    pattern: str, fits: list[str], others: list[str]
) -> None:
    for author in fits:
        assert finds(pattern, author=author) == [pattern], author
    for author in others:
        assert finds(pattern, author=author) == [], author


@pytest.mark.parametrize(
    "text",
    [
        "", "*", "@our.example", "bob@", "bob@@our.example", "our example", "*our.example", "a.*.example",
        "*.*.example", "bob@192.0.2.1", "bob@[192.0.2.1]", "<bob@our.example>", "a b@our.example", "é" * 300,
    ],
)  # fmt: skip
def test_what_is_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(AddressError):
        parse(text)


ORDER = (
    "bob@x.our.example",
    "bo*b@x.our.example",
    "bo*@x.our.example",
    "x.our.example",
    "bob@*.our.example",
    "b*@*.our.example",
    "*.our.example",
    "*.example",
)
"""From the most specific to the least; each of them fits bob@x.our.example."""


@given(st.lists(st.sampled_from(ORDER), min_size=1, unique=True))
def test_the_most_specific_pattern_alone_decides_however_they_are_ordered(patterns: list[str]) -> None:
    assert finds(*patterns, author="bob@x.our.example") == [min(patterns, key=ORDER.index)]


def test_patterns_that_are_alike_all_count_in_the_order_of_the_rows() -> None:
    assert finds("b*@our.example", "*b@our.example", "*@our.example", author="bob@our.example") == [
        "b*@our.example",
        "*b@our.example",
    ]
    assert finds("our.example", "*@our.example", author="bob@our.example") == ["our.example", "*@our.example"]


def test_a_key_with_several_patterns_that_fit_counts_once() -> None:
    table = Table((parse(text), 7) for text in ("b*@our.example", "*b@our.example", "B*@our.example"))
    assert table.find(Address("bob", "our.example")) == (7,)
    assert table.domains() == {"our.example"}


LOCALS = st.text("ab-", max_size=8)
GLOBS = st.text("ab-*", min_size=1, max_size=8)


@given(GLOBS, LOCALS)
def test_a_glob_means_what_the_shell_means_by_its_stars(glob: str, text: str) -> None:
    assert matches(glob, text) is (re.fullmatch(glob.replace("*", ".*"), text) is not None)
    assert matches(glob, text) is fnmatch.fnmatchcase(text, glob)


DOMAINS = st.sampled_from(["our.example", "x.our.example", "y.x.our.example", "far.example", "example"])
PATTERNS = st.builds(
    Pattern, local=GLOBS.filter(lambda text: text.strip("*") != "") | st.just(""), domain=DOMAINS,
    below=st.booleans(),
)  # fmt: skip


def fits(pattern: Pattern, author: Address) -> bool:
    """The meaning of a pattern, said once more and slowly."""
    below = author.domain.endswith(f".{pattern.domain}")
    there = below if pattern.below else author.domain == pattern.domain
    return there and fnmatch.fnmatchcase(author.local, pattern.local or "*")


@given(st.lists(PATTERNS, max_size=8), st.builds(Address, LOCALS.filter(bool), DOMAINS))
def test_a_table_finds_something_exactly_where_a_pattern_fits(
    patterns: list[Pattern], author: Address
) -> None:
    found = Table(zip(patterns, range(len(patterns)), strict=True)).find(author)
    assert bool(found) is any(fits(pattern, author) for pattern in patterns)
    assert all(fits(patterns[number], author) for number in found)
    assert len(set(found)) == len(found)


@given(PATTERNS)
def test_a_pattern_written_down_reads_the_same(pattern: Pattern) -> None:
    assert parse(str(pattern)) == pattern


@given(st.text(max_size=40))
def test_any_text_is_a_pattern_or_an_address_error(text: str) -> None:
    with suppress(AddressError):
        assert parse(text).domain


def test_a_long_local_part_and_a_spiteful_glob_cost_next_to_nothing() -> None:
    started = time.process_time()
    assert not matches("a*" * 50 + "b", "a" * 100_000)
    assert not matches("*aab" * 50, "a" * 100_000)
    assert time.process_time() - started < 1
