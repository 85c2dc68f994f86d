"""postvouch-map as Postfix sees it: the real daemon, asked over its socket."""

import contextlib
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from names import NAMES
from servers import (
    Process,
    ask,
    ask_again,
    connect,
    daemon,
    free_port,
    program,
    read_netstring,
    wait_for,
)

MODULE = "policyd.maps"
SECRET = "tops3cret\n"


class Home:
    """The files of one host below a folder."""

    def __init__(self, folder: Path, role: str) -> None:
        self.folder = folder
        self.config = folder / "postvouch.toml"
        self.names = folder / "names.yaml"
        self.secrets = folder / "secrets"
        self.socket = folder / "map.sock"
        self.metrics = free_port()
        self.names.write_text(NAMES)
        self.secret(SECRET)
        self.write(role)

    def secret(self, text: str) -> None:
        self.secrets.write_text(text)
        self.secrets.chmod(0o640)

    def write(self, role: str, more: str = "") -> None:
        self.config.write_text(f"""
[general]
role = "{role}"
domains = ["our.example", "old.example"]
[map]
socket = "unix:{self.socket}"
metrics = "127.0.0.1:{self.metrics}"
names = ["{self.names}"]
snapshot = "{self.folder}/directory.snapshot"
forward_transport = "smtp:[srs.our.example]"
[srs]
secrets_file = "{self.secrets}"
{more}
""")


def started(folder: Path, role: str) -> Iterator[tuple[Home, Process]]:
    home = Home(folder, role)
    with daemon(MODULE, home.config) as process:
        yield home, process


@pytest.fixture(scope="module")
def mx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Home, Process]]:
    yield from started(tmp_path_factory.mktemp("mx"), "mx")


@pytest.fixture(scope="module")
def srs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Home, Process]]:
    yield from started(tmp_path_factory.mktemp("srs"), "srs")


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[tuple[Home, Process]]:
    yield from started(tmp_path, "mx")


def test_one_connection_serves_all_maps(mx: tuple[Home, Process]) -> None:
    home, _ = mx
    answers = {
        "alias grants@our.example": "OK alice@our.example",
        "recipients Alice+x@our.example": "OK OK",
        "transport alice@our.example": "OK smtp:[srs.our.example]",
        "alias-domain old.example": "OK our.example",
        "alias-domain carol@old.example": "OK carol@our.example",
        "owners grants@our.example": "OK alice,bob",
        "recipients nobody@our.example": "NOTFOUND ",
        "forward alice@our.example": "NOTFOUND ",
        'srs-reverse ""': "NOTFOUND ",
        "transport *": "NOTFOUND ",
    }
    assert ask(home.socket, *answers) == list(answers.values())


def test_srs_goes_out_on_srs_and_comes_home_on_mx(
    mx: tuple[Home, Process], srs: tuple[Home, Process]
) -> None:
    (wrapped,) = ask(srs[0].socket, "srs-forward Mara@far.example")
    assert wrapped.startswith("OK SRS0=")
    assert wrapped.endswith("=far.example=Mara@our.example")
    address = wrapped.removeprefix("OK ")
    for home, _ in (mx, srs):
        assert ask(home.socket, f"srs-reverse {address}", f"srs-reverse {address.lower()}") == [
            "OK Mara@far.example", "OK mara@far.example"
        ]  # fmt: skip
    assert ask(srs[0].socket, f"srs-forward {address}", "srs-forward bob@old.example", 'srs-forward ""') == [
        "NOTFOUND ", "NOTFOUND ", "NOTFOUND "
    ]  # fmt: skip
    assert ask(mx[0].socket, "srs-forward Mara@far.example") == ["NOTFOUND "]


def test_a_forged_srs_address_is_not_found_and_the_log_says_why(mx: tuple[Home, Process]) -> None:
    home, process = mx
    forged, foreign = "SRS0=aaaa=AA=far.example=x@our.example", "SRS0=aaaa=AA=far.example=x@other.example"
    assert ask(home.socket, f"srs-reverse {forged}", f"srs-reverse {foreign}") == ["NOTFOUND ", "NOTFOUND "]
    process.says("answer=refused, reason=forged SRS0 address")
    assert foreign not in process.text()


def test_metrics_count_answers_by_map_and_show_the_age(mx: tuple[Home, Process]) -> None:
    home, _ = mx
    ask(home.socket, "recipients counted@our.example")
    with urllib.request.urlopen(f"http://127.0.0.1:{home.metrics}/metrics", timeout=5) as response:
        text = response.read().decode()
    assert 'answer="not-found"' in text
    assert 'table="recipients"' in text
    (age,) = [line for line in text.splitlines() if line.startswith("postvouch_directory_age_seconds{")]
    assert 0 <= float(age.split()[1]) < 300


def test_malformed_requests_get_an_answer_and_the_connection_stays(mx: tuple[Home, Process]) -> None:
    with connect(mx[0].socket) as client:
        assert ask_again(client, "nothing-here").startswith("PERM ")
        assert ask_again(client, "QUERYwithTLSRPT our.example").startswith("TEMP ")
        assert ask_again(client, "alias \udce9@our.example") == "NOTFOUND "
        assert ask_again(client, "alias " + "x" * 90000) == "NOTFOUND "
        assert ask_again(client, "alias grants@our.example") == "OK alice@our.example"


def test_broken_clients_are_cut_and_others_do_not_notice(mx: tuple[Home, Process]) -> None:
    home, _ = mx
    with connect(home.socket) as idle, connect(home.socket) as half:
        half.sendall(b"20:alias gra")
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"99999999999:", b"-1:x,", b"3:abcd", b"\0" * 1000):
            with connect(home.socket) as client:
                client.sendall(garbage)
                with contextlib.suppress(ConnectionResetError):
                    assert client.recv(100) == b""
        assert ask_again(idle, "alias grants@our.example") == "OK alice@our.example"


def test_a_reload_takes_new_names_and_keeps_old_connections(fresh: tuple[Home, Process]) -> None:
    home, process = fresh
    with connect(home.socket) as client:
        assert ask_again(client, "recipients dave@our.example") == "NOTFOUND "
        home.names.write_text(NAMES.replace("forwards:", "forwards:\n  dave: d@far.example"))
        process.send(signal.SIGHUP)
        process.says("reloaded")
        wait_for(lambda: ask_again(client, "recipients dave@our.example") == "OK OK", "dave is known")


def test_a_reload_with_a_bad_configuration_keeps_the_old_one_and_says_every_problem(
    fresh: tuple[Home, Process],
) -> None:
    home, process = fresh
    good = home.config.read_text()
    home.config.write_text(good.replace('role = "mx"', 'role = "mix"\nfoo = 1'))
    process.send(signal.SIGHUP)
    process.says("reload refused")
    assert "foo" in process.text()
    assert "mix" in process.text()
    home.secrets.unlink()
    home.config.write_text(good)
    process.send(signal.SIGHUP)
    wait_for(lambda: process.text().count("reload refused") == 2, "the second refusal")
    assert "secrets: No such file" in process.text()
    assert ask(home.socket, "alias grants@our.example") == ["OK alice@our.example"]
    assert ask(home.socket, "srs-reverse SRS0=aaaa=AA=far.example=x@our.example") == ["NOTFOUND "]


def test_without_secrets_srs_addresses_are_deferred_and_all_else_is_answered(tmp_path: Path) -> None:
    home = Home(tmp_path, "srs")
    home.secrets.unlink()
    with daemon(MODULE, home.config) as process:
        assert "SRS addresses are deferred" in process.text()
        answers = ask(
            home.socket, "srs-reverse SRS0=aaaa=AA=far.example=x@our.example", "srs-forward x@far.example",
            "srs-reverse alice@our.example", "srs-forward alice@our.example", "forward alice@our.example",
        )  # fmt: skip
    assert [answer.split()[0] for answer in answers] == ["TEMP", "TEMP", "NOTFOUND", "NOTFOUND", "OK"]


def test_without_a_role_every_lookup_is_not_found(tmp_path: Path) -> None:
    home = Home(tmp_path, "")
    home.secrets.unlink()
    with daemon(MODULE, home.config):
        names = ("alias", "forward", "owners", "recipients", "transport", "alias-domain", "srs-forward")
        queries = [f"{name} alice@our.example" for name in names]
        assert ask(home.socket, *queries) == ["NOTFOUND "] * 7


def test_broken_names_at_the_first_start_defer_our_mail_and_nobody_elses(tmp_path: Path) -> None:
    home = Home(tmp_path, "mx")
    home.names.write_text("forwards: {alice: [")
    with daemon(MODULE, home.config) as process:
        process.says(f"{home.names}:1: not YAML")
        answers = ask(
            home.socket, "recipients alice@our.example", "alias x@far.example", "alias-domain old.example"
        )
    assert [answer.split()[0] for answer in answers] == ["TEMP", "NOTFOUND", "TEMP"]


def test_every_lookup_is_a_log_line_when_debugging_and_none_is_otherwise(tmp_path: Path) -> None:
    home = Home(tmp_path, "mx")
    with daemon(MODULE, home.config) as process:
        ask(home.socket, "alias grants@our.example")
        home.write("mx", "[log]\ndebug = true")
        process.send(signal.SIGHUP)
        process.says("reloaded")
        assert "map=alias" not in process.text()
        ask(home.socket, "alias grants@our.example")
        process.says("map=alias, key=grants@our.example, answer=found, reason=ok, ms=")


def test_a_restart_between_two_requests_loses_nothing(tmp_path: Path) -> None:
    home = Home(tmp_path, "mx")
    for _ in range(2):
        with daemon(MODULE, home.config) as process:
            with connect(home.socket) as client:
                assert ask_again(client, "alias grants@our.example") == "OK alice@our.example"
            assert process.stop() == 0
            assert "stopped" in process.text()
        assert not home.socket.exists()


def test_a_killed_daemon_leaves_a_socket_that_the_next_one_replaces(tmp_path: Path) -> None:
    home = Home(tmp_path, "mx")
    with daemon(MODULE, home.config) as process:
        process.stop(signal.SIGKILL)
        assert home.socket.exists()
    home.names.write_text("now: [broken")  # the snapshot outlives the daemon
    with daemon(MODULE, home.config):
        assert ask(home.socket, "alias grants@our.example") == ["OK alice@our.example"]


def test_a_second_daemon_on_the_same_socket_ends_and_the_first_goes_on(mx: tuple[Home, Process]) -> None:
    home, _ = mx
    command = [sys.executable, "-m", f"postvouch.{MODULE}", "--config", str(home.config)]
    second = Process(command, home.folder / "second.log")
    assert second.popen.wait(20) == 71
    assert "cannot listen" in second.text()
    assert ask(home.socket, "alias grants@our.example") == ["OK alice@our.example"]


def test_a_bad_configuration_ends_with_78(tmp_path: Path) -> None:
    config = tmp_path / "bad.toml"
    config.write_text("[general]\nrole = 7\n")
    process = Process(
        [sys.executable, "-m", f"postvouch.{MODULE}", "--config", str(config)], tmp_path / "log"
    )
    assert process.popen.wait(20) == 78
    assert f"{config}:2: " in process.text()


def test_systemd_is_told_of_ready_reloading_and_stopping(tmp_path: Path) -> None:
    home = Home(tmp_path, "mx")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(10)
        with daemon(MODULE, home.config, NOTIFY_SOCKET=str(tmp_path / "notify")) as process:
            assert systemd.recv(1000).startswith(b"READY=1")
            process.send(signal.SIGHUP)
            assert systemd.recv(1000).startswith(b"RELOADING=1")
            assert systemd.recv(1000).startswith(b"READY=1")
            begun = time.monotonic()
            assert process.stop() == 0
            assert time.monotonic() - begun < 3
            assert systemd.recv(1000) == b"STOPPING=1"


MALFORMED = (
    "", "@", "@our.example", "a@b@our.example", '"a@our.example', 'a"b@our.example', "a b@our.example",
    "\0@our.example", "a\r\n@our.example", "\udce9@our.example", "a@our..example", "a@\udcff", " ",
    "x" * 9_990 + "@our.example", "x" * 90_000, "a@" + "b." * 5_000, "<>", '""', "a@[192.0.2.1]",
)  # fmt: skip


def test_a_malformed_key_is_not_found_in_every_map(
    mx: tuple[Home, Process], srs: tuple[Home, Process]
) -> None:
    names = ("alias", "forward", "alias-domain", "transport", "owners", "recipients", "srs-reverse")
    for home, _ in (mx, srs):
        queries = [f"{name} {key}" for name in names for key in MALFORMED]
        assert dict(zip(queries, ask(home.socket, *queries), strict=True)) == dict.fromkeys(
            queries, "NOTFOUND "
        )


def test_unknown_requests_get_a_reason_and_the_connection_stays(mx: tuple[Home, Process]) -> None:
    with connect(mx[0].socket) as client:
        for request in ("QUERYwithTLSRPT far.example", "virtual bob@our.example", "ALIAS grants@our.example"):
            assert ask_again(client, request).startswith("TEMP no map is named ")
        assert ask_again(client, "alias grants@our.example") == "OK alice@our.example"


def test_requests_in_one_piece_or_cut_anywhere_are_answered_in_order(mx: tuple[Home, Process]) -> None:
    asked = [b"alias grants@our.example", b"recipients nobody@our.example", b"owners grants@our.example"]
    wanted = [b"OK alice@our.example", b"NOTFOUND ", b"OK alice,bob"]
    stream = b"".join(b"%d:%b," % (len(each), each) for each in asked)
    with connect(mx[0].socket) as client:
        for cut in range(len(stream) + 1):
            for piece in (stream[:cut], stream[cut:]):
                client.sendall(piece)
            assert [read_netstring(client) for _ in asked] == wanted
        client.sendall(stream * 200)
        assert [read_netstring(client) for _ in range(600)] == wanted * 200


def test_several_hundred_connections_are_served_at_once(mx: tuple[Home, Process]) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(mx[0].socket)) for _ in range(400)]
        for client in clients:
            client.sendall(b"24:alias grants@our.example,")
        assert {read_netstring(client) for client in clients} == {b"OK alice@our.example"}


def test_an_alias_too_long_for_postfix_is_a_temporary_failure_with_its_reason(tmp_path: Path) -> None:
    home = Home(tmp_path, "srs")
    targets = ", ".join(f"{'x' * 60}{n}@{'y' * 60}.far.example" for n in range(900))
    home.names.write_text(f"domains: {{our.example: primary}}\nforwards: {{crowd: [{targets}]}}\n")
    with daemon(MODULE, home.config) as process:
        (answer,) = ask(home.socket, "forward crowd@our.example")
        assert answer == "TEMP the value found is longer than 100000 octets"
        process.says("answer=unavailable, reason=the value found is longer than 100000 octets")


def test_postfix_itself_finds_what_the_daemon_says(fresh: tuple[Home, Process]) -> None:
    home, _ = fresh
    postmap = program("postmap", "postfix")

    def query(name: str, key: str, where: str) -> tuple[int, str]:
        folder = home.folder / "postfix"
        folder.mkdir(exist_ok=True)
        (folder / "main.cf").write_text("compatibility_level = 3.6\n")
        done = subprocess.run(
            [postmap, "-c", str(folder), "-q", key, f"socketmap:{where}:{name}"],
            capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip
        assert not done.stderr, done.stderr
        return done.returncode, done.stdout

    unix = f"unix:{home.socket}"
    assert query("alias", "grants@our.example", unix) == (0, "alice@our.example\n")
    assert query("alias", "Grants+x@OLD.example", unix) == (0, "alice@our.example\n")
    assert query("recipients", "nobody@our.example", unix) == (1, "")
    assert query("alias", "a@b@our.example", unix) == (1, "")
    assert query("forward", "alice@our.example", unix) == (1, "")


def test_the_maps_are_served_over_tcp_as_well(tmp_path: Path) -> None:
    home, port = Home(tmp_path, "mx"), free_port()
    home.config.write_text(home.config.read_text().replace(f"unix:{home.socket}", f"inet:127.0.0.1:{port}"))
    with daemon(MODULE, home.config), socket.create_connection(("127.0.0.1", port), 10) as client:
        assert ask_again(client, "alias grants@our.example") == "OK alice@our.example"


def test_hits_in_old_names_are_counted_as_stale(tmp_path: Path) -> None:
    home = Home(tmp_path, "mx")
    with daemon(MODULE, home.config):
        ask(home.socket, "alias grants@our.example")
    home.config.write_text(home.config.read_text().replace("[map]", '[map]\nsoft_age = "0s"'))
    home.names.write_text("now: [broken")  # so that what the snapshot says stays, and grows old
    with daemon(MODULE, home.config):
        ask(home.socket, "alias grants@our.example", "alias nobody@our.example")
        with urllib.request.urlopen(f"http://127.0.0.1:{home.metrics}/metrics", timeout=5) as response:
            text = response.read().decode()
    assert 'postvouch_requests_total{answer="stale",daemon="map",table="alias"} 1.0' in text
    assert 'postvouch_requests_total{answer="not-found",daemon="map",table="alias"} 1.0' in text
