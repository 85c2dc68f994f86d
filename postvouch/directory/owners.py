"""Who may use which address, and why; what is left of a person who went.

The right itself is ``resolve.rights``, which every map and every daemon asks; here it is put into words, and
turned round: ``what_can`` finds in one pass over the directory what ``who_can`` would tell of each address.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from postvouch.directory.model import Directory, Entry, Kind, Part, query_key
from postvouch.directory.resolve import forwards_for, known, login_of, rights
from postvouch.directory.trace import MAX_STEPS, Origins, Step, folded


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """``login`` may use ``address``.

    ``reason`` is own, delegation, alias, role or forward (a forward's address is that of the login of its
    name); ``way`` are the steps from the address to the login, ``also`` the addresses that fold to it.
    """

    login: str
    address: str
    reason: str
    way: tuple[Step, ...]
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """Something that is left of a person: ``what`` is a word, ``text`` a sentence, ``source`` where it is."""

    what: str
    text: str
    source: str


def who_can(directory: Directory, origins: Origins, text: str) -> tuple[Right, ...]:
    """All logins that may send as an address, by name, each with the way by which it may."""
    key = query_key(text)
    at = None if key is None else known(directory, key)
    if key is None or at is None:
        return ()
    found = rights(directory, key)
    start = tuple(folded(directory, origins, key, at))
    links: dict[str, dict[str, Kind]] = {}
    made = []
    for login in sorted(found.logins):
        down = [found.logins[login]]
        while found.via[down[-1]]:
            down.append(found.via[down[-1]])
        down.reverse()
        reason, last = _last(directory, origins, down[-1], login)
        way = []
        for above, below in pairwise(down):
            if above not in links:
                links[above] = dict(_members(directory, above))
            way.append(_link(directory, origins, above, below, links[above][below]))
        if way:
            reason = links[down[0]][down[1]].value
        made.append(Right(login=login, address=key, reason=reason, way=(*start, *way, last)))
    return tuple(made)


def what_can(directory: Directory, origins: Origins, login: str) -> tuple[Right, ...]:
    """All addresses that a login may use, sorted; those that fold to one are its ``also``, and every
    sub-address goes without saying. One pass over the directory, however many it may use."""
    login = login_of(directory, login)
    above: dict[str, list[tuple[str, Kind]]] = {}
    for key in (*directory.names, *(key for key in directory.roles if key not in directory.names)):
        for member, kind in _members(directory, key):
            above.setdefault(member, []).append((key, kind))
    own = {*directory.logins.get(login, ()), *(key for key, _ in above.get(login, ()))}
    implied = f"{login}@{directory.domain}"
    if forwards_for(directory, implied) == login:
        own.add(implied)
    reached: dict[str, tuple[str, tuple[Step, ...]]] = {}
    for key in own:
        reason, step = _last(directory, origins, key, login)
        reached[key] = reason, (step,)
    waiting = list(own)
    while waiting:
        member = waiting.pop()
        for key, kind in above.get(member, ()):
            if key not in reached:
                link = _link(directory, origins, key, member, kind)
                reached[key] = kind.value, (link, *reached[member][1][-MAX_STEPS:])
                waiting.append(key)
    folding: dict[str, list[str]] = {}
    for alias, primary in directory.domains.items():
        if alias != primary:
            folding.setdefault(primary, []).append(alias)
    return tuple(
        Right(login=login, address=key, reason=reason, way=way, also=_also(directory, key, folding))
        for key, (reason, way) in sorted(reached.items())
    )


def left_of(parts: Iterable[Part], name: str, *, domains: Iterable[str], delimiter: str) -> tuple[Left, ...]:
    """All that the sources still say of a person, named by login.

    His addresses are the login in every domain of ours, with extensions, and those that his login alone has.
    """
    login = name.lower().rpartition("@")[0] or name.lower()
    parts = tuple(parts)
    entries = [(part, entry) for part in parts for entry in part.entries]
    ours = {entry.name for _, entry in entries if entry.kind is Kind.DOMAIN} | set(domains)
    accounts = [entry for _, entry in entries if entry.kind is Kind.LOGIN]
    more = {value for entry in accounts if entry.name == login for value in entry.values}
    more -= {value for entry in accounts if entry.name != login for value in entry.values}

    def his(value: str) -> bool:
        local, at, domain = value.lower().rpartition("@")
        if not at:
            return value.lower() == login
        begins = local == login or (local.startswith(login) and local[len(login)] in delimiter)
        return value in more or (domain in ours and begins)

    return tuple(left for part, entry in entries for left in _left(part, entry, login, his))


def _left(part: Part, entry: Entry, login: str, his: Callable[[str], bool]) -> Iterator[Left]:
    kind, name, source = entry.kind, entry.name, entry.source
    if kind is Kind.LOGIN and name == login:
        addresses = ", ".join(entry.values) or "no address"
        yield Left(
            what="account", text=f"the login {login} of {part.origin}, with {addresses}", source=source
        )
        return
    if kind in (Kind.ALIAS, Kind.FORWARD, Kind.ROLE) and his(name):
        yield Left(what=kind.value, text=f"{name}: {', '.join(entry.values)}", source=source)
    for value in filter(his, entry.values):
        if kind is Kind.LOGIN:
            yield Left(what="right", text=f"the login {name} may use {value}", source=source)
        elif kind in (Kind.ALIAS, Kind.ROLE):
            yield Left(what="member", text=f"{value} is a member of the {kind} {name}", source=source)
        elif kind is Kind.FORWARD:
            yield Left(what="target", text=f"{value} is a target of the forward {name}", source=source)


def password_entries(lines: Iterable[str], name: str) -> Iterator[int]:
    """The numbers, from 1, of the lines of a passwd-file (Dovecot's, passwd(5)) that are a person's."""
    login = name.lower().rpartition("@")[0] or name.lower()
    for number, line in enumerate(lines, 1):
        user, colon, _ = line.strip().lower().partition(":")
        if colon and not user.startswith("#") and login in (user, user.rpartition("@")[0]):
            yield number


def _members(directory: Directory, key: str) -> Iterator[tuple[str, Kind]]:
    """The keys and logins to which the right to ``key`` goes on."""
    name = directory.names.get(key)
    lists = [(directory.roles.get(key, ()), Kind.ROLE)]
    if name is not None and name.kind is Kind.ALIAS:
        lists.append((name.targets, Kind.ALIAS))
    for values, kind in lists:
        for value in values:
            member = known(directory, value) if "@" in value else value
            if member is not None:
                yield member, kind


def _link(directory: Directory, origins: Origins, above: str, below: str, kind: Kind) -> Step:
    source = origins.of(kind, above, below)
    if not source and kind is Kind.ALIAS:
        source = directory.names[above].source
    return Step(text=f"{below} is a member of the {kind} {above}", source=source or origins.of(kind, above))


def _last(directory: Directory, origins: Origins, key: str, login: str) -> tuple[str, Step]:
    """Why the login has the right to the last key of the way."""
    if login in directory.users.get(key, ()):
        own = key.rpartition("@")[0] == login
        text = f"{key} is {login}'s own address" if own else f"{key} is given to the login {login}"
        source = origins.of(Kind.LOGIN, login, key)
        return "own" if own else "delegation", Step(text=text, source=source)
    if login in directory.roles.get(key, ()):
        return "role", _link(directory, origins, key, login, Kind.ROLE)
    name = directory.names[key]
    if name.kind is Kind.ALIAS:
        return "alias", _link(directory, origins, key, login, Kind.ALIAS)
    return "forward", Step(text=f"{key} is the forward of the login of its name", source=name.source)


def _also(directory: Directory, key: str, folding: dict[str, list[str]]) -> tuple[str, ...]:
    local, _, domain = key.rpartition("@")
    folded_here = (f"{local}@{alias}" for alias in folding.get(domain, ()) if local)
    return tuple(address for address in folded_here if known(directory, address) == key)
