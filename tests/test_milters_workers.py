"""The processes of a milter daemon: sockets of every kind, back-off, what systemd is told."""

import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
from postfixplay import Postfix, running
from test_milters_session import PLAIN, ROOT, UNDER_TEST, config, each_engine, start

from postvouch.milters.session import libmilter_name


@pytest.mark.parametrize(
    "ours, theirs",
    [
        ("unix:/run/v.sock", "unix:/run/v.sock"),
        ("inet:127.0.0.1:8891", "inet:8891@127.0.0.1"),
        ("inet:[::1]:8891", "inet6:8891@::1"),
    ],
)
def test_sockets_are_named_as_libmilter_reads_them(ours: str, theirs: str) -> None:
    assert libmilter_name(ours) == theirs


@each_engine
def test_over_tcp_an_answer_does_not_wait_for_nagle(tmp_path: Path, engine: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    path = config(tmp_path, engine=engine, socket=f'"inet:127.0.0.1:{port}"')
    arguments = [UNDER_TEST, str(path)]
    with running(arguments, ("127.0.0.1", port), tmp_path / "stderr", PYTHONPATH=str(ROOT)) as daemon:
        with Postfix(daemon.path) as smtpd:
            smtpd.connect()
            seconds = []
            for _ in range(15):
                smtpd.envelope(b"<a@far.example>")
                smtpd.content(PLAIN)
                began = time.perf_counter()
                assert smtpd.end().word == "c"
                seconds.append(time.perf_counter() - began)
        daemon.signal(signal.SIGTERM)
        assert daemon.process.wait(15) == 0
    # Several small writes under Nagle and delayed ACK take 40 ms.
    assert statistics.median(seconds) < 0.03


@each_engine
def test_each_worker_stays_on_a_processor_of_its_own_as_far_as_there_are_enough(
    tmp_path: Path, engine: str
) -> None:
    with start(tmp_path, engine, workers="3") as daemon:
        deadline = time.monotonic() + 10
        while True:  # a worker that answers says nothing of the others
            places = [os.sched_getaffinity(pid) for pid in daemon.workers(3)]
            if all(len(place) == 1 for place in places) or time.monotonic() > deadline:
                break
            time.sleep(0.02)
    here = os.sched_getaffinity(0)
    assert [len(place) for place in places] == [1, 1, 1]
    assert len(set.union(*places)) == min(3, len(here))
    assert set.union(*places) <= here


@each_engine
def test_systemd_hears_of_start_reload_and_stop(tmp_path: Path, engine: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(15)
        config(tmp_path, engine=engine)
        arguments = [UNDER_TEST, str(tmp_path / "postvouch.toml")]
        environment = {"PYTHONPATH": str(ROOT), "NOTIFY_SOCKET": str(tmp_path / "notify")}
        with running(arguments, tmp_path / "v.sock", tmp_path / "stderr", **environment) as daemon:
            assert systemd.recv(200).startswith(b"READY=1")
            before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            daemon.signal(signal.SIGHUP)
            state, clock = systemd.recv(200).split(b"\n")
            assert state == b"RELOADING=1"
            assert int(clock.removeprefix(b"MONOTONIC_USEC=")) >= before
            assert systemd.recv(200).startswith(b"READY=1")
            daemon.signal(signal.SIGTERM)
            assert systemd.recv(200) == b"STOPPING=1"
            assert daemon.process.wait(15) == 0


@each_engine
def test_a_message_that_hangs_does_not_hold_up_the_stop_for_ever(tmp_path: Path, engine: str) -> None:
    path = config(tmp_path, engine=engine)
    environment = {"PYTHONPATH": str(ROOT), "DRAIN_S": "0.5"}
    with (
        running([UNDER_TEST, str(path)], tmp_path / "v.sock", tmp_path / "stderr", **environment) as daemon,
        Postfix(daemon.path) as smtpd,
    ):
        smtpd.connect()
        smtpd.envelope(b"<a@far.example>")
        smtpd.content([(b"X-Do", b" hang")])
        smtpd.begin_end()
        daemon.wait_for("hanging")
        daemon.signal(signal.SIGTERM)
        assert daemon.process.wait(15) == 0
        daemon.wait_for("stopping with 1 messages unanswered; Postfix keeps them")


@each_engine
def test_a_stop_that_systemd_sends_to_every_process_is_a_clean_one(tmp_path: Path, engine: str) -> None:
    with start(tmp_path, engine) as daemon:
        for pid in (*daemon.workers(), daemon.process.pid):
            os.kill(pid, signal.SIGTERM)
        assert daemon.process.wait(15) == 0
        assert not daemon.path.exists()


@each_engine
def test_a_session_that_idles_does_not_hold_up_the_stop(tmp_path: Path, engine: str) -> None:
    with start(tmp_path, engine) as daemon, Postfix(daemon.path) as smtpd:
        smtpd.connect()
        assert smtpd.message(PLAIN).word == "c"
        began = time.monotonic()
        daemon.signal(signal.SIGTERM)
        assert daemon.process.wait(15) == 0
        assert time.monotonic() - began < 4


@each_engine
def test_a_directory_that_is_missing_is_said_and_exit_status_73(tmp_path: Path, engine: str) -> None:
    path = config(tmp_path, engine=engine, socket=f'"unix:{tmp_path}/nowhere/v.sock"')
    done = subprocess.run(
        [sys.executable, UNDER_TEST, str(path)],
        capture_output=True, text=True, timeout=30, check=False, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 73
    assert f"no directory {tmp_path}/nowhere" in done.stderr


@each_engine
def test_metrics_that_cannot_be_served_do_not_stop_the_mail(tmp_path: Path, engine: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with start(tmp_path, engine, metrics=f'"127.0.0.1:{port}"') as daemon:
            daemon.wait_for(f"cannot serve metrics on 127.0.0.1:{port}", count=2)
            waits = [line.rpartition(" in ")[2] for line in daemon.wait_for("metrics[", count=2)[:2]]
            assert waits == ["0.2 s", "0.4 s"]
            with Postfix(daemon.path) as smtpd:
                smtpd.connect()
                assert smtpd.message(PLAIN).word == "c"
