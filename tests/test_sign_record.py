"""DNS records of keys: the layout that opendkim-genkey prints, owner names that are right for their zone."""

import base64
import json
import re

import dns.rdatatype
import dns.zone
import pytest
from fakedns import zone as fake_zone
from hypothesis import given
from hypothesis import strategies as st

from postvouch.auth import keyrecord
from postvouch.sign import record, recordforms
from postvouch.sign.keys import PrivateKey, generate

RSA, _ = generate("rsa")
RSA_4096, _ = generate("rsa", 4096)
ED, _ = generate("ed25519")


def test_rsa_2048_has_strings_of_26_252_and_142_octets() -> None:
    texts = record.strings(RSA)
    assert [len(text) for text in texts] == [26, 252, 142]
    assert texts[0] == "v=DKIM1; h=sha256; k=rsa; "
    assert base64.b64decode("".join(texts[1:]).removeprefix("p=")) == RSA.public()


def test_a_known_record_is_reproduced_character_for_character() -> None:
    first, second, third = record.strings(RSA)
    assert record.zone_text("our.example", "2026-submit-01", (first, second, third), zone="our.example") == (
        f'2026-submit-01._domainkey\tIN\tTXT\t( "{first}"\n\t  "{second}"\n\t  "{third}" )'
        "  ; ----- DKIM key 2026-submit-01 for our.example\n"
    )


@pytest.mark.parametrize(
    "domain, zone, owner",
    [
        ("our.example", "our.example", "s._domainkey"),
        ("crm.our.example", "our.example", "s._domainkey.crm"),
        ("crm.our.example", "OUR.example.", "s._domainkey.crm"),
        ("crm.our.example", None, "s._domainkey.crm.our.example."),
        ("our.example", None, "s._domainkey.our.example."),
    ],
)
def test_the_owner_name_is_right_for_its_zone(domain: str, zone: str | None, owner: str) -> None:
    assert record.owner(domain, "s", zone) == owner


@pytest.mark.parametrize("zone", ["far.example", "r.example", "crm.our.example"])
def test_a_zone_that_does_not_hold_the_domain_is_an_error(zone: str) -> None:
    with pytest.raises(ValueError, match="is not in the zone"):
        record.owner("our.example", "s", zone)


@pytest.mark.parametrize("key", [RSA, RSA_4096, ED], ids=["rsa", "rsa-4096", "ed25519"])
def test_a_name_server_and_our_verifier_read_what_is_printed(key: PrivateKey) -> None:
    texts = record.strings(key, testing=True, no_subdomains=True, note="made by us; 100%")
    assert all(len(text) <= record.MAX_STRING for text in texts)
    printed = record.zone_text("crm.our.example", "s", texts, zone="our.example")
    head = "$ORIGIN our.example.\n$TTL 60\n@ IN SOA ns hostmaster 1 2 3 4 5\n@ IN NS ns\n"
    loaded = dns.zone.from_text(head + printed, origin="our.example.", check_origin=False)
    [data] = loaded.find_rdataset("s._domainkey.crm", dns.rdatatype.TXT)
    read = keyrecord.parse(b"".join(data.strings))
    assert (read.kind, read.public, read.strict, read.testing) == (key.kind, key.public(), True, True)


def test_the_other_forms_carry_the_same_text() -> None:
    whole = "".join(record.strings(ED))
    ours = [record.Record(domain="our.example", selector="s", strings=record.strings(ED))]
    assert recordforms.text(ours, form="bare") == whole + "\n"
    update = recordforms.text(ours, form="nsupdate")
    assert update.startswith("update add s._domainkey.our.example. 3600 IN TXT ")
    assert "".join(re.findall(r'"([^"]*)"', update)) == whole
    data = json.loads(recordforms.text(ours, form="json", zone="our.example"))
    assert data == {
        "name": "s._domainkey",
        "type": "TXT",
        "ttl": 3600,
        "value": whole,
        "strings": list(ours[0].strings),
    }
    assert recordforms.text(ours) == record.zone_text("our.example", "s", ours[0].strings)
    with pytest.raises(ValueError, match="no such form"):
        recordforms.text(ours, form="xml")


@given(st.text(max_size=120))
def test_no_note_breaks_the_record(note: str) -> None:
    texts = record.strings(ED, note=note)
    assert all(len(text) <= record.MAX_STRING and text.isascii() and '"' not in text for text in texts)
    resolver = fake_zone("s.our.example TXT " + "".join(texts))
    assert keyrecord.parse(resolver.lookup("s.our.example", "TXT").texts()[0]).public == ED.public()


def test_the_default_selector_names_the_year_and_the_host() -> None:
    assert record.default_selector(2026, "Submit-01.our.example") == "2026-submit-01"
