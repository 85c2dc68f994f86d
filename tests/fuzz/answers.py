"""A resolver that answers whatever is asked, now this way, now that, for one input always the same way."""

import zlib
from collections.abc import Callable

from fuzz.chance import Chance
from fuzz.world import HONEST, SELECTORS, dmarc_record, key_records, spf_record
from postvouch.values.dns import NO_DATA, NO_SUCH_NAME, DnsUnavailable, Records, Status

Value = bytes | str | tuple[int, str]

MOODS = ("good", "good", "good", "odd", "odd", "bad", "dead")
HOSTS = (
    *HONEST, "mx.far.example", "7.2.0.192.in-addr.arpa", 'a"b.example', "a b.example", "a;dkim=pass.example",
    "\\000.example",
    "x\\.y.example", "é.example", "\x7f.example", "\ud8ff.example", "-.example", ".", "",
    "a" * 64 + ".example", "mx.far.example.",
)  # fmt: skip


class Answers:
    """DNS of one input. ``mood``: good answers only, odd ones, most of them broken, or none at all."""

    def __init__(self, number: int, mood: str, client: str) -> None:
        self.asked: dict[tuple[str, str], Records | None] = {}
        self.questions = 0
        self.mood = mood
        self._number = number
        self._client = client
        self._chance = Chance()

    def lookup(self, name: str, kind: str) -> Records:
        self.questions += 1
        if self.questions > 400:
            raise DnsUnavailable("too many DNS questions for one message")
        key = (name.lower().removesuffix("."), kind)
        if key not in self.asked:
            self.asked[key] = self._records(*key)
        found = self.asked[key]
        if found is None:
            raise DnsUnavailable("no answer in time")
        return found

    def _records(self, name: str, kind: str) -> Records | None:
        if self.mood == "dead":
            return None
        if not all(0 < len(label) < 64 for label in name.split(".")) or len(name) > 253 or not name.isascii():
            return NO_SUCH_NAME
        chance = self._chance
        chance.seed(self._number << 32 | zlib.crc32(f"{name} {kind}".encode()))
        trouble = {"good": 0.1, "odd": 0.2, "bad": 0.4}[self.mood]
        if chance.odds(trouble):
            return chance.one((None, NO_DATA, NO_SUCH_NAME, Records(status=Status.FOUND)))
        many = chance.rarely_many(1, 600 if kind != "TXT" else 40)
        values = [
            _MAKERS.get(kind, Answers._host)(self, chance, name) for _ in range(1 + many * chance.odds(0.2))
        ]
        return Records(status=Status.FOUND, values=tuple(values), secure=chance.odds(0.5))

    def _text(self, chance: Chance, name: str) -> Value:
        first = name.partition(".")[0]
        if "._domainkey." in name:
            records = key_records()
            right = records[SELECTORS.index(first)] if first in SELECTORS else records[0]
            text = right if chance.odds(0.8) else chance.one(records)
        elif first == "_dmarc":
            text = dmarc_record(chance)
        else:
            text = spf_record(chance)
        if chance.odds({"good": 0.02, "odd": 0.2, "bad": 0.6}[self.mood]):
            text = chance.broken(text)
        return text * (20000 // (len(text) + 1)) if chance.odds(0.0005) else text

    def _v4(self, chance: Chance, name: str) -> Value:
        return self._client if chance.odds(0.4) else f"192.0.2.{chance.upto(300)}"

    def _v6(self, chance: Chance, name: str) -> Value:
        return (
            self._client if chance.odds(0.4) else chance.one(("2001:db8::7", "::1", "::ffff:192.0.2.7", "x"))
        )

    def _host(self, chance: Chance, name: str) -> Value:
        return chance.one(HOSTS)

    def _mx(self, chance: Chance, name: str) -> Value:
        return chance.upto(70000), chance.one(HOSTS)


_MAKERS: dict[str, Callable[[Answers, Chance, str], Value]] = {
    "TXT": Answers._text,
    "A": Answers._v4,
    "AAAA": Answers._v6,
    "MX": Answers._mx,
}
