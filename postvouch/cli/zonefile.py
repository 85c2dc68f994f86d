"""DNS from a file instead of the network, for ``postvouch verify --dns``: one record a line.

    far.example  TXT  "v=spf1 ip4:192.0.2.0/24 -all"
    far.example  3600 IN MX 10 mx.far.example.
    s._domainkey.far.example TXT ( "v=DKIM1; k=rsa; p=MIIB" "IjANBg" )
    *.far.example A 192.0.2.1
    slow.example TEMPERROR

Names are absolute, with or without the last dot. TXT data is one or more quoted strings, which are joined, or
bare text to the very end of the line. A comment begins with ";", or at the start of a line with "#".
TEMPERROR: no answer for that name.
"""

import re
from collections import defaultdict

from postvouch.values.dns import NO_DATA, NO_SUCH_NAME, DnsUnavailable, Records, Status

KINDS = ("TXT", "MX", "A", "AAAA", "PTR", "CNAME", "NS", "TEMPERROR")
_RECORD = re.compile(rf"(\S+)\s+(?:\d+\s+)?(?:IN\s+)?({'|'.join(KINDS)})\b\s*(.*)", re.IGNORECASE)
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(\d{3}|.)")
_MAX_CNAMES = 8
_MAX_NAME = 253

Value = bytes | str | tuple[int, str]


class ZoneError(ValueError):
    """A line that cannot be read; the text begins with its number."""


class Zone:
    """A ``values.dns.Resolver`` over records in memory; what is not in it does not exist.

    Of the types of a name TEMPERROR means no answer and NXDOMAIN no such name, whatever is asked.
    """

    def __init__(self) -> None:
        self._data: dict[tuple[str, str], list[Value]] = defaultdict(list)
        self._names: set[str] = set()

    def exists(self, name: str) -> None:
        """Make the name (lower case, no last dot) and those above it exist."""
        while name and name not in self._names and len(name) <= _MAX_NAME:
            self._names.add(name)
            name = name.partition(".")[2]

    def add(self, name: str, kind: str, value: Value) -> None:
        """Put one more record in."""
        self._data[name, kind].append(value)
        if kind != "NXDOMAIN":
            self.exists(name)

    def lookup(self, name: str, kind: str) -> Records:
        """Answer from memory, CNAMEs followed."""
        name = fold(name)
        for _ in range(_MAX_CNAMES):
            if len(name) > _MAX_NAME or not all(0 < len(label) < 64 for label in name.split(".")):
                return NO_SUCH_NAME
            name = self._standing_in(name)
            if (name, "TEMPERROR") in self._data:
                raise DnsUnavailable(f"{name}: told not to answer")
            if (name, "NXDOMAIN") in self._data:
                return NO_SUCH_NAME
            values = self._data.get((name, kind.upper()))
            if values:
                return Records(status=Status.FOUND, values=tuple(values))
            alias = self._data.get((name, "CNAME"))
            if not alias:
                return NO_DATA if name in self._names else NO_SUCH_NAME
            name = str(alias[0])
        raise DnsUnavailable("too many CNAMEs")

    def _standing_in(self, name: str) -> str:
        """The name whose records answer for this one."""
        return name


class ZoneFile(Zone):
    """Such lines as records, wildcards included. Raises ZoneError for the first line that is none."""

    def __init__(self, text: str) -> None:
        super().__init__()
        for number, line in enumerate(text.splitlines(), 1):
            stripped = line.strip()
            if not stripped or stripped[0] in ";#$":
                continue
            found = _RECORD.fullmatch(stripped)
            if found is None:
                raise ZoneError(f"{number}: not a record: NAME TYPE DATA, with a type of {', '.join(KINDS)}")
            name, kind = fold(found[1]), found[2].upper()
            try:
                self.add(name, kind, _value(kind, found[3]))
            except ValueError as error:
                raise ZoneError(f"{number}: {kind}: {error}") from None

    def _standing_in(self, name: str) -> str:
        """The wildcard below the closest name that exists, if there is one, else the name (RFC 4592)."""
        encloser = name
        while encloser and encloser not in self._names:
            encloser = encloser.partition(".")[2]
        wildcard = f"*.{encloser}"
        return wildcard if encloser != name and wildcard in self._names else name


def fold(name: str) -> str:
    """A name as it is kept here: lower case, no last dot."""
    return name.lower().removesuffix(".")


def _value(kind: str, data: str) -> Value:
    if kind == "TXT":
        return _text(data)
    data = re.sub(r"(^|\s);.*", "", data).strip()
    if kind == "TEMPERROR":
        return ""
    if kind == "MX":
        preference, _, host = data.partition(" ")
        if not preference.isdecimal() or not host.strip():
            raise ValueError("preference and host")
        return int(preference), fold(host.strip())
    if not data or " " in data:
        raise ValueError("one name or address")
    return fold(data)


def _text(data: str) -> bytes:
    if not data.startswith(('"', "(")):
        return data.strip().encode()
    rest = _STRING.sub("", data)
    if rest.partition(";")[0].strip(" \t()"):
        raise ValueError("quoted strings, or text without quotes")
    return b"".join(_plain(found) for found in _STRING.findall(data))


def _plain(quoted: str) -> bytes:
    def octet(found: re.Match[str]) -> str:
        return chr(int(found[1])) if found[1].isdecimal() else found[1]

    try:
        return _ESCAPE.sub(octet, quoted).encode("latin-1")
    except UnicodeEncodeError:
        return _ESCAPE.sub(octet, quoted).encode()
