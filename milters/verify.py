"""postvouch-verify: SPF, DKIM, ARC, DMARC of what comes in; one Authentication-Results field that is true.

    postvouch-verify [--config FILE]

Every message gets our field on top and loses every other that claims our name, ours included: a field of our
name below is then a forgery by definition. Mail of our own clients and logins is marked, not judged.
"""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from postvouch.auth import bodies, decide, header, receivedspf
from postvouch.auth.judge import judge
from postvouch.auth.result import ArcFinding, DkimFinding, DmarcFinding, Findings, Result
from postvouch.config.policy import options_of, policy_of
from postvouch.config.schema import Config
from postvouch.host import daemon, suffixes
from postvouch.host.budget import budget
from postvouch.host.dns import DnsResolver
from postvouch.host.log import WARNING, Log
from postvouch.milters import gather, workers
from postvouch.values.address import OneAuthor
from postvouch.values.decision import Decision, InsertField
from postvouch.values.dns import WouldWait
from postvouch.values.message import Field, Message

_SHOWN = 4
"""Signatures that a log line names."""

SHORT_S = 0.02
LONG_HEADER = 32 << 10
MANY_SIGNATURES = 8
"""A letter that may take longer, or has more than this, does not keep others waiting: it takes a thread."""

_SIGNATURES = (b"dkim-signature", b"arc-message-signature", b"arc-seal")

_AMBIGUOUS = re.compile(r"[ ()/:]")


class Verifier:
    """The handler of one configuration."""

    keeps = 0

    def __init__(self, config: Config, log: Log, resolver: DnsResolver) -> None:
        self.resolver = resolver
        self.dns = config.dns
        self._log = log
        self._settings = config.verify
        self._hostname = config.general.hostname
        listed, _ = suffixes.load(config.verify.public_suffixes)
        self._options = options_of(config, listed)
        self._policy = policy_of(config)

    def hashes(self, fields: Sequence[Field]) -> bodies.BodyHashes:
        """Hash the body as its signatures ask for and keep nothing of it."""
        return bodies.BodyHashes(bodies.forms(fields))

    def handle(self, message: Message, *, may_wait: bool = True) -> Decision:
        """Find out, rule, and write down what was found."""
        settings = self._settings
        spent = budget(settings.cpu_limit)
        if not may_wait:
            if may_take_long(message):
                raise WouldWait("a long header, or many signatures")
            spent = _or_wait(budget(SHORT_S))
        judged = judge(
            message,
            self.resolver.for_message(self.dns.message_timeout, may_wait=may_wait),
            time.time(),
            options=replace(self._options, spent=spent),
            policy=self._policy,
            authserv_id=settings.authserv_id,
            note_dnssec=settings.note_dnssec,
        )
        self._log.debug(message.queue_id, judged.field)
        ruling = judged.ruling
        checked = ruling.code != decide.INTERNAL
        facts = facts_of(judged.findings) if checked else ()
        more = (("would", ruling.would), ("forged", str(len(judged.removals) or "")))
        # Each goes above those before it, our results above all.
        added = []
        if settings.received_spf and checked:
            value = receivedspf.format_value(
                judged.findings.spf,
                client=message.client,
                envelope=message.envelope,
                receiver=self._hostname,
            )
            added.append(InsertField(receivedspf.FIELD_NAME, value))
        if ruling.mark:
            added.append(InsertField(header.MARK, ruling.mark))
        added.append(InsertField(header.FIELD_NAME, judged.field))
        return Decision(
            verdict=ruling.verdict,
            code=ruling.code,
            edits=(*judged.removals, *added),
            facts=(*facts, *((name, text) for name, text in more if text)),
            marked=bool(ruling.mark),
        )

    def tick(self) -> None:
        """Nothing ages here but DNS answers, and those have their TTL."""


def may_take_long(message: Message) -> bool:
    """Whether judging this letter may be too long to be done between two others."""
    octets = signatures = 0
    for field in message.fields:
        octets += len(field.name) + len(field.value) + 64
        signatures += field.name.lower() in _SIGNATURES
    return octets > LONG_HEADER or signatures > MANY_SIGNATURES


def _or_wait(spent: Callable[[], bool]) -> Callable[[], bool]:
    """No more computing time is a reason to go on in a thread, not one to give up."""

    def asked() -> bool:
        if spent():
            raise WouldWait("computing time")
        return False

    return asked


def facts_of(findings: Findings) -> tuple[tuple[str, str], ...]:
    """What the log line says of the findings: author and results, each begun by its word of RFC 8601."""
    arc = findings.arc
    author = findings.author
    facts = (
        ("author", f"<{author.address}>" if isinstance(author, OneAuthor) else ""),
        ("spf", str(findings.spf.result)),
        ("dkim", _dkim(findings.dkim)),
        ("arc", _arc(arc) if arc and arc.result is not Result.NONE else ""),
        ("dmarc", _dmarc(findings.dmarc)),
        ("discovery", findings.dmarc.difference),
    )
    return tuple((name, text) for name, text in facts if text)


def _dkim(findings: tuple[DkimFinding, ...]) -> str:
    """Signatures, those that pass first, with the reason of those that do not."""
    words = []
    for found in sorted(findings, key=lambda found: found.result is not Result.PASS)[:_SHOWN]:
        why = f": {found.reason}" if found.reason and found.result is not Result.PASS else ""
        # Printable is not enough: "s) pass (bank.example/s" would read as one more signature.
        selector = "?" if _AMBIGUOUS.search(found.s) else found.s
        words.append(f"{found.result} ({found.d}/{selector}{why})")
    more = f" and {len(findings) - _SHOWN} more" if len(findings) > _SHOWN else ""
    return " ".join(words) + more if words else str(Result.NONE)


def _arc(found: ArcFinding) -> str:
    if found.result is Result.PASS:
        return f"pass ({len(found.sealers)}, last {found.sealers[-1]})" if found.sealers else "pass"
    return f"{found.result} ({found.reason})"


def _dmarc(found: DmarcFinding) -> str:
    if found.result is Result.FAIL and found.applied:
        return f"fail ({found.applied})"
    return f"{found.result} ({found.reason})" if found.result is Result.TEMPERROR else str(found.result)


def resolver_of(config: Config) -> DnsResolver:
    """The resolver of a configuration, its cache empty. Raises ValueError for a server that is no address."""
    return DnsResolver(
        config.dns.servers, timeout_s=config.dns.timeout, cache_entries=config.dns.cache_entries
    )


def check(config: Config) -> list[str]:
    """What of a configuration would not work here: discovery by a list that cannot be had."""
    _, trouble = suffixes.load(config.verify.public_suffixes)
    return [trouble] if trouble and config.verify.discovery != "treewalk" else []


def run(service: daemon.Service) -> int:
    """The daemon."""

    def make(config: Config, old: gather.Handler | None) -> gather.Handler:
        kept = old.resolver if isinstance(old, Verifier) and old.dns == config.dns else resolver_of(config)
        return Verifier(config, service.log, kept)

    settings = service.config.verify
    _, trouble = suffixes.load(settings.public_suffixes)
    if trouble and settings.public_suffixes:
        service.log.note(trouble, level=WARNING)
    return workers.run(
        service,
        settings=lambda config: config.verify,
        make=make,
        check=check,
        gauges={},
    )


main = daemon.command("postvouch-verify", "Verify incoming mail: SPF, DKIM, ARC, DMARC (milter).", run)

if __name__ == "__main__":
    main()
