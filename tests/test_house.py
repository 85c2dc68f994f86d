"""The house rules, kept by machine: who may import whom, how long a file may be, what a wheel installs."""

import ast
import re
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

import postvouch

TOP = Path(__file__).resolve().parent.parent
PACKAGE = TOP / "postvouch"
MOST_LINES = 300

CORE = (
    "values",
    "wire",
    "auth",
    "sign",
    "srs",
    "forward",
    "directory.changes",
    "directory.lines",
    "directory.model",
    "directory.owners",
    "directory.passwords",
    "directory.resolve",
    "directory.shrink",
    "directory.trace",
)
MIDDLE = (
    "host",
    "config",
    "directory.files",
    "directory.flat",
    "directory.fragments",
    "directory.paths",
    "directory.ldap",
    "directory.ldapconnect",
    "directory.ldapdelta",
    "directory.ldapsearch",
    "directory.ldaptranslate",
    "directory.snapshot",
    "directory.sources",
    "directory.table",
    "directory.tables",
    "directory.times",
    "directory.compile",
)
DOORS = ("milters", "policyd")

MAY_IMPORT = {
    "values": ("values",),
    **dict.fromkeys(CORE[1:], CORE),
    **dict.fromkeys(MIDDLE, CORE + MIDDLE),
    "milters": (*CORE, *MIDDLE, "milters"),
    "policyd": (*CORE, *MIDDLE, "policyd"),
    "cli": (*CORE, *MIDDLE, *DOORS, "cli"),
}
"""Room -> the rooms it may import from; the two doors never know each other, nobody imports cli."""

IMPURE = {
    "asyncio", "datetime", "fcntl", "getpass", "glob", "http", "io", "logging", "multiprocessing", "os",
    "pathlib", "random", "secrets", "select", "selectors", "shutil", "signal", "socket", "ssl", "subprocess",
    "sys", "syslog", "tempfile", "threading", "time", "urllib", "uuid",
}  # fmt: skip
"""Modules by which a pure room could meet a socket, a clock, a file, the environment or a log."""

THIRD_PARTY = {
    "Milter": {"milters/session.py"},
    "milter": {"milters/session.py"},
    "click": {"cli/", "host/daemon.py"},
    "cryptography": {"auth/", "sign/"},
    "dkim": {"auth/", "sign/"},
    "dns": {"host/dns"},
    "idna": {"values/"},
    "ldap3": {"directory/ldapconnect.py"},
    "prometheus_client": {"host/metrics.py", "host/tally.py"},
    "redis": {"host/shared.py"},
    "rich": {"cli/"},
    "sdnotify": {"host/process.py"},
    "spf": {"auth/spfquery.py"},
    "uvloop": {"host/loop.py"},
    "yaml": {"directory/files.py"},
}
"""Library -> the only place, below postvouch/, that may import it."""


def sources():
    """Every product file with its name below postvouch/."""
    found = [(path, path.relative_to(PACKAGE).as_posix()) for path in PACKAGE.rglob("*.py")]
    for door in DOORS:  # rglob follows no links
        found += [(path, f"{door}/{path.name}") for path in (TOP / door).rglob("*.py")]
    return sorted({name: path for path, name in found}.items())


SOURCES = sources()
each_file = pytest.mark.parametrize("name, path", SOURCES, ids=[name for name, _ in SOURCES])


def imports(path):
    """Every module that a file imports, anywhere in it; "from a import b" is both a and a.b."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(module):
    """ "directory.model" for postvouch.directory.model, "auth" for postvouch.auth.spf, None outside."""
    parts = module.split(".")[1:]
    if not parts:
        return None
    return ".".join(parts[:2]) if parts[0] == "directory" and len(parts) > 1 else parts[0]


def dotted(name):
    """ "auth/spf.py" as postvouch.auth.spf."""
    return "postvouch." + name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def test_all_product_files_are_seen():
    names = [name for name, _ in SOURCES]
    assert {"milters/__init__.py", "policyd/__init__.py", "values/message.py"} <= set(names)
    assert (PACKAGE / "milters").is_symlink()
    assert (PACKAGE / "policyd").is_symlink()


@each_file
def test_rooms_import_only_downwards(name, path):
    room = room_of(dotted(name)) if "/" in name else None
    if room in (None, "directory", "__init__"):
        assert [m for m in imports(path) if m.startswith("postvouch.")] == []
        return
    allowed = MAY_IMPORT[room]
    for module in imports(path):
        if module.startswith("postvouch."):
            other = room_of(module)
            # "from postvouch.directory import x" names the folder first, then the module.
            assert other in allowed or other in ("directory", "__version__"), f"{name} imports {module}"


@each_file
def test_the_core_is_pure(name, path):
    if "/" not in name or room_of(dotted(name)) not in CORE:
        return
    found = {module.partition(".")[0] for module in imports(path)}
    assert found & IMPURE == set(), f"{name} is in a pure room"
    calls = {
        node.func.id
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert calls & {"open", "print", "input", "exec", "eval"} == set()


@each_file
def test_each_library_is_imported_in_its_one_place(name, path):
    for module in imports(path):
        top = module.partition(".")[0]
        if top in ("postvouch", "__future__") or top in sys.stdlib_module_names:
            continue
        assert top in THIRD_PARTY, f"{name} imports {top}, which no place is named for"
        assert name.startswith(tuple(THIRD_PARTY[top])), f"{name} imports {top}"


@each_file
def test_no_file_is_longer_than_its_reader(name, path):
    assert len(path.read_text("utf-8").splitlines()) < MOST_LINES


@each_file
def test_every_file_opens_with_its_manual(name, path):
    assert ast.get_docstring(ast.parse(path.read_text("utf-8")))


@each_file
def test_nothing_is_left_for_later_or_called_a_helper(name, path):
    text = path.read_text("utf-8")
    assert not re.search(r"\b(TODO|FIXME|XXX|NotImplementedError)\b", text)
    assert not re.search(r"(^|[/_])(utils?|helpers?|managers?)(\.py|[/_])", name)


def setup_cfg():
    """setup.cfg as the build reads it."""
    parser = ConfigParser()
    parser.read(TOP / "setup.cfg", "utf-8")
    return parser


def test_the_wheel_installs_postvouch_only_and_all_of_it():
    listed = setup_cfg()["options"]["packages"].split()
    folders = {dotted(name).removesuffix(".__init__") for name, _ in SOURCES if name.endswith("/__init__.py")}
    assert set(listed) == folders | {"postvouch"}
    assert [name for name in listed if name.partition(".")[0] != "postvouch"] == []


def test_every_command_of_the_package_exists():
    for line in setup_cfg()["options.entry_points"]["console_scripts"].strip().splitlines():
        module, _, function = line.partition("=")[2].strip().partition(":")
        path = TOP / (module.replace(".", "/") + ".py")
        names = {
            target.id if isinstance(target, ast.Name) else target.name
            for node in ast.parse(path.read_text("utf-8")).body
            for target in (node.targets if isinstance(node, ast.Assign) else [node])
            if isinstance(target, ast.Name | ast.FunctionDef)
        }
        assert function in names, f"{module} has no {function}"


def test_all_places_that_say_the_version_agree():
    version = postvouch.__version__
    assert setup_cfg()["metadata"]["version"] == version
    changelog = TOP / "debian" / "changelog"
    if changelog.exists():
        assert re.match(r"postvouch \(([^)-]+)", changelog.read_text("utf-8"))[1] == version
    changes = TOP / "CHANGES.rst"
    if changes.exists():
        assert re.search(r"^v?(\d+\.\d+\.\d+)", changes.read_text("utf-8"), re.MULTILINE)[1] == version


def test_a_door_cannot_be_imported_under_its_short_name():
    for door in DOORS:
        with pytest.raises(ImportError, match=f"import postvouch.{door}"):
            exec(compile((TOP / door / "__init__.py").read_text("utf-8"), door, "exec"), {"__name__": door})
