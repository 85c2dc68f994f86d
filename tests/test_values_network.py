"""Whose client is this? One reading of networks for all who ask."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postvouch.values.message import Client
from postvouch.values.network import Hosts, internal_hosts, networks, within

LISTED = networks(["127.0.0.0/8", "192.0.2.7/24", "2001:db8::/32", "fe80::/10"])


@pytest.mark.parametrize(
    "address, network",
    [
        ("127.0.0.1", "127.0.0.0/8"),
        ("192.0.2.99", "192.0.2.0/24"),
        ("::ffff:192.0.2.99", "192.0.2.0/24"),
        ("2001:DB8::25", "2001:db8::/32"),
        ("IPv6:2001:db8::25", "2001:db8::/32"),
        ("fe80::1%eth0", "fe80::/10"),
    ],
)
def test_a_client_is_found_however_its_address_is_written(address: str, network: str) -> None:
    assert str(within(address, LISTED)) == network


@pytest.mark.parametrize(
    "address", ["", "unknown", "192.0.3.1", "::127.0.0.1", "192.0.2", "192.0.2.7/24", "3221226000", "127.1"]
)
def test_what_is_outside_or_no_address_is_nobodys(address: str) -> None:
    assert within(address, LISTED) is None


def test_no_network_holds_nobody() -> None:
    assert within("127.0.0.1", ()) is None


@given(st.text())
def test_any_text_has_an_answer(text: str) -> None:
    within(text, LISTED)


OURS = internal_hosts(
    ["192.0.2.0/24", "2001:db8::25", "lists.our.example", "kiosk.our.example", ".crm.our.example"]
)


@pytest.mark.parametrize(
    "address, name, rule",
    [
        ("192.0.2.9", "unknown", "192.0.2.0/24"),
        ("2001:db8::25", "", "2001:db8::25/128"),
        ("127.0.0.1", "localhost", "127.0.0.0/8"),
        ("::1", "localhost", "::1/128"),
        ("203.0.113.9", "LISTS.our.example.", "lists.our.example"),
        ("203.0.113.9", "a.b.crm.our.example", ".crm.our.example"),
        ("203.0.113.9", "a.lists.our.example", ""),
        ("203.0.113.9", "crm.our.example", ""),
        ("203.0.113.9", "evilcrm.our.example", ""),
        ("203.0.113.9", "lists.our.example.evil.example", ""),
        ("203.0.113.9", "unknown", ""),
        ("203.0.113.9", "\N{KELVIN SIGN}iosk.our.example", ""),
        ("203.0.113.9", "", ""),
        ("", "", ""),
    ],
)
def test_the_rule_that_makes_a_host_ours_is_named(address: str, name: str, rule: str) -> None:
    assert OURS.rule(Client(address=address, name=name)) == rule


def test_the_word_of_postfix_for_no_name_matches_no_rule_not_even_itself() -> None:
    assert Hosts(names=frozenset({"unknown", ".unknown"})).rule(Client(name="Unknown")) == ""


@given(st.text(), st.text(alphabet=".a", max_size=400))
def test_any_client_has_a_rule_or_none(address: str, name: str) -> None:
    assert isinstance(OURS.rule(Client(address=address, name=name)), str)


def test_a_name_of_a_million_labels_costs_nothing() -> None:
    assert OURS.rule(Client(name="a." * 1_000_000)) == ""
