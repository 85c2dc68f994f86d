"""A mail log, line by line, as syslog or the journal writes it: when, which daemon, what it says.

Understood are the traditional form ("Nov 24 03:15:55 host postfix/smtp[7]: ..."), the same with an ISO 8601
time (rsyslog in Debian 12 and later, journalctl -o short-iso), and RFC 5424 §6. Pure and linear; every octet
string is taken.
"""

import calendar
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

MAX_LINE = 8000
"""Octets of a line that are looked at; what comes after them is skipped."""

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAY = 86400
_HEAD = re.compile(
    r"(?:<\d{1,3}>)?(?:1 )?"
    r"(?P<time>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|"
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?)"
    r" \S{1,255} (?P<program>[^\s\[\]:]{1,100})"
    r"(?:(?:\[(?P<pid>\d{1,10})\])?: | (?P<procid>\S{1,128}) \S{1,32} (?:-|\[[^\]]{0,2000}\]) ?)",
    re.ASCII,
)
_ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)([.,]\d+)?(?:(Z)|([+-])(\d\d):?(\d\d))?", re.ASCII
)
# Short ids are hexadecimal, long ones have no vowels: no word of English, such as "warning", is one.
_QUEUE_ID = re.compile(r"(?!NOQUEUE:)([0-9A-Zb-df-hj-np-tv-z]{6,24}): ", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line. ``time`` in seconds since 1970; ``pid`` and ``queue_id`` are "" where there is none.

    ``program`` is the name as logged, "postfix-out/relay/smtp"; ``text`` is what follows the queue id.
    """

    time: float
    program: str
    pid: str
    queue_id: str
    text: str

    @property
    def daemon(self) -> str:
        """The daemon of Postfix, whatever instance or service it is: "smtp"; "" for other programs."""
        return self.program.rpartition("/")[2] if "/" in self.program else ""


def parse(line: str, *, now: float, offset_s: int = 0) -> Line | None:
    """Read one line without its end; None for what is no line of a log.

    ``now`` tells the year where the line does not, ``offset_s`` (east of UTC) the zone where it does not.
    """
    head = _HEAD.match(line)
    time = _time(head["time"], now // _DAY * _DAY, offset_s) if head else None
    if head is None or time is None:
        return None
    text = line[head.end() :].removeprefix("\ufeff")
    found = _QUEUE_ID.match(text)
    return Line(
        time=time,
        program=head["program"],
        pid=head["pid"] or head["procid"] or "",
        queue_id=found[1] if found else "",
        text=text[found.end() :] if found else text,
    )


@lru_cache(maxsize=64)
def _time(text: str, today: float, offset_s: int) -> float | None:
    iso = _ISO.fullmatch(text)
    try:
        if iso is None:
            return _this_or_last_year(text, today, offset_s)
        year, month, day, hour, minute, second = map(int, iso.groups()[:6])
        whole = calendar.timegm((year, month, day, hour, minute, second))
    except ValueError:  # a month or year that is none
        return None
    part = float("0." + iso[7][1:]) if iso[7] else 0.0
    if iso[9]:
        offset_s = (1 if iso[9] == "+" else -1) * (int(iso[10]) * 3600 + int(iso[11]) * 60)
    return whole + part - (0 if iso[8] else offset_s)


def _this_or_last_year(text: str, today: float, offset_s: int) -> float:
    """The traditional form has no year: it is the last one in which this is not to come."""
    month = _MONTHS.index(text[:3]) + 1
    day, hour, minute, second = int(text[4:6]), int(text[7:9]), int(text[10:12]), int(text[13:15])
    year = 1970 + int(today // (365.2425 * _DAY)) + 1
    while True:
        found = calendar.timegm((year, month, day, hour, minute, second)) - offset_s
        if found <= today + 2 * _DAY or year <= 1970:
            return found
        year -= 1


class Lines:
    """Octets in pieces of any size to lines of at most MAX_LINE octets; never holds more than a line."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, octets: bytes) -> Iterator[str]:
        """Each line that ends in ``octets``; what is no UTF-8 is kept by surrogate escapes."""
        *whole, last = octets.split(b"\n")
        for each in whole:
            line, self._rest = (self._rest + each[:MAX_LINE])[:MAX_LINE], b""
            yield line.rstrip(b"\r").decode("utf-8", "surrogateescape")
        self._rest = (self._rest + last[:MAX_LINE])[:MAX_LINE]

    def close(self) -> Iterator[str]:
        """The last line, where its end is missing."""
        if self._rest:
            yield from self.feed(b"\n")
