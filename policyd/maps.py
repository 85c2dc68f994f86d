"""postvouch-map: aliases, forwards, alias domains, owners and SRS over Postfix's socketmap protocol.

Names come from the directory in memory, which a thread of the background keeps fresh, and SRS is arithmetic:
nothing waits, but for senders so long that a store has to be asked (``policyd.tokens``). Answers follow one
rule: "not found" is said only by who knows. What cannot be known now is TEMP (451), what is forged is
NOTFOUND (550) with its reason in the log.
"""

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import dataclass

from postvouch.config.schema import Config
from postvouch.directory import resolve
from postvouch.host import daemon, loop, refreshing
from postvouch.host.log import INFO, WARNING, Log
from postvouch.host.metrics import Metrics
from postvouch.host.refresh import Refresher
from postvouch.host.srs_secrets import SecretsProblem, fingerprint, read_secrets
from postvouch.policyd.srs import SRS_ROLES, SRS_VIEWS, Srs
from postvouch.policyd.tokens import Tokens, closed_at_the_end
from postvouch.srs.tokens import Find, Keep
from postvouch.values.answer import Answer, Found, NotFound, Refused, Unavailable
from postvouch.wire import netstring, socketmap

SLOW_S = 0.1
MAX_KEY = 10_000
"""Postfix asks for nothing longer; who does is told that there is no such thing, and stays connected."""

KNOWN = resolve.MAPS | SRS_VIEWS.keys()
_SAY_AGAIN_S = 60.0


@dataclass(slots=True)
class _Said:
    """When a reason was last written, and how often it came since."""

    at: float
    times: int = 0


class Maps:
    """Answers lookups. ``config``, ``srs`` and ``tokens`` are replaced as a whole by a reload."""

    fault = netstring.encode(b"TEMP internal error, see the log of postvouch-map")

    def __init__(self, config: Config, srs: Srs, names: Refresher, log: Log, metrics: Metrics) -> None:
        self.config = config
        self.srs = srs
        self.tokens = Tokens(config, metrics)
        self._names = names
        self._log = log
        self._metrics = metrics
        self._said: dict[str, _Said] = {}

    def decoder(self) -> netstring.Decoder:
        """One for each connection."""
        return netstring.Decoder()

    def answer(self, request: bytes) -> bytes | Awaitable[bytes]:
        """The netstring that answers what was in another; at once, unless SRS has to ask a shared store."""
        begun = time.monotonic()
        try:
            query = socketmap.parse_query(request)
        except socketmap.ProtocolError as error:
            self._tell("", "", Unavailable(str(error)), begun)
            return netstring.encode(socketmap.format_reply("PERM", str(error)))
        answer = self.lookup(query.map, query.key)
        if isinstance(answer, _ANSWERS):
            return self._said_of(query, answer, begun)
        return self._later(query, answer, begun)

    async def _later(self, query: socketmap.Query, answer: Awaitable[Answer], begun: float) -> bytes:
        return self._said_of(query, await answer, begun)

    def _said_of(self, query: socketmap.Query, answer: Answer, begun: float) -> bytes:
        octets = socketmap.format_answer(answer)
        if octets.startswith(b"TEMP"):
            answer = socketmap.sayable(answer)  # the reason why a value cannot be said
        self._tell(query.map, query.key, answer, begun)
        return netstring.encode(octets)

    def lookup(self, name: str, key: str) -> Answer | Awaitable[Answer]:
        """The answer of the map ``name`` for a key as Postfix wrote it."""
        config = self.config
        role = config.general.role
        if len(key) > MAX_KEY and name in KNOWN:
            return NotFound(f"a key of more than {MAX_KEY} characters")
        if name in SRS_VIEWS:
            answer = self.srs.ask(role, name, key, today=int(time.time() // 86400))
            return self.tokens.answer(answer) if isinstance(answer, (Keep, Find)) else answer
        directory = self._names.directory
        answer = resolve.lookup(directory, role, name, key, nexthop=config.map.forward_transport)
        if not isinstance(answer, NotFound) or name not in resolve.VIEWS.get(role, ()):
            return answer
        return resolve.believed(
            directory, key, answer,
            ours=config.general.domains, age_s=self._names.age_s(), hard_age_s=config.map.hard_age,
        )  # fmt: skip

    def _word(self, name: str, answer: Answer) -> str:
        """What metrics call it: "stale" is what was found in names older than map.soft_age."""
        if (
            isinstance(answer, Found)
            and name in resolve.MAPS
            and self._names.age_s() > self.config.map.soft_age
        ):
            return "stale"
        return _WORDS[type(answer)]

    def _tell(self, name: str, key: str, answer: Answer, begun: float) -> None:
        """Count every lookup; write only what an admin would look for, or all of them with log.debug."""
        seconds = time.monotonic() - begun
        self._metrics.request(name, self._word(name, answer), seconds)
        if seconds <= SLOW_S and not self._log.debugging and isinstance(answer, (Found, NotFound)):
            return
        if isinstance(answer, Refused):
            self._line(name, key, answer.reason, "refused", seconds)
        elif isinstance(answer, Unavailable) and self._is_news(f"{name}: {answer.reason}", begun):
            self._line(name, key, answer.reason, "unavailable", seconds)
        elif seconds > SLOW_S and self._is_news("slow", begun):
            self._line(name, key, "slow", _WORDS[type(answer)], seconds)
        elif self._log.debugging:
            self._line(name, key, "ok", _WORDS[type(answer)], seconds, level=INFO)

    def _line(
        self, name: str, key: str, reason: str, word: str, seconds: float, *, level: int = WARNING
    ) -> None:
        pairs = (("map", name), ("key", key), ("answer", word), ("reason", reason))
        self._log.line("", (*pairs, ("ms", f"{seconds * 1e3:.1f}")), level=level)

    def _is_news(self, reason: str, now: float) -> bool:
        """Whether to write it: once a minute for each reason, since a stale directory has thousands."""
        said = self._said.get(reason)
        if said is not None and now - said.at < _SAY_AGAIN_S:
            said.times += 1
            return False
        if said is not None and said.times:
            self._log.note(f"{reason}: {said.times} times more in the last minutes", level=WARNING)
        if len(self._said) > 100:
            self._said.clear()
        self._said[reason] = _Said(now)
        return True


_ANSWERS = (Found, NotFound, Unavailable, Refused)  # a tuple is looked through faster than a union

_WORDS: dict[type, str] = {
    Found: "found",
    NotFound: "not-found",
    Unavailable: "unavailable",
    Refused: "refused",
}


def srs_of(config: Config) -> Srs:
    """The SRS maps of a configuration; where the secrets cannot be read, they say so at every lookup."""
    if config.general.role not in SRS_ROLES:
        return Srs.of(config.srs, config.general.domains, secrets=())
    try:
        return Srs.of(config.srs, config.general.domains, secrets=read_secrets(config.srs.secrets_file))
    except SecretsProblem as error:
        return Srs.of(config.srs, config.general.domains, secrets=(), problem=str(error))


def _say_secrets(srs: Srs, config: Config, log: Log) -> None:
    """Which secrets are in use, so that hosts can be compared; or why there are none."""
    if srs.problem:
        log.note(f"SRS addresses are deferred: {srs.problem}", level=WARNING)
    elif srs.rules and config.general.role in SRS_ROLES:
        log.note(f"SRS secrets in use: {', '.join(map(fingerprint, srs.rules[0].secrets))}")


def serve(service: daemon.Service) -> int:
    """Run the daemon until it is told to stop."""
    log = service.log
    metrics = Metrics("map")
    child = refreshing.Child()
    names = Refresher(service.config, log, read=child)
    maps = Maps(service.config, srs_of(service.config), names, log, metrics)
    _say_secrets(maps.srs, service.config, log)

    tasks: set[asyncio.Task[None]] = set()

    def start() -> None:
        names.start()
        tasks.add(asyncio.ensure_future(closed_at_the_end(lambda: maps.tokens)))

    def reloaded() -> None:
        maps.config, maps.srs = service.config, srs_of(service.config)
        if not maps.tokens.suit(service.config):
            tasks.add(asyncio.ensure_future(maps.tokens.close()))
            maps.tokens = Tokens(service.config, metrics)
        _say_secrets(maps.srs, service.config, log)
        names.reload(service.config)

    def stop() -> None:
        names.stop()
        child.stop()

    def check(config: Config) -> list[str]:
        problem = srs_of(config).problem
        return [problem] if problem else []

    return loop.run(
        loop.Program(
            service=service, handler=maps, metrics=metrics,
            address=lambda config: config.map.socket,
            metrics_address=lambda config: config.map.metrics,
            gauges={
                "postvouch_directory_age_seconds": ("Age of the stalest source of names.", names.age_s),
                "postvouch_directory_names": ("Addresses known.", lambda: float(len(names.directory.names))),
                "postvouch_directory_failures": ("Sources that fail.", lambda: float(len(names.failures))),
            },
            start=start, is_ready=lambda: names.read_once,
            check=check, reloaded=reloaded, stop=stop,
        )
    )  # fmt: skip


main = daemon.command(
    "postvouch-map", "Serve aliases, forwards, owners and SRS to Postfix (socketmap).", serve
)

if __name__ == "__main__":
    main()
