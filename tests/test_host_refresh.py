"""Keeping the directory fresh: whatever fails keeps what was there, and says why."""

import os
import resource
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from servers import Slapd, free_port, ldif_of, wait_for

from postvouch.config.kinds import Duration
from postvouch.config.names import Ldap, Map
from postvouch.config.schema import Config, General
from postvouch.directory import resolve, snapshot
from postvouch.host import refresh
from postvouch.host.log import Log
from postvouch.host.refresh import Follower, Refresher
from postvouch.values.answer import Answer, Found, NotFound, Unavailable

DAY = 86400.0
DOMAINS = ("our.example",)


class Host:
    """A host with names in a folder, a clock that is set by hand, and a log in a file."""

    def __init__(self, folder: Path, uri: str = "") -> None:
        self.folder = folder
        self.now = 1e9
        self.log_file = (folder / "log").open("w+b")
        self.log = Log(program="test", descriptor=self.log_file.fileno())
        self.config = Config(
            general=General(role="mx", domains=DOMAINS),  # type: ignore[arg-type]
            map=Map(names=(f"{folder}/*.yaml",), snapshot=f"{folder}/snapshot"),
            ldap=Ldap(
                uri=uri, base="ou=users,dc=our,dc=example", filter="(objectClass=mailThing)",
                timeout=Duration(1),
            ),
        )  # fmt: skip
        self.refresher = self.started()

    def started(self) -> Refresher:
        return Refresher(self.config, self.log, clock=lambda: self.now)

    def write(self, text: str, name: str = "names.yaml") -> None:
        (self.folder / name).write_text(text)

    def said(self) -> str:
        self.log_file.seek(0)
        text = self.log_file.read().decode()
        os.ftruncate(self.log_file.fileno(), 0)
        self.log_file.seek(0)
        return text

    def recipient(self, key: str) -> Answer:
        names = self.refresher.directory
        return resolve.believed(
            names, key, resolve.recipients(names, key), ours=DOMAINS,
            age_s=self.refresher.age_s(), hard_age_s=self.config.map.hard_age,
        )  # fmt: skip


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refresh, "POLL_S", 0.05)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    yield made
    made.log_file.close()


@pytest.fixture
def slapd(tmp_path: Path) -> Iterator[Slapd]:
    server = Slapd(tmp_path / "slapd", ldif_of("bob emailForward=bob@gmail.example\n"))
    yield server
    server.stop()


def test_a_new_name_is_taken_and_a_broken_file_keeps_the_old_names(host: Host) -> None:
    host.write("forwards: {alice: a@gmail.example}")
    host.refresher.refresh()
    assert host.refresher.age_s() == 0.0
    host.now += 60
    host.write("forwards: {alice: a@gmail.example, bob: [b@gmail")
    gathered = host.refresher.refresh()
    assert "names files: not taken" in gathered.failures[0]
    assert host.recipient("alice@our.example") == Found("OK", f"{host.folder}/names.yaml:1")
    assert host.refresher.age_s() == 60.0
    assert f"{host.folder}/names.yaml:1: not YAML" in host.said()
    host.write("forwards: {alice: a@gmail.example, bob: b@gmail.example}")
    assert not host.refresher.refresh().failures
    assert isinstance(host.recipient("bob@our.example"), Found)
    assert host.refresher.age_s() == 0.0


def test_a_conflict_keeps_the_old_names_too(host: Host) -> None:
    host.write("forwards: {alice: a@gmail.example}")
    host.refresher.refresh()
    host.write("aliases: {alice: alice2}\nforwards: {alice2: a@gmail.example}", "other.yaml")
    assert host.refresher.refresh().failures
    said = host.said()
    assert f"{host.folder}/other.yaml:1" in said
    assert f"{host.folder}/names.yaml:1" in said
    assert isinstance(host.recipient("alice2@our.example"), NotFound)


def test_before_anything_was_read_nothing_is_refused(host: Host) -> None:
    host.write("forwards: {alice: [")
    host.refresher.refresh()
    assert isinstance(host.recipient("alice@our.example"), Unavailable)
    assert isinstance(host.recipient("x@far.example"), NotFound)
    assert "never read in full" in host.said()


def test_too_much_loss_is_refused_until_it_is_forced(host: Host) -> None:
    host.write("forwards: {" + ", ".join(f"u{n}: u{n}@gmail.example" for n in range(10)) + "}")
    host.refresher.refresh()
    host.write("forwards: {u0: u0@gmail.example}")
    gathered = host.refresher.refresh()
    assert "1 entries instead of 10" in gathered.failures[0]
    assert "--force" in host.said()
    assert isinstance(host.recipient("u9@our.example"), Found)
    assert not host.refresher.refresh(force=True).failures
    assert isinstance(host.recipient("u9@our.example"), NotFound)


def test_ldap_down_for_a_week_keeps_every_lookup_and_new_files_are_still_taken(
    tmp_path: Path, slapd: Slapd
) -> None:
    host = Host(tmp_path, f"ldap://127.0.0.1:{slapd.port}")
    host.write("forwards: {alice: a@gmail.example}")
    host.refresher.refresh()
    assert isinstance(host.recipient("bob@our.example"), Found)
    slapd.stop()
    host.said()
    host.refresher = host.started()  # the daemon restarts, too
    host.refresher.start()
    try:
        wait_for(lambda: host.refresher.read_once, "first reading")
    finally:
        host.refresher.stop()
    assert isinstance(host.recipient("bob@our.example"), Found)
    assert "LDAP: ldap://127.0.0.1" in host.said()
    for day in range(1, 9):
        host.now += DAY
        host.write(f"forwards: {{alice: a@gmail.example, day{day}: d@gmail.example}}")
        host.refresher.refresh()
        assert isinstance(host.recipient(f"day{day}@our.example"), Found)
        assert isinstance(host.recipient("bob@our.example"), Found)
        assert isinstance(host.recipient("bob@our.example"), Found)
        miss = host.recipient("nobody@our.example")
        assert isinstance(miss, NotFound if day <= 7 else Unavailable)
        said = host.said()
        assert f"directory: {day * 24}.0 hours old: LDAP: " in said
        assert ("older than map.hard_age" in said) == (day > 7)
    slapd.start()
    assert not host.refresher.refresh().failures
    assert isinstance(host.recipient("nobody@our.example"), NotFound)
    assert "well again" in host.said()
    host.log_file.close()


def test_without_a_snapshot_and_without_ldap_names_from_files_are_served(tmp_path: Path) -> None:
    host = Host(tmp_path, f"ldap://127.0.0.1:{free_port()}")
    host.write("forwards: {alice: a@gmail.example}")
    host.refresher.refresh()
    assert isinstance(host.recipient("alice@our.example"), Found)
    assert isinstance(host.recipient("bob@our.example"), Unavailable)
    host.log_file.close()


def test_a_source_without_entries_may_come_and_go(host: Host) -> None:
    host.write("forwards: {alice: a@gmail.example}")
    host.refresher.refresh()
    without = host.config
    ldap = replace(without.ldap, uri=f"ldap://127.0.0.1:{free_port()}")
    for config, kind in ((replace(without, ldap=ldap), Unavailable), (without, NotFound)):
        host.refresher.config = config
        for _ in range(2):
            host.refresher.refresh()
            assert isinstance(host.recipient("nobody@our.example"), kind)
            assert isinstance(host.recipient("alice@our.example"), Found)


def test_the_same_failure_is_written_once(host: Host) -> None:
    host.write("forwards: {alice: [")
    host.refresher.refresh()
    host.said()
    host.refresher.refresh()
    assert "not YAML" not in host.said()


def test_a_snapshot_that_cannot_be_written_is_said_and_the_names_are_used(host: Host) -> None:
    host.config = replace(host.config, map=replace(host.config.map, snapshot=f"{host.folder}/none/snapshot"))
    host.refresher = host.started()
    host.write("forwards: {alice: a@gmail.example}")
    assert host.refresher.refresh().failures
    assert isinstance(host.recipient("alice@our.example"), Found)
    assert "none/snapshot: No such file" in host.said()


def test_a_follower_sees_what_the_refresher_writes(host: Host) -> None:
    follower = Follower(host.config, host.log, clock=lambda: host.now)
    follower.start()
    try:
        assert follower.directory.names == {}
        assert follower.age_s() == host.now
        host.write("forwards: {alice: a@gmail.example}")
        host.refresher.refresh()
        wait_for(lambda: "alice@our.example" in follower.directory.names, "the follower looks")
        assert follower.age_s() == 0.0
        (host.folder / "snapshot").write_text("damaged")
        wait_for(lambda: "no snapshot of ours" in host.said(), "the follower complains")
        assert "alice@our.example" in follower.directory.names
    finally:
        follower.stop()


def test_a_snapshot_forced_by_somebody_else_is_taken(host: Host) -> None:
    host.write("forwards: {" + ", ".join(f"u{n}: u{n}@gmail.example" for n in range(10)) + "}")
    host.refresher.start()
    try:
        wait_for(lambda: host.refresher.read_once, "first reading")
        host.write("forwards: {u0: u0@gmail.example}")
        other = Refresher(host.config, host.log, clock=lambda: host.now)
        other.refresh(force=True)
        wait_for(lambda: len(host.refresher.directory.names) == 1, "the other's snapshot is used")
        assert len(snapshot.load(host.folder / "snapshot").names) == 1
    finally:
        host.refresher.stop()


def test_on_a_full_disk_new_names_are_in_use_and_the_old_file_stays_whole(host: Host) -> None:
    host.write("forwards: {alice: alice@gmail.example}\n")
    host.refresher.refresh()
    before = (host.folder / "snapshot").read_bytes()
    host.said()
    many = ", ".join(f"n{number}: n{number}@gmail.example" for number in range(500))
    host.write(f"forwards: {{alice: alice@gmail.example, {many}}}\n")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))  # the kernel refuses what a full disk would
    try:
        host.refresher.refresh()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert f"{host.folder}/snapshot: File too large" in host.said()
    assert isinstance(host.recipient("n499@our.example"), Found)
    assert (host.folder / "snapshot").read_bytes() == before
    assert not list(host.folder.glob(".snapshot*"))
    host.refresher.refresh()
    assert (host.folder / "snapshot").read_bytes() != before
