"""Encoded-words (RFC 2047), decoded as readers do that decode every header field, wherever they stand.

For finding what somebody may see, never for what a field says. Linear; only charsets of a fixed list are
looked up, since Python remembers each name that it was asked for and has codecs that are no charsets.
"""

import base64
import binascii
import re
from encodings.aliases import aliases

_BETWEEN = re.compile(r"\?=\s+=\?")
_WORD = re.compile(r"=\?([^?]{0,60})[^?]*\?([bBqQ])\?([^?]*)\?=")
_NOT_IN_NAMES = re.compile(r"[^a-z0-9]")
_CODECS = frozenset(
    (
        "ascii", "big5", "cp037", "cp1026", "cp1140", "cp273", "cp424", "cp500", "cp875", "euc_jp", "euc_kr",
        "gb18030", "gb2312", "gbk", "hz", "iso2022_jp", "koi8_r", "koi8_u", "latin_1", "mac_roman",
        "shift_jis", "utf_16", "utf_16_be", "utf_16_le", "utf_32", "utf_32_be", "utf_32_le", "utf_7", "utf_8",
        *(f"iso8859_{n}" for n in range(2, 17)),
        *(f"cp{n}" for n in range(1250, 1259)),
    )
)  # fmt: skip


def _folded(name: str) -> str:
    return _NOT_IN_NAMES.sub("", name.lower())


_CHARSETS = {_folded(codec): codec for codec in _CODECS} | {
    _folded(alias): codec for alias, codec in aliases.items() if codec in _CODECS
}


def decoded(text: str, charset: str = "") -> str:
    """The text with its encoded-words decoded, all in one ``charset``, or each in the one that it names."""

    def plain(found: re.Match[str]) -> str:
        octets = found[3].encode("utf-8", "surrogateescape")
        named = charset or _CHARSETS.get(_folded(found[1].partition("*")[0]), "latin-1")
        try:
            if found[2] in "qQ":
                return binascii.a2b_qp(octets, header=True).decode(named, "replace")
            return base64.b64decode(octets + b"==").decode(named, "replace")
        except ValueError:
            return found[0]

    return _WORD.sub(plain, _BETWEEN.sub("?==?", text))
