"""The snapshot file: whole or not at all, checked, aged, followed."""

import itertools
import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from names import NAMES, read

from postvouch.directory import resolve, shrink, snapshot, times
from postvouch.directory.compile import compile_directory
from postvouch.directory.model import FILES, LDAP, Entry, Kind, Part
from postvouch.values.answer import Found

PART, _ = read(NAMES)
BOB = Entry(kind=Kind.FORWARD, name="bob@our.example", values=("Bob@gmail.example",), source="uid=bob,ou=x")
PARTS = (PART, Part(origin=LDAP, strict=False, entries=(BOB,), read_at=50.5))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "directory.snapshot"


def test_what_is_saved_is_read_again_with_its_times_and_sources(path: Path) -> None:
    saved = snapshot.save(path, PARTS)
    assert snapshot.read(path) == saved
    assert saved.parts == PARTS
    assert saved.digest == snapshot.digest_of(PARTS)
    directory = snapshot.load(path)
    assert directory.verified_at == 1.0
    assert resolve.forward(directory, "bob@our.example") == Found("Bob@gmail.example", "uid=bob,ou=x")


def test_the_file_is_for_the_group_and_nobody_else_whatever_the_umask(path: Path) -> None:
    before = os.umask(0)
    try:
        snapshot.save(path, PARTS)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_failed_save_leaves_the_old_file_and_no_rest(path: Path) -> None:
    snapshot.save(path, PARTS)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        snapshot.save(path, [replace(PART, read_at=object())])  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        snapshot.save(path.parent / "nowhere" / "x", PARTS)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_the_digest_is_about_names_and_not_about_times(path: Path) -> None:
    later = tuple(replace(part, read_at=part.read_at + 5) for part in PARTS)
    assert snapshot.save(path, PARTS).digest == snapshot.save(path, later).digest
    assert snapshot.read(path).parts[1].read_at == 55.5


@given(st.data())
def test_no_damage_whatever_passes_for_a_snapshot(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("damage") / "snapshot"
    snapshot.save(path, PARTS)
    octets = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        octets[data.draw(st.integers(0, len(octets) - 1))] ^= data.draw(st.integers(1, 255))
    else:
        del octets[data.draw(st.integers(0, len(octets) - 1)) :]
    path.write_bytes(octets)
    with pytest.raises(snapshot.SnapshotError):
        snapshot.read(path)


def test_missing_foreign_and_newer_files_are_told_apart(path: Path) -> None:
    with pytest.raises(snapshot.SnapshotError, match="No such file"):
        snapshot.read(path)
    path.write_text("hello\n")
    with pytest.raises(snapshot.SnapshotError, match="no snapshot of ours"):
        snapshot.read(path)
    snapshot.save(path, PARTS)
    path.write_bytes(path.read_bytes().replace(b"directory 2 ", b"directory 3 ", 1))
    with pytest.raises(snapshot.SnapshotError, match="version 3"):
        snapshot.read(path)


def test_entries_are_json_lines_that_a_person_can_grep(path: Path) -> None:
    snapshot.save(path, PARTS)
    (line,) = [line for line in path.read_bytes().splitlines() if b'"uid=bob' in line and line[:2] == b'["']
    assert json.loads(line) == ["ldap", "forward", "bob@our.example", ["Bob@gmail.example"], "uid=bob,ou=x"]


def forwards(count: int, origin: str = FILES) -> Part:
    entries = (replace(BOB, name=f"u{n}@our.example") for n in range(count))
    return Part(origin=origin, entries=tuple(entries), read_at=1.0)


@pytest.mark.parametrize("before, after, percent, refused", [
    (100, 80, 20, False), (100, 79, 20, True), (100, 100, 0, False), (100, 99, 0, True), (3, 5, 0, False),
    (100, 0, 100, False), (100, 0, 99, True), (0, 0, 20, False), (0, 9, 20, False),
])  # fmt: skip
def test_a_directory_may_shrink_by_so_much(before: int, after: int, percent: int, refused: bool) -> None:
    assert bool(shrink.shrunk([forwards(before)], [forwards(after)], percent)) is refused


def test_losing_one_whole_source_is_too_much_however_small_it_is() -> None:
    old = [forwards(100), forwards(1, LDAP)]
    assert "all 1 entries from ldap are gone" in shrink.shrunk(old, [forwards(100), forwards(0, LDAP)], 20)
    assert "all 1 entries from ldap are gone" in shrink.shrunk(old, [forwards(100)], 20)


def test_a_watch_takes_a_new_file_and_keeps_the_old_directory_when_the_file_is_bad(path: Path) -> None:
    watch = snapshot.Watch(path)
    assert not watch.poll()
    assert "no such file" in watch.problem
    snapshot.save(path, PARTS)
    assert watch.poll()
    assert not watch.problem
    assert not watch.poll()
    path.write_text("half")
    assert not watch.poll()
    assert "no snapshot of ours" in watch.problem
    assert watch.directory is not None
    assert "bob@our.example" in watch.directory.names
    snapshot.save(path, (PART,))
    assert watch.poll()
    assert "bob@our.example" not in watch.directory.names


def test_a_watch_does_not_compile_again_where_only_the_times_are_new(path: Path) -> None:
    watch = snapshot.Watch(path)
    snapshot.save(path, PARTS)
    watch.poll()
    first = watch.directory
    snapshot.save(path, tuple(replace(part, read_at=99.0) for part in PARTS))
    assert watch.poll()
    assert first is not None
    assert watch.directory is not None
    assert watch.directory.names is first.names
    assert (first.verified_at, watch.directory.verified_at) == (1.0, 99.0)


@pytest.mark.parametrize("role", ["mx", "srs", "submission", "single"])
def test_from_the_file_every_question_has_the_answer_that_it_had_before(path: Path, role: str) -> None:
    snapshot.save(path, PARTS)
    made, loaded = compile_directory(PARTS).directory, snapshot.load(path)
    keys = {
        *made.names,
        *made.users,
        *made.roles,
        "nobody@our.example",
        "bob+x@our.example",
        "old.example",
        "x",
    }
    for key, name in itertools.product(sorted(keys), resolve.MAPS):
        asked = [resolve.lookup(each, role, name, key, nexthop="smtp:[srs]") for each in (made, loaded)]
        assert asked[0] == asked[1]
    for login, key in itertools.product(made.logins, keys):
        assert resolve.may_send(made, login, key) == resolve.may_send(loaded, login, key)


def test_the_reader_of_a_source_finds_its_memory_again(path: Path) -> None:
    parts = (replace(PARTS[0], state="ü"), replace(PARTS[1], state="{}"))
    snapshot.save(path, parts)
    assert snapshot.read(path).parts == parts


def test_times_beside_the_file_count_for_its_names_only(path: Path) -> None:
    digest = snapshot.save(path, PARTS).digest
    watch = snapshot.Watch(path)
    assert watch.poll()
    first = watch.directory
    times.save(path, times.Times(digest=digest, read_at={"names": 90.0, "ldap": 80.0}, failures=("x",)))
    assert watch.poll()
    assert first is not None
    assert watch.directory is not None
    assert watch.directory.verified_at == 80.0
    assert watch.directory.names is first.names
    assert [part.read_at for part in snapshot.read(path).parts] == [90.0, 80.0]
    times.save(path, times.Times(digest="of another", read_at={"names": 99.0, "ldap": 99.0}))
    assert snapshot.load(path).verified_at == 1.0
    times.path_of(path).write_text("half")
    assert snapshot.load(path).verified_at == 1.0
