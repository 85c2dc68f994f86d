"""Sockets left behind, notices to systemd, signals of an asyncio daemon, children that misbehave."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from postfixplay import Daemon

from postvouch.host.process import Notifier, SocketTaken, clear_socket_path, on_signals

ROOT = Path(__file__).resolve().parent.parent


def listener(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.bind(str(path))
    made.listen()
    return made


def test_a_socket_that_nobody_answers_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    listener(path).close()
    assert path.is_socket()
    clear_socket_path(path)
    assert not path.exists()


def test_a_socket_that_answers_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with listener(path), pytest.raises(SocketTaken, match="another daemon answers"):
        clear_socket_path(path)
    assert path.is_socket()


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_what_is_no_socket_is_never_removed(tmp_path: Path, kind: str) -> None:
    path, target = tmp_path / "s", tmp_path / "target"
    target.write_text("precious")
    if kind == "file":
        path.write_text("precious")
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to(target)
    with pytest.raises(SocketTaken, match="no socket"):
        clear_socket_path(path)
    assert os.path.lexists(path)
    assert target.read_text() == "precious"


def test_a_path_where_nothing_is_is_fine(tmp_path: Path) -> None:
    clear_socket_path(tmp_path / "s")


def test_notices_reach_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        notifier = Notifier()
        notifier.ready("serving")
        notifier.status("93 names")
        notifier.stopping()
        assert [systemd.recv(100) for _ in range(3)] == [
            b"READY=1\nSTATUS=serving",
            b"STATUS=93 names",
            b"STOPPING=1",
        ]
        notifier._systemd.socket.close()


def test_without_systemd_notices_are_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notifier = Notifier()
    notifier.ready()
    notifier.reloading()
    notifier.stopping()


def test_an_asyncio_daemon_hears_its_signals() -> None:
    async def life() -> list[str]:
        heard: list[str] = []
        on_signals(
            asyncio.get_running_loop(),
            reload=lambda: heard.append("reload"),
            stop=lambda: heard.append("stop"),
        )
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            os.kill(os.getpid(), number)
            for _ in range(100):
                await asyncio.sleep(0.005)
                if len(heard) > (signal.SIGHUP, signal.SIGTERM, signal.SIGINT).index(number):
                    break
        return heard

    assert asyncio.run(life()) == ["reload", "stop", "stop"]


MISBEHAVES = """
import os, signal, sys, time
from postvouch.host.log import Log
from postvouch.host import supervisor
from postvouch.host.process import Notifier, block_signals
from postvouch.host.supervisor import Following, Role, Supervisor

def dies(number: int) -> int:
    return 3

def raises(number: int = 0) -> int:
    raise ValueError("a child's fault")

def hangs(number: int) -> int:
    log.note("hanging")
    time.sleep(60)
    return 0

def deaf(number: int) -> int:
    log.note("deaf")
    signal.sigwait({signal.SIGTERM})
    return 0

def slow(number: int) -> int:
    log.note("slow")
    while signal.sigwait({signal.SIGUSR1, signal.SIGTERM}) == signal.SIGUSR1:
        time.sleep(0.3)
        log.note("followed")
        following.tell()
    return 0

block_signals()
following = Following()
roles = [Role(name=name, main=globals()[name]) for name in sys.argv[1:]]
log, notifier = Log(program="test"), Notifier()
supervisor.FOLLOW_S = 1.0
reload = raises if "hangs" in sys.argv else lambda: True
parent = Supervisor(
    roles=roles, log=log, notifier=notifier, reload=reload, following=following, grace_s=0.5
)
sys.exit(parent.run())
"""


@contextlib.contextmanager
def supervised(directory: Path, *names: str) -> Iterator[Daemon]:
    stderr = directory / "stderr"
    with stderr.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", MISBEHAVES, *names],
            stderr=sink,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
    try:
        yield Daemon(process, directory / "none", stderr)
    finally:
        process.kill()
        process.wait()


def test_a_child_that_dies_at_once_is_started_ever_more_slowly(tmp_path: Path) -> None:
    with supervised(tmp_path, "dies") as parent:
        lines = parent.wait_for("exit status 3", count=3)
        assert [line.rpartition(" in ")[2] for line in lines[:3]] == ["0.2 s", "0.4 s", "0.8 s"]
        parent.signal(signal.SIGTERM)
        assert parent.process.wait(10) == 0


def test_a_child_that_raises_leaves_a_traceback_and_never_runs_on_as_the_parent(tmp_path: Path) -> None:
    with supervised(tmp_path, "raises") as parent:
        parent.wait_for("exit status 70")
        parent.wait_for("NOQUEUE: bug=ValueError: a child's fault")
        parent.signal(signal.SIGTERM)
        assert parent.process.wait(10) == 0
        assert parent.log().count("stopped") == 1


def test_a_fault_in_a_reload_stops_nobody(tmp_path: Path) -> None:
    with supervised(tmp_path, "hangs") as parent:
        parent.wait_for("hanging")
        parent.signal(signal.SIGHUP)
        parent.wait_for("bug=ValueError: a child's fault")
        parent.signal(signal.SIGTERM)
        assert parent.process.wait(10) == 0
        assert not [line for line in parent.log() if "ended" in line]


def test_a_reload_is_over_when_the_children_have_followed(tmp_path: Path) -> None:
    with supervised(tmp_path, "slow", "slow") as parent:
        parent.wait_for("slow", count=2)
        for count in (1, 2):
            parent.signal(signal.SIGHUP)
            parent.wait_for("reloaded", count=count)
        said = [line.rpartition(": ")[2] for line in parent.log()]
        assert said == ["slow", "slow", *["followed", "followed", "reloaded"] * 2]


def test_a_child_that_does_not_follow_is_waited_for_no_longer_than_so_long(tmp_path: Path) -> None:
    with supervised(tmp_path, "deaf", "slow") as parent:
        parent.wait_for("deaf")
        parent.wait_for("slow")
        parent.signal(signal.SIGHUP)
        parent.wait_for("1 of 2 workers have not followed yet")
        parent.wait_for("reloaded")
        parent.signal(signal.SIGTERM)
        assert parent.process.wait(10) == 0


def test_a_child_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    with supervised(tmp_path, "hangs") as parent:
        parent.wait_for("hanging")
        parent.signal(signal.SIGTERM)
        assert parent.process.wait(10) == 0
        assert parent.wait_for("killing hangs[")[0].endswith(": not stopped within 0.5 s")
