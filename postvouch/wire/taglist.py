"""Tag=value lists: DKIM signatures, DKIM keys and ARC sets (RFC 6376 §3.2).

Strict, because two readings of one signature are an attack. Names and values keep their case; blanks inside a
value are kept, because only some tags ignore them; tags that nobody knows are for the caller to ignore.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from postvouch.wire.fault import ProtocolError

__all__ = ["MAX_TAGS", "ProtocolError", "parse"]

MAX_TAGS = 256
"""More semicolons than this are no list: honest ones hold a dozen tags, and each costs a little Python."""

# So much is kept of what was read: strangers fill it.
_SHORT = 2048

_NAME = re.compile(rb"[A-Za-z][A-Za-z0-9_]*")
# VALCHAR, blanks and, since RFC 8616, UTF-8.
_VALUE = re.compile(rb"[\t\x20-\x3a\x3c-\x7e\x80-\xff]*")
_FOLD = re.compile(rb"\r?\n(?=[ \t])")


def parse(text: bytes) -> Mapping[bytes, bytes]:
    """Read a tag list into tag -> value, in the order written, blanks around both removed, folds undone.

    Empty parts (";;", a ";" at the end) mean nothing and are left out, as others do. ProtocolError with the
    code "malformed" or "duplicate-tag": such a list is void as a whole, so that no two programs pick
    different parts of it. A list of a usual length that was just read is not read again.
    """
    return _kept(text) if len(text) <= _SHORT else _read(text)


def _read(text: bytes) -> Mapping[bytes, bytes]:
    if text.count(b";") > MAX_TAGS:
        raise ProtocolError("malformed", "too many tags")
    tags: dict[bytes, bytes] = {}
    for part in _FOLD.sub(b"", text).split(b";"):
        name, equals, value = part.partition(b"=")
        name = name.strip(b" \t")
        if not equals and not name:
            continue
        value = value.strip(b" \t")
        if not equals or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ProtocolError("malformed", "not a list of tag=value")
        if name in tags:
            raise ProtocolError("duplicate-tag", f"the tag {name[:20].decode('ascii')} twice")
        tags[name] = value
    return MappingProxyType(tags)


_kept = lru_cache(maxsize=128)(_read)
