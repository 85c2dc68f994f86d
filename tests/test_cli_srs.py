"""postvouch srs."""

import json

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
    assert run(["srs", "reverse", "SRS0=AAAA=JM=far.example=mara@our.example", *standalone, *NOW]) == 1
    assert "forged" in capsys.readouterr().err
    run(["srs", "forward", "mara@far.example", *standalone, *NOW])
    wrapped = printed(capsys)
    assert run(["srs", "reverse", wrapped, *standalone, "--now", str(1795435260 + 30 * 86400)]) == 1
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
