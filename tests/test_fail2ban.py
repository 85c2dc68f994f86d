"""The filter and the jail for fail2ban, with fail2ban itself, on lines that the lab's Postfix wrote."""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import program, wait_for

SHIPPED = Path(__file__).parents[1] / "postfix-snippets" / "fail2ban"
CAPTURED = Path(__file__).parent / "captured"
"""What Postfix 3.7 and 3.10 logged: failures.log has one wrong password a line, others.log all else."""


def regex(log: Path) -> tuple[int, int]:
    """How many lines fail2ban-regex matched and missed."""
    tool = program("fail2ban-regex", "fail2ban")
    run = subprocess.run(
        [tool, str(log), str(folder_with_filter(log.parent) / "postvouch-login.conf")],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    found = re.search(r"(\d+) matched, (\d+) missed", run.stdout)
    assert found is not None, run.stdout
    return int(found[1]), int(found[2])


def folder_with_filter(place: Path) -> Path:
    """A filter.d that has fail2ban's common.conf and our filter."""
    folder = place / "filter.d"
    if not folder.exists():
        folder.mkdir()
        shutil.copy("/etc/fail2ban/filter.d/common.conf", folder)
        shutil.copy(SHIPPED / "filter.conf", folder / "postvouch-login.conf")
    return folder


@pytest.mark.parametrize("release", ["12", "13"])
def test_every_failure_matches_and_nothing_else(release: str, tmp_path: Path) -> None:
    failures = (CAPTURED / f"{release}-failures.log").read_text()
    others = (CAPTURED / f"{release}-others.log").read_text()
    assert len(failures.splitlines()) >= 2
    assert " auth=1 " in others  # those who knew it
    for name, text in (("failures", failures), ("others", others)):
        (tmp_path / name).write_text(text)
    assert regex(tmp_path / "failures") == (len(failures.splitlines()), 0)
    assert regex(tmp_path / "others") == (0, len(others.splitlines()))


def test_who_is_banned_is_not_for_the_client_to_say(tmp_path: Path) -> None:
    log = tmp_path / "log"
    failed = "SASL PLAIN authentication failed: (reason unavailable)"
    log.write_text(
        f"Nov 24 13:44:00 host postfix/submission/smtpd[7]: warning: x[192.0.2.1]: {failed}, "
        f"sasl_username=warning: y[192.0.2.9]: {failed}\n"
    )
    folder = folder_with_filter(tmp_path)
    tool = program("fail2ban-regex", "fail2ban")
    said = subprocess.run(
        [tool, "-o", "ip", str(log), str(folder / "postvouch-login.conf")],
        capture_output=True, text=True, check=True, timeout=60,
    ).stdout  # fmt: skip
    assert said.split() == ["192.0.2.1"]


def test_what_a_client_writes_bans_nobody_else(tmp_path: Path) -> None:
    log = tmp_path / "log"
    at = "Nov 24 13:44:00 host"
    door = f"{at} postfix/submission/smtpd[7]:"
    failed = "SASL PLAIN authentication failed:"
    log.write_text(
        f"{door} warning: x[192.0.2.1]: {failed} Connection lost to authentication server\n"
        f"{door} NOQUEUE: reject: RCPT from x[192.0.2.1]: 554 <warning: [192.0.2.9]: {failed} x>: rejected\n"
        f"{at} postfix/smtpd[7]: warning: x[192.0.2.1]: {failed} x\n"
    )
    assert regex(log) == (0, 3)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Path]:
    """A fail2ban of our own with our filter and jail, which reads a file and whose ban writes one."""
    client = program("fail2ban-client", "fail2ban")
    folder = tmp_path / "etc"
    folder.mkdir()
    folder_with_filter(folder)
    (folder / "action.d").mkdir()
    action = f"[Definition]\nactionban = echo <ip> >> {tmp_path}/banned\n"
    (folder / "action.d" / "write.conf").write_text(action)
    (folder / "fail2ban.conf").write_text(
        "[Definition]\nloglevel = INFO\nlogtarget = STDOUT\nsyslogsocket = auto\nallowipv6 = auto\n"
        f"socket = {tmp_path}/sock\npidfile = {tmp_path}/pid\n"
        "dbfile = None\ndbpurgeage = 1d\ndbmaxmatches = 10\n"
    )
    jail = (SHIPPED / "jail.conf").read_text()
    jail = jail.replace("backend = systemd", f"backend = polling\nlogpath = {tmp_path}/log")
    (folder / "jail.conf").write_text(f"[DEFAULT]\nusedns = no\naction = write\nignoreip =\n\n{jail}")
    (tmp_path / "log").write_text("")
    places = ("-c", str(folder), "-s", f"{tmp_path}/sock", "-p", f"{tmp_path}/pid")
    command = [client.replace("-client", "-server"), "-f", *places, "start"]
    with (tmp_path / "out").open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
        try:
            wait_for(
                lambda: "postvouch-login' started" in (tmp_path / "out").read_text(), "the jail runs", 30
            )
            yield tmp_path
        finally:
            process.terminate()
            process.wait(20)


def test_the_sixth_wrong_password_is_banned(server: Path) -> None:
    (line, *_) = (CAPTURED / "13-failures.log").read_text().splitlines()
    host = re.search(r"\[(\d[\d.]+)\]: SASL", line)
    assert host is not None

    def log(times: int) -> None:
        now = time.strftime("%b %d %H:%M:%S")
        with (server / "log").open("a") as file:
            file.writelines(f"{now} {line[16:]}\n" for _ in range(times))

    log(5)
    wait_for(lambda: (server / "out").read_text().count("Found") == 5, "five were found", 30)
    assert not (server / "banned").exists()
    log(1)
    wait_for((server / "banned").exists, "banned", 30)
    wait_for(lambda: (server / "banned").read_text() == f"{host[1]}\n", "the right one")
