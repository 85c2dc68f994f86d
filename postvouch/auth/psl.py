"""The public suffix list: below which names may anyone register? publicsuffix.org's rules, read and asked.

RFC 9989 finds organisations in DNS; the list guards where DNS alone would make one of strangers, and finds
them by itself where an admin wants it as in RFC 7489 §3.2 (docs/decisions/0003-dmarc-library.rst).
"""

from dataclasses import dataclass

from postvouch.values.domain import AddressError, domain_or_nothing, parse_domain


@dataclass(frozen=True, slots=True, kw_only=True)
class Suffixes:
    """One list, both its sections. ``rules`` as in the file, in A-labels: "com", "*.ck", "!www.ck"."""

    rules: frozenset[str]
    depth: int

    @classmethod
    def parse(cls, text: str) -> "Suffixes":
        """Read a list, linear in its length; a line that is no rule is left out. Never raises."""
        rules: set[str] = set()
        for line in text.splitlines():
            words = line.split(None, 1)
            if not words or words[0].startswith("//"):
                continue
            rule = words[0].lower()
            # A list has thousands of rules and few in U-labels: only those are worth idna's time.
            if not rule.isascii():
                mark = "!" if rule[0] == "!" else "*." if rule.startswith("*.") else ""
                try:
                    rule = mark + parse_domain(rule[len(mark) :])
                except AddressError:
                    continue
            rules.add(rule)
            if rule.startswith("*."):
                # The list's own checker holds that *.kobe.jp says kobe.jp as well.
                rules.add(rule[2:])
        return cls(rules=frozenset(rules), depth=max((rule.count(".") for rule in rules), default=0) + 1)

    def is_suffix(self, name: str) -> bool:
        """Whether anyone may register below ``name``; so below every name of one label that is not listed."""
        folded = domain_or_nothing(name)
        return bool(folded) and self._suffix(folded) == folded

    def registrable(self, name: str) -> str:
        """The name that somebody registered: the public suffix of ``name`` and one label, in A-labels.

        "" for a public suffix itself and for what is no domain name.
        """
        folded = domain_or_nothing(name)
        suffix = self._suffix(folded)
        if folded == suffix:
            return ""
        return folded[: -len(suffix) - 1].rpartition(".")[2] + "." + suffix

    def _suffix(self, name: str) -> str:
        """The longest rule that fits, an exception before all others, and else the last label."""
        labels = name.split(".")
        for start in range(max(0, len(labels) - self.depth), len(labels)):
            here, above = ".".join(labels[start:]), ".".join(labels[start + 1 :])
            if "!" + here in self.rules:
                return above or here
            if here in self.rules or "*." + above in self.rules:
                return here
        return labels[-1]
