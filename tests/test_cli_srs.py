"""postvouch srs."""

import json
import os
import re
import time

import pytest

from postvouch.cli.main import run

NOW = ["--now", "1795435260"]


@pytest.fixture
def standalone(tmp_path):
    """The options with which no configuration is read."""
    secrets = tmp_path / "srs.secrets"
    secrets.write_text("first\nsecond\n")
    secrets.chmod(0o600)
    return ["--secret-file", str(secrets), "--domain", "our.example"]


def printed(capsys):
    return capsys.readouterr().out.strip()


def test_there_and_back_without_any_configuration(standalone, capsys):
    assert run(["srs", "forward", "Mara@far.example", *standalone, *NOW]) == 0
    wrapped = printed(capsys)
    assert wrapped.startswith("SRS0=")
    assert wrapped.endswith("=JM=far.example=Mara@our.example")
    assert run(["srs", "reverse", wrapped, *standalone, *NOW]) == 0
    assert printed(capsys) == "Mara@far.example"


def test_what_stays_as_it_is_prints_nothing_and_is_1(standalone, capsys):
    assert run(["srs", "forward", "bob@our.example", *standalone]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "ours" in shown.err


def test_a_forged_and_an_expired_address_are_refused_with_the_reason(standalone, capsys):
    assert run(["srs", "reverse", "SRS0=AAAA=JM=far.example=mara@our.example", *standalone, *NOW]) == 65
    assert "forged" in capsys.readouterr().err
    run(["srs", "forward", "mara@far.example", *standalone, *NOW])
    wrapped = printed(capsys)
    assert run(["srs", "reverse", wrapped, *standalone, "--now", str(1795435260 + 30 * 86400)]) == 65
    assert "expired" in capsys.readouterr().err


def test_json_has_the_answer_and_its_reason(standalone, capsys):
    assert run(["srs", "reverse", "mara@far.example", "--json", *standalone]) == 1
    data = json.loads(capsys.readouterr().out)
    assert (data["answer"], data["value"]) == ("not-found", None)


def test_the_configuration_gives_domain_and_secrets(tmp_path, capsys):
    (tmp_path / "s").write_text("x\n")
    (tmp_path / "s").chmod(0o640)
    path = tmp_path / "postvouch.toml"
    path.write_text(
        f'[general]\ndomains = ["our.example"]\n[srs]\nsecrets_file = "{tmp_path}/s"\nseparator = "+"\n'
    )
    assert run(["srs", "forward", "mara@far.example", "--config", str(path)]) == 0
    assert printed(capsys).startswith("SRS0+")


def test_missing_secrets_are_69_and_a_bad_domain_is_wrong_usage(standalone, tmp_path, capsys):
    assert (
        run(["srs", "forward", "a@far.example", "--secret-file", f"{tmp_path}/none", *standalone[2:]]) == 69
    )
    assert run(["srs", "forward", "a@far.example", *standalone[:2], "--domain", "no domain"]) == 64
    assert "--domain" in capsys.readouterr().err


def test_secrets_are_long_and_never_the_same(capsys):
    assert run(["srs", "genkey"]) == 0
    one = printed(capsys)
    assert run(["srs", "genkey"]) == 0
    assert len(one) >= 40
    assert one != printed(capsys)


def rows(capsys):
    return dict(re.split(r"  +", line, maxsplit=1) for line in capsys.readouterr().out.splitlines()[1:])


def test_an_address_is_explained(standalone, capsys):
    run(["srs", "forward", "Mara@far.example", *standalone, *NOW])
    wrapped = printed(capsys)
    later = ["--now", str(int(NOW[1]) + 5 * 86400)]
    assert run(["srs", "explain", wrapped, *standalone, *later]) == 0
    said = rows(capsys)
    assert said["answer"] == "found"
    assert said["original"] == "Mara@far.example"
    assert said["made on"] == "2026-11-23, 5 days ago, 16 days left"
    assert said["hash"].startswith("by secret 1 (")
    assert run(["srs", "explain", wrapped.lower(), *standalone, *later]) == 0
    assert "in another case" in rows(capsys)["hash"]
    late = ["--now", str(int(NOW[1]) + 30 * 86400)]
    assert run(["srs", "explain", wrapped, *standalone, *late]) == 65
    said = rows(capsys)
    assert said["answer"] == "refused: expired SRS0 address: 30 days old"
    assert said["made on"].endswith("9 days too old")


def test_a_forged_address_and_a_second_hop_are_explained_too(standalone, capsys):
    assert run(["srs", "explain", "SRS0=AAAA=JM=far.example=mara@our.example", *standalone, *NOW]) == 65
    said = rows(capsys)
    assert said["sender"] == "mara@far.example"
    assert said["hash"].startswith("by none of our secrets (")
    run(["srs", "forward", "SRS0=aaaa=JM=a.example=m@far.example", *standalone, *NOW])
    wrapped = printed(capsys)
    assert run(["srs", "explain", wrapped, "--json", *standalone, *NOW]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["tag"], data["domain"], data["secret"]) == ("SRS1", "far.example", 1)
    assert data["original"] == "SRS0=aaaa=JM=a.example=m@far.example"
    assert run(["srs", "explain", "mara@far.example", *standalone]) == 1
    assert run(["srs", "explain", "not an address", *standalone]) == 1


@pytest.fixture
def host(tmp_path):
    """A host with a secret, and the options that name its configuration."""
    (tmp_path / "s").write_text("the first\n")
    (tmp_path / "s").chmod(0o640)
    path = tmp_path / "postvouch.toml"
    path.write_text(f'[general]\ndomains = ["our.example"]\n[srs]\nsecrets_file = "{tmp_path}/s"\n')
    return ["--config", str(path)]


def test_a_secret_is_replaced_in_three_steps_and_bounces_come_home_all_the_time(host, tmp_path, capsys):
    file = tmp_path / "s"

    def reverses(address):
        return run(["srs", "reverse", address, *host]) == 0

    assert run(["srs", "rotate", "use", *host]) == 65
    assert run(["srs", "rotate", "drop", *host]) == 65
    run(["srs", "forward", "mara@far.example", *host])
    old = printed(capsys)
    assert run(["srs", "rotate", "add", "--dry-run", "--json", *host]) == 0
    assert len(json.loads(capsys.readouterr().out)["fingerprints"]) == 2
    assert file.read_text() == "the first\n"
    assert run(["srs", "rotate", "add", *host]) == 0
    assert file.stat().st_mode & 0o777 == 0o640
    first, second = file.read_text().splitlines()
    assert first == "the first"
    assert run(["srs", "rotate", "use", *host]) == 0
    assert file.read_text().splitlines() == [second, first]
    capsys.readouterr()
    run(["srs", "forward", "mara@far.example", *host])
    new = printed(capsys)
    assert new != old
    assert reverses(old)
    assert reverses(new)
    assert run(["srs", "rotate", "drop", *host]) == 65
    assert "bounces may come back" in capsys.readouterr().err
    os.utime(file, (time.time() - 22 * 86400,) * 2)
    assert run(["srs", "rotate", "drop", *host]) == 0
    assert file.read_text().splitlines() == [second]
    assert reverses(new)
    assert not reverses(old)
    assert [each.name for each in tmp_path.iterdir()].count("s") == 1


def test_the_status_shows_fingerprints_and_no_secret(host, tmp_path, capsys):
    run(["srs", "rotate", "add", *host])
    capsys.readouterr()
    assert run(["srs", "status", *host]) == 0
    shown = capsys.readouterr().out
    assert "the first" not in shown
    assert run(["srs", "status", "--json", *host]) == 0
    data = json.loads(capsys.readouterr().out)
    assert len(set(data["fingerprints"])) == 2
    assert all(each in shown for each in data["fingerprints"])
    assert data["domains"] == ["our.example"]
    (tmp_path / "s").unlink()
    assert run(["srs", "status", *host]) == 69
