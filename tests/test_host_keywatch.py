"""Keys that change on disk: a new ring or the old one with a complaint, and never a mixture."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from postvouch.host.keyfiles import load_ring
from postvouch.host.keyfolder import write_new
from postvouch.host.keywatch import INTERVAL_S, KeyWatch, look
from postvouch.host.log import Log
from postvouch.sign.keys import KeyRing, KeySpec, generate
from postvouch.values.address import Address

AUTHOR = Address("bob", "our.example")
PEMS = [generate("ed25519")[1] for _ in range(4)]


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Scene:
    """A folder of keys, all *.pem of it in use, and a watch on it."""

    def __init__(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "keys"
        self.folder.mkdir(mode=0o750)
        self.text = tmp_path / "log"
        self.clock = Clock()
        self.loads = 0
        self.files = ("a.pem", "b.pem")
        for file, pem in zip(self.files, PEMS, strict=False):
            self.write(file, pem)
        self.log = Log(program="t", descriptor=os.open(self.text, os.O_CREAT | os.O_WRONLY | os.O_APPEND))
        self.watch = KeyWatch(self.load, [str(self.folder)], self.log, clock=self.clock)

    def load(self) -> KeyRing:
        self.loads += 1
        return load_ring(
            KeySpec(domain="our.example", selector=file[0], file=str(self.folder / file))
            for file in self.files
        )

    def write(self, file: str, pem: bytes) -> None:
        (self.folder / file).unlink(missing_ok=True)
        write_new(str(self.folder / file), pem)

    def pass_by(self) -> None:
        self.clock.now += INTERVAL_S
        self.watch.poll()

    def lines(self) -> list[str]:
        return self.text.read_text().splitlines()

    def public(self) -> list[bytes]:
        keys = self.watch.ring.find(AUTHOR)
        assert keys is not None
        return [key.private.public() for key in keys.keys]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_nothing_is_read_again_while_nothing_changes(scene: Scene) -> None:
    ring = scene.watch.ring
    for _ in range(5):
        scene.pass_by()
    assert (scene.watch.ring, scene.loads, scene.lines()) == (ring, 1, [])


def test_a_key_that_is_replaced_is_in_use_soon_but_not_at_once(scene: Scene) -> None:
    before = scene.public()
    scene.write("a.pem", PEMS[2])
    scene.watch.poll()
    assert scene.public() == before
    scene.pass_by()
    assert scene.public()[0] != before[0]
    assert scene.public()[1] == before[1]
    assert "keys have changed on disk and are in use" in scene.lines()[0]


def test_a_key_that_is_written_over_in_place_is_seen_too(scene: Scene) -> None:
    before = scene.public()
    (scene.folder / "a.pem").write_bytes(PEMS[2])
    scene.pass_by()
    assert scene.public()[0] != before[0]


@pytest.mark.parametrize(
    "harm",
    [
        lambda scene: (scene.folder / "a.pem").unlink(),
        lambda scene: (scene.folder / "a.pem").write_bytes(b"half a k"),
        lambda scene: (scene.folder / "a.pem").chmod(0o644),
        lambda scene: scene.folder.chmod(0o777),
        lambda scene: scene.folder.rename(scene.folder.with_name("elsewhere")),
    ],
)
def test_what_turns_bad_leaves_the_old_keys_in_use_with_one_complaint(
    scene: Scene, harm: Callable[[Scene], object]
) -> None:
    ring = scene.watch.ring
    harm(scene)
    for _ in range(4):
        scene.pass_by()
    assert scene.watch.ring is ring
    (line,) = scene.lines()
    assert "the keys in use stay: " in line
    assert "a.pem: " in line


def test_a_folder_above_that_others_may_write_to_is_noticed(scene: Scene) -> None:
    ring = scene.watch.ring
    scene.folder.parent.chmod(0o777)
    scene.pass_by()
    assert scene.watch.ring is ring
    assert "has mode 0777" in scene.lines()[0]


def test_what_is_mended_is_in_use_again_and_the_next_fault_is_told_again(scene: Scene) -> None:
    for pem in PEMS[2:]:
        (scene.folder / "a.pem").unlink()
        scene.pass_by()
        scene.write("a.pem", pem)
        scene.pass_by()
    told = [line.partition(": ")[2].partition(":")[0] for line in scene.lines()]
    assert told == ["the keys in use stay", "keys have changed on disk and are in use"] * 2


def test_a_fault_that_was_there_from_the_start_keeps_no_other_key_back(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.files = ("a.pem", "never.pem")
    scene.watch = KeyWatch(scene.load, [str(scene.folder)], scene.log, clock=scene.clock)
    assert len(scene.watch.ring.problems) == 1
    scene.write("a.pem", PEMS[2])
    scene.pass_by()
    assert len(scene.watch.ring.problems) == 1
    scene.write("never.pem", PEMS[3])
    scene.pass_by()
    assert scene.watch.ring.problems == ()
    assert len(scene.public()) == 2


def test_drafts_and_locks_of_those_who_write_are_no_change(scene: Scene) -> None:
    (scene.folder / "rotation.lock").write_text("held")
    (scene.folder / ".a.pem.new").write_text("half")
    scene.pass_by()
    (scene.folder / "rotation.json").write_text("{}")
    scene.pass_by()
    assert scene.loads == 2


def test_a_new_year_is_a_change(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    then = time.localtime(time.time() + 366 * 86400)
    monkeypatch.setattr(time, "localtime", lambda *args: then)
    scene.pass_by()
    assert scene.loads == 2


def test_a_letter_sees_one_ring_whole_however_often_keys_change(scene: Scene) -> None:
    pairs = [PEMS[:2], PEMS[2:]]
    whole: set[tuple[bytes, ...]] = set()
    broken: list[object] = []
    ended = threading.Event()

    def letters() -> None:
        while not ended.is_set():
            keys = scene.watch.ring.find(AUTHOR)
            if keys is None or keys.problem or len(keys.keys) != 2:
                broken.append(keys)
                return
            whole.add(tuple(key.private.public() for key in keys.keys))

    threads = [threading.Thread(target=letters) for _ in range(2)]
    for thread in threads:
        thread.start()
    seen = set()
    for number in range(10):
        # Both change between two looks, as rotation.json would have them.
        for file, pem in zip(scene.files, pairs[number % 2], strict=True):
            scene.write(file, pem)
        scene.pass_by()
        seen.add(tuple(scene.public()))
    ended.set()
    for thread in threads:
        thread.join()
    assert broken == []
    assert len(seen) == 2
    assert whole <= seen


def test_who_comes_while_another_looks_does_not_wait_for_him(scene: Scene) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def slow() -> KeyRing:
        if threading.current_thread() is not threading.main_thread():
            inside.set()
            assert go_on.wait(10)
        return scene.load()

    watch = KeyWatch(slow, [str(scene.folder)], scene.log, clock=scene.clock)
    scene.write("b.pem", PEMS[3])
    scene.clock.now += INTERVAL_S
    first = threading.Thread(target=watch.poll)
    first.start()
    assert inside.wait(10)
    loads = scene.loads
    watch.poll()
    assert scene.loads == loads
    go_on.set()
    first.join()
    assert scene.loads == loads + 1


def test_looking_is_cheap(scene: Scene) -> None:
    for number in range(100):
        (scene.folder / f"{number}.txt").write_text("x")
    began = time.process_time()
    for _ in range(10):
        look([str(scene.folder)])
    assert (time.process_time() - began) / 10 < 0.02
