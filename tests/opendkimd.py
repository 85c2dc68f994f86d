"""A private OpenDKIM: the real daemon, with a configuration of the test, on a unix socket.

with opendkim(folder, "Mode s\\n...") as socket:
    outcome = pass_through(socket, header, body)
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import miltertest
from postfixplay import NO_REPLY, Header, Outcome, Postfix, answers
from servers import Process, program, wait_for

_LEFT_OUT = {
    b"C": miltertest.SMFIP_NOCONNECT,
    b"H": miltertest.SMFIP_NOHELO,
    b"M": miltertest.SMFIP_NOMAIL,
    b"R": miltertest.SMFIP_NORCPT,
    b"T": miltertest.SMFIP_NODATA,
    b"L": miltertest.SMFIP_NOHDRS,
    b"N": miltertest.SMFIP_NOEOH,
    b"B": miltertest.SMFIP_NOBODY,
}


class _Done(Exception):
    """The milter has its last word before the end of the message."""


class LibmilterPostfix(Postfix):
    """Postfix before a milter that may leave out events, wants the end of the header, and may stop early."""

    def send(self, command: bytes, payload: bytes) -> None:
        """Send one event if it is wanted; raises _Done at a verdict."""
        if self.protocol & _LEFT_OUT[command]:
            return
        self._raw(command, payload)
        if not self.protocol & NO_REPLY[command]:
            word, values = self._milter.recv()
            if word != miltertest.SMFIR_CONTINUE:
                raise _Done(word, values)

    def content(self, header: Header, body: bytes = b"", queue_id: str = "4XyZ1k2") -> None:
        """As Postfix sends it, the end of the header included."""
        blank = bool(self.protocol & miltertest.SMFIP_HDR_LEADSPC)
        super().content([(name, value if blank else value.removeprefix(b" ")) for name, value in header])
        for start in range(0, len(body), 65535):
            self.send(b"B", body[start : start + 65535])


def pass_through(milter: Path, header: Header, body: bytes, sender: bytes = b"<bob@our.example>") -> Outcome:
    """One letter from this host; what the milter said and changed."""
    with LibmilterPostfix(milter) as postfix:
        postfix.connect("localhost", "127.0.0.1")
        try:
            return postfix.message(header, body, sender=sender)
        except _Done as done:
            return Outcome(word=done.args[0])


@contextmanager
def opendkim(folder: Path, configuration: str) -> Iterator[Path]:
    """Run it with this opendkim.conf; its socket. Keys of a test lie below /tmp, so it may not mind that."""
    binary = program("opendkim", "opendkim")
    conf, socket = folder / "opendkim.run.conf", folder / "opendkim.sock"
    conf.write_text(f"{configuration}\nRequireSafeKeys no\nBackground no\nSyslog no\n")
    process = Process([binary, "-f", "-x", str(conf), "-p", f"local:{socket}"], folder / "opendkim.log")

    def listens() -> bool:
        assert process.popen.poll() is None, process.text()
        return answers(socket)

    try:
        wait_for(listens, "opendkim listens")
        yield socket
    finally:
        process.stop(signal.SIGKILL)  # it takes seconds to end otherwise
