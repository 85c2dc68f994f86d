"""LDAP is away for seven days: every lookup that worked works, and the page that tells of it is true."""

from pathlib import Path

import ldapweek

SOFT, HARD = 2 * ldapweek.HOUR, 7 * ldapweek.DAY


def test_a_week_without_ldap_costs_no_lookup_that_worked_and_the_page_tells_it_as_it_is(
    tmp_path: Path,
) -> None:
    with ldapweek.week(tmp_path) as week:
        before: dict[str, str] = {}
        for number, (title, at, logged) in enumerate(ldapweek.play(week)):
            before = before or week.answers()
            assert all(answer.startswith("OK ") for answer in before.values())
            assert week.answers() == before, title
            assert week.said() == []
            back = "back" in title
            assert week.age_s() == (0 if back else at)
            stale = [line for line in logged if " hours old: " in line]
            assert bool(stale) == (at > SOFT and not back), title
            assert all("connection refused" in line or "timed out" in line for line in stale)
            assert any("older than map.hard_age" in line for line in logged) == (at > HARD and not back)
            assert week.ask(ldapweek.STRANGER).split()[0] == (
                "TEMP" if at > HARD and not back else "NOTFOUND"
            )
            assert week.ask("recipients x@far.example") == "NOTFOUND"
            assert bool(week.names.failures) == (number > 0 and not back)
        assert any("well again" in line for line in logged)
        assert week.transcript() == ldapweek.PAGE.read_text(), "run python3 tests/ldapweek.py"
