"""Key files on disk: who else could read or change them, and files that are never overwritten."""

import calendar
import os
import time
from pathlib import Path

import pytest

from postvouch.config.kinds import AuthorPattern, Domain, SecretPath
from postvouch.config.schema import Config, General
from postvouch.config.sign import Sign, SigningKey
from postvouch.host import keyfiles
from postvouch.host.keyfiles import load_key, load_ring, read_key_file, specs_of
from postvouch.host.keyfolder import make_folder, write_new
from postvouch.sign.keys import KeyProblem, KeySpec, generate
from postvouch.values.address import Address

PRIVATE, PEM = generate("ed25519")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "keys"
    made.mkdir(mode=0o750)
    return made


def problem_of(file: Path) -> str:
    with pytest.raises(KeyProblem) as raised:
        read_key_file(str(file))
    return str(raised.value)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o400, 0o440])
def test_private_modes_are_read(folder: Path, mode: int) -> None:
    file = folder / "k.pem"
    write_new(str(file), PEM, mode=mode)
    assert file.stat().st_mode & 0o7777 == mode
    assert load_key(str(file)).public() == PRIVATE.public()


@pytest.mark.parametrize(
    "mode, mend", [(0o644, "0640"), (0o660, "0640"), (0o604, "0600"), (0o777, "0740"), (0o602, "0600")]
)
def test_a_file_that_others_may_touch_is_refused_with_the_command_that_mends_it(
    folder: Path, mode: int, mend: str
) -> None:
    file = folder / "k.pem"
    write_new(str(file), PEM, mode=mode)
    assert problem_of(file) == f"{file}: mode {mode:04o} is too open for a private key; chmod {mend} {file}"
    os.chmod(file, int(mend, 8))
    assert read_key_file(str(file)) == PEM


@pytest.mark.parametrize("depth", [0, 1])
def test_a_folder_that_others_may_write_to_is_refused_however_far_above(folder: Path, depth: int) -> None:
    inner = folder / "our.example"
    inner.mkdir()
    file = inner / "k.pem"
    write_new(str(file), PEM)
    loose = [inner, folder][depth]
    loose.chmod(0o777)
    assert problem_of(file) == (
        f"{file}: the folder {loose} has mode 0777, so others could replace the key; chmod go-w {loose}"
    )
    loose.chmod(0o1777)
    assert read_key_file(str(file)) == PEM


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another group")
def test_a_folder_may_be_written_by_the_group_root_and_no_other(folder: Path) -> None:
    file = folder / "k.pem"
    write_new(str(file), PEM)
    folder.chmod(0o770)
    os.chown(folder, -1, 0)
    assert read_key_file(str(file)) == PEM
    os.chown(folder, -1, 12)
    assert "has mode 0770" in problem_of(file)


def test_a_link_is_judged_by_where_it_leads_as_well(folder: Path, tmp_path: Path) -> None:
    loose = tmp_path / "loose"
    loose.mkdir()
    write_new(str(loose / "k.pem"), PEM)
    link = folder / "k.pem"
    link.symlink_to(loose / "k.pem")
    assert read_key_file(str(link)) == PEM
    loose.chmod(0o777)
    assert f"the folder {loose} has mode 0777" in problem_of(link)


def test_what_is_no_file_is_said_plainly(folder: Path) -> None:
    assert problem_of(folder / "none.pem").endswith("no such file; make a key with: postvouch dkim genkey")
    assert problem_of(folder).endswith("not a regular file")
    os.mkfifo(folder / "pipe", 0o600)
    assert problem_of(folder / "pipe").endswith("not a regular file")
    write_new(str(folder / "long"), b"x" * 70_000)
    assert problem_of(folder / "long").endswith("too long for a private key")
    (folder / "file").write_bytes(b"")
    assert "Not a directory" in problem_of(folder / "file" / "k.pem")


def test_a_new_file_is_whole_private_and_never_replaces_another(folder: Path) -> None:
    file = folder / "k.pem"
    old_mask = os.umask(0)
    try:
        write_new(str(file), PEM)
    finally:
        os.umask(old_mask)
    assert file.stat().st_mode & 0o7777 == 0o600
    with pytest.raises(KeyProblem, match="exists already; a key is never overwritten"):
        write_new(str(file), b"other")
    assert file.read_bytes() == PEM
    assert [path.name for path in folder.iterdir()] == ["k.pem"]


def test_a_new_file_where_no_folder_is_says_so(folder: Path) -> None:
    with pytest.raises(KeyProblem, match="cannot be written: No such file or directory"):
        write_new(str(folder / "none" / "k.pem"), PEM)


def test_a_ring_from_disk_names_what_it_could_not_load(folder: Path) -> None:
    write_new(str(folder / "a.pem"), PEM)
    write_new(str(folder / "b.pem"), PEM, mode=0o644)
    ring = load_ring(
        KeySpec(domain=f"{name}.example", selector="s", file=str(folder / f"{name}.pem"))
        for name in ("a", "b", "c")
    )
    found = ring.find(Address("bob", "a.example"))
    assert found is not None
    assert found.keys[0].private.public() == PRIVATE.public()
    assert [problem.partition(": ")[0] for problem in ring.problems] == [
        str(folder / "b.pem"),
        str(folder / "c.pem"),
    ]


def configured(folder: Path, *keys: SigningKey, hostname: str = "Crm-Int-01.our.example") -> Config:
    return Config(general=General(hostname=hostname), sign=Sign(key_directory=str(folder), key=keys))


def key(selector: str = "", file: str = "", *authors: str) -> SigningKey:
    return SigningKey(
        domain=Domain("our.example"),
        selector=selector,
        file=SecretPath(file),
        authors=tuple(map(AuthorPattern, authors)),
    )


@pytest.fixture
def year(monkeypatch: pytest.MonkeyPatch) -> int:
    """It has just begun."""
    began = calendar.timegm((2027, 1, 1, 0, 0, 1))
    monkeypatch.setattr(keyfiles.time, "localtime", lambda: time.gmtime(began))
    return 2027


def test_a_key_without_file_is_in_the_folder_of_its_domain(folder: Path) -> None:
    (spec,) = specs_of(configured(folder, key("a", "", "*.our.example")))
    assert spec == KeySpec(
        domain="our.example",
        selector="a",
        file=f"{folder}/our.example/a.pem",
        authors=("*.our.example",),
    )


def test_host_and_selector_are_filled_in(folder: Path) -> None:
    (spec,) = specs_of(configured(folder, key("{shorthost}", "/keys/{shorthost}/{selector}.pem")))
    assert (spec.selector, spec.file) == ("crm-int-01", "/keys/crm-int-01/crm-int-01.pem")


@pytest.mark.parametrize(
    "there, chosen",
    [([2024, 2026], 2026), ([2024, 2026, 2027], 2027), ([2026, 2028], 2026), ([], 2027), ([2000], 2027)],
)
def test_the_year_is_the_latest_for_which_a_key_is_there(
    folder: Path, year: int, there: list[int], chosen: int
) -> None:
    assert year == 2027
    (folder / "our.example").mkdir()
    for each in there:
        write_new(str(folder / "our.example" / f"{each}-crm-int-01.pem"), PEM)
    (spec,) = specs_of(configured(folder, key("{year}-{shorthost}")))
    assert spec.selector == f"{chosen}-crm-int-01"
    assert spec.file == f"{folder}/our.example/{chosen}-crm-int-01.pem"


def test_at_new_year_mail_goes_on_with_the_key_of_last_year(folder: Path, year: int) -> None:
    (folder / "our.example").mkdir()
    write_new(str(folder / "our.example" / f"{year - 1}.pem"), PEM)
    ring = load_ring(specs_of(configured(folder, key("{year}"))))
    assert ring.problems == ()
    found = ring.find(Address("bob", "our.example"))
    assert found is not None
    assert [each.selector for each in found.keys] == [str(year - 1)]


@pytest.mark.parametrize("umask", [0o077, 0o022, 0])
def test_folders_are_made_with_their_modes_whatever_the_umask_is(tmp_path: Path, umask: int) -> None:
    place = tmp_path / "etc" / "postvouch" / "keys" / "our.example"
    before = os.umask(umask)
    try:
        make_folder(place)
        make_folder(place.with_name("old.example"))
    finally:
        os.umask(before)
    found = [os.stat(each).st_mode & 0o7777 for each in (place, *place.parents[:3])]
    assert found == [0o750, 0o750, 0o755, 0o755]
    assert os.listdir(place.parent) in (["our.example", "old.example"], ["old.example", "our.example"])


def test_a_link_that_takes_the_place_of_a_new_folder_leads_to_no_change_elsewhere(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A folder that its owner may write to, and root makes one in it: the owner puts a link there in between.
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    made = os.mkdir

    def and_replaced(path: Path, mode: int) -> None:
        made(path, mode)
        os.rmdir(path)
        os.symlink(elsewhere, path)

    monkeypatch.setattr(os, "mkdir", and_replaced)
    with pytest.raises(KeyProblem, match=r"our\.example: "):
        make_folder(folder / "our.example")
    assert os.stat(elsewhere).st_mode & 0o7777 == 0o700


def test_a_folder_that_another_run_makes_first_is_as_good(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = os.mkdir

    def twice(path: Path, mode: int) -> None:
        made(path, 0o750)
        made(path, mode)

    monkeypatch.setattr(os, "mkdir", twice)
    make_folder(folder / "our.example")
    assert (folder / "our.example").is_dir()
