"""Long senders through the real postvouch-map: kept, found elsewhere, deferred while the store is away."""

import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from names import NAMES
from redisserver import Server, command
from servers import REPO, Process, ask, daemon, free_port, wait_for

LONG = "a.very.long.local.part.that.some.list.software.made+of=somebody@far.example"
QUOTED = '"a sender of many words, with \\"quotes\\" and blanks, and é, and on"@far.example'


class Host:
    """One host with postvouch-map."""

    def __init__(self, folder: Path, role: str, more: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.role = role
        self.config = folder / "postvouch.toml"
        self.socket = folder / "map.sock"
        self.metrics = free_port()
        (folder / "secrets").write_text("tops3cret\n")
        (folder / "secrets").chmod(0o640)
        (folder / "names.yaml").write_text(NAMES)
        self.write(more)

    def write(self, more: str) -> None:
        folder = self.config.parent
        self.config.write_text(f"""
[general]
role = "{self.role}"
domains = ["our.example", "old.example"]
[map]
socket = "unix:{self.socket}"
metrics = "127.0.0.1:{self.metrics}"
names = ["{folder}/names.yaml"]
snapshot = "{folder}/directory.snapshot"
[srs]
secrets_file = "{folder}/secrets"
{more}
""")

    def ask(self, *queries: str) -> list[str]:
        return ask(self.socket, *queries)

    def counted(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/metrics", timeout=5) as page:
            return str(page.read(), "utf-8")

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        words = [
            sys.executable,
            "-c",
            "from postvouch.cli.main import main; main()",
            *arguments,
            "--config",
            str(self.config),
        ]
        return subprocess.run(words, capture_output=True, text=True, check=False, cwd=REPO, timeout=30)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("redis"), keeps=True)
    yield server
    server.process.stop()


@contextmanager
def closing_of(server: Server) -> Iterator[None]:
    try:
        yield
    finally:
        server.process.stop()


def shared(redis: Server, more: str = "") -> str:
    return (
        f'tokens = "redis"\n{more}\n[redis]\nurl = "{redis.settings().url}"\n'
        f'password_file = "{redis.password()}"\ntimeout = "0.4s"\n'
    )


@contextmanager
def running(folder: Path, role: str, more: str) -> Iterator[tuple[Host, Process]]:
    host = Host(folder, role, more)
    with daemon("policyd.maps", host.config) as process:
        yield host, process


@pytest.fixture(scope="module")
def srs(redis: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with running(tmp_path_factory.mktemp("srs"), "srs", shared(redis)) as (host, _):
        yield host


@pytest.fixture(scope="module")
def mx(redis: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with running(tmp_path_factory.mktemp("mx"), "mx", shared(redis)) as (host, _):
        yield host


def token(host: Host, sender: str = LONG) -> str:
    (said,) = host.ask(f"srs-forward {sender}")
    assert said.startswith("OK SRS0="), said
    assert "=t.invalid=" in said
    return said.removeprefix("OK ")


@pytest.mark.parametrize("sender", [LONG, QUOTED, "é" * 40 + "@far.example"])
def test_two_hosts_with_one_redis_undo_each_others_tokens(srs: Host, mx: Host, sender: str) -> None:
    address = token(srs, sender)
    assert token(srs, sender) == address
    for host in (mx, srs):
        said = host.ask(
            f"srs-reverse {address}", f"srs-reverse {address.lower()}", "srs-reverse x@far.example"
        )
        assert said == [f"OK {sender}", f"OK {sender}", "NOTFOUND "]


def test_answers_stay_in_order_around_one_that_waits(srs: Host) -> None:
    said = srs.ask("srs-forward a@far.example", f"srs-forward {LONG}", "srs-forward b@far.example")
    assert [each.rpartition("=")[2].partition("@")[0] for each in (said[0], said[2])] == ["a", "b"]


def test_a_forged_token_is_refused_without_redis_and_an_unknown_one_with_its_own_reason(
    redis: Server, srs: Host
) -> None:
    address = token(srs, "unknown." + LONG)
    command(redis.port, "DEL", "postvouch:srs:token:" + address.rpartition("=")[2].partition("@")[0])
    forged = address.replace("=t.invalid=", "=t.invalid=x")
    assert srs.ask(f"srs-reverse {forged}", f"srs-reverse {address}") == ["NOTFOUND ", "NOTFOUND "]
    log = srs.config.with_suffix(".policyd.maps.log").read_text()
    assert "unknown SRS token" in log
    assert "forged SRS0 address" in log
    assert 'postvouch_srs_tokens_total{daemon="map",result="unknown"} 1.0' in srs.counted()


def test_a_sender_changed_in_redis_is_not_believed(redis: Server, srs: Host) -> None:
    address = token(srs, "changed." + LONG)
    key = "postvouch:srs:token:" + address.rpartition("=")[2].partition("@")[0]
    command(redis.port, "SET", key, b"eve@far.example".hex())
    assert srs.ask(f"srs-reverse {address}") == ["NOTFOUND "]
    assert "holds another sender" in srs.config.with_suffix(".policyd.maps.log").read_text()


@pytest.mark.parametrize("how", ["stopped", "hanging"])
def test_without_redis_long_senders_are_deferred_and_all_else_goes_on(tmp_path: Path, how: str) -> None:
    redis = Server(tmp_path / "redis", keeps=True)
    with closing_of(redis), running(tmp_path / how, "single", shared(redis)) as (host, _):
        address = token(host)
        if how == "stopped":
            redis.process.stop()
        else:
            redis.process.send(signal.SIGSTOP)
        try:
            said = host.ask(
                f"srs-forward {LONG}", f"srs-reverse {address}", "srs-forward a@far.example",
                "alias grants@our.example",
            )  # fmt: skip
            assert [each.partition(" ")[0] for each in said] == ["TEMP", "TEMP", "OK", "OK"]
            assert all("the store of SRS tokens cannot be asked: redis: " in each for each in said[:2])
            assert host.ask(f"srs-reverse {said[2].removeprefix('OK ')}") == ["OK a@far.example"]
        finally:
            if how == "stopped":
                redis.start()
            else:
                redis.process.send(signal.SIGCONT)
        wait_for(lambda: host.ask(f"srs-reverse {address}") == [f"OK {LONG}"], "redis is asked again", 20)
        assert 'postvouch_srs_tokens_total{daemon="map",result="away"}' in host.counted()


def test_a_domain_with_too_many_tokens_is_deferred_and_others_are_not(tmp_path: Path) -> None:
    redis = Server(tmp_path / "redis")
    with (
        closing_of(redis),
        running(tmp_path / "cap", "srs", shared(redis, "tokens_per_domain = 2")) as (host, _),
    ):
        first = token(host, "1" + LONG)
        token(host, "2" + LONG)
        (said,) = host.ask(f"srs-forward 3{LONG}")
        assert said == "TEMP senders of far.example have 2 SRS tokens already (srs.tokens_per_domain)"
        assert token(host, "1" + LONG) == first
        token(host, LONG.replace("far", "else"))


def test_one_host_keeps_tokens_in_a_file_over_a_restart_and_a_reload(tmp_path: Path) -> None:
    more = f'tokens = "file"\ntoken_file = "{tmp_path}/tokens.db"\n'
    with running(tmp_path / "one", "single", more) as (host, process):
        address = token(host, QUOTED)
        host.write(more.replace("tokens.db", "other.db"))
        process.send(signal.SIGHUP)
        process.says("reloaded")
        assert host.ask(f"srs-reverse {address}") == ["NOTFOUND "]
        assert token(host) != address
    with running(tmp_path / "one", "single", more) as (host, _):
        assert host.ask(f"srs-reverse {address}") == [f"OK {QUOTED}"]
        assert "Traceback" not in process.text()


def test_with_tokens_off_long_senders_stay_and_a_token_that_comes_is_deferred(
    srs: Host, tmp_path: Path
) -> None:
    address = token(srs)
    with running(tmp_path / "off", "srs", "") as (host, _):
        said = host.ask(f"srs-forward {LONG}", f"srs-reverse {address}")
    assert said == ["NOTFOUND ", 'TEMP a token address, but srs.tokens is "off" on this host']


def test_lookup_asks_the_daemon_and_without_it_says_plainly_that_it_cannot(srs: Host) -> None:
    address = token(srs)
    asked = srs.cli("lookup", "srs-reverse", address)
    assert (asked.returncode, asked.stdout) == (0, LONG + "\n")
    alone = srs.cli("lookup", "--local", "srs-reverse", address)
    assert alone.returncode == 75
    assert "ask the daemon, postvouch lookup srs-reverse" in alone.stderr
