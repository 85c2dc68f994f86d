"""Plans for main.cf and master.cf: what is wanted comes about, and what was there comes back."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postvouch.config.snippets import Wiring, normal
from postvouch.host.wiring import Record, Settings, Was, after, diff, doubts, dump, read, to_apply, to_remove

NAMES = st.sampled_from(["mydestination", "relay_domains", "smtpd_milters", "transport_maps", "mynetworks"])
VALUES = st.sampled_from(["", "no", "our.example", "{ a, b=c }", "{a, b=c}", "inet:127.0.0.1:1"])
SERVICES = st.sampled_from(["smtp/inet", "submission/inet", "submissions/inet"])
LINES = st.sampled_from(["x inet n - y - - smtpd", "x inet n - y - - smtpd -o a=b -o {c=d e}"])
KNOWN = frozenset({"mydestination", "relay_domains", "smtpd_milters", "transport_maps", "mynetworks"})

settings = st.builds(Settings, main=st.dictionaries(NAMES, VALUES), services=st.dictionaries(SERVICES, LINES))
wirings = st.builds(
    Wiring,
    main=st.dictionaries(NAMES, VALUES),
    services=st.dictionaries(SERVICES, LINES | st.none()),
    main_text=st.just(""),
    master_text=st.just(""),
)


def wants(main: dict[str, str]) -> Wiring:
    return Wiring(main=main, services={}, main_text="", master_text="")


def has(main: dict[str, str]) -> Settings:
    return Settings(main=main, services={})


def alike(one: Settings, two: Settings) -> bool:
    """Equal but for white space, which we may write differently."""
    return all(
        {name: normal(value) for name, value in a.items()}
        == {name: normal(value) for name, value in b.items()}
        for a, b in ((one.main, two.main), (one.services, two.services))
    )


@given(settings, wirings)
def test_once_applied_nothing_is_left_to_do(now: Settings, wanted: Wiring) -> None:
    first = to_apply("mx", wanted, now, KNOWN, None)
    second = to_apply("mx", wanted, after(now, first), KNOWN, first.record)
    assert not second
    assert second.record == first.record


@given(settings, wirings)
def test_removal_brings_back_what_was_there(now: Settings, wanted: Wiring) -> None:
    plan = to_apply("mx", wanted, now, KNOWN, None)
    then = after(now, plan)
    assert plan.record is not None
    assert alike(after(then, to_remove(then, plan.record)), now)


@given(settings, wirings, wirings)
def test_a_change_of_role_and_removal_bring_back_what_was_there(
    now: Settings, one: Wiring, two: Wiring
) -> None:
    first = to_apply("mx", one, now, KNOWN, None)
    then = after(now, first)
    second = to_apply("srs", two, then, KNOWN, first.record)
    assert second.record is not None
    last = after(then, second)
    assert alike(after(last, to_remove(last, second.record)), now)


@given(settings, wirings)
def test_the_record_survives_its_file(now: Settings, wanted: Wiring) -> None:
    record = to_apply("mx", wanted, now, KNOWN, None).record
    assert record is not None
    assert read(dump(record)) == record


@given(settings, settings)
def test_a_diff_is_empty_exactly_where_postfix_would_see_no_difference(one: Settings, two: Settings) -> None:
    assert (diff(has(dict(one.main)), has(dict(two.main))) == "") == alike(
        has(dict(one.main)), has(dict(two.main))
    )


def test_a_parameter_that_this_postfix_lacks_is_left_out_and_said() -> None:
    plan = to_apply("mx", wants({"smtpd_forbid_bare_newline": "normalize"}), has({}), KNOWN, None)
    assert not plan
    assert plan.notes == ("smtpd_forbid_bare_newline: this Postfix has no such parameter",)


def test_white_space_is_no_drift() -> None:
    plan = to_apply(
        "mx",
        wants({"smtpd_milters": "{unix:x, a=b}"}),
        has({"smtpd_milters": "{ unix:x,  a=b }"}),
        KNOWN,
        None,
    )
    assert not plan


def test_a_value_that_names_our_sockets_is_never_put_back() -> None:
    ours = {"smtpd_milters": "unix:postvouch/sign.sock"}
    plan = to_apply("mx", wants(ours), has(ours), KNOWN, None)
    assert plan.record is not None
    assert plan.record.main == {"smtpd_milters": Was(None, "unix:postvouch/sign.sock")}
    assert to_remove(has(ours), plan.record).main == {"smtpd_milters": None}


def test_what_somebody_else_changed_is_left_alone_and_said() -> None:
    record = Record(role="mx", main={"relay_domains": Was("a", "b")}, services={})
    plan = to_remove(has({"relay_domains": "c"}), record)
    assert not plan
    assert plan.notes == ("relay_domains: changed since we wrote it, so it is left as it is",)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "null", '{"role": "mx", "main": {"a": 1}, "services": {}}',
     '{"role": "mx", "main": {"a": {"before": 1, "wrote": ""}}, "services": {}}'],
)  # fmt: skip
def test_a_damaged_record_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read(text)


@given(
    st.recursive(
        st.none() | st.booleans() | st.text(max_size=3),
        lambda x: (
            st.lists(x)
            | st.dictionaries(st.sampled_from(["role", "main", "services", "before", "wrote", "a"]), x)
        ),
        max_leaves=12,
    )
)
def test_junk_is_no_record_or_a_clean_one(junk: object) -> None:
    try:
        record = read(json.dumps(junk))
    except ValueError:
        return
    assert read(dump(record)) == record


SMTPD = "127.0.0.1:10025 inet n - y - - smtpd"


@pytest.mark.parametrize(
    "options, said",
    [
        ("-o content_filter=", "goes through the milters once more"),
        ("-o syslog_name=x -o {content_filter = }", "goes through the milters once more"),
        ("-o content_filter= -o receive_override_options=no_header_body_checks", "once more"),
        ("-o content_filter= -o receive_override_options=no_unknown_recipient_checks,no_milters", ""),
        ("-o {receive_override_options = no_milters} -o content_filter=", ""),
        ("-o content_filter= -o smtpd_milters=", ""),
        ("-o content_filter=smtp:[127.0.0.1]:10024", ""),
        ("-o milter_default_action=accept", "lets mail pass while a milter is away"),
        ("-o {smtpd_milters = { unix:a, default_action=accept }}", "lets mail pass while a milter is away"),
        ("-o smtpd_milters=", "no milters here"),
        ("-o receive_override_options=no_milters", "no milters here"),
        ("-o smtpd_sasl_auth_enable=yes", ""),
        ("", ""),
    ],
)
def test_a_listener_that_goes_around_the_milters_or_twice_through_them_is_named(options, said) -> None:
    found = doubts({"127.0.0.1:10025/inet": f"{SMTPD} {options}"})
    assert len(found) == (said != "")
    assert all(said in each and each.startswith("127.0.0.1:10025/inet: ") for each in found)
    assert doubts({"x/unix": f"x unix - - y - - smtp {options}"}) == ()


def test_what_is_doubtful_is_noted_and_not_changed() -> None:
    now = Settings(main={}, services={"127.0.0.1:10025/inet": f"{SMTPD} -o content_filter="})
    plan = to_apply("srs", wants({}), now, KNOWN, None)
    assert not plan
    assert "no_milters" in plan.notes[0]
