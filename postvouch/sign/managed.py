"""What a person does to the managed keys of a domain: begin a rotation, adopt, give up, confirm.

Functions from one state to the next; all that they refuse is a ValueError for the person to read.
"""

from collections.abc import Sequence
from dataclasses import replace

from postvouch.sign.rotation import GONE, PENDING, Key, Rotation, State


def wants_new(rotation: Rotation) -> bool:
    """Whether a key must be made whoever asks: none signs or is to sign, or one that signs is stolen."""
    return not rotation.pending and (not rotation.active or any(key.stolen for key in rotation.active))


def late(rotation: Rotation) -> tuple[str, ...]:
    """The hosts of which we do not know that they sign with the active keys."""
    newest = max((key.generation for key in rotation.active), default=0)
    return tuple(host for host in rotation.hosts if rotation.confirmed.get(host, -1) < newest)


def begin(rotation: Rotation, made: Sequence[tuple[str, str, str]], now: int) -> Rotation:
    """Add new keys as one generation, each (selector, kind, public).

    Raises ValueError where one is under way, or a selector has been used.
    """
    if rotation.pending:
        raise ValueError(f"{rotation.pending[0].selector} is under way already")
    number = 1 + max((key.generation for key in rotation.keys), default=0)
    keys = tuple(_key(names, number, State.MADE, now) for names in made)
    return _with_new(rotation, keys)


def adopt(rotation: Rotation, names: tuple[str, str, str], now: int) -> Rotation:
    """Add a key (selector, kind, public) that signs already, beside those that do. Raises ValueError."""
    if rotation.active:
        number = rotation.active[0].generation
    elif rotation.pending:
        number = rotation.pending[0].generation - 1
    else:
        number = 1 + max((key.generation for key in rotation.keys), default=0)
    return _with_new(rotation, (_key(names, number, State.ACTIVE, now),))


def revoke_now(rotation: Rotation, selector: str, now: int) -> Rotation:
    """Give a key up without waiting for letters on their way.

    One that signs goes on until another can (``wants_new``); one that was to sign never will, nor those made
    with it. Raises ValueError.
    """
    stolen = rotation.find(selector)
    if stolen is None:
        raise ValueError(f"{selector} is no managed key of {rotation.domain}")
    if stolen.state in GONE:
        raise ValueError(f"{selector} is {stolen.state} already")
    keys = []
    for key in rotation.keys:
        if stolen.state in PENDING and key.state in PENDING:
            key = replace(key, state=State.RETIRING, since=now, stopped=now, stolen=True)
        elif key is stolen:
            key = replace(key, stolen=True)
        keys.append(key)
    return replace(rotation, keys=tuple(keys))


def confirm(rotation: Rotation, host: str, generation: int) -> Rotation:
    """Note that ``host`` signs with the active keys and with none before; raises ValueError."""
    if host not in rotation.hosts:
        raise ValueError(
            f"{host} is none of the other hosts: {', '.join(rotation.hosts) or 'there are none'}"
        )
    if not rotation.active or generation != rotation.active[0].generation:
        raise ValueError(f"{host} signs with other keys than those that are active now")
    return replace(rotation, confirmed={**rotation.confirmed, host: generation})


def with_hosts(rotation: Rotation, hosts: Sequence[str]) -> Rotation:
    """Set which other hosts sign with copies. Raises ValueError where the maker is one of them."""
    if rotation.maker in hosts:
        raise ValueError(f"{rotation.maker} makes the keys; name the other hosts only")
    kept = {host: number for host, number in rotation.confirmed.items() if host in hosts}
    return replace(rotation, hosts=tuple(dict.fromkeys(hosts)), confirmed=kept)


def _key(names: tuple[str, str, str], generation: int, state: State, now: int) -> Key:
    selector, kind, public = names
    return Key(selector=selector, kind=kind, public=public, generation=generation, state=state, since=now)


def _with_new(rotation: Rotation, keys: tuple[Key, ...]) -> Rotation:
    for key in keys:
        if rotation.find(key.selector):
            raise ValueError(f"the selector {key.selector} has been used")
    return replace(rotation, keys=(*rotation.keys, *keys))
