"""A lab that is up: run something on a host, read a journal, send a letter, read what arrived, clean up."""

import contextlib
import email
import email.policy
import re
import shlex
import tarfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.message import EmailMessage
from io import BytesIO

from lab.engine import STATE, Done, Engine
from lab.topology import HOSTS, OURS, VERIFIER, Topology, role

# Two cores carry some dozen hosts; more at once only makes each slower.
AT_ONCE = 4
MAILDIR = "/var/mail/lab/all"
DAEMONS = {
    "mx": ("verify", "map"),
    "srs": ("sign", "map"),
    "submission": ("sign", "map", "policy"),
    "relay": ("sign",),
}
QUEUES = ("maildrop", "incoming", "active", "deferred", "hold")
KEEPERS = ("sender", "sink")
MAIL_HOSTS = ("sender", "sink", "ldap", "redis", VERIFIER, *OURS)


class LetterFailed(AssertionError):
    """Something about a letter is not as it should be; the text says what was seen instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A message as a Maildir keeps it, with the judgement of the host that received it."""

    message: EmailMessage
    raw: bytes

    def field(self, name: str) -> str:
        """The first field of that name, unfolded; "" for none."""
        return " ".join(str(self.message.get(name, "")).split())

    def fields(self, name: str) -> list[str]:
        """All fields of that name, unfolded, top to bottom."""
        return [" ".join(str(value).split()) for value in self.message.get_all(name, [])]

    @property
    def id(self) -> str:
        """Its Message-ID without the angle brackets."""
        return self.field("Message-ID").strip("<>")

    @property
    def envelope_from(self) -> str:
        """MAIL FROM as the delivery agent wrote it down; "" for the null sender."""
        return self.field("Return-Path").strip("<>")

    @property
    def recipient(self) -> str:
        """RCPT TO as it arrived."""
        return self.field("X-Original-To") or self.field("Delivered-To")

    def results(self, authserv_id: str) -> str:
        """All Authentication-Results fields of one host, joined."""
        fields = self.fields("Authentication-Results")
        plain = (re.sub(r"\([^()]*\)", "", f) for f in fields)  # comments may hold semicolons
        return " | ".join(" ".join(f.split()) for f in plain if f.partition(";")[0].strip() == authserv_id)

    @property
    def spf(self) -> str:
        """What the sink's Mail::SPF found: "pass", "fail"…"""
        return self.field("Received-SPF").partition(" ")[0].lower()

    @property
    def dmarc(self) -> str:
        """What the sink's OpenDMARC found."""
        found = re.search(r"dmarc=(\w+)", self.results("mx.gmail.example"))
        return found[1] if found else ""

    @property
    def dkim(self) -> set[tuple[str, str]]:
        """What the sink's OpenDKIM found: (result, d=) of every signature."""
        found = re.findall(r"dkim=(\w+)[^;|]*?header\.d=([\w.-]+)", self.results("mx.gmail.example"))
        return {(result, domain) for result, domain in found}

    def signed_by(self) -> list[str]:
        """The d= of every DKIM-Signature, good or bad."""
        tags = (re.search(r"(?:^|;)\s*d\s*=\s*([\w.-]+)", value) for value in self.fields("DKIM-Signature"))
        return [tag[1] for tag in tags if tag]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """One lab. All waits have deadlines; all commands time out."""

    engine: Engine
    topology: Topology

    def sh(self, host: str, script: str, *, check: bool = True, timeout_s: float = 60) -> Done:
        """Run a shell script as root on a host."""
        return self.engine.sh(self.topology.container(host), script, check=check, timeout_s=timeout_s)

    def address(self, host: str) -> str:
        """IPv4 address of a host."""
        return self.topology.address(host)

    def swaks(self, host: str, *arguments: str, timeout_s: float = 60) -> Done:
        """Send a letter with swaks from a host; its transcript is the output."""
        quoted = shlex.join(["swaks", "--timeout", "30", *arguments])
        return self.sh(host, f"exec {quoted} 2>&1", check=False, timeout_s=timeout_s)

    def journal(self, host: str, since: float, *, word: str = "") -> list[str]:
        """A host's journal since a time (seconds since 1970), the lines that hold ``word``."""
        done = self.sh(
            host, f"journalctl -q -o short-iso --no-pager --since @{since - 0.01:.3f}", check=False
        )
        return [line for line in done.out.splitlines() if word in line]

    def mails(self, host: str, message_id: str = "") -> list[Received]:
        """What a host's users received, all of it or one Message-ID's copies."""
        # Nothing may have been delivered yet. What arrives while tar reads (exit 1) is seen next time.
        tar = "tar -c -f - --ignore-failed-read --warning=none new"
        script = f"test -d {MAILDIR}/new || exit 0; cd {MAILDIR}; {tar} || test $? = 1"
        container = self.topology.container(host)
        run = self.engine.raw("exec", "-i", container, "sh", "-c", script)
        found: list[Received] = []
        if not run:
            return found
        with tarfile.open(fileobj=BytesIO(run)) as archive:
            for entry in archive:
                data = archive.extractfile(entry)
                if data is not None:
                    raw = data.read()
                    message = email.message_from_bytes(raw, policy=email.policy.compat32)
                    found.append(Received(message=message, raw=raw))
        return [mail for mail in found if message_id in ("", mail.id)]

    def wait(
        self, what: str, probe: Callable[[], object], *, timeout_s: float = 30, every_s: float = 0.3
    ) -> object:
        """Ask ``probe`` until its answer is true, and return it. Raises LetterFailed after the deadline."""
        deadline = time.monotonic() + timeout_s
        while True:
            if answer := probe():
                return answer
            if time.monotonic() > deadline:
                raise LetterFailed(f"{what}: not within {timeout_s:.0f} s")
            time.sleep(every_s)

    def wait_mails(self, host: str, message_id: str, count: int = 1, timeout_s: float = 30) -> list[Received]:
        """Wait until that many copies of a letter have arrived at a host."""

        def probe() -> list[Received]:
            found = self.mails(host, message_id)
            return found if len(found) >= count else []

        try:
            self.wait(f"{count} copies of {message_id} at {host}", probe, timeout_s=timeout_s)
        except LetterFailed as late:
            raise LetterFailed(f"{late}; in the queues: {self.queues() or 'nothing'}") from None
        return self.mails(host, message_id)

    def queues(self, hosts: tuple[str, ...] = MAIL_HOSTS) -> str:
        """What still waits in the queues of the hosts, a line a message."""

        def one(host: str) -> str:
            done = self.sh(host, "postqueue -j 2>/dev/null", check=False)
            return "".join(f"{host}: {line[:600]}\n" for line in done.out.splitlines())

        return "".join(self.each(hosts, one))

    def each(self, hosts: tuple[str, ...], work: Callable[[str], str]) -> list[str]:
        """Do something on several hosts, a few at once; the first error is raised."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(work, hosts))

    def clean(self) -> None:
        """As if nothing had been sent: queues and mailboxes empty, every daemon running."""

        def one(host: str) -> str:
            queues = " ".join(f"/var/spool/postfix/{q}" for q in QUEUES)
            script = f"find {queues} -type f 2>/dev/null | grep -q . && postsuper -d ALL >/dev/null 2>&1; "
            if host in KEEPERS:
                script += f"rm -rf {MAILDIR}; "
            if units := " ".join(f"postvouch-{daemon}" for daemon in DAEMONS.get(role(host), ())):
                # Already running is nothing to do; one that failed is started all the same.
                script += f"systemctl reset-failed {units}; systemctl start {units} postfix; "
            if host == "ldap":
                script += "systemctl start lab-slapd; "
            if host == "redis":
                script += "systemctl start lab-redis; "
            return self.sh(host, script + "true").text

        self.each(MAIL_HOSTS, one)

    @contextlib.contextmanager
    def stopped(self, host: str, unit: str) -> Iterator[None]:
        """While this lasts, a unit is stopped; it runs again afterwards, whatever happened."""
        self.sh(host, f"systemctl stop {unit}")
        try:
            yield
        finally:
            self.sh(host, f"systemctl start {unit}")

    def save_logs(self, folder_name: str) -> str:
        """Keep every host's journal in .do/log/ for a person who looks for a fault; the folder."""
        folder = STATE / "log" / f"{self.topology.network}-{folder_name}"
        folder.mkdir(parents=True, exist_ok=True)
        for host in HOSTS:
            done = self.sh(host.name, "journalctl -q -o short-iso-precise --no-pager", check=False)
            (folder / f"{host.name}.log").write_text(done.out)
        (folder / "queues.txt").write_text(self.queues())
        return str(folder)
