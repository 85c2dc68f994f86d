"""Metrics: of one process, of forked workers together, and with labels that strangers cannot fill."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from postvouch.host import metrics


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# Each in a process of its own: where the library keeps its values is global to a process.
ONE_PROCESS = """
from postvouch.host.metrics import Metrics
import sys, urllib.request
m = Metrics("map")
m.request("alias", "found", 0.002)
m.request("alias", "found", 0.5)
m.request("alias", "evil\\nstranger's word", 0.002)
for n in range(300):
    m.message("accept", f"code-{n}", 0.001)
m.config_ok(False)
port = int(sys.argv[1])
m.serve(f"127.0.0.1:{port}", {"postvouch_snapshot_age_seconds": ("Age.", lambda: 12.5)})
print(urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode())
"""

FORKED = """
from postvouch.host.metrics import Metrics, shared_directory
import os, sys, time, urllib.request
directory = shared_directory()
m = Metrics("verify", directory=directory)
children = []
for n in range(3):
    pid = os.fork()
    if pid == 0:
        m.message("accept", "ok", 0.002)
        m.results([("spf", "pass"), ("dkim", "pass (far.example/s1)"), ("from", "<a@b>")], "ok")
        m.results([("arc", "fail (seal 1: x)"), ("would", "reject")], "spoof")
        os._exit(0)
    children.append(pid)
for pid in children:
    os.waitpid(pid, 0)
    m.worker_died(pid)
port = int(sys.argv[1])
server = os.fork()
if server == 0:
    m.serve(f"127.0.0.1:{port}")
    time.sleep(30)
    os._exit(0)
for attempt in range(100):
    try:
        print(urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode())
        break
    except OSError:
        time.sleep(0.05)
m.config_ok(False)
later = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
print(later.replace("postvouch_", "later_"))
os.kill(server, 9)
os.waitpid(server, 0)
m.close()
print("removed", not directory.exists())
"""


def run(program: str, tmp_path: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program, str(free_port())],
        capture_output=True, text=True, timeout=30, check=False,
        env=os.environ | {"RUNTIME_DIRECTORY": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_one_process_counts_requests_seconds_and_computed_gauges(tmp_path: Path) -> None:
    text = run(ONE_PROCESS, tmp_path)
    assert 'postvouch_requests_total{answer="found",daemon="map",table="alias"} 2.0' in text
    assert 'postvouch_seconds_count{daemon="map"} 303.0' in text
    assert 'postvouch_snapshot_age_seconds{daemon="map"} 12.5' in text
    assert 'postvouch_config_ok{daemon="map"} 0.0' in text


def test_labels_are_bounded_whatever_comes(tmp_path: Path) -> None:
    text = run(ONE_PROCESS, tmp_path)
    assert 'answer="other"' in text
    assert "stranger" not in text
    codes = [line for line in text.splitlines() if line.startswith("postvouch_messages_total")]
    assert len(codes) == metrics.MAX_WORDS + 1
    assert 'postvouch_messages_total{action="accept",code="other",daemon="map"} 250.0' in text


def test_forked_workers_are_counted_together_even_after_they_died(tmp_path: Path) -> None:
    text = run(FORKED, tmp_path)
    assert 'postvouch_messages_total{action="accept",code="ok",daemon="verify"} 3.0' in text
    assert 'postvouch_results_total{daemon="verify",method="spf",result="pass"} 3.0' in text
    assert 'postvouch_results_total{daemon="verify",method="dkim",result="pass"} 3.0' in text
    assert 'postvouch_results_total{daemon="verify",method="arc",result="fail"} 3.0' in text
    assert 'postvouch_would_total{action="reject",code="spoof",daemon="verify"} 3.0' in text
    assert 'postvouch_worker_deaths_total{daemon="verify"} 3.0' in text
    assert 'postvouch_config_ok{daemon="verify"} 1.0' in text
    assert 'later_config_ok{daemon="verify"} 0.0' in text


def test_the_shared_directory_is_private_and_removed(tmp_path: Path) -> None:
    assert "removed True" in run(FORKED, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("address", ["", "9471", ":9471", "host:", "host:http", "host:99999", "host:²"])
def test_an_address_that_is_none_is_a_value_error(address: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        metrics.split_address(address)


def test_addresses_of_both_families_are_taken_apart() -> None:
    assert metrics.split_address("127.0.0.1:9471") == ("127.0.0.1", 9471)
    assert metrics.split_address("[::1]:9471") == ("::1", 9471)


def test_outcomes_of_forwards_are_counted() -> None:
    code = (
        "from postvouch.host.metrics import Metrics\n"
        "from prometheus_client import generate_latest\n"
        "m = Metrics('sign')\n"
        "m.results([('outcome', 'will-fail'), ('outcome', 'dkim'), ('outcome', 'dkim')], 'not-ours')\n"
        "print(generate_latest(m._registry).decode())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'postvouch_forward_outcome_total{daemon="sign",outcome="dkim"} 2.0' in done.stdout
    assert 'postvouch_forward_outcome_total{daemon="sign",outcome="will-fail"} 1.0' in done.stdout
