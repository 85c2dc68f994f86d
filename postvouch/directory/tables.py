"""A Directory as octets that are asked where they lie: its large mappings as tables, the rest as JSON.

8 octets   length of the JSON
JSON       the small things, and for each table where it begins behind the JSON, and its length
tables     names, logins, users, roles (``table``)
"""

import json
from collections.abc import Callable, Mapping
from struct import Struct
from typing import Any

from postvouch.directory.model import Directory, Kind, Name, Rules
from postvouch.directory.table import Damaged, Table, build

_LENGTH = Struct("<Q")
_LISTS = ("logins", "users", "roles")
_KINDS = {str(kind): kind for kind in Kind}
_parse: Callable[[str], tuple[Any, int]] = json.JSONDecoder().raw_decode


def dump(directory: Directory) -> bytes:
    """The octets of a directory, whatever its mappings are made of; without ``verified_at``."""
    made = {
        "names": build((key, _name_octets(name)) for key, name in directory.names.items()),
        **{each: build(_lists(getattr(directory, each))) for each in _LISTS},
    }
    places, at = {}, 0
    for each, octets in made.items():
        places[each] = [at, len(octets)]
        at += len(octets)
    rest = {
        "domain": directory.domain,
        "domains": dict(directory.domains),
        "loops": dict(directory.loops),
        "dead": sorted(directory.dead),
        "rules": [
            directory.rules.delimiter,
            directory.rules.max_targets,
            sorted(directory.rules.srs_domains),
            sorted(directory.rules.allowed_targets),
            sorted(directory.rules.denied_targets),
        ],
        "tables": places,
    }
    text = json.dumps(rest).encode()
    return b"".join((_LENGTH.pack(len(text)), text, *made.values()))


def load(data: memoryview, *, verified_at: float) -> Directory:
    """The directory over ``data``, which it keeps. Other octets: ValueError, KeyError or TypeError."""
    if len(data) < _LENGTH.size:
        raise Damaged("the tables are cut off")
    begin = _LENGTH.size + _LENGTH.unpack_from(data)[0]
    rest = json.loads(bytes(data[_LENGTH.size : begin]))

    def octets(name: str) -> memoryview:
        at, size = rest["tables"][name]
        return data[begin + at : begin + at + size]

    delimiter, max_targets, *domains = rest["rules"]
    srs_domains, allowed, denied = (frozenset(each) for each in (*domains, (), ())[:3])
    return Directory(
        domain=rest["domain"],
        domains=rest["domains"],
        names=Table(octets("names"), _name),
        logins=Table(octets("logins"), _list),
        users=Table(octets("users"), _list),
        roles=Table(octets("roles"), _list),
        loops=rest["loops"],
        dead=frozenset(rest["dead"]),
        rules=Rules(
            delimiter=delimiter,
            max_targets=max_targets,
            srs_domains=srs_domains,
            allowed_targets=allowed,
            denied_targets=denied,
        ),
        verified_at=verified_at,
    )


def _lists(mapping: Mapping[str, tuple[str, ...]]) -> Any:
    return ((key, json.dumps(values).encode()) for key, values in mapping.items())


def _name_octets(name: Name) -> bytes:
    return json.dumps([name.kind, name.targets, name.source, name.outward]).encode()


def _name(octets: bytes) -> Name:
    kind, targets, source, outward = _parse(octets.decode("ascii"))[0]
    return Name(_KINDS[kind], tuple(targets), source, outward)


def _list(octets: bytes) -> tuple[str, ...]:
    return tuple(_parse(octets.decode("ascii"))[0])
