"""Lines of a mail log, whoever wrote them and however."""

import calendar
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postvouch.wire.maillog import MAX_LINE, Lines, parse

NOW = float(calendar.timegm((2026, 11, 24, 12, 0, 0)))
THEN = float(calendar.timegm((2026, 11, 24, 3, 15, 55)))
TEXT = "to=<x@far.example>, relay=mx.far.example[192.0.2.1]:25, status=sent (250 ok)"


@pytest.mark.parametrize(
    ("head", "moment"),
    [
        ("Nov 24 03:15:55 out postfix/smtp[71]: ", THEN),
        ("2026-11-24T03:15:55.250000+00:00 out postfix/smtp[71]: ", THEN + 0.25),
        ("2026-11-24T04:15:55+0100 out postfix/smtp[71]: ", THEN),
        ("2026-11-23T21:45:55-05:30 out postfix/smtp[71]: ", THEN),
        ("2026-11-24T03:15:55Z out postfix/smtp[71]: ", THEN),
        ("2026-11-24 03:15:55 out postfix/smtp[71]: ", THEN),
        ("<22>Nov 24 03:15:55 out postfix/smtp[71]: ", THEN),
        ("<22>1 2026-11-24T03:15:55Z out postfix/smtp 71 - - ", THEN),
        ('<22>1 2026-11-24T03:15:55Z out postfix/smtp 71 ID47 [x@32473 a="b"] ', THEN),
        ("<22>1 2026-11-24T03:15:55Z out postfix/smtp 71 - - \ufeff", THEN),
    ],
)
def test_every_form_of_a_log_says_the_same(head: str, moment: float) -> None:
    line = parse(head + "4XyZ1k2Lz3: " + TEXT, now=NOW)
    assert line is not None
    assert (line.time, line.program, line.daemon, line.pid) == (moment, "postfix/smtp", "smtp", "71")
    assert (line.queue_id, line.text) == ("4XyZ1k2Lz3", TEXT)


def test_a_time_without_a_zone_is_local() -> None:
    line = parse("Nov 24 04:15:55 out postfix/smtp[71]: hello", now=NOW, offset_s=3600)
    assert line is not None
    assert line.time == THEN


def test_a_time_without_a_year_is_never_to_come() -> None:
    line = parse("Dec 31 23:59:59 out postfix/smtp[71]: hello", now=NOW)
    assert line is not None
    assert line.time == calendar.timegm((2025, 12, 31, 23, 59, 59))


@pytest.mark.parametrize("queue_id", ["3F0A912C4D", "4gB9JM4hQGzqZ0", "A1B2C3"])
def test_short_and_long_queue_ids_are_known(queue_id: str) -> None:
    line = parse(f"Nov 24 03:15:55 out postfix-out/relay/smtp[71]: {queue_id}: removed", now=NOW)
    assert line is not None
    assert (line.queue_id, line.daemon, line.text) == (queue_id, "smtp", "removed")


@pytest.mark.parametrize(
    "text", ["warning: connect to Milter", "NOQUEUE: reject: RCPT", "statistics: max", "x: y"]
)
def test_words_are_no_queue_ids(text: str) -> None:
    line = parse(f"Nov 24 03:15:55 out postfix/smtpd[71]: {text}", now=NOW)
    assert line is not None
    assert (line.queue_id, line.text) == ("", text)


@pytest.mark.parametrize(
    "text", ["", "-- Boot 1 --", "hello", "Nov 24 03:15:55 out", "Xxx 24 03:15:55 h p[1]: t",
             "2026-13-24T03:15:55Z out postfix/smtp[71]: t", "0000-01-01T00:00:00Z out p/smtp[1]: t"],
)  # fmt: skip
def test_what_is_no_line_is_none(text: str) -> None:
    assert parse(text, now=NOW) is None


def test_other_programs_are_no_daemons_of_postfix() -> None:
    line = parse("Nov 24 03:15:55 out postvouch-sign[9]: 4XyZ1k2Lz3: from=<>, reason=ok", now=NOW)
    assert line is not None
    assert (line.program, line.daemon, line.queue_id) == ("postvouch-sign", "", "4XyZ1k2Lz3")


@given(st.text(max_size=300), st.floats(0, 4e9), st.integers(-50000, 50000))
def test_nothing_raises(text: str, now: float, offset_s: int) -> None:
    parse(text, now=now, offset_s=offset_s)
    parse(f"Nov 24 03:15:55 {text}", now=now, offset_s=offset_s)
    parse(f"Nov 24 03:15:55 out postfix/smtp[1]: {text}", now=now, offset_s=offset_s)


@given(st.lists(st.binary(max_size=60).filter(lambda octets: b"\n" not in octets)), st.integers(1, 50))
def test_any_split_gives_the_same_lines(lines: list[bytes], size: int) -> None:
    whole = b"\n".join(lines)
    reader = Lines()
    pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
    found = [line for piece in pieces for line in reader.feed(piece)]
    found += reader.close()
    wanted = [line.rstrip(b"\r").decode("utf-8", "surrogateescape") for line in lines]
    assert found == (wanted[:-1] if wanted and not lines[-1] else wanted)


def test_a_line_without_end_is_cut_and_costs_no_memory() -> None:
    reader = Lines()
    for _ in range(300):
        assert not list(reader.feed(b"x" * 65536))
        assert len(reader._rest) <= MAX_LINE
    assert [len(line) for line in reader.feed(b"\nnext\n")] == [MAX_LINE, 4]


@pytest.mark.parametrize(
    "piece", [" ", "[", "1", "Nov 24 03:15:55 ", "h p 1 - [", "<22>1 ", "A1B2C3: ", "- "]
)
def test_a_long_line_takes_no_longer_than_its_length(piece: str) -> None:
    line = "Nov 24 03:15:55 h p 1 - [" + piece * (MAX_LINE // len(piece))
    began = time.perf_counter()
    for _ in range(20):
        parse(line[:MAX_LINE], now=NOW)
    assert time.perf_counter() - began < 0.5
