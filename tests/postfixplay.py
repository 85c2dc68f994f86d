"""Plays Postfix's side of the milter protocol against a real daemon, as smtpd(8) and cleanup(8) do.

Octets go out as they are given (miltertest itself would encode text as UTF-8), no reply is awaited where none
was negotiated, and the edits that come back are applied to the header as Postfix would.
"""

import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import miltertest

NO_REPLY = {
    b"M": miltertest.SMFIP_NR_MAIL,
    b"R": miltertest.SMFIP_NR_RCPT,
    b"T": miltertest.SMFIP_NR_DATA,
    b"L": miltertest.SMFIP_NR_HDR,
    b"B": miltertest.SMFIP_NR_BODY,
    b"N": miltertest.SMFIP_NR_EOH,
    b"C": miltertest.SMFIP_NR_CONN,
    b"H": miltertest.SMFIP_NR_HELO,
}
# The ESMTP arguments of a changed sender may be missing, which miltertest does not know.
miltertest.codec.codec[miltertest.SMFIR_CHGFROM] = (("from", "str"), ("args", "buf"))
# Nor does it know that the answer to the negotiation may ask for macros.
miltertest.codec.codec[miltertest.SMFIC_OPTNEG] = (
    ("version", "u32"), ("actions", "u32"), ("protocol", "u32"), ("macros", "buf"),
)  # fmt: skip

Header = list[tuple[bytes, bytes]]


def _octets(value: bytes | str) -> bytes:
    return value.encode() if isinstance(value, str) else value


@dataclass
class Outcome:
    """What the milter said at END-OF-MESSAGE: its last word, the reply text if any, and its edits."""

    word: str
    text: str = ""
    edits: list[tuple[str, dict]] = field(default_factory=list)
    body: bytes | None = None  # what replaces the old one

    def applied(self, header: Header) -> Header:
        """The header after the edits; our own Received is on top of it and not counted by removals."""
        result = list(header)
        for command, values in self.edits:
            if command == miltertest.SMFIR_INSHEADER:
                result.insert(values["index"], (values["name"].encode(), values["value"].encode()))
            elif command == miltertest.SMFIR_ADDHEADER:
                result.append((values["name"].encode(), values["value"].encode()))
            elif command == miltertest.SMFIR_CHGHEADER and not values["value"]:
                same = [
                    n for n, (name, _) in enumerate(result) if name.lower() == values["name"].lower().encode()
                ]
                del result[same[values["index"] - 1]]
        return result

    def inserted(self, name: str) -> list[str]:
        """The values inserted under that name."""
        return [
            values["value"]
            for command, values in self.edits
            if command == miltertest.SMFIR_INSHEADER and values["name"] == name
        ]


class Postfix:
    """One connection to a milter. ``actions`` and ``protocol`` are what is offered: all, as Postfix does."""

    def __init__(
        self,
        where: Path | tuple[str, int],
        *,
        version: int = 6,
        actions: int = 0x1FF,
        protocol: int = 0x1FFFFF,
    ) -> None:
        family = socket.AF_UNIX if isinstance(where, Path) else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        if family == socket.AF_INET:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.settimeout(20)
        try:
            self._socket.connect(str(where) if isinstance(where, Path) else where)
        except OSError:
            self._socket.close()
            raise
        self._milter = miltertest.MilterConnection(self._socket)
        try:
            self._negotiate(version, actions, protocol)
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> "Postfix":
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()

    def _negotiate(self, version: int, actions: int, protocol: int) -> None:
        self._raw(b"O", struct.pack("!LLL", version, actions, protocol))
        word, values = self._milter.recv()
        assert word == miltertest.SMFIC_OPTNEG, word
        self.version, self.actions, self.protocol = values["version"], values["actions"], values["protocol"]
        self.macros = values["macros"].encode() if isinstance(values["macros"], str) else values["macros"]
        assert self.version <= version
        assert not self.actions & ~actions
        assert not self.protocol & ~protocol

    def connect(
        self, name: str = "mx.far.example", address: str = "192.0.2.7", port: int = 40000, *, cert: str = ""
    ) -> None:
        """A client connects and says HELO."""
        self._macros(b"C", {"j": "mx.our.example", "{daemon_name}": "smtpd"})
        family = b"6" if ":" in address else b"4"
        literal = f"IPv6:{address}" if ":" in address else address
        self.send(b"C", name.encode() + b"\0" + family + struct.pack("!H", port) + literal.encode() + b"\0")
        self.helo(name, cert=cert)

    def helo(self, name: str = "mx.far.example", *, cert: str = "") -> None:
        """HELO or EHLO, again after STARTTLS; Postfix tells the certificate that it has verified."""
        self._macros(b"H", {"j": "mx.our.example"} | ({"{cert_subject}": cert} if cert else {}))
        self.send(b"H", name.encode() + b"\0")

    def envelope(
        self, sender: bytes, *recipients: bytes, login: str = "", cert: str = "", mail_addr: str = "x"
    ) -> None:
        """MAIL FROM and RCPT TO as written, with or without brackets."""
        mail = {"j": "mx.our.example", "{mail_addr}": mail_addr}
        known = {"{auth_authen}": login, "{cert_subject}": cert}
        self._macros(b"M", mail | {name: value for name, value in known.items() if value})
        self.send(b"M", sender + b"\0")
        for recipient in recipients or (b"<bob@our.example>",):
            self._macros(b"R", {"{rcpt_mailer}": "smtp"})
            self.send(b"R", recipient + b"\0")

    def content(
        self, header: Header, body: bytes = b"", queue_id: str = "4XyZ1k2", *, data: bool = True
    ) -> None:
        """DATA, which version 2 does not know, and all that follows but its end; values with the blank after
        the colon, folds as LF. Macros come before each field, as from Postfix."""
        if data:
            self._macros(b"T", {"i": queue_id})
            self.send(b"T", b"")
        for name, value in header:
            self._macros(b"L", {"i": queue_id})
            self.send(b"L", name + b"\0" + value + b"\0")
        if not self.protocol & miltertest.SMFIP_NOEOH:
            self.send(b"N", b"")
        for start in range(0, len(body), 65535):
            self.send(b"B", body[start : start + 65535])

    def begin_end(self, queue_id: str = "4XyZ1k2") -> None:
        """END-OF-MESSAGE, without waiting for what comes."""
        self._macros(b"E", {"i": queue_id})
        self._raw(b"E", b"")

    def end(self, queue_id: str = "4XyZ1k2") -> Outcome:
        """END-OF-MESSAGE, and what comes of it."""
        self.begin_end(queue_id)
        return self.outcome()

    def outcome(self) -> Outcome:
        """Collect edits up to the verdict."""
        edits, body = [], None
        while True:
            command, values = self._milter.recv()
            if command == miltertest.SMFIR_REPLBODY:
                body = (body or b"") + _octets(values["buf"])
                continue
            if command in (
                miltertest.SMFIR_INSHEADER,
                miltertest.SMFIR_ADDHEADER,
                miltertest.SMFIR_CHGHEADER,
                miltertest.SMFIR_QUARANTINE,
                miltertest.SMFIR_CHGFROM,
            ):
                edits.append((command, values))
                continue
            text = values["smtpcode"] + values["space"] + values["text"] if "text" in values else ""
            return Outcome(word=command, text=text, edits=edits, body=body)

    def message(
        self, header: Header, body: bytes = b"", *, sender: bytes = b"<alice@far.example>", login: str = "",
        queue_id: str = "4XyZ1k2",
    ) -> Outcome:  # fmt: skip
        """One whole message on this connection."""
        self.envelope(sender, login=login)
        self.content(header, body, queue_id)
        return self.end(queue_id)

    def abort(self) -> None:
        """RSET, or the client went away."""
        self._raw(b"A", b"")

    def send(self, command: bytes, payload: bytes) -> None:
        """Send one event; wait for "continue" unless no reply was negotiated."""
        self._raw(command, payload)
        if not self.protocol & NO_REPLY[command]:
            word, values = self._milter.recv()
            assert word == miltertest.SMFIR_CONTINUE, (command, word, values)

    def _macros(self, command: bytes, macros: dict[str, str]) -> None:
        pairs = b"".join(f"{name}\0{value}\0".encode() for name, value in macros.items())
        self._raw(b"D", command + pairs)

    def _raw(self, command: bytes, payload: bytes) -> None:
        self._socket.sendall(struct.pack("!L", len(payload) + 1) + command + payload)


@dataclass
class Daemon:
    """A daemon under test: its main process, its socket, where its stderr goes."""

    process: "subprocess.Popen[bytes]"
    path: Path | tuple[str, int]
    stderr: Path
    engine: str = ""

    def log(self) -> list[str]:
        """The lines written so far, without "program[pid]: "; not one whose end is still to come."""
        whole, _, _ = self.stderr.read_text().rpartition("\n")
        return [line.partition("]: ")[2] for line in whole.splitlines()]

    def wait_for(self, words: str, count: int = 1) -> list[str]:
        """Wait until that many log lines hold these words; those lines."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            found = [line for line in self.log() if words in line]
            if len(found) >= count:
                return found
            time.sleep(0.02)
        raise AssertionError(f"never logged {words!r}:\n" + self.stderr.read_text())

    def workers(self, count: int = 0) -> list[int]:
        """The pids of the children, once there are so many: the first answers before the last is forked."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        deadline = time.monotonic() + 10
        while len(pids := children.read_text().split()) < count and time.monotonic() < deadline:
            time.sleep(0.02)
        return [int(pid) for pid in pids]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the main process."""
        self.process.send_signal(number)


def answers(path: Path | tuple[str, int]) -> bool:
    """Whether a milter accepts connections there."""
    with contextlib.suppress(OSError, miltertest.MilterError), Postfix(path):
        return True
    return False


@contextlib.contextmanager
def running(
    arguments: list[str], path: Path | tuple[str, int], stderr: Path, **environment: str
) -> Iterator[Daemon]:
    """Run a daemon until its socket answers, and end it whatever happens."""
    with stderr.open("ab") as sink:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", *arguments],
            stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, env=os.environ | environment,
        )  # fmt: skip
    daemon = Daemon(process, path, stderr)
    try:
        deadline = time.monotonic() + 30
        while not answers(path):
            assert process.poll() is None, stderr.read_text()
            assert time.monotonic() < deadline, stderr.read_text()
            time.sleep(0.02)
        yield daemon
    finally:
        process.terminate()
        try:
            process.wait(15)
        finally:
            process.kill()
            process.wait()
