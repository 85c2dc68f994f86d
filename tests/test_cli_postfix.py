"""postvouch postfix, played against the real postconf(1) in a folder of its own; nothing is started."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from postfixfiles import ENV, PATH, Host

from postvouch.cli import postfix as verb
from postvouch.config.wiring import ROLES
from postvouch.host.postfix import Postfix, unanswered


@pytest.fixture(scope="module", autouse=True)
def _postconf() -> None:
    if shutil.which("postconf", path=PATH) is None:
        text = "postconf(1) is missing: apt-get install postfix (it need not run)"
        if os.environ.get("POSTVOUCH_NO_SERVERS") == "1":
            pytest.skip(text)
        pytest.fail(text)


@pytest.fixture
def host(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Host:
    return Host(tmp_path, capsys)


def test_check_reports_drift_with_1_and_changes_nothing(host: Host) -> None:
    before = host.octets()
    done = host.run("--check")
    assert done.status == 1
    assert "+relay_domains = our.example" in done.out.splitlines()
    assert host.octets() == before
    assert not host.record.exists()


@pytest.mark.parametrize("role", ROLES)
def test_a_role_once_applied_is_in_place_and_applying_again_changes_no_octet(host: Host, role: str) -> None:
    host.configure(role)
    host.apply()
    once = host.octets()
    assert "A comment that must survive" in once[0].decode()
    assert "a comment that must survive" in once[1].decode()
    assert host.run("--check").status == 0
    assert "nothing to change" in host.apply()
    assert host.octets() == once


@pytest.mark.parametrize("role", ROLES)
def test_postconf_has_nothing_to_say_about_what_was_written(host: Host, role: str) -> None:
    host.configure(role, 'more_milters = ["{ inet:127.0.0.1:11332, default_action=accept }"]\n')
    host.apply()
    done = subprocess.run(
        ["postconf", "-c", str(host.postfix_dir), "-n"], capture_output=True, text=True, check=True, env=ENV
    )
    assert done.stderr == ""
    done = subprocess.run(
        ["postconf", "-c", str(host.postfix_dir), "-M"], capture_output=True, text=True, check=True, env=ENV
    )
    assert done.stderr == ""


@pytest.mark.parametrize("role", ROLES)
def test_remove_brings_back_what_was_there(host: Host, role: str) -> None:
    host.configure(role)
    before = Postfix(host.postfix_dir).settings()
    host.apply()
    assert host.run("--remove", "--files-only").status == 0
    after = Postfix(host.postfix_dir).settings()
    assert after.main == before.main
    assert {name: " ".join(line.split()) for name, line in after.services.items()} == {
        name: " ".join(line.split()) for name, line in before.services.items()
    }
    assert not host.record.exists()


def test_remove_works_without_our_configuration(host: Host) -> None:
    host.apply()
    (host.folder / "postvouch.toml").unlink()
    assert host.run("--remove", "--files-only").status == 0
    assert "postvouch" not in (host.postfix_dir / "main.cf").read_text()


def test_remove_where_nothing_was_applied_says_so(host: Host) -> None:
    before = host.octets()
    done = host.run("--remove", "--files-only")
    assert (done.status, host.octets()) == (0, before)
    assert "not wired by us" in done.out


def test_a_setting_that_was_changed_after_us_survives_removal(host: Host) -> None:
    host.apply()
    host.edit("relay_domains = our.example, new.example")
    done = host.run("--remove", "--files-only")
    assert host.main()["relay_domains"] == "our.example, new.example"
    assert "relay_domains: changed since" in done.err


def test_another_role_takes_back_what_only_the_former_one_needed(host: Host) -> None:
    host.apply()
    host.configure("submission")
    host.apply()
    main = host.main()
    assert "relay_recipient_maps" not in main
    assert "submissions/inet" in Postfix(host.postfix_dir).settings().services
    assert host.run("--check").status == 0
    host.run("--remove", "--files-only")
    assert host.main()["mydestination"] == "$myhostname, localhost"
    assert "smtpd_milters" not in host.main()


def test_what_was_pasted_by_hand_does_not_come_back_on_removal(host: Host) -> None:
    for line in host.run("--print").out.splitlines():
        host.edit(line)
    assert host.run("--check").status == 0
    host.apply()
    host.run("--remove", "--files-only")
    assert "postvouch/" not in " ".join(host.main().values())


def test_submission_closes_port_25_and_opens_465_and_587(host: Host) -> None:
    host.configure("submission")
    host.apply()
    services = Postfix(host.postfix_dir).settings().services
    assert {name for name in services if name.endswith("/inet")} == {"submissions/inet", "submission/inet"}
    assert "smtpd_tls_wrappermode=yes" in services["submissions/inet"]
    assert "smtpd_tls_security_level=encrypt" in services["submission/inet"]
    host.run("--remove", "--files-only")
    assert set(Postfix(host.postfix_dir).settings().services) >= {"smtp/inet", "smtp/unix"}


def test_the_role_of_the_daemons_and_of_postfix_must_be_one(host: Host) -> None:
    before = host.octets()
    done = host.run("--role", "srs", "--apply", "--files-only")
    assert done.status == 78
    assert 'general.role is "mx"' in done.err
    assert host.octets() == before


def test_an_unconfigured_host_is_asked_for_its_role(host: Host) -> None:
    (host.folder / "postvouch.toml").write_text("")
    assert host.run("--check").status == 64
    done = host.run("--check", "--role", "relay")
    assert done.status == 78
    assert "general.domains" in done.err


def test_a_broken_names_file_stops_the_wiring(host: Host) -> None:
    (host.folder / "names.d" / "all.yaml").write_text("domains: [")
    done = host.run("--apply", "--files-only")
    assert done.status == 78
    assert "all.yaml:" in done.err


def test_a_record_that_others_may_write_is_not_followed(host: Host) -> None:
    host.apply()
    host.record.chmod(0o666)
    before = host.octets()
    done = host.run("--remove", "--files-only")
    assert done.status == 69
    assert "others may write it" in done.err
    assert host.octets() == before


def test_a_record_behind_a_symlink_is_not_followed(host: Host) -> None:
    host.apply()
    host.record.rename(host.folder / "elsewhere.json")
    host.record.symlink_to(host.folder / "elsewhere.json")
    assert host.run("--remove", "--files-only").status == 69


def test_a_record_is_kept_for_root_alone(host: Host) -> None:
    host.apply()
    assert host.record.stat().st_mode & 0o777 == 0o600


def test_postfix_is_never_wired_to_daemons_that_do_not_listen(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = f"unix:{host.folder}/queue/verify.sock"
    before = host.octets()
    monkeypatch.setattr(verb, "systemd_runs", lambda: False)
    monkeypatch.setattr(verb, "PATIENCE_S", 0.0)
    (host.postfix_dir / "main.cf").write_bytes(before[0] + f"queue_directory = {host.folder}\n".encode())
    before = host.octets()
    text = (host.folder / "postvouch.toml").read_text()
    text = text.replace(
        "[map]", f'[verify]\nsocket = "{place}"\n[map]\nsocket = "unix:{host.folder}/queue/map.sock"'
    )
    (host.folder / "postvouch.toml").write_text(text)
    done = host.run("--apply")
    assert done.status == 69
    assert place in done.err
    assert host.octets() == before
    assert not host.record.exists()


def test_only_sockets_with_a_listener_count_as_answered(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as alive, socket.socket() as tcp:
        alive.bind(str(tmp_path / "alive"))
        alive.listen()
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(tmp_path / "dead"))
        good = [f"unix:{tmp_path}/alive", f"inet:127.0.0.1:{tcp.getsockname()[1]}"]
        bad = [f"unix:{tmp_path}/dead", f"unix:{tmp_path}/none", "inet:127.0.0.1:1"]
        assert unanswered([*good, *bad], patience_s=0) == bad


def test_a_folder_without_main_cf_is_an_error_and_no_traceback(host: Host) -> None:
    (host.postfix_dir / "main.cf").unlink()
    done = host.run("--check")
    assert done.status == 69
    assert "main.cf" in done.err


@pytest.mark.parametrize(
    "name, answer",
    [
        ("lists-01.our.example", "OK"),
        ("a.crm.our.example", "OK"),
        ("x.lists-01.our.example", ""),
        ("crm.our.example", ""),
        ("listsx01.our.example", ""),
        ("lists-01.our.example.evil.example", ""),
        ("unknown", ""),
    ],
)
def test_postfix_reads_the_hosts_given_by_name_as_we_do(host: Host, name: str, answer: str) -> None:
    host.configure("relay")
    path = host.folder / "postvouch.toml"
    path.write_text(
        path.read_text().replace('"192.0.2.7/32"]', '"lists-01.our.example", ".crm.our.example"]')
    )
    host.apply()
    ask = ["postconf", "-c", str(host.postfix_dir), "-hx", "smtpd_client_restrictions"]
    said = subprocess.run(ask, capture_output=True, text=True, check=True, env=ENV).stdout
    table = said[said.index("regexp:") : said.rindex(", reject")]
    ask = ["postmap", "-c", str(host.postfix_dir), "-q", name, table]
    done = subprocess.run(ask, capture_output=True, text=True, check=False, env=ENV)
    assert (done.stdout.strip(), done.stderr) == (answer, "")
