"""The fake DNS tells apart what real DNS tells apart; many tests stand on it."""

import pytest
from fakedns import zone

from postvouch.values.dns import NO_DATA, NO_SUCH_NAME, DnsUnavailable, Resolver, Status


def test_records_are_found_in_any_case_with_their_types():
    dns: Resolver = zone(
        "far.example TXT v=spf1 mx -all",
        "far.example TXT grüße",
        "far.example MX 10 MX.far.example.",
        "mx.far.example A 192.0.2.7",
        secure=True,
    )
    answer = dns.lookup("FAR.example.", "TXT")
    assert answer.status is Status.FOUND
    assert answer.secure
    assert answer.texts() == (b"v=spf1 mx -all", "grüße".encode())
    assert dns.lookup("far.example", "MX").values == ((10, "mx.far.example"),)
    assert dns.lookup("mx.far.example", "A").names() == ("192.0.2.7",)


def test_no_data_is_not_no_such_name():
    dns = zone("_dmarc.far.example TXT v=DMARC1; p=reject")
    assert dns.lookup("far.example", "TXT") == NO_DATA
    assert dns.lookup("near.example", "TXT") == NO_SUCH_NAME
    assert dns.lookup("a" * 64 + ".far.example", "TXT") == NO_SUCH_NAME
    assert dns.lookup("far..example", "TXT") == NO_SUCH_NAME
    assert dns.asked[:2] == [("far.example", "TXT"), ("near.example", "TXT")]


def test_silence_is_an_exception_for_all_types_or_for_one():
    dns = zone(
        "a.example TEMPERROR", "b.example TEMPERROR MX", "b.example A 192.0.2.1", "c.example CNAME a.example"
    )
    for name, kind in (("a.example", "A"), ("b.example", "MX"), ("c.example", "TXT")):
        with pytest.raises(DnsUnavailable):
            dns.lookup(name, kind)
    assert dns.lookup("b.example", "A").names() == ("192.0.2.1",)


def test_cname_is_followed_and_a_loop_is_no_answer():
    dns = zone(
        "w.example CNAME V.example",
        "v.example A 192.0.2.1",
        "x.example CNAME y.example",
        "y.example CNAME x.example",
    )
    assert dns.lookup("w.example", "A").names() == ("192.0.2.1",)
    assert dns.lookup("w.example", "CNAME").names() == ("v.example",)
    assert dns.lookup("w.example", "TXT") == NO_DATA
    with pytest.raises(DnsUnavailable):
        dns.lookup("x.example", "A")


def test_wildcard_answers_below_the_closest_name_only():
    dns = zone("*.far.example A 192.0.2.1", "host.far.example TXT x")
    assert dns.lookup("any.thing.far.example", "A").names() == ("192.0.2.1",)
    assert dns.lookup("host.far.example", "A") == NO_DATA
    assert dns.lookup("below.host.far.example", "A") == NO_SUCH_NAME
    assert dns.lookup("far.example", "A") == NO_DATA
