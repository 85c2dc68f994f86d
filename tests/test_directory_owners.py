"""Who may use an address, what a login may use, what is left of a person: one truth, told from both ends."""

import time
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from names import NAMES, read

from postvouch.directory import resolve
from postvouch.directory.compile import compile_directory
from postvouch.directory.model import Entry, Kind, Part
from postvouch.directory.owners import left_of, password_entries, what_can, who_can
from postvouch.directory.trace import Origins, trace

PART, _ = read(NAMES)
PART = replace(
    PART, entries=tuple(replace(e, source=f"names.yaml:{e.source.rpartition(':')[2]}") for e in PART.entries)
)
DIRECTORY = compile_directory([PART]).directory
ORIGINS = Origins([PART])


def ways(rights):
    return {r.login: (r.reason, [str(step) for step in r.way]) for r in rights}


def test_each_login_is_told_with_the_way_to_it():
    told = ways(who_can(DIRECTORY, ORIGINS, "Postmaster+x@old.example"))
    assert list(told) == ["bob", "carol"]
    reason, way = told["bob"]
    assert reason == "alias"
    assert way == [
        "old.example folds to our.example: postmaster+x@old.example is postmaster+x@our.example "
        "(names.yaml:1)",
        "postmaster+x@our.example is postmaster@our.example without its extension +x",
        "admins@our.example is a member of the alias postmaster@our.example (names.yaml:4)",
        "bob@our.example is a member of the alias admins@our.example (names.yaml:5)",
        "bob@our.example is bob's own address (names.yaml:13)",
    ]
    assert told["carol"][1][-1] == "carol@our.example is the forward of the login of its name (names.yaml:10)"


def test_an_address_that_is_none_has_no_owners():
    for text in ("", "nobody@our.example", "x@far.example", "a@b@our.example", "\0", "@", "x" * 10000):
        assert who_can(DIRECTORY, ORIGINS, text) == ()


def test_all_addresses_of_a_login_are_told_with_those_of_alias_domains():
    told = {r.address: r for r in what_can(DIRECTORY, ORIGINS, "Bob@our.example")}
    assert {address: r.reason for address, r in told.items()} == {
        "admins@our.example": "alias",
        "bob.b@our.example": "delegation",
        "bob@our.example": "own",
        "grants@our.example": "alias",
        "postmaster@our.example": "alias",
    }
    assert told["bob@our.example"].also == ("bob@old.example",)
    assert what_can(DIRECTORY, ORIGINS, "nobody") == ()


def test_a_role_gives_its_address_to_its_members():
    part = Part(
        origin="names",
        entries=(
            Entry(kind=Kind.DOMAIN, name="our.example", values=(), source="a:1"),
            Entry(
                kind=Kind.ROLE, name="press@our.example", values=("dora", "emil@our.example"), source="a:2"
            ),
            Entry(kind=Kind.LOGIN, name="emil", values=("emil@our.example",), source="a:3"),
        ),
    )
    directory = compile_directory([part]).directory
    told = ways(who_can(directory, Origins([part]), "press@our.example"))
    assert told["dora"] == ("role", ["dora is a member of the role press@our.example (a:2)"])
    assert told["emil"][1][-1] == "emil@our.example is emil's own address (a:3)"
    assert [r.address for r in what_can(directory, Origins([part]), "dora")] == ["press@our.example"]


WORDS = st.sampled_from(["ann", "bob", "cid", "dan", "eve"])
KEYS = st.builds("{}@{}".format, WORDS, st.sampled_from(["our.example", "old.example", "far.example"]))
ENTRIES = st.lists(
    st.one_of(
        st.tuples(st.just(Kind.ALIAS), KEYS, st.lists(KEYS, min_size=1, max_size=3)),
        st.tuples(st.just(Kind.FORWARD), KEYS, st.lists(KEYS, min_size=1, max_size=3)),
        st.tuples(st.just(Kind.LOGIN), WORDS, st.lists(KEYS, max_size=3)),
        st.tuples(st.just(Kind.ROLE), KEYS, st.lists(KEYS | WORDS, max_size=3)),
    ),
    max_size=12,
)


def part_of(said, *, strict):
    domains = (
        Entry(kind=Kind.DOMAIN, name="our.example", values=(), source="d:1"),
        Entry(kind=Kind.DOMAIN, name="old.example", values=("our.example",), source="d:2"),
    )
    entries = (Entry(kind=k, name=n, values=tuple(v), source=f"f:{i}") for i, (k, n, v) in enumerate(said, 1))
    return Part(origin="f", strict=strict, entries=(*domains, *entries))


@settings(max_examples=150, deadline=None)
@given(ENTRIES, st.booleans())
def test_what_a_login_can_is_what_every_address_says_of_it(said, strict):
    part = part_of(said, strict=strict)
    directory, origins = compile_directory([part]).directory, Origins([part])
    keys = {*directory.names, *directory.users, *directory.roles}
    logins = {*directory.logins, "ann", "bob", "cid", "dan", "eve"}
    for login in logins:
        right = {r.address for r in what_can(directory, origins, login)}
        assert right == {key for key in keys if login in {r.login for r in who_can(directory, origins, key)}}
        assert all(resolve.may_send(directory, login, address) for address in right)
        for each in what_can(directory, origins, login):
            assert all(resolve.may_send(directory, login, address) for address in each.also)
            assert each.way


@settings(max_examples=100, deadline=None)
@given(ENTRIES, KEYS)
def test_every_way_ends_and_names_where_it_is_from(said, key):
    part = part_of(said, strict=False)
    directory = compile_directory([part]).directory
    steps = trace(directory, Origins([part]), key)
    assert len(steps) <= 200
    assert not steps or not directory.is_ours(key) or any(s.source or "no such" in s.text for s in steps)


def test_what_a_login_can_is_found_in_one_pass():
    def seconds(count):
        entries = [Entry(kind=Kind.DOMAIN, name="our.example", values=(), source="a:0")]
        for n in range(count):
            target = f"a{n - 1}@our.example" if n % 40 else "bob@our.example"
            entries.append(Entry(kind=Kind.ALIAS, name=f"a{n}@our.example", values=(target,), source="a:1"))
        entries.append(Entry(kind=Kind.LOGIN, name="bob", values=("bob@our.example",), source="a:2"))
        part = Part(origin="a", entries=tuple(entries))
        directory, origins = compile_directory([part]).directory, Origins([part])
        begun = time.process_time()
        assert len(what_can(directory, origins, "bob")) == count + 1
        return time.process_time() - begun

    assert seconds(8000) < 12 * seconds(2000) + 0.5


def test_everything_that_names_a_person_is_found_and_nothing_of_others():
    part = Part(
        origin="names",
        entries=tuple(
            Entry(kind=k, name=n, values=v, source=f"a:{i}")
            for i, (k, n, v) in enumerate(
                [
                    (Kind.DOMAIN, "our.example", ()),
                    (Kind.LOGIN, "bob", ("bob@our.example", "robert@our.example", "press@our.example")),
                    (Kind.LOGIN, "ann", ("ann@our.example", "bob+old@our.example", "press@our.example")),
                    (Kind.ALIAS, "crew@our.example", ("ann@our.example", "Robert@our.example".lower())),
                    (Kind.ALIAS, "press@our.example", ("ann@our.example",)),
                    (Kind.ROLE, "admin@our.example", ("ann", "bob")),
                    (Kind.FORWARD, "bob@our.example", ("b@far.example",)),
                    (Kind.FORWARD, "trip@our.example", ("bob@our.example", "bobby@our.example")),
                    (Kind.FORWARD, "bobby@our.example", ("bob@far.example",)),
                    (Kind.ROLE, "list@our.example", ("press@our.example",)),
                ]
            )
        ),
    )
    left = left_of([part], "Bob", domains=["our.example"], delimiter="+")
    assert [(each.what, each.source) for each in left] == [
        ("account", "a:1"), ("right", "a:2"), ("member", "a:3"), ("member", "a:5"), ("forward", "a:6"),
        ("target", "a:7"),
    ]  # fmt: skip
    assert left_of([part], "bo", domains=["our.example"], delimiter="+") == ()


def test_password_entries_are_found_with_and_without_domain():
    lines = ["# bob:no", "ann:{SHA}x", "bob:{SHA}x:1000", "Bob@our.example:{SHA}y", "bobby:x", "bob", ""]
    assert list(password_entries(lines, "bob")) == [3, 4]
    assert list(password_entries(lines, "Bob@our.example")) == [3, 4]


def test_the_way_of_a_letter_is_told_from_the_key_as_it_came_to_the_outside():
    assert [str(step) for step in trace(DIRECTORY, ORIGINS, "Travel+x@OLD.example")] == [
        "Travel+x@OLD.example is read as travel+x@old.example",
        "old.example folds to our.example: travel+x@old.example is travel+x@our.example (names.yaml:1)",
        "travel+x@our.example is travel@our.example without its extension +x",
        "travel@our.example is the forward for alice@our.example, carol@our.example, "
        '"odd name"@gmail.example (names.yaml:11)',
        "alice@our.example is the forward for Alice@gmail.example (names.yaml:9)",
        "carol@our.example is the forward for carol@riseup.example (names.yaml:10)",
    ]
    assert [str(step) for step in trace(DIRECTORY, ORIGINS, "bob@our.example")] == [
        "bob@our.example is an address of the login bob, and has no forward (names.yaml:13)"
    ]


@settings(max_examples=100, deadline=None)
@given(ENTRIES, KEYS, st.sampled_from(sorted(resolve.MAPS)))
def test_mx_shows_no_address_outside_for_any_key_of_any_map(said, key, name):
    part = part_of(said, strict=False)
    directory = compile_directory([part]).directory
    for asked in (key, key.upper(), key.replace("@", "+x@"), key.rpartition("@")[2]):
        answer = resolve.lookup(directory, "mx", name, asked, nexthop="smtp:[srs.our.example]")
        assert "far.example" not in getattr(answer, "value", "")
    shown = " ".join(map(str, trace(directory, Origins([part]), key, outside=False)))
    assert "far.example" not in shown.replace(key, "")
