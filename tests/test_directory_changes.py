"""What a refresh would change."""

from postvouch.directory import changes
from postvouch.directory.model import Entry, Kind, Part


def part(*entries: Entry) -> Part:
    return Part(origin="names", entries=entries, read_at=1.0)


def entry(name: str, *values: str, at: str = "f:1", kind: Kind = Kind.FORWARD) -> Entry:
    return Entry(kind=kind, name=name, values=values, source=at)


def test_new_lost_and_different_names_are_told_with_their_place() -> None:
    old = part(entry("a@our.example", "a@x.example"), entry("b@our.example", "b@x.example", at="f:2"))
    new = part(entry("b@our.example", "c@x.example", at="f:9"), entry("d@our.example", "d@x.example"))
    assert [str(each) for each in changes.between([old], [new])] == [
        "- forward a@our.example: a@x.example (f:1)",
        "! forward b@our.example: b@x.example -> c@x.example (f:9)",
        "+ forward d@our.example: d@x.example (f:1)",
    ]


def test_a_line_that_only_moved_is_no_change() -> None:
    assert (
        changes.between([part(entry("a@o.example", "x"))], [part(entry("a@o.example", "x", at="g:7"))]) == ()
    )


def test_a_name_that_becomes_another_kind_goes_and_comes() -> None:
    old, new = part(entry("a@o.example", "x")), part(entry("a@o.example", "x", kind=Kind.ALIAS))
    assert [each.what for each in changes.between([old], [new])] == ["added", "removed"]


def test_a_whole_source_that_is_gone_is_gone_name_by_name() -> None:
    (change,) = changes.between([part(entry("a@o.example", "x"))], [])
    assert change.what is changes.What.REMOVED
