"""DNS as the core sees it: a question, records or a kind of nothing, or one exception.

The core asks a ``Resolver`` and never a network. Names are absolute: no search list is ever applied.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class DnsUnavailable(Exception):
    """No answer could be had (timeout, SERVFAIL, budget spent): RFC 8601's temperror, never "no record"."""


class WouldWait(BaseException):
    """The answer is not at hand and the caller must not wait: ask again where waiting is allowed.

    No Exception: it has to get through code that turns every failure into a finding.
    """


class Status(StrEnum):
    """What kind of answer: records, a name without such records, or no such name."""

    FOUND = "found"
    NODATA = "nodata"
    NXDOMAIN = "nxdomain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """The answer to one question, CNAMEs followed.

    ``values`` by type: TXT bytes (character-strings joined), A and AAAA and PTR and CNAME str, MX
    "preference host" as ``(int, str)``. Names are lower-case without the last dot. ``secure`` is the AD
    bit of a resolver that we trust.
    """

    status: Status
    values: tuple[bytes | str | tuple[int, str], ...] = ()
    secure: bool = False

    def texts(self) -> tuple[bytes, ...]:
        """The TXT values only."""
        return tuple(v for v in self.values if isinstance(v, bytes))

    def names(self) -> tuple[str, ...]:
        """The values of A, AAAA, PTR and CNAME only."""
        return tuple(v for v in self.values if isinstance(v, str))


NO_SUCH_NAME = Records(status=Status.NXDOMAIN)
NO_DATA = Records(status=Status.NODATA)


class Resolver(Protocol):
    """Answers DNS questions; thread-safe."""

    def lookup(self, name: str, kind: str) -> Records:
        """Ask for ``name`` (any case, last dot optional) and ``kind`` ("TXT", "MX"…).

        Raises DnsUnavailable; an impossible name (label over 63 octets, empty label) is NXDOMAIN.
        """
        ...
