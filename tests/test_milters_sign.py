"""postvouch-sign as Postfix meets it: a real daemon for the journey, its handler for the branches."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import dkim as dkimpy
import pytest
from dnsserver import serving
from fakedns import zone
from postfixplay import Daemon, Header, Outcome, Postfix, running

from postvouch.auth import arc
from postvouch.auth import dkim as verifier
from postvouch.auth.result import Result
from postvouch.config.load import load
from postvouch.directory import files, snapshot
from postvouch.host.keyfolder import write_new
from postvouch.host.keywatch import KeyWatch
from postvouch.host.log import Log
from postvouch.milters import sign
from postvouch.milters.unproven import HELD, Unproven
from postvouch.sign import record
from postvouch.sign.keys import generate
from postvouch.srs import codec
from postvouch.values.answer import Found
from postvouch.values.decision import Accept, ChangeSender, Decision, Defer, InsertField, Quarantine, Reject
from postvouch.values.message import Client, Envelope, Field, Message
from postvouch.values.reply import AUTHOR_NOT_OWNED, DNS_PROBLEM, KEY_PROBLEM, LATER, SPOOF

ROOT = Path(__file__).resolve().parent.parent
BODY = b"Gr\xfc\xdfe,\r\n\r\n  two  blanks \r\n\r\n\r\n"
NAMES = """
domains: {our.example: primary, old.example: our.example}
aliases: {grants: [alice, bob]}
logins: {bob: [bob@our.example], alice: [alice@our.example]}
"""


def letter(author: bytes = b"Bob <bob@our.example>") -> Header:
    return [
        (b"From", b" " + author),
        (b"To", b" x@far.example"),
        (b"Subject", b" \xe4\n\tfolded"),
        (b"X-No", b"blank"),
    ]


def write_config(
    directory: Path,
    *,
    role: str = "submission",
    extra: str = "",
    srs: str = "",
    dns: str = "127.0.0.1@9",
    domains: str = '["our.example", "old.example"]',
) -> Path:
    path = directory / "postvouch.toml"
    path.write_text(f"""
[general]
role = "{role}"
domains = {domains}
hostname = "host.our.example"
internal_hosts = ["127.0.0.0/8", "198.51.100.0/24"]
[dns]
servers = ["{dns}"]
timeout = "1s"
[map]
names = ["{directory}/names.yaml"]
snapshot = "{directory}/directory.snapshot"
[srs]
secrets_file = "{directory}/srs.secrets"
{srs}
[sign]
socket = "unix:{directory}/s.sock"
metrics = ""
{extra}
[[sign.key]]
domain = "our.example"
selector = "s1"
file = "{directory}/s1.pem"
""")
    return path


def prepare(directory: Path) -> str:
    """Key, names, secrets; what the key's record says."""
    private, pem = generate("rsa")
    write_new(str(directory / "s1.pem"), pem)
    (directory / "names.yaml").write_text(NAMES)
    write_new(str(directory / "srs.secrets"), b"secret\n")
    publish_names(directory)
    return "".join(record.strings(private))


def publish_names(directory: Path, *, now: float | None = None) -> None:
    part, problems = files.read(
        [str(directory / "names.yaml")],
        ["our.example", "old.example"],
        now=time.time() if now is None else now,
    )
    assert not problems
    snapshot.save(directory / "directory.snapshot", [part])


def start(directory: Path, **settings: str):  # type: ignore[no-untyped-def]
    path = write_config(directory, **settings)
    arguments = ["-m", "postvouch.milters.sign", "--config", str(path)]
    return running(arguments, directory / "s.sock", directory / "stderr", PYTHONPATH=str(ROOT))


def received(outcome: Outcome, header: Header, body: bytes) -> Message:
    """The letter as the next host gets it."""
    fields = tuple(Field(name, value.replace(b"\n", b"\r\n")) for name, value in outcome.applied(header))
    return Message(fields=fields, body=(body,))


def octets(message: Message) -> bytes:
    head = b"".join(field.name + b":" + field.value + b"\r\n" for field in message.fields)
    return head + b"\r\n" + b"".join(message.body)


@pytest.fixture(scope="module", params=["pymilter", "native"])
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Daemon, str]]:
    directory = tmp_path_factory.mktemp("sign")
    text = prepare(directory)
    with start(directory, extra=f'engine = "{request.param}"') as daemon:
        yield daemon, text


@pytest.fixture
def submission(shared: tuple[Daemon, str]) -> Iterator[Postfix]:
    with Postfix(shared[0].path) as connection:
        connection.connect("laptop.far.example", "203.0.113.9")
        yield connection


def test_a_login_that_owns_its_from_is_signed_and_everybody_can_verify_it(
    shared: tuple[Daemon, str], submission: Postfix
) -> None:
    daemon, text = shared
    outcome = submission.message(letter(), BODY, sender=b"<bob@our.example>", login="bob", queue_id="4Sign")
    message = received(outcome, letter(), BODY)
    assert message.fields[0].name == b"DKIM-Signature"
    resolver = zone(f"s1._domainkey.our.example TXT {text}")
    (finding,) = verifier.verify(message, resolver, time.time())
    assert (finding.result, finding.d, finding.s) == (Result.PASS, "our.example", "s1")
    assert dkimpy.verify(octets(message), dnsfunc=lambda *args, **kwargs: text.encode())
    line = daemon.wait_for("4Sign: ")[0]
    assert ", login=bob, author=<bob@our.example>, origin=login, signed=our.example/s1, action=accept" in line
    assert ", reason=ok, " in line


def test_a_role_address_is_signed_for_its_members(submission: Postfix) -> None:
    outcome = submission.message(letter(b"grants@our.example"), BODY, login="bob")
    assert len(outcome.inserted("DKIM-Signature")) == 1


def test_another_persons_from_is_refused(shared: tuple[Daemon, str], submission: Postfix) -> None:
    outcome = submission.message(letter(b"alice@our.example"), BODY, login="bob", queue_id="4NotOwner")
    assert outcome.text.startswith("550 5.7.1 The From: address does not belong")
    assert (
        "author=<alice@our.example>, action=reject, reason=not-owner" in shared[0].wait_for("4NotOwner: ")[0]
    )


def test_a_strangers_from_of_ours_leaves_without_our_signature(
    shared: tuple[Daemon, str], submission: Postfix
) -> None:
    outcome = submission.message(letter(), BODY, queue_id="4Spoof")
    assert (outcome.word, outcome.edits) == ("c", [])
    assert "action=accept, reason=not-internal" in shared[0].wait_for("4Spoof: ")[0]


def test_a_bounce_made_here_is_signed(shared: tuple[Daemon, str]) -> None:
    with Postfix(shared[0].path) as cleanup:
        cleanup.connect("localhost", "127.0.0.1", 0)
        outcome = cleanup.message(letter(b"MAILER-DAEMON@our.example"), BODY, sender=b"")
        assert len(outcome.inserted("DKIM-Signature")) == 1


each_engine = pytest.mark.parametrize("engine", ["pymilter", "native"])


@each_engine
def test_a_worker_that_takes_the_place_of_another_begins_with_the_keys_of_today(
    tmp_path: Path, engine: str
) -> None:
    # The parent forks it, and what the parent has is as old as the daemon: a key that was withdrawn since.
    prepare(tmp_path)
    with start(tmp_path, extra=f'engine = "{engine}"\nworkers = 1') as daemon:
        private, pem = generate("rsa")
        write_new(str(tmp_path / "new.pem"), pem)
        os.replace(tmp_path / "new.pem", tmp_path / "s1.pem")
        daemon.wait_for("keys have changed on disk and are in use")
        os.kill(daemon.workers(1)[0], signal.SIGKILL)
        with Postfix(daemon.path) as connection:
            connection.connect("host.our.example", "198.51.100.7")
            message = received(connection.message(letter(), BODY), letter(), BODY)
        resolver = zone(f"s1._domainkey.our.example TXT {''.join(record.strings(private))}")
        assert [each.result for each in verifier.verify(message, resolver, time.time())] == [Result.PASS]


def test_names_that_change_on_disk_are_used_soon(tmp_path: Path) -> None:
    prepare(tmp_path)
    with start(tmp_path) as daemon, Postfix(daemon.path) as smtpd:
        smtpd.connect("laptop.far.example", "203.0.113.9")
        assert smtpd.message(letter(b"carol@our.example"), BODY, login="bob").word == "y"
        (tmp_path / "names.yaml").write_text(
            NAMES.replace("[bob@our.example]", "[bob@our.example, carol@our.example]")
        )
        publish_names(tmp_path)
        deadline = time.monotonic() + 15
        while smtpd.message(letter(b"carol@our.example"), BODY, login="bob").word != "c":
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_a_reload_without_the_key_is_refused_and_the_old_key_goes_on(tmp_path: Path) -> None:
    prepare(tmp_path)
    with start(tmp_path) as daemon, Postfix(daemon.path) as smtpd:
        smtpd.connect("laptop.far.example", "203.0.113.9")
        (tmp_path / "s1.pem").rename(tmp_path / "moved.pem")
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("reload refused")
        assert "s1.pem" in "\n".join(daemon.log())
        assert len(smtpd.message(letter(), BODY, login="bob").inserted("DKIM-Signature")) == 1


def test_a_daemon_without_its_key_starts_says_so_and_defers(tmp_path: Path) -> None:
    prepare(tmp_path)
    (tmp_path / "s1.pem").write_bytes(b"half a key")
    with start(tmp_path) as daemon, Postfix(daemon.path) as smtpd:
        smtpd.connect("laptop.far.example", "203.0.113.9")
        outcome = smtpd.message(letter(), BODY, login="bob", queue_id="4NoKey")
        assert outcome.text == str(KEY_PROBLEM)
        assert smtpd.message(letter(b"x@far.example"), BODY, queue_id="4Other").word == "c"
        assert "action=defer, reason=key-problem" in daemon.wait_for("4NoKey: from=")[0]
        assert "no PEM private key" in daemon.wait_for("mail that needs it is deferred")[0]


@each_engine
def test_a_key_that_changes_on_disk_is_used_soon_and_no_letter_in_between_leaves_bare(
    tmp_path: Path, engine: str
) -> None:
    before = prepare(tmp_path)
    with start(tmp_path, extra=f'engine = "{engine}"') as daemon, Postfix(daemon.path) as smtpd:
        smtpd.connect("laptop.far.example", "203.0.113.9")
        private, pem = generate("rsa")
        after = "".join(record.strings(private))

        def verified_by(outcome: Outcome, text: str) -> bool:
            dns = zone(f"s1._domainkey.our.example TXT {text}")
            (finding,) = verifier.verify(received(outcome, letter(), BODY), dns, time.time())
            return finding.result is Result.PASS

        # Gone for a moment, as by a careless hand; what is in use goes on.
        (tmp_path / "s1.pem").unlink()
        daemon.wait_for("the keys in use stay: ")
        assert len(smtpd.message(letter(), BODY, login="bob").inserted("DKIM-Signature")) == 1
        write_new(str(tmp_path / "s1.pem"), pem)
        deadline = time.monotonic() + 15
        while not verified_by(outcome := smtpd.message(letter(), BODY, login="bob"), after):
            assert verified_by(outcome, before)
            assert time.monotonic() < deadline
            time.sleep(0.1)
        daemon.wait_for("keys have changed on disk and are in use")


@each_engine
def test_a_key_that_dns_does_not_have_does_not_begin_to_sign(tmp_path: Path, engine: str) -> None:
    text = prepare(tmp_path)
    extra = f'unpublished_keys = "refuse"\nengine = "{engine}"'
    with (
        serving("other.our.example TXT x") as server,
        start(tmp_path, dns=server, extra=extra) as daemon,
        Postfix(daemon.path) as smtpd,
    ):
        smtpd.connect()
        outcome = smtpd.message(letter(), BODY, login="bob", queue_id="4None")
        assert (outcome.word, outcome.inserted("DKIM-Signature")) == ("y", [])
        assert "record not found" in daemon.wait_for("4None: from=")[0]
    with (
        serving(f"s1._domainkey.our.example TXT {text}") as server,
        start(tmp_path, dns=server, extra=extra) as daemon,
        Postfix(daemon.path) as smtpd,
    ):
        smtpd.connect()
        assert len(smtpd.message(letter(), BODY, login="bob").inserted("DKIM-Signature")) == 1


@each_engine
def test_the_seal_of_the_daemon_verifies_with_the_signature_below_it(tmp_path: Path, engine: str) -> None:
    text = prepare(tmp_path)
    (tmp_path / "s1.pem").chmod(0o600)
    record_line = f"s1._domainkey.our.example TXT {text}"
    header: Header = [
        (b"Authentication-Results", b" mx.our.example;\n\tdmarc=pass header.from=our.example"),
        (b"Received", b" from x by mx.our.example; y"),
        *letter(),
    ]
    with serving(record_line) as server:
        extra = f'{VOUCHED}arc_seal = true\nremove_old_signatures = "broken"\nengine = "{engine}"'
        settings = {"role": "srs", "dns": server, "extra": extra}
        with start(tmp_path, **settings) as daemon, Postfix(daemon.path) as smtpd:
            smtpd.connect("mx.our.example", "192.0.2.25")
            old = (b"dkim-signature", b" v=1; a=rsa-sha256; d=our.example; s=s1; h=from; bh=AA==; b=AA==")
            outcome = smtpd.message([*header, old], BODY, sender=b"<bob@our.example>", queue_id="4Seal")
            line = daemon.wait_for("4Seal: from=")[0]
    assert "signed=our.example/s1, removed=1, sealed=our.example/s1 cv=none, outcome=own, " in line
    assert "action=accept, reason=ok" in line
    message = received(outcome, [*header, old], BODY)
    names = [field.name for field in message.fields[:4]]
    assert names == [b"ARC-Seal", b"ARC-Message-Signature", b"ARC-Authentication-Results", b"DKIM-Signature"]
    assert message.named(b"dkim-signature") == (message.fields[3],)
    chain = arc.verify(message, zone(record_line), time.time())
    assert (chain.result, chain.sealers) == (Result.PASS, ("our.example",))
    status, _, _ = dkimpy.arc_verify(octets(message), dnsfunc=lambda *args, **kwargs: text.encode())
    assert status == b"pass"
    (finding,) = verifier.verify(message, zone(record_line), time.time())
    assert finding.result is Result.PASS


# The branches, on the handler itself.


def handled(
    directory: Path, *, author: str = "bob@our.example", sender: str = "bob@our.example",
    client: Client | None = None, names: bool = True, **settings: str,
) -> Decision:  # fmt: skip
    if not (directory / "s1.pem").exists():
        prepare(directory)
    if not names:
        (directory / "directory.snapshot").unlink()
    config = load(write_config(directory, **settings))
    descriptor = os.open(directory / "log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    watch = snapshot.Watch(Path(config.map.snapshot))
    log = Log(program="t", descriptor=descriptor)
    signer = sign.Signer(config, log, watch, KeyWatch.of(config, log))
    signer.tick()
    os.close(descriptor)
    return signer.handle(
        Message(
            client=client or Client(address="203.0.113.9", login="bob"),
            envelope=Envelope(sender=sender),
            fields=(Field(b"From", b" " + author.encode()),),
            body=(b"x\r\n",),
        )
    )


MX = Client(name="mx.our.example", address="192.0.2.25")
VOUCHED = 'vouching_hosts = ["192.0.2.25"]\nvouching_id = "mx.our.example"\n'


def test_without_a_snapshot_the_owner_is_unknown_and_mail_is_deferred(tmp_path: Path) -> None:
    decision = handled(tmp_path, names=False)
    assert (decision.verdict, decision.code) == (Defer(LATER), "owner-unknown")
    assert "mail of logins is deferred" in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    "author, expected",
    [
        ("bob@our.example", Accept()),
        ("alice@our.example", Defer(LATER)),
        (f"{'a' * 400}@our.example", Defer(LATER)),
    ],
)
def test_a_directory_beyond_its_hard_age_still_knows_owners_but_refuses_nobody(
    tmp_path: Path, author: str, expected: object
) -> None:
    prepare(tmp_path)
    publish_names(tmp_path, now=time.time() - 30 * 86400)
    assert handled(tmp_path, author=author).verdict == expected


def test_a_login_writing_as_somebody_else_is_rejected(tmp_path: Path) -> None:
    assert handled(tmp_path, author="alice@our.example").verdict == Reject(AUTHOR_NOT_OWNED)


def test_without_a_role_nothing_is_signed(tmp_path: Path) -> None:
    decision = handled(tmp_path, role="")
    assert (decision.verdict, decision.code, decision.edits) == (Accept(), "no-role", ())


def test_an_internal_host_is_signed_and_named_in_the_facts(tmp_path: Path) -> None:
    decision = handled(tmp_path, role="relay", client=Client(address="198.51.100.4"), names=False)
    assert decision.code == "ok"
    assert dict(decision.facts) == {
        "author": "<bob@our.example>", "origin": "internal host 198.51.100.0/24", "signed": "our.example/s1",
    }  # fmt: skip
    assert [type(edit) for edit in decision.edits] == [InsertField]


@pytest.mark.parametrize("action, expected", [("quarantine", Quarantine(HELD)), ("reject", Reject(SPOOF))])
def test_our_from_that_the_mx_does_not_vouch_for_is_held_or_refused(
    tmp_path: Path, action: str, expected: object
) -> None:
    decision = handled(tmp_path, role="srs", client=MX, extra=f'{VOUCHED}on_unproven = "{action}"')
    assert (decision.verdict, decision.code, decision.edits) == (expected, "gate-denied", ())


FORWARD = {"extra": f'{VOUCHED}on_unproven = "forward"', "srs": 'unproven_domain = "rewritten.example"'}
RECORDS = ("_dmarc.our.example TXT v=DMARC1; p=reject", "_dmarc.rewritten.example TXT v=DMARC1; p=none")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serving(*RECORDS, "_dmarc.example TXT v=DMARC1; p=none; psd=y") as address:
        yield address


@pytest.mark.parametrize(
    "sender", ["stranger@far.example", "bob@our.example", "SRS0=abcd=AA=far.example=x@our.example"]
)
def test_an_unproven_letter_goes_on_only_under_a_sender_that_is_not_ours(
    tmp_path: Path, server: str, sender: str
) -> None:
    decision = handled(tmp_path, role="srs", client=MX, sender=sender, dns=server, **FORWARD)
    assert (decision.verdict, decision.code) == (Accept(), "gate-denied")
    (edit,) = decision.edits
    assert isinstance(edit, ChangeSender)
    assert edit.address.startswith(("SRS0=", "SRS1="))
    assert edit.address.endswith("@rewritten.example")
    rules = Unproven.of(load(tmp_path / "postvouch.toml")).rules
    assert rules is not None
    original = codec.reverse(edit.address, rules=rules, today=int(time.time() // 86400))
    assert isinstance(original, Found)
    assert original.value == sender


@pytest.mark.parametrize("sender", ["", "x" * 60 + "@far.example", "x@[192.0.2.1]"])
def test_a_sender_that_cannot_be_rewritten_holds_the_unproven_letter(tmp_path: Path, sender: str) -> None:
    decision = handled(tmp_path, role="srs", client=MX, sender=sender, **FORWARD)
    assert (decision.verdict, decision.edits) == (Quarantine(HELD), ())


@pytest.mark.parametrize("author", ["bob@rewritten.example", "bob@x.rewritten.example"])
def test_a_from_of_the_rewriting_domain_itself_is_held(tmp_path: Path, author: str) -> None:
    more = {**FORWARD, "domains": '["our.example", "rewritten.example"]'}
    decision = handled(tmp_path, role="srs", client=MX, sender="x@far.example", author=author, **more)
    assert (decision.verdict, decision.edits) == (Quarantine(HELD), ())


def test_siblings_of_one_organisation_are_held_because_spf_would_align(tmp_path: Path) -> None:
    with serving("_dmarc.our.example TXT v=DMARC1; p=reject") as server:
        more = {**FORWARD, "srs": 'unproven_domain = "bounces.our.example"', "dns": server}
        author = "bob@staff.our.example"
        decision = handled(tmp_path, role="srs", client=MX, sender="x@far.example", author=author, **more)
    assert (decision.verdict, decision.edits) == (Quarantine(HELD), ())


def test_without_dns_the_unproven_letter_waits(tmp_path: Path) -> None:
    with serving("_dmarc.our.example TEMPERROR") as server:
        decision = handled(tmp_path, role="srs", client=MX, sender="x@far.example", dns=server, **FORWARD)
    assert (decision.verdict, decision.code) == (Defer(DNS_PROBLEM), "temperror")


def test_without_srs_secrets_the_unproven_letter_waits(tmp_path: Path) -> None:
    prepare(tmp_path)
    (tmp_path / "srs.secrets").write_bytes(b"\n")
    decision = handled(tmp_path, role="srs", client=MX, **FORWARD)
    assert (decision.verdict, decision.code) == (Defer(LATER), "srs-problem")


@pytest.mark.parametrize("setting", ['domain = "bounces.example"', 'unproven_domain = "bounces.example"'])
def test_a_from_of_the_domain_of_rewritten_senders_needs_proof_without_being_listed(
    tmp_path: Path, setting: str
) -> None:
    author = "ceo@bounces.example"
    decision = handled(tmp_path, role="srs", client=MX, author=author, extra=VOUCHED, srs=setting)
    assert (decision.verdict, decision.code) == (Quarantine(HELD), "gate-denied")


def peak_mb(pid: int) -> float:
    """The most memory that a process has had at once (proc(5): VmHWM)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def test_a_letter_of_50_mb_is_signed_and_never_held(tmp_path: Path) -> None:
    text = prepare(tmp_path)
    line = b"  blanks  and  \t text \x80\xff " * 10 + b" \r\n"
    body = line * (50 * 1024 * 1024 // len(line))
    with start(tmp_path) as daemon, Postfix(daemon.path) as postfix:
        before = max(peak_mb(pid) for pid in daemon.workers())
        postfix.connect("laptop", "203.0.113.9")
        header = letter()
        outcome = postfix.message(header, body, sender=b"<bob@our.example>", login="bob")
        grown = max(peak_mb(pid) for pid in daemon.workers()) - before
        assert grown < 12, f"{grown:.0f} MB"
    dns = zone(f"s1._domainkey.our.example TXT {text}")
    (finding,) = verifier.verify(received(outcome, header, body), dns, time.time())
    assert finding.result is Result.PASS
