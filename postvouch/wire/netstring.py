"""Netstrings, "5:hello,": the frames of Postfix's socketmap protocol.

Sans-IO: octets in, strings out, however the stream was cut. A fault is final, because after it nobody knows
where the next string begins. Leading zeros are read, as Postfix reads them.
"""

from postvouch.wire.fault import ProtocolError

__all__ = ["MAX_SIZE", "Decoder", "ProtocolError", "encode"]

MAX_SIZE = 100_000
"""What Postfix accepts in a reply (dict_sockmap.c), in octets; its requests are far smaller."""

_MAX_DIGITS = 10


def encode(data: bytes) -> bytes:
    """Frame one string."""
    return b"%d:%b," % (len(data), data)


class Decoder:
    """Cuts a stream into strings of at most ``max_size`` octets."""

    __slots__ = ("_buffer", "_fault", "_max_size", "_need")

    def __init__(self, *, max_size: int = MAX_SIZE) -> None:
        self._buffer = bytearray()
        self._max_size = max_size
        # Below this many octets there is nothing new to say: a large string that arrives octet by octet is
        # looked at once.
        self._need = 1
        self._fault: ProtocolError | None = None

    @property
    def pending(self) -> int:
        """How many octets of an unfinished string are held; at the end of a stream it should be 0."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """Take what arrived and return the strings that are now complete.

        ProtocolError, now and ever after, with the code "bad-length", "too-long" or "bad-terminator".
        """
        if self._fault is not None:
            raise self._fault
        if not self._buffer:
            whole = self._whole(data)
            if whole is not None:
                return [whole]
        buffer = self._buffer
        buffer += data
        strings: list[bytes] = []
        start = 0
        size = len(buffer)
        while size - start >= self._need:
            colon = buffer.find(b":", start, start + _MAX_DIGITS + 1)
            digits = buffer[start : colon if colon >= 0 else start + _MAX_DIGITS + 1]
            if not digits.isdigit() or len(digits) > _MAX_DIGITS or int(digits) > self._max_size:
                raise self._bad_length(digits, strings)
            if colon < 0:
                self._need = len(digits) + 1
                break
            end = colon + 1 + int(digits)
            if end >= size:
                self._need = end + 1 - start
                break
            if buffer[end] != 0x2C:
                raise self._broken("bad-terminator", "no comma where the string should end", strings)
            strings.append(bytes(buffer[colon + 1 : end]))
            start = end + 1
            self._need = 1
        del buffer[:start]
        return strings

    def _whole(self, data: bytes) -> bytes | None:
        """What is in ``data`` where that is one string and no more, as nearly always."""
        colon = data.find(b":", 0, _MAX_DIGITS + 1)
        if colon > 0 and data[-1] == 0x2C:
            digits = data[:colon]
            if digits.isdigit() and int(digits) == len(data) - colon - 2 <= self._max_size:
                return data[colon + 1 : -1]
        return None

    def _bad_length(self, start: bytearray, strings: list[bytes]) -> ProtocolError:
        # The digits decide before what follows them does: so no cut of the stream changes the verdict.
        digits = start[: len(start) - len(start.lstrip(b"0123456789"))][:_MAX_DIGITS]
        if digits and int(digits) > self._max_size:
            return self._broken("too-long", f"a string of more than {self._max_size} octets", strings)
        return self._broken("bad-length", "no decimal number where a length should be", strings)

    def _broken(self, code: str, text: str, strings: list[bytes]) -> ProtocolError:
        self._buffer.clear()
        self._fault = ProtocolError(code, text)
        return ProtocolError(code, text, tuple(strings))
