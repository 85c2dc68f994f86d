"""postvouch-sign: DKIM signatures on what is ours, with proof of origin, and on nothing else.

    postvouch-sign [--config FILE]

``sign.choose`` decides, this door carries the decision out. What should be signed and cannot be now is
deferred, and never leaves bare. A letter with our From: that nobody vouched for is held, refused, or sent on
under a sender that cannot pass for us, as sign.on_unproven says.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path

from postvouch.auth import bodies
from postvouch.auth import dkim as verifier
from postvouch.config.cover import cover_of
from postvouch.config.schema import Config
from postvouch.directory import model, resolve, snapshot
from postvouch.host import daemon
from postvouch.host.dns import DnsResolver, MessageResolver
from postvouch.host.keydns import PublishedKeys
from postvouch.host.keywatch import KeyWatch, ring_of
from postvouch.host.log import ERROR, INFO, WARNING, Log
from postvouch.milters import gather, sealing, workers
from postvouch.milters.leaving import Leaving
from postvouch.milters.private import KEEPS, Private
from postvouch.milters.rules import author_of, rules_of
from postvouch.milters.unproven import Unproven
from postvouch.sign import choose, dkim, oldsignatures
from postvouch.sign.keys import KeyRing, is_usual
from postvouch.values.address import Address, Author, OneAuthor
from postvouch.values.decision import Accept, ChangeSender, Decision, Defer, Reject, RemoveField
from postvouch.values.dns import WouldWait
from postvouch.values.message import Field, Form, Message
from postvouch.values.reply import LATER

MANY_FIELDS = 500
MANY_OCTETS = 256 << 10
"""A letter with more in its header keeps nobody else waiting: it takes a thread."""

_SIGNED = ("ok", "already-signed")


class Signer:
    """The handler of one configuration. ``resolver`` is asked about signatures that a letter has already."""

    def __init__(
        self,
        config: Config,
        log: Log,
        watch: snapshot.Watch,
        keys: KeyWatch,
        resolver: DnsResolver | None = None,
    ) -> None:
        self.watch = watch
        self.keys = keys
        self.dns = config.dns
        self.resolver = resolver or DnsResolver(config.dns.servers, timeout_s=config.dns.timeout)
        self._log = log
        self._config = config
        self._unproven = Unproven.of(config)
        self._problem = ""
        self._owners: tuple[model.Directory | None, choose.Owns] = (None, lambda login, address: None)
        self._rules = rules_of(config)
        self._cover = cover_of(config.sign)
        self._sealer = sealing.Sealer.of(config, self._cover)
        self._private = Private.of(config)
        self._leaving = Leaving.of(config)
        self.keeps = KEEPS if self._private is not None else 0

    def hashes(self, fields: Sequence[Field]) -> bodies.BodyHashes:
        """Hash the body as we sign it and as the signatures that are there ask for; keep nothing of it.

        A letter whose From: has no key is hashed only where it may be sealed.
        """
        author = author_of(fields)
        wanted: dict[Form, None] = {}
        if isinstance(author, OneAuthor) and self.keys.ring.find(author.address) is not None:
            wanted[self._cover.form] = None
        if self._sealer is not None:
            wanted[sealing.FORM] = None
        if wanted:
            wanted |= dict.fromkeys(bodies.forms(fields))
        return bodies.BodyHashes(tuple(wanted))

    def handle(self, message: Message, *, may_wait: bool = True) -> Decision:
        """Sign one letter, or say why not."""
        if not self._config.general.role:
            return Decision(verdict=Accept(), code="no-role")
        if not may_wait and _is_large(message.fields):
            raise WouldWait("a large header")
        ring = self.keys.ring
        report = self._private.rewritten(message, self.watch.directory) if self._private is not None else None
        if isinstance(report, Decision):
            return report
        if report is not None:
            decision = self._decide(report.message, ring, may_wait)
            decision = self._look(report.message, decision, ring)
            edits, facts = (*report.edits, *decision.edits), (*report.facts, *decision.facts)
            return replace(decision, edits=edits, facts=facts)
        decision = self._sealed(message, self._decide(message, ring, may_wait), ring, may_wait)
        return self._look(message, decision, ring)

    def _sealed(self, message: Message, decision: Decision, ring: KeyRing, may_wait: bool) -> Decision:
        if self._sealer is None or not self._sealer.concerns(message):
            return decision
        if not isinstance(decision.verdict, Accept) or _renamed(decision):
            return decision
        fields, word = self._sealer.seal(message, decision.edits, ring, self._asking(may_wait))
        return replace(decision, edits=(*decision.edits, *fields), facts=(*decision.facts, ("sealed", word)))

    def _look(self, message: Message, decision: Decision, ring: KeyRing) -> Decision:
        """What is to be said of a letter that leaves to the outside, and whether it may."""
        if self._leaving is None:
            return decision
        author = author_of(message.fields)
        keys = ring.find(author.address) if isinstance(author, OneAuthor) else None
        signed = [key.domain for key in keys.keys] if keys and decision.code in _SIGNED else []
        return self._leaving.look(message, author, decision, signed)

    def _decide(self, message: Message, ring: KeyRing, may_wait: bool) -> Decision:
        author = author_of(message.fields)
        facts = (("author", f"<{author.address}>"),) if isinstance(author, OneAuthor) else ()
        now = time.time()
        choice = choose.choose(
            message,
            author,
            rules=self._rules,
            ring=ring,
            owns=self._owns,
            now=now,
            published=self.resolver.for_message(self.dns.timeout, may_wait=may_wait),
        )
        match choice:
            case choose.Signing(origin=origin):
                facts = (*facts, ("origin", origin))
                return self._sign(message, author, choice, ring, now=now, facts=facts, may_wait=may_wait)
            case choose.Refusal(reply=reply, code=code, reason=reason):
                self._log.debug(message.queue_id, reason)
                return Decision(verdict=Reject(reply), code=code, facts=facts)
            case choose.KeyTrouble(code=code, reason=reason, reply=reply):
                return Decision(verdict=Defer(reply), code=code, facts=(*facts, ("why", reason)))
            case choose.NotSigned(code=code, reason=reason, unproven=unproven):
                facts = (*facts, ("why", reason))
                if unproven:
                    return self._unproven.decide(message, author, code=code, facts=facts, may_wait=may_wait)
                return Decision(verdict=Accept(), code=code, facts=facts)

    def _sign(
        self,
        message: Message,
        author: Author,
        choice: choose.Signing,
        ring: KeyRing,
        *,
        now: float,
        facts: tuple[tuple[str, str], ...],
        may_wait: bool,
    ) -> Decision:
        if message.digests is not None and self._cover.form not in message.digests:
            # The key came while the letter was under way, and its body is gone.
            return Decision(verdict=Defer(LATER), code="key-is-new", facts=facts)
        removed = self._removals(message, author, choice, ring, may_wait)
        added = dkim.sign_all(message, choice.keys, now=now, rules=self._cover)
        facts = (*facts, ("signed", " ".join(f"{key.domain}/{key.selector}" for key in choice.keys)))
        if removed:
            facts = (*facts, ("removed", str(len(removed))))
        return Decision(verdict=Accept(), code="ok", edits=(*removed, *added), facts=facts)

    def _removals(
        self, message: Message, author: Author, choice: choose.Signing, ring: KeyRing, may_wait: bool
    ) -> tuple[RemoveField, ...]:
        which = self._config.sign.remove_old_signatures
        if which == "none" or not isinstance(author, OneAuthor):
            return ()
        ours = ring.find(author.address)
        standing = [key for key in ours.keys if key not in choice.keys] if ours is not None else []
        return oldsignatures.removals(
            message,
            which=which,
            domains={author.address.domain, *(key.domain for key in choice.keys)},
            kept={(key.domain, key.selector.lower()) for key in standing},
            verified=lambda: [
                finding.result for finding in verifier.verify(message, self._asking(may_wait), time.time())
            ],
        )

    def _asking(self, may_wait: bool) -> MessageResolver:
        return self.resolver.for_message(self.dns.message_timeout, may_wait=may_wait)

    def tick(self) -> None:
        """Look whether keys or the directory have changed; say once what is wrong with them."""
        if self._config.sign.check_owner or self._private is not None:
            self.watch.poll()
        self.keys.poll()  # last: now and then it waits for DNS
        if self.watch.problem != self._problem:
            self._problem = self.watch.problem
            text = f"{self._problem}; mail of logins is deferred" if self._problem else "names in use again"
            # Where nobody logs in nobody needs the directory.
            self._log.note(text, level=WARNING if self._config.general.role == "submission" else INFO)

    def _owns(self, login: str, address: Address) -> bool | None:
        """Whether the login may use the address; None while nobody can know."""
        directory = self.watch.directory
        if directory is None:
            return None
        asked, may_send = self._owners
        if asked is not directory:
            may_send = lru_cache(maxsize=4096)(partial(_may_send, directory))
            self._owners = directory, may_send
        # What is longer than any address is not worth keeping.
        if may_send(login, address) if is_usual(address) else _may_send(directory, login, address):
            return True
        # It may have been given that address since.
        return None if time.time() - directory.verified_at > self._config.map.hard_age else False


def _may_send(directory: model.Directory, login: str, address: Address) -> bool:
    return resolve.may_send(directory, login, str(address))


def _is_large(fields: Sequence[Field]) -> bool:
    return len(fields) > MANY_FIELDS or sum([len(field.value) for field in fields]) > MANY_OCTETS


def _renamed(decision: Decision) -> bool:
    """Whether it leaves under a sender that must not pass for ours: no seal shall help it."""
    return any(isinstance(edit, ChangeSender) for edit in decision.edits)


def check(config: Config) -> list[str]:
    """What of a configuration would not work: keys and secrets that cannot be used."""
    problem = Unproven.of(config).problem
    return [*ring_of(config).problems, *([problem] if problem else [])]


def run(service: daemon.Service) -> int:
    """The daemon."""
    log = service.log

    def make(config: Config, replaced: gather.Handler | None) -> Signer:
        path = Path(config.map.snapshot)
        before = replaced if isinstance(replaced, Signer) else None
        watch = before.watch if before else None
        if watch is None or watch.path != path:
            watch = snapshot.Watch(path)
        resolver = before.resolver if before and before.dns == config.dns else None
        resolver = resolver or DnsResolver(config.dns.servers, timeout_s=config.dns.timeout)
        published = _published(config, log, resolver)
        signer = Signer(config, log, watch, KeyWatch.of(config, log, published), resolver)
        signer.tick()
        return signer

    for problem in check(service.config):
        log.note(f"{problem}; mail that needs it is deferred", level=ERROR)
    return workers.run(
        service,
        settings=lambda config: config.sign,
        make=make,
        check=check,
        gauges={
            "postvouch_snapshot_age_seconds": (
                "Age of the directory's file.", lambda: _age(Path(service.config.map.snapshot)),
            ),
        },
    )  # fmt: skip


def _published(config: Config, log: Log, resolver: DnsResolver) -> PublishedKeys | None:
    how = config.sign.unpublished_keys
    if how == "ignore":
        return None
    seconds = config.dns.message_timeout
    return PublishedKeys(lambda keys: resolver.for_message(seconds, keys), log, refuse=how == "refuse")


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return float("nan")


main = daemon.command("postvouch-sign", "Sign outgoing mail with DKIM (milter).", run)

if __name__ == "__main__":
    main()
