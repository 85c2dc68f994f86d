"""The questions that Postfix and our own daemons ask of a Directory, and their answers.

Every function takes the Directory and a key as Postfix wrote it (any case, quoted or not, U-labels) and gives
an Answer; a key that is no address is NotFound. The caller knows the time: ``believed`` turns the "not
found" of a stale directory into "not now".
"""

from collections.abc import Container
from dataclasses import dataclass, field

from postvouch.directory.model import Directory, Kind, domain_of, query_key, written
from postvouch.values.address import AddressError, parse_domain
from postvouch.values.answer import Answer, Found, NotFound, Unavailable

MAX_DEPTH = 50
"""Aliases of aliases deeper than this are a mistake: people lose track long before."""

LOOP = "loop: "

VIEWS = {
    "": frozenset[str](),
    "mx": frozenset({"alias", "alias-domain", "transport", "recipients", "owners"}),
    "srs": frozenset({"alias", "alias-domain", "forward", "recipients", "owners"}),
    "submission": frozenset({"alias-domain", "recipients", "owners"}),
    "relay": frozenset({"alias-domain", "recipients", "owners"}),
    "single": frozenset({"alias", "alias-domain", "forward", "recipients", "owners"}),
}
"""The maps that each role answers. mx has no ``forward``: it must never show where a forward goes."""

MAPS = frozenset({"alias", "alias-domain", "forward", "owners", "recipients", "transport"})


@dataclass(slots=True)
class _Walk:
    """An expansion under way: a depth-first walk that meets each name once."""

    directory: Directory
    through_forwards: bool
    targets: dict[str, str] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    failure: str = ""

    def visit(self, key: str, path: tuple[str, ...]) -> None:
        """Expand one name of ours; ``path`` are the names above it."""
        if self.failure or key in self.done:
            return
        if key in path or len(path) > MAX_DEPTH:
            cycle = (*path[path.index(key) :], key) if key in path else ()
            self.failure = LOOP + " -> ".join(cycle) if cycle else f"aliases nested over {MAX_DEPTH} deep"
            return
        for target in self.directory.names[key].targets:
            found = self.directory.find(target)
            if found is None:
                if not self.directory.is_ours(target):
                    self._add(target.lower(), target)
            elif self.through_forwards or _is_inner_alias(self.directory, found):
                self.visit(found, (*path, key))
            elif found not in self.directory.dead:
                self._add(target, written(_folded(self.directory, target, found)))
        self.done.add(key)

    def _add(self, identity: str, target: str) -> None:
        self.targets.setdefault(identity, target)
        if len(self.targets) > self.directory.rules.max_targets:
            self.failure = f"more than {self.directory.rules.max_targets} targets"


def expand(directory: Directory, key: str, *, through_forwards: bool) -> tuple[str, ...] | Unavailable:
    """Where the mail of the name ``key`` goes, without doubles.

    ``through_forwards``: on to the addresses outside; otherwise to the forwards of ours that lead there.
    Unavailable for a loop, too deep a nesting or too many targets.
    """
    targets = directory.names[key].targets
    if len(targets) == 1 and not directory.is_ours(targets[0]):  # nearly all names: no walk needed
        return targets
    walk = _Walk(directory, through_forwards)
    walk.visit(key, ())
    if walk.failure:
        return Unavailable(walk.failure)
    return tuple(walk.targets.values())


def alias(directory: Directory, text: str) -> Answer:
    """The addresses of ours behind an alias or role, never one outside.

    NotFound for a forward, and for an alias with a member outside: mx hands both to the srs host as they are.
    """
    found = _find(directory, text)
    if found is None or not _is_inner_alias(directory, found):
        return NotFound()
    return _list(directory, found, through_forwards=False)


def forward(directory: Directory, text: str) -> Answer:
    """The addresses outside to which the mail for any address of ours goes in the end."""
    found = _find(directory, text)
    return NotFound() if found is None else _list(directory, found, through_forwards=True)


def alias_domain(directory: Directory, text: str) -> Answer:
    """The same address in the domain that its alias domain folds to, if mail can be delivered there.

    A bare domain gives the bare domain that it folds to, so the map also serves as virtual_alias_domains.
    """
    if "@" not in text:
        try:
            domain = parse_domain(text)
        except AddressError:
            return NotFound()
        primary = directory.domains.get(domain, domain)
        return NotFound() if primary == domain else Found(primary)
    key = query_key(text)
    found = None if key is None else directory.find(key)
    if key is None or found is None or domain_of(key) == domain_of(found):
        return NotFound()
    if found in directory.dead:
        return NotFound(f"{found} leads nowhere")
    if found in directory.loops:
        return Unavailable(directory.loops[found])
    return Found(written(_folded(directory, key, found)), directory.names[found].source)


def transport(directory: Directory, text: str, nexthop: str) -> Answer:
    """``nexthop`` for every address whose mail leaves us: forwards, and aliases with a member outside."""
    found = _find(directory, text)
    if not nexthop or found is None or found in directory.dead or _is_inner_alias(directory, found):
        return NotFound()
    return Found(nexthop, directory.names[found].source)


def recipients(directory: Directory, text: str) -> Answer:
    """ "OK" for an address that can be delivered to."""
    found = _find(directory, text)
    if found is None:
        return NotFound()
    if found in directory.dead:
        return NotFound(f"{found} leads nowhere")
    if found in directory.loops:
        return Unavailable(directory.loops[found])
    return Found("OK", directory.names[found].source)


def owners(directory: Directory, text: str) -> Answer:
    """The logins that may send as an address, as a comma list (smtpd_sender_login_maps)."""
    key = query_key(text)
    logins = frozenset[str]() if key is None else _logins(directory, key)
    return Found(",".join(sorted(logins))) if logins else NotFound()


def may_send(directory: Directory, login: str, address: str) -> bool:
    """Whether ``login`` may use ``address`` (MAIL FROM or header From), its sub-addresses included."""
    key = query_key(address)
    return key is not None and bool({login.lower(), login_of(directory, login)} & _logins(directory, key))


def lookup(directory: Directory, role: str, name: str, text: str, *, nexthop: str = "") -> Answer:
    """The answer of the map ``name`` on a host of that role; ``nexthop`` is map.forward_transport.

    A map that the role does not have is NotFound for every key; a map that nobody has is Unavailable, since
    "not found" would refuse all mail of a host whose main.cf has a typing error.
    """
    if name not in MAPS:
        return Unavailable(f"no map is named {name}")
    if name not in VIEWS.get(role, frozenset()):
        return NotFound(f"role {role or '(none)'} has no map {name}")
    match name:
        case "alias":
            return alias(directory, text)
        case "alias-domain":
            return alias_domain(directory, text)
        case "forward":
            return forward(directory, text)
        case "transport":
            return transport(directory, text, nexthop)
        case "owners":
            return owners(directory, text)
        case _:
            return recipients(directory, text)


def believed(
    directory: Directory, text: str, answer: Answer, *, ours: Container[str], age_s: float, hard_age_s: float
) -> Answer:
    """The answer as far as a directory of that age can be trusted.

    Beyond the hard age, "no such address" is not believed any more: it may have been made since. All else
    stays, so mail to names that are known goes on. ``ours`` is general.domains: what is neither there nor in
    the directory is no business of ours at any age.
    """
    if not isinstance(answer, NotFound):
        return answer
    try:
        domain = parse_domain(domain_of(text))
    except AddressError:
        return answer
    if domain not in directory.domains:
        return Unavailable("the names have not been read yet") if domain in ours else answer
    key = query_key(text) if "@" in text else None
    if age_s <= hard_age_s or key is None or known(directory, key):
        return answer
    return Unavailable("the directory is too old to say that this does not exist")


def _find(directory: Directory, text: str) -> str | None:
    key = query_key(text)
    return None if key is None else directory.find(key)


def _is_inner_alias(directory: Directory, key: str) -> bool:
    name = directory.names[key]
    return name.kind is Kind.ALIAS and not name.outward


def _list(directory: Directory, key: str, *, through_forwards: bool) -> Answer:
    targets = expand(directory, key, through_forwards=through_forwards)
    if isinstance(targets, Unavailable):
        return targets
    if not targets:
        return NotFound(f"{key} leads nowhere")
    return Found(", ".join(targets), directory.names[key].source)


def _folded(directory: Directory, key: str, found: str) -> str:
    """``key`` in the domain of the name that answers for it, its extension kept."""
    return f"{key.rpartition('@')[0]}@{domain_of(found)}"


def login_of(directory: Directory, login: str) -> str:
    """ "bob" for a login written "bob@our.example": Dovecot may hand on either."""
    lowered = login.lower()
    local, _, domain = lowered.rpartition("@")
    return local if local and domain == directory.domain and lowered not in directory.logins else lowered


def known(directory: Directory, key: str) -> str | None:
    """The key, of a name, a login's address or a role, that answers for ``key``."""
    tables = (directory.names, directory.users, directory.roles)
    return next((c for c in directory.candidates(key) if any(c in table for table in tables)), None)


@dataclass(slots=True)
class Rights:
    """Who may use an address, and by which way.

    ``logins`` is login -> the key that gives it the right; ``via`` is key -> the key above it, or "".
    """

    logins: dict[str, str] = field(default_factory=dict)
    via: dict[str, str] = field(default_factory=dict)


def rights(directory: Directory, key: str) -> Rights:
    """All logins behind a key; members are followed through aliases and roles, never through forwards."""
    found = Rights()
    waiting = [(key, "")]
    while waiting:
        member, above = waiting.pop()
        if "@" not in member:
            found.logins.setdefault(member, above)
            continue
        at = known(directory, member)
        if at is None or at in found.via:
            continue
        found.via[at] = above
        for login in directory.users.get(at, ()):
            found.logins.setdefault(login, at)
        waiting.extend((each, at) for each in directory.roles.get(at, ()))
        name = directory.names.get(at)
        if name is not None and name.kind is Kind.ALIAS:
            waiting.extend((each, at) for each in name.targets)
        login = forwards_for(directory, at)
        if login:
            found.logins.setdefault(login, at)
    return found


def forwards_for(directory: Directory, key: str) -> str:
    """The login that a forward's address belongs to although no source lists it; "" for none.

    It is the local part, in the first domain, where nobody else is said to have that login or that role.
    """
    name = directory.names.get(key)
    local, _, domain = key.rpartition("@")
    if (
        name is not None
        and name.kind is Kind.FORWARD
        and key not in directory.roles
        and domain == directory.domain
        and local not in directory.logins
    ):
        return local
    return ""


def _logins(directory: Directory, key: str) -> frozenset[str]:
    return frozenset(rights(directory, key).logins)
