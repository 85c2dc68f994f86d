"""A Postfix that is nothing but its two files, for tests of what writes them. Needs the real postconf(1)."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from postvouch.cli import main as cli
from postvouch.host.postfix import Postfix

PATH = os.environ.get("PATH", "") + ":/usr/sbin"
ENV = {"PATH": PATH, "LC_ALL": "C"}

MAIN = """\
# A comment that must survive.
smtpd_banner = $myhostname ESMTP $mail_name (Debian/GNU)
mydestination = $myhostname, localhost
relayhost =
"""
MASTER = """\
smtp      inet  n       -       y       -       -       smtpd
pickup    unix  n       -       y       60      1       pickup
cleanup   unix  n       -       y       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
rewrite   unix  -       -       y       -       -       trivial-rewrite
bounce    unix  -       -       y       -       0       bounce
smtp      unix  -       -       y       -       -       smtp
relay     unix  -       -       y       -       -       smtp
        -o syslog_name=postfix/$service_name
# a comment that must survive
error     unix  -       -       y       -       -       error
"""
CONFIG = """\
[general]
role = "{role}"
domains = ["our.example", "old.example"]
hostname = "host.our.example"
internal_hosts = ["127.0.0.0/8", "::1/128", "192.0.2.7/32"]
[map]
names = ["{folder}/names.d/*.yaml"]
forward_transport = "smtp:[srs.our.example]"
[postfix]
tls_cert = "/etc/ssl/mail.pem"
"""


@dataclass(frozen=True)
class Done:
    status: int
    out: str
    err: str


class Host:
    """A Postfix that is nothing but two files, and our configuration beside it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.capsys = capsys
        self.postfix_dir = folder / "postfix"
        self.postfix_dir.mkdir()
        self.record = self.postfix_dir / "postvouch-before.json"
        (self.postfix_dir / "main.cf").write_text(MAIN)
        (self.postfix_dir / "master.cf").write_text(MASTER)
        (folder / "names.d").mkdir()
        (folder / "names.d" / "all.yaml").write_text(
            "domains: {our.example: primary, old.example: our.example}\n"
        )
        self.configure("mx")
        self.age()

    def configure(self, role: str, more: str = "") -> None:
        (self.folder / "postvouch.toml").write_text(CONFIG.format(role=role, folder=self.folder) + more)

    def run(self, *arguments: str) -> Done:
        options = ["--config", str(self.folder / "postvouch.toml"), "--config-dir", str(self.postfix_dir)]
        status = cli.run(["postfix", *options, *arguments])
        said = self.capsys.readouterr()
        self.age()
        return Done(status, said.out, said.err)

    def apply(self) -> str:
        done = self.run("--apply", "--files-only")
        assert done.status == 0, done.err
        return done.out

    def age(self) -> None:
        """postconf reads a file twice, with a pause, that was written this very second."""
        for file in self.postfix_dir.glob("*.cf"):
            os.utime(file, (1e9, 1e9))

    def octets(self) -> tuple[bytes, bytes]:
        return (self.postfix_dir / "main.cf").read_bytes(), (self.postfix_dir / "master.cf").read_bytes()

    def main(self) -> dict[str, str]:
        return dict(Postfix(self.postfix_dir).settings().main)

    def edit(self, setting: str) -> None:
        """What an administrator does behind our back."""
        with (self.postfix_dir / "main.cf").open("a") as file:
            file.write(setting + "\n")
        self.age()
