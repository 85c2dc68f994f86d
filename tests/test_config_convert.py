"""Values as people write them in the configuration."""

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postvouch.config import kinds
from postvouch.config.catalog import Table, settings
from postvouch.config.convert import Wrong, convert, show

ALL = settings()


def read(name, value):
    """Convert for the setting ``name``; whatever is warned about fails the test."""
    return convert(value, ALL[name], lambda text: pytest.fail(text))


@pytest.mark.parametrize(
    "text, seconds",
    [
        ("100s", 100),
        ("5m", 300),
        ("2h", 7200),
        ("5d", 432000),
        ("3w", 1814400),
        ("1.5h", 5400),
        ("100w", 60480000),
    ],
)
def test_durations_are_written_with_their_unit(text, seconds):
    assert read("map.hard_age", text) == seconds


@pytest.mark.parametrize("value", ["5", "5 days", "-1s", "1e3s", "", "s", 5, 5.0, True, "٣s", "1d12h"])
def test_a_duration_without_a_clear_unit_is_refused(value):
    with pytest.raises(Wrong):
        read("map.hard_age", value)


@pytest.mark.parametrize(
    "value", ["unix:/run/x.sock", "inet:127.0.0.1:8891", "inet:[::1]:8891", "inet:mx.our.example:1"]
)
def test_sockets_are_unix_paths_or_host_and_port(value):
    assert read("map.socket", value) == value


@pytest.mark.parametrize(
    "value",
    [
        "/run/x.sock",
        "unix:run/x.sock",
        "inet:8891",
        "inet:host:0",
        "inet:host:65536",
        "inet:[nope]:1",
        "local:/x",
        "inet:8891@host",
        "unix:/" + "x" * 107,
    ],
)
def test_a_socket_that_postfix_could_not_reach_is_refused(value):
    with pytest.raises(Wrong):
        read("map.socket", value)


def test_domains_become_lower_case_a_labels():
    assert read("general.domains", "Bücher.Example.") == "xn--bcher-kva.example"


@pytest.mark.parametrize(
    "value", ["", "a b", "-x.example", "a..example", "user@our.example", "*.our.example"]
)
def test_what_is_no_domain_is_refused(value):
    with pytest.raises(Wrong):
        read("general.domains", value)


def test_a_network_with_host_bits_is_folded_with_a_warning():
    warnings = []
    assert convert("10.0.0.7/8", ALL["general.internal_hosts"], warnings.append) == "10.0.0.0/8"
    assert len(warnings) == 1
    assert "10.0.0.0/8" in warnings[0]


@pytest.mark.parametrize(
    "value, folded", [("192.0.2.1", "192.0.2.1/32"), ("2001:DB8::/32", "2001:db8::/32"), ("::1", "::1/128")]
)
def test_networks_have_one_form(value, folded):
    assert read("general.internal_hosts", value) == folded


@pytest.mark.parametrize("value", ["localhost", "10.0.0.0/33", "", "10.0.0", "our.example"])
def test_a_name_is_no_network(value):
    with pytest.raises(Wrong):
        read("sign.vouching_hosts", value)


@pytest.mark.parametrize(
    "value, folded",
    [
        ("Lists.Our.example.", "lists.our.example"),
        (".our.Example", ".our.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("localhost", "localhost"),
        ("192.0.2.7", "192.0.2.7/32"),
    ],
)
def test_an_internal_host_may_be_named(value, folded):
    assert read("general.internal_hosts", value) == folded


@pytest.mark.parametrize(
    "value", ["unknown", ".unknown", ".example", ".", "", "*.our.example", "10.0.0.0/33", "a b", "10.0.0"]
)
def test_a_name_that_strangers_have_is_no_internal_host(value):
    with pytest.raises(Wrong):
        read("general.internal_hosts", value)


@pytest.mark.parametrize(
    "value, folded",
    [
        ("Bob@Our.example", "bob@our.example"),
        ("*@our.example", "our.example"),
        ("News-*@*.our.example", "news-*@*.our.example"),
        ("*.Bücher.example", "*.xn--bcher-kva.example"),
    ],
)
def test_patterns_of_authors_have_one_form(value, folded):
    assert read("sign.key.authors", value) == folded


@pytest.mark.parametrize("value", ["*", "", "bob@", "our example", "a.*.example"])
def test_what_is_no_pattern_of_authors_is_refused(value):
    with pytest.raises(Wrong, match="is no pattern of authors"):
        read("sign.key.authors", value)


@pytest.mark.parametrize("value", ["127.0.0.1:9471", "[::1]:9471", "localhost:1", ""])
def test_metrics_are_served_on_host_and_port_or_nowhere(value):
    assert read("map.metrics", value) == value


def test_a_wrong_word_names_the_right_ones():
    known = "accept, mark, quarantine, defer, reject"
    with pytest.raises(Wrong, match=rf'none of {known} \(did you mean "reject"\?\)'):
        read("verdict.own_fail", "rejekt")


def test_numbers_have_limits():
    with pytest.raises(Wrong, match="at least 1"):
        read("verify.workers", 0)
    with pytest.raises(Wrong, match="at most 100"):
        read("map.max_shrink", 101)
    with pytest.raises(Wrong, match="at least 0"):
        read("dns.cache_entries", -1)
    with pytest.raises(Wrong, match="at most 1000d"):
        read("srs.max_age", "1001d")


@pytest.mark.parametrize(
    "name", ["general.hostname", "ldap.base", "map.forward_transport", "sign.vouching_id"]
)
def test_control_characters_never_come_in(name):
    with pytest.raises(Wrong, match="control characters"):
        read(name, "a\nb")


def test_secret_files_are_absolute():
    with pytest.raises(Wrong, match="absolute"):
        read("srs.secrets_file", "srs.secrets")


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_default_is_itself_a_legal_value(name):
    setting = ALL[name]
    if setting.default == () or not setting.many:
        values = () if setting.many else (setting.default,)
    else:
        values = setting.default
    for value in values:
        written = show(value, setting.kind)
        plain = written.strip('"') if written.startswith('"') else value
        assert convert(plain, setting, pytest.fail) == value


@given(st.integers(1, 10**9))
def test_durations_are_shown_as_they_can_be_read(seconds):
    setting = replace(ALL["map.hard_age"], least=0)
    assert convert(show(float(seconds), kinds.Duration).strip('"'), setting, pytest.fail) == seconds


@given(
    st.one_of(
        st.text(),
        st.integers(),
        st.floats(),
        st.booleans(),
        st.lists(st.text()),
        st.dictionaries(st.text(), st.text()),
    )
)
def test_no_value_whatever_breaks_the_conversion(value):
    for setting in ALL.values():
        if not isinstance(setting.kind, Table):
            with suppress(Wrong):
                convert(value, setting, lambda text: None)
