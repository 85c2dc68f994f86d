"""One run of ``postvouch dkim rotate`` for one domain: what a person wishes, then as far as it can go.

Under the lock: read the state, do what is wished, make a key if one is due, look at DNS, take the steps,
write the state, remove the files that it gave up. Each run begins with what is stored, so that one that was
killed anywhere is continued by the next.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from postvouch.host import dnsauthority, dnssecure
from postvouch.host import rotationfiles as files
from postvouch.host.keyfolder import folder, make_folder
from postvouch.host.rotation import NAME, locked, read, write
from postvouch.host.rotationfacts import gather, is_free, judge, secured, serves
from postvouch.sign.keys import KeyProblem
from postvouch.sign.managed import adopt, begin, confirm, revoke_now, wants_new, with_hosts
from postvouch.sign.record import default_selector, is_selector, owner
from postvouch.sign.rotate import Facts, Seen, Step, Terms, step
from postvouch.sign.rotation import Key, Rotation, State

YOUNG_S = 86400
_MAX_TRIES = 50


class Refused(Exception):
    """What was wished cannot be done; the text says why."""


class NotNow(Exception):
    """It cannot be known now whether it can be done; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Where the work is done: the folder of keys, the name of this host, the terms, the resolvers.

    ``reserved`` are the (domain, selector) that other tables of the configuration use. ``clock`` is in
    seconds of the epoch; ``sleep`` is for those who wait.
    """

    directory: str
    host: str
    terms: Terms
    servers: tuple[str, ...] = ()
    require_dnssec: bool = False
    reserved: frozenset[tuple[str, str]] = frozenset()
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a person wants besides going on. ``kinds`` () means: as the keys that are active.

    ``confirmed`` are "HOST" or "HOST:GENERATION".
    """

    new: bool = False
    kinds: tuple[str, ...] = ()
    adopt: tuple[str, ...] = ()
    revoke: tuple[str, ...] = ()
    hosts: tuple[str, ...] | None = None
    confirmed: tuple[str, ...] = ()
    take_over: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run did, or would do.

    ``made`` are the selectors of new keys, ``notes`` what a person may want to know.
    """

    before: Rotation
    step: Step
    facts: Facts
    made: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())
    now: int

    @property
    def rotation(self) -> Rotation:
        """The state after it."""
        return self.step.rotation


def peek(desk: Desk, domain: str) -> Outcome | None:
    """How things stand and what the next run would do; None where no key is managed. Raises KeyProblem."""
    rotation = read(desk.directory, domain)
    return None if rotation is None else _outcome(desk, rotation, rotation, int(desk.clock()))


def advance(desk: Desk, domain: str, wish: Wish, *, dry_run: bool = False) -> Outcome:
    """Go as far as it can go. ``dry_run`` changes nothing; a key that it would make is in ``made`` alone.

    Raises Refused, NotNow, Busy and KeyProblem; what was stored before is kept.
    """
    rotation = read(desk.directory, domain)
    if rotation is None and (wish.revoke or wish.confirmed or wish.take_over):
        raise Refused(
            f"{folder(desk.directory, domain) / NAME}: no such file, so no key of {domain} is managed"
        )
    _check_maker(desk, rotation, wish)
    if dry_run:
        return _run(desk, domain, wish, dry_run=True)
    make_folder(folder(desk.directory, domain))
    who = f"process {os.getpid()} on {desk.host}, since {time.strftime('%H:%M:%S')}"
    with locked(desk.directory, domain, who):
        return _run(desk, domain, wish, dry_run=False)


def confirm_here(desk: Desk, domain: str) -> tuple[Rotation, str]:
    """On a host with copies: see that the active keys are here, and leave word of it.

    The state, and the path of the word. Raises Refused and KeyProblem.
    """
    rotation = read(desk.directory, domain)
    if rotation is None or not rotation.active:
        raise Refused(f"no key of {domain} is active here; copy its folder from the host that makes keys")
    if desk.host not in rotation.hosts:
        known = ", ".join(rotation.hosts) or "nobody"
        raise Refused(
            f"{desk.host} is not among the other hosts of {domain}: {known}; add it there with --hosts"
        )
    files.check_active(desk.directory, rotation)
    return rotation, str(files.write_confirmation(desk.directory, rotation, desk.host))


def _check_maker(desk: Desk, rotation: Rotation | None, wish: Wish) -> None:
    if rotation is not None and rotation.maker != desk.host and not wish.take_over:
        raise Refused(
            f"the keys of {rotation.domain} are made on {rotation.maker}, this is {desk.host}: go on there. "
            "Here --status and --confirm may help; --take-over makes this the host that makes keys, for good"
        )


def _run(desk: Desk, domain: str, wish: Wish, *, dry_run: bool) -> Outcome:
    now = int(desk.clock())
    stored = read(desk.directory, domain)
    before = stored or Rotation(domain=domain, maker=desk.host)
    _check_maker(desk, before, wish)
    try:
        rotation, notes = _wished(desk, before, wish, now)
        rotation, made = _renewed(desk, rotation, wish, notes, now, dry_run=dry_run)
    except ValueError as error:
        raise Refused(str(error)) from None
    outcome = replace(_outcome(desk, before, rotation, now), made=made, notes=tuple(notes))
    if dry_run:
        return outcome
    if outcome.rotation != stored:
        write(desk.directory, outcome.rotation)
    for selector in outcome.step.remove:
        key = outcome.rotation.find(selector)
        if key and not files.remove(desk.directory, domain, key):
            notes.append(
                f"{folder(desk.directory, domain) / key.file} is not the key that was given up: it stays"
            )
    return replace(outcome, notes=tuple(notes))


def _outcome(desk: Desk, before: Rotation, rotation: Rotation, now: int) -> Outcome:
    facts = gather(desk.directory, rotation, desk.servers, require_dnssec=desk.require_dnssec)
    return Outcome(before=before, step=step(rotation, facts, now, desk.terms), facts=facts, now=now)


def _wished(desk: Desk, rotation: Rotation, wish: Wish, now: int) -> tuple[Rotation, list[str]]:
    """All that is wished but a new key. Raises ValueError, Refused, NotNow, KeyProblem."""
    notes: list[str] = []
    if wish.take_over and rotation.maker != desk.host:
        others = [host for host in rotation.hosts if host != desk.host]
        rotation = with_hosts(replace(rotation, maker=desk.host), others)
    if wish.hosts is not None:
        rotation = with_hosts(rotation, wish.hosts)
    for selector in wish.adopt:
        known = rotation.find(selector)
        if known and known.state is State.ACTIVE:
            notes.append(f"{selector} is active already")
        else:
            rotation = adopt(rotation, _adoptable(desk, rotation, selector), now)
    for text in wish.confirmed:
        host, _, number = text.partition(":")
        newest = rotation.active[0].generation if rotation.active else 0
        if number and not number.isdecimal():
            raise ValueError(f"{text}: a host, or HOST:NUMBER as --confirm prints it")
        rotation = confirm(rotation, host, int(number) if number else newest)
    for host, generation in files.confirmations(desk.directory, rotation).items():
        if rotation.active and generation == rotation.active[0].generation:
            rotation = confirm(rotation, host, generation)
    for selector in wish.revoke:
        rotation = revoke_now(rotation, selector, now)
    return rotation, notes


def _adoptable(desk: Desk, rotation: Rotation, selector: str) -> tuple[str, str, str]:
    """A key file that is here, whose record every server has. Raises as ``_wished``."""
    path = folder(desk.directory, rotation.domain) / f"{selector}.pem"
    private = files.find(desk.directory, rotation.domain, selector)
    if private is None:
        raise KeyProblem(f"{path}: no such file; copy the key there to adopt it")
    names = (selector, private.kind, private.public_text())
    name = owner(rotation.domain, selector)
    key = Key(
        selector=selector, kind=private.kind, public=names[2], generation=1, state=State.ACTIVE, since=0
    )
    look = dnsauthority.look(name, desk.servers, wildcard=True)
    fact = judge(look, key, private)
    if desk.require_dnssec:
        fact = secured(fact, look, serves(key, private), partial(dnssecure.chain, name, desk.servers))
    if fact.seen is Seen.UNKNOWN:
        raise NotNow(f"{selector} is not adopted: {fact.why}")
    if fact.seen is not Seen.PUBLISHED:
        raise Refused(f"{selector} is not adopted: {name} {fact.why}")
    return names


def _renewed(
    desk: Desk, rotation: Rotation, wish: Wish, notes: list[str], now: int, *, dry_run: bool
) -> tuple[Rotation, tuple[str, ...]]:
    """With a new key, where one is wished or must be. Raises as ``_wished``."""
    if not wants_new(rotation):
        if not wish.new:
            return rotation, ()
        if rotation.pending:
            notes.append(f"{rotation.pending[0].selector} is to sign next: no other key is made")
            return rotation, ()
        youngest = rotation.active[0]
        if now < youngest.since + YOUNG_S:
            notes.append(f"{youngest.selector} is active for less than a day: no other key is made")
            return rotation, ()
    kinds = wish.kinds or tuple(dict.fromkeys(key.kind for key in rotation.active)) or ("rsa",)
    if dry_run:
        return rotation, tuple(_free(desk, rotation, kinds, notes, now))
    names = _free(desk, rotation, kinds, notes, now)
    made = []
    for selector, kind in names.items():
        private = files.make(desk.directory, rotation.domain, selector, kind)
        made.append((selector, kind, private.public_text()))
    return begin(rotation, made, now), tuple(names)


def _free(
    desk: Desk, rotation: Rotation, kinds: tuple[str, ...], notes: list[str], now: int
) -> dict[str, str]:
    """A selector for each kind that nobody has used: not here, and not in DNS. Raises as ``_wished``."""
    template = default_selector(time.localtime(now).tm_year, desk.host)
    if not is_selector(template):
        raise Refused(f"{template!r}, made of the year and general.hostname, is no selector")
    for number in range(1, _MAX_TRIES):
        base = template if number == 1 else f"{template}-{number}"
        names = {base if kind == "rsa" or len(kinds) == 1 else f"{base}-{kind}": kind for kind in kinds}
        if any(rotation.find(selector) or (rotation.domain, selector) in desk.reserved for selector in names):
            continue
        looks = {
            selector: dnsauthority.look(owner(rotation.domain, selector), desk.servers, wildcard=True)
            for selector in names
        }
        free = {selector: is_free(look) for selector, look in looks.items()}
        for selector, is_known in free.items():
            if is_known is None:
                trouble = looks[selector].trouble or "no name server answers"
                raise NotNow(f"whether the selector {selector} is free cannot be seen: {trouble}")
        if not all(free.values()):
            notes.append(f"{base} is published for a key that is not ours here: another selector is taken")
            continue
        there = {selector: files.find(desk.directory, rotation.domain, selector) for selector in names}
        if all(key is None or key.kind == names[selector] for selector, key in there.items()):
            notes += [
                f"{selector}.pem is there and was never published: it is taken"
                for selector in there
                if there[selector]
            ]
            return names
        notes.append(f"{base}.pem is there and no key of the kind: another selector is taken")
    raise Refused(f"no selector like {template} is free for {rotation.domain}")
