"""Old signatures: which of them go, by number as Postfix counts, and which stay as they are."""

import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postvouch.auth.result import Result
from postvouch.sign import oldsignatures
from postvouch.values.decision import RemoveField
from postvouch.values.message import Field, Message


def signature(d: str, s: str = "s1", name: bytes = b"DKIM-Signature") -> Field:
    return Field(name, f" v=1; a=rsa-sha256; d={d};\r\n s={s}; h=from; bh=AA==; b=AA==".encode())


LETTER = Message(
    fields=(
        signature("far.example"),
        Field(b"From", b" bob@our.example"),
        signature("OUR.example", "s1", b"dkim-signature"),
        signature("our.example", "S2", b"DKIM-SIGNATURE "),
        Field(b"DKIM-Signature", b" no tags at all"),
        signature("sub.our.example"),
    )
)


def never() -> Sequence[Result]:
    raise AssertionError("nobody asked")


def gone(
    which: str, message: Message = LETTER, results: Sequence[Result] = (), **settings: object
) -> list[int]:
    kept = settings.get("kept", ())
    found = oldsignatures.removals(
        message,
        which=which,
        domains={"our.example"},
        kept=kept,  # type: ignore[arg-type]
        verified=(lambda: results) if which == "broken" else never,
    )
    assert {edit.name for edit in found} <= {"DKIM-Signature"}
    return [edit.nth for edit in found]


def test_by_default_nothing_goes() -> None:
    assert gone("none") == []


def test_own_ones_go_by_their_domain_in_any_case_and_the_highest_number_first() -> None:
    assert gone("own") == [3, 2]


def test_all_go_but_those_of_our_keys_that_do_not_sign_again() -> None:
    assert gone("all") == [5, 4, 3, 2, 1]
    assert gone("all", kept={("our.example", "s2")}) == [5, 4, 2, 1]
    assert gone("own", kept={("our.example", "s2")}) == [2]


def test_broken_ones_go_and_what_could_not_be_decided_stays() -> None:
    results = (Result.FAIL, Result.PASS, Result.TEMPERROR, Result.PERMERROR, Result.POLICY)
    assert gone("broken", results=results) == [4, 1]


def test_beyond_those_that_were_looked_at_none_is_broken() -> None:
    assert gone("broken", results=(Result.FAIL,)) == [1]
    # The finding that says how many more there are is of no field.
    assert gone("broken", Message(fields=LETTER.fields[:1]), (Result.PASS, Result.FAIL)) == []


@pytest.mark.parametrize("which", ["none", "own", "broken", "all"])
def test_a_letter_without_signatures_keeps_what_it_has_and_asks_nobody(which: str) -> None:
    message = Message(fields=LETTER.fields[1:2])
    assert (
        oldsignatures.removals(message, which=which, domains={"our.example"}, kept=(), verified=never) == ()
    )


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"DKIM-Signature", b"dkim-signature", b"Dkim-Signature\t", b"From", b"X-DKIM"]),
            st.one_of(st.binary(max_size=40), st.sampled_from([signature("our.example").value])),
        ),
        max_size=8,
    ),
    st.sampled_from(["own", "all"]),
)
def test_whatever_stands_there_the_numbers_are_of_signatures_and_fall(
    fields: list[tuple[bytes, bytes]], which: str
) -> None:
    message = Message(fields=tuple(Field(name, value) for name, value in fields))
    edits = oldsignatures.removals(message, which=which, domains={"our.example"}, kept=(), verified=never)
    there = message.named(b"dkim-signature")
    numbers = [edit.nth for edit in edits]
    assert numbers == sorted(set(numbers), reverse=True)
    assert all(1 <= number <= len(there) for number in numbers)
    if which == "all":
        assert len(edits) == len(there)
    else:
        assert all(oldsignatures.name_of(there[edit.nth - 1])[0] == "our.example" for edit in edits)
        assert all(isinstance(edit, RemoveField) for edit in edits)


def test_thousands_of_signatures_are_looked_through_in_linear_time() -> None:
    def seconds(count: int) -> float:
        message = Message(fields=tuple(signature("our.example", f"s{n}") for n in range(count)))
        began = time.process_time()
        assert len(gone("own", message)) == count
        return time.process_time() - began

    small = min(seconds(1000) for _ in range(3))
    assert min(seconds(8000) for _ in range(3)) < 24 * small
