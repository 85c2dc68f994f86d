"""Whose client is this? One reading of networks for all who ask."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postvouch.values.network import networks, within

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
