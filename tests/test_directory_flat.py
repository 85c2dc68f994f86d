"""Postmap-style files: read as Postfix itself reads them, each fault with its line."""

import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers import program

from postvouch.directory import flat
from postvouch.directory.model import Entry, Kind, Problem


def read(
    text: str | bytes, section: str = "aliases", *, strict: bool = True
) -> tuple[list[Entry], list[Problem]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "f"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        part, problems = flat.read(
            [str(path)], ["our.example"], now=1.0, origin="flat", section=section, strict=strict
        )
    shorter = [
        Problem(
            source=p.source.replace(f"{folder}/", ""), text=p.text.replace(f"{folder}/", ""), fatal=p.fatal
        )
        for p in problems
    ]
    return list(part.entries), shorter


def test_comments_blank_lines_and_continuations_are_postfixs() -> None:
    entries, problems = read(
        "# comment\n\n  \ngrants alice,\n# inside\n   bob@our.example\n\n\tcarol\npress: dora, erin\n"
    )
    assert not problems
    assert [(e.name, e.values) for e in entries] == [
        ("grants@our.example", ("alice@our.example", "bob@our.example", "carol@our.example")),
        ("press@our.example", ("dora@our.example", "erin@our.example")),
    ]
    assert [e.source.rpartition(":")[2] for e in entries] == ["4", "9"]


def test_quoted_local_parts_hold_blanks_colons_and_commas() -> None:
    entries, problems = read('"a b"@our.example "c, d"@far.example, e\n"x: y"@our.example: f\n')
    assert not problems
    assert [(e.name, e.values) for e in entries] == [
        ("a b@our.example", ('"c, d"@far.example', "e@our.example")),
        ("x: y@our.example", ("f@our.example",)),
    ]


@pytest.mark.parametrize("text, line, part", [
    ("a b\na c\n", 2, "a is already at f:1"),
    ("a\n", 1, "needs an address"),
    ("a:\n", 1, "needs an address"),
    ("a |/usr/bin/vacation\n", 1, "no address"),
    ("a: :include:/etc/list\n", 1, "no address"),
    ("a b\nc /dev/null\n", 2, "no address"),
    ("a\0b c\n", 1, "no address"),
    (b"a b\xff\n", 1, "no address"),
])  # fmt: skip
def test_each_fault_is_told_with_its_line(text: str | bytes, line: int, part: str) -> None:
    _, (problem, *_) = read(text)
    assert problem.source == f"f:{line}"
    assert part in problem.text
    assert problem.fatal
    assert not read(text, strict=False)[1][0].fatal


def test_alias_domains_may_be_written_as_virtual_5_does() -> None:
    entries, problems = read("@old.example @our.example\nnew.example primary\n", "domains")
    assert [(e.kind, e.name, e.values) for e in entries] == [
        (Kind.DOMAIN, "old.example", ("our.example",)), (Kind.DOMAIN, "new.example", ()),
    ]  # fmt: skip
    assert not any(p.fatal for p in problems)


@given(st.binary(max_size=300), st.sampled_from(["aliases", "forwards", "domains", "logins", "roles"]))
def test_nothing_raises_and_everything_said_has_a_place(octets: bytes, section: str) -> None:
    entries, problems = read(octets, section)
    assert all(e.source for e in entries)
    assert all(p.source and p.text for p in problems)


@given(st.text('ab"\\: ,#@\n\t|x.', max_size=60))
def test_awkward_texts_do_not_raise_either(text: str) -> None:
    read(text)


NAMES = st.from_regex(r"[a-z][a-z0-9._-]{0,6}[a-z0-9]", fullmatch=True).filter(lambda x: ".." not in x)
TARGETS = st.lists(NAMES.map(lambda x: f"{x}@far.example"), min_size=1, max_size=4, unique=True)


@given(st.dictionaries(NAMES, TARGETS, max_size=8), st.sampled_from([", ", ",\n  ", " ", ",\n# x\n\t"]))
def test_what_is_written_is_what_is_read(names: dict[str, list[str]], between: str) -> None:
    entries, problems = read("".join(f"{k} {between.join(v)}\n" for k, v in names.items()))
    assert not problems
    assert {e.name: list(e.values) for e in entries} == {f"{k}@our.example": v for k, v in names.items()}


def test_postmap_reads_the_same_names(tmp_path: Path) -> None:
    text = "# x\ngrants alice@our.example,\n  bob@our.example\n\npress\tdora@our.example\n  \n# y\nlast a@b.c"
    (tmp_path / "main.cf").write_text("compatibility_level = 3.6\n")
    (tmp_path / "f").write_text(text + "\n")
    done = subprocess.run(
        [program("postmap", "postfix"), "-c", str(tmp_path), "-q", "-", f"texthash:{tmp_path}/f"],
        input="grants\npress\nlast\n", capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    theirs = dict(line.split("\t", 1) for line in done.stdout.splitlines())
    ours = {e.name.removesuffix("@our.example"): e.values for e in read(text)[0]}
    assert len(ours) == 3
    assert {k: tuple(v.replace(",", " ").split()) for k, v in theirs.items()} == ours


def test_a_forward_of_200_characters_is_taken_and_one_more_is_not() -> None:
    for size, taken in ((200, 1), (201, 0)):
        target = "x" * (size - 12) + "@far.example"
        for between in (": ", " ", ":\t  "):
            entries, problems = read(f"bob{between}{target}\n", "forwards", strict=False)
            assert (len(entries), len(problems)) == (taken, 1 - taken)


def test_long_lines_cost_no_more_than_their_length() -> None:
    for text in ('"' * 200_000, "a " + '"\\' * 100_000, "a:" * 100_000, "a " + ", " * 100_000 + "b"):
        read(text)
