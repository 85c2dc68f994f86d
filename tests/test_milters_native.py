"""What only the native door does: order on a connection, threads for what waits, faults of the protocol."""

import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import miltertest
import pytest
from postfixplay import Daemon, Postfix, running
from test_milters_session import PLAIN, ROOT, UNDER_TEST, config, start

OFFER = struct.pack("!LLL", 6, 0x1FF, 0x1FFFFF)


def packet(command: bytes, data: bytes = b"") -> bytes:
    return struct.pack("!L", len(data) + 1) + command + data


def letter(order: bytes, queue_id: bytes = b"4Raw") -> bytes:
    """A whole message in one piece."""
    return b"".join(
        (
            packet(b"M", b"<a@far.example>\0"),
            packet(b"R", b"<bob@our.example>\0"),
            packet(b"T"),
            packet(b"L", b"X-Do\0 " + order + b"\0"),
            packet(b"D", b"Ei\0" + queue_id + b"\0"),
            packet(b"E"),
        )
    )


@pytest.fixture(scope="module")
def one_worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with start(tmp_path_factory.mktemp("one"), "native", workers="1") as daemon:
        yield daemon


@pytest.fixture
def raw(one_worker: Daemon) -> Iterator[socket.socket]:
    """A connection that has been negotiated, all steps silent."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(str(one_worker.path))
        connection.sendall(packet(b"O", OFFER))
        assert read(connection, 1)[0].startswith(b"O")
        yield connection


def read(connection: socket.socket, count: int) -> list[bytes]:
    """So many packets, or as many as come before the end."""
    stream = connection.makefile("rb")
    packets = []
    for _ in range(count):
        head = stream.read(4)
        if len(head) < 4:
            break
        packets.append(stream.read(*struct.unpack("!L", head)))
    return packets


def test_what_waits_holds_up_no_other_connection(one_worker: Daemon) -> None:
    with Postfix(one_worker.path) as slow, Postfix(one_worker.path) as quick:
        slow.connect()
        quick.connect()
        slow.envelope(b"<a@far.example>")
        slow.content([(b"X-Do", b" sleep")])
        slow.begin_end()
        one_worker.wait_for("sleeping")
        began = time.monotonic()
        assert quick.message(PLAIN).word == "c"
        assert time.monotonic() - began < 0.8
        assert slow.outcome().word == "c"


def test_a_header_that_never_ends_is_not_held(one_worker: Daemon, raw: socket.socket) -> None:
    def octets() -> int:
        status = Path(f"/proc/{one_worker.workers()[0]}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) << 10

    raw.sendall(packet(b"M", b"<a@far.example>\0") + packet(b"T"))
    before = octets()
    raw.sendall(packet(b"L", b"X\0" + b"y" * 1_000_000 + b"\0") * 60)
    held = octets() - before
    raw.sendall(packet(b"D", b"Ei\x004Never\0") + packet(b"E"))
    assert b"451" in read(raw, 1)[0]
    assert held < 25 << 20
    assert "reason=header-too-long" in one_worker.wait_for("4Never: ")[0]


def test_no_command_is_looked_at_before_the_answer_to_the_one_before(
    one_worker: Daemon, raw: socket.socket
) -> None:
    # Six at once: two that wait in threads, and none of the others may overtake them.
    orders = [b"sleep", b"reject", b"accept", b"sleep", b"defer", b"accept"]
    raw.sendall(b"".join(letter(order, b"4Six%d" % n) for n, order in enumerate(orders)))
    words = [each[:1] for each in read(raw, 14) if each[:1] not in b"im"]
    assert words == [b"c", b"y", b"c", b"c", b"y", b"c"]
    lines = [line.partition(":")[0] for line in one_worker.wait_for("4Six", count=6) if "from=" in line]
    assert lines == [f"4Six{n}" for n in range(6)]


def test_a_connection_that_dies_while_its_message_waits_is_an_abort(
    one_worker: Daemon, raw: socket.socket
) -> None:
    raw.sendall(letter(b"sleep", b"4Dies"))
    one_worker.wait_for("sleeping")
    raw.sendall(packet(b"Q"))
    raw.close()
    # The answer was decided, written, and reached nobody; or nobody was there any more when it was decided.
    line = one_worker.wait_for("4Dies: from=")[0]
    assert "reason=ok" in line or "reason=aborted" in line
    with Postfix(one_worker.path) as smtpd:
        smtpd.connect()
        assert smtpd.message(PLAIN).word == "c"


@pytest.mark.parametrize(
    "octets, why",
    [
        (packet(b"Z"), "a command unknown, or out of its order"),
        (packet(b"L", b"From\0 x\0"), "a command unknown, or out of its order"),
        (packet(b"E"), "a command unknown, or out of its order"),
        (packet(b"O", OFFER), "a command unknown, or out of its order"),
        (
            packet(b"M", b"<a@far.example>\0") + packet(b"B", b"x") + packet(b"L", b"From\0 x\0"),
            "unknown, or out",
        ),
        (packet(b"M", b"<a@far.example>"), "a string without its end"),
        (packet(b"C", b"x\x004\0\0not.an.address\0"), "a client whose address is none"),
        (packet(b"D", b"Mi\0"), "macros that are not pairs of strings"),
        (b"\0\0\0\0", "a packet of no octet"),
        (b"\xff\xff\xff\xffM", "a packet of more than 1048576 octets"),
    ],
)
def test_what_is_not_the_protocol_ends_the_connection_with_a_line(
    one_worker: Daemon, raw: socket.socket, octets: bytes, why: str
) -> None:
    before = len(one_worker.log())
    raw.sendall(octets + packet(b"H", b"x\0"))
    assert read(raw, 1) == []
    deadline = time.monotonic() + 10
    while not [line for line in one_worker.log()[before:] if "connection closed: " in line and why in line]:
        assert time.monotonic() < deadline, one_worker.log()[before:]
        time.sleep(0.02)


def test_commands_before_a_fault_are_still_answered_and_the_rest_is_aborted(
    one_worker: Daemon, raw: socket.socket
) -> None:
    half = packet(b"M", b"<b@far.example>\0") + packet(b"D", b"Ti\x004Half\0") + packet(b"T")
    raw.sendall(letter(b"reject") + half + b"\0\0\0\0")
    assert [each[:1] for each in read(raw, 3)] == [b"y"]
    assert "reason=aborted" in one_worker.wait_for("4Half: ")[0]


def test_macros_that_are_empty_or_missing_leave_nothing_of_the_message_before(
    one_worker: Daemon, raw: socket.socket
) -> None:
    mine = packet(b"D", b"M{auth_authen}\0bob\0{cert_subject}\0crm.our.example\0")
    raw.sendall(mine + letter(b"accept", b"4Mac1"))
    raw.sendall(letter(b"accept", b"4Mac2"))
    raw.sendall(mine + packet(b"D", b"M") + letter(b"accept", b"4Mac3"))
    raw.sendall(mine + packet(b"H", b"again\0") + letter(b"accept", b"4Mac4"))
    assert "login=bob" in one_worker.wait_for("4Mac1: ")[0]
    for queue_id in ("4Mac2", "4Mac3", "4Mac4"):
        line = one_worker.wait_for(f"{queue_id}: ")[0]
        assert "login=" not in line
        assert ", cert=, " in line


def test_the_next_client_on_a_connection_inherits_nothing(one_worker: Daemon, raw: socket.socket) -> None:
    first = packet(b"D", b"H{cert_subject}\0crm.our.example\0") + packet(b"H", b"first\0")
    first += packet(b"C", b"localhost\x004\0\x00127.0.0.1\0")
    raw.sendall(first + packet(b"D", b"M{auth_authen}\0bob\0") + letter(b"accept", b"4One"))
    raw.sendall(
        packet(b"K") + packet(b"C", b"mx.far.example\x004\0\x07192.0.2.9\0") + letter(b"accept", b"4Two")
    )
    assert "client=localhost[127.0.0.1], login=bob" in one_worker.wait_for("4One: ")[0]
    line = one_worker.wait_for("4Two: ")[0]
    assert "client=mx.far.example[192.0.2.9], to=bob@our.example, helo=, cert=, local=False, " in line


def test_the_last_piece_of_a_body_may_come_with_its_end(one_worker: Daemon, raw: socket.socket) -> None:
    raw.sendall(
        letter(b"accept", b"4End").replace(packet(b"E"), packet(b"B", b"12345") + packet(b"E", b"6\r\n"))
    )
    assert "octets=8," in one_worker.wait_for("4End: ")[0]


def test_a_peer_that_collects_no_answers_is_made_to_wait_and_gets_them_all(
    one_worker: Daemon, raw: socket.socket
) -> None:
    count = 12_000
    stream = letter(b"accept", b"4Many") * count
    writer = threading.Thread(target=lambda: raw.sendall(stream))
    writer.start()
    writer.join(1.5)
    assert writer.is_alive()  # it would be through if we read on
    with Postfix(one_worker.path) as smtpd:
        smtpd.connect()
        assert smtpd.message(PLAIN).word == "c"
    finals = [each for each in read(raw, 3 * count) if each == b"c"]
    writer.join(20)
    assert len(finals) == count


def test_a_peer_that_writes_octet_by_octet_is_served(one_worker: Daemon, raw: socket.socket) -> None:
    for octet in letter(b"reject", b"4Slow"):
        raw.sendall(bytes([octet]))
    assert read(raw, 1)[0].startswith(b"y550 5.7.1 ")


def test_a_field_longer_than_libmilter_takes_is_no_reason_to_defer(
    one_worker: Daemon, raw: socket.socket
) -> None:
    field = packet(b"L", b"X-Long\0 " + b"y" * 200_000 + b"\0")
    raw.sendall(letter(b"accept", b"4Field").replace(packet(b"T"), packet(b"T") + field))
    assert read(raw, 3)[-1] == b"c"


def test_a_stop_lets_the_envelope_under_way_end_and_closes_what_idles(tmp_path: Path) -> None:
    with start(tmp_path, "native") as daemon, Postfix(daemon.path) as busy, Postfix(daemon.path) as idle:
        for smtpd in (busy, idle):
            smtpd.connect()
            assert smtpd.message(PLAIN).word == "c"
        busy.envelope(b"<a@far.example>")
        time.sleep(0.2)
        daemon.signal(signal.SIGTERM)
        time.sleep(0.3)
        with pytest.raises((OSError, miltertest.MilterError)):
            idle.message(PLAIN)
        busy.content([(b"X-Do", b" reject")])
        assert busy.end().text.startswith("550 5.7.1")
        assert daemon.process.wait(15) == 0
    assert not [line for line in daemon.log() if "unanswered" in line]


def test_without_uvloop_the_door_opens_on_asyncio(tmp_path: Path) -> None:
    (tmp_path / "no").mkdir()
    (tmp_path / "no" / "uvloop.py").write_text("raise ImportError('not installed')\n")
    path = config(tmp_path, engine="native")
    environment = {"PYTHONPATH": f"{tmp_path}/no:{ROOT}"}
    arguments = [UNDER_TEST, str(path)]
    with running(arguments, tmp_path / "v.sock", tmp_path / "stderr", **environment) as daemon:
        with Postfix(daemon.path) as smtpd:
            smtpd.connect()
            assert smtpd.message([(b"X-Do", b" sleep")], b"x" * 70_000).word == "c"
        daemon.signal(signal.SIGTERM)
        assert daemon.process.wait(15) == 0
        assert daemon.log()[-1] == "stopped"


def without_pymilter(tmp_path: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    (tmp_path / "milter.py").write_text("raise ImportError('not installed')\n")
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True, text=True, timeout=30, check=False,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}"},
    )  # fmt: skip


def test_the_native_door_needs_no_pymilter(tmp_path: Path) -> None:
    code = "from postvouch.milters import sign, verify, workers; workers.engine_of('native', None)"
    done = without_pymilter(tmp_path, "-c", code)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_other_door_says_that_it_does(tmp_path: Path) -> None:
    done = without_pymilter(tmp_path, UNDER_TEST, str(config(tmp_path, engine="pymilter")))
    assert done.returncode == 73
    assert "pymilter is missing: apt install python3-milter" in done.stderr
