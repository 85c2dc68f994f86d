"""Keys that sign are looked up in DNS: what is not published is told, or does not begin to sign."""

import os
from pathlib import Path

import pytest
from fakedns import Zone

from postvouch.host.keydns import AGAIN_S, SOON_S, PublishedKeys, unpublished
from postvouch.host.keyfiles import load_ring
from postvouch.host.keyfolder import write_new
from postvouch.host.keywatch import INTERVAL_S, KeyWatch
from postvouch.host.log import Log
from postvouch.sign.keys import KeyRing, KeySpec, SigningKey, generate
from postvouch.values.address import Address

AUTHOR = Address("bob", "our.example")
MADE = {selector: generate("ed25519") for selector in ("a", "b")}


def record(selector: str, of: str = "") -> str:
    key, _ = MADE[of or selector]
    return f"{selector}._domainkey.our.example TXT v=DKIM1; k=ed25519; p={key.public_text()}"


SILENT = ("a._domainkey.our.example TEMPERROR", "b._domainkey.our.example TEMPERROR")


class Scene:
    """Two keys of one domain on disk, what DNS has of them, and a watch."""

    def __init__(self, tmp_path: Path, *records: str, refuse: bool) -> None:
        self.folder = tmp_path / "keys"
        self.folder.mkdir(mode=0o750)
        self.now = 100.0
        self.zone = Zone(records)
        self.text = tmp_path / "log"
        log = Log(program="t", descriptor=os.open(self.text, os.O_CREAT | os.O_WRONLY | os.O_APPEND))
        for selector, (_, pem) in MADE.items():
            write_new(str(self.folder / f"{selector}.pem"), pem)
        self.published = PublishedKeys(lambda keys: self.zone, log, refuse=refuse)
        self.watch = KeyWatch(
            self.load, [str(self.folder)], log, published=self.published, clock=lambda: self.now
        )
        self.watch.poll()

    def load(self) -> KeyRing:
        return load_ring(
            KeySpec(domain="our.example", selector=file.stem, file=str(file))
            for file in sorted(self.folder.glob("*.pem"))
        )

    def later(self, seconds: float, *records: str) -> None:
        self.zone = Zone(records)
        self.now += seconds
        self.watch.poll()

    def signing(self) -> str:
        keys = self.watch.ring.find(AUTHOR)
        assert keys is not None
        return "deferred" if keys.problem else " ".join(key.selector for key in keys.keys)

    def lines(self) -> list[str]:
        return self.text.read_text().splitlines()


def test_warn_signs_on_and_tells_once_what_fails_and_once_that_it_is_mended(tmp_path: Path) -> None:
    scene = Scene(tmp_path, record("a"), refuse=False)
    assert scene.zone.asked == []  # a start waits for nobody
    scene.later(INTERVAL_S, record("a"))
    assert scene.signing() == "a b"
    [line] = scene.lines()
    assert "letters are signed that fail: b._domainkey.our.example: record not found" in line
    for _ in range(3):
        scene.later(SOON_S, record("a"))
    assert len(scene.lines()) == 1
    scene.later(SOON_S, record("a"), record("b"))
    assert [line.partition(": ")[2] for line in scene.lines()[1:]] == ["all keys are published"]


def test_refuse_begins_with_what_is_published_and_takes_more_as_it_comes(tmp_path: Path) -> None:
    scene = Scene(tmp_path, record("a"), refuse=True)
    assert scene.signing() == "a"
    assert "b._domainkey.our.example: record not found" in scene.lines()[0]
    scene.later(SOON_S, record("a"), record("b"))
    assert scene.signing() == "a b"
    assert scene.lines()[-1].endswith("keys have been published and are in use")


def test_refuse_defers_where_no_key_is_published(tmp_path: Path) -> None:
    scene = Scene(tmp_path, record("a", of="b"), refuse=True)
    assert scene.signing() == "deferred"
    assert "a._domainkey.our.example: keys do not match" in scene.lines()[0]
    scene.later(SOON_S, record("b"))
    assert scene.signing() == "b"


def test_a_key_that_signs_goes_on_when_its_record_goes_but_not_in_silence(tmp_path: Path) -> None:
    scene = Scene(tmp_path, record("a"), record("b"), refuse=True)
    scene.later(AGAIN_S, record("a"))
    assert scene.signing() == "a b"
    [line] = scene.lines()
    assert "the keys in use stay: b._domainkey.our.example: record not found" in line


def test_a_new_key_on_disk_waits_until_it_is_published(tmp_path: Path) -> None:
    scene = Scene(tmp_path, record("a"), record("b"), refuse=True)
    (scene.folder / "a.pem").unlink()
    (scene.folder / "b.pem").unlink()
    new, pem = generate("ed25519")
    write_new(str(scene.folder / "c.pem"), pem)
    scene.later(INTERVAL_S, record("a"), record("b"))
    assert scene.signing() == "a b"
    assert "the keys in use stay: c._domainkey.our.example: record not found" in scene.lines()[-1]
    scene.later(SOON_S)
    assert scene.signing() == "a b"
    scene.later(SOON_S, f"c._domainkey.our.example TXT v=DKIM1; k=ed25519; p={new.public_text()}")
    assert scene.signing() == "c"
    assert scene.lines()[-1].endswith("keys have been published and are in use")


def test_another_key_under_the_same_name_waits_until_it_is_published(tmp_path: Path) -> None:
    scene = Scene(tmp_path, record("a"), record("b"), refuse=True)
    (scene.folder / "a.pem").unlink()
    new, pem = generate("ed25519")
    write_new(str(scene.folder / "a.pem"), pem)
    scene.later(INTERVAL_S, record("a"), record("b"))
    keys = {key.selector: key.private.public_text() for key in scene.watch.ring.keys}
    assert keys["a"] == MADE["a"][0].public_text()
    assert "the keys in use stay: a._domainkey.our.example: keys do not match" in scene.lines()[-1]
    scene.later(
        SOON_S, record("b"), f"a._domainkey.our.example TXT v=DKIM1; k=ed25519; p={new.public_text()}"
    )
    keys = {key.selector: key.private.public_text() for key in scene.watch.ring.keys}
    assert keys["a"] == new.public_text()


@pytest.mark.parametrize("refuse", [True, False])
def test_a_broken_file_is_not_taken_by_a_later_look_at_dns(tmp_path: Path, refuse: bool) -> None:
    scene = Scene(tmp_path, record("a"), record("b"), refuse=refuse)
    (scene.folder / "a.pem").write_bytes(b"no key")
    for seconds in (INTERVAL_S, INTERVAL_S, AGAIN_S, AGAIN_S):
        scene.later(seconds, record("a"), record("b"))
        assert scene.signing() == "a b"
    assert len([line for line in scene.lines() if "the keys in use stay: " in line]) == 1


@pytest.mark.parametrize("refuse", [True, False])
def test_silence_of_dns_is_held_against_no_key_and_changes_no_verdict(tmp_path: Path, refuse: bool) -> None:
    scene = Scene(tmp_path, *SILENT, refuse=refuse)
    scene.later(INTERVAL_S, *SILENT)
    assert scene.signing() == "a b"
    assert scene.lines() == []
    assert scene.published.wait_s == SOON_S
    (tmp_path / "two").mkdir()
    scene = Scene(tmp_path / "two", record("a"), refuse=True)
    scene.later(SOON_S, *SILENT)
    assert scene.signing() == "a"


def test_of_a_key_that_is_gone_nothing_is_remembered(tmp_path: Path) -> None:
    scene = Scene(tmp_path, record("a"), refuse=True)
    assert scene.published.wait_s == SOON_S
    (scene.folder / "b.pem").unlink()
    scene.later(INTERVAL_S, record("a"))
    assert (scene.signing(), scene.published.wait_s) == ("a", AGAIN_S)


def test_all_well_is_looked_at_each_hour(tmp_path: Path) -> None:
    scene = Scene(tmp_path, record("a"), record("b"), refuse=True)
    scene.later(AGAIN_S - INTERVAL_S, record("a"), record("b"))
    assert scene.zone.asked == []
    scene.later(INTERVAL_S, record("a"), record("b"))
    assert len(scene.zone.asked) == 2


def test_a_record_marked_as_a_test_is_no_fault() -> None:
    key = SigningKey(domain="our.example", selector="a", private=MADE["a"][0])
    assert unpublished(key, Zone((record("a") + "; t=y",))) == ""
    assert unpublished(key, Zone(())) is not None
    assert unpublished(key, Zone(SILENT)) is None
