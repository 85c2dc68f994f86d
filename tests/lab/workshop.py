"""Unit and conformance tests on the Python of a Debian, by tox, in a container of that Debian.

The container has what a developer's machine need not have: slapd, redis, Postfix's tools, libmilter and a
compiler. What is only on PyPI comes by pip, set up inside as it is outside: the same variables, files,
certificates and local folders, whatever they are.
"""

import os
import re
import shlex
import subprocess
from pathlib import Path

from lab.engine import ROOT, STATE, EngineError, find
from lab.images import test_image

ENVIRONMENTS = {"12": "py311", "13": "py313"}

# The sources are copied, so that nothing that tests leave behind lands in the checkout.
SCRIPT = """
set -e
mkdir /build
cd /src
tar -c --exclude=./.git --exclude=./.do --exclude=./.tox --exclude=./build --exclude='./.*_cache' \\
  --exclude=__pycache__ --exclude='./*.egg-info' . | tar -x -C /build --no-same-owner
cd /build
if ! /cache/venv/bin/tox --version >/dev/null 2>&1; then
  rm -rf /cache/venv
  python3 -m venv /cache/venv
  /cache/venv/bin/python -m pip install -q 'tox>=4'
fi
# Not by exec: the shell stays process 1 and reaps the orphans of daemons that tests kill.
/cache/venv/bin/tox run -q --workdir /cache/tox -e {environment} {arguments}
exit $?
"""


def pip_setup() -> list[str]:
    """Engine options that give pip inside what pip outside has: variables, files, and the paths they name."""
    names = [n for n in os.environ if re.match(r"(PIP_|UV_|(https?|all|no)_proxy$)", n, re.IGNORECASE)]
    names += [n for n in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE") if n in os.environ]
    options = [part for name in sorted(names) for part in ("--env", f"{name}={os.environ[name]}")]
    home = Path.home()
    files = {
        Path("/etc/pip.conf"): "/etc/pip.conf",
        Path("/etc/xdg/pip"): "/etc/xdg/pip",
        home / ".config/pip": "/root/.config/pip",
        home / ".pip": "/root/.pip",
    }
    paths = {Path(inside): outside for outside, inside in files.items() if outside.exists()}
    told = "\n".join(
        path.read_text(errors="replace")
        for place in paths.values()
        for path in ([place] if place.is_file() else sorted(place.iterdir()))
        if path.is_file()
    )
    told += " " + " ".join(os.environ[name] for name in names)
    for local_index, path in re.findall(r"file://(/[\w./+-]+)|(?<![\w:/])(/[\w./+-]+)", told):
        # The files of a local index stand beside its list of names as a rule.
        outside = Path(local_index).parent if local_index else Path(path)
        if outside.exists() and len(outside.parts) > 2 and outside not in paths:
            paths[outside] = outside
    mounts = [f"{outside}:{inside}:ro" for inside, outside in paths.items()]
    return [*options, *(part for mount in mounts for part in ("--volume", mount))]


def unit(release: str, arguments: list[str]) -> int:
    """Run them and show their output as it comes; tox's exit code."""
    return _tox(release, ["--", "-q", "-rs", *arguments])


def fuzz(release: str, arguments: list[str]) -> int:
    """The same with ./do fuzz; what it found is printed, and nothing is left in .do/fuzz."""
    instead = ["-x", "testenv.commands=python -m fuzz {posargs}", "-x", "testenv.change_dir=tests"]
    return _tox(release, [*instead, "--", "--directory", "/tmp", *arguments])


def _tox(release: str, arguments: list[str]) -> int:
    engine, image = test_image(find(), release)
    cache = STATE / "workshop" / release
    cache.mkdir(parents=True, exist_ok=True)
    script = SCRIPT.format(environment=ENVIRONMENTS[release], arguments=shlex.join(arguments))
    command = [
        *engine.prefix, "run", "--rm", "-i", "--volume", f"{ROOT}:/src:ro", "--volume", f"{cache}:/cache",
        *pip_setup(), image, "sh", "-s",
    ]  # fmt: skip
    run = subprocess.run(command, input=script, text=True, check=False)
    if run.returncode == 125:
        raise EngineError(f"the container did not start: {shlex.join(command)}")
    return run.returncode
