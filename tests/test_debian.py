"""The Debian package says the same as the code: dependencies, units, paths, version, licences."""

import ast
import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest

import postvouch
from postvouch.cli import main as cli
from postvouch.config.kinds import QUEUE_DIR
from postvouch.config.load import DEFAULT_PATH, load
from postvouch.config.wiring import DAEMONS

TOP = Path(__file__).parents[1]
DEBIAN = TOP / "debian"
WATCH = DEBIAN / "postvouch.postvouch-unsigned.service"
UNITS = sorted(set(DEBIAN.glob("postvouch.*.service")) - {WATCH})
SCRIPTS = [DEBIAN / f"postvouch.{name}" for name in ("postinst", "prerm", "postrm")]

PACKAGES = {
    "Milter": "python3-milter", "click": "python3-click", "cryptography": "python3-cryptography",
    "dkim": "python3-dkim", "dns": "python3-dnspython", "idna": "python3-idna", "ldap3": "python3-ldap3",
    "milter": "python3-milter",
    "prometheus_client": "python3-prometheus-client", "redis": "python3-redis", "rich": "python3-rich",
    "sdnotify": "python3-sdnotify", "spf": "python3-spf", "uvloop": "python3-uvloop", "yaml": "python3-yaml",
}  # fmt: skip
OPTIONAL = {"python3-ldap3", "python3-redis", "python3-uvloop"}
NO_PYTHON = {"dovecot-core", "publicsuffix"}


def paragraphs() -> list[dict[str, str]]:
    """debian/control, a dictionary a paragraph."""
    found = []
    for text in (DEBIAN / "control").read_text().strip().split("\n\n"):
        fields = re.findall(r"^([\w-]+):((?:.*\n?)(?:[ \t].*\n?)*)", text + "\n", re.MULTILINE)
        found.append({name: value.strip() for name, value in fields})
    return found


def packages(field: str) -> set[str]:
    return set(re.findall(r"(?:^|,)\s*([a-z0-9][\w.+-]*)", paragraphs()[1].get(field, "")))


def imported() -> set[str]:
    """Top-level modules that the installed package imports, beyond the standard library and itself."""
    names: set[str] = set()
    for file in (file for room in ("postvouch", "milters", "policyd") for file in (TOP / room).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.partition(".")[0])
    return names - sys.stdlib_module_names - {"postvouch"}


def unit(path: Path) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(path)
    return parser


def test_the_package_depends_on_what_the_code_imports_and_on_nothing_else() -> None:
    wanted = {PACKAGES[name] for name in imported()}
    assert packages("Depends") - {"postfix"} == wanted - OPTIONAL
    assert (packages("Recommends") | packages("Suggests")) - NO_PYTHON == wanted & OPTIONAL


def test_the_version_is_one() -> None:
    version = re.match(r"postvouch \(([^)]+)\)", (DEBIAN / "changelog").read_text())
    assert version is not None
    assert version[1] == postvouch.__version__
    assert f"version = {postvouch.__version__}\n" in (TOP / "setup.cfg").read_text()


def test_each_daemon_has_its_unit_and_its_command() -> None:
    names = [path.name.removeprefix("postvouch.").removesuffix(".service") for path in UNITS]
    commands = re.findall(
        r"^\s+(postvouch[\w-]*) = (postvouch[\w.]+):main$", (TOP / "setup.cfg").read_text(), re.M
    )
    assert {*names, "postvouch"} == {command for command, _ in commands}
    assert {name.removeprefix("postvouch-") for name in names} == {
        each for role in DAEMONS.values() for each in role
    }
    for path, name in zip(UNITS, names, strict=True):
        assert unit(path)["Service"]["ExecStart"] == f"/usr/bin/{name}"
        assert unit(path)["Service"]["SyslogIdentifier"] == name


def test_all_units_are_hardened_alike() -> None:
    own = {"ExecStart", "SyslogIdentifier", "RuntimeDirectory"}
    services = [{k: v for k, v in unit(path)["Service"].items() if k not in own} for path in UNITS]
    assert all(service == services[0] for service in services)
    assert len({path.read_text().count("SystemCallFilter=") for path in UNITS}) == 1
    assert services[0]["ProtectSystem"] == "strict"
    assert services[0]["CapabilityBoundingSet"] == ""
    assert "DynamicUser" not in services[0]


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_daemon_comes_back_by_itself_and_has_time_to_finish_its_letters(path: Path) -> None:
    service = unit(path)["Service"]
    assert (service["Type"], service["User"], service["Restart"]) == ("notify", "postvouch", "always")
    assert int(service["TimeoutStopSec"]) >= 15
    assert service["RestartPreventExitStatus"] == "78"
    assert "ExecReload=/usr/bin/postvouch check\nExecReload=/bin/kill -HUP $MAINPID\n" in path.read_text()
    assert "postfix.service" in unit(path)["Unit"]["Before"].split()


def test_the_watch_for_unsigned_letters_starts_with_the_signer_and_outlives_it() -> None:
    timer = unit(WATCH.with_suffix(".timer"))
    signer = unit(DEBIAN / "postvouch.postvouch-sign.service")
    assert "postvouch-unsigned.timer" in signer["Unit"]["Wants"].split()
    assert not {"PartOf", "BindsTo", "Requires"} & set(timer["Unit"])
    assert timer["Timer"]["OnUnitInactiveSec"] == "3min"
    assert "--name=postvouch-unsigned --no-enable" in (DEBIAN / "rules").read_text()


def test_the_watch_is_hardened_like_the_daemons_and_reads_nothing_but_the_journal() -> None:
    service, daemon = unit(WATCH)["Service"], unit(UNITS[0])["Service"]
    words = ("Protect", "Private", "Restrict", "NoNew", "Capability", "Ambient", "Lock", "Memory", "Remove")
    for name in (name for name in daemon if name.startswith(words) and name != "RestrictAddressFamilies"):
        if name != "RestartPreventExitStatus":
            assert service[name] == daemon[name], name
    assert (service["Type"], service["User"], service["SupplementaryGroups"]) == (
        "oneshot", "postvouch", "systemd-journal",
    )  # fmt: skip
    assert service["RestrictAddressFamilies"] == "AF_UNIX"
    words = service["ExecStart"].split()
    assert words[:2] == ["/usr/bin/postvouch", "unsigned"]
    assert words[-1].startswith(f"/var/lib/{service['StateDirectory']}/")


def test_units_and_tmpfiles_agree_with_the_code_on_where_sockets_are() -> None:
    assert f"d {QUEUE_DIR} 2710 postvouch postfix -" in (DEBIAN / "postvouch.tmpfiles").read_text()
    for path in UNITS:
        assert unit(path)["Service"]["ReadWritePaths"] == f"-{QUEUE_DIR}"
        assert unit(path)["Service"]["StateDirectory"] == "postvouch"


def test_the_conffile_is_valid_and_inert(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["config", "--example"]) == 0
    file = tmp_path / "postvouch.toml"
    file.write_text(capsys.readouterr().out)
    config = load(file)
    assert config.general.role == ""
    assert config.general.domains == ()
    assert config.sign.key == ()
    assert f"debian/postvouch{DEFAULT_PATH}" in (DEBIAN / "rules").read_text()


@pytest.mark.parametrize(
    "path", [*SCRIPTS, DEBIAN / "build", DEBIAN / "tests" / "smoke"], ids=lambda path: path.name
)
def test_every_shell_script_is_one_for_any_shell(path: Path) -> None:
    done = subprocess.run(["sh", "-n", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    text = path.read_text()
    assert re.search(r"^set -e", text, re.MULTILINE)
    if path in SCRIPTS:
        assert "\n#DEBHELPER#\n" in text


def test_removal_undoes_the_wiring_before_the_daemons_stop() -> None:
    text = (DEBIAN / "postvouch.prerm").read_text()
    assert text.index("postvouch postfix --remove") < text.index("#DEBHELPER#")


def test_purge_never_deletes_what_an_administrator_wrote() -> None:
    text = (DEBIAN / "postvouch.postrm").read_text()
    assert not re.search(r"rm -\w+ [^\n]*/etc/postvouch", text)


@pytest.mark.parametrize("name", ["milters", "policyd", "snippets"])
def test_the_doors_are_links_that_git_keeps(name: str) -> None:
    link = TOP / "postvouch" / name
    assert link.is_symlink()
    assert not link.readlink().is_absolute()
    assert link.resolve().parent == TOP


def test_every_folder_of_vectors_has_its_licence() -> None:
    text = (DEBIAN / "copyright").read_text()
    folders = {path.name for path in (TOP / "tests" / "vectors").iterdir() if path.is_dir()}
    assert set(re.findall(r"^Files: tests/vectors/(\w+)/\*$", text, re.MULTILINE)) == folders
    named = {
        word for line in re.findall(r"^License: (.+)$", text, re.MULTILINE) for word in line.split(" and ")
    }
    assert set(re.findall(r"^License: (\S+)\n ", text, re.MULTILINE)) == named
