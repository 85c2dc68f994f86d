"""postvouch dkim list: every key, what it is for, what is wrong with it."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest
from dnsserver import serving

from postvouch.cli.keyinventory import Listed
from postvouch.cli.keylist import judge
from postvouch.cli.main import run
from postvouch.host import rotation
from postvouch.sign import record
from postvouch.sign.keys import generate
from postvouch.sign.rotation import Key, Rotation, State
from postvouch.values.dns import NO_SUCH_NAME, Records, Status

ED, PEM = generate("ed25519")
OTHER, _ = generate("ed25519")
PUBLISHED = "".join(record.strings(ED))
REVOKED = "".join(record.revoked("ed25519"))
HEAD = '[general]\nrole = "relay"\nhostname = "r.our.example"\ndomains = ["our.example", "crm.our.example"]\n'


class House:
    """A configuration and a folder of keys."""

    def __init__(self, folder: Path) -> None:
        self.keys = folder / "keys"
        self.path = folder / "postvouch.toml"
        self.text = HEAD + f'[sign]\nkey_directory = "{self.keys}"\n'
        self.path.write_text(self.text)

    def key(self, selector, domain="our.example", mode=0o600, age_s=0):
        """Put a key where it belongs."""
        file = self.keys / domain / f"{selector}.pem"
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        file.write_bytes(PEM)
        file.chmod(mode)
        os.utime(file, (time.time() - age_s,) * 2)
        return file

    def table(self, **settings):
        """Add a [[sign.key]] table."""
        lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
        self.text += "\n".join(["[[sign.key]]", *lines, ""])
        self.path.write_text(self.text)

    def managed(self, *keys, domain="our.example"):
        """Write rotation.json: (selector, state) each; the files are those of ``key``."""
        (self.keys / domain).mkdir(parents=True, exist_ok=True, mode=0o750)
        now = int(time.time())
        over = (State.RETIRING, State.REVOKED, State.DELETED)
        several = tuple(
            Key(
                selector=selector,
                kind="ed25519",
                public="A" * 44,
                generation=number,
                state=state,
                since=now - 7200,
                stopped=now - 3600 if state in over else None,
            )
            for number, (selector, state) in enumerate(keys)
        )
        rotation.write(str(self.keys), Rotation(domain=domain, maker="r.our.example", keys=several))

    def list(self, capsys, *arguments, status=0):
        """The keys by selector, as JSON has them."""
        assert run(["dkim", "list", "--config", str(self.path), "--json", *arguments]) == status
        return {each["selector"]: each for each in json.loads(capsys.readouterr().out)["keys"]}


@pytest.fixture
def house(tmp_path):
    return House(tmp_path)


def test_plain_templated_managed_and_forgotten_keys_are_listed(house, capsys):
    year = time.localtime().tm_year
    house.key(f"{year - 1}-r", age_s=90000)
    house.key("plain", age_s=30)
    house.key("left-over")
    for selector in ("old", "now", "next"):
        house.key(selector, "crm.our.example")
    house.managed(
        ("gone", State.DELETED), ("older", State.REVOKED), ("old", State.RETIRING), ("now", State.ACTIVE),
        ("next", State.MADE), domain="crm.our.example",
    )  # fmt: skip
    house.table(domain="our.example", selector="{year}-{shorthost}", subdomains=True)
    house.table(domain="our.example", selector="plain", authors=["news-*@our.example"])
    house.table(domain="crm.our.example")
    found = house.list(capsys)
    assert {name: (each["state"], each["used_for"]) for name, each in found.items()} == {
        f"{year - 1}-r": ("signs", ["our.example", "*.our.example"]),
        "plain": ("signs", ["news-*@our.example"]),
        "now": ("signs", ["crm.our.example"]),
        "older": ("revoked", []),
        "old": ("retiring", []),
        "next": ("made", []),
        "left-over": ("unused", []),
    }
    assert {each["problem"] for each in found.values()} == {None}
    assert {(each["kind"], each["bits"]) for name, each in found.items() if name != "older"} == {
        ("ed25519", 256)
    }
    assert abs(found["plain"]["made"] - (time.time() - 30)) < 20
    assert abs(found["older"]["made"] - (time.time() - 7200)) < 20
    assert set(house.list(capsys, "-d", "crm.our.example")) == {"now", "older", "old", "next"}


def test_a_pipe_gets_plain_columns(house, capsys):
    house.key("a", age_s=90000)
    house.table(domain="our.example", selector="a")
    assert run(["dkim", "list", "--config", str(house.path)]) == 0
    header, row = capsys.readouterr().out.splitlines()
    assert header.split() == ["DOMAIN", "SELECTOR", "KEY", "AGE", "STATE", "FOR", "FILE"]
    assert row.split() == [
        "our.example",
        "a",
        "ed25519",
        "1d",
        "signs",
        "our.example",
        f"{house.keys}/our.example/a.pem",
    ]


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o604])
def test_a_key_that_is_not_private_needs_attention(house, capsys, mode):
    file = house.key("a", mode=mode)
    house.table(domain="our.example", selector="a")
    found = house.list(capsys, status=1)
    assert f"chmod {mode & 0o740:04o} {file}" in found["a"]["problem"]
    assert run(["dkim", "list", "--config", str(house.path)]) == 1
    assert f"problem: a._domainkey.our.example: {file}: mode {mode:04o}" in capsys.readouterr().out


def test_a_key_that_is_missing_needs_attention_and_so_does_a_left_over_that_others_can_read(house, capsys):
    house.table(domain="our.example", selector="a")
    house.key("b", mode=0o644)
    found = house.list(capsys, status=1)
    assert "no such file" in found["a"]["problem"]
    assert found["a"]["made"] is None
    assert "chmod" in found["b"]["problem"]


def test_managed_keys_that_cannot_be_found_out_need_attention(house, capsys):
    house.table(domain="our.example")
    [found] = house.list(capsys, status=1).values()
    assert "rotation.json" in found["problem"]
    house.managed(("next", State.MADE))
    house.key("next")
    found = house.list(capsys, status=1)
    assert "no key is active yet" in found[None]["problem"]
    assert found["next"]["state"] == "made"
    (house.keys / "our.example" / "rotation.json").write_text("{}")
    found = house.list(capsys, status=1)
    assert "rotation.json" in found[None]["problem"]
    assert found["next"]["state"] == "unused"


def test_a_rotation_that_no_table_uses_is_told(house, capsys):
    house.managed(("now", State.ACTIVE))
    house.key("now")
    found = house.list(capsys, status=1)["now"]
    assert (found["state"], found["problem"]) == (
        "active",
        "rotate has it active, but no [[sign.key]] uses it",
    )
    (house.keys / "our.example" / "rotation.json").write_text("{}")
    assert "rotation.json" in house.list(capsys, status=1)[None]["problem"]


def test_no_configuration_and_no_keys_are_no_error(tmp_path, capsys):
    house = House(tmp_path)
    assert run(["dkim", "list", "--config", str(house.path)]) == 0
    assert "no keys" in capsys.readouterr().err
    shutil.rmtree(house.keys, ignore_errors=True)
    house.path.write_text('[sign]\nkey_directory = "/nowhere/at/all"\n')
    assert house.list(capsys) == {}


def test_the_resolver_is_asked_what_is_published(house, capsys):
    for selector in ("good", "missing", "different", "silent", "unused"):
        house.key(selector)
        if selector != "unused":
            house.table(domain="our.example", selector=selector)
    with serving(
        f"good._domainkey.our.example TXT {PUBLISHED}",
        f"different._domainkey.our.example TXT {''.join(record.strings(OTHER))}",
        "silent._domainkey.our.example TEMPERROR",
    ) as server:
        house.path.write_text(house.text + f'[dns]\nservers = ["{server}"]\n')
        found = house.list(capsys, "--dns", status=1)
        assert run(["dkim", "list", "--dns", "--config", str(house.path)]) == 1
        printed = capsys.readouterr().out
        assert {name: (each["dns"]["state"], each["dns"]["wrong"]) for name, each in found.items()} == {
            "good": ("insecure", False),
            "missing": ("not-published", True),
            "different": ("differs", True),
            "silent": ("dns-unavailable", True),
            "unused": ("not-published", False),
        }
        assert printed.splitlines()[0].split()[5] == "DNS"
        assert "problem: missing._domainkey.our.example: " in printed


def answer(*texts: str, secure: bool = False) -> Records:
    return Records(status=Status.FOUND, values=tuple(text.encode() for text in texts), secure=secure)


NOTHING = NO_SUCH_NAME
TESTING = "".join(record.strings(ED, testing=True))


@pytest.mark.parametrize(
    "state, records, word, wrong",
    [
        ("signs", answer(PUBLISHED, secure=True), "secure", False),
        ("signs", answer(PUBLISHED), "insecure", False),
        ("signs", answer(REVOKED), "revoked", True),
        ("signs", answer(TESTING), "testing", True),
        ("signs", answer(PUBLISHED, PUBLISHED), "several-records", True),
        ("signs", NOTHING, "not-published", True),
        (State.ACTIVE, NOTHING, "not-published", True),
        (State.PUBLISHED, NOTHING, "not-published", True),
        (State.MADE, NOTHING, "not-published", False),
        (State.MADE, answer(PUBLISHED), "insecure", False),
        (State.RETIRING, answer(PUBLISHED), "insecure", False),
        (State.RETIRING, answer(REVOKED), "revoked", False),
        (State.RETIRING, NOTHING, "not-published", True),
        (State.REVOKED, answer(REVOKED), "revoked", False),
        (State.REVOKED, NOTHING, "not-published", False),
        (State.REVOKED, answer(PUBLISHED), "insecure", True),
        ("unused", NOTHING, "not-published", False),
        ("unused", answer(REVOKED), "revoked", False),
    ],
)
def test_what_should_be_published_follows_from_the_state(state, records, word, wrong):
    key = Listed(
        domain="our.example", selector="s", state=state, private=None if state == State.REVOKED else ED
    )
    found = judge(key, records, require_dnssec=False)
    assert (found.word, found.wrong) == (word, wrong)


@pytest.mark.parametrize("secure", [True, False])
@pytest.mark.parametrize("state", ["signs", State.ACTIVE, State.MADE, "unused"])
def test_where_dnssec_is_required_the_records_of_keys_that_sign_have_to_be_secure(state, secure):
    key = Listed(domain="our.example", selector="s", state=state, private=ED)
    found = judge(key, answer(PUBLISHED, secure=secure), require_dnssec=True)
    assert found.wrong == (not secure and state in ("signs", State.ACTIVE))
