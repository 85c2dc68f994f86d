"""postvouch-verify as Postfix meets it: real daemons, real DNS, forged fields, spoofs, our own mail."""

import json
import signal
import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from dnsserver import serving
from postfixplay import Daemon, Header, Outcome, Postfix, running

from postvouch.auth import authres
from postvouch.auth.result import DkimFinding, Result
from postvouch.milters import verify
from postvouch.sign import dkim, record
from postvouch.sign.keys import SigningKey, generate
from postvouch.values.message import Field, Message

ROOT = Path(__file__).resolve().parent.parent
BODY = b"hello\r\n"
PRIVATE, _ = generate("rsa")
KEY = SigningKey(domain="far.example", selector="s1", private=PRIVATE)
RECORDS = (
    "far.example TXT v=spf1 ip4:192.0.2.7 -all",
    "_dmarc.far.example TXT v=DMARC1; p=reject",
    "mx.far.example TXT v=spf1 a -all",
    "mx.far.example A 192.0.2.7",
    "s1._domainkey.far.example TXT " + "".join(record.strings(PRIVATE)),
    "our.example TXT v=spf1 ip4:198.51.100.0/24 -all",
    "_dmarc.our.example TXT v=DMARC1; p=none",
    "dead.example TEMPERROR",
    "_dmarc.dead.example TEMPERROR",
)


def write_config(directory: Path, server: str, extra: str = "") -> Path:
    path = directory / "postvouch.toml"
    path.write_text(f"""
[general]
role = "mx"
domains = ["our.example"]
hostname = "mx.our.example"
internal_hosts = ["127.0.0.0/8", "198.51.100.0/24"]
[dns]
servers = {json.dumps([server])}
[verify]
socket = "unix:{directory}/v.sock"
metrics = ""
{extra}
""")
    return path


def start(directory: Path, server: str, extra: str = "", *, text: str = ""):  # type: ignore[no-untyped-def]
    path = write_config(directory, server, extra)
    if text:
        path.write_text(text)
    arguments = ["-m", "postvouch.milters.verify", "--config", str(path)]
    return running(arguments, directory / "v.sock", directory / "stderr", PYTHONPATH=str(ROOT))


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serving(*RECORDS) as address:
        yield address


@pytest.fixture(scope="module", params=["pymilter", "native"])
def shared(
    request: pytest.FixtureRequest, server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Daemon]:
    with start(tmp_path_factory.mktemp("verify"), server, f'engine = "{request.param}"') as daemon:
        yield daemon


@pytest.fixture
def mx(shared: Daemon) -> Iterator[Postfix]:
    with Postfix(shared.path) as connection:
        connection.connect()
        yield connection


def signed(header: Header) -> Header:
    """The header with a valid signature of far.example on top."""
    fields = tuple(Field(name, value.replace(b"\n", b"\r\n")) for name, value in header)
    field = dkim.sign(
        Message(fields=fields, body=(BODY,)),
        KEY,
        now=time.time(),
        rules=dkim.Rules(headers=("from", "subject")),
    )
    return [(field.name.encode(), b" " + field.value.encode()), *header]


LETTER: Header = [(b"From", b" Alice <alice@far.example>"), (b"Subject", b" \xe4 hello")]


def ours(outcome: Outcome) -> str:
    """The one field that we inserted, unfolded."""
    (value,) = outcome.inserted("Authentication-Results")
    assert value.startswith(" mx.our.example;")
    assert "\r" not in value
    assert authres.parse(value.strip().encode()).authserv_id == "mx.our.example"
    return value.replace("\n", "")


def test_an_honest_letter_passes_three_ways_and_says_so(shared: Daemon, mx: Postfix) -> None:
    outcome = mx.message(signed(LETTER), BODY, queue_id="4Good")
    field = ours(outcome)
    assert outcome.word == "c"
    for words in ("spf=pass", "dkim=pass", "header.d=far.example", "dmarc=pass", "header.from=far.example"):
        assert words in field
    assert outcome.applied(LETTER)[0][0] == b"Authentication-Results"
    line = shared.wait_for("4Good: ")[0]
    assert line.split(", ms=")[0] == (
        "4Good: from=<alice@far.example>, client=mx.far.example[192.0.2.7], author=<alice@far.example>, "
        "spf=pass, dkim=pass (far.example/s1), dmarc=pass, action=accept, reason=ok"
    )


def test_all_forged_fields_go_and_foreign_ones_stay(shared: Daemon, mx: Postfix) -> None:
    header: Header = [
        (b"Authentication-Results", b" mx.our.example; dmarc=pass header.from=our.example"),
        (b"authentication-results", b' "MX.our.example." 1;\n\tdkim=pass'),
        (b"Authentication-Results", b" other.example; spf=fail"),
        (b"Authentication-Results", b" (x) mx.our.example ; spf=pass"),
        *LETTER,
    ]
    outcome = mx.message(header, BODY, queue_id="4Forged")
    after = outcome.applied(header)
    assert after[0][0] == b"Authentication-Results"
    assert after[0][1].decode() == outcome.inserted("Authentication-Results")[0]
    assert after[1:] == [(b"Authentication-Results", b" other.example; spf=fail"), *LETTER]
    assert "forged=3" in shared.wait_for("4Forged: ")[0]


def test_a_broken_signature_is_named_with_its_reason(shared: Daemon, mx: Postfix) -> None:
    outcome = mx.message(signed(LETTER), b"changed\r\n", queue_id="4Broken")
    assert "dkim=fail" in ours(outcome)
    assert "dkim=fail (far.example/s1: " in shared.wait_for("4Broken: ")[0]


def test_a_spoof_of_ours_is_let_in_unless_told_and_the_log_says_what_would_be(
    shared: Daemon, mx: Postfix
) -> None:
    outcome = mx.message([(b"From", b" bob@our.example")], BODY, queue_id="4Spoof")
    assert outcome.word == "c"
    assert "dmarc=fail" in ours(outcome)
    assert "dmarc=fail" in shared.wait_for("4Spoof: ")[0]
    assert "would=reject, action=accept, reason=spoof" in shared.wait_for("4Spoof: ")[0]


def test_dns_that_is_down_is_a_temperror_and_no_bug(shared: Daemon, mx: Postfix) -> None:
    outcome = mx.message([(b"From", b" x@dead.example")], BODY, sender=b"<x@dead.example>", queue_id="4Dead")
    assert outcome.word == "c"
    assert "spf=temperror" in ours(outcome)
    line = shared.wait_for("4Dead: ")[0]
    assert "spf=temperror, dkim=none, dmarc=temperror" in line
    assert "action=accept, reason=temperror" in line


@pytest.mark.parametrize(
    "name, address, port, login, words",
    [
        ("laptop.far.example", "203.0.113.9", 40000, "bob", "auth=pass smtp.auth=bob"),
        ("srs.our.example", "198.51.100.4", 40000, "", "dmarc=none"),
        ("localhost", "127.0.0.1", 0, "", "dmarc=none"),
    ],
)
def test_our_own_mail_is_marked_not_judged_and_loses_forged_fields(
    shared: Daemon, name: str, address: str, port: int, login: str, words: str
) -> None:
    header: Header = [
        (b"Authentication-Results", b" mx.our.example; dmarc=pass"),
        (b"From", b" bob@our.example"),
    ]
    queue_id = f"4Own{port}{login}"
    with Postfix(shared.path) as own:
        own.connect(name, address, port)
        outcome = own.message(header, BODY, sender=b"<bob@our.example>", login=login, queue_id=queue_id)
    assert outcome.word == "c"
    assert words in ours(outcome)
    assert "dmarc=pass" not in ours(outcome)
    assert [name for name, _ in outcome.applied(header)] == [b"Authentication-Results", b"From"]
    assert "action=accept, reason=internal" in shared.wait_for(f"{queue_id}: ")[0]


def test_raw_octets_and_several_messages_on_a_connection(shared: Daemon, mx: Postfix) -> None:
    first = mx.message(signed(LETTER), BODY)
    second = mx.message([(b"Subject", b"\xff\xfe")], BODY, sender=b"<>")
    third = mx.message(signed(LETTER), BODY)
    assert "dkim=pass" in ours(first)
    assert "dkim=none" in ours(second)
    assert "dkim=pass" in ours(third)
    assert shared.log()[-1].endswith(tuple("0123456789"))


def test_policy_can_refuse_and_reload_changes_it(server: str, tmp_path: Path) -> None:
    spoof: Header = [(b"From", b" bob@our.example")]
    with start(tmp_path, server, '[verdict]\nmode = "enforce"') as daemon, Postfix(daemon.path) as smtpd:
        smtpd.connect()
        outcome = smtpd.message(spoof, BODY)
        assert outcome.text.startswith("550 5.7.1 This domain's mail must be authenticated")
        write_config(tmp_path, server, '[verdict]\nmode = "enforce"\nown_fail = "quarantine"')
        daemon.signal(signal.SIGHUP)
        deadline = time.monotonic() + 10
        while (outcome := smtpd.message(spoof, BODY)).word != "c":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert ("q", {"reason": "spoof"}) in outcome.edits
        assert "dmarc=fail" in ours(outcome)


ENFORCE = '[verdict]\nmode = "enforce"\n'
BROKEN: Header = [(b"From", b" alice@far.example, eve@far.example"), (b"X-Postvouch-Mark", b" ok")]


def test_a_mark_is_ours_alone_and_names_the_rule(server: str, tmp_path: Path) -> None:
    with start(tmp_path, server, ENFORCE) as daemon, Postfix(daemon.path) as smtpd:
        smtpd.connect()
        outcome = smtpd.message(BROKEN, BODY, queue_id="4Mark")
        assert outcome.word == "c"
        after = outcome.applied(BROKEN)
        assert [name for name, _ in after] == [b"Authentication-Results", b"X-Postvouch-Mark", b"From"]
        assert after[1][1].strip() == b"several-authors"
        assert "forged=1, action=mark, reason=several-authors" in daemon.wait_for("4Mark: ")[0]
        good = smtpd.message([*signed(LETTER), (b"X-Postvouch-Mark", b" ok")], BODY, queue_id="4Clean")
        assert good.inserted("X-Postvouch-Mark") == []
        assert b"X-Postvouch-Mark" not in [name for name, _ in good.applied([*signed(LETTER), BROKEN[1]])]


def test_what_is_held_bears_its_mark_for_the_day_it_is_let_go(server: str, tmp_path: Path) -> None:
    config = ENFORCE + 'bad_author = "quarantine"\n'
    with start(tmp_path, server, config) as daemon, Postfix(daemon.path) as smtpd:
        smtpd.connect()
        outcome = smtpd.message(BROKEN, BODY, queue_id="4Held")
        assert ("q", {"reason": "several-authors"}) in outcome.edits
        assert outcome.inserted("X-Postvouch-Mark") == [" several-authors"]
        assert "action=quarantine, reason=several-authors" in daemon.wait_for("4Held: ")[0]


def test_in_mode_monitor_a_strangers_mark_goes_and_none_of_ours_comes(shared: Daemon, mx: Postfix) -> None:
    outcome = mx.message(BROKEN, BODY, queue_id="4Monitor")
    assert [name for name, _ in outcome.applied(BROKEN)] == [b"Authentication-Results", b"From"]
    line = shared.wait_for("4Monitor: ")[0]
    assert "would=mark, forged=1, action=accept, reason=several-authors" in line


def test_our_name_in_the_envelope_is_refused_with_the_page_of_the_admin(server: str, tmp_path: Path) -> None:
    config = ENFORCE + 'own_url = "https://our.example/mail"\n'
    with start(tmp_path, server, config) as daemon, Postfix(daemon.path) as smtpd:
        smtpd.connect()
        outcome = smtpd.message(LETTER, BODY, sender=b"<bob@our.example>", queue_id="4Sender")
        assert outcome.text == (
            "550 5.7.1 This domain's mail must be authenticated: use its submission server: "
            "https://our.example/mail"
        )
        assert "action=reject, reason=spoof-sender" in daemon.wait_for("4Sender: ")[0]


def test_an_exemption_is_written_into_our_field(server: str, tmp_path: Path) -> None:
    config = ENFORCE + 'exempt_hosts = ["192.0.2.0/24"]\n'
    with start(tmp_path, server, config) as daemon, Postfix(daemon.path) as smtpd:
        smtpd.connect()
        outcome = smtpd.message([(b"From", b" bob@our.example")], BODY, queue_id="4Exempt")
        assert "policy.override=exempt-host" in ours(outcome)
        assert "x-origin" not in ours(outcome)
        assert "action=accept, reason=exempt-host" in daemon.wait_for("4Exempt: ")[0]


def test_received_spf_is_written_below_our_results_where_asked(server: str, tmp_path: Path) -> None:
    theirs = (b"Received-SPF", b" pass (mailfrom) identity=mailfrom")
    with start(tmp_path, server, "received_spf = true") as daemon, Postfix(daemon.path) as smtpd:
        smtpd.connect()
        outcome = smtpd.message([theirs, *LETTER], BODY)
        after = outcome.applied([theirs, *LETTER])
        names = [name for name, _ in after]
        assert names == [b"Authentication-Results", b"Received-SPF", b"Received-SPF", b"From", b"Subject"]
        assert after[1][1].startswith(b" pass (")
        assert b"receiver=mx.our.example" in after[1][1]
        assert after[2] == theirs
        with Postfix(daemon.path) as local:
            local.connect("localhost", "127.0.0.1", 0)
            assert local.message(LETTER, BODY).inserted("Received-SPF") == []


def test_what_enforce_would_do_is_counted(server: str, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{probe.getsockname()[1]}"
    write_config(tmp_path, server)
    text = (tmp_path / "postvouch.toml").read_text().replace('metrics = ""', f'metrics = "{where}"')
    with start(tmp_path, server, text=text) as daemon, Postfix(daemon.path) as smtpd:
        smtpd.connect()
        smtpd.message([(b"From", b" bob@our.example")], BODY, queue_id="4Would")
        daemon.wait_for("4Would: ")
        page = urllib.request.urlopen(f"http://{where}/metrics", timeout=10).read().decode()
    assert 'postvouch_would_total{action="reject",code="spoof",daemon="verify"} 1.0' in page
    assert 'postvouch_messages_total{action="accept",code="spoof",daemon="verify"} 1.0' in page


def test_a_reload_without_the_list_that_discovery_goes_by_is_refused(server: str, tmp_path: Path) -> None:
    missing = f'public_suffixes = "{tmp_path}/none.dat"\n'
    with start(tmp_path, server, missing) as daemon, Postfix(daemon.path) as smtpd:
        daemon.wait_for("no such file")
        smtpd.connect()
        assert smtpd.message(LETTER, BODY).word == "c"
        write_config(tmp_path, server, missing + 'discovery = "psl"\n')
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("reload refused")


def test_private_logs_name_nobody(server: str, tmp_path: Path) -> None:
    with (
        start(tmp_path, server, '[log]\nprivacy = "drop"\ndebug = true') as daemon,
        Postfix(daemon.path) as smtpd,
    ):
        smtpd.connect()
        smtpd.message(signed(LETTER), BODY, queue_id="4Quiet")
        daemon.wait_for("4Quiet: from=<->, client=-, author=<->, spf=pass")
    assert "alice" not in daemon.stderr.read_text()
    assert "192.0.2.7" not in daemon.stderr.read_text()


def test_many_signatures_make_a_short_line_with_those_that_pass_first() -> None:
    findings = tuple(
        DkimFinding(result=Result.FAIL, d=f"d{n}.example", s="s", reason="bad") for n in range(9)
    )
    passed = DkimFinding(result=Result.PASS, d="far.example", s="s1")
    text = verify._dkim((*findings, passed))
    assert text.startswith("pass (far.example/s1) fail (d0.example/s: bad) ")
    assert text.endswith(" and 6 more")


def test_a_selector_cannot_write_one_more_signature_into_the_log():
    bad = DkimFinding(result=Result.PERMERROR, d="evil.example", s="s) pass (bank.example/s", reason="no")
    assert verify._dkim((bad,)) == "permerror (evil.example/?: no)"
