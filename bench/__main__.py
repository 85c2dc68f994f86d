"""./do bench MAILLOAD=PATH: build a container with the peers and the load, run ``bench.inside`` in it.

The container has no network but its loopback, where an unbound of its own answers for the senders' domains.
Nothing outside is touched but .do/bench/, where the table is left.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from lab.engine import ROOT, STATE, Engine, EngineError, find
from lab.images import INSTALL, SUITES, base, digest, layer

PACKAGES = """
opendkim opendmarc dbconfig-no-thanks pyspf-milter dkimpy-milter rspamd unbound publicsuffix
openssl postfix strace postsrsd libconfuse2 policyd-rate-limit postgrey redis-server
python3-click python3-cryptography python3-dkim python3-dnspython python3-idna python3-milter
python3-prometheus-client python3-redis python3-rich python3-sdnotify python3-spf python3-uvloop python3-yaml
""".split()  # noqa: SIM905

MEMORY = ("--tmpfs", "/var/spool/postfix:exec")

# postsrsd 2.x is in no stable Debian: the package of the next one is unpacked beside the 1.x of this one.
NEWER = """
site=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | head -n 1)
echo "deb $site sid main" > /etc/apt/sources.list.d/newer.list
apt-get -q update
cd /tmp
apt-get -q download postsrsd/sid
dpkg -x postsrsd_2*.deb /opt/newer
rm postsrsd_2*.deb /etc/apt/sources.list.d/newer.list
"""

START = """
set -e
install -d -m 777 /run/bench /run/bench/rspamd
chmod 777 /hyperscan
echo nameserver 127.0.0.1 > /etc/resolv.conf
cp -rL /ours/postvouch /run/bench/postvouch
cp -r /src/bench /run/bench/bench
cd /run/bench
exec python3 -m bench.inside "$@"
"""


def image(engine: Engine, release: str) -> tuple[Engine, str]:
    """The peers and what we need from Debian, all as its archive has them."""
    engine, bare = base(engine, release)
    script = INSTALL.format(packages=" ".join(PACKAGES), after=NEWER)

    def make(name: str) -> None:
        engine.build(base=bare, target=name, script=script)

    return engine, layer(engine, kind="bench", release=release, key=digest(script), make=make)


def main() -> int:
    """One run; 0 unless something did not work or a letter got a wrong verdict."""
    parser = argparse.ArgumentParser(prog="./do bench", description=str(__doc__).partition("\n")[0])
    parser.add_argument("mailload", metavar="MAILLOAD=PATH", help="the load generator, built")
    parser.add_argument("--release", choices=tuple(sorted(SUITES)), default="13", help="which Debian (13)")
    parser.add_argument("--source", type=Path, default=ROOT, help="another checkout to measure as ours")
    given, rest = parser.parse_known_args()
    mailload = Path(given.mailload.removeprefix("MAILLOAD=")).resolve()
    if not mailload.is_file():
        parser.error(f"no program {mailload}")
    out = STATE / "bench"
    compiled = out / f"hyperscan-{given.release}"
    compiled.mkdir(parents=True, exist_ok=True)
    try:
        engine, name = image(find(), given.release)
    except EngineError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    mounts = (
        f"{ROOT}:/src:ro", f"{given.source.resolve()}:/ours:ro", f"{mailload}:/mailload:ro",
        f"{out}:/out", f"{compiled}:/hyperscan",
    )  # fmt: skip
    volumes = [part for mount in mounts for part in ("--volume", mount)]
    command = [
        *engine.prefix,
        "run",
        "--rm",
        "-i",
        "--network",
        "none",
        *MEMORY,
        *volumes,
        name,
        "sh",
        "-s",
        "--",
    ]
    return subprocess.run([*command, *rest], input=START, text=True, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
