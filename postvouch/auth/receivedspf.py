"""The Received-SPF field (RFC 7208 §9.1), for filters that read no other. It names no recipient.

What comes from strangers stands in quoted-strings, or is left out where no quoted-string can hold it or
where a reader might decode it first (RFC 2047); so nothing that they write can end a value, a comment or the
field.
"""

import re

from postvouch.auth.result import SpfFinding
from postvouch.values.message import Client, Envelope
from postvouch.values.network import client_address

FIELD_NAME = "Received-SPF"
MAX_VALUE_OCTETS = 400

_DOT_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]++(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]++)*+")
_WRITABLE = re.compile(rf"[ -~]{{0,{MAX_VALUE_OCTETS}}}")
_SPECIAL = re.compile(r'["\\]')
_NOT_IN_COMMENT = re.compile(r"[^ -~]|[()\\]|=(?=\?)")


def format_value(finding: SpfFinding, *, client: Client, envelope: Envelope, receiver: str) -> str:
    """Write the value for one finding: the result, the reason as a comment, and what was checked.

    ``receiver`` is our host's name. Folds are LF and a blank; each line stays far under 998 octets
    (RFC 5322 §2.1.1).
    """
    address = client_address(client.address)
    pairs = (
        ("receiver", receiver),
        ("identity", finding.identity),
        ("client-ip", "" if address is None else str(address)),
        ("helo", client.helo),
        ("envelope-from", envelope.sender),
    )
    written = [f"{key}={text}" for key, value in pairs if (text := _value(value))]
    comment = _NOT_IN_COMMENT.sub("?", finding.reason)[:MAX_VALUE_OCTETS]
    first = f"{finding.result} ({comment})" if comment else str(finding.result)
    return "\n ".join([first, ";\n ".join(written)] if written else [first])


def _value(value: str) -> str:
    """A dot-atom, a quoted-string, or "" for what is empty or cannot be written."""
    if "=?" in f"={value}":
        return ""
    if _DOT_ATOM.fullmatch(value) and len(value) <= MAX_VALUE_OCTETS:
        return value
    if not value or not _WRITABLE.fullmatch(value):
        return ""
    return '"' + _SPECIAL.sub(r"\\\g<0>", value) + '"'
