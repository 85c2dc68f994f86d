"""Bring a lab up from nothing, find one that is up, take one down."""

import json
import re
import secrets
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab import nameservers, ours, strangers
from lab.engine import STATE, Engine, EngineError, FileIn, find
from lab.images import base, digest, host_image, our_image, say
from lab.lab import Lab
from lab.package import package
from lab.topology import HOSTS, OURS, VERIFIER, Topology, role, zone

BOOT = 60
LABEL = "pvlab"


def _inputs(host: str, our: str) -> str:
    """A hash of everything that makes a lab what it is: images and the code that sets it up."""
    here = Path(__file__).parent
    code = (
        here / f"{name}.py" for name in ("bring_up", "nameservers", "ours", "strangers", "people", "topology")
    )
    return digest(host, our, *(path.read_bytes() for path in code))


def _folder(release: str) -> Path:
    folder = STATE / "lab" / release
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def existing(engine: Engine, release: str, label: str) -> Lab | None:
    """The lab that is up with exactly these inputs, if there is one."""
    note = _folder(release) / "lab.json"
    if not note.exists():
        return None
    known = json.loads(note.read_text())
    if known["label"] != label:
        return None
    topology = Topology(release=release, net=known["net"])
    running = engine.call("ps", "--format", "{{.Names}}").out.split()
    if not all(topology.container(host.name) in running for host in HOSTS):
        return None
    return Lab(engine=engine, topology=topology)


def up(release: str) -> Lab:
    """A lab on that Debian release: the one that is up, or a new one."""
    engine, _ = base(find(), release)
    # Both take a minute or two when nothing is built yet, and neither needs the other.
    with ThreadPoolExecutor(2) as pool:
        making = pool.submit(host_image, engine, release)
        deb = pool.submit(package, engine, release).result()
        _, host = making.result()
    _, our = our_image(engine, release, deb)
    label = _inputs(host, our)
    if lab := existing(engine, release, label):
        say(f"the lab of Debian {release} is up already")
        lab.clean()
        return lab
    return build(engine, release, host, our, label)


def build(engine: Engine, release: str, host_image: str, our_image: str, label: str) -> Lab:
    """Start and set up every host. Raises EngineError with the output of what failed."""
    began = time.monotonic()
    down(release, engine)
    topology = _network(engine, release)
    folder = _folder(release)
    resolv = folder / "resolv.conf"
    resolv.write_text(f"nameserver {topology.address('dns')}\noptions timeout:2 attempts:2 trust-ad\n")
    lab = Lab(engine=engine, topology=topology)

    def boot(name: str) -> str:
        host = next(h for h in HOSTS if h.name == name)
        engine.start_host(
            name=topology.container(name), image=our_image if host.ours else host_image,
            network=topology.network, address=topology.address(name), hostname=host.fqdn, resolv=resolv,
            label=f"{LABEL}={release}",
        )  # fmt: skip
        _booted(lab, name)
        return name

    lab.each(tuple(host.name for host in HOSTS), boot)
    say(f"{len(HOSTS)} hosts run Debian {release} ({time.monotonic() - began:.0f} s)")

    keys = _keys(lab)
    _set_up(lab, "dns", *strangers.dns(zone(topology, keys)))
    say(f"keys made, zone signed ({time.monotonic() - began:.0f} s)")
    recipes = {
        "ldap": strangers.ldap(),
        "redis": strangers.redis(),
        "sender": strangers.sender(),
        "sink": strangers.sink(topology),
        "ns2": nameservers.secondary(topology),
        VERIFIER: strangers.verifier(),
    }
    lab.each(tuple(recipes), lambda name: _set_up(lab, name, *recipes[name]))
    say(f"sender, sink, LDAP and redis at work ({time.monotonic() - began:.0f} s)")
    lab.each(OURS, lambda name: _set_up(lab, name, {}, ours.start_script(name)))
    ports = {
        "mx": (25,),
        "srs": (25,),
        "submission": (465, 587),
        "relay": (25,),
        "mx2": (25,),
        "srs2": (25,),
        "sender": (25,),
        "sink": (25,),
        VERIFIER: (25,),
    }
    for host, wanted in ports.items():
        for port in wanted:
            _listening(lab, host, port)
    (folder / "lab.json").write_text(json.dumps({"label": label, "net": topology.net}))
    say(f"the lab of Debian {release} is up ({time.monotonic() - began:.0f} s)")
    return lab


def down(release: str, engine: Engine | None = None) -> None:
    """Remove the containers and the network of one release's lab, and what is noted about it."""
    engine = engine or find()
    engine.remove(*(Topology(release=release, net="").container(host.name) for host in HOSTS))
    engine.call("network", "rm", Topology(release=release, net="").network, check=False)
    (_folder(release) / "lab.json").unlink(missing_ok=True)


def _network(engine: Engine, release: str) -> Topology:
    """Make the private network: the first 10.91.N.0/24 that neither this machine nor the engine uses."""
    routes = subprocess.run(["ip", "-4", "route"], capture_output=True, text=True, check=False).stdout
    numbers = [int(release), *range(100, 140)]
    for number in numbers:
        topology = Topology(release=release, net=f"10.91.{number}")
        if re.search(rf"\b{re.escape(topology.net)}\.", routes):
            continue
        plain = ["--disable-dns"] if engine.name == "podman" else []
        made = engine.call(
            "network", "create", "--internal", *plain, "--subnet", topology.subnet,
            "--label", f"{LABEL}={release}", topology.network, check=False,
        )  # fmt: skip
        if made.ok:
            return topology
    raise EngineError(f"no free network among 10.91.*.0/24; the last attempt said: {made.text}")


def _booted(lab: Lab, host: str) -> None:
    """Wait until systemd has started all it will; a unit of Debian's that failed is no reason to stop."""
    deadline = time.monotonic() + BOOT
    while time.monotonic() < deadline:
        state = lab.sh(host, "systemctl is-system-running --wait", check=False, timeout_s=BOOT).out.strip()
        if state in ("running", "degraded"):
            return
        time.sleep(0.3)
    logs = lab.engine.call("logs", lab.topology.container(host), check=False).text
    raise EngineError(f"{host} did not boot within {BOOT} s; systemd: {state!r}\n{logs[-2000:]}")


def _keys(lab: Lab) -> dict[str, str]:
    """Configure our hosts, have every signing host make its key, and collect what the root zone needs."""
    secret = secrets.token_urlsafe(24)
    records = {}

    def one(name: str) -> str:
        if name == "sender":
            public = lab.sh(name, strangers.SENDER_KEY).out.strip()
            parts = " ".join(f'"{part}"' for part in re.findall(r".{1,200}", f"v=DKIM1; k=rsa; p={public}"))
            records[name] = f"lab._domainkey.far.example. TXT ( {parts} )"
            return ""
        if name == "ns1":
            records[name] = _set_up(lab, name, *nameservers.primary(lab.topology))
            return ""
        lab.engine.put(lab.topology.container(name), ours.files(name, lab.topology, secret))
        if role(name) != "mx":
            records[name] = lab.sh(name, ours.key_script(name)).out
        return ""

    lab.each(("sender", "ns1", *OURS), one)
    return records


def _set_up(lab: Lab, host: str, files: dict[str, FileIn], script: str) -> str:
    """Write the files, run the script; an error names the host."""
    try:
        if files:
            lab.engine.put(lab.topology.container(host), files)
        return lab.sh(host, script, timeout_s=120).text
    except EngineError as error:
        logs = lab.sh(host, "journalctl -q -n 25 --no-pager -o short-iso", check=False).text
        raise EngineError(f"setting up {host} failed:\n{error}\n--- its journal:\n{logs}") from error


def _listening(lab: Lab, host: str, port: int) -> None:
    """Wait until a port is open, seen from the host itself."""
    lab.sh(
        host,
        f"for i in $(seq 150); do ss -Hltn 'sport = :{port}' | grep -q . && exit 0; sleep 0.2; done; exit 1",
    )


def tidy(engine: Engine) -> None:
    """Remove every image that the lab made."""
    listing = engine.call("images", "--format", "{{.Repository}}:{{.Tag}}").out.split()
    images = [image for image in listing if re.search(r"(^|/)pvlab-(ours|host|build|test|base):", image)]
    # Layers first, what they stand on last.
    order = ("ours", "host", "build", "test", "base")
    for kind in order:
        for image in images:
            if f"pvlab-{kind}:" in image:
                engine.call("rmi", "-f", image, check=False)
