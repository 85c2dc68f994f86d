"""Both milter doors: a played Postfix against real forked daemons. What comes in, what goes back."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import miltertest
import pytest
from postfixplay import NO_REPLY, Daemon, Header, Postfix, running

ROOT = Path(__file__).resolve().parent.parent
UNDER_TEST = str(Path(__file__).with_name("milter_under_test.py"))
PLAIN: Header = [(b"From", b" alice@far.example"), (b"Subject", b" hello")]


ENGINES = ("pymilter", "native")
each_engine = pytest.mark.parametrize("engine", ENGINES)


def config(directory: Path, *, engine: str, hostname: str = "one.example", **settings: str) -> Path:
    path = directory / "postvouch.toml"
    given = {"socket": f'"unix:{directory}/v.sock"', "metrics": '""', "engine": f'"{engine}"'} | settings
    lines = "\n".join(f"{name} = {value}" for name, value in given.items())
    path.write_text(
        f'[general]\nrole = "mx"\ndomains = ["our.example"]\nhostname = "{hostname}"\n[verify]\n{lines}\n'
    )
    return path


def start(directory: Path, engine: str, **settings: str):  # type: ignore[no-untyped-def]
    path = config(directory, engine=engine, **settings)
    return running([UNDER_TEST, str(path)], directory / "v.sock", directory / "stderr", PYTHONPATH=str(ROOT))


@pytest.fixture(scope="module", params=ENGINES)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon of each engine for the tests that leave it as it was."""
    with start(tmp_path_factory.mktemp("shared"), request.param) as daemon:
        daemon.engine = request.param
        yield daemon


@pytest.fixture
def postfix(shared: Daemon) -> Iterator[Postfix]:
    with Postfix(shared.path) as connection:
        connection.connect()
        yield connection


def test_a_message_is_answered_with_edits_and_logged_once(shared: Daemon, postfix: Postfix) -> None:
    header = [*PLAIN, (b"X-Old", b" 1"), (b"X-Keep", b" k"), (b"x-old", b" 2"), (b"X-Old", b" 3")]
    outcome = postfix.message(header, b"hello\r\n", queue_id="4Once")
    assert outcome.word == "c"
    assert outcome.applied(header) == [
        (b"X-Top", b" folded,\n\tonce"), (b"X-Host", b" one.example"), *PLAIN, (b"X-Keep", b" k"),
    ]  # fmt: skip
    lines = shared.wait_for("4Once: ")
    assert len(lines) == 1
    assert lines[0].startswith(
        "4Once: from=<alice@far.example>, client=mx.far.example[192.0.2.7], to=bob@our"
    )
    assert ", octets=7, port=40000, action=accept, reason=ok, ms=" in lines[0]


@pytest.mark.parametrize(
    "order, reply, reason",
    [
        ("reject", "550 5.7.1 This domain's mail", "action=reject, reason=spoof"),
        ("defer", "451 4.7.1 Service unavailable", "action=defer, reason=later"),
        ("crash", "451 4.7.1 Service unavailable", "action=defer, reason=bug"),
    ],
)
def test_refusals_carry_our_reply_and_reason(
    shared: Daemon, postfix: Postfix, order: str, reply: str, reason: str
) -> None:
    outcome = postfix.message([(b"X-Do", order.encode())], queue_id=f"4Ref{order}")
    assert outcome.word == "y"
    assert outcome.text.startswith(reply)
    assert outcome.edits == []
    assert shared.wait_for(f"4Ref{order}: from=")[0].split(", ms=")[0].endswith(reason)


def test_a_bug_leaves_its_traceback_in_the_log_and_the_next_message_is_served(
    shared: Daemon, postfix: Postfix
) -> None:
    postfix.message([(b"X-Do", b" crash")], queue_id="4Bug")
    assert shared.wait_for("4Bug: trace=")[0] == "4Bug: trace=Traceback (most recent call last):"
    assert "bug=RuntimeError: told to\\x0acrash" in shared.wait_for("4Bug: bug=")[0]
    assert postfix.message(PLAIN).word == "c"


def test_a_quarantine_is_held_by_postfix(postfix: Postfix) -> None:
    outcome = postfix.message([(b"X-Do", b" hold")])
    assert (outcome.word, outcome.edits) == ("c", [("q", {"reason": "for a test"})])


def test_the_envelope_sender_can_be_changed(postfix: Postfix) -> None:
    outcome = postfix.message([(b"X-Do", b" sender")])
    changed = [values["from"] for command, values in outcome.edits if command == "e"]
    assert (outcome.word, changed) == ("c", ["<new@our.example>"])


def test_each_message_of_a_connection_is_judged_by_itself(shared: Daemon, postfix: Postfix) -> None:
    postfix.envelope(b"<first@far.example>", b"<a@our.example>", b"<b@our.example>", login="bob")
    postfix.content([(b"X-First", b" 1")], b"x" * 100, "4First")
    postfix.end("4First")
    postfix.message([(b"X-Second", b" 2")], sender=b"<>", queue_id="4Second")
    first, second = shared.wait_for("4First: ")[0], shared.wait_for("4Second: ")[0]
    assert first.startswith("4First: from=<first@far.example>, client=mx.far.example[192.0.2.7], login=bob, ")
    assert "to=a@our.example/b@our.example, " in first
    assert second.startswith("4Second: from=<>, client=mx.far.example[192.0.2.7], to=bob@our.example, ")
    assert "X-Second" in second
    assert "X-First" not in second
    assert "octets=0" in second


def test_raw_octets_folds_and_missing_blanks_arrive_as_they_were(shared: Daemon, postfix: Postfix) -> None:
    header = [(b"Subject", b"\xe4\xff no blank"), (b"X-Fold", b" a\n\tb\n c"), (b"X-Empty", b"")]
    postfix.message(header, sender=b"<j\xf6rg@far.example>", queue_id="4Raw")
    line = shared.wait_for("4Raw: ")[0]
    assert r"(b'Subject'\x2c b'\\xe4\\xff no blank')" in line
    assert r"(b'X-Fold'\x2c b' a\\r\\n\\tb\\r\\n c')" in line
    assert r"(b'X-Empty'\x2c b'')" in line
    assert r"from=<j\xf6rg@far.example>" in line


def test_all_chunks_of_a_body_are_seen(shared: Daemon, postfix: Postfix) -> None:
    postfix.message(PLAIN, b"x" * 299_998 + b"\r\n", queue_id="4Hash")
    assert ", octets=300000, " in shared.wait_for("4Hash: ")[0]


def test_a_fault_while_the_body_comes_in_is_answered_at_its_end(shared: Daemon, postfix: Postfix) -> None:
    outcome = postfix.message([(b"X-Hash", b" crash")], b"x" * 200_000, queue_id="4HashBug")
    assert outcome.text.startswith("451 4.7.1 Service unavailable")
    assert "bug=LookupError: X-Hash: crash" in shared.wait_for("4HashBug: bug=")[0]
    assert postfix.message(PLAIN, queue_id="4HashNext").word == "c"


def test_mail_that_no_client_sent_is_local(shared: Daemon) -> None:
    with Postfix(shared.path) as cleanup:
        cleanup.connect("localhost", "127.0.0.1", 0)
        cleanup.envelope(b"root@our.example", b"bob@our.example")
        cleanup.content(PLAIN, queue_id="4Local")
        assert cleanup.end("4Local").word == "c"
    line = shared.wait_for("4Local: ")[0]
    assert "from=<root@our.example>, client=localhost[127.0.0.1]" in line
    assert "local=True" in line


@pytest.mark.parametrize(
    "name, address, port, login",
    [
        ("localhost", "127.0.0.1", 40000, ""),
        ("localhost", "192.0.2.7", 0, ""),
        ("evil.example", "127.0.0.1", 0, ""),
        ("localhost", "127.0.0.1", 0, "bob"),
    ],
)
def test_a_client_that_only_looks_local_is_not(
    shared: Daemon, name: str, address: str, port: int, login: str
) -> None:
    queue_id = f"4Looks{port}{len(name)}{len(address)}{login}"
    with Postfix(shared.path) as smtpd:
        smtpd.connect(name, address, port)
        smtpd.message(PLAIN, login=login, queue_id=queue_id)
    assert "local=False" in shared.wait_for(f"{queue_id}: ")[0]


def test_an_ipv6_client_is_named_by_its_address(shared: Daemon) -> None:
    with Postfix(shared.path) as smtpd:
        smtpd.connect("unknown", "2001:db8::7")
        smtpd.message(PLAIN, queue_id="4Six")
    assert "client=unknown[2001:db8::7]" in shared.wait_for("4Six: ")[0]


def test_a_client_without_an_address_is_no_local_one(shared: Daemon) -> None:
    with Postfix(shared.path) as smtpd:
        smtpd.send(b"C", b"localhost\0U")
        assert smtpd.message(PLAIN, queue_id="4Unknown").word == "c"
    line = shared.wait_for("4Unknown: ")[0]
    assert "client=localhost[]" in line
    assert "local=False" in line


def test_a_helo_that_is_no_utf8_stays_inside_its_line(shared: Daemon) -> None:
    with Postfix(shared.path) as smtpd:
        if shared.engine == "native":
            smtpd.send(b"H", b"\xff\xfe\0")
            assert smtpd.message(PLAIN, queue_id="4Helo").word == "c"
            assert r", helo=\xff\xfe, " in shared.wait_for("4Helo: ")[0]
            return
        with pytest.raises(AssertionError, match="451"):  # libmilter's adapter cannot hand it over
            smtpd.send(b"H", b"\xff\xfe\0")
    shared.wait_for("NOQUEUE: bug=UnicodeDecodeError: ")


def test_postfix_is_asked_for_what_we_need_whatever_its_main_cf_says(postfix: Postfix) -> None:
    lists = postfix.macros
    assert b"\0\0\0\1j {cert_subject}\0" in lists
    assert b"\0\0\0\2j i {auth_authen} {cert_subject}\0" in lists
    assert b"\0\0\0\5i\0" in lists


def test_events_that_nobody_needs_are_declined_and_those_of_a_letter_get_no_answer_before_its_end(
    postfix: Postfix,
) -> None:
    unneeded = miltertest.SMFIP_NOEOH | miltertest.SMFIP_NOUNKNOWN
    assert postfix.protocol & unneeded == unneeded
    for event in (b"M", b"R", b"T", b"L", b"B"):
        assert postfix.protocol & NO_REPLY[event], event


def test_a_login_is_that_of_its_message_alone(shared: Daemon, postfix: Postfix) -> None:
    postfix.message(PLAIN, login="bob", queue_id="4Mine")
    postfix.message(PLAIN, queue_id="4NotMine")
    postfix.envelope(b"<a@far.example>", login="bob")
    postfix.abort()
    postfix.message(PLAIN, queue_id="4Aborted")
    postfix.envelope(b"<a@far.example>", login="bob")
    postfix.helo("other.far.example")
    postfix.message(PLAIN, queue_id="4Helo2")
    assert ", login=bob, " in shared.wait_for("4Mine: ")[0]
    for queue_id in ("4NotMine", "4Aborted", "4Helo2"):
        assert "login=" not in shared.wait_for(f"{queue_id}: ")[0]


def test_a_certificate_is_that_of_the_last_helo_or_of_the_message(shared: Daemon) -> None:
    with Postfix(shared.path) as smtpd:
        smtpd.connect()
        smtpd.helo(cert="crm.our.example")
        smtpd.message(PLAIN, queue_id="4Cert1")
        smtpd.message(PLAIN, queue_id="4Cert2")
        smtpd.helo()
        smtpd.message(PLAIN, queue_id="4Cert3")
        smtpd.envelope(b"<a@far.example>", cert="k\u00e4se.our.example")
        smtpd.content(PLAIN, queue_id="4Cert4")
        smtpd.end("4Cert4")
        smtpd.message(PLAIN, queue_id="4Cert5")
    with Postfix(shared.path) as smtpd:
        smtpd.connect()
        smtpd.message(PLAIN, queue_id="4Cert6")
    said = [shared.wait_for(f"4Cert{n}: ")[0].partition(", cert=")[2].partition(",")[0] for n in range(1, 7)]
    assert said == ["crm.our.example", "crm.our.example", "", "k\u00e4se.our.example", "", ""]


def test_a_value_that_is_named_like_a_macro_gives_nobody_a_login(shared: Daemon, postfix: Postfix) -> None:
    postfix.envelope(b"<a@far.example>", mail_addr="{auth_authen}")
    postfix.content(PLAIN, queue_id="4Named")
    postfix.end("4Named")
    assert "login=" not in shared.wait_for("4Named: ")[0]


@pytest.mark.parametrize("version, actions, protocol", [(2, 0x3F, 0x7F), (6, 0x1FF, 0), (6, 0x11, 0x1FFF80)])
def test_an_mta_that_offers_less_is_served_as_it_asks(
    shared: Daemon, version: int, actions: int, protocol: int
) -> None:
    queue_id = f"4Less{version}{actions}{protocol}"
    with Postfix(shared.path, version=version, actions=actions, protocol=protocol) as old:
        old.connect()
        old.envelope(b"<a@far.example>", b"<b@our.example>", b"<c@our.example>")
        old.content([*PLAIN, (b"X-Old", b"1")], b"x" * 70_000, queue_id, data=version > 2)
        outcome = old.end(queue_id)
        space = " " if old.protocol & 0x100000 else ""
        assert outcome.inserted("X-Host") == [f"{space}one.example"]
        assert [values["index"] for command, values in outcome.edits if command == "m"] == [1]
        assert outcome.word == "c"
        assert not old.macros or actions & 0x100
    field = repr((b"X-Old", b"1" if protocol & 0x100000 else b" 1")).replace(", ", r"\x2c ").replace("'", "'")
    assert field in shared.wait_for(f"{queue_id}: ")[0].replace("\\\\", "\\")


@pytest.mark.parametrize(
    "order, actions", [("hold", 0x11), ("sender", 0x31), ("accept", 0x30), ("remove", 0x21), ("body", 0x31)]
)
def test_what_is_not_offered_cannot_be_done_and_the_message_is_deferred(
    shared: Daemon, order: str, actions: int
) -> None:
    with Postfix(shared.path, actions=actions) as old:
        old.connect()
        outcome = old.message([(b"X-Do", order.encode()), (b"X-Old", b" 1")], queue_id=f"4Not{order}")
        assert outcome.text.startswith("451 4.7.1")
        shared.wait_for(f"4Not{order}: bug=")
        assert old.message([(b"X-Do", b" reject")]).text.startswith("550 5.7.1")


@pytest.mark.parametrize("size", [0, 10, 99_990, 200_000])
def test_a_body_is_replaced_and_a_field_added_below_all(shared: Daemon, postfix: Postfix, size: int) -> None:
    letter: Header = [(b"X-Do", b" body"), (b"Subject", b" x")]
    outcome = postfix.message(letter, b"y" * size, sender=b"<>")
    assert outcome.body == b"new: " + b"y" * min(size, 100_000)
    assert outcome.applied(letter)[-1] == (b"X-Last", b" folded,\n\tonce")
    assert postfix.message(letter, b"y" * size).body == b"new: "  # nothing is kept of a letter with a sender


def test_a_header_above_the_limit_is_deferred_not_cut(shared: Daemon, postfix: Postfix) -> None:
    many: Header = [(b"X", b" " + b"y" * 60_000)] * 69
    assert postfix.message(many, b"", queue_id="4FitsH").word == "c"
    outcome = postfix.message([*many, *many[:2]], b"", queue_id="4LongH")
    assert outcome.text.startswith("451 4.7.1")
    assert "action=defer, reason=header-too-long" in shared.wait_for("4LongH: ")[0]
    assert postfix.message(PLAIN, b"x", queue_id="4AfterH").word == "c"


def test_an_aborted_message_is_logged_and_forgotten(shared: Daemon, postfix: Postfix) -> None:
    postfix.envelope(b"<gone@far.example>")
    postfix.content([(b"X-Do", b" reject")], b"half", "4Gone")
    postfix.abort()
    assert postfix.message(PLAIN, queue_id="4After").word == "c"
    assert shared.wait_for("4Gone: ") == [
        "4Gone: from=<gone@far.example>, client=mx.far.example[192.0.2.7], action=none, reason=aborted, ms=0"
    ]
    assert "X-Do" not in shared.wait_for("4After: ")[0]


def test_a_connection_lost_in_a_message_is_logged_as_aborted(shared: Daemon) -> None:
    # libmilter drops what it has not read when the other side is gone, so be gone later each time.
    for tenths in range(20):
        with Postfix(shared.path) as smtpd:
            smtpd.connect()
            smtpd.envelope(b"<a@far.example>")
            smtpd.content(PLAIN, queue_id="4Lost")
            time.sleep(tenths / 10)
        if [line for line in shared.log() if line.startswith("4Lost: ")]:
            break
    assert shared.wait_for("4Lost: ")[0].endswith("action=none, reason=aborted, ms=0")


def test_a_session_without_data_leaves_no_line(shared: Daemon, postfix: Postfix) -> None:
    before = len(shared.log())
    postfix.envelope(b"<nobody@far.example>")
    postfix.abort()
    postfix.message(PLAIN, queue_id="4Next")
    shared.wait_for("4Next: ")
    assert not [line for line in shared.log()[before:] if "nobody@" in line]


def test_hostile_values_stay_inside_their_line(shared: Daemon, postfix: Postfix) -> None:
    before = len(shared.log())
    postfix.message(PLAIN, sender=b"<a, action=accept\x1b[2J\n4Fake: x@far.example>", queue_id="4Evil")
    shared.wait_for("4Evil: ")
    new = [line for line in shared.log()[before:] if "far.example" in line]
    assert len(new) == 1
    assert new[0].startswith(r"4Evil: from=<a\x2c action=accept\x1b[2J\x0a4Fake: x@far.example>, client=")


def test_many_connections_at_once_are_all_served(shared: Daemon) -> None:
    words: list[str] = []

    def one() -> None:
        with Postfix(shared.path) as smtpd:
            smtpd.connect()
            for _ in range(3):
                words.append(smtpd.message(PLAIN, b"y" * 70_000).word)

    threads = [threading.Thread(target=one) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert words == ["c"] * 60


def test_the_socket_is_for_its_group_and_nobody_else(shared: Daemon) -> None:
    assert shared.path.stat().st_mode & 0o777 == 0o660


@each_engine
def test_reload_changes_the_next_message_and_loses_none(tmp_path: Path, engine: str) -> None:
    with start(tmp_path, engine) as daemon, Postfix(daemon.path) as smtpd:
        smtpd.connect()
        assert smtpd.message(PLAIN).inserted("X-Host") == [" one.example"]
        smtpd.envelope(b"<a@far.example>")
        smtpd.content(PLAIN)
        config(tmp_path, engine=engine, hostname="two.example")
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("reloaded")
        assert smtpd.end().word == "c"
        # Who is told that it is over finds all workers in step, whichever of them takes the connection.
        for _ in range(10):
            with Postfix(daemon.path) as other:
                other.connect()
                assert other.message(PLAIN).inserted("X-Host") == [" two.example"]
        assert smtpd.message(PLAIN).inserted("X-Host") == [" two.example"]


@pytest.mark.parametrize("broken", ["[verify]\nworkers = many\n", 'hostname = "bad.example"'])
@each_engine
def test_a_bad_configuration_is_refused_and_the_old_one_stays(
    tmp_path: Path, engine: str, broken: str
) -> None:
    with start(tmp_path, engine) as daemon, Postfix(daemon.path) as smtpd:
        smtpd.connect()
        if "bad.example" in broken:
            config(tmp_path, engine=engine, hostname="bad.example")
        else:
            (tmp_path / "postvouch.toml").write_text('[general]\nrole = "moon"\nrol = 1\n')
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("reload refused: the configuration in use stays")
        if "bad.example" in broken:
            daemon.wait_for("verify: refused by this test")
        else:
            daemon.wait_for("postvouch.toml:2: ")
            daemon.wait_for("postvouch.toml:3: ")
        assert smtpd.message(PLAIN).inserted("X-Host") == [" one.example"]
        os.kill(daemon.workers()[0], signal.SIGKILL)
        os.kill(daemon.workers()[-1], signal.SIGKILL)
        daemon.wait_for("killed by SIGKILL", count=2)
        with Postfix(daemon.path) as again:
            again.connect()
            assert again.message(PLAIN).inserted("X-Host") == [" one.example"]


@each_engine
def test_another_engine_or_socket_on_reload_waits_for_a_restart(tmp_path: Path, engine: str) -> None:
    other = next(each for each in ENGINES if each != engine)
    with start(tmp_path, engine) as daemon:
        config(tmp_path, engine=other, socket=f'"unix:{tmp_path}/w.sock"', hostname="two.example")
        daemon.signal(signal.SIGHUP)
        daemon.wait_for(f"engine = {other}: a restart is needed for this")
        daemon.wait_for(f"socket = unix:{tmp_path}/w.sock: a restart is needed for this")
        daemon.wait_for("reloaded")
        with Postfix(daemon.path) as smtpd:
            smtpd.connect()
            assert smtpd.message(PLAIN).word == "c"


@each_engine
def test_a_killed_worker_is_replaced_while_the_other_serves(tmp_path: Path, engine: str) -> None:
    with start(tmp_path, engine) as daemon:
        first = daemon.workers(2)
        assert len(first) == 2
        os.kill(first[0], signal.SIGKILL)
        for _ in range(5):
            with Postfix(daemon.path) as smtpd:
                smtpd.connect()
                assert smtpd.message(PLAIN).word == "c"
        daemon.wait_for(f"worker[{first[0]}] ended (killed by SIGKILL)")
        deadline = time.monotonic() + 10
        while len(daemon.workers()) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert first[1] in daemon.workers()


@each_engine
def test_killing_the_parent_leaves_no_worker_behind(tmp_path: Path, engine: str) -> None:
    with start(tmp_path, engine) as daemon:
        children = daemon.workers(2)
        daemon.signal(signal.SIGKILL)
        daemon.process.wait(10)
        deadline = time.monotonic() + 10
        while any(Path(f"/proc/{pid}").exists() for pid in children):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert daemon.path.exists()
        with start(tmp_path, engine) as after, Postfix(after.path) as smtpd:
            smtpd.connect()
            assert smtpd.message(PLAIN).word == "c"


@each_engine
def test_stopping_finishes_the_message_under_way_and_exits_0(tmp_path: Path, engine: str) -> None:
    with start(tmp_path, engine) as daemon, Postfix(daemon.path) as smtpd:
        smtpd.connect()
        smtpd.envelope(b"<a@far.example>")
        smtpd.content([(b"X-Do", b" sleep")])
        smtpd.begin_end()
        daemon.wait_for("sleeping")
        daemon.signal(signal.SIGTERM)
        assert smtpd.outcome().word == "c"
        assert daemon.process.wait(15) == 0
        assert not daemon.path.exists()
        assert daemon.log()[-1] == "stopped"


@each_engine
def test_a_second_daemon_does_not_take_a_socket_that_answers(tmp_path: Path, engine: str) -> None:
    with start(tmp_path, engine) as daemon:
        with (
            pytest.raises(AssertionError, match="another daemon answers on"),
            running(
                [UNDER_TEST, str(tmp_path / "postvouch.toml")],
                tmp_path / "none",
                tmp_path / "2",
                PYTHONPATH=str(ROOT),
            ),
        ):
            pass
        with Postfix(daemon.path) as smtpd:
            smtpd.connect()
            assert smtpd.message(PLAIN).word == "c"


@each_engine
def test_metrics_count_the_messages_of_all_workers(tmp_path: Path, engine: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with start(tmp_path, engine, metrics=f'"127.0.0.1:{port}"') as daemon:
        for order in (b"accept", b"accept", b"reject", b"crash"):
            with Postfix(daemon.path) as smtpd:
                smtpd.connect()
                smtpd.message([(b"X-Do", b" " + order)])
        text = ""
        deadline = time.monotonic() + 10
        while 'code="bug"' not in text:
            assert time.monotonic() < deadline
            try:
                text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
            except OSError:
                time.sleep(0.05)
    assert 'postvouch_messages_total{action="accept",code="ok",daemon="test"} 2.0' in text
    assert 'postvouch_messages_total{action="reject",code="spoof",daemon="test"} 1.0' in text
    assert 'postvouch_bugs_total{daemon="test"} 1.0' in text
    assert 'postvouch_test_gauge{daemon="test"} 42.0' in text


@each_engine
def test_a_bad_configuration_at_start_is_exit_status_78(tmp_path: Path, engine: str) -> None:
    path = config(tmp_path, engine=engine)
    path.write_text('[general]\nrole = "moon"\nrol = 1\n')
    done = subprocess.run(
        [sys.executable, UNDER_TEST, str(path)],
        capture_output=True,
        text=True,
        timeout=30,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 78
    assert "postvouch.toml:2: " in done.stderr
    assert "postvouch.toml:3: " in done.stderr
