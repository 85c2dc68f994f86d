"""What becomes of a letter with our From: that nobody vouched for (sign.on_unproven).

Unsigned is not enough: sent on in the ordinary way, its envelope sender would be ours, SPF would pass for our
domain and DMARC with it. It is held, refused, or sent on under a sender of another organisation.
"""

import time
from dataclasses import dataclass

from postvouch.auth.orgdomain import Walk
from postvouch.config.schema import Config
from postvouch.host.dns import DnsResolver
from postvouch.host.srs_secrets import SecretsProblem, read_secrets
from postvouch.srs import codec
from postvouch.values.address import Author, OneAuthor
from postvouch.values.answer import Found
from postvouch.values.decision import Accept, ChangeSender, Decision, Defer, Quarantine, Reject
from postvouch.values.dns import DnsUnavailable, Resolver
from postvouch.values.message import Message
from postvouch.values.reply import DNS_PROBLEM, LATER, SPOOF

HELD = "From: one of our domains, and nobody vouches for it"
MAX_LOOKUPS = 20
"""Two tree walks of at most eight questions each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unproven:
    """The setting and what it needs. ``problem``: why nothing can be sent on now."""

    action: str
    rules: codec.Rules | None = None
    resolver: DnsResolver | None = None
    timeout_s: float = 20.0
    problem: str = ""

    @classmethod
    def of(cls, config: Config) -> "Unproven":
        """From the configuration; raises nothing, secrets that cannot be read are its ``problem``."""
        action = config.sign.on_unproven
        if action != "forward" or not config.srs.unproven_domain:
            return cls(action=action)
        try:
            secrets = read_secrets(config.srs.secrets_file)
        except SecretsProblem as error:
            return cls(action=action, problem=str(error))
        rules = codec.Rules(
            domain=config.srs.unproven_domain,
            # Our own domains are rewritten too: they are what must not stay.
            local_domains=frozenset(),
            secrets=secrets,
            max_age_days=int(config.srs.max_age // 86400),
            separator=config.srs.separator,
            hash_length=config.srs.hash_length,
        )
        return cls(
            action=action,
            rules=rules,
            resolver=DnsResolver(config.dns.servers, timeout_s=config.dns.timeout),
            timeout_s=config.dns.message_timeout,
        )

    def decide(
        self,
        message: Message,
        author: Author,
        *,
        code: str,
        facts: tuple[tuple[str, str], ...],
        may_wait: bool = True,
    ) -> Decision:
        """Decide about one letter; ``code`` and ``facts`` say why nobody vouches for it.

        WouldWait where DNS has to be asked and ``may_wait`` is false.
        """
        if self.action == "reject":
            return Decision(verdict=Reject(SPOOF), code=code, facts=facts)
        if self.problem:
            facts = (*facts, ("srs", self.problem))
            return Decision(verdict=Defer(LATER), code="srs-problem", facts=facts)
        try:
            sender = self._sender(message, author, may_wait)
        except DnsUnavailable as error:
            facts = (*facts, ("dns", str(error)))
            return Decision(verdict=Defer(DNS_PROBLEM), code="temperror", facts=facts)
        if not sender:
            return Decision(verdict=Quarantine(HELD), code=code, facts=facts)
        return Decision(verdict=Accept(), code=code, edits=(ChangeSender(sender),), facts=facts)

    def _sender(self, message: Message, author: Author, may_wait: bool) -> str:
        """The sender under which the letter cannot pass for ours, "" where there is none.

        There is none for the null sender, whose SPF would look at our HELO name, for one too long to be
        rewritten, for several authors, and for a From: of the organisation of srs.unproven_domain.
        Raises DnsUnavailable.
        """
        if self.rules is None or self.resolver is None or not isinstance(author, OneAuthor):
            return ""
        found = codec.forward(message.envelope.sender, rules=self.rules, today=int(time.time() // 86400))
        if not isinstance(found, Found):
            return ""
        resolver = self.resolver.for_message(self.timeout_s, MAX_LOOKUPS, may_wait)
        return "" if _one_organisation(author.address.domain, self.rules.domain, resolver) else found.value


def _one_organisation(one: str, other: str, resolver: Resolver) -> bool:
    """Whether SPF for one would align with From: the other (RFC 9989 §4.10.2)."""
    if one == other or one.endswith(f".{other}") or other.endswith(f".{one}"):
        return True
    return (
        Walk(start=one, resolver=resolver).org_domain() == Walk(start=other, resolver=resolver).org_domain()
    )
