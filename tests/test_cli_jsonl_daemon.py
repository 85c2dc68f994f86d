"""postvouch verify --jsonl and postvouch-verify: one engine, so one outcome for one letter."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from dnsserver import serving
from jsonlines import CONFIG, ask, b64
from letters import message_of

from postvouch.auth import header
from postvouch.auth.questions import Questions
from postvouch.cli import sample
from postvouch.cli.jsonlcase import read_case
from postvouch.cli.jsonlresult import removed
from postvouch.config.verdict import Verdict
from postvouch.host.dns import MESSAGE_LOOKUPS
from postvouch.host.log import Log
from postvouch.milters import verify
from postvouch.values.decision import InsertField, RemoveField
from postvouch.values.message import Client, Envelope, Field

VECTORS = Path(__file__).parent / "vectors" / "dkim"
NOW = 1767225600
RECORDS = yaml.load(
    (VECTORS / "dns.yml").read_text("utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)
)
DNS = {
    **{name: entry for name, entry in RECORDS["records"].items() if not entry.get("timeout")},
    "far.example": {"TXT": ["v=spf1 ip4:192.0.2.7 -all"]},
    "_dmarc.far.example": {"TXT": ["v=DMARC1; p=reject"]},
    "_dmarc.dkim.example": {"TXT": ["v=DMARC1; p=quarantine"]},
    "_dmarc.our.example": {"TXT": ["v=DMARC1; p=reject"]},
    "7.2.0.192.in-addr.arpa": {"PTR": ["mx.far.example"]},
    "mx.far.example": {"A": ["192.0.2.7"]},
}  # fmt: skip
CLAIMS = (
    b"Authentication-Results: mx.our.example; dmarc=pass\r\n"
    b"X-Postvouch-Mark: none\r\n"
    b"Authentication-Results: mx.far.example; dmarc=pass\r\n"
    b'authentication-results : (a) "MX.our.example"; dmarc=pass\r\n'
)
LETTERS = {
    "honest": sample.HONEST.replace(b"\n", b"\r\n"),
    "spoof": sample.SPOOF.replace(b"\n", b"\r\n"),
    "claims": CLAIMS + b"From: bob@our.example\r\n\r\nx\r\n" + CLAIMS,
    "only-a-body": b"\r\nx\r\n",
    "empty": b"",
    "several": b"From: a@far.example, bob@our.example\r\n\r\n",
    "broken": b"From: <a@far.example\r\n\r\n",
    **{path.stem: path.read_bytes() for path in sorted((VECTORS / "messages").iterdir())[::4]},
}  # fmt: skip


class World:
    """What a daemon has for a resolver, over the DNS of a case."""

    def __init__(self, zone):
        self.zone = zone

    def for_message(self, seconds, may_wait=True):
        return Questions(self.zone, MESSAGE_LOOKUPS)


def by_the_daemon(line, octets, config):
    """The decision of postvouch-verify, the letter handed over as its milter does."""
    case = read_case(json.dumps(line).encode())
    handler = verify.Verifier(config, Log(program="postvouch-verify"), World(case.zone))
    message = message_of(octets)
    # Postfix takes the blanks before the colon away.
    fields = tuple(Field(field.name.rstrip(b" \t"), field.value) for field in message.fields)
    hashes = handler.hashes(fields)
    for chunk in message.body:
        hashes.feed(chunk)
    client = Client(address=line["client_ip"], helo=line["helo"], name="unknown", port=4711)
    envelope = Envelope(sender=line["mail_from"], recipients=("bob@our.example",))
    given = replace(
        message, client=client, envelope=envelope, fields=fields, body=(), digests=hashes.finish()
    )
    return given, handler.handle(given)


@pytest.mark.parametrize("mode", ["monitor", "enforce"])
@pytest.mark.parametrize("name", LETTERS)
def test_the_command_says_what_the_daemon_does(name, mode, monkeypatch):
    monkeypatch.setattr(verify.time, "time", lambda: NOW)
    octets = LETTERS[name]
    config = replace(CONFIG, verdict=Verdict(mode=mode))
    line = {
        "id": name, "message_b64": b64(octets), "client_ip": "192.0.2.7", "helo": "mx.far.example",
        "mail_from": "x@far.example", "rcpt_to": ["bob@our.example"], "now": NOW, "dns": DNS,
    }  # fmt: skip
    (result,) = ask(line, config=config)
    given, decision = by_the_daemon(line, octets, config)
    inserted = {edit.name: edit.value for edit in decision.edits if isinstance(edit, InsertField)}
    field = f"{header.FIELD_NAME}: {inserted[header.FIELD_NAME].lstrip()}"
    assert result["authres"] == field.replace("\n", "\r\n")
    gone = [edit for edit in decision.edits if isinstance(edit, RemoveField)]
    assert result["removed_fields"] == removed(given.fields, gone)
    assert (result["action"], result["code"]) == (decision.action, decision.code)
    assert dict(decision.facts).get("would", "") == result["would"]
    if name == "claims":
        assert result["removed_fields"][:4] == [0, 1, 3]
    if name == "spoof" and mode == "enforce":
        assert result["action"] == "reject"


def test_without_dns_in_the_case_the_configured_resolver_is_asked():
    line = {
        "id": 1, "message_b64": b64(b"From: a@far.example\r\n\r\n"), "client_ip": "192.0.2.7",
        "mail_from": "a@far.example",
    }  # fmt: skip
    records = ("far.example TXT v=spf1 ip4:192.0.2.7 -all", "_dmarc.far.example TXT v=DMARC1; p=reject")
    with serving(*records) as address:
        config = replace(CONFIG, dns=replace(CONFIG.dns, servers=(address,)))
        asked, given, empty = ask(line, {**line, "dns": DNS}, {**line, "dns": {}}, config=config)
    assert asked["dmarc"] == given["dmarc"]
    assert (asked["spf"]["result"], asked["dmarc"]["result"]) == ("pass", "pass")
    assert (empty["spf"]["result"], empty["dmarc"]["result"]) == ("none", "none")
