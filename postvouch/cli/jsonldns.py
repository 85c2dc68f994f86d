"""The DNS of one case of ``postvouch verify --jsonl``: names, each with its records or its rcode.

    {"far.example": {"TXT": ["v=spf1 mx -all"], "MX": [[10, "mx.far.example"]]},
     "s1._domainkey.far.example": {"TXT": [["v=DKIM1; p=MIIB", "IjANBg"]]},
     "7.2.0.192.in-addr.arpa": {"PTR": ["mx.far.example"]},
     "www.far.example": {"CNAME": "far.example"}, "slow.example": {"rcode": "TIMEOUT"}}

What each means is in docs/jsonl.rst. Types that are not asked for (SPF and others) may stand there.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping

from postvouch.cli.zonefile import Value, Zone, fold
from postvouch.values.address import AddressError, parse_domain

_RCODES = {"NOERROR": "", "NXDOMAIN": "NXDOMAIN", "SERVFAIL": "TEMPERROR", "TIMEOUT": "TEMPERROR"}
_NUMBER = re.compile(r"[0-9]{1,5}")
_PREFERENCES = range(1 << 16)
_MAX_SHOWN = 80


def zone_of(given: object) -> Zone:
    """The zone that the member "dns" of a case describes. Raises ValueError that names the place."""
    if not isinstance(given, dict):
        raise ValueError("dns: not an object")
    zone = Zone()
    for written, entry in given.items():
        try:
            _put(zone, _name(written), entry)
        except ValueError as error:
            raise ValueError(f"dns: {written[:_MAX_SHOWN]}: {error}") from None
    return zone


def _put(zone: Zone, name: str, entry: object) -> None:
    if not isinstance(entry, dict):
        raise ValueError("not an object")
    rcode = entry.get("rcode", "NOERROR")
    if not isinstance(rcode, str) or rcode.upper() not in _RCODES:
        raise ValueError(f"rcode: not one of {', '.join(_RCODES)}")
    answer = _RCODES[rcode.upper()]
    if answer != "NXDOMAIN":
        zone.exists(name)
    if answer:
        zone.add(name, answer, "")
    for kind, values in entry.items():
        read = _READERS.get(kind.upper())
        if read is None:
            continue
        for value in values if isinstance(values, list) else [values]:
            try:
                zone.add(name, kind.upper(), read(value))
            except ValueError as error:
                raise ValueError(f"{kind}: {error}") from None


def _text(value: object) -> bytes:
    """A TXT record: one text, or its character-strings, to be joined."""
    return b"".join(map(_octets, value)) if isinstance(value, list) else _octets(value)


def _octets(text: object) -> bytes:
    try:
        return _string(text).encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise ValueError("a surrogate that stands for no octet") from None


def _mx(value: object) -> tuple[int, str]:
    """[10, "mx.far.example"], or "10 mx.far.example" as in a zone file."""
    if isinstance(value, str):
        preference, _, host = value.partition(" ")
        value = [int(preference), host.strip()] if _NUMBER.fullmatch(preference) else None
    match value:
        case [int(number), str(name)] if number in _PREFERENCES and not isinstance(number, bool):
            return number, _name(name)
    raise ValueError("not [preference, host]")


def _name(value: object) -> str:
    text = _string(value)
    try:
        return parse_domain(text)
    except AddressError:
        return fold(text)


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("not a string")
    return value


_READERS: Mapping[str, Callable[[object], Value]] = {
    "TXT": _text,
    "A": lambda value: str(ipaddress.IPv4Address(_string(value))),
    "AAAA": lambda value: str(ipaddress.IPv6Address(_string(value))),
    "MX": _mx,
    "CNAME": _name,
    "PTR": _name,
    "NS": _name,
}
