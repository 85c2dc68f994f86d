"""A mapping in octets says what the dictionary said that it was made of, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postvouch.directory.table import Damaged, Table, build

TEXT = st.text(max_size=12)


def table(items: dict[str, bytes]) -> Table[bytes]:
    return Table(memoryview(build(items.items())), bytes)


@given(st.dictionaries(TEXT, st.binary(max_size=20), max_size=40), st.lists(TEXT))
def test_it_is_the_same_mapping(items: dict[str, bytes], others: list[str]) -> None:
    made = table(items)
    assert dict(made) == items
    assert len(made) == len(items)
    assert list(made) == list(items)
    for key in others:
        assert (key in made) == (key in items)
        assert made.get(key) == items.get(key)


def test_a_lone_surrogate_is_a_key_like_any_other() -> None:
    assert table({"\udcff": b"x"})["\udcff"] == b"x"


def test_what_is_no_text_is_no_key() -> None:
    assert 7 not in table({"7": b""})
    with pytest.raises(KeyError):
        table({})["x"]


@given(st.binary(max_size=80))
def test_other_octets_are_no_table(octets: bytes) -> None:
    whole = build([("a", b"1")])
    for damaged in (whole[:40], whole[:20], b"", octets[:31]):
        with pytest.raises(Damaged):
            Table(memoryview(damaged), bytes)


def test_a_table_without_an_empty_slot_would_never_end_and_is_refused() -> None:
    whole = bytearray(build([("a", b"1"), ("b", b"2")]))
    whole[0:8] = (4).to_bytes(8, "little")
    with pytest.raises(Damaged):
        Table(memoryview(bytes(whole)), bytes)
