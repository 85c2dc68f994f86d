"""Real servers for tests: our daemons as processes, a private slapd, a private redis, all on this host.

POSTVOUCH_NO_SERVERS=1 skips what needs slapd, redis-server or unbound; without it their absence is a failure,
so that nobody believes in tests that never ran.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

REPO = Path(__file__).parent.parent


def program(name: str, package: str) -> str:
    """The path of a server's program, or skip or fail as the environment says."""
    if os.environ.get("POSTVOUCH_NO_SERVERS") == "1":
        pytest.skip(f"POSTVOUCH_NO_SERVERS=1: {name} is not started")
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.fail(f"{name} is missing: apt install {package} (or set POSTVOUCH_NO_SERVERS=1)")
    return found


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody uses now, never the same twice.

    Below the range from which the kernel takes ports for clients (ip_local_port_range): one of those could be
    gone, by a client of another test, before the server that it was meant for listens there.
    """
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        if port not in _GIVEN and _is_free(port):
            _GIVEN.add(port)
            return port


_GIVEN: set[int] = set()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def wait_for(check: Callable[[], bool], what: str, seconds: float = 10.0) -> None:
    """Until ``check`` is true; fails the test otherwise."""
    end = time.monotonic() + seconds
    while not check():
        if time.monotonic() > end:
            pytest.fail(f"timed out: {what}")
        time.sleep(0.02)


def accepts(port: int) -> bool:
    """Whether somebody listens on that port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Process:
    """A server that was started; its output is in ``log``."""

    def __init__(self, command: list[str], log: Path, **environment: str) -> None:
        self.log = log
        with log.open("ab") as out:
            self.popen = subprocess.Popen(
                command, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=REPO,
                env={**os.environ, **environment},
            )  # fmt: skip

    def text(self) -> str:
        """All that it said until now."""
        return self.log.read_text(errors="replace")

    def says(self, text: str, seconds: float = 10.0) -> None:
        """Wait until it has said ``text``."""

        def said() -> bool:
            if text in self.text():
                return True
            if self.popen.poll() is not None:
                pytest.fail(f"ended with {self.popen.returncode}:\n{self.text()}")
            return False

        wait_for(said, f"{text!r} in the log:\n{self.text()}", seconds)

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.popen.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it; its exit status."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGCONT)
            self.popen.send_signal(number)
        try:
            return self.popen.wait(10)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            raise


@contextmanager
def daemon(module: str, config: Path, **environment: str) -> Iterator[Process]:
    """One of our daemons, ready, as ``python -m postvouch.MODULE --config CONFIG``."""
    command = [sys.executable, "-W", "error", "-m", f"postvouch.{module}", "--config", str(config)]
    log = config.with_suffix(f".{module}.log")
    log.unlink(missing_ok=True)
    process = Process(command, log, **environment)
    try:
        process.says("ready on")
        yield process
    finally:
        process.stop()


def connect(path: Path | str) -> socket.socket:
    """A client of a unix socket, with a timeout."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(10.0)
    client.connect(str(path))
    return client


def ask(path: Path | str, *queries: str) -> list[str]:
    """Lookups over one connection, the answers without their netstring."""
    with connect(path) as client:
        return [ask_again(client, query) for query in queries]


def ask_again(client: socket.socket, query: str) -> str:
    """One lookup over a connection that is open."""
    octets = query.encode("utf-8", "surrogateescape")
    client.sendall(b"%d:%b," % (len(octets), octets))
    return read_netstring(client).decode("utf-8", "surrogateescape")


def read_netstring(client: socket.socket) -> bytes:
    """One netstring, octet by octet until the length is known."""
    digits = b""
    while not digits.endswith(b":"):
        octet = client.recv(1)
        assert octet, f"closed after {digits!r}"
        digits += octet
    wanted = int(digits[:-1]) + 1
    data = b""
    while len(data) < wanted:
        data += client.recv(wanted - len(data)) or pytest.fail("closed in an answer")
    assert data.endswith(b",")
    return data[:-1]


SLAPD_CONF = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
include /etc/ldap/schema/inetorgperson.schema
attributetype ( 1.3.6.1.4.1.55555.1.1 NAME 'emailForward' SUP mail )
attributetype ( 1.3.6.1.4.1.55555.1.2 NAME 'emailAlias' SUP mail )
attributetype ( 1.3.6.1.4.1.55555.1.3 NAME 'roleMember' EQUALITY caseIgnoreMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
objectclass ( 1.3.6.1.4.1.55555.2.1 NAME 'mailThing' SUP top AUXILIARY
  MAY ( uid $ emailForward $ emailAlias $ roleMember ) )
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/slapd.pid
sizelimit {sizelimit}
{tls}
access to attrs=userPassword by anonymous auth by * none
access to * by {readers} read by * auth
database mdb
suffix "dc=our,dc=example"
rootdn "cn=admin,dc=our,dc=example"
rootpw secret
directory {folder}/db
"""


class Slapd:
    """A private slapd with the entries of an LDIF text."""

    def __init__(
        self, folder: Path, ldif: str, *, tls: str = "", readers: str = "*", sizelimit: str = "500"
    ) -> None:
        binary = program("slapd", "slapd")
        self.port, self.tls_port = free_port(), free_port()
        (folder / "db").mkdir(parents=True)
        conf, data = folder / "slapd.conf", folder / "data.ldif"
        conf.write_text(SLAPD_CONF.format(folder=folder, tls=tls, readers=readers, sizelimit=sizelimit))
        data.write_text(ldif)
        add = [program("slapadd", "slapd"), "-f", str(conf), "-l", str(data)]
        done = subprocess.run(add, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        urls = f"ldap://127.0.0.1:{self.port}" + (f" ldaps://127.0.0.1:{self.tls_port}" if tls else "")
        self._command = [binary, "-f", str(conf), "-h", urls, "-d", "0"]
        self._log = folder / "slapd.log"
        self.process = self.start()

    def start(self) -> Process:
        """Start it (again) and wait until it listens."""
        self.process = Process(self._command, self._log)
        wait_for(lambda: accepts(self.port), f"slapd listens:\n{self._log.read_text()}")
        return self.process

    def stop(self) -> None:
        """Stop it."""
        self.process.stop()


def ldif_of(accounts: str) -> str:
    """A whole LDIF: the suffix, ou=users, and ``accounts`` as "uid attribute=value attribute=value" lines."""
    blocks = [
        "dn: dc=our,dc=example\nobjectClass: dcObject\nobjectClass: organization\no: our\ndc: our\n",
        "dn: ou=users,dc=our,dc=example\nobjectClass: organizationalUnit\nou: users\n",
        "dn: cn=reader,dc=our,dc=example\nobjectClass: organizationalRole\n"
        "objectClass: simpleSecurityObject\ncn: reader\nuserPassword: readme\n",
    ]
    for line in filter(str.strip, accounts.splitlines()):
        uid, *pairs = line.split()
        more = "".join("{}: {}\n".format(*pair.split("=", 1)) for pair in pairs)
        blocks.append(
            f"dn: uid={uid},ou=users,dc=our,dc=example\nobjectClass: account\nobjectClass: mailThing\n"
            f"uid: {uid}\n{more}"
        )
    return "\n".join(blocks)
