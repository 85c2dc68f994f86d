"""What the four commands share: a bad configuration is refused at start and at reload, all of it at once."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from postvouch import __version__
from postvouch.config.schema import Config
from postvouch.host.daemon import Service, command, start
from postvouch.host.log import Log


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def service(tmp_path: Path, path: Path) -> tuple[Service, Path]:
    log = tmp_path / "log"
    descriptor = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    return Service(
        program="postvouch-test", path=path, config=Config(), log=Log(program="t", descriptor=descriptor)
    ), log


def test_a_good_configuration_is_loaded_and_sets_up_the_log(tmp_path: Path) -> None:
    path = write(
        tmp_path / "p.toml", '[general]\nhostname = "mx.our.example"\n[log]\nprivacy = "hash"\ndebug = true\n'
    )
    started = start("postvouch-test", path)
    assert started.config.general.hostname == "mx.our.example"
    assert (started.log.privacy, started.log.debugging) == ("hash", True)


def test_a_bad_configuration_ends_the_start_with_78(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "p.toml", '[general]\nrole = "moon"\nrol = 1\n')
    with pytest.raises(SystemExit) as left:
        start("postvouch-test", path)
    assert left.value.code == 78
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "p.toml:2: " in lines[0]
    assert "p.toml:3: " in lines[1]


def test_reload_takes_the_new_configuration_as_a_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "p.toml", '[general]\nhostname = "two.example"\n[log]\nprivacy = "drop"\n')
    running, _ = service(tmp_path, path)
    assert running.reload()
    assert running.config.general.hostname == "two.example"
    assert running.log.privacy == "drop"


def test_reload_keeps_the_old_configuration_and_says_every_problem(tmp_path: Path) -> None:
    path = write(tmp_path / "p.toml", '[general]\nrole = "moon"\nrol = 1\n[log]\nprivacy = "drop"\n')
    running, log = service(tmp_path, path)
    before = running.config
    assert not running.reload()
    assert running.config is before
    assert running.log.privacy == "full"
    text = log.read_text()
    assert "p.toml:2: " in text
    assert "p.toml:3: " in text
    assert "reload refused: the configuration in use stays" in text


def test_what_a_daemon_finds_wrong_refuses_a_reload_too(tmp_path: Path) -> None:
    running, log = service(tmp_path, write(tmp_path / "p.toml", '[general]\nhostname = "two.example"\n'))
    assert not running.reload(lambda config: [f"no key for {config.general.hostname}"])
    assert running.config.general.hostname == ""
    assert "no key for two.example" in log.read_text()


def test_the_command_has_config_and_version(tmp_path: Path) -> None:
    seen: list[str] = []

    def run(found: Service) -> int:
        seen.append(found.config.general.hostname)
        return 4

    path = write(tmp_path / "p.toml", '[general]\nhostname = "mx.our.example"\n')
    main = command("postvouch-test", "A test.", run)
    assert CliRunner().invoke(main, ["--config", str(path)]).exit_code == 4
    assert seen == ["mx.our.example"]
    assert __version__ in CliRunner().invoke(main, ["--version"]).output
    assert "--config" in CliRunner().invoke(main, ["--help"]).output
