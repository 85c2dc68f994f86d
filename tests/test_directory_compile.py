"""Sources merged: who comes first, who may not take what, which targets are none, who has all the rest."""

import itertools

import pytest

from postvouch.directory import resolve
from postvouch.directory.compile import Compiled, compile_directory
from postvouch.directory.model import CONFIGURED, FILES, LDAP, Directory, Entry, Kind, Part, Rules
from postvouch.values.answer import Found, NotFound

OURS = Entry(kind=Kind.DOMAIN, name="our.example", values=(), source=CONFIGURED)


def forward(name: str, *targets: str, at: str = "f:1") -> Entry:
    return Entry(kind=Kind.FORWARD, name=name, values=targets, source=at)


def alias(name: str, *members: str, at: str = "a:1") -> Entry:
    return Entry(kind=Kind.ALIAS, name=name, values=members, source=at)


def part(origin: str, *entries: Entry, strict: bool = True) -> Part:
    return Part(origin=origin, strict=strict, entries=(OURS, *entries), read_at=1.0)


def made(*parts: Part, rules: Rules | None = None) -> Compiled:
    return compile_directory(parts, rules=rules)


def target(directory: Directory, key: str) -> str | None:
    answer = resolve.forward(directory, key)
    return answer.value if isinstance(answer, Found) else None


BOB_IN_FILE = part(FILES, forward("bob@our.example", "bob@file.example", at="names.yaml:3"))
BOB_IN_LDAP = part(LDAP, forward("bob@our.example", "bob@ldap.example", at="uid=bob"), strict=False)
BOB_ELSEWHERE = part("puppet", forward("bob@our.example", "bob@puppet.example", at="p:1"))


@pytest.mark.parametrize("parts", list(itertools.permutations((BOB_IN_FILE, BOB_IN_LDAP, BOB_ELSEWHERE))))
def test_of_several_sources_the_first_counts(parts: tuple[Part, ...]) -> None:
    compiled = made(*parts)
    assert not compiled.fatal
    first = parts[0].entries[1]
    assert resolve.forward(compiled.directory, "bob@our.example") == Found(first.values[0], first.source)


def test_within_one_file_source_the_later_entry_counts() -> None:
    twice = part(
        FILES, forward("bob@our.example", "one@x.example"), forward("bob@our.example", "two@x.example")
    )
    assert target(made(twice).directory, "bob@our.example") == "two@x.example"


def test_an_alias_and_a_forward_of_one_name_are_told_with_both_places() -> None:
    compiled = made(BOB_IN_FILE, part("puppet", alias("bob@our.example", "eve@our.example", at="p:7")))
    assert compiled.fatal
    (text,) = [str(each) for each in compiled.problems if each.fatal]
    assert text.startswith("p:7: ")
    assert "names.yaml:3" in text


@pytest.mark.parametrize("ldap_first", [True, False])
@pytest.mark.parametrize("wanted", ["team@our.example", "carol@our.example", "press@our.example"])
def test_what_people_edit_takes_nothing_from_others_whatever_the_order(ldap_first: bool, wanted: str) -> None:
    files = part(
        FILES,
        alias("team@our.example", "carol@our.example"),
        forward("press@our.example", "press@x.example"),
        forward("carol@our.example", "carol@x.example"),
        Entry(kind=Kind.LOGIN, name="carol", values=("carol@our.example",), source="f:9"),
    )
    ldap = part(
        LDAP,
        Entry(kind=Kind.LOGIN, name="mallory", values=("mallory@our.example",), source="uid=mallory"),
        forward("mallory@our.example", "m@evil.example", at="uid=mallory"),
        alias(wanted, "mallory@our.example", at="uid=mallory"),
        strict=False,
    )
    directory = made(*((ldap, files) if ldap_first else (files, ldap))).directory
    assert target(directory, wanted) in ("carol@x.example", "press@x.example")
    assert not resolve.may_send(directory, "mallory", wanted)


def test_a_person_cannot_take_the_mail_of_everybody() -> None:
    compiled = made(part(LDAP, alias("@our.example", "mallory@our.example", at="uid=mallory"), strict=False))
    assert "@our.example" not in compiled.directory.names
    assert "everybody" in str(compiled.problems[0])


def test_a_catch_all_has_what_nobody_else_has_but_never_a_forged_bounce() -> None:
    files = part(
        FILES,
        Entry(kind=Kind.DOMAIN, name="old.example", values=("our.example",), source="f:1"),
        forward("bob@our.example", "bob@x.example"),
        forward("@our.example", "rest@x.example"),
        Entry(kind=Kind.LOGIN, name="bob", values=("bob@our.example",), source="f:9"),
    )
    directory = made(files).directory
    assert target(directory, "bob+list@our.example") == "bob@x.example"
    assert target(directory, "whoever@our.example") == "rest@x.example"
    assert target(directory, "whoever@old.example") == "rest@x.example"
    for forged in ("SRS0=aaaa=bb=far.example=mara@our.example", "srs1+x=y==z@our.example"):
        assert isinstance(resolve.recipients(directory, forged), NotFound)
    assert not resolve.may_send(directory, "bob", "whoever@our.example")


def test_a_target_in_our_srs_domain_is_left_out_and_told() -> None:
    rules = Rules(srs_domains=frozenset({"our.example", "srs.example"}))
    files = part(
        FILES,
        forward("a@our.example", "SRS0=aaaa=bb=far.example=mara@our.example", "a@x.example", at="f:4"),
        forward("b@our.example", "anything@srs.example", at="f:5"),
        alias("c@our.example", "a@our.example"),
    )
    compiled = made(files, rules=rules)
    assert target(compiled.directory, "a@our.example") == "a@x.example"
    assert target(compiled.directory, "c@our.example") == "a@x.example"
    assert isinstance(resolve.recipients(compiled.directory, "b@our.example"), NotFound)
    said = [str(each) for each in compiled.problems]
    assert any(text.startswith("f:4: SRS0=") for text in said)
    assert any(text.startswith("f:5: anything@srs.example") for text in said)


def test_what_the_first_source_says_of_a_domain_counts_more_than_the_configuration() -> None:
    configured = Entry(kind=Kind.DOMAIN, name="old.example", values=(), source=CONFIGURED)
    folds = Entry(kind=Kind.DOMAIN, name="old.example", values=("our.example",), source="d:1")
    other = Entry(kind=Kind.DOMAIN, name="old.example", values=(), source="e:1")
    directory = made(part(FILES, configured), part("d", folds), part("e", other)).directory
    assert directory.domains["old.example"] == "our.example"
