"""postvouch-policy: the rules by themselves, and the real daemon asked as Postfix asks."""

import contextlib
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from names import NAMES, read
from servers import Process, connect, daemon, wait_for

from postvouch.directory import snapshot
from postvouch.directory.model import Part
from postvouch.policyd.submission import STATES, judge
from postvouch.values.answer import Answer, Found, NotFound, Unavailable
from postvouch.wire.policy import Request

MODULE = "policyd.submission"
NOT_OWNER = "553 5.7.1 not owned by user bob"
LATER = "451 4.7.1 Service unavailable - try again later"


def request(sender: str = "bob@our.example", login: str = "bob", state: str = "RCPT") -> Request:
    return Request(protocol_state=state, sender=sender, sasl_username=login)


@pytest.mark.parametrize("state", sorted(STATES))
def test_each_answer_of_the_directory_has_its_own_reply_in_every_state(state: str) -> None:
    def action(answer: Answer, **wish: str) -> str:
        return judge(request(state=state, **wish), "submission", lambda login, sender: answer).action

    assert action(Found("bob")) == "DUNNO"
    assert action(NotFound()) == NOT_OWNER
    assert action(Unavailable("x")) == LATER
    assert action(Found("bob"), login="") == "530 5.7.0 Authentication required"
    assert action(Found("bob"), sender="") == "DUNNO"  # postvouch-sign looks whether it is a report
    alone = judge(
        request(state=state, sender=""), "submission", lambda login, sender: Found("bob"), reports=False
    )
    assert alone.action == "553 5.7.1 A login may send only reports with an empty sender"


def test_before_mail_from_nobody_needs_a_login_yet() -> None:
    for state in ("CONNECT", "EHLO", "HELO", "VRFY", "ETRN", ""):
        verdict = judge(request(login="", state=state), "submission", lambda login, sender: NotFound())
        assert verdict.action == "DUNNO"


def test_other_roles_refuse_nothing() -> None:
    for role in ("", "mx", "srs", "relay"):
        assert judge(request(login=""), role, lambda login, sender: NotFound()).action == "DUNNO"


@given(
    st.text(max_size=40), st.text(max_size=20), st.sampled_from(["submission", "mx", ""]), st.text(max_size=9)
)
def test_no_request_whatever_is_answered_ok(sender: str, login: str, role: str, state: str) -> None:
    verdict = judge(request(sender, login, state), role, lambda login, sender: NotFound())
    assert verdict.action.split()[0] in ("DUNNO", "530", "553")


class Desk:
    """The files of a submission host, and its requests."""

    def __init__(self, folder: Path, limit: int = 3) -> None:
        self.folder = folder
        self.config = folder / "postvouch.toml"
        self.socket = folder / "policy.sock"
        self.snapshot = folder / "directory.snapshot"
        self.write(limit)

    def write(self, limit: int, extra: str = "") -> None:
        self.config.write_text(f"""
[general]
role = "submission"
domains = ["our.example", "old.example"]
[map]
snapshot = "{self.snapshot}"
[policy]
socket = "unix:{self.socket}"
metrics = ""
counters = "{self.folder}/counters"
[[policy.limit]]
name = "logins"
messages = {limit}
recipients = 100
{extra}
""")

    def save(self, *parts: Part) -> None:
        now = time.time()
        snapshot.save(self.snapshot, [Part(origin=p.origin, entries=p.entries, read_at=now) for p in parts])

    def ask(self, **attributes: str) -> str:
        with connect(self.socket) as client:
            return ask_again(client, **attributes)


def ask_again(client: socket.socket, **attributes: str) -> str:
    defaults = {"request": "smtpd_access_policy", "protocol_state": "RCPT", "client_address": "192.0.2.7",
                "client_name": "laptop.far.example", "sasl_username": "bob", "sender": "bob@our.example",
                "queue_id": "4XyZ1k2", "recipient": "x@far.example", "instance": "1.2.3"}  # fmt: skip
    text = "".join(f"{name}={value}\n" for name, value in {**defaults, **attributes}.items())
    client.sendall(text.encode() + b"\n")
    answer = b""
    while not answer.endswith(b"\n\n"):
        octets = client.recv(1000)
        assert octets
        answer += octets
    return answer.decode().removeprefix("action=").rstrip("\n")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[tuple[Desk, Process]]:
    made = Desk(tmp_path)
    made.save(read(NAMES)[0])
    with daemon(MODULE, made.config) as process:
        yield made, process


def test_a_login_sends_as_itself_its_role_and_nobody_else(desk: tuple[Desk, Process]) -> None:
    made, process = desk
    with connect(made.socket) as client:
        assert ask_again(client) == "DUNNO"
        assert ask_again(client, sender="Bob+tag@old.example") == "DUNNO"
        assert ask_again(client, sender="grants@our.example") == "DUNNO"
        assert ask_again(client, sender="carol@our.example") == NOT_OWNER
        assert ask_again(client, sender="bob@far.example") == NOT_OWNER
        assert ask_again(client, sender="") == "DUNNO"
        assert ask_again(client, sasl_username="") == "530 5.7.0 Authentication required"
    process.says(
        "4XyZ1k2: from=<carol@our.example>, login=bob, client=laptop.far.example[192.0.2.7], state=RCPT, "
        "action=reject, reason=not-owner, ms="
    )


def test_letters_are_counted_once_at_data_and_refused_over_the_limit(desk: tuple[Desk, Process]) -> None:
    made, process = desk
    for _ in range(9):
        assert made.ask(instance="never-sent") == "DUNNO"
    for letter in range(3):
        for state in ("RCPT", "RCPT", "DATA", "DATA", "END-OF-MESSAGE"):
            assert made.ask(protocol_state=state, instance=f"letter{letter}") == "DUNNO"
    over = (
        "450 4.7.1 Too much mail: no more than 3 messages in 24 hours (limit logins) - try again in 25 hours"
    )
    assert made.ask(protocol_state="DATA", instance="letter3") == over
    assert made.ask(protocol_state="DATA", instance="letter4", sasl_username="BOB") == over
    assert made.ask(protocol_state="DATA", instance="letter5", sasl_username="Bob@our.example") == over
    alice = {"sasl_username": "alice", "sender": "alice@our.example"}
    assert made.ask(protocol_state="DATA", instance="x", **alice) == "DUNNO"
    process.says("action=defer, reason=over-limit, limit=logins, unit=messages, used=3/3, frees=")


def test_what_was_counted_outlives_the_daemon_even_if_it_is_killed(tmp_path: Path) -> None:
    made = Desk(tmp_path, limit=2)
    made.save(read(NAMES)[0])
    with daemon(MODULE, made.config):
        assert made.ask(protocol_state="DATA", instance="a") == "DUNNO"
    with daemon(MODULE, made.config) as process:
        assert made.ask(protocol_state="DATA", instance="b") == "DUNNO"
        time.sleep(2.5)  # the documented second, and the machine's
        process.send(signal.SIGKILL)
    with daemon(MODULE, made.config):
        assert made.ask(protocol_state="DATA", instance="c").startswith("450 4.7.1")


def test_recipients_are_counted_and_more_than_the_limit_has_are_refused_for_good(
    desk: tuple[Desk, Process],
) -> None:
    made, _ = desk
    data = {"protocol_state": "DATA", "recipient": ""}
    assert made.ask(**data, instance="a", recipient_count="60") == "DUNNO"
    assert made.ask(**data, instance="b", recipient_count="41").startswith(
        "450 4.7.1 Too much mail: no more than 100 recipients in 24 hours (limit logins)"
    )
    assert made.ask(**data, instance="c", recipient_count="101") == (
        "550 5.5.3 Too many recipients: no more than 100 recipients in 24 hours (limit logins)"
    )
    assert made.ask(**data, instance="d", recipient_count="40") == "DUNNO"


def test_a_limit_can_be_tried_by_its_log_lines_alone(tmp_path: Path) -> None:
    made = Desk(tmp_path)
    made.save(read(NAMES)[0])
    made.write(limit=1, extra='mode = "log"')
    with daemon(MODULE, made.config) as process:
        for letter in range(3):
            assert made.ask(protocol_state="DATA", instance=f"a{letter}") == "DUNNO"
        process.says("reason=would-over-limit, limit=logins, unit=messages, used=3/1, frees=")


def test_clients_and_sender_domains_have_limits_of_their_own(tmp_path: Path) -> None:
    made = Desk(tmp_path, limit=99)
    made.save(read(NAMES)[0])
    made.write(
        limit=99,
        extra="""
[[policy.limit]]
name = "hosts"
per = "client"
messages = 1
[[policy.limit]]
name = "old"
per = "sender_domain"
messages = 1
only = ["old.example"]
""",
    )
    old = {"protocol_state": "DATA", "sender": "bob@old.example"}
    with daemon(MODULE, made.config):
        assert made.ask(**old, instance="a", client_address="192.0.2.1") == "DUNNO"
        assert "limit old" in made.ask(**old, instance="b", client_address="192.0.2.2")
        assert made.ask(protocol_state="DATA", instance="c", client_address="192.0.2.2") == "DUNNO"
        assert "limit hosts" in made.ask(protocol_state="DATA", instance="d", client_address="192.0.2.2")


def test_a_reload_changes_the_limit_and_keeps_the_count(desk: tuple[Desk, Process]) -> None:
    made, process = desk
    for letter in range(3):
        assert made.ask(protocol_state="DATA", instance=f"a{letter}") == "DUNNO"
    assert made.ask(protocol_state="DATA", instance="b").startswith("450")
    made.write(limit=4)
    process.send(signal.SIGHUP)
    process.says("reloaded")
    assert made.ask(protocol_state="DATA", instance="c") == "DUNNO"
    assert made.ask(protocol_state="DATA", instance="d").startswith("450")


def test_without_a_directory_our_senders_are_deferred_and_never_let_through(tmp_path: Path) -> None:
    made = Desk(tmp_path)
    with daemon(MODULE, made.config) as process:
        process.says("no such file")
        assert made.ask() == LATER
        assert made.ask(sender="x@far.example") == NOT_OWNER
        made.save(read(NAMES)[0])
        wait_for(lambda: made.ask() == "DUNNO", "the snapshot is seen")
        made.snapshot.write_text("damaged")
        process.says("no snapshot of ours")
        assert made.ask() == "DUNNO"


@pytest.mark.parametrize("octets", [b"\n\n", b"hello\n\n", b"request=x\nrequest=y\n\n", b"x" * 200_000])
def test_garbage_ends_the_connection_and_is_never_a_yes(desk: tuple[Desk, Process], octets: bytes) -> None:
    made, _ = desk
    with connect(made.socket) as client, contextlib.suppress(ConnectionError):
        client.sendall(octets)
        assert client.recv(100) == b""
    assert made.ask() == "DUNNO"


def test_a_request_of_another_kind_is_deferred(desk: tuple[Desk, Process]) -> None:
    assert desk[0].ask(request="something_else") == LATER
    assert desk[0].ask(recipient_count="many") == LATER
