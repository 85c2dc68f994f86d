"""The images: a bare Debian, one with the lab's programs, that one with our package, two workshops.

Each is named by its release and a hash of what went into it, so that nothing is built twice and nothing old
is used by mistake. A bare Debian is pulled where an image registry can be reached and built by mmdebstrap
where not.
"""

import contextlib
import hashlib
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from lab.engine import ROOT, STATE, Engine, EngineError, settle, sudo

SUITES = {"12": "bookworm", "13": "trixie"}

# For the hosts: everything that any of them runs, and what our package depends on, so that its own layer is
# thin.
HOST_PACKAGES = """
systemd systemd-sysv dbus openssl ca-certificates iproute2 procps python3 bsdutils
postfix postfix-lmdb postfix-pcre dovecot-core swaks libnet-ssleay-perl libauthen-sasl-perl
opendkim opendkim-tools opendmarc dbconfig-no-thanks postfix-policyd-spf-perl
slapd ldap-utils redis-server redis-tools knot knot-dnsutils nsd unbound rspamd spamassassin
python3-click python3-cryptography python3-dkim python3-dnspython python3-idna python3-ldap3 python3-milter
python3-prometheus-client python3-redis python3-rich python3-sdnotify python3-spf python3-uvloop python3-yaml
""".split()  # noqa: SIM905

# For tests of a Python that the host lacks; servers that the unit tests play with, never started as services.
TEST_PACKAGES = """
gcc libc6-dev libmilter-dev python3-dev python3-venv python3-pip ca-certificates git groff-base
postfix postfix-lmdb slapd ldap-utils redis-server unbound dovecot-core openssl procps postsrsd
nsd knot knot-dnsutils knot-dnssecutils ldnsutils opendkim opendkim-tools rspamd libmail-dkim-perl fail2ban
""".split()  # noqa: SIM905

# What the hosts must not start by themselves: each is told what it is later.
SERVICES = (  # noqa: SIM905
    "postfix dovecot dovecot.socket opendkim opendmarc slapd redis-server knot nsd unbound "
    "unbound-resolvconf rspamd spamd spamassassin "
    "systemd-logind apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer "
    "systemd-resolved systemd-networkd systemd-timesyncd systemd-networkd-wait-online dns-root-data"
).split()

INSTALL = """
set -e
export DEBIAN_FRONTEND=noninteractive
printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
apt-get -q update
apt-get -q -y install --no-install-recommends {packages}
apt-get clean
{after}
"""


def say(text: str) -> None:
    """Progress, for a person who waits."""
    print(f"  {time.strftime('%H:%M:%S')}  {text}", flush=True)


@contextlib.contextmanager
def ticking(what: str) -> Iterator[None]:
    """Say now and then that something is still being done, and at the end how long it took."""
    began, over = time.monotonic(), threading.Event()

    def tick() -> None:
        while not over.wait(15):
            say(f"... {what} ({time.monotonic() - began:.0f} s)")

    ticker = threading.Thread(target=tick, daemon=True)
    ticker.start()
    try:
        yield
        say(f"{what}: done ({time.monotonic() - began:.0f} s)")
    finally:
        over.set()
        ticker.join()


def digest(*parts: str | bytes) -> str:
    """A short name for exactly these inputs."""
    total = hashlib.sha256()
    for part in parts:
        total.update(part.encode() if isinstance(part, str) else part)
        total.update(b"\0")
    return total.hexdigest()[:12]


def apt_options() -> str:
    """The host's settings for apt that a Debian on the same network needs too: proxies, dates of mirrors."""
    if shutil.which("apt-config") is None:
        return ""
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=False).stdout
    wanted = re.compile(r"^Acquire::(Check-Valid-Until|Check-Date|(http|https|ftp)::(.*::)?Proxy) ")
    return "".join(
        line + "\n" for line in dump.splitlines() if wanted.match(line) and not line.endswith('"";')
    )


def base(engine: Engine, release: str) -> tuple[Engine, str]:
    """A bare Debian, and the engine with which it starts."""
    suite, image = SUITES[release], f"pvlab-base:{release}"
    if not engine.has_image(image):
        with ticking(f"bare Debian {release}"):
            if not _pull(engine, suite, image):
                _bootstrap(engine, suite, image)
    return settle(engine, image), image


def _pull(engine: Engine, suite: str, image: str) -> bool:
    """Whether the official image could be had. It gets the host's apt settings as one more layer."""
    source = f"docker.io/library/debian:{suite}-slim"
    say(f"asking for the image {source}")
    try:
        if not engine.call("pull", "-q", source, check=False, timeout_s=180).ok:
            return False
    except EngineError:
        return False
    script = f"cat > /etc/apt/apt.conf.d/99lab <<'END'\n{apt_options()}END\n"
    settle(engine, source).build(base=source, target=image, script=script)
    return True


def _bootstrap(engine: Engine, suite: str, image: str) -> None:
    """Make a bare Debian with mmdebstrap and import it."""
    if shutil.which("mmdebstrap") is None:
        raise EngineError("no image can be pulled and mmdebstrap is missing: apt install mmdebstrap")
    say(f"no image to pull: building Debian {suite} with mmdebstrap")
    with tempfile.TemporaryDirectory(dir=STATE) as folder:
        tar = Path(folder) / "base.tar"
        options = [f"--aptopt={line}" for line in apt_options().splitlines()]
        run = subprocess.run(
            [*sudo(), "mmdebstrap", "-q", "--variant=minbase", '--aptopt=Acquire::Languages "none"',
             *options, "--include=ca-certificates", suite, str(tar)],
            capture_output=True, text=True, check=False, timeout=900,
        )  # fmt: skip
        if run.returncode != 0:
            raise EngineError(f"mmdebstrap failed:\n{run.stderr[-3000:]}")
        engine.call("import", str(tar), image, timeout_s=600)


def layer(engine: Engine, *, kind: str, release: str, key: str, make: Callable[[str], None]) -> str:
    """The image ``pvlab-kind:release-key``, made by ``make(name)`` if missing; older ones are removed."""
    image = f"pvlab-{kind}:{release}-{key}"
    if engine.has_image(image):
        return image
    with ticking(f"image {image}"):
        make(image)
    listing = engine.call("images", "--format", "{{.Repository}}:{{.Tag}}").out.split()
    for other in listing:
        if re.search(rf"(^|/)pvlab-{kind}:{release}-", other) and not other.endswith(image):
            engine.call("rmi", other, check=False)
    return image


def host_image(engine: Engine, release: str) -> tuple[Engine, str]:
    """The image of every host of the lab that is not ours."""
    engine, bare = base(engine, release)
    off = " ".join(SERVICES)
    after = (
        f"for s in {off}; do systemctl disable -q $s 2>/dev/null || true; done\n"
        "systemctl mask -q systemd-logind systemd-networkd-wait-online apt-daily.timer "
        "apt-daily-upgrade.timer\n"
    )
    script = INSTALL.format(packages=" ".join(HOST_PACKAGES), after=after)

    def make(image: str) -> None:
        engine.build(base=bare, target=image, script=script)

    return engine, layer(engine, kind="host", release=release, key=digest(script), make=make)


def our_image(engine: Engine, release: str, package: Path) -> tuple[Engine, str]:
    """The image of our hosts: the same with our .deb installed by apt."""
    engine, host = host_image(engine, release)
    script = INSTALL.format(packages=f"/deb/{package.name}", after="")

    def make(image: str) -> None:
        engine.build(base=host, target=image, script=script, volumes=(f"{package.parent}:/deb:ro",))

    key = digest(host, package.read_bytes())
    return engine, layer(engine, kind="ours", release=release, key=key, make=make)


def test_image(engine: Engine, release: str) -> tuple[Engine, str]:
    """The workshop in which tests run on this release's Python."""
    engine, bare = base(engine, release)
    script = INSTALL.format(packages=" ".join(TEST_PACKAGES), after="")

    def make(image: str) -> None:
        engine.build(base=bare, target=image, script=script)

    return engine, layer(engine, kind="test", release=release, key=digest(script), make=make)


def build_image(engine: Engine, release: str) -> tuple[Engine, str]:
    """The workshop in which the package is built: a bare Debian and what debian/control asks for."""
    engine, bare = base(engine, release)
    control = (ROOT / "debian" / "control").read_bytes()
    script = "sh /src/debian/build deps /src && apt-get clean\n"

    def make(image: str) -> None:
        engine.build(base=bare, target=image, script=script, volumes=(f"{ROOT}:/src:ro",))

    key = digest(script, control)
    return engine, layer(engine, kind="build", release=release, key=key, make=make)
