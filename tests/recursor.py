"""A private unbound on this host: the resolver that an admin runs beside Postfix.

It answers for our.example from its configuration and asks ``upstream`` (a ``dnsserver.Server``) for all other
names below example.
"""

from pathlib import Path

from dnsserver import Server
from servers import Process, accepts, free_port, program, wait_for

CONF = """
server:
  interface: 127.0.0.1
  port: {port}
  do-daemonize: no
  use-syslog: no
  logfile: ""
  verbosity: 1
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: "{folder}/unbound.pid"
  module-config: "{modules}"
  do-not-query-localhost: no
  qname-minimisation: no
  target-fetch-policy: "0 0 0 0 0"
  infra-host-ttl: 0
  local-zone: "example." nodefault
  local-zone: "our.example." static
{local}
{more}
stub-zone:
  name: "example."
  stub-addr: {upstream}
"""


class Unbound:
    """An unbound that runs from the start until ``stop``; ``address`` is as dns.servers wants it."""

    def __init__(self, folder: Path, upstream: Server, *local: str, anchor: str = "") -> None:
        self._binary = program("unbound", "unbound")
        self.port = free_port()
        self.address = f"127.0.0.1@{self.port}"
        self._conf, self._log = folder / "unbound.conf", folder / "unbound.log"
        self._conf.write_text(
            CONF.format(
                folder=folder, port=self.port, upstream=upstream.address,
                modules="validator iterator" if anchor else "iterator",
                local="\n".join(f"  local-data: '{text}'" for text in local),
                more=f"  trust-anchor: '{anchor}'\n" if anchor else "",
            )
        )  # fmt: skip
        self.start()

    def start(self) -> None:
        """Start it (again) and wait until it answers."""
        self._process = Process([self._binary, "-d", "-c", str(self._conf)], self._log)
        wait_for(lambda: accepts(self.port), f"unbound listens:\n{self._log.read_text()}")

    def stop(self) -> None:
        """Stop it."""
        self._process.stop()
