"""The two SRS maps: which role has which, our domains, and what to say while the secrets cannot be read.

Nearly all is arithmetic. What is left are the senders that are too long: ``ask`` gives for them the question
to a store (``srs.tokens``), which ``policyd.tokens`` puts.
"""

import secrets as random
from collections.abc import Iterable
from dataclasses import dataclass

from postvouch.config.srs import Srs as Settings
from postvouch.srs import codec, tokens
from postvouch.srs.tokens import Find, Keep
from postvouch.values.answer import Answer, NotFound, Unavailable

SRS_VIEWS = {
    "srs-forward": frozenset({"srs", "single"}),
    "srs-reverse": frozenset({"mx", "srs", "single"}),
}
"""Map -> the roles that have it. mx only undoes: it never sends to the world."""

SRS_ROLES = frozenset[str]().union(*SRS_VIEWS.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Srs:
    """``rules``: srs.domain first, then srs.unproven_domain if there is one. ``problem``: no secrets, why.
    ``keeps``: whether there is a store of tokens."""

    rules: tuple[codec.Rules, ...]
    problem: str = ""
    keeps: bool = False

    @classmethod
    def of(
        cls, settings: Settings, domains: Iterable[str], *, secrets: tuple[bytes, ...], problem: str = ""
    ) -> "Srs":
        """From the settings. Without secrets a random one stands in: it tells SRS addresses from others."""
        ours = tuple(domains)
        names = (settings.domain or next(iter(ours), ""), settings.unproven_domain)
        local = frozenset(filter(None, (*ours, *names)))
        rules = tuple(
            codec.Rules(
                domain=name,
                local_domains=local,
                secrets=secrets or (random.token_bytes(16),),
                max_age_days=int(settings.max_age // 86400),
                separator=settings.separator,
                hash_length=settings.hash_length,
            )
            for name in names
            if name
        )
        return cls(rules=rules, problem=problem, keeps=settings.tokens != "off")

    def ask(self, role: str, name: str, key: str, *, today: int) -> Answer | Keep | Find:
        """The answer of one of the two maps, or what a store of tokens has to be asked for it.

        Without secrets, only what needs none is answered.
        """
        if role not in SRS_VIEWS[name] or not self.rules or "@" not in key:
            return NotFound()
        answer: Answer | Keep | Find
        if name == "srs-forward":
            answer = codec.forward(key, rules=self.rules[0], today=today)
            if self.keeps and isinstance(answer, NotFound):
                answer = tokens.kept(key, answer, rules=self.rules[0], today=today)
        else:
            for rules in self.rules:
                answer = tokens.found(codec.reverse(key, rules=rules, today=today), rules=rules)
                if not isinstance(answer, NotFound):
                    break
        if self.problem and not isinstance(answer, NotFound):
            return Unavailable(f"SRS without secrets: {self.problem}")
        if isinstance(answer, Find) and not self.keeps:
            return Unavailable('a token address, but srs.tokens is "off" on this host')
        return answer

    def lookup(self, role: str, name: str, key: str, *, today: int) -> Answer:
        """The same where there is nobody to ask a store: of token addresses it is said that one has to."""
        answer = self.ask(role, name, key, today=today)
        if isinstance(answer, Keep | Find):
            return Unavailable(f"a token in the store of srs.tokens: ask the daemon, postvouch lookup {name}")
        return answer
