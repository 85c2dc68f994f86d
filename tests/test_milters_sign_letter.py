"""One letter in the signer: its body, its old signatures, its seal, and the keys of the moment."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import dkim as dkimpy
import pytest
from dnsserver import serving
from hypothesis import given, settings
from hypothesis import strategies as st
from letters import octets_of

from postvouch.auth import arc
from postvouch.auth import dkim as verifier
from postvouch.auth.result import Result
from postvouch.config.load import load
from postvouch.directory import snapshot
from postvouch.host.dns import DnsResolver
from postvouch.host.keyfolder import write_new
from postvouch.host.keywatch import INTERVAL_S, KeyWatch
from postvouch.host.log import Log
from postvouch.milters.sign import MANY_FIELDS, MANY_OCTETS, Signer
from postvouch.sign import arc as sign_arc
from postvouch.sign import dkim, record
from postvouch.sign.keys import SigningKey, generate
from postvouch.values.decision import Accept, Decision, Defer, InsertField, Quarantine, RemoveField
from postvouch.values.dns import WouldWait
from postvouch.values.message import Client, Envelope, Field, Message
from postvouch.values.reply import LATER

FROM = Field(b"From", b" Bob <bob@our.example>")
STRANGER = Field(b"From", b" Mara <mara@far.example>")
BODY = (b"Dear all,\r\n\r\n  two  ", b"blanks \r\n", b"\r\n\r\n")
INSIDE = Client(address="198.51.100.4", name="web.our.example")
MX = Client(address="192.0.2.25", name="mx.our.example")
VOUCHED = Field(b"Authentication-Results", b" mx.our.example;\r\n dmarc=pass header.from=our.example")
KEYS = {
    name: SigningKey(domain=domain, selector=name, private=generate(kind)[0])
    for name, domain, kind in (
        ("far", "far.example", "rsa"), ("other", "our.example", "ed25519"), ("sealer", "list.example", "rsa"),
    )
}  # fmt: skip
OURS = {name: generate(kind) for name, kind in (("s1", "rsa"), ("s2", "ed25519"), ("new", "rsa"))}


def text_of(name: str) -> str:
    private = KEYS[name].private if name in KEYS else OURS[name][0]
    return "".join(record.strings(private))


def records() -> list[str]:
    ours = [f"{name}._domainkey.our.example TXT {text_of(name)}" for name in OURS]
    return [*ours, *(f"{key.selector}._domainkey.{key.domain} TXT {text_of(n)}" for n, key in KEYS.items())]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serving(*records(), "gone._domainkey.far.example TEMPERROR") as address:
        yield address


class Scene:
    """A signer over a configuration in a folder, and the door before it."""

    def __init__(self, tmp_path: Path, server: str) -> None:
        self.path, self.server = tmp_path, server
        self.now = 0.0
        for name in ("s1", "s2"):
            write_new(str(tmp_path / f"{name}.pem"), OURS[name][1])

    def signer(self, settings: str = "", *, role: str = "relay", keys: str = "s1", srs: str = "") -> Signer:
        tables = "\n".join(
            f'[[sign.key]]\ndomain = "our.example"\nselector = "{name}"\nfile = "{self.path}/{name}.pem"'
            for name in keys.split()
        )
        file = self.path / "postvouch.toml"
        file.write_text(f"""
[general]
role = "{role}"
domains = ["our.example", "bounces.example"]
hostname = "host.our.example"
internal_hosts = ["198.51.100.0/24"]
[dns]
servers = ["{self.server}"]
timeout = "2s"
[map]
snapshot = "{self.path}/directory.snapshot"
[srs]
{srs}
[sign]
vouching_hosts = ["192.0.2.25"]
vouching_id = "mx.our.example"
{settings}
{tables}
""")
        config = load(file)
        log = Log(program="t", descriptor=os.open(os.devnull, os.O_WRONLY))
        keys_now = KeyWatch.of(config, log)
        keys_now._clock = lambda: self.now
        return Signer(config, log, snapshot.Watch(Path(config.map.snapshot)), keys_now)

    def decide(self, signer: Signer, message: Message, *, may_wait: bool = True) -> Decision:
        return signer.handle(streamed(signer, message), may_wait=may_wait)

    def resolver(self) -> DnsResolver:
        return DnsResolver((self.server,), timeout_s=2)


@pytest.fixture
def scene(tmp_path: Path, server: str) -> Scene:
    return Scene(tmp_path, server)


def streamed(signer: Signer, message: Message) -> Message:
    """The message as a door hands it over: its body fed chunk by chunk and gone."""
    if not message.body:
        return message
    hashes = signer.hashes(list(message.fields))
    for chunk in message.body:
        hashes.feed(chunk)
    return replace(message, body=(), digests=hashes.finish())


def letter(*fields: Field, client: Client = INSIDE) -> Message:
    return Message(
        queue_id="4X", client=client, envelope=Envelope(sender="a@far.example"), fields=fields, body=BODY
    )


def leaving(message: Message, decision: Decision) -> Message:
    """The letter as Postfix sends it on: removals by number in any case, each insertion above all."""
    fields = list(message.fields)
    removals = [edit for edit in decision.edits if isinstance(edit, RemoveField)]
    assert [edit.nth for edit in removals] == sorted({edit.nth for edit in removals}, reverse=True)
    for edit in removals:
        places = [n for n, each in enumerate(fields) if each.name.lower() == edit.name.lower().encode()]
        del fields[places[edit.nth - 1]]
    for edit in decision.edits:
        if isinstance(edit, InsertField):
            fields.insert(0, Field(edit.name.encode(), b" " + edit.value.replace("\n", "\r\n").encode()))
    return Message(fields=tuple(fields), body=message.body)


def signed(message: Message, *names: str, now: float | None = None) -> Message:
    """The letter with signatures of these keys on top."""
    for name in names:
        rules = dkim.Rules(headers=("subject",), canonicalization="simple/simple")
        made = dkim.sign(message, KEYS[name], now=now or time.time(), rules=rules)
        own = Field(b"DKIM-Signature", b" " + made.value.replace("\n", "\r\n").encode())
        message = replace(message, fields=(own, *message.fields))
    return message


def results(scene: Scene, message: Message) -> list[tuple[str, str]]:
    found = verifier.verify(message, scene.resolver().for_message(5), time.time())
    return [(finding.s, finding.result.value) for finding in found]


def fact(decision: Decision, name: str) -> str:
    return dict(decision.facts).get(name, "")


# The body.


@pytest.mark.parametrize("form", ["relaxed/relaxed", "relaxed/simple", "simple/simple", "simple/relaxed"])
def test_a_body_that_was_never_kept_is_signed_in_every_form(scene: Scene, form: str) -> None:
    signer = scene.signer(f'canonicalization = "{form}"', keys="s1 s2")
    message = letter(FROM, Field(b"Subject", b" hello\r\n\tthere"))
    decision = scene.decide(signer, message)
    assert fact(decision, "signed") == "our.example/s1 our.example/s2"
    assert results(scene, leaving(message, decision)) == [("s2", "pass"), ("s1", "pass")]


def test_a_letter_without_a_body_is_signed(scene: Scene) -> None:
    message = replace(letter(FROM), body=())
    decision = scene.decide(scene.signer(), message)
    assert results(scene, leaving(message, decision)) == [("s1", "pass")]


@pytest.mark.parametrize(
    "fields", [(STRANGER,), (), (FROM, STRANGER), (Field(b"From", b" <bob@our.example"),)]
)
def test_what_nobody_will_sign_is_not_hashed_and_not_kept(scene: Scene, fields: tuple[Field, ...]) -> None:
    signer = scene.signer()
    message = signed(letter(*fields), "far")
    assert streamed(signer, message).digests == {}
    assert scene.decide(signer, message).edits == ()


def test_a_key_that_came_after_the_body_lets_the_letter_wait(scene: Scene) -> None:
    before, after = scene.signer(keys=""), scene.signer(keys="s1")
    decision = after.handle(streamed(before, letter(FROM)))
    assert (decision.verdict, decision.code) == (Defer(LATER), "key-is-new")
    assert scene.decide(after, letter(FROM)).code == "ok"


def test_our_own_signature_in_another_form_is_recognized_though_the_body_is_gone(scene: Scene) -> None:
    first = scene.signer('canonicalization = "simple/simple"')
    message = letter(FROM)
    again = replace(leaving(message, scene.decide(first, message)), client=INSIDE)
    assert scene.decide(scene.signer(), again).code == "already-signed"
    changed = replace(again, body=(b"changed\r\n",))
    decision = scene.decide(scene.signer(), changed)
    assert decision.code == "ok"
    assert results(scene, leaving(changed, decision)) == [("s1", "pass"), ("s1", "fail")]


@pytest.mark.parametrize(
    "fields", [[Field(b"X", b" y")] * MANY_FIELDS, [Field(b"To", b" " * (MANY_OCTETS // 2))] * 2]
)
def test_a_huge_header_takes_a_thread(scene: Scene, fields: list[Field]) -> None:
    signer = scene.signer()
    message = letter(FROM, *fields)
    with pytest.raises(WouldWait):
        scene.decide(signer, message, may_wait=False)
    assert scene.decide(signer, message).code == "ok"
    assert scene.decide(signer, letter(FROM), may_wait=False).code == "ok"


# Old signatures.


def old_letter() -> Message:
    """From the bottom: one that is good, one of another key of our domain, one out of reach, one broken."""
    good = signed(letter(FROM, Field(b"Subject", b" hello")), "far", "other")
    broken = Field(b"dkim-signature", signed(replace(good, body=(b"no",)), "far").fields[0].value)
    unknown = broken.value.replace(b"s=far", b"s=gone")
    return replace(good, fields=(broken, Field(b"Dkim-Signature", unknown), *good.fields))


@pytest.mark.parametrize(
    "which, removed, left",
    [
        ("none", "", ["s1 pass", "far fail", "gone temperror", "other pass", "far pass"]),
        ("own", "1", ["s1 pass", "far fail", "gone temperror", "far pass"]),
        ("broken", "1", ["s1 pass", "gone temperror", "other pass", "far pass"]),
        ("all", "4", ["s1 pass"]),
    ],
)
def test_old_signatures_go_as_told_and_the_rest_is_left_octet_for_octet(
    scene: Scene, which: str, removed: str, left: list[str]
) -> None:
    message = old_letter()
    decision = scene.decide(scene.signer(f'remove_old_signatures = "{which}"'), message)
    assert fact(decision, "removed") == removed
    after = leaving(message, decision)
    assert [" ".join(each) for each in results(scene, after)] == left
    assert all(field in message.fields for field in after.fields[1:])


def test_a_signature_of_ours_that_holds_stays_whatever_is_removed(scene: Scene) -> None:
    message = letter(FROM)
    once = replace(leaving(message, scene.decide(scene.signer(), message)), client=INSIDE)
    for which in ("own", "all", "broken"):
        signer = scene.signer(f'remove_old_signatures = "{which}"', keys="s1 s2")
        decision = scene.decide(signer, once)
        assert (fact(decision, "signed"), fact(decision, "removed")) == ("our.example/s2", "")
        assert results(scene, leaving(once, decision)) == [("s2", "pass"), ("s1", "pass")]


def test_what_is_not_signed_loses_nothing(scene: Scene) -> None:
    message = signed(letter(STRANGER), "far")
    assert scene.decide(scene.signer('remove_old_signatures = "all"'), message).edits == ()


def test_dns_is_asked_for_broken_ones_alone_and_never_where_nobody_may_wait(scene: Scene) -> None:
    message = signed(letter(FROM), "far")
    for which in ("none", "own", "all"):
        signer = scene.signer(f'remove_old_signatures = "{which}"')
        assert scene.decide(signer, message, may_wait=False).code == "ok"
    signer = scene.signer('remove_old_signatures = "broken"')
    with pytest.raises(WouldWait):
        scene.decide(signer, message, may_wait=False)
    assert scene.decide(signer, message).code == "ok"
    # The answer is at hand now.
    assert scene.decide(signer, message, may_wait=False).code == "ok"


# The seal.


SRS = {"role": "srs", "srs": 'domain = "our.example"'}


def trusted(*fields: Field, client: Client = MX, results: Field = VOUCHED) -> Message:
    return letter(results, Field(b"Received", b" from far.example by mx.our.example"), *fields, client=client)


def chain(scene: Scene, message: Message) -> tuple[Result, tuple[str, ...]]:
    finding = arc.verify(message, scene.resolver().for_message(5), time.time())
    return finding.result, finding.sealers


def dkimpy_chain(message: Message) -> bytes:
    texts = dict(each.split(" TXT ", 1) for each in records())
    status, _, _ = dkimpy.arc_verify(
        octets_of(message), dnsfunc=lambda name, timeout=5: texts[name.decode().rstrip(".")].encode()
    )
    return bytes(status)


def sealed_before(message: Message) -> Message:
    """With a set of a list on it, in front of our mx's own fields."""
    below = replace(message, fields=message.fields[2:])
    made = sign_arc.seal(
        below,
        KEYS["sealer"],
        now=time.time(),
        authserv_id="list.example",
        chain=Result.NONE,
        headers=("from",),
    )
    assert len(made) == 3
    done = leaving(below, Decision(verdict=Accept(), code="ok", edits=made))
    return replace(message, fields=(*message.fields[:2], *done.fields))


@pytest.mark.parametrize("removing", ["none", "all"])
@pytest.mark.parametrize("author", [FROM, STRANGER], ids=["ours", "a stranger's"])
def test_what_vouching_hosts_bring_is_sealed_above_our_signature_and_verifies(
    scene: Scene, author: Field, removing: str
) -> None:
    signer = scene.signer(f'arc_seal = true\nremove_old_signatures = "{removing}"', **SRS)
    message = signed(trusted(author), "far")
    decision = scene.decide(signer, message)
    assert fact(decision, "sealed") == "our.example/s1 cv=none"
    after = leaving(message, decision)
    assert [field.name for field in after.fields[:3]] == [
        b"ARC-Seal", b"ARC-Message-Signature", b"ARC-Authentication-Results",
    ]  # fmt: skip
    assert chain(scene, after) == (Result.PASS, ("our.example",))
    assert dkimpy_chain(after) == b"pass"
    assert all(word == "pass" for _, word in results(scene, after))
    assert b"dmarc=pass header.from=our.example" in after.fields[2].value
    forged = replace(after, fields=(*after.fields, Field(b"From", b" x@evil.example")))
    assert chain(scene, forged)[0] is Result.FAIL


def test_a_chain_that_is_there_is_continued(scene: Scene) -> None:
    signer = scene.signer("arc_seal = true", **SRS)
    message = sealed_before(trusted(STRANGER))
    with pytest.raises(WouldWait):
        scene.decide(signer, message, may_wait=False)
    decision = scene.decide(signer, message)
    assert fact(decision, "sealed") == "our.example/s1 cv=pass"
    after = leaving(message, decision)
    assert chain(scene, after) == (Result.PASS, ("list.example", "our.example"))
    assert dkimpy_chain(after) == b"pass"


def test_a_chain_that_is_broken_is_sealed_as_such(scene: Scene) -> None:
    signer = scene.signer("arc_seal = true", **SRS)
    message = replace(sealed_before(trusted(STRANGER)), body=(b"changed\r\n",))
    decision = scene.decide(signer, message)
    assert fact(decision, "sealed") == "our.example/s1 cv=fail"
    assert chain(scene, leaving(message, decision))[0] is Result.FAIL
    again = leaving(message, decision)
    again = replace(again, fields=(*message.fields[:2], *again.fields), client=MX)
    assert fact(scene.decide(signer, again), "sealed") == "no (the chain takes no further seal)"


def unreachable(message: Message) -> Message:
    """With a chain whose key nobody can get for the moment."""
    message = sealed_before(message)
    values = [
        field.value.replace(b"d=list.", b"d=far.").replace(b"s=sealer", b"s=gone") for field in message.fields
    ]
    return replace(
        message,
        fields=tuple(Field(field.name, value) for field, value in zip(message.fields, values, strict=True)),
    )


@pytest.mark.parametrize(
    "change, why",
    [
        (lambda m: replace(m, fields=m.fields[1:]), "no Authentication-Results of mx.our.example on top"),
        (lambda m: replace(m, fields=(m.fields[1], m.fields[0], *m.fields[2:])), "no Authentication-Results"),
        (
            lambda m: replace(m, fields=(Field(VOUCHED.name, b" mx.far.example; none"), *m.fields)),
            "no Authentication-Results",
        ),
        (lambda m: replace(m, fields=(Field(VOUCHED.name, b" (;"), *m.fields)), "is malformed"),
        (unreachable, "the chain cannot be verified now"),
    ],
)
def test_without_what_a_seal_needs_the_letter_goes_on_and_the_log_says_why(
    scene: Scene, change: Callable[[Message], Message], why: str
) -> None:
    decision = scene.decide(scene.signer("arc_seal = true", **SRS), change(trusted(STRANGER)))
    assert decision.verdict == Accept()
    assert decision.edits == ()
    assert fact(decision, "sealed").startswith("no (")
    assert why in fact(decision, "sealed")


def test_without_an_rsa_key_of_the_srs_domain_there_is_no_seal(scene: Scene) -> None:
    for other in ({"keys": "s2"}, {"srs": 'domain = "bounces.example"'}, {"keys": ""}):
        decision = scene.decide(scene.signer("arc_seal = true", **{**SRS, **other}), trusted(STRANGER))
        assert "no (no RSA key for " in fact(decision, "sealed")
    (scene.path / "s1.pem").unlink()
    decision = scene.decide(scene.signer("arc_seal = true", **SRS), trusted(STRANGER))
    assert "no such file" in fact(decision, "sealed")


@pytest.mark.parametrize(
    "settings, role, client",
    [("", "srs", MX), ("arc_seal = true", "relay", MX), ("arc_seal = true", "srs", INSIDE)],
)
def test_only_srs_seals_only_where_told_and_only_what_vouching_hosts_bring(
    scene: Scene, settings: str, role: str, client: Client
) -> None:
    decision = scene.decide(
        scene.signer(settings, role=role, srs='domain = "our.example"'), trusted(STRANGER, client=client)
    )
    assert fact(decision, "sealed") == ""
    assert decision.edits == ()


def test_what_is_held_gets_no_seal(scene: Scene) -> None:
    spoof = trusted(FROM, results=Field(VOUCHED.name, b" mx.our.example; dmarc=fail header.from=our.example"))
    decision = scene.decide(scene.signer("arc_seal = true", **SRS), spoof)
    assert isinstance(decision.verdict, Quarantine)
    assert (decision.code, decision.edits, fact(decision, "sealed")) == ("gate-denied", (), "")


def test_results_in_utf_8_are_sealed_as_they_are_and_what_is_no_utf_8_is_not(scene: Scene) -> None:
    signer = scene.signer("arc_seal = true", **SRS)
    for comment in ("用户".encode(), b"\xff"):
        results = Field(
            VOUCHED.name, b" mx.our.example; dmarc=pass (" + comment + b") header.from=far.example"
        )
        message = trusted(STRANGER, results=results)
        decision = scene.decide(signer, message)
        after = leaving(message, decision)
        if comment == b"\xff":
            assert "malformed" in fact(decision, "sealed")
            assert after.fields == message.fields
        else:
            assert chain(scene, after)[0] is Result.PASS
            assert comment in after.fields[2].value


JUNK_NAMES = (
    b"From", b"DKIM-Signature", b"ARC-Seal", b"ARC-Message-Signature", b"ARC-Authentication-Results",
    b"Authentication-Results", b"Received", b"X \t", b"",
)  # fmt: skip
JUNK_VALUES = (
    b" bob@our.example",
    b" i=1; cv=none; a=rsa-sha256; d=far.example; s=far; b=AA==; bh=AA==; h=from",
    b" v=1; a=rsa-sha256; d=our.example; s=s1; h=from; bh=AA==; b=AA==; l=3; c=x",
    VOUCHED.value,
    b" i=1; mx.our.example; dmarc=pass",
    b" i=50; cv=fail",
    b"",
)


@settings(max_examples=150)
@given(
    st.lists(
        st.tuples(st.sampled_from(JUNK_NAMES), st.sampled_from(JUNK_VALUES) | st.binary(max_size=30)),
        max_size=9,
    ),
    st.lists(st.binary(max_size=9), max_size=3),
    st.sampled_from([MX, INSIDE, Client(login="bob"), Client()]),
)
def test_no_letter_makes_the_signer_raise(
    busiest: tuple[Scene, Signer], fields: list[tuple[bytes, bytes]], body: list[bytes], client: Client
) -> None:
    scene, signer = busiest
    message = replace(letter(*[Field(*each) for each in fields], client=client), body=tuple(body))
    decision = scene.decide(signer, message)
    assert decision.code != "bug"
    leaving(message, decision)


@pytest.fixture(scope="module")
def busiest(tmp_path_factory: pytest.TempPathFactory, server: str) -> tuple[Scene, Signer]:
    """A signer with all that it can be told to do."""
    scene = Scene(tmp_path_factory.mktemp("busiest"), server)
    told = 'arc_seal = true\nremove_old_signatures = "broken"\nexpire = "10d"'
    return scene, scene.signer(told, keys="s1 s2", **SRS)


# The keys.


def test_a_key_that_changes_on_disk_signs_the_next_letter(scene: Scene) -> None:
    signer = scene.signer()
    before = leaving(letter(FROM), scene.decide(signer, letter(FROM)))
    file = scene.path / "s1.pem"
    file.unlink()
    write_new(str(file), OURS["new"][1])
    scene.now += time.monotonic() + INTERVAL_S
    signer.tick()
    after = leaving(letter(FROM), scene.decide(signer, letter(FROM)))
    # What the record of s1 says is still the old key.
    assert results(scene, before) == [("s1", "pass")]
    assert results(scene, after) == [("s1", "fail")]


def test_a_letter_reads_the_ring_once(scene: Scene) -> None:
    signer = scene.signer('arc_seal = true\nremove_old_signatures = "all"', **SRS)
    rings = [signer.keys.ring]
    asked: list[int] = []

    class Counting:
        @property
        def ring(self) -> object:
            asked.append(1)
            return rings[0]

    message = streamed(signer, signed(trusted(FROM), "far"))
    signer.keys = Counting()  # type: ignore[assignment]
    decision = signer.handle(message)
    assert (decision.code, fact(decision, "removed"), len(asked)) == ("ok", "1", 1)
