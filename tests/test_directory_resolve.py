"""What each map answers, by role, for every shape of key that Postfix asks for."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from names import NAMES, directory

from postvouch.directory import resolve
from postvouch.directory.model import Directory, Rules
from postvouch.values.answer import Answer, Found, NotFound, Unavailable

NEXTHOP = "smtp:[srs.our.example]"
OURS = directory()


def value(answer: Answer) -> str:
    assert isinstance(answer, Found), answer
    return answer.value


def mx(name: str, key: str, names: Directory = OURS) -> Answer:
    return resolve.lookup(names, "mx", name, key, nexthop=NEXTHOP)


def srs(name: str, key: str, names: Directory = OURS) -> Answer:
    return resolve.lookup(names, "srs", name, key)


def test_mx_expands_an_alias_to_the_forwards_of_ours_and_says_where_it_is_written() -> None:
    answer = mx("alias", "postmaster@our.example")
    assert isinstance(answer, Found)
    assert answer.value == "carol@our.example"
    assert answer.source.endswith("names.yaml:4")


def test_mx_never_shows_an_address_outside() -> None:
    for key in ["alice", "carol", "travel", "press", "grants", "postmaster", "admins", "bob"]:
        for name in sorted(resolve.MAPS):
            answer = mx(name, f"{key}@our.example")
            assert "gmail" not in str(answer)
            assert "riseup" not in str(answer)
            assert "far.example" not in str(answer)


def test_mx_hands_forwards_and_aliases_with_a_member_outside_to_srs() -> None:
    assert value(mx("transport", "alice@our.example")) == NEXTHOP
    assert value(mx("transport", "press@our.example")) == NEXTHOP
    assert isinstance(mx("alias", "press@our.example"), NotFound)
    assert isinstance(mx("transport", "grants@our.example"), NotFound)
    assert isinstance(mx("forward", "alice@our.example"), NotFound)


def test_srs_expands_everything_to_the_outside_and_keeps_the_case_of_targets() -> None:
    assert value(srs("forward", "grants@our.example")) == "Alice@gmail.example"
    assert value(srs("forward", "press@our.example")) == "Alice@gmail.example, joe@far.example"
    travel = 'Alice@gmail.example, carol@riseup.example, "odd name"@gmail.example'
    assert value(srs("forward", "travel@our.example")) == travel
    assert isinstance(srs("transport", "alice@our.example"), NotFound)


def test_case_and_extensions_lead_to_the_same_name() -> None:
    for key in ["GRANTS@Our.Example", "grants+list@our.example", "Grants+a+b@OUR.example"]:
        assert value(mx("alias", key)) == "alice@our.example"
    assert value(srs("forward", "alice+x@our.example")) == "Alice@gmail.example"
    assert value(mx("recipients", "alice+x@our.example")) == "OK"


def test_an_exact_name_wins_over_its_rest_and_a_longer_rest_over_a_shorter() -> None:
    names = directory(
        "domains: {our.example: primary}\nforwards: {a: 1@x.example, a-b: 2@x.example, a-b-c: 3@x.example}",
        Rules(delimiter="+-"),
    )
    assert value(srs("forward", "a-b-c@our.example", names)) == "3@x.example"
    assert value(srs("forward", "a-b-z@our.example", names)) == "2@x.example"
    assert value(srs("forward", "a-z@our.example", names)) == "1@x.example"
    assert isinstance(srs("forward", "-a@our.example", names), NotFound)


def test_without_a_delimiter_an_extension_is_part_of_the_name() -> None:
    names = directory(NAMES, Rules(delimiter=""))
    assert isinstance(srs("forward", "alice+x@our.example", names), NotFound)


def test_an_alias_domain_folds_only_what_exists() -> None:
    assert value(mx("alias-domain", "Alice+x@old.example")) == "alice+x@our.example"
    assert isinstance(mx("alias-domain", "nobody@old.example"), NotFound)
    assert isinstance(mx("alias-domain", "alice@our.example"), NotFound)
    assert isinstance(mx("alias-domain", "bob@old.example"), NotFound)  # a login, and no mail
    assert value(mx("alias-domain", "OLD.example")) == "our.example"
    assert isinstance(mx("alias-domain", "our.example"), NotFound)
    assert isinstance(mx("alias-domain", "far.example"), NotFound)


def test_a_name_of_its_own_in_an_alias_domain_comes_before_the_fold() -> None:
    assert value(mx("alias", "sales@old.example")) == "carol@our.example"
    assert isinstance(mx("alias-domain", "sales@old.example"), NotFound)
    assert value(mx("recipients", "sales@old.example")) == "OK"


def test_a_name_that_leads_nowhere_is_no_recipient() -> None:
    names = directory("domains: {our.example: primary}\naliases: {a: b, c: [d], e: [f@our.example]}")
    for key in "abcdef":
        assert isinstance(mx("recipients", f"{key}@our.example", names), NotFound)
        assert isinstance(mx("transport", f"{key}@our.example", names), NotFound)


@pytest.mark.parametrize(
    "key",
    [
        '""',
        "",
        "*",
        "our.example",
        "@our.example",
        "alice",
        "a@b@our.example",
        "alice@",
        "alice@our..example",
        "alice@[192.0.2.1]",
        "x\udce9@our.example",
        "a\nb@our.example",
        "alice%far.example",
        "alice@our.example ",
        "<alice@our.example>",
    ],
)
@pytest.mark.parametrize("name", sorted(resolve.MAPS - {"alias-domain"}))
def test_a_malformed_key_is_not_found_and_never_unavailable(name: str, key: str) -> None:
    for role in ("mx", "srs"):
        assert isinstance(resolve.lookup(OURS, role, name, key, nexthop=NEXTHOP), NotFound)


@given(st.text(max_size=80), st.sampled_from(sorted(resolve.MAPS)), st.sampled_from(sorted(resolve.VIEWS)))
def test_no_key_whatever_raises_or_defers(key: str, name: str, role: str) -> None:
    answer = resolve.lookup(OURS, role, name, key, nexthop=NEXTHOP)
    assert isinstance(answer, Found | NotFound)


def test_quoted_local_parts_are_found_both_ways_that_smtpd_asks() -> None:
    names = directory(
        "domains: {our.example: primary}\n"
        'aliases: {team: ["\\"two words\\"@our.example"]}\nforwards: {"\\"Two Words\\"": x@far.example}'
    )
    assert value(srs("forward", '"two words"@our.example', names)) == "x@far.example"
    assert value(srs("forward", "two words@our.example", names)) == "x@far.example"
    assert value(mx("alias", "team@our.example", names)) == '"two words"@our.example'


def test_u_labels_a_labels_and_utf8_local_parts_are_one_name() -> None:
    names = directory("domains: {exämple.example: primary}\nforwards: {Jörg: x@far.example}")
    for key in ["jörg@exämple.example", "JÖRG@xn--exmple-cua.example", "jo\u0308rg@EXÄMPLE.example"]:
        assert value(srs("forward", key, names)) == "x@far.example"


def test_owners_are_the_login_itself_members_of_roles_and_nobody_else() -> None:
    assert value(mx("owners", "bob.b@our.example")) == "bob"
    assert value(mx("owners", "grants@our.example")) == "alice,bob"
    assert value(mx("owners", "postmaster@our.example")) == "bob,carol"
    assert value(mx("owners", "alice+x@old.example")) == "alice"
    assert value(mx("owners", "travel@our.example")) == "travel"  # members of a forward do not own it
    assert isinstance(mx("owners", "Alice@gmail.example"), NotFound)
    assert isinstance(mx("owners", "nobody@our.example"), NotFound)


def test_a_login_may_send_as_what_it_owns_and_as_nothing_else() -> None:
    def may(login: str, address: str) -> bool:
        return resolve.may_send(OURS, login, address)

    assert may("bob", "Bob@our.example")
    assert may("BOB", "bob+tag@old.example")
    assert may("bob@our.example", "bob@our.example")
    assert may("bob", "postmaster@our.example")
    assert not may("bob", "carol@our.example")
    assert not may("bob@old.example", "bob@our.example")
    assert not may("bob@far.example", "bob@our.example")
    assert not may("", "bob@our.example")
    assert not may("bob", "")
    assert not may("bob", "bob@our.example, carol@our.example")


def test_a_login_with_a_list_of_its_own_owns_that_and_not_the_forward_of_its_name() -> None:
    names = directory(
        "domains: {our.example: primary}\nforwards: {al: a@x.example, b: b@x.example}\nlogins: {al: b}"
    )
    assert value(mx("owners", "b@our.example", names)) == "al,b"
    assert isinstance(mx("owners", "al@our.example", names), NotFound)


def test_every_role_has_its_own_view_and_no_role_has_none() -> None:
    assert isinstance(resolve.lookup(OURS, "", "alias", "grants@our.example"), NotFound)
    assert isinstance(resolve.lookup(OURS, "relay", "forward", "alice@our.example"), NotFound)
    assert isinstance(resolve.lookup(OURS, "submission", "transport", "alice@our.example"), NotFound)
    assert value(resolve.lookup(OURS, "submission", "owners", "alice@our.example")) == "alice"


def test_a_map_that_nobody_has_defers_because_main_cf_has_a_typing_error() -> None:
    assert isinstance(resolve.lookup(OURS, "mx", "aliass", "grants@our.example"), Unavailable)


def test_a_loop_defers_and_names_the_cycle() -> None:
    names = directory("domains: {our.example: primary}\nforwards: {a: x@far.example}")
    broken = Directory(
        domain=names.domain, domains=names.domains,
        names={f"{k}@our.example": type(names.names["a@our.example"])(
            names.names["a@our.example"].kind, (f"{t}@our.example",), "x", False) for k, t in ("ab", "ba")},
    )  # fmt: skip
    answer = srs("forward", "a@our.example", broken)
    assert answer == Unavailable("loop: a@our.example -> b@our.example -> a@our.example")


AGE = {"hard_age_s": 100.0, "ours": ("our.example", "old.example")}


def believed(names: Directory, name: str, key: str, age_s: float) -> Answer:
    return resolve.believed(names, key, mx(name, key, names), age_s=age_s, **AGE)  # type: ignore[arg-type]


def test_beyond_the_hard_age_hits_are_served_and_misses_are_deferred() -> None:
    assert value(believed(OURS, "alias", "grants@our.example", 1e9)) == "alice@our.example"
    assert isinstance(believed(OURS, "recipients", "new@our.example", 1e9), Unavailable)
    assert isinstance(believed(OURS, "recipients", "new@our.example", 99.0), NotFound)


def test_beyond_the_hard_age_all_that_mail_to_a_known_name_needs_is_still_answered() -> None:
    for name, key in [
        ("alias-domain", "our.example"),
        ("alias", "alice@our.example"),
        ("alias", "x@far.example"),
        ("alias-domain", "alice@our.example"),
        ("transport", "grants@our.example"),
        ("alias", '""'),
        ("transport", "*"),
        ("recipients", "alias\udce9@our.example"),
    ]:
        assert isinstance(believed(OURS, name, key, 1e9), NotFound), (name, key)


def test_before_the_names_were_ever_read_our_domains_defer_and_others_do_not() -> None:
    nothing = Directory()
    assert isinstance(believed(nothing, "recipients", "alice@our.example", 1e9), Unavailable)
    assert isinstance(believed(nothing, "alias-domain", "old.example", 1e9), Unavailable)
    assert isinstance(believed(nothing, "alias", "x@far.example", 1e9), NotFound)


def test_a_key_longer_than_any_name_is_no_address_and_costs_nothing() -> None:
    made = directory()
    began = time.process_time()
    for _ in range(100):
        assert not resolve.may_send(made, "bob", "bob" + "+" * 20_000 + "@our.example")
    assert time.process_time() - began < 1
