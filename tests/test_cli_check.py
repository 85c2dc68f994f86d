"""postvouch check and postvouch config."""

import json
import os
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from dnsserver import serving

from postvouch.cli.main import run
from postvouch.config import secrets
from postvouch.config.example import example
from postvouch.config.load import load
from postvouch.milters import verify
from postvouch.sign.keys import generate, parse_pem


@pytest.fixture
def host(tmp_path):
    """Write a configuration, with the words of the test filled in, and return its path."""
    (tmp_path / "names").mkdir()
    (tmp_path / "srs.secrets").write_text("secret\n")
    (tmp_path / "srs.secrets").chmod(0o640)

    def write(text, names="aliases: {grants: [alice]}\nforwards: {alice: alice@gmail.example}\n"):
        (tmp_path / "names" / "a.yaml").write_text(names)
        base = (
            f'[general]\nrole = "srs"\nhostname = "srs.our.example"\ndomains = ["our.example"]\n'
            '[sign]\nvouching_hosts = ["192.0.2.25"]\nvouching_id = "mx.our.example"\n'
            f'[map]\nnames = ["{tmp_path}/names/*.yaml"]\nsnapshot = "{tmp_path}/snapshot"\n'
            f'[srs]\nsecrets_file = "{tmp_path}/srs.secrets"\n'
        )
        path = tmp_path / "postvouch.toml"
        path.write_text(base + text.replace("@tmp@", str(tmp_path)))
        return str(path)

    return write


def key_table(tmp_path, name="k.pem"):
    return f'[[sign.key]]\ndomain = "our.example"\nselector = "k"\nfile = "{tmp_path}/{name}"\n'


@pytest.fixture
def key(tmp_path):
    """A key file as a daemon wants it."""
    path = tmp_path / "k.pem"
    path.write_bytes(generate("ed25519")[1])
    path.chmod(0o600)
    return path


def test_a_good_host_is_ok_with_status_0(host, tmp_path, key, capsys):
    assert run(["check", "--config", host(key_table(tmp_path))]) == 0
    assert capsys.readouterr().out == f"ok: {tmp_path}/postvouch.toml: role srs, 0 problems, 0 warnings\n"


def test_with_dns_a_key_that_is_not_published_is_told_with_its_place(host, tmp_path, key, capsys):
    def checked(*records):
        with serving("our.example TXT x", *records) as server:
            text = f'[dns]\nservers = ["{server}"]\n'
            path = host(text + key_table(tmp_path))
            status = run(["check", "--dns", "--config", path])
        return status, capsys.readouterr().out

    place = f"{tmp_path}/postvouch.toml:15: "
    name = "k._domainkey.our.example"
    status, out = checked()
    assert (status, out.count(f"{place}warning: {name}: record not found")) == (0, 1)
    status, out = checked(f"{name} TEMPERROR")
    assert (status, out.count(f"{place}warning: DNS does not answer for {name}")) == (0, 1)
    private = parse_pem(key.read_bytes(), "k")
    status, out = checked(f"{name} TXT v=DKIM1; k=ed25519; p={private.public_text()}")
    assert (status, out.count("warning")) == (0, 1)  # the count at the end
    table = '[sign]\nunpublished_keys = "refuse"\n'
    path = tmp_path / "conf.d"
    path.mkdir()
    (path / "a.toml").write_text(table)
    status, out = checked()
    assert (status, out.count(f"{place}{name}: record not found")) == (78, 1)


def test_problems_are_printed_with_their_place_and_status_78(host, tmp_path, capsys):
    path = host("[sgin]\n[verify]\nworkers = 0\n")
    assert run(["check", "--config", path]) == 78
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == f'{path}:13: unknown table "sgin" (did you mean "sign"?)'
    assert shown[1] == f"{path}:15: verify.workers: too small: at least 1"
    assert shown[-1] == f"problem: {path}: 2 problems, 1 warning"


def test_a_warning_is_shown_and_stops_nothing(host, capsys):
    path = host("")
    assert run(["check", "--config", path]) == 0
    assert f"{path}:2: warning: role srs without a [[sign.key]]" in capsys.readouterr().out


@pytest.mark.parametrize("discovery, status, said", [
    ("treewalk", 0, "warning: /nowhere: no such file"),
    ("psl", 78, '/nowhere: no such file; organisations are found in DNS alone; apt install publicsuffix; '
     'verify.discovery = "psl" needs the list'),
])  # fmt: skip
def test_a_missing_list_of_public_suffixes_is_a_problem_where_a_reload_would_refuse_it(
    host, tmp_path, capsys, discovery, status, said
):
    path = Path(host(""))
    text = path.read_text().replace('"srs"', '"mx"').replace("vouching", "#vouching")
    text = text.replace("[map]", '[map]\nforward_transport = "smtp:[srs.our.example]"')
    path.write_text(f'{text}[verify]\ndiscovery = "{discovery}"\npublic_suffixes = "/nowhere"\n')
    assert run(["check", "--config", str(path)]) == status
    line = text.count("\n") + 3
    assert f"{path}:{line}: {said}" in capsys.readouterr().out
    assert bool(verify.check(load(path))) == bool(status)


def test_a_key_that_is_missing_is_named_at_its_table(host, tmp_path, capsys):
    path = host(key_table(tmp_path, "none.pem"))
    assert run(["check", "--config", path]) == 78
    assert f"{path}:13: sign.key: there is no {tmp_path}/none.pem" in capsys.readouterr().out


def test_a_key_that_is_no_key_is_named_at_its_table(host, tmp_path, key, capsys):
    key.write_text("nonsense\n")
    path = host(key_table(tmp_path))
    assert run(["check", "--config", path]) == 78
    assert f"{path}:13: {key}: no PEM private key" in capsys.readouterr().out


def test_missing_secrets_are_a_problem_where_the_role_needs_them(host, tmp_path, key, capsys):
    path = host(key_table(tmp_path))
    (tmp_path / "srs.secrets").unlink()
    assert run(["check", "--config", path]) == 78
    assert "srs.secrets_file: there is no" in capsys.readouterr().out


@pytest.mark.skipif(os.geteuid() != 0, reason="only root reads what the daemons cannot")
def test_root_is_told_what_the_daemons_cannot_read(host, tmp_path, key, monkeypatch, capsys):
    monkeypatch.setattr(secrets, "DAEMON_USER", "nobody")
    names = tmp_path / "names" / "a.yaml"
    path = host(key_table(tmp_path))
    names.chmod(0o600)
    exported, fragment = tmp_path / "exported", tmp_path / "exported" / "a.yml"
    exported.mkdir()
    fragment.write_text("forwards: {bob: bob@far.example}\n")
    fragment.chmod(0o600)
    with Path(path).open("a") as file:
        file.write(f'[[map.source]]\nname = "p"\ntype = "fragments"\nfiles = ["{exported}"]\n')
    assert run(["check", "--config", path]) == 78
    shown = capsys.readouterr().out
    for file in (tmp_path / "srs.secrets", key, names, fragment):
        assert f"{file}: the user nobody cannot read it; chgrp nobody {file} && chmod 0640 {file}" in shown


def test_a_broken_names_file_is_named_with_its_line(host, tmp_path, key, capsys):
    path = host(key_table(tmp_path), names="aliases:\n  grants: [alice\n")
    assert run(["check", "--config", path]) == 78
    assert f"{tmp_path}/names/a.yaml:" in capsys.readouterr().out


def test_check_in_json_has_the_same_facts(host, tmp_path, capsys):
    path = host("[log]\ndebug = 1\n")
    assert run(["check", "--json", "--config", path]) == 78
    data = json.loads(capsys.readouterr().out)
    assert data["ok"] is False
    assert data["files"] == [path]
    assert data["problems"] == [
        {"file": path, "line": 14, "text": "log.debug: a number where true or false is meant"}
    ]


def test_check_changes_nothing(host, tmp_path, key):
    path = host(key_table(tmp_path))
    before = sorted((p, p.stat().st_mtime_ns) for p in tmp_path.rglob("*"))
    run(["check", "--config", path])
    assert sorted((p, p.stat().st_mtime_ns) for p in tmp_path.rglob("*")) == before


def test_config_shows_every_value_in_force_with_its_place(host, capsys):
    path = host('[log]\nprivacy = "hash"\n')
    assert run(["config", "--config", path]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert f'log.privacy = "hash"  # {path}:14' in shown
    assert 'map.refresh = "5m"  # default' in shown
    assert 'verify.authserv_id = "srs.our.example"  # default, derived' in shown


@pytest.mark.parametrize(
    "key, printed",
    [
        ("general.role", "srs\n"),
        ("map.hard_age", "1w\n"),
        ("log.debug", "false\n"),
        ("general.internal_hosts", "127.0.0.0/8\n::1/128\n"),
        ("dns.servers", ""),
        ("sign.key", ""),
    ],
)
def test_config_prints_one_value_alone(host, capsys, key, printed):
    assert run(["config", key, "--config", host("")]) == 0
    assert capsys.readouterr().out == printed


def test_config_prints_a_table_and_the_keys_in_it(host, tmp_path, capsys):
    assert run(["config", "sign", "--config", host(key_table(tmp_path))]) == 0
    shown = capsys.readouterr().out
    assert f'sign.key[0].file = "{tmp_path}/k.pem"' in shown
    assert "general." not in shown


def test_config_in_json_is_what_programs_read(host, capsys):
    path = host("")
    assert run(["config", "--json", "--config", path]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["general"]["domains"] == ["our.example"]
    assert data["map"]["hard_age"] == 604800
    assert run(["config", "--json", "general.role", "--config", path]) == 0
    assert json.loads(capsys.readouterr().out) == "srs"


def test_config_of_an_unknown_key_is_wrong_usage_with_a_hint(host, capsys):
    assert run(["config", "general.rolle", "--config", host("")]) == 64
    assert 'did you mean "general.role"?' in capsys.readouterr().err


def test_defaults_and_the_example_need_no_file(capsys):
    assert run(["config", "--defaults", "general.role"]) == 0
    assert run(["config", "--example"]) == 0
    assert capsys.readouterr().out == "\n" + example()
    assert tomllib.loads(example())


def test_config_with_a_problem_shows_problems_instead_and_78(host, capsys):
    path = host("[log]\ndebug = 1\n")
    assert run(["config", "--config", path]) == 78
    assert capsys.readouterr().err == f"{path}:14: log.debug: a number where true or false is meant\n"


def test_a_key_found_by_its_template_is_read_and_a_missing_one_is_named(host, tmp_path, capsys):
    table = (
        '[[sign.key]]\ndomain = "our.example"\nselector = "{shorthost}-a"\nfile = "@tmp@/{selector}.pem"\n'
    )
    path = host(table)
    assert run(["check", "--config", path]) == 78
    assert f"sign.key: there is no {tmp_path}/srs-a.pem; make one with" in capsys.readouterr().out
    (tmp_path / "srs-a.pem").write_bytes(generate("ed25519")[1])
    (tmp_path / "srs-a.pem").chmod(0o644)
    assert run(["check", "--config", path]) == 78
    assert f"{tmp_path}/srs-a.pem has mode 0644: others may read it" in capsys.readouterr().out
    (tmp_path / "srs-a.pem").chmod(0o640)
    assert run(["check", "--config", path]) == 0


def test_a_managed_key_that_nobody_has_made_is_a_problem(host, tmp_path, capsys):
    path = host('[[sign.key]]\ndomain = "our.example"\n')
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "keys.toml").write_text(f'[sign]\nkey_directory = "{tmp_path}/keys"\n')
    assert run(["check", "--config", path]) == 78
    assert f"{tmp_path}/keys/our.example/rotation.json: no such file" in capsys.readouterr().out


def test_managed_keys_that_this_user_may_not_see_are_a_warning(capsys):
    with TemporaryDirectory() as name:
        keys = Path(name) / "keys"
        (keys / "our.example").mkdir(parents=True)
        path = Path(name) / "postvouch.toml"
        path.write_text(
            '[general]\nrole = "relay"\nhostname = "relay.our.example"\ndomains = ["our.example"]\n'
            f'[sign]\nkey_directory = "{keys}"\n[[sign.key]]\ndomain = "our.example"\n'
        )
        Path(name).chmod(0o755)
        assert run(["check", "--config", str(path)]) == 78
        assert "rotation.json: no such file" in capsys.readouterr().out
        keys.chmod(0)
        before = os.geteuid()
        if before == 0:
            os.seteuid(65534)
        try:
            status = run(["check", "--config", str(path)])
        finally:
            os.seteuid(before)
            keys.chmod(0o755)
    said = capsys.readouterr().out
    assert "rotation.json cannot be seen by this user, so it was not checked" in said
    assert status == 0, said
