"""The Debian package, built in a clean Debian of its release, again only when something in it changed."""

from collections.abc import Iterator
from pathlib import Path

from lab.engine import ROOT, STATE, Engine, EngineError
from lab.images import build_image, digest, ticking

# What the package is made of. Tests run while it is built, so they count too; the lab does not.
PARTS = ("debian", "docs", "milters", "policyd", "postfix-snippets", "postvouch", "tests")
FILES = ("setup.cfg", "pyproject.toml", "MANIFEST.in", "LICENSE", "README.rst", "CHANGES.rst", "HACKING.rst")


def _sources() -> Iterator[Path]:
    for name in FILES:
        if (ROOT / name).exists():
            yield ROOT / name
    for part in PARTS:
        for path in sorted((ROOT / part).rglob("*")):
            inside = path.relative_to(ROOT)
            made = {"__pycache__", ".debhelper", "lab"} & set(inside.parts)
            if path.is_file() and not made and inside.parts[:2] != ("debian", "postvouch"):
                yield path


def package(engine: Engine, release: str, *, checked: bool = False) -> Path:
    """The .deb for a release, in .do/deb/<release>/. ``checked``: its tests have run while it was built.

    For the lab they need not have: ./do test runs them elsewhere, and a demo is not kept waiting.
    Raises EngineError with the end of the build log.
    """
    key = digest(release, *(part for path in _sources() for part in (str(path), path.read_bytes())))
    out = STATE / "deb" / release
    note = out / "built-from"
    ready = sorted(out.glob("postvouch_*.deb"))
    known = note.read_text() if note.exists() else ""
    if ready and known in ((f"{key} checked",) if checked else (key, f"{key} checked")):
        return ready[-1]
    engine, image = build_image(engine, release)
    out.mkdir(parents=True, exist_ok=True)
    for old in out.iterdir():
        old.unlink()
    options = [] if checked else ["--env", "DEB_BUILD_OPTIONS=nocheck"]
    with ticking(f"the Debian package for Debian {release}"):
        done = engine.call(
            "run", "--rm", "--network", "none", *options, "--volume", f"{ROOT}:/src:ro",
            "--volume", f"{out}:/out", image, "sh", "/src/debian/build", "package", "/src", "/out",
            check=False, timeout_s=900,
        )  # fmt: skip
    if not done.ok:
        raise EngineError(f"the package did not build; its log: {out}/build.log\n{done.text[-4000:]}")
    found = sorted(out.glob("postvouch_*.deb"))
    if not found:
        raise EngineError(f"no package came out; its log: {out}/build.log")
    note.write_text(f"{key} checked" if checked else key)
    return found[-1]
