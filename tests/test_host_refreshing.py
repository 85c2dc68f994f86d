"""The refresh in a process of its own: the same as here, and its end is never ours."""

import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from postvouch.config.kinds import Domain, Duration
from postvouch.config.names import Ldap, Map
from postvouch.config.schema import Config, General
from postvouch.directory import snapshot
from postvouch.host import refreshing


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "names.yaml").write_text("forwards: {bob: b@gmail.example}\n")
    return Config(
        general=General(role="mx", domains=(Domain("our.example"),)),
        map=Map(names=(f"{tmp_path}/*.yaml",), snapshot=f"{tmp_path}/snapshot"),
        ldap=Ldap(deadline=Duration(1)),
    )


def test_the_child_does_what_would_be_done_here(config: Config, tmp_path: Path) -> None:
    there = refreshing.Child()(config, 77.0, False)
    assert there.directory is None
    assert "bob@our.example" in snapshot.load(tmp_path / "snapshot").names
    assert snapshot.load(tmp_path / "snapshot").verified_at == 77.0
    here = refreshing.here(config, 77.0, False)
    assert here.report == replace(there.report, changed=False)


def test_force_and_failures_go_through_the_pipe(config: Config, tmp_path: Path) -> None:
    names = ", ".join(f"u{n}: u{n}@x.example" for n in range(9))
    (tmp_path / "names.yaml").write_text(f"forwards: {{{names}}}\n")
    child = refreshing.Child()
    assert child(config, 1.0, False).report.failures == ()
    (tmp_path / "names.yaml").write_text("forwards: {u0: u0@x.example}\n")
    (failure,) = child(config, 2.0, False).report.failures
    assert "1 entries instead of 9" in failure
    assert child(config, 3.0, True).report.failures == ()


def test_a_reading_that_hangs_is_ended_and_said(config: Config, tmp_path: Path) -> None:
    (tmp_path / "python").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "python").chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "executable", str(tmp_path / "python"))
        begun = time.monotonic()
        outcome = refreshing.Child(patience_s=0.0)(config, 1.0, False)
    assert outcome.report.failures == ("the names were not read within 1 s",)
    assert time.monotonic() - begun < 30


def test_a_reading_that_dies_is_said_with_its_last_word(config: Config, tmp_path: Path) -> None:
    (tmp_path / "python").write_text("#!/bin/sh\necho first >&2\necho out of luck >&2\nexit 3\n")
    (tmp_path / "python").chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "executable", str(tmp_path / "python"))
        (failure,) = refreshing.Child()(config, 1.0, False).report.failures
    assert failure == "reading the names ended with status 3: out of luck"


def test_stop_ends_the_reading_under_way_and_every_later_one(config: Config, tmp_path: Path) -> None:
    (tmp_path / "python").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "python").chmod(0o755)
    child = refreshing.Child()
    done: list[refreshing.Outcome] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "executable", str(tmp_path / "python"))
        thread = threading.Thread(target=lambda: done.append(child(config, 1.0, False)))
        thread.start()
        time.sleep(0.3)
        child.stop()
        thread.join(20)
        assert "status -9" in done[0].report.failures[0]
        assert child(config, 1.0, False).report.failures
