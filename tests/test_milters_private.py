"""The srs milter and what comes back from behind a forward: the real daemon, both doors."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bounces import FOLDER, split
from fakedns import zone
from postfixplay import Daemon, Outcome, Postfix
from test_milters_sign import prepare, publish_names, start, write_config

from postvouch.auth import dkim as verifier
from postvouch.auth.result import Result
from postvouch.config.load import load
from postvouch.directory import snapshot
from postvouch.host.keywatch import KeyWatch
from postvouch.host.log import Log
from postvouch.milters.private import KEEPS, MAX_FIELDS
from postvouch.milters.sign import Signer
from postvouch.values.decision import Accept, AddField, Decision, InsertField, Quarantine, Reject, ReplaceBody
from postvouch.values.message import Client, Envelope, Field, Message
from postvouch.values.reply import MARKED, NOT_READABLE

NAMES = """
domains: {our.example: primary, old.example: our.example}
aliases: {grants: [alice]}
forwards: {alice: alice@gmail.example, bob: bob@riseup.example}
"""
VOUCHED = 'vouching_hosts = ["192.0.2.25"]\nvouching_id = "mx.our.example"\n'
MX = Client(address="192.0.2.25", name="mx.our.example")
HERE = Client(address="127.0.0.1", name="localhost", local=True)
ENGINES = ["pymilter", "native"]


def folder_of(path: Path) -> str:
    text = prepare(path)
    (path / "names.yaml").write_text(NAMES)
    publish_names(path)
    return text


@pytest.fixture(scope="module", params=ENGINES)
def srs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Daemon, str]]:
    folder = tmp_path_factory.mktemp("private")
    text = folder_of(folder)
    extra = f'{VOUCHED}engine = "{request.param}"'
    with start(folder, role="srs", extra=extra, srs='[forward]\ngate = "refuse"\n') as daemon:
        yield daemon, text


def play(
    daemon: Daemon, name: str, *, made_here: bool, to: bytes = b"<mara@far.example>", queue_id: str
) -> Outcome:
    """A bounce of the corpus, brought by the mx or by cleanup."""
    fields, body = split((FOLDER / f"{name}.eml").read_bytes())
    with Postfix(daemon.path) as connection:
        assert connection.actions & 0x02
        if made_here:
            connection.connect("localhost", "127.0.0.1", 0)
        else:
            connection.connect("mx.our.example", "192.0.2.25")
        connection.envelope(b"" if made_here else b"<>", to)
        header = [(field.name, field.value.replace(b"\r\n", b"\n")) for field in fields]
        connection.content(header, body, queue_id)
        outcome = connection.end(queue_id)
    outcome.header = header  # type: ignore[attr-defined]
    outcome.old = body  # type: ignore[attr-defined]
    return outcome


def message_of(outcome: Outcome) -> Message:
    """The letter as the next host gets it."""
    fields = outcome.applied(outcome.header)  # type: ignore[attr-defined]
    return Message(
        fields=tuple(Field(name, value.replace(b"\n", b"\r\n")) for name, value in fields),
        body=(outcome.body if outcome.body is not None else outcome.old,),  # type: ignore[attr-defined]
    )


@pytest.mark.parametrize("name, made_here", [("postfix", True), ("exim", False), ("qmail", False)])
def test_a_bounce_leaves_rewritten_and_signed_and_both_hold(
    srs: tuple[Daemon, str], name: str, made_here: bool
) -> None:
    daemon, text = srs
    outcome = play(daemon, name, made_here=made_here, queue_id=f"4{name}")
    assert outcome.word == "c"
    message = message_of(outcome)
    octets = b"".join(b"%b:%b\r\n" % field for field in message.fields) + b"".join(message.body)
    for secret in (b"gmail", b"corp.example", b"alice-inbox", b"SRS0"):
        assert secret not in octets
    (finding,) = verifier.verify(message, zone(f"s1._domainkey.our.example TXT {text}"), time.time())
    assert (finding.result, finding.d) == (Result.PASS, "our.example")
    line = daemon.wait_for(f"4{name}: ")[0]
    alias = "alice" if made_here else "grants"
    assert f"redacted={alias}@our.example, author=<MAILER-DAEMON@our.example>" in line
    assert "outcome=own, action=accept, reason=ok" in line


def test_a_bounce_for_one_of_us_about_a_letter_to_a_stranger_stays(srs: tuple[Daemon, str]) -> None:
    outcome = play(srs[0], "exim", made_here=False, to=b"<bob@our.example>", queue_id="4stays")
    assert outcome.body is None
    assert "redacted" not in srs[0].wait_for("4stays: ")[0]


def test_a_bounce_for_one_of_us_about_a_forward_of_ours_is_rewritten(srs: tuple[Daemon, str]) -> None:
    outcome = play(srs[0], "postfix", made_here=True, to=b"<bob@our.example>", queue_id="4inside")
    assert outcome.body is not None
    assert b"gmail" not in outcome.body


def test_a_letter_with_a_sender_is_never_touched(srs: tuple[Daemon, str]) -> None:
    fields, body = split((FOLDER / "exim.eml").read_bytes())
    with Postfix(srs[0].path) as connection:
        connection.connect("mx.our.example", "192.0.2.25")
        header = [(field.name, field.value.replace(b"\r\n", b"\n")) for field in fields]
        outcome = connection.message(header, body, sender=b"<x@far.example>", queue_id="4sender")
    assert (outcome.word, outcome.edits, outcome.body) == ("c", [], None)


def test_a_bounce_larger_than_what_is_kept_is_rewritten_from_its_beginning(srs: tuple[Daemon, str]) -> None:
    fields, body = split((FOLDER / "exim.eml").read_bytes())
    with Postfix(srs[0].path) as connection:
        connection.connect("mx.our.example", "192.0.2.25")
        header = [(field.name, field.value.replace(b"\r\n", b"\n")) for field in fields]
        connection.envelope(b"<>", b"<mara@far.example>")
        connection.content(
            header, body.replace(b"Dear all", b"alice@gmail.example\r\n" * (KEEPS // 10)), "4huge"
        )
        outcome = connection.end("4huge")
    assert outcome.body is not None
    assert b"Status: 5.1.1" in outcome.body
    assert b"gmail" not in outcome.body


SPAM = [
    (b"Authentication-Results", b" mx.our.example; dkim=none; dmarc=fail policy.dmarc=none"),
    (b"Received", b" from x by mx.our.example"),
    (b"From", b" mara@far.example"),
    (b"X-Spam-Flag", b" YES"),
]


def test_the_gate_refuses_what_the_mx_has_marked_and_nothing_of_the_null_sender(
    srs: tuple[Daemon, str],
) -> None:
    with Postfix(srs[0].path) as connection:
        connection.connect("mx.our.example", "192.0.2.25")
        refused = connection.message(SPAM, b"x\r\n", queue_id="4gate")
        free = connection.message(SPAM, b"x\r\n", sender=b"<>", queue_id="4null")
        unmarked = connection.message(SPAM[:3], b"x\r\n", queue_id="4clean")
    assert refused.text == str(MARKED)
    assert (free.word, unmarked.word) == ("c", "c")
    assert "marked=spam, action=reject, reason=forward-gate" in srs[0].wait_for("4gate: ")[0]
    assert "outcome=none-policy, action=accept, reason=not-ours" in srs[0].wait_for("4clean: ")[0]


@pytest.mark.parametrize("engine", ENGINES)
def test_where_nothing_is_private_no_body_can_be_changed_and_the_gate_holds(
    tmp_path: Path, engine: str
) -> None:
    folder_of(tmp_path)
    settings = '[forward]\nprivate = false\ngate = "hold"\n'
    with start(tmp_path, role="srs", extra=f'{VOUCHED}engine = "{engine}"', srs=settings) as daemon:
        with Postfix(daemon.path) as connection:
            assert not connection.actions & 0x02
            connection.connect("mx.our.example", "192.0.2.25")
            held = connection.message(SPAM, b"x\r\n", queue_id="4held")
            assert [command for command, _ in held.edits] == ["q"]
            fields, body = split((FOLDER / "exim.eml").read_bytes())
            header = [(field.name, field.value.replace(b"\r\n", b"\n")) for field in fields]
            bare = connection.message(header, body, sender=b"<>")
            assert (bare.edits, bare.body) == ([], None)
        assert "marked=spam, action=quarantine, reason=forward-gate" in daemon.wait_for("4held: ")[0]


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    folder_of(tmp_path)
    config = load(write_config(tmp_path, role="srs", extra=VOUCHED))
    log = Log(program="t", descriptor=os.open(os.devnull, os.O_WRONLY))
    made = Signer(config, log, snapshot.Watch(Path(config.map.snapshot)), KeyWatch.of(config, log))
    made.tick()
    return made


def decide(signer: Signer, *fields: Field, client: Client = MX, to: str = "mara@far.example") -> Decision:
    return signer.handle(
        Message(
            queue_id="4X", client=client, envelope=Envelope(recipients=(to,)), fields=fields, body=(b"x\r\n",)
        )
    )


DAEMON = Field(b"From", b" MAILER-DAEMON@gmail.example")


@pytest.mark.parametrize(
    "client, rewritten",
    [
        (MX, True),
        (HERE, True),
        (Client(address="203.0.113.9", name="stranger.example"), True),
        (Client(address="198.51.100.7", name="submission.our.example"), False),
        (Client(address="203.0.113.9", login="bob"), False),
    ],
)
def test_what_submission_hosts_and_logins_bring_comes_from_behind_no_forward(
    signer: Signer, client: Client, rewritten: bool
) -> None:
    decision = decide(signer, DAEMON, client=client)
    assert any(isinstance(edit, ReplaceBody) for edit in decision.edits) == rewritten


def test_one_host_that_is_all_hides_where_its_forwards_go_too(tmp_path: Path) -> None:
    folder_of(tmp_path)
    config = load(write_config(tmp_path, role="single"))
    log = Log(program="t", descriptor=os.open(os.devnull, os.O_WRONLY))
    alone = Signer(config, log, snapshot.Watch(Path(config.map.snapshot)), KeyWatch.of(config, log))
    stranger = Client(address="203.0.113.9", name="stranger.example")
    decision = decide(alone, DAEMON, client=stranger, to="SRS0=abcd=XY=far.example=mara@our.example")
    assert AddField("To", "undisclosed-recipients:;") in decision.edits
    assert any(isinstance(edit, InsertField) and edit.name == "DKIM-Signature" for edit in decision.edits)


def test_the_answer_of_a_persons_robot_goes_as_it_is(signer: Signer) -> None:
    decision = decide(
        signer, Field(b"From", b" alice@gmail.example"), Field(b"Auto-Submitted", b" auto-replied")
    )
    assert (decision.verdict, decision.edits) == (Accept(), ())


def test_a_bounce_that_is_all_header_is_refused(signer: Signer) -> None:
    decision = decide(signer, DAEMON, *[Field(b"X", b" y")] * MAX_FIELDS)
    assert (decision.verdict, decision.code) == (Reject(NOT_READABLE), "bounce-too-long")


def test_a_bounce_waits_while_our_key_cannot_be_read(tmp_path: Path, signer: Signer) -> None:
    config = load(write_config(tmp_path, role="srs", extra=VOUCHED))
    (tmp_path / "s1.pem").write_text("no key")
    log = Log(program="t", descriptor=os.open(os.devnull, os.O_WRONLY))
    broken = Signer(config, log, signer.watch, KeyWatch.of(config, log))
    decision = decide(broken, DAEMON)
    assert not isinstance(decision.verdict, Accept | Quarantine)
    assert decision.code == "key-problem"
