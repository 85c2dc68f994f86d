"""docs/submission.rst: its limits are accepted and do what it says, its texts are those that users get."""

import re
import textwrap
from pathlib import Path

from postvouch.config.load import load
from postvouch.policyd.limits import Letter, Rules
from postvouch.values import reply

MANUAL = Path(__file__).parents[1] / "docs" / "submission.rst"
TEXT = MANUAL.read_text(encoding="utf-8")


def limits(folder: Path) -> Rules:
    (example,) = re.findall(r"::\n\n((?:    .*\n|\n)+)", TEXT)
    file = folder / "postvouch.toml"
    file.write_text('[general]\nrole = "submission"\ndomains = ["our.example"]\n' + textwrap.dedent(example))
    return Rules(
        load(file).policy.limits, lambda login, address: (login, address) == ("ann", "press@our.example")
    )


def names(rules: Rules, **letter: str) -> set[str]:
    return {unit.limit.name for unit in rules.charges(Letter(**letter))[0]}


def test_the_example_limits_whom_it_says(tmp_path: Path) -> None:
    rules = limits(tmp_path)
    assert names(rules, login="bob", client="192.0.2.7") == {"daily", "burst", "hosts"}
    assert names(rules, login="ann", client="192.0.2.7") == {"newsletter", "hosts"}
    assert names(rules, login="newsletter", client="192.0.2.17") == {"newsletter"}


def test_users_see_the_texts_of_the_table() -> None:
    table = " ".join(TEXT.partition("What a user sees")[2].split())
    said = [
        reply.not_owner("bob"), reply.AUTHOR_NOT_OWNED, reply.SENDER_NOT_OWNED, reply.AUTHOR_UNCLEAR,
        reply.SENDER_UNCLEAR, reply.NULL_SENDER, reply.LATER,
        reply.over_limit("daily", 300, "messages", 86400, 1560),
        reply.over_limit("daily", 1000, "recipients", 86400, -1),
    ]  # fmt: skip
    assert [str(each) for each in said if str(each) not in table] == []
