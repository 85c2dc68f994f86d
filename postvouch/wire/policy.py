"""Postfix's policy protocol (SMTPD_POLICY_README): name=value lines, an empty line, one action in return.

Sans-IO. Text is UTF-8 with ``surrogateescape``, because a client chooses parts of it. A fault is final;
Postfix then retries once and falls back to the service's default_action, which is a 451.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from postvouch.wire.fault import ProtocolError

__all__ = ["MAX_SIZE", "Decoder", "ProtocolError", "Request", "format_action"]

MAX_SIZE = 100_000
"""Octets of one request; Postfix's are about one thousand."""

_CONTROLS = re.compile(r"[\x00-\x1f\x7f]+")


class Decoder:
    """Cuts a stream into requests of at most ``max_size`` octets."""

    __slots__ = ("_buffer", "_fault", "_max_size")

    def __init__(self, *, max_size: int = MAX_SIZE) -> None:
        self._buffer = bytearray()
        self._max_size = max_size
        self._fault: ProtocolError | None = None

    @property
    def pending(self) -> int:
        """How many octets of an unfinished request are held; at the end of a stream it should be 0."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[dict[str, str]]:
        """Take what arrived and return the requests that are now complete.

        ProtocolError, now and ever after, with the code "malformed" (a line without "=", or no line),
        "duplicate-attribute" or "too-long".
        """
        if self._fault is not None:
            raise self._fault
        buffer = self._buffer
        # The end of a request may lie across two reads.
        seen = max(0, len(buffer) - 1)
        buffer += data
        requests: list[dict[str, str]] = []
        start = 0
        while (end := buffer.find(b"\n\n", max(start, seen))) >= 0:
            if end - start > self._max_size:
                break
            lines = buffer[start:end].decode("utf-8", "surrogateescape").split("\n")
            try:
                attributes = dict([line.split("=", 1) for line in lines])  # one call into C for all of them
            except ValueError:
                raise self._broken("malformed", "a line without name=value", requests) from None
            if len(attributes) != len(lines):
                raise self._broken("duplicate-attribute", "one attribute twice", requests)
            requests.append(attributes)
            start = end + 2
        if buffer.startswith(b"\n", start):
            raise self._broken("malformed", "a request without attributes", requests)
        # One more while it is unfinished: the first half of its end.
        if (end if end >= 0 else len(buffer) - 1) - start > self._max_size:
            raise self._broken("too-long", f"a request of more than {self._max_size} octets", requests)
        del buffer[:start]
        return requests

    def _broken(self, code: str, text: str, requests: list[dict[str, str]]) -> ProtocolError:
        self._buffer.clear()
        self._fault = ProtocolError(code, text)
        return ProtocolError(code, text, tuple(requests))


# Without slots, which the house has elsewhere: a request of thirty attributes is then one dictionary copied
# instead of thirty guarded assignments, in an eighth of the time.
@dataclass(frozen=True, kw_only=True)
class Request:
    """One request of Postfix 3.7 to 3.10, "" or 0 where Postfix said nothing.

    ``sender`` "" is the null sender, so look at ``protocol_state``. ``recipient_count`` is 0 before DATA;
    ``recipient`` is empty from DATA on unless there is exactly one; ``queue_id`` is empty at the first RCPT;
    ``size`` is the client's promise (octets) before END-OF-MESSAGE. ``instance`` is the same for all requests
    about one message. ``other`` holds attributes that this table does not know.
    """

    request: str = ""
    protocol_state: str = ""
    protocol_name: str = ""
    instance: str = ""
    queue_id: str = ""
    sender: str = ""
    recipient: str = ""
    recipient_count: int = 0
    size: int = 0
    client_address: str = ""
    client_name: str = ""
    client_port: int = 0
    reverse_client_name: str = ""
    server_address: str = ""
    server_port: int = 0
    helo_name: str = ""
    sasl_method: str = ""
    sasl_username: str = ""
    sasl_sender: str = ""
    ccert_subject: str = ""
    ccert_issuer: str = ""
    ccert_fingerprint: str = ""
    ccert_pubkey_fingerprint: str = ""
    encryption_protocol: str = ""
    encryption_cipher: str = ""
    encryption_keysize: int = 0
    etrn_domain: str = ""
    stress: str = ""
    policy_context: str = ""
    compatibility_level: str = ""
    mail_version: str = ""
    other: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, str]) -> "Request":
        """Give the attributes of one request their types.

        ProtocolError with the code "bad-request" where this is no smtpd_access_policy request, "bad-number"
        where a number is none.
        """
        if attributes.get("request") != "smtpd_access_policy":
            raise ProtocolError("bad-request", "no request=smtpd_access_policy")
        values: dict[str, object] = dict(attributes)
        values["other"] = (
            {}
            if _KNOWN.issuperset(attributes)
            else {name: values.pop(name) for name in attributes.keys() - _KNOWN}
        )
        for name in _NUMBERS:
            text = attributes.get(name) or "0"
            if not text.isdigit() or not text.isascii() or len(text) > 19:
                raise ProtocolError("bad-number", "an attribute that should be a number is none")
            values[name] = int(text)
        request = cls.__new__(cls)
        # What Postfix did not send is found where dataclasses keep their defaults, in the class.
        request.__dict__.update(values)
        return request


_NUMBERS = tuple(name for name, kind in Request.__annotations__.items() if kind is int)
_KNOWN = frozenset(_NUMBERS) | {name for name, kind in Request.__annotations__.items() if kind is str}


def format_action(action: str) -> bytes:
    """Write the answer: an access(5) action as one line. Postfix takes "" for DUNNO, and so it is written."""
    line = _CONTROLS.sub(" ", action).strip() or "DUNNO"
    return f"action={line}\n\n".encode("utf-8", "replace")
