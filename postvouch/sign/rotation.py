"""The state of a domain's managed keys, and its file rotation.json.

A key is made, published, active, retiring, revoked, deleted, in this order; what moves it is
``sign/rotate.py``. Keys that were made together are a generation, are activated together, and their
successors have a higher number. Nothing is ever taken out of the file: a selector is used once.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from postvouch.sign.keys import KINDS
from postvouch.sign.record import is_selector
from postvouch.values.domain import parse_domain

VERSION = 1
MAX_OCTETS = 1 << 20
MAX_SECONDS = 1 << 40

_BASE64 = re.compile(r"[A-Za-z0-9+/]{40,2048}={0,2}")


class State(StrEnum):
    """How far a key has come."""

    MADE = "made"
    PUBLISHED = "published"
    ACTIVE = "active"
    RETIRING = "retiring"
    REVOKED = "revoked"
    DELETED = "deleted"


PENDING = frozenset({State.MADE, State.PUBLISHED})
GONE = frozenset({State.REVOKED, State.DELETED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key of a domain; its file is SELECTOR.pem in the domain's folder.

    ``public`` is the p= of its record, base64. ``since`` is when it came into its ``state``, ``stopped`` when
    the last host stopped signing with it, None while one may still do so; both in seconds of the epoch.
    ``hold_s`` is how long resolvers may keep what they saw at this name before the record was there.
    ``stolen``: revoked without waiting for letters on their way.
    """

    selector: str
    kind: str
    public: str
    generation: int
    state: State
    since: int
    hold_s: int = 0
    stopped: int | None = None
    stolen: bool = False

    @property
    def file(self) -> str:
        """The name of its file in the domain's folder."""
        return f"{self.selector}.pem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """All managed keys of ``domain``, oldest first.

    ``maker`` is the host that makes and advances them, ``hosts`` the others that sign with copies;
    ``confirmed`` says for each of those the newest generation that it is known to sign with.
    """

    domain: str
    maker: str
    hosts: tuple[str, ...] = ()
    confirmed: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    keys: tuple[Key, ...] = ()

    def find(self, selector: str) -> Key | None:
        """The key of that selector."""
        return next((key for key in self.keys if key.selector == selector), None)

    def among(self, *states: State) -> tuple[Key, ...]:
        """The keys in one of these states."""
        return tuple(key for key in self.keys if key.state in states)

    @property
    def active(self) -> tuple[Key, ...]:
        """The keys that sign."""
        return self.among(State.ACTIVE)

    @property
    def pending(self) -> tuple[Key, ...]:
        """The keys that are to sign next."""
        return self.among(*PENDING)


def dump(rotation: Rotation) -> str:
    """The text of rotation.json."""
    keys = [{n: v for n, v in asdict(key).items() if v is not None} for key in rotation.keys]
    data = {
        "version": VERSION,
        "domain": rotation.domain,
        "maker": rotation.maker,
        "hosts": list(rotation.hosts),
        "confirmed": dict(rotation.confirmed),
        "keys": keys,
    }
    return json.dumps(data, indent=1) + "\n"


def parse(text: str) -> Rotation:
    """Read rotation.json. Raises ValueError, which says what is wrong, for all that dump cannot write."""
    if len(text) > MAX_OCTETS:
        raise ValueError("too long")
    try:
        data = json.loads(text, object_pairs_hook=_members)
    except json.JSONDecodeError as error:
        raise ValueError(f"no JSON: {error}") from None
    except RecursionError:
        raise ValueError("no JSON: nested too deeply") from None
    if not isinstance(data, dict) or "version" not in data:
        raise ValueError("has no version")
    version = data.pop("version")
    if type(version) is not int or version != VERSION:
        raise ValueError(
            f"has version {version!r:.20}, this postvouch knows version {VERSION}; update postvouch"
        )
    _only(data, {"domain", "maker", "hosts", "confirmed", "keys"}, set(), "the file")
    domain = _name(data["domain"], "domain")
    hosts = tuple(_name(host, "hosts") for host in _list(data["hosts"], "hosts"))
    confirmed = data["confirmed"]
    if not isinstance(confirmed, dict) or not set(confirmed) <= set(hosts):
        raise ValueError("confirmed: not an object of some of the hosts")
    rotation = Rotation(
        domain=domain,
        maker=_name(data["maker"], "maker"),
        hosts=hosts,
        confirmed=MappingProxyType({h: _number(g, f"confirmed: {h}") for h, g in confirmed.items()}),
        keys=tuple(map(_key, _list(data["keys"], "keys"))),
    )
    _check(rotation)
    return rotation


def _check(rotation: Rotation) -> None:
    """What must hold between the members; raises ValueError."""
    selectors = [key.selector for key in rotation.keys]
    if len(set(selectors)) != len(selectors):
        raise ValueError("a selector stands there twice")
    if len(set(rotation.hosts)) != len(rotation.hosts) or rotation.maker in rotation.hosts:
        raise ValueError("a host stands there twice")
    if len({key.generation for key in rotation.active}) > 1:
        raise ValueError("keys of different generations are active")
    if len({key.generation for key in rotation.pending}) > 1:
        raise ValueError("keys of different generations are to become active")


def _key(data: Any) -> Key:
    if not isinstance(data, dict) or not isinstance(data.get("selector"), str):
        raise ValueError("keys: no object with a selector")
    where = data["selector"]
    if not is_selector(where) or where != where.lower():
        raise ValueError(f"keys: {where!r:.80} is no selector")
    _only(
        data,
        {"selector", "kind", "public", "generation", "state", "since", "hold_s", "stolen"},
        {"stopped"},
        where,
    )
    if data["kind"] not in KINDS:
        raise ValueError(f"{where}: kind is none of {', '.join(KINDS)}")
    if not isinstance(data["public"], str) or not _BASE64.fullmatch(data["public"]):
        raise ValueError(f"{where}: public is no public key in base64")
    if data["state"] not in tuple(State):
        raise ValueError(f"{where}: state is none of {', '.join(State)}")
    if type(data["stolen"]) is not bool:
        raise ValueError(f"{where}: stolen is neither true nor false")
    state = State(data["state"])
    stopped = _number(data["stopped"], f"{where}: stopped") if "stopped" in data else None
    if (stopped is not None and state in PENDING | {State.ACTIVE}) or (stopped is None and state in GONE):
        raise ValueError(f"{where}: stopped does not fit the state {state}")
    return Key(
        selector=where,
        kind=data["kind"],
        public=data["public"],
        generation=_number(data["generation"], f"{where}: generation"),
        state=state,
        since=_number(data["since"], f"{where}: since"),
        hold_s=_number(data["hold_s"], f"{where}: hold_s"),
        stopped=stopped,
        stolen=data["stolen"],
    )


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) != len(pairs):
        raise ValueError("a member stands there twice")
    return data


def _only(data: dict[str, Any], needed: set[str], allowed: set[str], where: str) -> None:
    if missing := needed - set(data):
        raise ValueError(f"{where}: without {', '.join(sorted(missing))}")
    if strange := set(data) - needed - allowed:
        raise ValueError(f"{where}: unknown member {min(strange)!r:.40}")


def _list(data: Any, where: str) -> list[Any]:
    if not isinstance(data, list):
        raise ValueError(f"{where}: not a list")
    return data


def _name(data: Any, where: str) -> str:
    if isinstance(data, str):
        try:
            if parse_domain(data) == data:
                return data
        except ValueError:
            pass
    raise ValueError(f"{where}: {data!r:.80} is no name in lower case")


def _number(data: Any, where: str) -> int:
    if type(data) is not int or not 0 <= data < MAX_SECONDS:
        raise ValueError(f"{where}: not a whole number from 0")
    return data
