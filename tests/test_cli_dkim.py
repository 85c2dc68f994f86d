"""postvouch dkim: a key, its table of the configuration, its record."""

import grp
import json
import os
import pty
import shutil
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import dkim
import pytest
from servers import program

from postvouch.cli import genkey as verb
from postvouch.cli.main import run
from postvouch.cli.zonefile import ZoneFile
from postvouch.host import keyfolder, rotation
from postvouch.sign import record as records
from postvouch.sign.keys import parse_pem
from postvouch.sign.rotation import Key, Rotation, State


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """A folder with an RSA and an Ed25519 key of our.example, selectors a and a-ed25519."""
    folder = tmp_path_factory.mktemp("keys")
    assert run(["dkim", "genkey", "-d", "our.example", "-s", "a", "-D", str(folder), "--type", "both"]) == 0
    return folder


def genkey(folder, *arguments):
    """Make an Ed25519 key, which is fast, of our.example."""
    return run(["dkim", "genkey", "-d", "our.example", "-D", str(folder), "--type", "ed25519", *arguments])


def lookup(text, name):
    """The TXT records of a name in lines of a zone file."""
    return ZoneFile(text.replace("\n\t  ", " ")).lookup(name, "TXT").texts()


def test_a_key_is_made_and_its_table_can_be_pasted(tmp_path, capsys):
    assert run(["dkim", "genkey", "-d", "Our.Example", "-s", "2026-srs", "-D", str(tmp_path)]) == 0
    table = tomllib.loads(capsys.readouterr().out)["sign"]["key"]
    file = tmp_path / "our.example" / "2026-srs.pem"
    assert table == [{"domain": "our.example", "selector": "2026-srs", "file": str(file)}]
    path = tmp_path / "postvouch.toml"
    genkey(tmp_path, "-s", "b")
    path.write_text(
        '[general]\nrole = "relay"\nhostname = "r.our.example"\ndomains = ["our.example"]\n'
        + capsys.readouterr().out
    )
    assert run(["check", "--config", str(path)]) == 0


@pytest.mark.parametrize("group", [grp.getgrgid(1).gr_name, "no-such-group"])
def test_only_we_and_the_signer_can_read_the_key_and_all_may_read_its_record(tmp_path, monkeypatch, group):
    monkeypatch.setattr(keyfolder, "GROUP", group)
    assert genkey(tmp_path / "keys", "-s", "a") == 0
    folder = tmp_path / "keys" / "our.example"
    given = os.geteuid() == 0 and group != "no-such-group"
    status = (folder / "a.pem").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid) == (0o640 if given else 0o600, os.geteuid())
    assert stat.S_IMODE((folder / "a.txt").stat().st_mode) == 0o644
    for each in (folder, folder.parent):
        assert stat.S_IMODE(each.stat().st_mode) & 0o027 == 0
    if given:
        assert {each.stat().st_gid for each in (folder / "a.pem", folder, folder.parent)} == {1}


def test_neither_key_nor_record_is_ever_overwritten(tmp_path, capsys):
    assert genkey(tmp_path, "-s", "a") == 0
    folder = tmp_path / "our.example"
    before = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in folder.iterdir()}
    capsys.readouterr()
    for kind in ("ed25519", "rsa", "both"):
        assert genkey(tmp_path, "-s", "a", "--type", kind) == 69
    assert "postvouch dkim record -d our.example -s a\n" in capsys.readouterr().err
    assert {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in folder.iterdir()} == before
    (folder / "b.txt").write_text("of a key that was lost")
    assert genkey(tmp_path, "-s", "b") == 69
    assert (folder / "b.txt").read_text() == "of a key that was lost"
    assert not (folder / "b.pem").exists()
    (folder / "c.pem").symlink_to(tmp_path / "elsewhere.pem")
    assert genkey(tmp_path, "-s", "c") == 69
    assert not (tmp_path / "elsewhere.pem").exists()


def test_a_run_that_is_killed_between_the_files_leaves_a_key_that_is_whole(tmp_path, monkeypatch, capsys):
    class Killed(BaseException):
        pass

    def write(file, content, **how):
        if file.endswith(".txt"):
            raise Killed
        real(file, content, **how)

    real = verb.write_new
    monkeypatch.setattr(verb, "write_new", write)
    with pytest.raises(Killed):
        genkey(tmp_path, "-s", "a")
    monkeypatch.undo()
    folder = tmp_path / "our.example"
    assert [file.name for file in folder.iterdir()] == ["a.pem"]
    assert run(["dkim", "record", "-d", "our.example", "-s", "a", "-D", str(tmp_path)]) == 0
    assert lookup(capsys.readouterr().out, "a._domainkey.our.example")


def test_the_command_line_of_opendkim_genkey_works_as_it_is(tmp_path, capsys):
    line = f"--directory={tmp_path}/ --selector=2022-submit-01 --domain=our.example --verbose"
    assert run(["dkim", "genkey", *line.split()]) == 0
    steps = capsys.readouterr().err
    assert "generating private key" in steps
    assert f"private key written to {tmp_path}/our.example/2022-submit-01.pem" in steps
    assert f"DNS TXT record written to {tmp_path}/our.example/2022-submit-01.txt" in steps
    printed = (tmp_path / "our.example" / "2022-submit-01.txt").read_text()
    assert printed.startswith(
        '2022-submit-01._domainkey.our.example.\tIN\tTXT\t( "v=DKIM1; h=sha256; k=rsa; "\n'
    )


@pytest.mark.parametrize(
    "flags, tags",
    [
        ("-arSt -n note -h sha256 -b 2048 -v", "n=note; h=sha256; k=rsa; t=y:s; s=email; "),
        ("--append-domain --restrict --no-subdomains --testmode", "h=sha256; k=rsa; t=y:s; s=email; "),
        ("--nosubdomains --norestrict --notestmode", "h=sha256; k=rsa; t=s; "),
        ("--subdomains --note=note --hash-algorithms=sha256 --bits=2048", "n=note; h=sha256; k=rsa; "),
        ("-h sha1:sha256", "h=sha256; k=rsa; "),
        ("--hash-algorithms=", "k=rsa; "),
    ],
)
def test_each_option_of_opendkim_genkey_says_what_it_says_there(tmp_path, flags, tags):
    which = ["-d", "our.example", "-s", "a", "-D", str(tmp_path)]
    assert run(["dkim", "genkey", *which, *flags.split()]) == 0
    assert f'"v=DKIM1; {tags}"' in (tmp_path / "our.example" / "a.txt").read_text()


@pytest.mark.parametrize("flags", [[], ["-r"], ["-S"], ["-rSt"], ["-b", "3072", "-t"]])
def test_the_record_is_that_of_opendkim_genkey_octet_for_octet(tmp_path, capsys, flags):
    made = [
        program("opendkim-genkey", "opendkim-tools"),
        "-D",
        tmp_path,
        "-d",
        "our.example",
        "-s",
        "a",
        *flags,
    ]
    subprocess.run(made, check=True)
    key = tmp_path / "a.private"
    given = [flag for flag in flags if not flag.isdecimal() and flag != "-b"]
    which = ["-d", "our.example", "-s", "a", "--file", str(key), "--zone", "our.example"]
    assert run(["dkim", "record", *which, *given]) == 0
    assert capsys.readouterr().out == (tmp_path / "a.txt").read_text()


def test_its_h_names_hashes_and_is_no_help(tmp_path, capsys):
    assert genkey(tmp_path, "-s", "a", "-h") == 64
    assert genkey(tmp_path, "-s", "a", "-h", "sha1") == 64
    assert genkey(tmp_path, "-s", "a", "-h", "md5") == 64
    assert list(tmp_path.rglob("*")) == []
    assert run(["dkim", "genkey", "--help"]) == 0
    assert "--hash-algorithms" in capsys.readouterr().out
    assert run(["dkim", "genkey", "-V"]) == 0
    assert capsys.readouterr().out.startswith("postvouch dkim genkey")


@pytest.mark.parametrize(
    "flags, name",
    [
        ([], "a._domainkey.crm.our.example."),
        (["--zone", "our.example"], "a._domainkey.crm"),
        (["--zone", "crm.our.example."], "a._domainkey"),
        (["--no-append-domain"], "a._domainkey"),
    ],
)
def test_the_name_in_the_record_is_right_for_its_zone(tmp_path, flags, name):
    which = ["-d", "crm.our.example", "-s", "a", "-D", str(tmp_path), "--type", "ed25519"]
    assert run(["dkim", "genkey", *which, *flags]) == 0
    assert (tmp_path / "crm.our.example" / "a.txt").read_text().startswith(f"{name}\tIN\t")


def test_a_zone_that_is_not_the_domain_s_makes_no_key(tmp_path):
    assert genkey(tmp_path, "-s", "a", "--zone", "far.example") == 64
    assert list(tmp_path.rglob("*.pem")) == []


def test_both_makes_two_keys_and_the_second_selector_ends_with_its_kind(keys):
    made = {file.name: parse_pem(file.read_bytes(), "") for file in (keys / "our.example").glob("*.pem")}
    assert {name: key.kind for name, key in made.items()} == {"a.pem": "rsa", "a-ed25519.pem": "ed25519"}
    assert made["a.pem"].bits == 2048


def test_the_selector_is_by_default_that_of_the_year_and_the_host(tmp_path, capsys):
    path = tmp_path / "postvouch.toml"
    path.write_text(
        '[general]\nrole = "relay"\nhostname = "Submit-01.our.example"\ndomains = ["our.example"]\n'
        f'[sign]\nkey_directory = "{tmp_path}/elsewhere"\n'
    )
    which = ["-d", "our.example", "--type", "ed25519", "--config", str(path)]
    assert run(["dkim", "genkey", *which, "--json"]) == 0
    [made] = json.loads(capsys.readouterr().out)["keys"]
    assert made["selector"][4:] == "-submit-01"
    assert made["file"] == f"{tmp_path}/elsewhere/our.example/{made['selector']}.pem"
    assert Path(made["record_file"]).read_text().startswith(made["name"])
    key = parse_pem(Path(made["file"]).read_bytes(), "")
    assert tuple(made["strings"]) == records.strings(key)
    assert run(["dkim", "record", *which[:2], "--config", str(path), "--form", "bare"]) == 0
    assert capsys.readouterr().out == "".join(made["strings"]) + "\n"


def test_a_person_is_told_what_to_do_next_and_a_pipe_is_not(tmp_path):
    code = "from postvouch.cli.main import main; main()"
    which = ["-d", "our.example", "-s", "a", "-D", str(tmp_path), "--type", "ed25519"]
    leader, follower = pty.openpty()
    subprocess.run(
        [sys.executable, "-c", code, "dkim", "genkey", *which], stdout=follower, check=True, timeout=30
    )
    os.close(follower)
    said = b""
    while b"postvouch.toml." not in said:
        said += os.read(leader, 4096)
    os.close(leader)
    text = said.decode().replace("\r\n", "\n")
    assert (tmp_path / "our.example" / "a.txt").read_text() in text
    assert text.index("[[sign.key]]") < text.index("Publish") < text.index("testkey -d our.example -s a")


def test_a_folder_that_others_may_write_to_is_named(tmp_path, capsys):
    folder = tmp_path / "keys"
    folder.mkdir()
    folder.chmod(0o777)
    assert genkey(folder, "-s", "a") == 69
    assert f"chmod go-w {folder}" in capsys.readouterr().err


def test_a_key_that_cannot_be_written_is_said(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert genkey(tmp_path / "file" / "keys", "-s", "a") == 69
    assert f"{tmp_path}/file" in capsys.readouterr().err


@pytest.mark.parametrize("kind, signature", [("rsa", b"rsa-sha256"), ("ed25519", b"ed25519-sha256")])
def test_the_record_verifies_what_the_key_signs(keys, capsys, kind, signature):
    selector = "a" if kind == "rsa" else "a-ed25519"
    which = ["-d", "our.example", "-s", selector, "-D", str(keys)]
    assert run(["dkim", "record", *which]) == 0
    text = capsys.readouterr().out
    assert text == (keys / "our.example" / f"{selector}.txt").read_text()
    [published] = lookup(text, f"{selector}._domainkey.our.example")
    assert run(["dkim", "record", "--form", "bare", *which]) == 0
    assert published == capsys.readouterr().out.strip().encode()
    if kind == "rsa":
        letter = b"From: bob@our.example\r\nTo: x@far.example\r\n\r\nhello\r\n"
        pem = (keys / "our.example" / "a.pem").read_bytes()
        field = dkim.sign(
            letter, b"a", b"our.example", pem, include_headers=[b"from"], signature_algorithm=signature
        )
        assert dkim.verify(field + letter, dnsfunc=lambda name, timeout=5: published)


def test_records_of_all_keys_of_a_domain_come_from_the_configuration(keys, tmp_path, capsys):
    path = tmp_path / "postvouch.toml"
    folder = tmp_path / "elsewhere"
    shutil.copytree(keys, folder)
    tables = [
        f'[[sign.key]]\ndomain = "{domain}"\nselector = "{selector}"\n'
        f'file = "{folder}/our.example/{file}.pem"\n'
        for domain, selector, file in (
            ("our.example", "one", "a"),
            ("our.example", "two", "a-ed25519"),
            ("far.example", "three", "a"),
        )
    ]
    path.write_text("".join(tables))
    assert run(["dkim", "record", "-d", "our.example", "--config", str(path)]) == 0
    text = capsys.readouterr().out
    assert b"k=rsa" in lookup(text, "one._domainkey.our.example")[0]
    assert b"k=ed25519" in lookup(text, "two._domainkey.our.example")[0]
    assert "three" not in text
    assert run(["dkim", "record", "-d", "our.example", "-s", "two", "--json", "--config", str(path)]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["name"] == "two._domainkey.our.example."
    assert data["value"].startswith("v=DKIM1; h=sha256; k=ed25519; ")


def test_flags_of_the_record_are_written(keys, capsys):
    which = ["-d", "our.example", "-s", "a", "-D", str(keys)]
    assert run(["dkim", "record", *which, "--form", "bare", "-t", "-S", "-r", "-n", "a b"]) == 0
    assert capsys.readouterr().out.startswith("v=DKIM1; n=a=20b; h=sha256; k=rsa; t=y:s; s=email; p=")


def test_a_key_can_be_revoked_and_its_record_deleted_also_where_its_file_is_gone(keys, capsys):
    which = ["-d", "our.example", "-D", str(keys)]
    assert run(["dkim", "record", *which, "-s", "a-ed25519", "--revoked", "--form", "bare"]) == 0
    assert capsys.readouterr().out == "v=DKIM1; k=ed25519; p=\n"
    update = ["--form", "nsupdate", "--server", "ns1.our.example", "--zone", "our.example"]
    assert run(["dkim", "record", *which, "-s", "gone", "--revoked", *update, "--replace"]) == 0
    assert capsys.readouterr().out == (
        "server ns1.our.example\nzone our.example.\n"
        "update delete gone._domainkey.our.example. IN TXT\n"
        'update add gone._domainkey.our.example. 3600 IN TXT "v=DKIM1; k=rsa; p="\nsend\n'
    )
    assert run(["dkim", "record", *which, "-s", "gone", *update, "--delete"]) == 0
    assert "add" not in capsys.readouterr().out
    assert run(["dkim", "record", *which, "-s", "a", "--delete"]) == 64
    assert "--form nsupdate" in capsys.readouterr().err


@pytest.mark.parametrize("selector", ["../../etc", "a/b", "", "a..b", "a b", "ü", "-a", "a" * 64, "a.-"])
@pytest.mark.parametrize("command", ["genkey", "record"])
def test_a_selector_never_leaves_its_folder(tmp_path, command, selector):
    assert run(["dkim", command, "-d", "our.example", "-s", selector, "-D", str(tmp_path)]) == 64
    assert list(tmp_path.rglob("*")) == []


def test_a_name_that_is_too_long_makes_no_key(tmp_path, capsys):
    assert genkey(tmp_path, "-s", ".".join(["a" * 60] * 4)) == 64
    assert "at most" in capsys.readouterr().err
    assert list(tmp_path.rglob("*.pem")) == []


def test_a_key_that_verifiers_refuse_is_not_made_and_one_that_some_do_not_know_is_warned_of(tmp_path, capsys):
    which = ["dkim", "genkey", "-d", "our.example", "-D", str(tmp_path), "-s"]
    assert run([*which, "a", "-b", "1024"]) == 69
    assert "RFC 8301" in capsys.readouterr().err
    assert run([*which, "a", "-b", "8193"]) == 69
    assert list(tmp_path.rglob("*")) == []
    assert run([*which, "b", "-b", "4104"]) == 0
    assert "4096" in capsys.readouterr().err
    assert genkey(tmp_path, "-s", "c", "-b", "1024") == 0


def test_a_wrong_domain_and_a_missing_key_have_their_statuses(tmp_path, capsys):
    assert run(["dkim", "genkey", "-d", "no domain", "-s", "a", "-D", str(tmp_path)]) == 64
    assert run(["dkim", "record", "-d", "our.example", "-s", "none", "-D", str(tmp_path)]) == 69
    assert "none.pem" in capsys.readouterr().err
    assert genkey(tmp_path, "-s", "a", "-n", "x" * 256) == 64


def test_records_of_templated_and_managed_keys_have_the_selectors_of_today(keys, tmp_path, capsys):
    path = tmp_path / "postvouch.toml"
    folder = tmp_path / "keys" / "our.example"
    shutil.copytree(keys / "our.example", folder)
    (folder / "a.pem").rename(folder / "2024-r.pem")
    path.write_text(
        f'[general]\nhostname = "r.our.example"\n[sign]\nkey_directory = "{tmp_path}/keys"\n'
        '[[sign.key]]\ndomain = "our.example"\nselector = "{year}-{shorthost}"\n'
        '[[sign.key]]\ndomain = "our.example"\n'
    )
    active = Key(
        selector="a-ed25519", kind="ed25519", public="A" * 44, generation=1, state=State.ACTIVE, since=1
    )
    rotation.write(
        str(tmp_path / "keys"), Rotation(domain="our.example", maker="r.our.example", keys=(active,))
    )
    assert run(["dkim", "record", "-d", "our.example", "--config", str(path)]) == 0
    text = capsys.readouterr().out
    assert b"k=rsa" in lookup(text, "2024-r._domainkey.our.example")[0]
    assert b"k=ed25519" in lookup(text, "a-ed25519._domainkey.our.example")[0]


def test_a_configuration_that_cannot_be_read_is_not_guessed(tmp_path, capsys):
    missing, junk = tmp_path / "none.toml", tmp_path / "junk.toml"
    junk.write_text("[general]\ndomains = [our.example]\n")
    for which in (["genkey", "-d", "our.example"], ["record", "-d", "our.example"], ["list"], ["testkey"]):
        assert run(["dkim", *which, "--config", str(missing)]) == 78
        assert f"{missing}: cannot be read: No such file or directory" in capsys.readouterr().err
        assert run(["dkim", *which, "--config", str(junk)]) == 78
        assert capsys.readouterr().err == f"{junk}:2: not TOML: invalid value (text stands in quotes)\n"


def test_a_configuration_with_problems_is_used_as_far_as_it_goes_and_they_are_mentioned(tmp_path, capsys):
    path = tmp_path / "postvouch.toml"
    path.write_text(f'[sign]\nkey_directory = "{tmp_path}"\nkey_direktory = "x"\n')
    assert (
        run(["dkim", "genkey", "-d", "our.example", "-s", "s", "--type", "ed25519", "--config", str(path)])
        == 0
    )
    said = capsys.readouterr()
    assert said.err.endswith(f" in the configuration; see: postvouch check --config {path}\n")
    assert tomllib.loads(said.out)["sign"]["key"][0]["file"] == f"{tmp_path}/our.example/s.pem"
