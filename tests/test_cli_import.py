"""postvouch import: what it writes, says and returns, and that mail before and after is signed alike."""

import json
import os
import time
from itertools import product
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from fakedns import zone
from opendkimd import opendkim, pass_through
from postfixplay import running
from test_config_opendkim import SEED
from test_config_opendkim_tables import GLOBS, SAMPLES, ours, theirs

from postvouch.auth import dkim as verifier
from postvouch.auth.result import Result
from postvouch.cli.import_ import read_text
from postvouch.cli.main import run
from postvouch.config import secrets
from postvouch.config.load import examine
from postvouch.config.opendkim import parse
from postvouch.config.opendkimimport import convert
from postvouch.sign import record
from postvouch.sign.keys import generate
from postvouch.values.message import Field, Message
from postvouch.wire import taglist

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def pem():
    """A private key and what its record says."""
    private, octets = generate("rsa")
    return octets, "".join(record.strings(private))


@pytest.fixture
def host(tmp_path, pem):
    """Write an opendkim.conf, @tmp@ filled in, beside a key; its path."""
    key = tmp_path / "2022-submit-01.private"
    key.write_bytes(pem[0])
    key.chmod(0o600)

    def write(text, **files):
        for name, content in files.items():
            (tmp_path / name).write_text(content.replace("@tmp@", str(tmp_path)))
        path = tmp_path / "opendkim.conf"
        path.write_text(text.replace("@tmp@", str(tmp_path)))
        return str(path)

    return write


BASE = "Mode s\nDomain our.example\nSelector 2022-submit-01\nKeyFile @tmp@/2022-submit-01.private\n"


def test_all_carried_is_status_0_and_the_configuration_on_standard_output(host, tmp_path, capsys):
    assert run(["import", host(BASE)]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    (tmp_path / "postvouch.toml").write_text(shown.out)
    report = examine(tmp_path / "postvouch.toml")
    assert report.problems == ()
    (key,) = report.config.sign.key
    assert (key.domain, key.selector, key.file) == (
        "our.example", "2022-submit-01", f"{tmp_path}/2022-submit-01.private",
    )  # fmt: skip


def test_the_configuration_of_a_host_that_signs_is_carried_whole_and_loads(host, tmp_path, capsys):
    path = host(SEED.replace("/etc/opendkim/keys", "@tmp@"))
    target = tmp_path / "postvouch.toml"
    assert run(["import", path, "-o", str(target), "--role", "submission"]) == 0
    said = capsys.readouterr()
    assert said.out == f"{target}: keys: 1; lines: 6 carried, 2 not needed, 0 not carried\n"
    assert said.err == ""
    report = examine(target)
    assert (report.problems, report.warnings) == ((), ())
    assert report.config.sign.remove_old_signatures == "all"
    assert report.config.general.internal_hosts == (
        "127.0.0.1/32", "::1/128", "lists-01.our.example", "lists.our.example",
    )  # fmt: skip


def test_what_is_there_is_not_overwritten(host, tmp_path, capsys):
    target = tmp_path / "postvouch.toml"
    target.write_text("mine")
    assert run(["import", host(BASE), "-o", str(target)]) == 69
    assert capsys.readouterr().err == f"{target}: exists already; it is not overwritten\n"
    assert target.read_text() == "mine"


def test_json_has_the_same_facts(host, capsys):
    path = host(f"{BASE}DontSignMailTo a@far.example\n")
    assert run(["import", path, "--json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert (data["ok"], data["from"], data["domains"]) == (False, "opendkim", ["our.example"])
    assert data["keys"][0]["selector"] == "2022-submit-01"
    assert [line["line"] for line in data["lines"]] == [1, 2, 3, 4, 5]
    assert data["lines"][-1] | {"text": ""} == {
        "file": path, "line": 5, "directive": "DontSignMailTo", "fate": "not-carried", "text": "",
    }  # fmt: skip
    assert "[[sign.key]]" in data["toml"]


@pytest.mark.parametrize("content, status, said", [
    (None, 69, "cannot be read: No such file or directory"),
    ("myhostname = mx.our.example\nmydestination =\n", 65, "does not look like an opendkim.conf"),
    ("", 65, "does not look like an opendkim.conf"),
])  # fmt: skip
def test_what_is_no_opendkim_conf_is_refused(tmp_path, capsys, content, status, said):
    path = tmp_path / "main.cf"
    if content is not None:
        path.write_text(content)
    assert run(["import", str(path)]) == status
    assert said in capsys.readouterr().err


def test_it_is_taken_for_one_on_request(tmp_path, capsys):
    path = tmp_path / "main.cf"
    path.write_text("myhostname = mx.our.example\nMode s\n")
    assert run(["import", "--from", "opendkim", str(path)]) == 1
    assert capsys.readouterr().err == f"{path}:1: myhostname: no directive of OpenDKIM 2.11\n"


def test_octets_of_any_kind_are_read(tmp_path, capsys):
    path = tmp_path / "opendkim.conf"
    path.write_bytes(b"Mode s\nDomain \xff\x1b[31m\nSelector s\nKeyFile /k\n")
    assert run(["import", str(path)]) == 1
    assert "\x1b" not in capsys.readouterr().err


def test_a_key_that_is_too_open_missing_or_none_is_named_with_what_mends_it(host, tmp_path, capsys):
    file = tmp_path / "2022-submit-01.private"
    path = host(BASE)
    file.chmod(0o644)
    assert run(["import", path]) == 1
    assert capsys.readouterr().err == (
        f"{path}:4: KeyFile: {file}: mode 0644 is too open for a private key; chmod 0640 {file}\n"
    )
    file.write_text("nonsense")
    file.chmod(0o600)
    assert run(["import", path]) == 1
    assert capsys.readouterr().err == (
        f"{path}:4: KeyFile: {file}: no PEM private key; make another: "
        "postvouch dkim genkey --domain our.example --selector 2022-submit-01-2\n"
    )
    file.unlink()
    assert run(["import", path]) == 1
    assert "no such file" in capsys.readouterr().err


def test_a_key_of_1024_bits_is_named_with_the_command_for_another(host, tmp_path, capsys):
    path, file = host(BASE), tmp_path / "2022-submit-01.private"
    short = generate_private_key(65537, 1024)
    file.write_bytes(short.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    assert run(["import", path]) == 1
    assert capsys.readouterr().err == (
        f"{path}:4: KeyFile: {file}: RSA key of 1024 bits; 2048 to 8192 are usable; make another: "
        "postvouch dkim genkey --domain our.example --selector 2022-submit-01-2\n"
    )


def test_keys_are_copied_where_the_daemons_look_and_never_over_others(host, tmp_path, capsys):
    path, keys = host(BASE), tmp_path / "keys"
    copied = keys / "our.example" / "2022-submit-01.pem"
    arguments = ["import", path, "--copy-keys", "-D", str(keys)]
    for _ in range(2):
        assert run(arguments) == 0
        assert f'file = "{copied}"' in capsys.readouterr().out
        assert copied.read_bytes() == (tmp_path / "2022-submit-01.private").read_bytes()
        assert copied.stat().st_mode & 0o777 in (0o600, 0o640)
    copied.chmod(0o600)
    copied.write_text("another")
    assert run(arguments) == 1
    assert f"not copied: {copied}: exists already; a key is never overwritten" in capsys.readouterr().err
    assert copied.read_text() == "another"


def test_what_cannot_be_copied_is_said_once_and_nothing_is_where_nothing_can_be_written(
    host, tmp_path, capsys
):
    path, keys = host(BASE), tmp_path / "keys"
    (tmp_path / "there.toml").write_text("mine")
    arguments = ["import", path, "--copy-keys", "-D", str(keys)]
    assert run([*arguments, "-o", str(tmp_path / "there.toml")]) == 69
    assert not keys.exists()
    capsys.readouterr()
    (tmp_path / "2022-submit-01.private").unlink()
    assert run(arguments) == 1
    assert capsys.readouterr().err.count("no such file") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root reads what the daemons cannot")
def test_root_is_told_that_the_daemons_cannot_read_opendkims_key(host, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(secrets, "DAEMON_USER", "nobody")
    assert run(["import", host(BASE)]) == 1
    assert "the user nobody cannot read it" in capsys.readouterr().err


def plain_letter(author="bob@our.example"):
    return [
        (b"From", b" Bob <%s>" % author.encode()),
        (b"To", b" mara@far.example"),
        (b"Subject", b" before\n\tand after"),
        (b"Date", b" Mon, 5 Jan 2026 10:00:00 +0000"),
    ]


def passed_on(milter, header, body=b"Hello  \r\n\r\n\r\n"):
    """The letter as Postfix sends it on."""
    outcome = pass_through(milter, header, body)
    fields = (
        Field(name, value if value[:1].isspace() else b" " + value)
        for name, value in ((n, v.replace(b"\n", b"\r\n")) for n, v in outcome.applied(header))
    )
    return Message(fields=tuple(fields), body=(body,))


def named(signature):
    """d= and s= of a DKIM-Signature field."""
    tags = taglist.parse(signature.value)
    return tuple(tags[name].strip().decode() for name in (b"d", b"s"))


def test_a_letter_signed_before_and_after_verifies_with_the_same_record(host, tmp_path, pem):
    path = host(SEED.replace("/etc/opendkim/keys", "@tmp@"))
    target = tmp_path / "postvouch.toml"
    assert run(["import", path, "-o", str(target), "--role", "relay"]) == 0
    more = f'socket = "unix:{tmp_path}/s.sock"\nmetrics = ""\n'
    text = target.read_text().replace("[sign]\n", f"[sign]\n{more}")
    target.write_text(f'[map]\nsnapshot = "{tmp_path}/directory.snapshot"\n\n{text}')
    with opendkim(tmp_path, Path(path).read_text().replace("Socket", "#")) as milter:
        before = passed_on(milter, plain_letter())
    arguments = ["-m", "postvouch.milters.sign", "--config", str(target)]
    with running(arguments, tmp_path / "s.sock", tmp_path / "err", PYTHONPATH=str(ROOT)):
        after = passed_on(tmp_path / "s.sock", plain_letter())
    dns = zone(f"2022-submit-01._domainkey.our.example TXT {pem[1]}")
    for message in (before, after):
        (signature,) = message.named(b"dkim-signature")
        assert named(signature) == ("our.example", "2022-submit-01")
        assert [each.result for each in verifier.verify(message, dns, time.time())] == [Result.PASS]


@pytest.mark.parametrize("kind, signing", [
    ("file", SAMPLES["file"]), ("file", SAMPLES["super-domain of both"]), ("file", "* k1\nbob@* k2\n"),
    ("refile", GLOBS["first is general"]), ("refile", GLOBS["glob first"]),
    ("refile", GLOBS["across domains"]), ("refile", GLOBS["plus"]), ("refile", GLOBS["without an at"]),
])  # fmt: skip
@pytest.mark.parametrize("several", ["no", "yes"])
def test_opendkim_itself_decides_as_the_imported_configuration(host, tmp_path, kind, signing, several):
    domains = ("our.example", "a.our.example", "esp.example")
    keys = "".join(f"k{n} {d}:s{n}:@tmp@/2022-submit-01.private\n" for n, d in enumerate(domains))
    path = host(
        "Mode s\nKeyTable file:@tmp@/keys\n"
        f"SigningTable {kind}:@tmp@/signing\nMultipleSignatures {several}\n",
        keys=keys,
        signing=signing,
    )
    find = ours(convert(parse(path, read_text), read_text))
    manual = theirs(signing.lower(), keys, kind, several=several == "yes")
    with opendkim(tmp_path, Path(path).read_text()) as milter:
        for local, domain in product(("bob", "news-a", "ann", "x+y"), ("b.a.our.example", *domains)):
            signed = passed_on(milter, plain_letter(f"{local}@{domain}")).named(b"dkim-signature")
            wanted = manual(local, domain)
            assert set(find(local, domain)) == set(wanted), f"{local}@{domain}"
            # OpenDKIM 2.11 forgets all but the first and the last of several.
            assert set(map(named, signed)) == {*wanted[:1], *wanted[-1:]}, f"{local}@{domain}"
