"""postvouch dkim rotate is killed (SIGKILL) at every call that changes the disk, and run again."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from dnstree import Tree, Zone

from postvouch.host.rotation import read, write
from postvouch.host.rotationfiles import check_active
from postvouch.sign.keys import generate
from postvouch.sign.record import revoked, strings
from postvouch.sign.rotation import Key, Rotation, State

DOMAIN = "our.example"
NOW = 1_800_000_000
DAY = 86400


class Keys:
    """Private keys by selector."""

    def __init__(self):
        self.made = {"old": generate(), "old-ed25519": generate("ed25519"), "new": generate()}

    def line(self, selector, texts=None):
        quoted = " ".join(f'"{text}"' for text in texts or strings(self.made[selector][0]))
        return f"{selector}._domainkey TXT {quoted}"

    def write(self, folder, *selectors):
        for selector in selectors:
            path = folder / DOMAIN / f"{selector}.pem"
            path.write_bytes(self.made[selector][1])
            path.chmod(0o640)
            with contextlib.suppress(LookupError, PermissionError):
                shutil.chown(path, group="postvouch")

    def key(self, selector, state, generation, since, **more):
        private, _ = self.made[selector]
        return Key(
            selector=selector, kind=private.kind, public=private.public_text(), generation=generation,
            state=state, since=since, **more,
        )  # fmt: skip


@pytest.fixture(scope="module")
def keys():
    return Keys()


@pytest.fixture(scope="module")
def tree(tmp_path_factory, keys):
    empty = [keys.line(name, revoked(kind)) for name, kind in [("old", "rsa"), ("old-ed25519", "ed25519")]]
    zones = [
        Zone("our.example", "\n".join(keys.line(selector) for selector in keys.made), servers=2),
        Zone("empty.example", "\n".join([*empty, keys.line("new")]), servers=2),
    ]
    running = Tree(tmp_path_factory.mktemp("tree"), zones)
    yield running
    running.stop()


def killed(tree, folder, *arguments, now=NOW):
    """What came of a run that was killed at each place and begun again; the first is one that was not."""
    config = (
        '[general]\nrole = "relay"\nhostname = "srs.our.example"\ndomains = ["our.example"]\n'
        f'[dns]\nservers = ["{tree.resolver}"]\n[sign]\nkey_directory = "{{folder}}"\n'
    )
    job = {"folder": str(folder), "config": config, "port": tree.port, "now": now, "arguments": arguments}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(Path(__file__).with_name("killed.py"))], input=json.dumps(job),
        capture_output=True, text=True, check=False, cwd=Path(__file__).parent,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    whole, *rest = json.loads(done.stdout)
    deaths = [each for each in rest if os.WIFSIGNALED(each["status"])]
    assert {os.WTERMSIG(each["status"]) for each in deaths} == {signal.SIGKILL}
    for each in deaths:
        assert each["after"] == whole["after"], each
        assert os.WEXITSTATUS(each["again"]) == os.WEXITSTATUS(whole["again"]), each["said"]
    return whole, deaths


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "keys" / DOMAIN).mkdir(parents=True)
    return tmp_path / "keys"


def states(between):
    return {key["selector"]: key["state"] for key in between["state"].get("keys", [])}


def test_while_the_first_keys_are_made(tree, folder):
    (folder / DOMAIN).rmdir()
    whole, deaths = killed(tree, folder, DOMAIN, "--type", "both")
    assert states(whole["after"]) == {"2027-srs": "made", "2027-srs-ed25519": "made"}
    assert set(whole["after"]["files"]) == {
        f"{DOMAIN}/{name}"
        for name in ("2027-srs.pem", "2027-srs-ed25519.pem", "rotation.json", "rotation.lock")
    }
    assert len(deaths) > 15
    for each in deaths:
        # No state names a key that is not there.
        for selector in states(each["between"]):
            assert f"{DOMAIN}/{selector}.pem" in each["between"]["files"]
    # Both halves were seen: one key without the other, and both without a state.
    assert {sum(name.endswith(".pem") for name in each["between"]["files"]) for each in deaths} == {0, 1, 2}


def test_while_the_new_key_becomes_active(tree, folder, keys):
    keys.write(folder, "old", "old-ed25519", "new")
    since = NOW - 300 * DAY
    before = Rotation(
        domain=DOMAIN, maker="srs.our.example",
        keys=(
            keys.key("old", State.ACTIVE, 1, since), keys.key("old-ed25519", State.ACTIVE, 1, since),
            keys.key("new", State.PUBLISHED, 2, NOW - DAY, hold_s=300),
        ),
    )  # fmt: skip
    write(str(folder), before)
    whole, deaths = killed(tree, folder, DOMAIN)
    assert states(whole["after"]) == {"old": "retiring", "old-ed25519": "retiring", "new": "active"}
    assert len(deaths) >= 5
    for each in deaths:
        assert states(each["between"]) in (
            states(whole["after"]),
            {key.selector: key.state for key in before.keys},
        )


def test_while_old_keys_are_given_up(tree, folder, keys):
    domain = "empty.example"
    keys.write(folder, "old", "old-ed25519", "new")
    (folder / DOMAIN).rename(folder / domain)
    since = NOW - 11 * DAY
    write(
        str(folder),
        Rotation(
            domain=domain, maker="srs.our.example",
            keys=(
                keys.key("old", State.RETIRING, 1, since, stopped=since),
                keys.key("old-ed25519", State.RETIRING, 1, since, stopped=since),
                keys.key("new", State.ACTIVE, 2, since),
            ),
        ),
    )  # fmt: skip
    whole, deaths = killed(tree, folder, domain)
    assert states(whole["after"]) == {"old": "revoked", "old-ed25519": "revoked", "new": "active"}
    assert [name for name in whole["after"]["files"] if name.endswith(".pem")] == [f"{domain}/new.pem"]
    # Before, between and after.
    assert {sum(name.endswith(".pem") for name in each["between"]["files"]) for each in deaths} == {1, 2, 3}
    for each in deaths:
        if sum(name.endswith(".pem") for name in each["between"]["files"]) < 3:
            assert states(each["between"])["old"] == "revoked"


def test_while_a_key_is_adopted_and_replaced(tree, folder, keys):
    keys.write(folder, "old")
    whole, deaths = killed(tree, folder, DOMAIN, "--adopt", "old")
    assert states(whole["after"]) == {"old": "active"}
    assert len(deaths) >= 5
    copies = [path for path in folder.parent.glob("copy*") if path.is_dir()]
    for copy in copies:
        check_active(str(copy), read(str(copy), DOMAIN))
