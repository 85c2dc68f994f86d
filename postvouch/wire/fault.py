"""The one exception of the wire: the peer does not speak the protocol, and the connection ends."""

from typing import Any


class ProtocolError(Exception):
    """The octets are not the protocol.

    ``code`` is a short word for metrics and tests ("too-long"); the text is for the log and repeats nothing
    that the peer sent. ``before`` holds what was complete before the fault in the same call, for doors that
    still answer it.
    """

    def __init__(self, code: str, text: str, before: tuple[Any, ...] = ()) -> None:
        super().__init__(text)
        self.code = code
        self.before = before
