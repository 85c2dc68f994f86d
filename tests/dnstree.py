"""A piece of the DNS on loopback addresses: a signed root, example. below it, a test's zones below that.

knot serves example. and signs it by itself; the root and the zones of a test are signed by ldns and served by
nsd, with a second nsd for those that have a secondary. Two unbounds resolve, of which one validates. All are
processes of the test. ``port`` is that of the name servers: 53 where it may be had.

    tree = Tree(folder, zones=[Zone("our.example", "a TXT hello")])
    tree.resolver                                       # as dns.servers wants it
    tree.stop()
"""

import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import dns.dnssec
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.query
import dns.rdatatype
from servers import Process, free_port, program, wait_for

DAY = 86400
PACKAGES = {"nsd": "nsd", "knotd": "knot", "unbound": "unbound", "unbound-control": "unbound",
            "ldns-keygen": "ldnsutils", "ldns-signzone": "ldnsutils"}  # fmt: skip
SOA = "@ 300 IN SOA ns1.{name}. admin.{name}. {serial} 3600 600 86400 {negative_s}"


@dataclass
class Zone:
    """A zone below example. ``records`` are lines of a zone file, with names relative to it.

    ``edit(text)`` changes the file after it was signed; ``valid`` are inception and expiration, in days from
    now. ``ds``: the DS at the parent, "own", "none" or "other". ``servers``: up to 2, the second with what it
    fetched when it started; ``dead``: further servers at addresses where nobody listens.
    """

    name: str
    records: str = ""
    signed: bool = True
    ds: str = "own"
    valid: tuple[int, int] = (-1, 30)
    edit: Callable[[str], str] | None = None
    servers: int = 1
    dead: int = 0
    negative_s: int = 300
    serial: int = 1
    key: str = field(default="", init=False)


class Tree:
    """All servers, running until ``stop``."""

    def __init__(self, folder: Path, zones: list[Zone]) -> None:
        self.folder, self.zones = folder, {zone.name: zone for zone in zones}
        self._net = f"127.{random.randrange(1, 255)}.{random.randrange(1, 255)}"
        self.port = _port(self._net)
        self._processes: list[Process] = []
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        for zone in self.zones.values():
            if zone.signed or zone.ds != "none":
                zone.key = self._keygen(zone.name)
            self._write(zone)
        self._knot()
        top_ds = self._ds_of_knot()
        self._write_root(top_ds)
        self._nsd(1, [".", *self.zones])
        self._nsd(2, [zone.name for zone in self.zones.values() if zone.servers == 2])
        self.resolver = self._unbound("unbound", validates=True)
        self.careless = self._unbound("careless", validates=False)

    def host(self, number: int) -> str:
        """The address of a server: 1 nsd, 2 the second nsd, 3 knot, 9 and up nobody."""
        return f"{self._net}.{number}"

    def stop(self) -> None:
        """Stop all."""
        while self._processes:
            self._processes.pop().stop()

    def change(self, name: str, records: str) -> None:
        """Give the zone other records and the next serial, at the first nsd alone."""
        zone = self.zones[name]
        zone.records, zone.serial = records, zone.serial + 1
        self._write(zone)
        self._first.send(signal.SIGHUP)
        wait_for(lambda: self.serial(name, 1) == zone.serial, f"{name} has serial {zone.serial}")

    def catch_up(self, name: str) -> None:
        """Tell the second nsd to fetch the zone, and wait until it has."""
        notify = dns.message.make_query(name, "SOA", flags=dns.flags.AA)
        notify.set_opcode(dns.opcode.NOTIFY)

        told_at = 0.0

        def has_it() -> bool:
            nonlocal told_at
            # One that is just asking for the zone may let a NOTIFY go by: it is sent again (RFC 1996 §3.6).
            if time.monotonic() > told_at + 1:
                dns.query.udp(notify, self.host(2), timeout=5, port=self.port)
                told_at = time.monotonic()
            return self.serial(name, 2) == self.zones[name].serial

        wait_for(has_it, f"the second nsd has {name}", 20)

    def serial(self, name: str, number: int) -> int:
        """The serial that a server has."""
        query = dns.message.make_query(name, "SOA", flags=0)
        try:
            reply = dns.query.udp(query, self.host(number), timeout=1, port=self.port)
        except (dns.exception.Timeout, OSError):
            return 0
        return reply.answer[0][0].serial if reply.answer else 0

    def control(self, *arguments: str) -> str:
        """unbound-control."""
        command = [self._program("unbound-control"), "-c", str(self.folder / "unbound.conf"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def _answers(self, port: int) -> None:
        def answers() -> bool:
            query = dns.message.make_query("example", "DNSKEY", flags=dns.flags.RD | dns.flags.CD)
            try:
                return bool(dns.query.udp(query, "127.0.0.1", timeout=1, port=port).answer)
            except (dns.exception.Timeout, OSError):
                return False

        wait_for(answers, "unbound knows example.")

    def _program(self, name: str) -> str:
        return program(name, PACKAGES[name])

    def _keygen(self, name: str) -> str:
        command = [self._program("ldns-keygen"), "-a", "ECDSAP256SHA256", "-k", name]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=self.folder)
        return done.stdout.strip()

    def _file(self, name: str) -> Path:
        return self.folder / f"{name if name != '.' else 'root'}.zone"

    def _sign(self, name: str, key: str, valid: tuple[int, int]) -> str:
        first, last = (int(time.time()) + days * DAY for days in valid)
        file = self._file(name)
        signed = file.with_suffix(".signed")
        command = [
            self._program("ldns-signzone"), "-i", str(first), "-e", str(last), "-f", str(signed), "-o", name,
            str(file), key,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.folder)
        assert done.returncode == 0, done.stderr
        return signed.read_text()

    def _write(self, zone: Zone) -> None:
        names = [f"ns{n}" for n in range(1, 1 + zone.servers + zone.dead)]
        lines = [f"$ORIGIN {zone.name}.", "$TTL 300", SOA.format(**vars(zone))]
        lines += [f"@ NS {name}" for name in names]
        for number, name in enumerate(names):
            is_dead = number >= zone.servers
            lines.append(f"{name} A {self.host(9 + number) if is_dead else self.host(1 + number)}")
        text = "\n".join([*lines, zone.records, ""])
        self._file(zone.name).write_text(text)
        if zone.signed:
            text = self._sign(zone.name, zone.key, zone.valid)
        if zone.edit:
            text = zone.edit(text)
        self._file(zone.name).with_suffix(".served").write_text(text)

    def _ds(self, zone: Zone) -> str:
        if zone.ds == "none":
            return ""
        key = zone.key if zone.ds == "own" else self._keygen(zone.name)
        return (self.folder / f"{key}.ds").read_text()

    def _write_root(self, ds: str) -> None:
        text = (
            "$ORIGIN .\n$TTL 300\n" + SOA.format(name="root", serial=1, negative_s=300)
            + f"\n@ NS ns.root.\nns.root. A {self.host(1)}\nexample. NS ns.example.\n"
            f"ns.example. A {self.host(3)}\n{ds}\n"
        )  # fmt: skip
        self._file(".").write_text(text)
        key = self._keygen(".")
        self.anchor = (self.folder / f"{key}.ds").read_text().strip()
        self._file(".").with_suffix(".served").write_text(self._sign(".", key, (-1, 30)))

    def _knot(self) -> None:
        storage = self.folder / "knot"
        storage.mkdir()
        lines = ["$ORIGIN example.", "$TTL 300", SOA.format(name="example", serial=1, negative_s=300)]
        lines += ["@ NS ns1", f"ns1 A {self.host(3)}"]
        for zone in self.zones.values():
            for n in range(1, 1 + zone.servers + zone.dead):
                address = self.host(n if n <= zone.servers else 8 + n)
                lines += [f"{zone.name}. NS ns{n}.{zone.name}.", f"ns{n}.{zone.name}. A {address}"]
            lines.append(self._ds(zone))
        (storage / "example.zone").write_text("\n".join([*lines, ""]))
        conf = self.folder / "knot.conf"
        conf.write_text(
            f"server:\n  rundir: {storage}\n  listen: {self.host(3)}@{self.port}\n"
            f"database:\n  storage: {storage}\n"
            "log:\n  - target: stderr\n    any: info\n"
            "policy:\n  - id: plain\n    single-type-signing: on\n"
            f"zone:\n  - domain: example\n    storage: {storage}\n    file: example.zone\n"
            "    zonefile-sync: -1\n    dnssec-signing: on\n    dnssec-policy: plain\n"
        )
        self._run([self._program("knotd"), "-c", str(conf)], "knot")

    def _ds_of_knot(self) -> str:
        found: list[str] = []

        def has_keys() -> bool:
            query = dns.message.make_query("example.", "DNSKEY", flags=0)
            try:
                reply = dns.query.tcp(query, self.host(3), timeout=1, port=self.port)
            except (dns.exception.Timeout, OSError):
                return False
            for rrset in reply.answer:
                for key in rrset if rrset.rdtype == dns.rdatatype.DNSKEY else ():
                    ds = dns.dnssec.make_ds(dns.name.from_text("example."), key, "SHA256")
                    found.append(f"example. DS {ds.to_text()}")
            return bool(found)

        wait_for(has_keys, f"knot signs example.:\n{(self.folder / 'knot.log').read_text()}")
        return "\n".join(found)

    def _nsd(self, number: int, names: list[str]) -> None:
        place = self.folder / f"nsd{number}"
        place.mkdir()
        conf = self.folder / f"nsd{number}.conf"
        text = (
            f'server:\n  ip-address: {self.host(number)}@{self.port}\n  username: ""\n  server-count: 1\n'
            f'  database: ""\n  pidfile: "{place}/pid"\n  zonelistfile: "{place}/list"\n'
            f'  xfrdfile: "{place}/state"\n  xfrdir: "{place}"\n  zonesdir: "{place}"\n  logfile: ""\n'
            "  ipv6-edns-size: 1232\n  ipv4-edns-size: 1232\nremote-control:\n  control-enable: no\n"
        )
        for name in names:
            text += f'zone:\n  name: "{name}"\n'
            if number == 1:
                text += f'  zonefile: "{self._file(name).with_suffix(".served")}"\n'
                text += "  provide-xfr: 127.0.0.0/8 NOKEY\n"
            else:
                text += f'  zonefile: "{place}/{name}"\n'
                text += f"  request-xfr: AXFR {self.host(1)}@{self.port} NOKEY\n"
                text += "  allow-notify: 127.0.0.0/8 NOKEY\n"
        conf.write_text(text)
        process = self._run([self._program("nsd"), "-d", "-c", str(conf)], f"nsd{number}")
        if number == 1:
            self._first = process
        for name in names:
            wait_for(
                lambda name=name: self.serial(name, number) > 0,
                f"nsd {number} has {name}:\n{(self.folder / f'nsd{number}.log').read_text()}",
            )

    def _unbound(self, name: str, *, validates: bool) -> str:
        port = free_port()
        conf = self.folder / f"{name}.conf"
        stubs = {".": [1], "example": [3]}
        for each in self.zones.values():
            # Dead ones only where there are no others: it might ask nobody else for longer than we
            # wait. Who asks each server himself finds them in the zone.
            dead = range(9 + each.servers, 9 + each.servers + each.dead)
            stubs[each.name] = list(range(1, 1 + each.servers) or dead)
        conf.write_text(
            f"server:\n  interface: 127.0.0.1\n  port: {port}\n  do-daemonize: no\n"
            f'  use-syslog: no\n  logfile: ""\n  verbosity: 1\n  username: ""\n  chroot: ""\n'
            f'  directory: "{self.folder}"\n  pidfile: "{self.folder}/{name}.pid"\n'
            f'  module-config: "{"validator " if validates else ""}iterator"\n'
            '  do-not-query-localhost: no\n  target-fetch-policy: "0 0 0 0 0"\n  infra-host-ttl: 0\n'
            f'  do-ip6: no\n  ede: yes\n  local-zone: "example." nodefault\n'
            + (f'  trust-anchor: "{self.anchor}"\n' if validates else "")
            + "".join(
                f'stub-zone:\n  name: "{zone}"\n'
                + "".join(f"  stub-addr: {self.host(n)}@{self.port}\n" for n in numbers)
                for zone, numbers in stubs.items()
            )
            + "remote-control:\n  control-enable: yes\n  control-use-cert: no\n"
            f'  control-interface: "{self.folder}/{name}.control"\n'
        )
        self._run([self._program("unbound"), "-d", "-c", str(conf)], name)
        self._answers(port)
        return f"127.0.0.1@{port}"

    def _run(self, command: list[str], name: str) -> Process:
        process = Process(command, self.folder / f"{name}.log")
        self._processes.append(process)
        return process


def _port(net: str) -> int:
    """53, or where that is taken or forbidden another."""
    try:
        with socket.create_server((f"{net}.1", 53)):
            return 53
    except OSError:
        return free_port()
