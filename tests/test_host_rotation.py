"""rotation.json on disk: whole or not at all, believed where nobody else can write it, one run at a time."""

import os
import stat
from dataclasses import replace

import pytest

from postvouch.host.rotation import LOCK, NAME, Busy, active, locked, read, write
from postvouch.host.rotationfiles import confirmations, write_confirmation
from postvouch.sign.keys import KeyProblem
from postvouch.sign.rotation import Key, Rotation, State


def rotation(*states):
    keys = tuple(
        Key(
            selector=f"s{n}", kind="rsa", public="A" * 40, generation=n, state=state, since=n,
            stopped=n if state in (State.REVOKED, State.DELETED) else None,
        )
        for n, state in enumerate(states, 1)
    )  # fmt: skip
    return Rotation(domain="our.example", maker="srs.our.example", keys=keys)


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "our.example").mkdir()
    return str(tmp_path)


def test_what_was_written_is_read_and_says_which_keys_sign(directory):
    write(directory, rotation(State.RETIRING, State.ACTIVE, State.MADE))
    assert read(directory, "our.example") == rotation(State.RETIRING, State.ACTIVE, State.MADE)
    assert active(directory, "our.example") == (("s2", f"{directory}/our.example/s2.pem"),)
    assert os.listdir(f"{directory}/our.example") == [NAME]


def test_the_state_may_be_read_by_the_group_and_written_by_its_owner_alone(directory):
    old = os.umask(0o077)
    try:
        write(directory, rotation(State.ACTIVE))
    finally:
        os.umask(old)
    assert stat.S_IMODE(os.stat(f"{directory}/our.example/{NAME}").st_mode) == 0o640


def test_without_a_state_nothing_is_managed_and_asking_for_keys_is_a_problem(directory):
    assert read(directory, "our.example") is None
    assert read(directory, "far.example") is None
    with pytest.raises(KeyProblem, match=r"postvouch dkim rotate our\.example"):
        active(directory, "our.example")
    write(directory, rotation(State.PUBLISHED))
    with pytest.raises(KeyProblem, match="no key is active yet"):
        active(directory, "our.example")


def test_a_state_that_others_may_write_or_that_is_no_state_is_a_problem(directory):
    path = f"{directory}/our.example/{NAME}"
    write(directory, rotation(State.ACTIVE))
    os.chmod(path, 0o660)
    with pytest.raises(KeyProblem, match="chmod 0640"):
        read(directory, "our.example")
    for octets in (b"", b"{}", b"\xff", b"[" * 100_000, b"0" * (2 << 20)):
        with open(path, "wb") as file:
            os.chmod(path, 0o640)
            file.write(octets)
        with pytest.raises(KeyProblem, match=NAME):
            read(directory, "our.example")
    os.unlink(path)
    os.mkdir(path)
    with pytest.raises(KeyProblem, match=NAME):
        read(directory, "our.example")


def test_the_state_of_another_domain_is_not_taken_for_ours(directory):
    write(directory, rotation(State.ACTIVE))
    os.mkdir(f"{directory}/far.example")
    os.rename(f"{directory}/our.example/{NAME}", f"{directory}/far.example/{NAME}")
    with pytest.raises(KeyProblem, match=r"is of our\.example"):
        read(directory, "far.example")


def test_a_draft_of_a_crash_is_in_nobodys_way(directory):
    with open(f"{directory}/our.example/.{NAME}.new", "w") as draft:
        draft.write("half of it")
    assert read(directory, "our.example") is None
    write(directory, rotation(State.ACTIVE))
    assert read(directory, "our.example") == rotation(State.ACTIVE)


def hard_link(draft, other):
    os.link(other, draft)


def link(draft, other):
    os.symlink(other, draft)


def fifo(draft, other):
    os.mkfifo(draft)


@pytest.mark.parametrize("put", [link, hard_link, fifo])
def test_what_somebody_put_in_place_of_the_draft_is_neither_written_nor_waited_for(directory, tmp_path, put):
    other = tmp_path / "other"
    other.write_text("untouched")
    other.chmod(0o600)
    put(f"{directory}/our.example/.{NAME}.new", other)
    write(directory, rotation(State.ACTIVE))
    assert read(directory, "our.example") == rotation(State.ACTIVE)
    assert (other.read_text(), stat.S_IMODE(other.stat().st_mode)) == ("untouched", 0o600)


def test_a_second_run_is_told_who_has_the_lock_and_a_later_one_gets_it(directory):
    with locked(directory, "our.example", "pid 1 of root, rotating a very long time"):
        with pytest.raises(Busy, match="pid 1 of root"), locked(directory, "our.example", "pid 2"):
            raise AssertionError
        with open(f"{directory}/our.example/{LOCK}") as file:
            assert file.read() == "pid 1 of root, rotating a very long time\n"
    with locked(directory, "our.example", "pid 3"), open(f"{directory}/our.example/{LOCK}") as file:
        assert file.read() == "pid 3\n"


def test_a_folder_that_is_not_there_is_a_problem(tmp_path):
    with pytest.raises(KeyProblem), locked(str(tmp_path), "our.example", "me"):
        raise AssertionError
    with pytest.raises(KeyProblem):
        write(str(tmp_path), rotation(State.ACTIVE))


def test_the_word_of_another_host_is_a_short_file_and_nothing_is_waited_for(directory):
    shared = replace(rotation(State.ACTIVE), hosts=("a.our.example", "b.our.example", "c.our.example"))
    for host in shared.hosts:
        write_confirmation(directory, shared, host)
    words = {host: f"{directory}/our.example/confirmed.{host}.json" for host in shared.hosts}
    os.unlink(words["b.our.example"])
    os.mkfifo(words["b.our.example"])
    os.unlink(words["c.our.example"])
    os.symlink(words["a.our.example"], words["c.our.example"])
    assert confirmations(directory, shared) == {"a.our.example": 1}
