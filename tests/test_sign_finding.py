"""The catalogue of findings: every one has its place, and the documents say the same."""

import re
from pathlib import Path

from postvouch.cli import testkeyreport
from postvouch.sign.finding import BROKEN, INSECURE, MEANINGS, Fault, Finding, Strictness, in_order

PAGE = Path(__file__).resolve().parent.parent / "docs" / "testkey.rst"
SHARED = {0, 1, 2, 64, 65, 69, 75, 78}


def test_every_finding_has_a_status_of_its_own_and_words() -> None:
    assert list(MEANINGS) == list(Finding)
    statuses = [each.status for each in MEANINGS.values()]
    assert len(set(statuses)) == len(statuses)
    assert not SHARED.intersection(statuses)
    assert all(0 < each < 126 for each in statuses)
    assert all(each.text and each.remedy for each in MEANINGS.values())


def test_the_gravest_error_decides_and_warnings_only_where_they_count() -> None:
    faults = [Fault(Finding.NO_DS), Fault(Finding.TESTING), Fault(Finding.DIFFERS), Fault(Finding.TESTING)]
    assert [each.finding for each in in_order(faults)] == [Finding.DIFFERS, Finding.TESTING, Finding.NO_DS]
    assert Strictness().status(faults) == MEANINGS[Finding.DIFFERS].status
    assert Strictness().status([]) == Strictness().status([Fault(Finding.CNAME), Fault(Finding.NO_DS)]) == 0
    for finding in INSECURE:
        assert Strictness(require_dnssec=True).status([Fault(finding)]) == MEANINGS[finding].status
    assert Strictness(require_dnssec=True).status([Fault(Finding.CNAME)]) == 0
    assert Strictness(all_warnings=True).status([Fault(Finding.CNAME)]) == MEANINGS[Finding.CNAME].status
    assert not any(MEANINGS[finding].is_warning for finding in BROKEN)


def table() -> list[tuple[str, ...]]:
    """The rows of the table in docs/testkey.rst, cells that go over several lines joined."""
    lines = PAGE.read_text("utf-8").splitlines()
    first, head, last = (n for n, line in enumerate(lines) if re.fullmatch(r"=+( =+){3}", line))
    starts = [found.start() for found in re.finditer("=+", lines[first])]
    rows: list[list[str]] = []
    for line in lines[head + 1 : last]:
        cells = [line[a:b].strip() for a, b in zip(starts, [*starts[1:], None], strict=True)]
        if cells[0]:
            rows.append(cells)
        else:
            rows[-1] = [" ".join(filter(None, pair)) for pair in zip(rows[-1], cells, strict=True)]
    return [tuple(row) for row in rows]


def test_the_table_of_the_document_is_the_catalogue() -> None:
    assert table() == [
        (f"``{finding}``", f"{each.status}{' (w)' * each.is_warning}", each.text, each.remedy)
        for finding, each in MEANINGS.items()
    ]


def test_the_manual_has_every_status() -> None:
    told = testkeyreport.statuses()
    for finding, meaning in MEANINGS.items():
        assert f"{meaning.status} {finding}" in told
