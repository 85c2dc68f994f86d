"""DNS as a literal in a test: ``zone("far.example MX 10 mx.far.example", "far.example TXT v=spf1 mx -all")``.

One string a record: name, type, data. Several strings of one name and type are several records.

    far.example TXT v=spf1 mx -all      text, UTF-8, to the end of the string
    far.example MX 10 mx.far.example
    www.far.example CNAME far.example   followed, as a resolver would
    *.far.example A 192.0.2.1           wildcard, below the closest name that exists
    far.example TEMPERROR               no answer for any type
    far.example TEMPERROR MX            no answer for this type

A name that is not listed is NXDOMAIN unless a listed name lies below it.
"""

from collections import defaultdict
from dataclasses import replace

from postvouch.values.dns import NO_DATA, NO_SUCH_NAME, DnsUnavailable, Records, Status

Value = bytes | str | tuple[int, str]


class Zone:
    """A Resolver over such records. ``asked`` lists every question, in order, as (name, type)."""

    def __init__(self, records: tuple[str, ...], *, secure: bool = False) -> None:
        self.asked: list[tuple[str, str]] = []
        self._secure = secure
        self._silent: set[tuple[str, str]] = set()
        self._data: dict[tuple[str, str], list[Value]] = defaultdict(list)
        self._names: set[str] = set()
        for record in records:
            name, kind, *rest = record.split(" ", 2)
            name = _fold(name)
            labels = name.split(".")
            self._names.update(".".join(labels[i:]) for i in range(len(labels)))
            if kind == "TEMPERROR":
                self._silent.add((name, rest[0] if rest else "*"))
            else:
                self._data[name, kind].append(_value(kind, rest[0] if rest else ""))

    def lookup(self, name: str, kind: str) -> Records:
        """Answer as ``postvouch.values.dns.Resolver`` does."""
        name = _fold(name)
        self.asked.append((name, kind))
        labels = name.split(".")
        if len(name) > 253 or any(not 0 < len(label) <= 63 for label in labels):
            return NO_SUCH_NAME
        for _ in range(10):
            name = self._wild(name)
            if (name, "*") in self._silent or (name, kind) in self._silent:
                raise DnsUnavailable(f"{name} {kind}: told not to answer")
            values = self._data.get((name, kind))
            if values:
                return Records(status=Status.FOUND, values=tuple(values), secure=self._secure)
            alias = self._data.get((name, "CNAME"))
            if not alias:
                nothing = NO_DATA if name in self._names else NO_SUCH_NAME
                return replace(nothing, secure=self._secure)
            name = str(alias[0])
        raise DnsUnavailable(f"{name} {kind}: CNAME loop")

    def _wild(self, name: str) -> str:
        """The wildcard that answers for this name, or the name itself (RFC 4592)."""
        encloser = name
        while encloser and encloser not in self._names:
            encloser = encloser.partition(".")[2]
        wildcard = f"*.{encloser}"
        return wildcard if encloser != name and wildcard in self._names else name


def zone(*records: str, secure: bool = False) -> Zone:
    """Make a Resolver from records; ``secure`` is the AD bit of every answer."""
    return Zone(records, secure=secure)


def _fold(name: str) -> str:
    return name.lower().removesuffix(".")


def _value(kind: str, data: str) -> Value:
    if kind == "TXT":
        return data.encode()
    if kind == "MX":
        preference, host = data.split()
        return int(preference), _fold(host)
    return _fold(data)
