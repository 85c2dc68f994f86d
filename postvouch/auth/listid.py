"""Which mailing list says that it sent this: List-Id (RFC 2919 §3). A claim; ``decide`` wants proof."""

import re

from postvouch.values.message import Message

_ID = re.compile(rb"[^<>]*<[ \t]*([A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,255})[ \t]*>[^<>]*")


def list_id(message: Message) -> str:
    """The identifier between the angle brackets, lower case; "" where there is not exactly one such field."""
    fields = message.named(b"list-id")
    if len(fields) != 1:
        return ""
    found = _ID.fullmatch(fields[0].value.replace(b"\r\n", b"")[:998])
    return found[1].decode().lower().strip(".") if found else ""
