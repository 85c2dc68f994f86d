"""The source of all choices of one input, and what can be done to octets without knowing what they mean."""

from collections.abc import Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")

ODD = (
    b"\0", b"\r", b"\n", b"\r\n", b"\r\n ", b"\n\t", b"\t", b" ", b"\x0b", b"\x7f", b"\x80", b"\x85", b"\xa0",
    b"\xff", b"\xc3\xa9", b"\xe2\x80\xa8", b"\xe2\x80\xae", b"\xe2\x84\xaa", b"\xef\xbc\xa0", b"\xed\xb2\x80",
    b"\xf0\x9d\x95\xa9", b"(", b")", b"((((", b"<", b">", b"@", b",", b";", b":", b"=", b'"', b"\\", b"\\\"",
    b"[", b"]", b"%", b"%{", b"}", b"/", b".", b"..", b"-", b"_", b"*", b"+", b"?", b"!", b"~", b"|", b"0",
    b"9",
    b"99999999999999999999", b"-1", b"=?utf-8?q?=40?=", b"=?utf-8?b?QA==?=", b"xn--", b"xn--a",
    b"our.example",
)  # fmt: skip
"""What has a meaning to some parser."""


class Chance(Random):
    """Choices, each one call of ``random``: quick, and the same on every Python."""

    def odds(self, probability: float) -> bool:
        return self.random() < probability

    def upto(self, most: int) -> int:
        """0 to ``most``, both included."""
        return int(self.random() * (most + 1))

    def one(self, choices: Sequence[T]) -> T:
        return choices[int(self.random() * len(choices))]

    def some(self, choices: Sequence[T], most: int) -> list[T]:
        """Up to ``most`` of them, in any order, perhaps one twice."""
        return [self.one(choices) for _ in range(self.upto(most))]

    def rarely_many(self, usual: int, most: int) -> int:
        """A small number nearly always; once in a thousand times up to ``most``."""
        return self.upto(most) if self.odds(0.001) else self.upto(usual)

    def broken(self, octets: bytes) -> bytes:
        """The octets with one to four faults."""
        for _ in range(1 + self.upto(3) * self.odds(0.3)):
            at, end = sorted((self.upto(len(octets)), self.upto(len(octets))))
            match self.upto(6):
                case 0:
                    octets = octets[:at] + octets[at + 1 :]
                case 1:
                    octets = octets[:at] + self.one(ODD) + octets[at:]
                case 2:
                    octets = octets[:at] + bytes((self.upto(255),)) + octets[at + 1 :]
                case 3:
                    octets = octets[:at]
                case 4:
                    octets = octets[:end] + octets[at : at + 64] + octets[end:]
                case 5:
                    octets = octets[:at] + octets[at:end].swapcase() + octets[end:]
                case _:
                    times = self.rarely_many(8, 3000)
                    octets = octets[:at] + octets[at : at + 1 + self.upto(2)] * times + octets[at:]
        return octets

    def broken_text(self, text: str) -> str:
        """The same for text; octets that are no UTF-8 are surrogates."""
        return self.broken(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")
