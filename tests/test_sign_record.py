"""DNS records of keys: the layout that opendkim-genkey prints, owner names that are right for their zone.

Each form is read back by what reads it outside: NSD, Knot DNS, unbound, dnspython, a YAML parser.
"""

import base64
import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import dns.message
import dns.query
import dns.rdatatype
import dns.tokenizer
import dns.update
import dns.zone
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from servers import Process, accepts, free_port, program, wait_for

from postvouch.auth import keyrecord
from postvouch.sign import record, recordforms
from postvouch.sign.keys import PrivateKey, generate

RSA, _ = generate("rsa")
RSA_4096, _ = generate("rsa", 4096)
ED, _ = generate("ed25519")
KEYS = {"rsa": RSA, "rsa-4096": RSA_4096, "ed25519": ED}
HEAD = "$ORIGIN our.example.\n$TTL 60\n@ IN SOA ns hostmaster 1 2 3 4 5\n@ IN NS ns\nns IN A 192.0.2.1\n"
NOTE = 'made by us; 100% "sure" \\ $(x) ü'

each_key = pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
labels = st.from_regex(r"\A[A-Za-z0-9_]([A-Za-z0-9_-]{0,20}[A-Za-z0-9_])?\Z")
selectors = st.lists(labels, min_size=1, max_size=3).map(".".join)


def made(
    key: PrivateKey = ED, selector: str = "s", domain: str = "our.example", note: str = ""
) -> record.Record:
    return record.Record(domain=domain, selector=selector, strings=record.strings(key, note=note))


def everything() -> list[record.Record]:
    """A record of each kind and length, and a revoked one, in crm.our.example."""
    several = [
        record.Record(
            domain="crm.our.example",
            selector=name,
            strings=record.strings(key, testing=True, no_subdomains=True, note=NOTE, email_only=True),
        )
        for name, key in KEYS.items()
    ]
    gone = record.Record(domain="crm.our.example", selector="gone", strings=record.revoked("rsa"))
    return [*several, gone]


def published(text: str) -> dict[str, tuple[bytes, ...]]:
    """Each TXT record of a zone by its absolute name, its strings as they stand there, by dnspython."""
    loaded = dns.zone.from_text(text, origin="our.example.", relativize=False)
    return {name.to_text(): data.strings for name, _, data in loaded.iterate_rdatas(dns.rdatatype.TXT)}


def as_made(records: Sequence[record.Record]) -> dict[str, tuple[bytes, ...]]:
    return {
        record.owner(each.domain, each.selector): tuple(part.encode() for part in each.strings)
        for each in records
    }


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


@pytest.mark.parametrize("form", recordforms.FORMS)
@pytest.mark.parametrize("zone", ["far.example", "r.example", "crm.our.example", ""])
def test_a_zone_that_does_not_hold_the_domain_is_an_error(zone: str, form: str) -> None:
    with pytest.raises(ValueError, match="is not in the zone"):
        recordforms.text([made()], form=form, zone=zone)


def test_a_name_that_dns_cannot_have_is_an_error() -> None:
    with pytest.raises(ValueError, match="longer than 253"):
        record.owner("our.example", ".".join(["a" * 60] * 4))


@each_key
def test_a_name_server_and_our_verifier_read_what_is_printed(key: PrivateKey) -> None:
    texts = record.strings(key, testing=True, no_subdomains=True, note=NOTE, email_only=True)
    assert all(len(text) <= record.MAX_STRING for text in texts)
    printed = record.zone_text("crm.our.example", "s", texts, zone="our.example")
    strings = published(HEAD + printed)["s._domainkey.crm.our.example."]
    read = keyrecord.parse(b"".join(strings))
    assert (read.kind, read.public, read.strict, read.testing) == (key.kind, key.public(), True, True)


@pytest.fixture(scope="module", params=[None, "our.example"], ids=["absolute", "relative"])
def zone_file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zone with everything in it."""
    file = tmp_path_factory.mktemp("zone") / "our.example.zone"
    file.write_text(HEAD + recordforms.text(everything(), zone=request.param))
    return file


def test_nsd_loads_it(zone_file: Path) -> None:
    subprocess.run([program("nsd-checkzone", "nsd"), "our.example", zone_file], check=True)


def test_knot_loads_it(zone_file: Path) -> None:
    subprocess.run([program("kzonecheck", "knot"), "-o", "our.example", zone_file], check=True)


UNBOUND = """
server:
  interface: 127.0.0.1
  port: {port}
  do-daemonize: no
  use-syslog: no
  logfile: ""
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: "{folder}/unbound.pid"
  module-config: "iterator"
{local}
auth-zone:
  name: "our.example"
  zonefile: "{zone_file}"
  for-downstream: yes
"""


@pytest.fixture
def unbound(zone_file: Path, tmp_path: Path) -> Iterator[int]:
    """Its port; it has the zone from its file, and the records under far.example from local-data."""
    port = free_port()
    local = []
    for line in recordforms.text(everything(), form="nsupdate").splitlines()[:-1]:
        data = line.removeprefix("update add ").replace("our.example.", "far.example.")
        local.append(f"  local-data: '{data}'")
    conf = tmp_path / "unbound.conf"
    conf.write_text(UNBOUND.format(port=port, folder=tmp_path, zone_file=zone_file, local="\n".join(local)))
    process = Process([program("unbound", "unbound"), "-d", "-c", str(conf)], tmp_path / "log")
    try:
        wait_for(lambda: accepts(port), f"unbound listens:\n{process.text()}")
        yield port
    finally:
        process.stop()


def test_unbound_answers_with_it_string_for_string(unbound: int) -> None:
    for each in everything():
        for domain in ("crm.our.example", "crm.far.example"):
            question = dns.message.make_query(f"{each.selector}._domainkey.{domain}", "TXT")
            [answer] = dns.query.tcp(question, "127.0.0.1", port=unbound, timeout=5).answer
            [data] = answer
            assert data.strings == tuple(part.encode() for part in each.strings)


@given(note=st.text(max_size=255), selector=selectors, key=st.sampled_from(list(KEYS.values())))
def test_no_note_and_no_selector_breaks_the_record(note: str, selector: str, key: PrivateKey) -> None:
    assert record.is_selector(selector)
    ours = made(key, selector, "crm.our.example", note)
    assert all(len(text) <= record.MAX_STRING and text.isascii() for text in ours.strings)
    for zone in (None, "our.example"):
        assert published(HEAD + recordforms.text([ours], zone=zone)) == as_made([ours])
    [whole] = recordforms.text([ours], form="bare").splitlines()
    assert keyrecord.parse(whole.encode()).public == key.public()
    [name, data] = yaml.safe_load(recordforms.text([ours], form="octodns", zone="our.example")).popitem()
    assert name == f"{selector}._domainkey.crm"
    assert data["value"].replace("\\;", ";") == whole
    assert "\\" not in data["value"].replace("\\;", "")
    assert json.loads(recordforms.text([ours], form="json"))["value"] == whole
    assert terraform(recordforms.text([ours], form="terraform")) == {
        f"{selector}._domainkey.crm.our.example": list(ours.strings)
    }


def terraform(text: str) -> dict[str, list[str]]:
    """Name and strings of each resource; a string of HCL without ${ and %{ is one of JSON."""
    assert "${" not in text
    assert "%{" not in text
    labels = re.findall(r'^resource "aws_route53_record" "([A-Za-z_][A-Za-z0-9_-]*)" \{$', text, re.MULTILINE)
    names = [json.loads(found) for found in re.findall(r'^  name    = (".*")$', text, re.MULTILINE)]
    values = [
        json.loads(found)[0].split('""') for found in re.findall(r"^  records = (.*)$", text, re.MULTILINE)
    ]
    assert len(set(labels)) == len(names) == len(values)
    return dict(zip(names, values, strict=True))


def test_nsupdate_adds_replaces_and_deletes() -> None:
    ours = [made(RSA_4096, "one"), made(ED, "two")]
    added = recordforms.text(ours, form="nsupdate")
    assert read_update(added) == as_made(ours)
    assert "delete" not in added
    replaced = recordforms.text(
        ours, form="nsupdate", zone="our.example", server="ns1.our.example", ttl_s=60, change="replace"
    )
    lines = replaced.splitlines()
    assert lines[:3] == [
        "server ns1.our.example",
        "zone our.example.",
        "update delete one._domainkey.our.example. IN TXT",
    ]
    assert lines[-1] == "send"
    assert lines[3].startswith("update add one._domainkey.our.example. 60 IN TXT ")
    assert read_update(replaced) == as_made(ours)
    deleted = recordforms.text(ours, form="nsupdate", change="delete")
    assert deleted.splitlines() == [
        "update delete one._domainkey.our.example. IN TXT",
        "update delete two._domainkey.our.example. IN TXT",
        "send",
    ]


def read_update(text: str) -> dict[str, tuple[bytes, ...]]:
    """What "update add" lines add, each line being a record as in a zone file."""
    lines = [line.removeprefix("update add ") for line in text.splitlines() if line.startswith("update add ")]
    return published(HEAD + "\n".join(lines) + "\n")


def test_octodns_names_stand_in_its_order() -> None:
    several = [made(selector=name) for name in ("2026-host-10", "2026-host-9", "2025-host")]
    text = recordforms.text(several, form="octodns")
    assert list(yaml.safe_load(text)) == [
        "2025-host._domainkey",
        "2026-host-9._domainkey",
        "2026-host-10._domainkey",
    ]


def test_json_is_an_object_for_one_key_and_a_list_for_several() -> None:
    ours = made()
    one = json.loads(recordforms.text([ours], form="json", zone="our.example", ttl_s=60))
    assert one == {
        "name": "s._domainkey",
        "type": "TXT",
        "ttl": 60,
        "value": "".join(ours.strings),
        "strings": list(ours.strings),
    }
    assert json.loads(recordforms.text([ours, ours], form="json", zone="our.example", ttl_s=60)) == [one, one]


def test_a_ttl_stands_in_the_zone_only_where_it_is_given() -> None:
    assert recordforms.text([made()]).startswith("s._domainkey.our.example.\tIN\tTXT")
    assert recordforms.text([made()], ttl_s=0).startswith("s._domainkey.our.example.\t0\tIN\tTXT")


def test_a_form_that_is_none_is_an_error() -> None:
    with pytest.raises(ValueError, match="no such form"):
        recordforms.text([made()], form="xml")


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_a_revoked_record_says_so_to_a_verifier(kind: str) -> None:
    with pytest.raises(keyrecord.UnusableKey, match="revoked"):
        keyrecord.parse("".join(record.revoked(kind)).encode())
    assert f"k={kind};" in record.revoked(kind)[0]


@pytest.mark.parametrize(
    "text",
    ["", ".", "a.", ".a", "a..b", "-a", "a-", "a" * 64, "a/b", "ä", "a b", "a\n", "..", "*", "a." * 60 + "a"],
)
def test_what_is_no_selector_is_none(text: str) -> None:
    assert not record.is_selector(text)


def test_the_default_selector_names_the_year_and_the_host() -> None:
    assert record.default_selector(2026, "Submit-01.our.example") == "2026-submit-01"
