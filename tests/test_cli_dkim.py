"""postvouch dkim: a key, its table of the configuration, its record."""

import json
import stat
import tomllib

import dkim
import pytest

from postvouch.cli.main import run
from postvouch.cli.zonefile import ZoneFile


def test_a_key_is_made_and_its_table_can_be_pasted(tmp_path, capsys):
    assert run(["dkim", "genkey", "-d", "Our.Example", "-s", "2026-srs", "-D", str(tmp_path)]) == 0
    table = tomllib.loads(capsys.readouterr().out)["sign"]["key"]
    file = tmp_path / "our.example" / "2026-srs.pem"
    assert table == [{"domain": "our.example", "selector": "2026-srs", "file": str(file)}]
    assert stat.S_IMODE(file.stat().st_mode) in (0o600, 0o640)
    path = tmp_path / "postvouch.toml"
    run(["dkim", "genkey", "-d", "our.example", "-s", "b", "-D", str(tmp_path), "--type", "ed25519"])
    path.write_text(
        '[general]\nrole = "relay"\nhostname = "r.our.example"\ndomains = ["our.example"]\n'
        + capsys.readouterr().out
    )
    assert run(["check", "--config", str(path)]) == 0


def test_a_key_is_never_overwritten(tmp_path, capsys):
    arguments = ["dkim", "genkey", "-d", "our.example", "-s", "a", "-D", str(tmp_path)]
    assert run(arguments) == 0
    before = (tmp_path / "our.example" / "a.pem").read_bytes()
    assert run(arguments) == 69
    assert "exists already" in capsys.readouterr().err
    assert (tmp_path / "our.example" / "a.pem").read_bytes() == before


@pytest.mark.parametrize("kind, signature", [("rsa", b"rsa-sha256"), ("ed25519", b"ed25519-sha256")])
def test_the_record_verifies_what_the_key_signs(tmp_path, capsys, kind, signature):
    which = ["-d", "our.example", "-s", "a", "-D", str(tmp_path)]
    run(["dkim", "genkey", *which, "--type", kind])
    capsys.readouterr()
    assert run(["dkim", "record", *which]) == 0
    text = capsys.readouterr().out
    records = ZoneFile(text.replace("\n\t  ", " ")).lookup("a._domainkey.our.example", "TXT")
    assert run(["dkim", "record", "--form", "bare", *which]) == 0
    assert records.texts() == (capsys.readouterr().out.strip().encode(),)
    letter = b"From: bob@our.example\r\nTo: x@far.example\r\n\r\nhello\r\n"
    pem = (tmp_path / "our.example" / "a.pem").read_bytes()
    if kind == "rsa":
        field = dkim.sign(
            letter, b"a", b"our.example", pem, include_headers=[b"from"], signature_algorithm=signature
        )
        assert dkim.verify(field + letter, dnsfunc=lambda name, timeout=5: records.texts()[0])


def test_the_record_of_a_configured_key_is_found_by_its_names(tmp_path, capsys):
    run(["dkim", "genkey", "-d", "our.example", "-s", "a", "-D", f"{tmp_path}/elsewhere"])
    path = tmp_path / "postvouch.toml"
    path.write_text(capsys.readouterr().out)
    assert run(["dkim", "record", "-d", "our.example", "-s", "a", "--json", "--config", str(path)]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["name"] == "a._domainkey.our.example."
    assert data["value"].startswith("v=DKIM1; ")


def test_flags_of_the_record_are_written(tmp_path, capsys):
    which = ["-d", "our.example", "-s", "a", "-D", str(tmp_path)]
    run(["dkim", "genkey", *which, "--type", "ed25519"])
    capsys.readouterr()
    assert run(["dkim", "record", *which, "--form", "bare", "-t", "-S"]) == 0
    assert "t=y:s" in capsys.readouterr().out


@pytest.mark.parametrize("selector", ["../../etc", "a/b", "", "a..b", "a b", "ü"])
def test_a_selector_never_leaves_its_folder(tmp_path, capsys, selector):
    if selector:
        assert run(["dkim", "genkey", "-d", "our.example", "-s", selector, "-D", str(tmp_path)]) == 64
    assert list(tmp_path.rglob("*.pem")) == []


def test_a_short_key_a_wrong_domain_and_a_missing_key_have_their_statuses(tmp_path, capsys):
    assert run(["dkim", "genkey", "-d", "our.example", "-s", "a", "-D", str(tmp_path), "-b", "1024"]) == 69
    assert run(["dkim", "genkey", "-d", "no domain", "-s", "a", "-D", str(tmp_path)]) == 64
    assert run(["dkim", "record", "-d", "our.example", "-s", "none", "-D", str(tmp_path)]) == 69
    assert "none.pem" in capsys.readouterr().err
