"""The zone file of postvouch verify --dns."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postvouch.cli.zonefile import ZoneError, ZoneFile
from postvouch.values.dns import DnsUnavailable, Status

ZONE = ZoneFile(
    """
; a comment
# another
$ORIGIN is not ours
Far.Example.   3600 IN TXT "v=spf1 " "-all" ; why
far.example    MX   10 mx.far.example. ; first
far.example    MX   20 MX2.far.example
mx.far.example A 192.0.2.7
s._domainkey.far.example TXT v=DKIM1; k=rsa; p=MIIB ; not a comment
p._domainkey.far.example TXT ( "v=DKIM1; "
  "p=x" )
q.far.example TXT "say \\"hi\\"; \\255"
www.far.example CNAME far.example
*.wild.example TXT any
loop.example CNAME loop.example
slow.example TEMPERROR
""".replace('"v=DKIM1; "\n', '"v=DKIM1; "')
)


@pytest.mark.parametrize(
    "name, kind, values",
    [
        ("FAR.example", "txt", (b"v=spf1 -all",)),
        ("far.example.", "MX", ((10, "mx.far.example"), (20, "mx2.far.example"))),
        ("mx.far.example", "A", ("192.0.2.7",)),
        ("s._domainkey.far.example", "TXT", (b"v=DKIM1; k=rsa; p=MIIB ; not a comment",)),
        ("p._domainkey.far.example", "TXT", (b"v=DKIM1; p=x",)),
        ("q.far.example", "TXT", (b'say "hi"; \xff',)),
        ("www.far.example", "TXT", (b"v=spf1 -all",)),
        ("a.b.wild.example", "TXT", (b"any",)),
    ],
)
def test_records_are_found_as_a_resolver_would(name, kind, values):
    records = ZONE.lookup(name, kind)
    assert (records.status, records.values) == (Status.FOUND, values)


@pytest.mark.parametrize(
    "name, kind, status",
    [
        ("nope.example", "A", Status.NXDOMAIN),
        ("far.example", "AAAA", Status.NODATA),
        ("_domainkey.far.example", "TXT", Status.NODATA),
        ("wild.example", "TXT", Status.NODATA),
        ("a..example", "A", Status.NXDOMAIN),
        ("x" * 64 + ".example", "A", Status.NXDOMAIN),
        ("", "A", Status.NXDOMAIN),
    ],
)
def test_kinds_of_nothing_are_told_apart(name, kind, status):
    assert ZONE.lookup(name, kind).status is status


@pytest.mark.parametrize("name", ["slow.example", "loop.example"])
def test_trouble_is_no_answer(name):
    with pytest.raises(DnsUnavailable):
        ZONE.lookup(name, "A")


@pytest.mark.parametrize(
    "text, line",
    [
        ("far.example", 1),
        ("\n\nfar.example SPF x", 3),
        ("far.example MX mx.far.example", 1),
        ("far.example A", 1),
        ("far.example A 192.0.2.1 192.0.2.2", 1),
        ('far.example TXT "open', 1),
        ('far.example TXT "a" b', 1),
    ],
)
def test_a_line_that_is_no_record_is_named(text, line):
    with pytest.raises(ZoneError, match=f"^{line}: "):
        ZoneFile(text)


@given(st.text(max_size=60))
def test_junk_is_a_zone_or_a_named_line(text):
    try:
        zone = ZoneFile(text)
    except ZoneError as error:
        number, _, why = str(error).partition(": ")
        assert (int(number) >= 1) == bool(why)
        return
    assert zone.lookup("not.in.it.example", "A").status is Status.NXDOMAIN
