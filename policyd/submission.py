"""postvouch-policy: may this login send as this sender, and how much? (Postfix's policy protocol)

``judge`` holds the rules and is pure. Only the role submission refuses anything; there, whoever has no login
is refused too, although Postfix's own restrictions come first: two locks on one door. The answer to what may
pass is always DUNNO, never OK, which would end Postfix's own restrictions.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from postvouch.config.schema import Config
from postvouch.config.wiring import are_reports_checked
from postvouch.directory import resolve
from postvouch.host import daemon, loop
from postvouch.host.counters import LocalCounter
from postvouch.host.countersfile import CountersFile
from postvouch.host.log import WARNING, Log
from postvouch.host.metrics import Metrics
from postvouch.host.refresh import Follower
from postvouch.host.sharedcounters import SharedCounter
from postvouch.policyd.limits import Letter, Limiter, Outcome, Rules
from postvouch.values import reply
from postvouch.values.answer import Answer, Found, NotFound, Unavailable
from postvouch.values.reply import Reply
from postvouch.wire import policy

STATES = frozenset({"MAIL", "RCPT", "DATA", "END-OF-MESSAGE"})
"""The protocol states in which there is a sender to judge; a client may log in until the first."""

COUNTED = frozenset({"DATA", "END-OF-MESSAGE"})
"""Where a letter is counted: not at RCPT, which a client may ask for without ever sending."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What to answer: nothing (DUNNO) or a refusal; ``code`` is the reason code of the log line."""

    reply: Reply | None
    code: str

    @property
    def action(self) -> str:
        """As Postfix's access(5) writes it."""
        return "DUNNO" if self.reply is None else str(self.reply)

    @property
    def word(self) -> str:
        """dunno, defer or reject, for log and metrics."""
        return "dunno" if self.reply is None else "reject" if self.reply.code >= 500 else "defer"


_REMEMBERED = 10_000
"""Pairs of login and sender that are known to be right, until the directory changes."""

PASS = Verdict(reply=None, code="ok")
WOULD = Verdict(reply=None, code="would-over-limit")
"""A limit that is only logged is exceeded."""


def judge(
    request: policy.Request, role: str, rights: Callable[[str, str], Answer], *, reports: bool = True
) -> Verdict:
    """Whether the sender may be used. ``rights(login, sender)`` is Found where it may.

    ``reports``: postvouch-sign looks whether a letter with the null sender is a report.
    """
    if role not in ("submission", "single"):
        return Verdict(reply=None, code="not-submission")
    if request.protocol_state not in STATES:
        return Verdict(reply=None, code="no-sender")
    if not request.sasl_username:
        return Verdict(reply=reply.NO_LOGIN, code="no-login")
    if request.sender in ("", "<>"):
        return PASS if reports else Verdict(reply=reply.NULL_SENDER, code="null-sender")
    match rights(request.sasl_username, request.sender):
        case Found():
            return PASS
        case Unavailable():
            return Verdict(reply=reply.LATER, code="unavailable")
        case _:
            return Verdict(reply=reply.not_owner(request.sasl_username), code="not-owner")


def judge_usage(outcome: Outcome) -> Verdict:
    """Whether one more letter is within the limits."""
    over = outcome.over
    if over is None:
        return PASS
    if outcome.counted:
        return WOULD
    limit, word = over.unit
    said = reply.over_limit(limit.name, over.charge.limit, word, limit.window, over.usage.frees_in_s)
    return Verdict(reply=said, code="over-limit")


class Desk:
    """Answers policy requests. ``config`` is replaced as a whole by a reload."""

    fault = policy.format_action(str(reply.LATER))

    def __init__(self, config: Config, names: Follower, limiter: Limiter, log: Log, metrics: Metrics) -> None:
        self.config = config
        self._names = names
        self._limiter = limiter
        self._log = log
        self._metrics = metrics
        self._asked = names.directory
        self._owned: set[tuple[str, str]] = set()

    def decoder(self) -> policy.Decoder:
        """One for each connection."""
        return policy.Decoder()

    def answer(self, attributes: dict[str, str]) -> bytes | Awaitable[bytes]:
        """The action for one request; at once, unless redis has to be asked."""
        begun = time.monotonic()
        try:
            request = policy.Request.from_attributes(attributes)
        except policy.ProtocolError as error:
            self._log.note(f"request not understood: {error}", level=WARNING)
            return self.fault
        verdict = judge(
            request, self.config.general.role, self._rights, reports=are_reports_checked(self.config)
        )
        if verdict.reply is not None or request.protocol_state not in COUNTED:
            return self._done(request, verdict, None, begun)
        outcome = self._limiter.take(self._letter(request), request.instance)
        if isinstance(outcome, Outcome):
            return self._done(request, judge_usage(outcome), outcome, begun)
        return self._counted(request, outcome, begun)

    def _letter(self, request: policy.Request) -> Letter:
        login, sender = request.sasl_username, request.sender
        return Letter(
            login=resolve.login_of(self._names.directory, login) if login else "",
            client=request.client_address,
            domain=sender.rpartition("@")[2],
            recipients=request.recipient_count or 1,
        )

    async def _counted(self, request: policy.Request, waiting: Awaitable[Outcome], begun: float) -> bytes:
        outcome = await waiting
        return self._done(request, judge_usage(outcome), outcome, begun)

    def _rights(self, login: str, sender: str) -> Answer:
        directory = self._names.directory
        if directory is not self._asked:
            self._asked = directory
            self._owned.clear()
        if (login, sender) in self._owned:
            return Found(login)
        if resolve.may_send(directory, login, sender):
            if len(self._owned) >= _REMEMBERED:
                self._owned.clear()
            self._owned.add((login, sender))
            return Found(login)
        return resolve.believed(
            directory, sender, NotFound(), ours=self.config.general.domains,
            age_s=self._names.age_s(), hard_age_s=self.config.map.hard_age,
        )  # fmt: skip

    def _done(
        self, request: policy.Request, verdict: Verdict, outcome: Outcome | None, begun: float
    ) -> bytes:
        seconds = time.monotonic() - begun
        state = request.protocol_state
        pairs = [
            ("from", f"<{request.sender}>"),
            ("login", request.sasl_username),
            ("client", f"{request.client_name}[{request.client_address}]"),
            ("state", state),
            ("action", verdict.word),
            ("reason", verdict.code),
        ]
        met = None if outcome is None else outcome.over or outcome.tightest
        if met is not None:
            used = f"{met.usage.used}/{met.charge.limit}"
            pairs += [("limit", met.unit.limit.name), ("unit", met.unit.word), ("used", used)]
            if not met.usage.fits:
                pairs.append(
                    ("frees", f"{met.usage.frees_in_s:.0f}s" if met.usage.frees_in_s >= 0 else "never")
                )
            if verdict is WOULD:
                pairs.append(("would", "over-limit"))
        self._log.line(request.queue_id, (*pairs, ("ms", f"{seconds * 1e3:.1f}")))
        self._metrics.request(state.lower(), verdict.code, seconds)
        return policy.format_action(verdict.action)


def _shared(config: Config) -> SharedCounter | None:
    return SharedCounter(config.redis) if config.redis.used else None


def serve(service: daemon.Service) -> int:
    """Run the daemon until it is told to stop."""
    log = service.log
    metrics = Metrics("policy")
    names = Follower(service.config, log)
    counter = LocalCounter()

    def rules() -> Rules:
        return Rules(
            service.config.policy.limits,
            lambda login, address: resolve.may_send(names.directory, login, address),
        )

    limiter = Limiter(rules(), log, _shared(service.config), counter=counter)
    desk = Desk(service.config, names, limiter, log, metrics)
    tasks: set[asyncio.Task[None]] = set()
    kept = (
        CountersFile(service.config.policy.counters, counter, log) if service.config.policy.counters else None
    )

    def start() -> None:
        names.start()
        if kept is not None:
            kept.load()
            tasks.add(asyncio.ensure_future(kept.keep()))

    def reloaded() -> None:
        before, desk.config = desk.config, service.config
        limiter.rules = rules()
        names.reload(service.config)
        if before.redis != service.config.redis:
            tasks.add(asyncio.ensure_future(limiter.replace_shared(_shared(service.config))))
        if before.policy.counters != service.config.policy.counters:
            log.note("policy.counters: a restart is needed for this", level=WARNING)

    def stop() -> None:
        names.stop()
        if kept is not None:
            kept.save()

    return loop.run(
        loop.Program(
            service=service, handler=desk, metrics=metrics,
            address=lambda config: config.policy.socket,
            metrics_address=lambda config: config.policy.metrics,
            gauges={
                "postvouch_directory_age_seconds": ("Age of the stalest source of names.", names.age_s),
                "postvouch_counters": ("Counters of senders in memory.", lambda: float(len(counter))),
                "postvouch_counting_alone": ("1 while redis is away.", lambda: float(limiter.alone)),
            },
            start=start, reloaded=reloaded, stop=stop,
        )
    )  # fmt: skip


main = daemon.command("postvouch-policy", "Say who may submit as whom, and how much (policy service).", serve)

if __name__ == "__main__":
    main()
