"""Talk to the Postfix of this host: postconf(1) reads and writes main.cf and master.cf, postfix(1) reloads.

Nothing here parses Postfix's files: postconf keeps their comments, their order and their permissions.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from postvouch.config.snippets import parse_main, parse_master
from postvouch.host.wiring import Changes, Record, Settings, dump, read

_SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_RECORD = "postvouch-before.json"


class PostfixError(Exception):
    """A program of Postfix or systemd refused or is missing; the text is what it said."""


class Postfix:
    """The Postfix whose main.cf is in ``config_dir`` (None: the system's own)."""

    def __init__(self, config_dir: Path | None = None) -> None:
        self._option = ["-c", str(config_dir)] if config_dir else []
        self.config_dir = config_dir or Path(self._postconf("-dh", "config_directory").strip())

    def queue_dir(self) -> str:
        """The queue directory, in which all daemons work."""
        return self._postconf("-h", "queue_directory").strip()

    def known(self) -> frozenset[str]:
        """The parameters that this version of Postfix has."""
        return frozenset(parse_main(self._postconf("-d")))

    def settings(self) -> Settings:
        """What the two files say; defaults are left out."""
        services = {name: line for name, line in parse_master(self._postconf("-M")).items() if line}
        return Settings(main=parse_main(self._postconf("-n")), services=services)

    def write(self, main: Changes, services: Changes) -> None:
        """Carry out changes; None takes a setting away. Each file is replaced as a whole by postconf."""
        set_main = [f"{name}={value}" for name, value in main.items() if value is not None]
        set_services = [f"{name}={line}" for name, line in services.items() if line is not None]
        if set_main:
            self._postconf("-e", *set_main)
        if set_services:
            self._postconf("-Me", *set_services)
        if gone := [name for name, value in main.items() if value is None]:
            self._postconf("-X", *gone)
        if gone := [name for name, line in services.items() if line is None]:
            self._postconf("-MX", *gone)

    def record(self) -> Record | None:
        """What we wrote and what was before, None if we never wrote. PostfixError: it cannot be trusted."""
        path = self.config_dir / _RECORD
        try:
            with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), encoding="utf-8") as file:
                status = os.fstat(file.fileno())
                if status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o022:
                    raise PostfixError(f"{path}: others may write it, so it is not followed")
                return read(file.read())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise PostfixError(f"{path}: {error}") from error

    def keep(self, record: Record | None) -> None:
        """Keep the record, in one step; None forgets it."""
        path = self.config_dir / _RECORD
        if record is None:
            path.unlink(missing_ok=True)
            return
        handle, temporary = tempfile.mkstemp(prefix=".postvouch-", dir=self.config_dir)
        try:
            with open(handle, "w", encoding="utf-8") as file:
                file.write(dump(record))
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(0o600)
            Path(temporary).replace(path)
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            raise

    def check(self) -> None:
        """postfix check. PostfixError with what it complains of as an error."""
        _run("postfix", *self._option, "check")

    def reload(self) -> bool:
        """Make a running Postfix read its files again; False if it does not run."""
        try:
            _run("postfix", *self._option, "status")
        except PostfixError:
            return False
        _run("postfix", *self._option, "reload")
        return True

    def _postconf(self, *arguments: str) -> str:
        return _run("postconf", *self._option, *arguments)


def systemd_runs() -> bool:
    """Whether this system was booted with systemd (sd_booted(3))."""
    return Path("/run/systemd/system").is_dir()


def start_units(daemons: Iterable[str]) -> None:
    """Enable the units of our daemons and start them, in this order. PostfixError: one does not come up.

    One that runs already reads its configuration again, or it would go on in the role it had.
    """
    for daemon in daemons:
        _run("systemctl", "enable", "--quiet", f"postvouch-{daemon}.service")
        _run("systemctl", "reload-or-restart", f"postvouch-{daemon}.service", timeout_s=120)


def unanswered(places: Iterable[str], *, patience_s: float) -> list[str]:
    """Those of the sockets ("unix:/path", "inet:host:port") where nobody listens, after some patience."""
    left = list(places)
    deadline = time.monotonic() + patience_s
    while True:
        left = [place for place in left if not _listens(place)]
        if not left or time.monotonic() >= deadline:
            return left
        time.sleep(0.1)


def _listens(place: str) -> bool:
    kind, _, rest = place.partition(":")
    with contextlib.suppress(OSError, ValueError):
        if kind == "unix":
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                client.settimeout(2)
                client.connect(rest)
                return True
        host, _, port = rest.rpartition(":")
        with socket.create_connection((host.strip("[]"), int(port)), timeout=2):
            return True
    return False


def _run(program: str, *arguments: str, timeout_s: float = 60) -> str:
    path = shutil.which(program, path=os.environ.get("PATH", "") + ":" + _SYSTEM_PATH)
    if path is None:
        package = "systemd" if program == "systemctl" else "postfix"
        raise PostfixError(f"{program} is not here: install the package {package}")
    try:
        done = subprocess.run(  # noqa: S603 - a fixed program, arguments are never a shell's
            [path, *arguments],
            capture_output=True, text=True, check=False, timeout=timeout_s, stdin=subprocess.DEVNULL,
            env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise PostfixError(
            f"{program} {' '.join(arguments[:4])}: no answer within {timeout_s:g} s"
        ) from error
    if done.returncode:
        raise PostfixError(f"{program} {' '.join(arguments[:4])}: {done.stderr.strip() or 'failed'}")
    return done.stdout
