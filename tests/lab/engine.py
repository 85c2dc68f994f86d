"""Podman or docker: the few verbs that the lab needs from a container engine.

``find`` picks the engine (PV_ENGINE overrides) and, for podman, finds out whether a container starts as the
host is set up. Where none does, a containers.conf of our own in .do/ is used through CONTAINERS_CONF: the
files in /etc/containers are never written.
"""

import os
import shlex
import shutil
import subprocess
import tarfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STATE = ROOT / ".do"

# For hosts where crun cannot start a container (hybrid cgroups) or where ulimits may not be raised.
PLAIN_CONF = """\
[engine]
runtime="runc"
[containers]
default_ulimits=["nofile=1024:1024","nproc=1000:1000"]
"""


class EngineError(RuntimeError):
    """The engine, or a command in a container, failed; the text says which and what it printed."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def ok(self) -> bool:
        """Whether it exited 0."""
        return self.code == 0

    @property
    def text(self) -> str:
        """Both outputs, for people."""
        return (self.out + self.err).strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class FileIn:
    """A file to put into a container."""

    text: str
    mode: int = 0o644
    owner: str = "root"
    group: str = "root"


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """One engine. ``prefix`` is the command with sudo and environment before it where they are needed."""

    name: str
    prefix: tuple[str, ...]

    def call(
        self, *arguments: str, check: bool = True, timeout_s: float = 120, feed: bytes | None = None
    ) -> Done:
        """Run one engine command. Raises EngineError where ``check`` holds and it does not exit 0."""
        command = [*self.prefix, *arguments]
        try:
            run = subprocess.run(
                command,
                input=feed,
                stdin=subprocess.DEVNULL if feed is None else None,
                capture_output=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            raise EngineError(f"no end after {timeout_s:.0f} s: {shlex.join(command)[:300]}") from late
        done = Done(run.returncode, run.stdout.decode(errors="replace"), run.stderr.decode(errors="replace"))
        if check and not done.ok:
            raise EngineError(f"exit {done.code}: {shlex.join(command)[:300]}\n{done.text[-3000:]}")
        return done

    def raw(self, *arguments: str, timeout_s: float = 60) -> bytes:
        """Standard output of an engine command as octets. Raises EngineError where it does not exit 0."""
        command = [*self.prefix, *arguments]
        run = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, check=False
        )
        if run.returncode != 0:
            raise EngineError(
                f"exit {run.returncode}: {shlex.join(command)[:300]}\n{run.stderr.decode()[-2000:]}"
            )
        return run.stdout

    def has_image(self, image: str) -> bool:
        """Whether an image of that name is here."""
        return self.call("image", "inspect", image, check=False).ok

    def sh(
        self, container: str, script: str, *, check: bool = True, timeout_s: float = 60, user: str = ""
    ) -> Done:
        """Run a shell script in a container, fed on standard input so that no quoting is ever in the way."""
        options = ["--user", user] if user else []
        return self.call(
            "exec", "-i", *options, container, "sh", "-s",
            check=check, timeout_s=timeout_s, feed=script.encode(),
        )  # fmt: skip

    def put(self, container: str, files: Mapping[str, FileIn]) -> None:
        """Write files into a container, directories made as needed (0755 root)."""
        pack = BytesIO()
        with tarfile.open(fileobj=pack, mode="w") as archive:
            for path, item in files.items():
                data = item.text.encode()
                entry = tarfile.TarInfo(path.lstrip("/"))
                entry.size, entry.mode, entry.mtime = len(data), item.mode, int(time.time())
                entry.uname, entry.gname = item.owner, item.group
                archive.addfile(entry, BytesIO(data))
        self.call("exec", "-i", container, "tar", "-C", "/", "-x", "-p", "-f", "-", feed=pack.getvalue())

    def remove(self, *containers: str) -> None:
        """Remove containers, running or not, there or not."""
        # One name that is not there, and podman 4.3 removes none of the others.
        known = set(self.call("ps", "-a", "--format", "{{.Names}}").out.split())
        there = [name for name in containers if name in known]
        if there:
            self.call("rm", "-f", *(["-t", "0"] if self.name == "podman" else []), *there, check=False)

    def start_host(
        self, *, name: str, image: str, network: str, address: str, hostname: str, resolv: Path, label: str
    ) -> None:
        """Start a container with systemd as its process 1."""
        if self.name == "podman":
            special = ["--systemd=always"]
        else:
            # Docker does not know systemd: it wants a cgroup tree to write to and the tmpfs mounts by hand.
            special = [
                "--privileged", "--cgroupns=private", "--env", "container=docker", "--stop-signal=SIGRTMIN+3",
                "--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp",
            ]  # fmt: skip
        self.call(
            "run", "-d", "--name", name, "--hostname", hostname, "--network", network, "--ip", address,
            "--label", label, "--volume", f"{resolv}:/etc/resolv.conf:ro", *special, image, "/sbin/init",
        )  # fmt: skip

    def build(
        self, *, base: str, target: str, script: str, volumes: Sequence[str] = (), timeout_s: float = 1200
    ) -> str:
        """Make image ``target``: run ``script`` in ``base`` (with the host's network) and keep the result."""
        name = f"pvlab-build-{os.getpid()}-{abs(hash(target)) % 100000}"
        mounts = [part for volume in volumes for part in ("--volume", volume)]
        try:
            done = self.call(
                "run",
                "-i",
                "--name",
                name,
                *mounts,
                base,
                "sh",
                "-s",
                feed=script.encode(),
                timeout_s=timeout_s,
            )
            self.call("commit", "-q", name, target, timeout_s=600)
            return done.text
        finally:
            self.remove(name)


def sudo() -> tuple[str, ...]:
    """What goes before a command that needs root."""
    return () if os.geteuid() == 0 else ("sudo",)


def find() -> Engine:
    """The engine of this host. Raises EngineError with advice where there is none."""
    wanted = os.environ.get("PV_ENGINE", "")
    names = [wanted] if wanted else ["podman", "docker"]
    problems = []
    for name in names:
        if shutil.which(name) is None:
            problems.append(f"{name}: not installed")
            continue
        engine = Engine(name=name, prefix=(*sudo(), name))
        info = engine.call("info", check=False)
        if info.ok:
            return engine
        problems.append(f"{name} info: {info.text[-300:]}")
    raise EngineError("no container engine works here; apt install podman\n" + "\n".join(problems))


def settle(engine: Engine, image: str) -> Engine:
    """The engine with which a container of ``image`` does start: as it is, or with a plain configuration."""
    probe = ("run", "--rm", image, "true")
    first = engine.call(*probe, check=False)
    if first.ok or engine.name != "podman" or "CONTAINERS_CONF" in os.environ:
        if not first.ok:
            raise EngineError(f"{engine.name} cannot start a container here:\n{first.text[-2000:]}")
        return engine
    STATE.mkdir(exist_ok=True)
    conf = STATE / "containers.conf"
    conf.write_text(PLAIN_CONF)
    prefix = (*sudo(), "env", f"CONTAINERS_CONF={conf}", "podman")
    plain = Engine(name=engine.name, prefix=prefix)
    second = plain.call(*probe, check=False)
    if not second.ok:
        raise EngineError(
            f"podman cannot start a container here:\n{first.text[-1500:]}\nnor with runc and low limits "
            f"(apt install runc):\n{second.text[-1500:]}"
        )
    return plain
