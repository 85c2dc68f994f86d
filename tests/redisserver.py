"""A private redis, or several with a Sentinel that watches them, on this host."""

import socket
from pathlib import Path

from servers import Process, accepts, free_port, program, wait_for

from postvouch.config.kinds import Duration, SecretPath
from postvouch.config.shared import Redis

PASSWORD = "secret"


def command(port: int, *words: str) -> bytes:
    """The first line of what a server of ours answers (inline command), after AUTH."""
    with socket.create_connection(("127.0.0.1", port), 2.0) as client:
        lines = client.makefile("rb")
        client.sendall(f"AUTH {PASSWORD}\r\n".encode())
        lines.readline()
        client.sendall(" ".join(words).encode() + b"\r\n")
        return lines.readline().strip()


class Server:
    """A private redis; with ``keeps`` it remembers across a restart."""

    def __init__(self, folder: Path, *, keeps: bool = False, of: "Server | None" = None) -> None:
        self.folder = folder
        self.port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        replica = ["--replicaof", "127.0.0.1", str(of.port)] if of else []
        self._command = [
            program("redis-server", "redis-server"), "--port", str(self.port), "--bind", "127.0.0.1",
            "--save", "", "--requirepass", PASSWORD, "--masterauth", PASSWORD, "--dir", str(folder),
            "--appendonly", "yes" if keeps else "no", "--repl-diskless-sync-delay", "0", *replica,
        ]  # fmt: skip
        self.process = self.start()

    def start(self) -> Process:
        """Start it (again)."""
        self.process = Process(self._command, self.folder / "redis.log")
        wait_for(lambda: accepts(self.port), "redis listens")
        return self.process

    def settings(self) -> Redis:
        """How it is reached."""
        return Redis(
            url=f"redis://127.0.0.1:{self.port}/0", password_file=self.password(), timeout=Duration(0.5)
        )

    def password(self) -> SecretPath:
        """The file of its password."""
        path = self.folder / "password"
        path.write_text(f"{PASSWORD}\n")
        path.chmod(0o640)
        return SecretPath(str(path))

    def has_replica(self) -> bool:
        """Whether a replica is connected and has what we have."""
        return command(self.port, "WAIT", "1", "50") == b":1"


class Sentinel:
    """One that watches ``master`` as "house" and needs nobody's consent."""

    def __init__(self, folder: Path, master: Server) -> None:
        folder.mkdir(parents=True)
        self.port = free_port()
        conf = folder / "sentinel.conf"
        conf.write_text(
            f'port {self.port}\nbind 127.0.0.1\ndir "{folder}"\n'
            f"sentinel monitor house 127.0.0.1 {master.port} 1\nsentinel auth-pass house {PASSWORD}\n"
            "sentinel down-after-milliseconds house 500\nsentinel failover-timeout house 3000\n"
        )
        binary = program("redis-server", "redis-server")
        self.process = Process([binary, str(conf), "--sentinel"], folder / "sentinel.log")
        wait_for(lambda: accepts(self.port), "the Sentinel listens")
