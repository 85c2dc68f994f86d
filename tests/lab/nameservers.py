"""The two name servers of fresh.example: knot signs the zone and takes updates, nsd has a copy.

Nobody notifies the copy, and it asks once an hour: it lags until the lab tells it to fetch, as a secondary
does whose notifies are lost.
"""

from lab.engine import FileIn
from lab.topology import FRESH, Topology, fresh_zone

KNOT = """\
server:
    listen: {own}@53
    user: knot:knot
database:
    storage: /var/lib/knot
log:
  - target: syslog
    any: info
acl:
  - id: lab
    address: {subnet}
    action: [transfer, update]
policy:
  - id: lab
    algorithm: ecdsap256sha256
    single-type-signing: on
    zsk-lifetime: 0
zone:
  - domain: {fresh}
    file: /etc/knot/fresh.zone
    zonefile-sync: -1
    zonefile-load: difference
    journal-content: all
    acl: lab
    dnssec-signing: on
    dnssec-policy: lab
"""

NSD = """\
server:
    ip-address: {own}
    username: nsd
    zonesdir: /var/lib/nsd
    hide-version: yes
remote-control:
    control-enable: yes
    control-interface: /run/nsd-control.sock
zone:
    name: {fresh}
    zonefile: fresh.zone
    request-xfr: AXFR {primary} NOKEY
    provide-xfr: {subnet} NOKEY
"""


def primary(topology: Topology) -> tuple[dict[str, FileIn], str]:
    """ns1: its script ends with the DS record for the parent, a line of a zone file."""
    text = KNOT.format(own=topology.address("ns1"), subnet=topology.subnet, fresh=FRESH)
    files = {"/etc/knot/knot.conf": FileIn(text=text), "/etc/knot/fresh.zone": FileIn(text=fresh_zone())}
    script = f"""
set -e
chown -R knot:knot /var/lib/knot
systemctl start knot
for i in $(seq 100); do
  kdig +dnssec +short @{topology.address("ns1")} {FRESH} SOA | grep -q SOA && break
  sleep 0.1
done
keymgr -c /etc/knot/knot.conf {FRESH} ds | grep ' 13 2 '
"""
    return files, script


def secondary(topology: Topology) -> tuple[dict[str, FileIn], str]:
    """ns2: it has fetched the zone once when its script ends."""
    own = topology.address("ns2")
    text = NSD.format(own=own, primary=topology.address("ns1"), subnet=topology.subnet, fresh=FRESH)
    script = f"""
set -e
systemctl start nsd
nsd-control transfer {FRESH}
for i in $(seq 100); do
  kdig +short @{own} {FRESH} SOA | grep -q . && exit 0
  sleep 0.1
done
echo 'the secondary has no zone'; journalctl -n 30 --no-pager; exit 1
"""
    return {"/etc/nsd/nsd.conf": FileIn(text=text)}, script
