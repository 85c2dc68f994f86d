"""What a real postvouch-verify needs: one huge letter, and letter after letter of senders never seen before.

Its DNS is made up here, in a process of its own, so that a hundred thousand domains have SPF, DMARC and a key
each; all of them are different, so that every cache fills to its bound.
"""

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from postfixplay import Daemon, Header, Postfix, running

from postvouch.sign import dkim
from postvouch.sign.keys import PrivateKey, SigningKey
from postvouch.values.message import Field, Message

ROOT = Path(__file__).resolve().parents[2]
MIB = 1 << 20
CONNECTIONS = 4
LETTERS, STEP = 100_000, 10_000
HUGE = 50 * MIB
BODY = b"hello\r\n"
RULES = dkim.Rules(headers=("from", "subject"))


def key_of(domain: str) -> PrivateKey:
    """The key of a domain, made of its name."""
    seed = hashlib.sha256(domain.encode()).digest()
    return PrivateKey(kind="ed25519", bits=256, key=Ed25519PrivateKey.from_private_bytes(seed))


def _text(name: str) -> bytes:
    """What stands at a name; b"" for nothing."""
    first, _, rest = name.partition(".")
    if rest.startswith("_domainkey."):
        key = key_of(rest.removeprefix("_domainkey."))
        return b"v=DKIM1; k=ed25519; p=" + b64encode(key.public())
    if first == "_dmarc":
        return b"v=DMARC1; p=reject" if rest.count(".") == 1 else b""
    return f"v=spf1 a:{name} ip4:192.0.2.7 -all".encode()


def _reply(query: bytes) -> bytes:
    """The answer, by hand: dnspython would be slower than what is measured."""
    labels, at = [], 12
    while size := query[at]:
        labels.append(query[at + 1 : at + 1 + size].decode("latin-1"))
        at += size + 1
    kind, question = query[at + 1 : at + 3], query[12 : at + 5]
    text = _text(".".join(labels).lower()) if kind == b"\0\x10" else b""
    data = bytes([len(text)]) + text if text else b"\xc0\0\x02\x01" if kind == b"\0\x01" else b""
    record = b"\xc0\x0c" + kind + b"\0\x01\0\0\x0e\x10" + len(data).to_bytes(2) + data
    # Without an SOA nothing is no answer to keep: one with 60 seconds.
    soa = b"\0\0\6\0\1\0\0\0\x3c\0\x16\0\0" + b"\0\0\0\x3c" * 5
    counts = b"\0\1\0\1\0\0\0\0" if data else b"\0\1\0\0\0\1\0\0"
    return query[:2] + b"\x81\x80" + counts + question + (record if data else soa)


def _serve(listener: socket.socket) -> None:
    while True:
        query, peer = listener.recvfrom(4096)
        listener.sendto(_reply(query), peer)


@contextmanager
def everybody() -> Iterator[str]:
    """DNS in which every domain has a key, SPF and, where it has two labels, DMARC."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        number = listener.fileno()
        process = subprocess.Popen(
            [sys.executable, "-m", "fuzz.memory", str(number)],
            pass_fds=[number],
            env=os.environ | {"PYTHONPATH": f"{ROOT}/tests:{ROOT}"},
        )
        try:
            yield f"127.0.0.1@{listener.getsockname()[1]}"
        finally:
            process.terminate()
            process.wait()


@contextmanager
def daemon(*, workers: int = 2, cache_entries: int = 20_000) -> Iterator[Daemon]:
    """A postvouch-verify, as it comes unless told otherwise, on that DNS."""
    with TemporaryDirectory() as folder, everybody() as server:
        path = Path(folder) / "postvouch.toml"
        path.write_text(
            '[general]\nrole = "mx"\ndomains = ["our.example"]\nhostname = "mx.our.example"\n'
            f"[dns]\nservers = {json.dumps([server])}\ncache_entries = {cache_entries}\n"
            f'[verify]\nsocket = "unix:{folder}/v.sock"\nmetrics = ""\nworkers = {workers}\n'
        )
        arguments = ["-m", "postvouch.milters.verify", "--config", str(path)]
        # Its log is of no interest, and 30 MB.
        with running(arguments, Path(folder) / "v.sock", Path("/dev/null"), PYTHONPATH=str(ROOT)) as made:
            yield made


def kib(pid: int, what: str) -> int:
    """VmRSS or VmHWM of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(what + ":"):
            return int(line.split()[1])
    raise LookupError(what)


def resident(of: Daemon) -> float:
    """The RSS of all its workers, in MiB."""
    return sum(kib(pid, "VmRSS") for pid in of.workers()) / 1024


def signed(domain: str, body: bytes = BODY, subject: bytes = b" hello") -> Header:
    """The header of a letter from that domain, with a signature that verifies."""
    key = SigningKey(domain=domain, selector="s", private=key_of(domain))
    fields = (Field(b"From", f" a@{domain}".encode()), Field(b"Subject", subject))
    made = dkim.sign(Message(fields=fields, body=(body,)), key, now=time.time(), rules=RULES)
    return [(b"DKIM-Signature", b" " + made.value.encode()), *((f.name, f.value) for f in fields)]


def send(of: Daemon, letters: range) -> None:
    """These letters, from a domain each that no other has; ten come from one host."""
    for at in range(0, len(letters), 10):
        n = letters[at]
        with Postfix(of.path) as smtpd:
            known = f"mx.d{n}.example" if at % 20 else "unknown"
            smtpd.connect(known, f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}")
            for n in letters[at : at + 10]:
                name = f"d{n}.example"
                outcome = smtpd.message(signed(name), BODY, sender=f"<a@{name}>".encode(), queue_id=f"4X{n}")
                (value,) = outcome.inserted("Authentication-Results")
                assert "dmarc=pass" in value, value


def series(of: Daemon, letters: int, step: int, say: Callable[[int, float], None]) -> list[float]:
    """The RSS of the workers in MiB at the start and after each ``step`` letters."""
    seen = [resident(of)]
    say(0, seen[0])
    for first in range(0, letters, step):
        faults: list[BaseException] = []

        def work(which: int, first: int = first, faults: list[BaseException] = faults) -> None:
            try:
                send(of, range(first + which, first + step, CONNECTIONS))
            except BaseException as error:
                faults.append(error)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(CONNECTIONS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if faults:
            raise faults[0]
        seen.append(resident(of))
        say(first + step, seen[-1])
    return seen


def huge(of: Daemon, size: int) -> float:
    """By how many MiB the peak of a worker rises above what it had, for one letter of that many octets."""
    body = (b"x" * 70 + b"  y\r\n") * (size // 75)
    header = signed("huge.example", body)
    with Postfix(of.path) as smtpd:
        smtpd.connect()
        smtpd.message(signed("huge.example"), BODY, sender=b"<a@huge.example>")
        before = {pid: kib(pid, "VmRSS") for pid in of.workers()}
        for pid in before:
            # Forget the peak so far (proc_pid_clear_refs(5)).
            Path(f"/proc/{pid}/clear_refs").write_text("5")
        outcome = smtpd.message(header, body, sender=b"<a@huge.example>")
        assert "dkim=pass" in outcome.inserted("Authentication-Results")[0]
        return max(kib(pid, "VmHWM") - kept for pid, kept in before.items()) / 1024


def main() -> int:
    """The whole measurement; some minutes."""
    with daemon() as made:
        rise = huge(made, HUGE)
        print(f"one signed letter of {HUGE // MIB} MiB: the peak of a worker rises by {rise:.1f} MiB")
    began = time.monotonic()
    with daemon() as made:
        print(f"letters, each of another domain, host and key; RSS of {len(made.workers())} workers in MiB:")

        def say(letters: int, mib: float) -> None:
            print(f"  {letters:>7,}  {mib:7.1f}", flush=True)

        seen = series(made, LETTERS, STEP, say)
    took = time.monotonic() - began
    print(f"{LETTERS / took:,.0f} letters/s over {CONNECTIONS} connections; the last half grew by "
          f"{seen[-1] - seen[len(seen) // 2]:+.1f} MiB")  # fmt: skip
    return 0


if __name__ == "__main__":
    # The DNS of ``everybody``, on the socket of that number.
    _serve(socket.socket(fileno=int(sys.argv[1])))
