"""What docs/srs.rst shows is what the command prints."""

import re
from pathlib import Path

from postvouch.cli.main import run

PAGE = Path(__file__).parents[1] / "docs" / "srs.rst"


def test_the_page_shows_what_explain_prints(tmp_path, capsys):
    secrets = tmp_path / "secrets"
    secrets.write_text("a secret for the page\n")
    secrets.chmod(0o600)
    shown = re.search(r"\$ postvouch (srs explain .*)\n((?:    .*\n)+)", PAGE.read_text())
    assert shown is not None
    where = ["--secret-file", str(secrets), "--domain", "our.example"]
    assert run([*shown[1].split(), *where]) == 0
    said = "".join(f"    {line}".rstrip() + "\n" for line in capsys.readouterr().out.splitlines())
    assert said == shown[2]
