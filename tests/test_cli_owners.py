"""postvouch who-can-send-as, what-can, account and the provenance of lookup, on files of a host."""

import json

import pytest

from postvouch.cli.main import run

NAMES = """\
domains: {our.example: primary, old.example: our.example}
aliases: {grants: [alice, bob]}
forwards: {alice: alice@gmail.example, trip: [bob+x@our.example]}
logins: {alice: [alice@our.example], bob: [bob@our.example]}
"""


@pytest.fixture
def host(tmp_path):
    """An srs host in a folder; returns the options that name its configuration."""
    (tmp_path / "a.yaml").write_text(NAMES)
    (tmp_path / "passwd").write_text("# people\nbob:{SHA}x\n")
    write(tmp_path, "srs")
    return ["--config", str(tmp_path / "postvouch.toml")]


def write(folder, role):
    (folder / "postvouch.toml").write_text(
        f'[general]\nrole = "{role}"\nhostname = "x.our.example"\ndomains = ["our.example", "old.example"]\n'
        f'[map]\nnames = ["{folder}/*.yaml"]\nsnapshot = "{folder}/snapshot"\n'
        f'socket = "unix:{folder}/map.sock"\nmetrics = ""\n'
        f'[policy]\npassword_files = ["{folder}/passwd*"]\n'
    )


def test_who_can_names_logins_reasons_and_lines(host, tmp_path, capsys):
    assert run(["who-can-send-as", "Grants+x@old.example", *host]) == 0
    shown = capsys.readouterr().out
    assert "\nbob (alias)\n" in shown
    assert f"bob@our.example is a member of the alias grants@our.example ({tmp_path}/a.yaml:2)" in shown
    assert run(["who-can-send-as", "nobody@our.example", *host]) == 1
    assert run(["who-can-send-as", "grants@our.example", "--json", *host]) == 0
    (alice, bob) = json.loads(capsys.readouterr().out)
    assert (alice["login"], bob["login"], bob["reason"]) == ("alice", "bob", "alias")
    assert bob["way"][-1]["source"] == f"{tmp_path}/a.yaml:4"


def test_what_can_lists_addresses_and_the_alias_domains(host, capsys):
    assert run(["directory", "refresh", *host]) == 0
    capsys.readouterr()
    assert run(["what-can", "bob", *host]) == 0
    shown = capsys.readouterr().out
    assert "bob@our.example (own; also bob@old.example)\n" in shown
    assert "grants@our.example (alias; also grants@old.example)\n" in shown
    assert run(["what-can", "nobody", *host]) == 1


def test_an_account_is_listed_until_everything_of_it_is_gone(host, tmp_path, capsys):
    assert run(["account", "bob", *host]) == 0
    assert run(["account", "bob", "--expect-gone", "--json", *host]) == 1
    (_, _, data) = capsys.readouterr().out.partition("{")
    found = json.loads("{" + data)["found"]
    assert [(each["what"], each["source"].removeprefix(f"{tmp_path}/")) for each in found] == [
        ("password", "passwd:2"), ("member", "a.yaml:2"), ("target", "a.yaml:3"), ("account", "a.yaml:4"),
    ]  # fmt: skip
    (tmp_path / "passwd").write_text("")
    (tmp_path / "a.yaml").write_text(
        "domains: {our.example: primary}\naliases: {grants: [alice]}\nforwards: {alice: a@gmail.example}\n"
    )
    assert run(["account", "bob", "--expect-gone", *host]) == 0
    assert run(["account", "bob", *host]) == 1


def test_gone_is_not_said_where_a_source_could_not_be_read(host, tmp_path, capsys):
    (tmp_path / "a.yaml").write_text("aliases: [\n")
    (tmp_path / "passwd").unlink()
    assert run(["account", "bob", "--expect-gone", *host]) == 75
    assert "not taken" in capsys.readouterr().err
    (tmp_path / "a.yaml").write_text("domains: {our.example: primary}\n")
    config = tmp_path / "postvouch.toml"
    config.write_text(config.read_text().replace("passwd*", "passwd"))
    assert run(["account", "bob", "--expect-gone", *host]) == 75
    assert "No such file" in capsys.readouterr().err


def test_lookup_shows_the_entries_and_rules_of_an_answer(host, tmp_path, capsys):
    assert run(["lookup", "-v", "forward", "Alice+x@old.example", *host]) == 0
    told = capsys.readouterr().err
    assert f"old.example folds to our.example: alice+x@old.example is alice+x@our.example ({tmp_path}" in told
    assert "alice+x@our.example is alice@our.example without its extension +x" in told
    assert f"alice@our.example is the forward for alice@gmail.example ({tmp_path}/a.yaml:3)" in told
    assert run(["lookup", "--json", "owners", "grants@our.example", *host]) == 0
    assert json.loads(capsys.readouterr().out)["way"][-1]["source"] == f"{tmp_path}/a.yaml:4"


def test_lookup_on_mx_shows_no_target_outside(host, tmp_path, capsys):
    write(tmp_path, "mx")
    for name in ("recipients", "transport", "alias", "owners", "alias-domain", "forward"):
        for options in (["-v"], ["--json"]):
            run(["lookup", *options, name, "alice@our.example", *host])
    shown = capsys.readouterr()
    assert "gmail.example" not in shown.out + shown.err
    assert "an address outside" in shown.err
