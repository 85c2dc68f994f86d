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


def package(engine: Engine, release: str) -> Path:
    """The .deb for a release, in .do/deb/<release>/. Raises EngineError with the end of the build log."""
    key = digest(release, *(part for path in _sources() for part in (str(path), path.read_bytes())))
    out = STATE / "deb" / release
    built = out / "built-from"
    ready = sorted(out.glob("postvouch_*.deb"))
    if ready and built.exists() and built.read_text() == key:
        return ready[-1]
    engine, image = build_image(engine, release)
    out.mkdir(parents=True, exist_ok=True)
    for old in out.iterdir():
        old.unlink()
    with ticking(f"the Debian package for Debian {release}"):
        done = engine.call(
            "run", "--rm", "--network", "none", "--volume", f"{ROOT}:/src:ro", "--volume", f"{out}:/out",
            image, "sh", "/src/debian/build", "package", "/src", "/out", check=False, timeout_s=900,
        )  # fmt: skip
    if not done.ok:
        raise EngineError(f"the package did not build; its log: {out}/build.log\n{done.text[-4000:]}")
    found = sorted(out.glob("postvouch_*.deb"))
    if not found:
        raise EngineError(f"no package came out; its log: {out}/build.log")
    built.write_text(key)
    return found[-1]
