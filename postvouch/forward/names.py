"""Which address of ours a bounce is about, and which words would tell where its mail goes.

The name that the sender may see is one that he wrote himself: the Original-Recipient of the report, or an
address in To or Cc of the letter returned. What a report from outside says is never compared with the
directory: whoever has one SRS address of ours could send made-up reports and read off the answers who is
behind an address outside.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from postvouch.directory.model import Directory, query_key, written
from postvouch.directory.resolve import expand
from postvouch.forward.bounce import Bounce, Recipient, addresses_in
from postvouch.srs.codec import is_tagged
from postvouch.values.answer import Unavailable

MAX_NAMED = 20
"""So many addresses of To and Cc are looked at."""

SHORTEST = 3
"""A shorter local part stands in any text."""

_ADDRESSED = (b"to", b"cc", b"resent-to", b"resent-cc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What is known of addresses. ``domains`` are ours, lower-case A-labels; ``directory`` may be missing."""

    domains: frozenset[str]
    directory: Directory | None = None

    def ours(self, address: str) -> str:
        """The key of an address of ours, "" for any other and for an SRS address."""
        key = query_key(address) if "@" in address else None
        if key is None or not key.isascii():
            return ""
        local, _, domain = key.rpartition("@")
        known = domain in self.domains or (self.directory is not None and domain in self.directory.domains)
        return key if known and not is_tagged(local) else ""

    def targets(self, key: str) -> frozenset[str]:
        """Where the mail of a name goes outside, in lower case; none where nobody knows."""
        found = self.directory.find(key) if self.directory is not None else None
        if self.directory is None or found is None:
            return frozenset()
        targets = expand(self.directory, found, through_forwards=True)
        return frozenset() if isinstance(targets, Unavailable) else frozenset(map(str.lower, targets))

    def alias(self, recipient: Recipient, named: Sequence[str], *, made_here: bool) -> str:
        """The address of ours that a recipient of a report stands for, "" where that must stay open.

        ``named`` are the keys that the letter returned was addressed to; ``made_here``: our own Postfix wrote
        the report, so the directory may choose among them.
        """
        for address in (recipient.original, recipient.final):
            if key := self.ours(address):
                return key
        if made_here and len(named) > 1:
            final = recipient.final.lower()
            named = [key for key in named if final in self.targets(key)]
        return named[0] if len(named) == 1 else ""

    def named(self, bounce: Bounce) -> list[str]:
        """The addresses of ours in To and Cc of the letter returned, each once."""
        found: dict[str, None] = {}
        for field in bounce.returned:
            if field.name.lower() in _ADDRESSED:
                for address in addresses_in(field.value)[:MAX_NAMED]:
                    if key := self.ours(address):
                        found[key] = None
        return list(found)[:MAX_NAMED]

    def secrets(self, bounce: Bounce, aliases: Iterable[str], seen: Iterable[str]) -> frozenset[str]:
        """The words, in lower case, that must not be told: addresses, domains and local parts of targets.

        Nothing is told by what those know who read it: ``seen`` are the addresses that the report is about to
        go to, and ``aliases`` those that it names.
        """
        shown = [key for key in aliases if key]
        known = {address.lower() for address in (*seen, *shown)}
        outside = {target for key in shown for target in self.targets(key)}
        for recipient in bounce.recipients:
            outside |= {
                text.lower() for text in (recipient.final, recipient.original) if text and not self.ours(text)
            }
        domains = {address.rpartition("@")[2] for address in known} | self.domains
        words: set[str] = set()
        for address in outside - known:
            local, _, domain = address.rpartition("@")
            words.add(address)
            if domain and domain not in domains:
                words.add(domain)
            if len(local) >= SHORTEST and not any(local in text for text in known):
                words.add(local)
        return frozenset(words)


def shown_as(key: str) -> str:
    """A key as it stands in a report."""
    return written(key)
