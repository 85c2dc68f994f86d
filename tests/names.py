"""A directory from a YAML text, for tests."""

from pathlib import Path
from tempfile import TemporaryDirectory

from postvouch.directory import files
from postvouch.directory.compile import Compiled, compile_directory
from postvouch.directory.model import Directory, Part, Problem, Rules

NAMES = """\
domains: {our.example: primary, old.example: our.example}
aliases:
  grants: [alice, bob@our.example]
  postmaster: admins
  admins: [bob, carol]
  press: [alice, joe@far.example]
  sales@old.example: carol
forwards:
  alice: Alice@gmail.example
  carol: [carol@riseup.example]
  travel: [alice, carol, '"odd name"@gmail.example']
logins:
  bob: [bob@our.example, bob.b@our.example]
"""


def read(text: str, *domains: str) -> tuple[Part, tuple[Problem, ...]]:
    """One names file; problems name it "names.yaml"."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "names.yaml"
        path.write_text(text, encoding="utf-8", newline="")
        part, problems = files.read([str(path)], domains, now=1.0)
    shorter = (
        Problem(
            source=p.source.removeprefix(f"{folder}/"), text=p.text.replace(f"{folder}/", ""), fatal=p.fatal
        )
        for p in problems
    )
    return part, tuple(shorter)


def compiled(text: str, rules: Rules | None = None) -> Compiled:
    """One names file, compiled; it must be read without problems."""
    part, problems = read(text)
    assert not problems, problems
    return compile_directory([part], rules=rules)


def directory(text: str = NAMES, rules: Rules | None = None) -> Directory:
    """The same, without fatal problems."""
    made = compiled(text, rules)
    assert not made.fatal, made.problems
    return made.directory
