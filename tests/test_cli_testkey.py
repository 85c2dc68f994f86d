"""postvouch dkim testkey against real servers: each defect is made, and has to be found and named."""

import base64
import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from dnstree import Tree, Zone

from postvouch.cli.main import run
from postvouch.host import dnsauthority
from postvouch.sign import record
from postvouch.sign.keys import PrivateKey, generate

PROGRAM = "postvouch dkim testkey"


class Keys:
    """A key in a file, another one, and the records that are made of them."""

    def __init__(self, folder: Path) -> None:
        self.key, pem = generate()
        self.other, _ = generate("ed25519")
        self.file = folder / "our.pem"
        self.file.write_bytes(pem)
        self.file.chmod(0o600)

    @staticmethod
    def public(key: PrivateKey) -> str:
        return base64.b64encode(key.public()).decode()

    def strings(self, **flags: bool) -> tuple[str, ...]:
        return record.strings(self.key, **flags)

    def text(self, change: str = "", to: str = "") -> str:
        return "".join(self.strings()).replace(change, to)


def line(selector: str, *texts: str) -> str:
    """A line of a zone file; strings are cut where they are too long."""
    cut = [text[n : n + 255] for text in texts for n in range(0, len(text), 255)]
    quoted = " ".join('"' + each.replace("\\", "\\\\").replace('"', '\\"') + '"' for each in cut)
    return f"{selector}._domainkey TXT {quoted}"


def without_signature_of_txt(text: str) -> str:
    """A signed zone in which nobody signed the TXT records."""
    return "".join(each for each in text.splitlines(True) if "RRSIG\tTXT" not in each)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory, keys: Keys) -> Iterator[Tree]:
    good = line("good", *keys.strings())
    head, first, last = keys.strings()
    pkcs1 = keys.key.key.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
    public = keys.public(keys.key)
    zones = [
        Zone("our.example", servers=2, records="\n".join([
            good,
            line("several", *keys.strings()), line("several", keys.text("h=sha256", "h=sha1")),
            line("revoked", "v=DKIM1; h=sha256; k=rsa; p="),
            line("kind", keys.text("k=rsa", "k=ed25519")),
            line("unknown", keys.text("k=rsa", "k=dsa")),
            line("hash", keys.text("h=sha256", "h=sha1")),
            line("service", keys.text("k=rsa", "k=rsa; s=tlsrpt")),
            line("testing", keys.text("k=rsa", "k=rsa; t=y")),
            line("version", keys.text("DKIM1", "DKIM2")),
            line("late", keys.text("v=DKIM1; ", "") + "; v=DKIM1"),
            line("blanks", head, first + " ", last),
            line("quotes", head, first + '" "' + last),
            line("order", head, last, first),
            line("short", head, first),
            line("differs", keys.text(public, public[:300] + "AAAA" + public[304:])),
            line("pkcs1", keys.text(public, base64.b64encode(pkcs1).decode())),
            line("spf", "v=spf1 -all"),
            "alias._domainkey CNAME keys.far.example.",
            "astray._domainkey CNAME nowhere.far.example.",
            "loop._domainkey CNAME pool._domainkey",
            "pool._domainkey CNAME loop._domainkey",
            "two.labels._domainkey CNAME good._domainkey",
        ])),
        Zone("far.example", line("good", *keys.strings()).replace("good._domainkey", "keys")),
        Zone("wild.example", line("*", *keys.strings())),
        Zone("unsigned.example", good, signed=False, ds="none"),
        Zone("nods.example", good, ds="none"),
        Zone("badds.example", good, ds="other"),
        Zone("nokeys.example", good, signed=False),
        Zone("expired.example", good, valid=(-30, -2)),
        Zone("early.example", good, valid=(3, 30)),
        Zone("bare.example", good, edit=without_signature_of_txt),
        Zone("forged.example", good, edit=lambda text: text.replace("h=sha256", "h=sha512")),
        Zone("half.example", good, dead=1),
        Zone("dead.example", good, servers=0, dead=2),
        Zone("lag.example", servers=2),
        Zone("new.example", negative_s=120),
        Zone("fresh.example", negative_s=120, signed=False, ds="none"),
        Zone("old.example", line("good", keys.text(public, public[:300] + "AAAA" + public[304:]))),
    ]  # fmt: skip
    running = Tree(tmp_path_factory.mktemp("tree"), zones)
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def port(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dnsauthority, "PORT", tree.port)


class Asker:
    """The command line, with a configuration that has our resolver."""

    def __init__(self, tree: Tree, keys: Keys, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._keys, self._capsys = keys, capsys
        self.config = folder / "postvouch.toml"
        self.resolver(tree.resolver)

    def resolver(self, address: str, more: str = "") -> None:
        self.config.write_text(f'[dns]\nservers = ["{address}"]\n{more}')

    def run(self, *arguments: str) -> tuple[int, str]:
        status = run(["dkim", "testkey", "-x", str(self.config), *arguments])
        said = self._capsys.readouterr()
        assert not said.err
        return status, said.out

    def __call__(self, name: str, *arguments: str) -> tuple[int, str]:
        selector, domain = name.split("@")
        return self.run("-d", domain, "-s", selector, "-k", str(self._keys.file), *arguments)


@pytest.fixture
def ask(tree: Tree, keys: Keys, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Asker:
    return Asker(tree, keys, tmp_path, capsys)


def test_a_good_key_has_the_four_lines_of_opendkim_testkey(ask: Asker, keys: Keys) -> None:
    assert ask("good@our.example", "-vv") == (
        0,
        f"{PROGRAM}: using configfile {ask.config}\n"
        f"{PROGRAM}: key loaded from {keys.file}\n"
        f"{PROGRAM}: checking key 'good._domainkey.our.example'\n"
        f"{PROGRAM}: key secure\n",
    )
    assert ask("good@our.example") == (0, f"{PROGRAM}: good._domainkey.our.example: key secure\n")


@pytest.mark.parametrize(
    "name, status, text",
    [
        ("none@our.example", 20, "record not found: nothing at none._domainkey.our.example on any server of "
         "our.example, serial 1"),
        ("revoked@our.example", 22, "key revoked (empty p=)"),
        ("several@our.example", 23, "several records: 2 TXT records at the name; 1 of them would do"),
        ("blanks@our.example", 24, "record split wrongly: blanks inside p="),
        ("quotes@our.example", 24, "record split wrongly: quotes inside p="),
        ("order@our.example", 24, "record split wrongly: its 3 strings are in the wrong order"),
        ("short@our.example", 24, "record split wrongly: p= ends after 250 of 392 characters"),
        ("pkcs1@our.example", 25, "p= is this key in another form"),
        ("spf@our.example", 25, "no key record: no p= in v=spf1 -all"),
        ("version@our.example", 26, "wrong v=: v=DKIM2, and not v=DKIM1"),
        ("late@our.example", 26, "wrong v=: v= is not the first tag"),
        ("kind@our.example", 27, "wrong k=: k=ed25519, and the key is rsa"),
        ("unknown@our.example", 27, "wrong k=: k=dsa, and the key is rsa"),
        ("hash@our.example", 28, "h= without sha256: h=sha1"),
        ("service@our.example", 29, "s= is not for email: s=tlsrpt"),
        ("differs@our.example", 30, "keys do not match"),
        ("testing@our.example", 31, "marked as a test (t=y)"),
        ("badds@badds.example", 20, "DS does not match the zone's keys"),
        ("good@badds.example", 40, "DS does not match the zone's keys: the DS of badds.example at example ("),
        ("good@nokeys.example", 40, "example has a DS of nokeys.example (key"),
        ("good@expired.example", 41, "DNSSEC signature expired: DNSKEY of expired.example, on 2"),
        ("good@early.example", 42, "DNSSEC signature not yet valid: DNSKEY of early.example, before 2"),
        ("good@bare.example", 43, "DNSSEC signature missing: TXT of good._domainkey.bare.example has no "
         "signature by bare.example"),
        ("good@forged.example", 28, "DNSSEC signature wrong: TXT of good._domainkey.forged.example by key"),
        ("good@forged.example", 28, "key bogus (DNSSEC failed): the resolver says SERVFAIL (dnssec bogus"),
        ("good@dead.example", 13, "DNS does not answer: "),
        ("astray@our.example", 20, "record not found: nothing at nowhere.far.example on any server of far"),
        ("loop@our.example", 13, "the aliases (CNAME) of loop._domainkey.our.example have no end"),
    ],
)  # fmt: skip
def test_each_defect_has_its_words_and_its_status(ask: Asker, name: str, status: int, text: str) -> None:
    found, said = ask(name)
    assert text in said
    assert found == status
    assert "to mend it: " in said
    assert "key OK" not in said
    assert "key secure" not in said


@pytest.mark.parametrize(
    "name, status, text",
    [
        ("good@unsigned.example", 52, "key not secure: unsigned.example is not signed, and example has no"),
        ("good@nods.example", 52, "key not secure: nods.example is signed, but example has no DS of it"),
        ("other@wild.example", 54, "a wildcard answers: a name that nobody made, below _domainkey.wild"),
        ("alias@our.example", 55, "an alias (CNAME): alias._domainkey.our.example is keys.far.example"),
        ("good@half.example", 56, "an authoritative server does not answer: ns2.half.example ["),
    ],
)  # fmt: skip
def test_what_works_all_the_same_is_a_warning(ask: Asker, name: str, status: int, text: str) -> None:
    for _ in range(3):
        found, said = ask(name)
        # On a busy machine the resolver may be late the first times that it meets a dead server.
        if found != 13:
            break
    assert f"warning: {text}" in said
    assert found == 0, said
    assert said.endswith("key OK\n" if status == 52 else "key secure\n")
    found, said = ask(name, "--strict")
    assert found == status
    assert "warning" not in said


def test_dnssec_can_be_required(ask: Asker, tree: Tree) -> None:
    assert ask("good@nods.example", "--require-dnssec")[0] == 52
    assert ask("good@our.example", "--require-dnssec")[0] == 0
    assert ask("alias@our.example", "--require-dnssec")[0] == 0
    ask.resolver(tree.resolver, "[sign]\nrequire_dnssec = true\n")
    assert ask("good@unsigned.example")[0] == 52


def test_a_resolver_that_does_not_validate_is_no_witness(ask: Asker, tree: Tree, tmp_path: Path) -> None:
    ask.resolver(tree.careless)
    status, said = ask("good@our.example")
    assert status == 0
    assert "warning: key not secure: every link is sound, but the resolver does not say so (no AD)" in said
    assert ask("good@our.example", "--require-dnssec")[0] == 53
    status, said = ask("good@expired.example")
    assert status == 41
    assert "key bogus" not in said


def test_a_trust_anchor_makes_our_own_look_proof_enough(ask: Asker, tree: Tree, tmp_path: Path) -> None:
    ask.resolver(tree.careless)
    anchor = tmp_path / "root.key"
    anchor.write_text(f"; the root\n{tree.anchor}\n")
    given = ("--trust-anchor", str(anchor), "--require-dnssec")
    status, said = ask("good@our.example", *given)
    assert (status, said) == (0, f"{PROGRAM}: good._domainkey.our.example: key secure\n")
    digest = tree.anchor.split()[-1]
    anchor.write_text(tree.anchor.replace(digest, digest[::-1]))
    status, said = ask("good@our.example", *given)
    assert status == 40
    assert "no trust anchor of the file is a key of the root" in said
    anchor.write_text("far.example. DS 1 13 2 " + "00" * 32 + "\n")
    assert ask("good@our.example", *given)[0] == 53


@pytest.mark.parametrize("text", ["", "nonsense\n", ". A 192.0.2.1\n", ". DS 1\n", ". DS x y z\n"])
def test_a_file_without_trust_anchors_is_wrong_usage(tmp_path: Path, text: str) -> None:
    anchor = tmp_path / "root.key"
    anchor.write_text(text)
    assert run(["dkim", "testkey", "-d", "our.example", "-s", "a", "--trust-anchor", str(anchor)]) == 64


def test_a_secondary_that_lags_is_named_with_its_serial(ask: Asker, tree: Tree, keys: Keys) -> None:
    tree.change("lag.example", line("good", *keys.strings()))
    status, said = ask("good@lag.example")
    assert status == 21
    assert (
        "not the same on all authoritative servers: 1 of 2 have it; "
        f"ns2.lag.example [{tree.host(2)}], serial 1: record not found" in said
    )


@pytest.mark.parametrize(
    "zone, command",
    [
        ("new.example", "unbound-control flush_zone new.example"),
        ("fresh.example", "unbound-control flush_negative"),
    ],
)
def test_what_the_resolver_remembers_is_told_with_the_time_and_the_command(
    ask: Asker, tree: Tree, keys: Keys, zone: str, command: str
) -> None:
    assert ask(f"good@{zone}")[0] == 20
    tree.change(zone, line("good", *keys.strings()))
    status, said = ask(f"good@{zone}")
    assert status == 50
    assert f"{command}, rndc flush" in said
    assert ", or wait 1" in said
    tree.control(*command.split()[1:])
    assert ask(f"good@{zone}")[0] == 0


def test_an_old_record_that_the_resolver_remembers_is_no_fault_of_the_zone(
    ask: Asker, tree: Tree, keys: Keys
) -> None:
    assert ask("good@old.example")[0] == 30
    tree.change("old.example", line("good", *keys.strings()))
    status, said = ask("good@old.example")
    assert status == 51
    assert "unbound-control flush_type good._domainkey.old.example TXT, " in said
    tree.control("flush_type", "good._domainkey.old.example", "TXT")
    assert ask("good@old.example")[0] == 0


def test_all_that_is_wrong_is_said_and_the_gravest_decides(ask: Asker, keys: Keys, tmp_path: Path) -> None:
    open_file = tmp_path / "open.pem"
    open_file.write_bytes(keys.file.read_bytes())
    open_file.chmod(0o644)
    status, said = ask.run("-d", "unsigned.example", "-s", "none", "-k", str(open_file))
    assert status == 11
    assert "key file not private" in said
    assert "mode 0644 is too open" in said
    assert "record not found" in said
    assert "unsigned.example is not signed" in said
    assert stat.S_IMODE(open_file.stat().st_mode) == 0o644


def test_a_key_file_that_is_missing_or_none_does_not_hide_the_record(ask: Asker, tmp_path: Path) -> None:
    status, said = ask.run("-d", "our.example", "-s", "revoked", "-k", str(tmp_path / "none.pem"))
    assert status == 10
    assert "key revoked" in said
    (tmp_path / "no.pem").write_text("no key\n")
    (tmp_path / "no.pem").chmod(0o600)
    assert ask.run("-d", "our.example", "-s", "good", "-k", str(tmp_path / "no.pem"))[0] == 12
    # What cannot be looked at is not missing: this, or a folder that is closed to who asks.
    assert ask.run("-d", "our.example", "-s", "good", "-k", str(tmp_path / ("n" * 300)))[0] == 12


def test_without_a_private_key_the_record_is_judged_alone(ask: Asker, tree: Tree, tmp_path: Path) -> None:
    ask.resolver(tree.resolver, f'[sign]\nkey_directory = "{tmp_path}"\n')
    assert ask.run("-d", "our.example", "-s", "good") == (
        0,
        f"{PROGRAM}: good._domainkey.our.example: key secure\n",
    )
    assert ask.run("-d", "our.example", "-s", "hash")[0] == 28
    assert ask.run("-d", "our.example", "-s", "unknown")[0] == 27


def test_without_options_all_keys_of_the_configuration_are_tested(ask: Asker, tree: Tree, keys: Keys) -> None:
    tables = "".join(
        f'[[sign.key]]\ndomain = "our.example"\nselector = "{each}"\nfile = "{keys.file}"\n'
        for each in ("good", "hash", "testing")
    )
    ask.resolver(tree.resolver, tables)
    status, said = ask.run()
    assert status == 28
    rows = said.splitlines()
    assert rows[0].split() == ["KEY", "STATE", "FINDINGS"]
    assert rows[1].split() == ["good._domainkey.our.example", "ok", "key", "secure"]
    assert rows[2].split()[:2] == ["hash._domainkey.our.example", "problem"]
    assert "\x1b" not in said
    assert ask.run("-s", "good")[0] == 0
    status, said = ask.run("-v")
    assert said.count("checking key '") == 3


def test_json_has_everything(ask: Asker, tree: Tree) -> None:
    status, said = ask("hash@our.example", "--json")
    data = json.loads(said)
    assert data["status"] == status == 28
    (key,) = data["keys"]
    assert [(each["finding"], each["status"]) for each in key["findings"]] == [("wrong-hash", 28)]
    assert [each["address"] for each in key["servers"]] == [tree.host(1), tree.host(2)]
    assert key["servers"][0]["serial"] == 1
    assert key["resolver"]["secure"] is True
    assert len(key["chain"]) == 4


def test_details_tell_of_each_server_and_each_link(ask: Asker, tree: Tree) -> None:
    _, said = ask("good@our.example", "-vvv")
    assert f"{PROGRAM}: server ns2.our.example [{tree.host(2)}]: found, 1 TXT, serial 1\n" in said
    assert f"{PROGRAM}: chain: DS of our.example at example: key " in said
    assert f"{PROGRAM}: resolver: found, 1 TXT, TTL " in said


def test_what_makes_no_sense_is_wrong_usage(ask: Asker, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["dkim", "testkey", "-k", "x.pem"]) == 64
    assert run(["dkim", "testkey", "-d", "no domain", "-s", "a"]) == 64
    assert run(["dkim", "testkey", "-x", str(ask.config)]) == 69
    assert "no [[sign.key]]" in capsys.readouterr().err
