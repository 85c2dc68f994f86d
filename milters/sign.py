"""postvouch-sign: DKIM signatures on what is ours, with proof of origin, and on nothing else.

    postvouch-sign [--config FILE]

``sign.choose`` decides, this door carries the decision out. What should be signed and cannot be now is
deferred, and never leaves bare. A letter with our From: that nobody vouched for is held, refused, or sent on
under a sender that cannot pass for us, as sign.on_unproven says.
"""

import time
from collections.abc import Sequence
from pathlib import Path

from postvouch.config.cover import cover_of
from postvouch.config.schema import Config
from postvouch.directory import model, resolve, snapshot
from postvouch.host import daemon
from postvouch.host.keyfiles import load_ring
from postvouch.host.log import ERROR, INFO, WARNING, Log
from postvouch.milters import gather, workers
from postvouch.milters.unproven import Unproven
from postvouch.sign import choose, dkim
from postvouch.sign.keys import KeyRing, KeySpec
from postvouch.values.address import Address, Author, OneAuthor, parse_author
from postvouch.values.decision import Accept, Decision, Defer, Reject
from postvouch.values.message import Field, Message
from postvouch.values.network import internal_hosts, networks


class Signer:
    """The handler of one configuration."""

    def __init__(self, config: Config, log: Log, watch: snapshot.Watch, ring: KeyRing) -> None:
        self.max_body: int = config.sign.max_body
        self.watch = watch
        self._log = log
        self._ring = ring
        self._config = config
        self._unproven = Unproven.of(config)
        self._problem = ""
        self._rules = choose.Rules(
            domains=_ours(config),
            internal=internal_hosts(config.general.internal_hosts),
            vouching=networks(config.sign.vouching_hosts),
            vouching_id=config.sign.vouching_id,
            sign_unauthenticated=config.sign.sign_unauthenticated,
            check_owner=config.sign.check_owner,
            rewrites=config.general.role == "srs",
        )
        self._cover = cover_of(config.sign)

    def hashes(self, fields: Sequence[Field]) -> None:
        """Keep the body: whether it has to be hashed at all is known at the end only."""

    def handle(self, message: Message, *, may_wait: bool = True) -> Decision:
        """Sign one letter, or say why not."""
        if not self._config.general.role:
            return Decision(verdict=Accept(), code="no-role")
        author = parse_author([field.value for field in message.named(b"from")])
        facts = _author(author)
        choice = choose.choose(message, author, rules=self._rules, ring=self._ring, owns=self._owns)
        match choice:
            case choose.Signing(keys=keys, reason=reason):
                self._log.debug(message.queue_id, f"signed for {reason}")
                edits = dkim.sign_all(message, keys, now=time.time(), rules=self._cover)
                names = " ".join(f"{key.domain}/{key.selector}" for key in keys)
                return Decision(verdict=Accept(), code="ok", edits=edits, facts=(*facts, ("signed", names)))
            case choose.Refusal(reply=reply, code=code, reason=reason):
                self._log.debug(message.queue_id, reason)
                return Decision(verdict=Reject(reply), code=code, facts=facts)
            case choose.KeyTrouble(code=code, reason=reason, reply=reply):
                return Decision(verdict=Defer(reply), code=code, facts=(*facts, ("why", reason)))
            case choose.NotSigned(code=code, reason=reason, unproven=unproven):
                facts = (*facts, ("why", reason))
                if unproven:
                    return self._unproven.decide(message, author, code=code, facts=facts)
                return Decision(verdict=Accept(), code=code, facts=facts)

    def tick(self) -> None:
        """Look whether the directory has changed; say once what is wrong with it."""
        if self._config.sign.check_owner:
            self.watch.poll()
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
        if resolve.may_send(directory, login, str(address)):
            return True
        # It may have been given that address since.
        return None if time.time() - directory.verified_at > self._config.map.hard_age else False


def _ours(config: Config) -> frozenset[str]:
    """Our domains, those of rewritten senders included: a From: in them is what SPF would align with."""
    rewritten = (config.srs.domain, config.srs.unproven_domain) if config.general.role == "srs" else ()
    return frozenset(filter(None, (*config.general.domains, *rewritten)))


def _author(author: Author) -> tuple[tuple[str, str], ...]:
    return (("author", f"<{author.address}>"),) if isinstance(author, OneAuthor) else ()


def ring_of(config: Config) -> KeyRing:
    """The keys of a configuration, loaded."""
    return load_ring(
        KeySpec(
            domain=key.domain,
            selector=key.selector,
            file=key.file,
            subdomains=key.subdomains,
            authors=key.authors,
        )
        for key in config.sign.key
    )


def check(config: Config) -> list[str]:
    """What of a configuration would not work: keys and secrets that cannot be used."""
    problem = Unproven.of(config).problem
    return [*ring_of(config).problems, *([problem] if problem else [])]


def run(service: daemon.Service) -> int:
    """The daemon."""
    log = service.log

    def make(config: Config, old: gather.Handler | None) -> Signer:
        rules = model.Rules(delimiter=config.map.recipient_delimiter, max_targets=config.map.max_targets)
        path = Path(config.map.snapshot)
        watch = old.watch if isinstance(old, Signer) else None
        if watch is None or (watch.path, watch.rules) != (path, rules):
            watch = snapshot.Watch(path, rules)
        signer = Signer(config, log, watch, ring_of(config))
        signer.tick()
        return signer

    for problem in check(service.config):
        log.note(f"{problem}; mail that needs it is deferred", level=ERROR)
    settings = service.config.sign
    return workers.run(
        service,
        where=settings.socket,
        workers=settings.workers,
        metrics_at=settings.metrics,
        make=make,
        check=check,
        gauges={
            "postvouch_snapshot_age_seconds": (
                "Age of the directory's file.", lambda: _age(Path(service.config.map.snapshot)),
            ),
        },
    )  # fmt: skip


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return float("nan")


main = daemon.command("postvouch-sign", "Sign outgoing mail with DKIM (milter).", run)

if __name__ == "__main__":
    main()
