"""How much may be sent? Each letter counts once, at DATA; a refused one does not count.

With redis all hosts count together. While redis is away this host counts alone, with what it has let through
itself: neither unlimited nor closed, and the log and a metric say so.
"""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import NamedTuple

from postvouch.config.submission import Limit
from postvouch.host.counters import Charge, LocalCounter, Usage, is_counted
from postvouch.host.log import WARNING, Log
from postvouch.host.shared import SharedUnavailable
from postvouch.host.sharedcounters import SharedCounter
from postvouch.values.domain import domain_or_nothing

_REMEMBERED = 10_000
_V6_PREFIX = 64
"""What one customer is given; an address of his own choice is no limit."""


class Letter(NamedTuple):
    """Who sends a letter to how many recipients; all but these may be "".

    ``client`` is an IP address, ``domain`` that of the envelope sender.
    """

    login: str = ""
    client: str = ""
    domain: str = ""
    recipients: int = 1


class Unit(NamedTuple):
    """One of the two things that a limit counts, "messages" or "recipients"."""

    limit: Limit
    word: str


class Met(NamedTuple):
    """What a letter met at one limit."""

    unit: Unit
    charge: Charge
    usage: Usage


class Outcome(NamedTuple):
    """What a letter met at all limits; ``counted`` where it may go."""

    counted: bool = True
    units: Sequence[Unit] = ()
    charges: Sequence[Charge] = ()
    usages: Sequence[Usage] = ()

    @property
    def over(self) -> Met | None:
        """The limit that is exceeded and frees last: one that refuses, else one that would."""
        if self.fits:
            return None
        over = [met for met in self.met() if not met.usage.fits]
        refusing = [met for met in over if met.charge.enforced]
        return max(refusing or over, key=_wait, default=None)

    @property
    def tightest(self) -> Met | None:
        """The one that is fullest."""
        return max(self.met(), key=lambda met: met.usage.used / met.charge.limit, default=None)

    def met(self) -> Iterator[Met]:
        """One by one."""
        return map(Met, self.units, self.charges, self.usages)

    @property
    def fits(self) -> bool:
        """Whether there was room everywhere, limits that are only logged included."""
        return False not in [usage.fits for usage in self.usages]


def _wait(met: Met) -> float:
    return float("inf") if met.usage.frees_in_s < 0 else met.usage.frees_in_s


class Rules:
    """The limits of a configuration. ``may_send(login, address)`` says who belongs to an address."""

    def __init__(self, limits: Sequence[Limit], may_send: Callable[[str, str], bool]) -> None:
        self._may_send = may_send
        self._units = {
            limit.name: [Unit(limit, word) for word in ("messages", "recipients") if getattr(limit, word)]
            for limit in limits
        }
        kinds = dict.fromkeys(limit.per for limit in limits)
        self._general = {per: [x for x in limits if x.per == per and not x.only] for per in kinds}
        self._particular = {per: [x for x in limits if x.per == per and x.only] for per in kinds}

    def charges(self, letter: Letter) -> tuple[list[Unit], list[Charge]]:
        """The limits that hold for a letter, and what it takes from each."""
        units: list[Unit] = []
        charges: list[Charge] = []
        for per, general in self._general.items():
            subject = _subject(per, letter)
            if not subject:
                continue
            particular = self._particular[per]
            chosen = [x for x in particular if self._is_meant(x, subject, letter)] if particular else []
            for limit in chosen or general:
                for unit in self._units[limit.name]:
                    messages = unit.word == "messages"
                    units.append(unit)
                    charges.append(
                        Charge(
                            f"{limit.name}/{unit.word}/{subject}/{limit.window:g}",
                            1 if messages else letter.recipients,
                            limit.messages if messages else limit.recipients,
                            limit.window,
                            limit.mode == "enforce",
                        )
                    )
        return units, charges

    def _is_meant(self, limit: Limit, subject: str, letter: Letter) -> bool:
        if limit.per == "client":
            return any(_within(letter.client, network) for network in limit.only)
        if limit.per == "sender_domain":
            return any(subject == domain_or_nothing(domain) for domain in limit.only)
        return any(
            self._may_send(subject, word) if "@" in word else subject == word.lower() for word in limit.only
        )


def _subject(per: str, letter: Letter) -> str:
    if per == "login":
        # Passwords may be for names that no store takes as text.
        return letter.login.encode("utf-8", "backslashreplace").decode()
    return client_network(letter.client) if per == "client" else domain_or_nothing(letter.domain)


@lru_cache(maxsize=10_000)
def client_network(client: str) -> str:
    """The address of a client, of IPv6 its network of /64; "" for what is no address."""
    address = _address(client)
    if address is None:
        return ""
    return str(address if address.version == 4 else ip_network((int(address), _V6_PREFIX), strict=False))


@lru_cache(maxsize=10_000)
def _within(client: str, network: str) -> bool:
    address = _address(client)
    return address is not None and address in ip_network(network)


def _address(client: str) -> IPv4Address | IPv6Address | None:
    """An IPv4 address in the clothes of IPv6 is what it is."""
    try:
        address = ip_address(client)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


class Limiter:
    """Counts letters. ``rules`` may be replaced at any time; what was counted stays.

    ``clock`` is that of ``counter``: seconds since 1970.
    """

    def __init__(
        self, rules: Rules, log: Log, shared: SharedCounter | None = None, *,
        counter: LocalCounter | None = None, clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self.rules = rules
        self.alone = False
        self._log = log
        self._shared = shared
        self._local = LocalCounter() if counter is None else counter
        self._clock = clock
        self._seen: OrderedDict[str, Outcome] = OrderedDict()

    def take(self, letter: Letter, instance: str) -> Outcome | Awaitable[Outcome]:
        """Count a letter; asked about the same ``instance`` again, give the same answer."""
        known = self._seen.get(instance) if instance else None
        if known is not None:
            return known
        units, charges = self.rules.charges(letter)
        if not charges:
            return self._remember(instance, Outcome())
        if self._shared is None:
            usages = self._local.take(charges, self._clock())
            return self._remember(instance, _outcome(units, charges, usages))
        return self._count_shared(self._shared, instance, units, charges)

    async def replace_shared(self, shared: SharedCounter | None) -> None:
        """Count with another redis from now on."""
        old, self._shared = self._shared, shared
        if old is not None:
            await old.close()

    async def _count_shared(
        self, shared: SharedCounter, instance: str, units: list[Unit], charges: list[Charge]
    ) -> Outcome:
        try:
            usages = await shared.take(charges)
        except SharedUnavailable as error:
            if not self.alone:
                self.alone = True
                self._log.note(f"{error}: this host counts alone", level=WARNING)
            usages = self._local.take(charges, self._clock())
            return self._remember(instance, _outcome(units, charges, usages))
        if self.alone:
            self.alone = False
            self._log.note("redis is back: all hosts count together")
        outcome = _outcome(units, charges, usages)
        if outcome.counted:
            # So that this host knows its own share should redis go away.
            self._local.add(charges, self._clock())
        return self._remember(instance, outcome)

    def _remember(self, instance: str, outcome: Outcome) -> Outcome:
        if instance:
            self._seen[instance] = outcome
            if len(self._seen) > _REMEMBERED:
                self._seen.popitem(last=False)
        return outcome


def _outcome(units: Sequence[Unit], charges: Sequence[Charge], usages: Sequence[Usage]) -> Outcome:
    return Outcome(is_counted(charges, usages), units, charges, usages)
