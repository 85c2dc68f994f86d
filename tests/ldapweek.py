"""The week without LDAP: a real slapd is stopped, the clock moved on, and all that is asked and said is kept.

``python3 tests/ldapweek.py`` writes docs/ldap-week.rst; test_ldap_week.py keeps it true.
"""

import signal
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from servers import Slapd, free_port, ldif_of

from postvouch.config.kinds import Duration
from postvouch.config.names import Ldap, Map
from postvouch.config.schema import Config, General
from postvouch.host.log import Log
from postvouch.host.metrics import Metrics
from postvouch.host.refresh import Refresher
from postvouch.policyd.maps import Maps, srs_of

PAGE = Path(__file__).parent.parent / "docs" / "ldap-week.rst"
HOUR = 3600.0
DAY = 24 * HOUR
KNOWN = (
    "recipients alice@our.example", "recipients Bob+list@our.example", "recipients press@our.example",
    "transport bob@our.example", "alias grants@our.example", "owners grants@our.example",
    "owners alice@our.example",
)  # fmt: skip
STRANGER = "recipients nobody@our.example"
PEOPLE = """
alice emailForward=alice@gmail.example
bob emailForward=bob@riseup.example
grants roleMember=uid=alice,ou=users,dc=our,dc=example roleMember=bob
"""
HEAD = """A week without LDAP
===================

What an mx host with people in LDAP and a role in a file answers and logs while slapd is away, with the
defaults of ``map.soft_age`` (2 hours) and ``map.hard_age`` (7 days). Written by ``tests/ldapweek.py``: slapd
and the code are the real ones, only the clock is moved by hand. A line with ``?`` is a question of Postfix to
a map; ``age`` is the metric ``postvouch_directory_age_seconds``; ``log`` is what stands in the log, and only
what is new.

::

"""


class Week:
    """The host, its slapd and its clock. ``lines`` is the transcript."""

    def __init__(self, folder: Path, slapd: Slapd) -> None:
        (folder / "names.yaml").write_text("aliases: {press: [alice, bob]}\n")
        self.slapd = slapd
        self.now = self.began = 1e9
        self.lines: list[str] = []
        self._log_file = (folder / "log").open("w+b")
        self._read = 0
        config = Config(
            general=General(role="mx", domains=("our.example",)),  # type: ignore[arg-type]
            map=Map(
                names=(f"{folder}/*.yaml",), snapshot=f"{folder}/snapshot",
                forward_transport="smtp:[srs.our.example]",
            ),
            ldap=Ldap(
                uri=f"ldap://127.0.0.1:{slapd.port}", base="ou=users,dc=our,dc=example", delta=True,
                filter="(objectClass=mailThing)", member_attribute="roleMember", timeout=Duration(0.5),
            ),
        )  # fmt: skip
        log = Log(program="postvouch-map", descriptor=self._log_file.fileno())
        self.names = Refresher(config, log, clock=lambda: self.now)
        metrics = Metrics("map")
        self.maps = Maps(config, srs_of(config), self.names, log, metrics)
        self._metrics = free_port()
        metrics.serve(
            f"127.0.0.1:{self._metrics}",
            {"postvouch_directory_age_seconds": ("Age of the stalest source.", self.names.age_s)},
        )

    def close(self) -> None:
        self._log_file.close()

    def ask(self, question: str) -> str:
        """What Postfix is answered, without the netstring around it."""
        return self.maps.answer(question.encode()).decode().partition(":")[2].rstrip(",").strip()

    def answers(self) -> dict[str, str]:
        """Everything that the tests ask, by question."""
        return {question: self.ask(question) for question in KNOWN}

    def age_s(self) -> float:
        """The age, as Prometheus is told."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._metrics}/metrics", timeout=5) as page:
            text = page.read().decode()
        (line,) = [x for x in text.splitlines() if x.startswith("postvouch_directory_age_seconds{")]
        return float(line.split()[-1])

    def said(self) -> list[str]:
        """The log since the last time."""
        self._log_file.seek(self._read)
        text = self._log_file.read().decode()
        self._read += len(text.encode())
        return [line.partition("]: ")[2] for line in text.splitlines()]

    def refresh(self) -> list[str]:
        """Read all sources now; what was logged of it."""
        self.names.refresh()
        return self.said()

    def scene(self, title: str, at: float, questions: tuple[str, ...]) -> list[str]:
        """Move the clock to ``at`` seconds after the beginning, refresh, ask; the log."""
        self.now = self.began + at
        logged = self.refresh()
        self.lines += ["", title, *(f"    log  {line}" for line in logged)]
        self.lines.append(f"    age  {self.age_s():.0f} s")
        self.lines += [f"    ?    {question}  ->  {self.ask(question)}" for question in questions]
        self.said()
        return logged

    def transcript(self) -> str:
        """The page."""
        text = "\n".join(f"    {line}".rstrip() for line in self.lines[1:])
        return HEAD + text.replace(f"127.0.0.1:{self.slapd.port}", "ldap.our.example") + "\n"


@contextmanager
def week(folder: Path) -> Iterator[Week]:
    """A week that is about to begin."""
    slapd = Slapd(folder / "slapd", ldif_of(PEOPLE))
    made = Week(folder, slapd)
    try:
        yield made
    finally:
        made.close()
        slapd.stop()


def play(made: Week) -> Iterator[tuple[str, float, list[str]]]:
    """The scenes one after another: which it was, when, and what was logged; the caller looks around."""

    def scene(title: str, at: float, *questions: str) -> tuple[str, float, list[str]]:
        return title, at, made.scene(title, at, questions)

    yield scene("Monday. All is well.", 0, *KNOWN, STRANGER)
    made.slapd.stop()
    yield scene("Five minutes later. slapd has been stopped.", 300, KNOWN[0], STRANGER)
    yield scene("After three hours: beyond the soft age.", 3 * HOUR, KNOWN[0], STRANGER)
    for day in (1, 2, 3):
        yield scene(f"Day {day}.", day * DAY, KNOWN[day], STRANGER)
    made.slapd.start().send(signal.SIGSTOP)
    yield scene("Day 4. Somebody has started slapd, and it hangs.", 4 * DAY, KNOWN[4], STRANGER)
    made.slapd.stop()
    for day in (5, 6, 7):
        yield scene(f"Day {day}.", day * DAY, KNOWN[day - 1], STRANGER)
    yield scene(
        "An hour later: beyond the hard age. Who is known gets mail, who is not may only be new: deferred.",
        7 * DAY + HOUR, *KNOWN, STRANGER, "recipients x@far.example",
    )  # fmt: skip
    made.slapd.start()
    yield scene("slapd is back.", 7 * DAY + HOUR + 300, *KNOWN, STRANGER)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name, week(Path(name)) as made:
        for _ in play(made):
            pass
        PAGE.write_text(made.transcript())
    sys.exit(0)
