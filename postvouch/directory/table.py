"""A mapping that lives in octets: built once, then looked up where it lies.

    8 octets   number of entries
    8 octets   number of slots, a power of two, at least twice as many
    16 octets  salt
    slots      16 octets each: hash of the key, where its record begins (0: an empty slot)
    records    4 octets length of the key, 4 of the value, key, value

All numbers are little-endian; where is counted from the first octet. A lookup costs the same for ten keys and
for a million, and there is nothing to unpack first. The hash is keyed, so that nobody can choose names that
collide.
"""

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import blake2b
from struct import Struct
from typing import Any, TypeVar

V = TypeVar("V")

_HEAD = Struct("<QQ16s")
_SLOT = Struct("<QQ")
_SIZES = Struct("<II")
_SUM = Struct("<Q")
_HASH_SIZE = _SUM.size
_RECENT = 1000
"""Values that are kept: one question asks for the same name several times, and so do several questions."""


class Damaged(ValueError):
    """These octets are no table."""


def build(items: Iterable[tuple[str, bytes]]) -> bytes:
    """The octets of a table. Of several items with one key the last counts."""
    entries = dict(items)
    slots = 2
    while slots < 2 * len(entries):
        slots *= 2
    salt = secrets.token_bytes(16)
    index = bytearray(_SLOT.size * slots)
    records = bytearray()
    begin = _HEAD.size + len(index)
    for key, value in entries.items():
        octets = _octets(key)
        found = _hash(octets, salt)
        at = found & (slots - 1)
        while _SLOT.unpack_from(index, at * _SLOT.size)[1]:
            at = (at + 1) & (slots - 1)
        _SLOT.pack_into(index, at * _SLOT.size, found, begin + len(records))
        records += _SIZES.pack(len(octets), len(value)) + octets + value
    return _HEAD.pack(len(entries), slots, salt) + bytes(index) + bytes(records)


class Table(Mapping[str, V]):
    """What ``build`` made, read in place; ``decode`` makes a value, never None, of its octets."""

    __slots__ = ("_count", "_data", "_decode", "_mask", "_recent", "_salt")

    def __init__(self, data: memoryview, decode: Callable[[bytes], V]) -> None:
        """Raises Damaged where the data cannot be a table; its contents are taken as they are."""
        if len(data) < _HEAD.size:
            raise Damaged("a table is cut off")
        count, slots, salt = _HEAD.unpack_from(data)
        self._count: int = count
        self._salt: bytes = salt
        self._mask = slots - 1
        if slots < 2 or slots & self._mask or count >= slots:
            raise Damaged("a table has no usable number of slots")
        if len(data) < _HEAD.size + slots * _SLOT.size:
            raise Damaged("a table is cut off")
        self._data = data
        self._decode = decode
        self._recent: dict[str, V] = {}

    def __getitem__(self, key: str) -> V:
        value = self._value(key)
        if value is None:
            raise KeyError(key)
        return value

    def __contains__(self, key: object) -> bool:
        return key in self._recent or (isinstance(key, str) and self._find(key) is not None)

    def __iter__(self) -> Iterator[str]:
        data = self._data
        at = _HEAD.size + (self._mask + 1) * _SLOT.size
        for _ in range(self._count):
            size, more = _SIZES.unpack_from(data, at)
            at += _SIZES.size
            yield str(data[at : at + size], "utf-8", "surrogatepass")
            at += size + more

    def __len__(self) -> int:
        return self._count

    def get(self, key: str, default: Any = None) -> Any:
        """The value of ``key``; what is not there costs no exception."""
        value = self._value(key)
        return default if value is None else value

    def _value(self, key: str) -> V | None:
        recent = self._recent
        value = recent.get(key)
        if value is None:
            octets = self._find(key)
            if octets is None:
                return None
            if len(recent) >= _RECENT:
                recent.clear()
            value = recent[key] = self._decode(octets)
        return value

    def _find(self, key: str) -> bytes | None:
        octets = _octets(key)
        wanted = _hash(octets, self._salt)
        data, mask = self._data, self._mask
        at = wanted & mask
        while True:
            found, where = _SLOT.unpack_from(data, _HEAD.size + at * _SLOT.size)
            if not where:
                return None
            if found == wanted:
                size, more = _SIZES.unpack_from(data, where)
                begin = where + _SIZES.size
                end = begin + size
                if data[begin:end] == octets:
                    return bytes(data[end : end + more])
            at = (at + 1) & mask


def _octets(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")


def _hash(octets: bytes, salt: bytes) -> int:
    found: tuple[int] = _SUM.unpack(blake2b(octets, digest_size=_HASH_SIZE, salt=salt).digest())
    return found[0]
