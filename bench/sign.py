"""Signing: our daemon beside OpenDKIM, dkimpy-milter and rspamd, one RSA key for all, and openssl's limit.

A login writes; ours also asks the directory whether it may write as that author.
"""

import argparse
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import dkim
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from bench import letters, load, rounds, servers, table
from bench.letters import AUTHOR, OURS, SELECTOR
from bench.servers import CONF, ENGINES, RUN, Broken, Program, Server
from postvouch.directory import files, snapshot

KEYS = Path("/etc/bench")
"""Outside of RUN, which anybody may write to: no signer takes a key from there."""

FIELD = f"DKIM-Signature=d={OURS}"
OPENSSL_S = 3
NAMES = f"domains: {{{OURS}: primary}}\nlogins: {{ada: [{AUTHOR}]}}\n"
AIMS = (
    ("postvouch-pymilter", "opendkim", 2.0),
    ("postvouch-pymilter", "dkimpy-milter", 12.0),
    ("postvouch-native", "opendkim", 4.0),
    ("postvouch-native", "rspamd", 1.5),
)
SHORT = "2k"
"""The size for which they are set."""
SHARE = 0.6
"""Of what openssl signs on all cores, where the load and the milter protocol have to run as well."""


def programs() -> tuple[Program, ...]:
    """The signers, ours first."""
    return (
        *(servers.ours(engine, "sign", (FIELD,)) for engine in ENGINES),
        opendkim(),
        Program(
            name="dkimpy-milter",
            command=("dkimpy-milter", f"{CONF}/dkimpy-milter.conf"),
            expect=(FIELD,),
        ),
        servers.rspamd("rspamd-sign.conf", (FIELD,)),
    )


def opendkim() -> Program:
    """OpenDKIM as a signer."""
    command = ("opendkim", "-f", "-x", f"{CONF}/opendkim-sign.conf")
    return Program(name="opendkim", command=command, expect=(FIELD,))


def prepare() -> bytes:
    """Key and names, where the configurations look for them; what DNS has of the key."""
    key = generate_private_key(65537, 2048)
    KEYS.mkdir(mode=0o755)
    for owner in ("root", "_rspamd"):
        place = KEYS / f"{owner}.pem"
        place.touch(0o600)
        place.write_bytes(letters.pem(key))
        shutil.chown(place, owner, owner)
    (KEYS / "names.yaml").write_text(NAMES)
    part, problems = files.read([str(KEYS / "names.yaml")], [OURS], now=time.time())
    if problems:
        raise Broken("; ".join(map(str, problems)))
    snapshot.save(KEYS / "directory.snapshot", [part])
    return letters.record(key).encode()


def main(given: argparse.Namespace) -> None:
    """Measure and report. Raises Broken."""
    sizes = given.sizes or (["2k", "20k"] if given.quick else ["2k", "20k", "1M"])
    letters.write_ours(RUN / "letters", sizes)
    (RUN / "zone.conf").write_text(f"local-data: '{OURS} 3600 MX 10 mx.{OURS}'\n")
    public = prepare()
    about = rounds.machine("rspamd", "opendkim", "dkimpy-milter", "openssl")
    limits: list[float] = []
    shares: list[str] = []
    texts, data = [], {}
    with servers.running([servers.unbound(OURS), *programs()]) as (_, *signers):
        for size in sizes:
            folder = RUN / "letters" / size
            for server in signers:
                _check(server, folder, public)
            ready = {server.name: folder for server in signers}
            measured = rounds.measure(
                signers, ready, _envelope, given, size, lambda: limits.append(_openssl_rate())
            )
            texts.append(
                f"Letters of {size}, RSA-2048, {given.rounds} x {rounds.seconds_of(size, given):g} s:"
            )
            texts += [table.markdown(measured), "\n".join(_aims(measured, given.connections, size))]
            data[size] = rounds.plain(measured)
            if size == SHORT:
                shares = [
                    _share(f"postvouch-{engine}", measured, limits[-given.rounds :]) for engine in ENGINES
                ]
    texts.append(f"openssl speed -multi {rounds.cores()} rsa2048: {table.spread(limits)} signatures a second")
    texts += shares
    rounds.write("sign", about, texts, {"letters": data, "openssl": limits})


def _share(name: str, measured: Sequence[table.Round], limits: Sequence[float]) -> str:
    """How much of that one of ours reaches; the load takes its part of the same cores."""
    best = max(
        median(each[key].rate / limit for each, limit in zip(measured, limits, strict=True))
        for key in measured[0]
        if key[0] == name
    )
    return table.said(f"letters/s at best, {name} / openssl", best, SHARE)


def _openssl_rate() -> float:
    """Signatures a second that all cores make and do nothing else. Raises Broken."""
    command = ["openssl", "speed", "-seconds", str(OPENSSL_S), "-multi", str(rounds.cores()), "rsa2048"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"^rsa +2048 bits(?: +[\d.]+s)+ +([\d.]+)", done.stdout, re.MULTILINE)
    if not found:
        raise Broken(f"openssl speed: {done.stdout[-1000:]}{done.stderr[-1000:]}")
    return float(found[1])


def _aims(measured: Sequence[table.Round], connections: Sequence[int], size: str) -> list[str]:
    return [
        table.faster(measured, one, other, n, aim if size == SHORT and n > 1 else None)
        for one, other, aim in AIMS
        for n in connections
    ]


def _envelope(letter: Path | None) -> Sequence[str]:
    return ("--mail-from", AUTHOR, "--rcpt", "bob@there.example", "--auth", "ada")


def _check(server: Server, folder: Path, public: bytes) -> None:
    """Every letter once: its signature is there and good, to a library that is not ours. Raises Broken."""
    signed = load.passed_on(server, folder, _envelope, folder.parent / f"{folder.name}-{server.name}")
    for letter in sorted(signed.glob("*.eml")):
        octets = letter.read_bytes()
        asked: list[bytes] = []

        def dns(name: bytes, timeout: int = 5, asked: list[bytes] = asked) -> bytes:
            asked.append(name)
            return public

        if not dkim.verify(octets, dnsfunc=dns):
            raise Broken(f"{server.name}: the signature of {letter} is not good:\n{octets[:2000]!r}")
        if [name.rstrip(b".") for name in asked] != [f"{SELECTOR}._domainkey.{OURS}".encode()]:
            raise Broken(f"{server.name}: {letter} is not signed with the key: {asked}")
