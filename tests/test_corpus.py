"""tests/corpus: letters as the world sends them, each with what must happen to it, written by hand.

Each goes the way of the daemon: split as Postfix splits it, its body hashed as it arrives, judged by
``milters.verify.Verifier``. What a case expects is compared word for word; what holds for every letter,
however nasty, is asserted on all of them. tests/corpus/README.rst says how a case is written.
"""

import json
import re
import tomllib
import unicodedata
from dataclasses import dataclass, replace
from email.header import decode_header
from functools import lru_cache
from pathlib import Path
from time import thread_time
from types import SimpleNamespace

import pytest
from corpus.build import NOW, expand
from corpus.letters import LETTERS

from postvouch.auth import authres, bodies, decide, header
from postvouch.auth.questions import Questions
from postvouch.cli import verdict
from postvouch.cli.letter import read_letter
from postvouch.cli.zonefile import ZoneFile
from postvouch.config.load import load
from postvouch.host.dns import MESSAGE_LOOKUPS
from postvouch.host.log import Log, format_line
from postvouch.milters import verify
from postvouch.values.address import MalformedAuthor, MissingAuthor, OneAuthor
from postvouch.values.decision import Accept, Defer, InsertField, Reject, RemoveField
from postvouch.values.message import Client, Envelope, Field

CORPUS = Path(__file__).resolve().parent / "corpus"
CASES = sorted(path.parent for path in CORPUS.glob("*/case.toml"))
OURS = "mx.our.example"
BASE = {
    "general": {"domains": ["our.example", "old.example"], "hostname": OURS},
    "verify": {"public_suffixes": str(CORPUS / "suffixes.dat")},
}
CHUNKS = (1, 7, 65535)
MOST_CHUNKS = 200_000
"""A body of 50 MB is not handed over octet by octet: that tests patience and nothing else."""

ORDINARY = {"arc": "none", "action": "accept", "would": "", "mark": "", "removed": []}
"""What a case expects where it does not say otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One folder, read: its letter as octets, who brought it, its DNS, its settings, what must happen."""

    letter: bytes
    client: Client
    envelope: Envelope
    now: float
    zone: ZoneFile
    settings: str
    expect: dict[str, object]


def read_case(folder: Path) -> Case:
    data = tomllib.loads((folder / "case.toml").read_text("utf-8"))
    repeats = data.get("repeat", {})

    def text(key: str, default: str = "") -> str:
        return expand(data.get(key, default).encode(), repeats).decode()

    known = {
        "why", "nasty", "client_ip", "helo", "name", "login", "mail_from", "mail_from_latin1", "rcpt_to",
        "now", "repeat", "config", "expect",
    }  # fmt: skip
    assert set(data) <= known
    assert len(data["why"]) > 30
    own = folder / "dns.zone"
    lines = expand(own.read_bytes(), repeats).decode().splitlines() if own.exists() else []
    named = {line.split()[0] for line in lines if line.strip()}
    world = expand((CORPUS / "dns.zone").read_bytes(), {}).decode().splitlines()
    zone = [line for line in world if line.strip() and line.split()[0] not in named] + lines
    settings = {
        table: BASE.get(table, {}) | data.get("config", {}).get(table, {}) for table in (*BASE, "verdict")
    }
    return Case(
        letter=expand((folder / "message.eml").read_bytes(), repeats),
        client=Client(
            address=text("client_ip", "192.0.2.7"),
            helo=text("helo", "mx.far.example"),
            name=text("name", "unknown"),
            port=4711,
            login=text("login"),
        ),
        envelope=Envelope(
            sender=data.get("mail_from_latin1", "").encode("latin-1").decode("utf-8", "surrogateescape")
            or text("mail_from", "mara@far.example"),
            recipients=tuple(data.get("rcpt_to", ["bob@our.example"])),
        ),
        now=data.get("now", NOW),
        zone=ZoneFile("\n".join(zone)),
        settings="\n".join(
            f"[{table}]\n" + "\n".join(f"{key} = {json.dumps(value)}" for key, value in values.items())
            for table, values in settings.items()
        ),
        expect=ORDINARY | data["expect"],
    )


@pytest.fixture(scope="module")
def config_of(tmp_path_factory):
    """The configuration of a case, by its text, read by the loader that the daemon has."""

    @lru_cache
    def loaded(text):
        path = tmp_path_factory.mktemp("corpus") / "postvouch.toml"
        path.write_text(text)
        return load(path)

    return loaded


class World:
    """What a daemon has for a resolver, over the DNS of a case."""

    def __init__(self, zone):
        self.zone = zone

    def for_message(self, seconds, may_wait=True):
        return Questions(self.zone, MESSAGE_LOOKUPS)


def handed_over(message, handler, size):
    """The message as a milter has it: the body hashed in chunks of that size, and gone."""
    hashes = handler.hashes(message.fields)
    for chunk in message.body:
        for at in range(0, len(chunk), size):
            hashes.feed(chunk[at : at + size])
    return replace(message, body=(), digests=hashes.finish())


def field_of(decision):
    """Our field, read; and it is the only one, above all else, and safe to write."""
    inserted = [edit for edit in decision.edits if isinstance(edit, InsertField)]
    assert [edit.name for edit in inserted].count(header.FIELD_NAME) == 1
    assert decision.edits[-1] is next(edit for edit in inserted if edit.name == header.FIELD_NAME)
    for edit in inserted:
        lines = f"{edit.name}: {edit.value}".split("\n")
        assert all(len(line.encode()) < 998 for line in lines)
        assert all(line[:1] in " \t" for line in lines[1:])
        assert all(line.isprintable() and line.strip() for line in lines)
    value = inserted[-1].value
    parsed = authres.parse(value.replace("\n", "\r\n").encode())
    assert parsed.authserv_id == OURS
    return value.replace("\n", ""), parsed


def result_of(info):
    return f"{info.method}={info.result}"


def check_field_tells_the_findings(parsed, found, client):
    """No result is in our field but those that were found: whatever a sender wrote, it opened none."""
    told = [
        result_of(info) for info in parsed.results if info.method not in (header.LIST, header.ORIGIN, "auth")
    ]
    spf = [f"spf={found.spf.result}"] if found.spf.identity == "mailfrom" else []
    iprev = [f"iprev={found.iprev.result}"] if found.iprev and client.address else []
    dkim = [f"dkim={each.result}" for each in found.dkim] or ["dkim=none"]
    arc = [f"arc={found.arc.result}"] if found.arc else []
    assert told == [*iprev, *spf, f"spf={found.helo.result}", *dkim, *arc, f"dmarc={found.dmarc.result}"]


def seen_as_ours(value):
    """A second opinion on whether somebody could take this field for ours, not that of auth/header.py.

    Encoded-words decoded by the standard library, comments cut out from the inside, all quotes and blanks
    gone, width and case folded: is what stands before the first semicolon our id, perhaps with a version?
    """
    text = re.sub(r"\\(.)", r"\1", value[:8192].decode("utf-8", "replace"))
    try:
        plain = "".join(
            part if isinstance(part, str) else part.decode(charset or "latin-1", "replace")
            for part, charset in decode_header(text)
        )
    except (ValueError, LookupError):
        plain = text
    for form in (text, plain):
        head = form
        for _ in range(20):
            head = re.sub(r"\([^()]*\)", "", head)
        head = unicodedata.normalize("NFKC", head.split(";")[0]).casefold()
        head = "".join(c for c in head if unicodedata.category(c)[0] not in "CZ" and c not in "\"'()")
        if re.fullmatch(rf"{re.escape(OURS)}\.*/?[0-9]*", head):
            return True
    return False


def check_edits(message, decision):
    """No field that claims our id, and no mark, is left; whatever else came in is untouched."""
    gone = [edit for edit in decision.edits if isinstance(edit, RemoveField)]
    assert [isinstance(edit, RemoveField) for edit in decision.edits].index(False) == len(gone)
    fields = list(message.fields)
    for edit in gone:
        places = [at for at, field in enumerate(fields) if field.is_named(edit.name.encode())]
        del fields[places[edit.nth - 1]]
    for field in fields:
        name = field.name.strip().lower()
        assert name != header.MARK.lower().encode()
        assert name != b"authentication-results" or not seen_as_ours(field.value)
    left = {id(field) for field in fields}
    removed = [at for at, field in enumerate(message.fields) if id(field) not in left]
    assert all(
        message.fields[at].name.strip().lower() in (b"authentication-results", header.MARK.lower().encode())
        for at in removed
    )
    return removed


def check_reply(decision, config):
    """What Postfix is told: one printable line of ASCII; in mode monitor, nothing but accept."""
    if config.verdict.mode == "monitor":
        assert decision.verdict == Accept()
        assert not decision.marked
    if not isinstance(decision.verdict, Reject | Defer):
        return ""
    said = str(decision.verdict.reply)
    assert said.isascii()
    assert said.isprintable()
    assert re.fullmatch(r"[45]\d\d [45]\.\d{1,3}\.\d{1,3} .+", said)
    assert (said[0] == "5") == isinstance(decision.verdict, Reject)
    return said


def author_word(author):
    match author:
        case OneAuthor(address):
            return str(address)
        case MissingAuthor():
            return "none"
        case MalformedAuthor(_):
            return "malformed"
        case _:
            return "several"


def got(found, decision, parsed, removed, reply):
    """All that a case may expect, as it is written there."""
    marks = [
        edit.value for edit in decision.edits if isinstance(edit, InsertField) and edit.name == header.MARK
    ]
    return {
        "spf": str(found.spf.result),
        "spf_identity": found.spf.identity,
        "spf_domain": found.spf.domain,
        "helo": str(found.helo.result),
        "dkim": [str(each.result) for each in found.dkim],
        "dkim_reasons": [each.reason for each in found.dkim],
        "arc": str(found.arc.result) if found.arc else "none",
        "sealers": list(found.arc.sealers) if found.arc else [],
        "dmarc": str(found.dmarc.result),
        "aligned_by": found.dmarc.aligned_by,
        "policy": found.dmarc.policy,
        "applied": found.dmarc.applied,
        "org_domain": found.dmarc.org_domain,
        "iprev": str(found.iprev.result) if found.iprev else "none",
        "from": author_word(found.author),
        "list_id": found.list_id,
        "results": [result_of(info) for info in parsed.results],
        "action": decision.action,
        "code": decision.code,
        "would": dict(decision.facts).get("would", ""),
        "mark": "".join(marks),
        "reply": reply,
        "removed": removed,
    }


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_what_must_happen_to_this_letter_happens(folder, config_of, monkeypatch):
    case = read_case(folder)
    config = config_of(case.settings)
    monkeypatch.setattr(verify, "time", SimpleNamespace(time=lambda: case.now))
    handler = verify.Verifier(config, Log(program="postvouch-verify"), World(case.zone))
    message = read_letter(case.letter, client=case.client, envelope=case.envelope).message
    # Postfix takes the blanks before the colon away.
    fields = tuple(Field(field.name.rstrip(b" \t"), field.value) for field in message.fields)
    message = replace(message, queue_id="4CorpuS", fields=fields)

    began = thread_time()
    decision = handler.handle(message)
    # What one step takes may come on top, and this machine may be a slow one.
    assert thread_time() - began < 1.5 * config.verify.cpu_limit
    field, parsed = field_of(decision)
    judged = verdict.judge(message, Questions(case.zone, MESSAGE_LOOKUPS), now=case.now, config=config)
    internal = decide.is_internal(case.client, handler._policy)
    if not internal:
        # The command is the daemon's twin, and knows the findings.
        assert (judged.field.replace("\n", ""), judged.ruling.code) == (field, decision.code)
        check_field_tells_the_findings(parsed, judged.findings, case.client)
    removed = check_edits(message, decision)
    reply = check_reply(decision, config)
    line = format_line("4CorpuS", (("from", case.envelope.sender), *decision.facts))
    assert line.isprintable()

    have = got(judged.findings, decision, parsed, removed, reply)
    expect = dict(case.expect)
    assert "code" in expect
    has, lacks = expect.pop("authres_has", []), expect.pop("authres_lacks", [])
    assert set(expect) <= set(have)
    assert (reply != "") == (expect["action"] in ("reject", "defer"))
    have["reply"] = reply[: len(expect.get("reply", ""))]
    assert {key: have[key] for key in expect} == expect, field
    assert [text for text in has if text not in field] == [], field
    assert [text for text in lacks if text in field] == [], field

    for size in CHUNKS:
        if sum(map(len, message.body)) <= size * MOST_CHUNKS:
            given = handed_over(message, handler, size)
            assert dict(given.digests) == dict(bodies.digests(message))
            assert handler.handle(given) == decision, f"in chunks of {size}"


def test_the_corpus_is_as_large_and_as_nasty_as_promised():
    assert len(CASES) >= 150
    assert len({folder.name[:3] for folder in CASES}) == len(CASES)
    nasty = [
        folder.name for folder in CASES if "\nnasty = true\n" in (folder / "case.toml").read_text("utf-8")
    ]
    assert len(nasty) == 10
    assert all((folder / "message.eml").exists() for folder in CASES)
    assert max(path.stat().st_size for path in CORPUS.rglob("*.*")) < 200_000


@pytest.mark.parametrize("name", LETTERS)
def test_the_builder_makes_the_letter_that_is_committed(name):
    assert (CORPUS / name / "message.eml").read_bytes() == LETTERS[name]()
