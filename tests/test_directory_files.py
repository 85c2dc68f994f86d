"""Names files: every statement with its line, every fault at its line, nothing guessed."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from names import compiled, directory, read

from postvouch.directory import files
from postvouch.directory.compile import compile_directory
from postvouch.directory.model import Entry, Kind, Rules

HEAD = "domains: {our.example: primary, old.example: our.example}\n"


def problems(text: str, *domains: str) -> list[str]:
    return [str(p) for p in read(text, *domains)[1]]


def test_entries_have_complete_addresses_and_the_line_where_they_stand() -> None:
    part, _ = read(HEAD + "aliases:\n  Grants:\n    - alice\n    - Bob@OLD.example\n")
    (entry,) = [e for e in part.entries if e.kind is Kind.ALIAS]
    assert entry.name == "grants@our.example"
    assert entry.values == ("alice@our.example", "Bob@old.example")
    assert entry.source.endswith("/names.yaml:3")


def test_words_that_yaml_takes_for_booleans_and_numbers_are_names() -> None:
    part, found = read(HEAD + "forwards: {no: x@far.example, 1e3: y@far.example, 0x10: z@far.example}")
    assert not found
    names = {e.name for e in part.entries if e.kind is Kind.FORWARD}
    assert names == {"no@our.example", "1e3@our.example", "0x10@our.example"}


@pytest.mark.parametrize("text, line, part", [
    ("aliases:\n  a: [b, c\n", 2, "not YAML"),
    ("aliases:\n  a: \"half", 2, "not YAML"),
    ("- a\n", 1, "a mapping of sections"),
    ("alliases: {a: b}\n", 1, "unknown section 'alliases'"),
    ("aliases: {a: b}\n\naliases: {c: d}\n", 3, "second aliases section"),
    ("aliases: [a, b]\n", 1, "mapping of names"),
    ("aliases:\n  a:\n", 2, "needs an address"),
    ("aliases:\n  a: []\n", 2, "needs an address"),
    ("aliases:\n  a: [[b]]\n", 2, "needs an address"),
    ("aliases:\n  a: {b: c}\n", 2, "needs an address"),
    ("aliases:\n  a: b\n  A: c\n", 3, "already in aliases at names.yaml:2"),
    ("aliases:\n  a:\n    - b\n    - c d@far.example\n", 4, "no address"),
    ("forwards:\n  a b: c@far.example\n", 2, "no address"),
    ("domains:\n  x_y z: primary\n", 2, "needs a domain"),
    ("domains:\n  x.example: [primary, y.example]\n", 2, "needs a domain"),
])  # fmt: skip
def test_each_fault_is_told_with_file_and_line(text: str, line: int, part: str) -> None:
    (found,) = problems(text, "our.example")
    assert found.startswith(f"names.yaml:{line}: ")
    assert part in found


def test_all_faults_are_told_in_one_run() -> None:
    assert len(problems("aliases: {a: '', b: 'x y'}\nfoo: 1\nforwards: 7\n", "our.example")) == 4


def test_a_bare_name_without_any_domain_is_a_fault() -> None:
    assert problems("forwards: {a: b@far.example}") == [
        "names.yaml:1: a needs a domain: general.domains and domains are empty"
    ]


def test_bare_names_live_in_the_first_primary_domain() -> None:
    part, _ = read(
        "domains: {old.example: our.example}\nforwards: {a: b@far.example}", "old.example", "our.example"
    )
    assert [e.name for e in part.entries if e.kind is Kind.FORWARD] == ["a@our.example"]


def test_a_domain_that_general_domains_lacks_is_only_warned_about() -> None:
    _, found = read("domains: {our.example: primary, new.example: primary}", "our.example")
    assert [(str(p), p.fatal) for p in found] == [
        ("names.yaml:1: new.example is missing in general.domains", False)
    ]


def test_empty_files_and_empty_sections_are_fine() -> None:
    for text in ["", "# nothing\n", "aliases:\nforwards: {}\nlogins: ~\n"]:
        assert problems(text, "our.example") == []


def test_files_are_merged_in_order_and_the_later_one_counts(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text("forwards: {a: second@far.example, c: x@far.example}")
    (tmp_path / "a.yaml").write_text(HEAD + "forwards: {a: first@far.example}")
    (tmp_path / ".c.yaml").write_text("half written")
    part, found = files.read([f"{tmp_path}/*.yaml"], (), now=1.0)
    assert not found
    made = compile_directory([part])
    assert not made.problems
    assert made.directory.names["a@our.example"].targets == ("second@far.example",)


def test_a_file_that_is_missing_or_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    _, found = files.read([f"{tmp_path}/none.yaml", f"{tmp_path}/*.yaml"], (), now=1.0)
    assert [str(p) for p in found] == [
        f"{tmp_path}/none.yaml: no such file", f"{tmp_path}/folder.yaml: cannot be read: Is a directory"
    ]  # fmt: skip


def test_a_folder_that_cannot_be_read_is_no_folder_without_names(tmp_path: Path) -> None:
    """Else a fresh host with a wrong mode on names.d would answer 550 for everybody."""
    (tmp_path / "names.d").symlink_to("names.d")
    _, found = files.read([f"{tmp_path}/names.d/*.yaml"], ("our.example",), now=1.0)
    assert [str(p) for p in found] == [
        f"{tmp_path}/names.d/*.yaml: cannot be read: Too many levels of symbolic links"
    ]
    assert found[0].fatal


@given(st.binary(max_size=200) | st.text(alphabet="adfil:{}[],&*!|>-\"'\n @.", max_size=120).map(str.encode))
def test_no_file_whatever_raises(octets: bytes) -> None:
    with tempfile.NamedTemporaryFile(suffix=".yaml") as file:
        file.write(octets)
        file.flush()
        part, _ = files.read([file.name], ("our.example",), now=1.0)
    assert part.entries[0] == Entry(kind=Kind.DOMAIN, name="our.example", values=(), source="general.domains")


def test_deep_nesting_and_references_end_quickly() -> None:
    assert len(problems("aliases: " + "[" * 20000, "our.example")) == 1
    bomb = "x: &a [y, y]\n" + "".join(
        f"x{n}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(20)
    )
    assert len(problems(bomb, "our.example")) == 21


def test_an_alias_and_a_forward_of_one_name_are_a_conflict_that_names_both_places() -> None:
    made = compiled(HEAD + "aliases:\n  a: b\nforwards:\n  a: x@far.example\n  b: y@far.example\n")
    assert made.fatal
    (problem,) = made.problems
    assert problem.source.endswith("names.yaml:5")
    assert problem.text.startswith("a@our.example is a forward here and an alias at ")
    assert problem.text.endswith("names.yaml:3")


def test_a_loop_in_files_is_fatal_and_told_once() -> None:
    made = compiled(HEAD + "aliases: {a: b, b: c, c: a, d: a}\n")
    assert made.fatal
    (problem,) = [p for p in made.problems if p.fatal]
    assert "a@our.example -> b@our.example -> c@our.example -> a@our.example" in problem.text


def test_a_loop_through_an_alias_domain_and_an_extension_is_found() -> None:
    assert compiled(HEAD + "aliases: {a: b+x@old.example, b: A+y}\n").fatal
    assert compiled(HEAD + "forwards: {a: a@old.example}\n").fatal


def test_too_many_targets_and_too_deep_a_nesting_are_fatal() -> None:
    many = ", ".join(f"u{n}@far.example" for n in range(6))
    made = compiled(HEAD + f"forwards: {{a: [{many}]}}", Rules(max_targets=5))
    assert [p.text for p in made.problems] == ["a@our.example has more than 5 targets"]
    deep = ", ".join(f"a{n}: a{n + 1}" for n in range(60))
    assert compiled(HEAD + f"aliases: {{{deep}}}\nforwards: {{a60: x@far.example}}").fatal


def test_many_roles_of_roles_cost_no_exponential_time() -> None:
    layers = "".join(f"  r{n}: [r{n + 1}, s{n + 1}]\n  s{n}: [r{n + 1}, s{n + 1}]\n" for n in range(40))
    names = directory(HEAD + "aliases:\n" + layers + "forwards: {r40: x@far.example, s40: y@far.example}")
    assert len(names.names) == 82


def test_members_that_do_not_exist_are_warned_about_and_get_nothing() -> None:
    made = compiled(
        HEAD + "aliases: {a: [b, ghost, worker]}\nforwards: {b: x@far.example}\nlogins: {worker: worker}"
    )
    assert not made.fatal
    texts = [p.text for p in made.problems]
    assert texts == [
        "ghost@our.example, a target of a@our.example, does not exist: it gets no mail",
        "worker@our.example, a target of a@our.example, has a login but no forward: it gets no mail",
    ]


def test_names_outside_our_domains_and_forwards_in_alias_domains_are_refused() -> None:
    assert compiled(HEAD + "aliases: {a@far.example: b}").fatal
    assert compiled(HEAD + "forwards: {a@old.example: b@far.example}").fatal
    assert compiled("domains: {a.example: b.example}").fatal
    assert compiled("domains: {a.example: b.example, b.example: a.example}").fatal
