"""Entries -> Directory: merge the sources, find what is wrong, say where.

Precedence: the order of the parts; within a strict one (files), the later entry. What is wrong in a file is
fatal, since its author is there to mend it and the old directory serves meanwhile. What is wrong in LDAP only
costs that entry, with a warning: people edit their own, and one of them must not freeze the names of all. Nor
may one of them take an address from anybody: whatever the order, the aliases of such a source come last.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from postvouch.directory import resolve
from postvouch.directory.model import (
    CONFIGURED,
    SRS,
    Directory,
    Entry,
    Kind,
    Name,
    Part,
    Problem,
    Rules,
    domain_of,
    key_of,
)  # fmt: skip
from postvouch.values.address import AddressError
from postvouch.values.answer import Unavailable
from postvouch.values.domain import domain_or_nothing, owned


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """A Directory and all that is wrong with what it was made of."""

    directory: Directory
    problems: tuple[Problem, ...] = ()

    @property
    def fatal(self) -> bool:
        """Whether the files must be mended before this directory may be taken."""
        return any(p.fatal for p in self.problems)


def compile_directory(parts: Sequence[Part], *, rules: Rules | None = None) -> Compiled:
    """Make the directory of all parts. Never raises; with fatal problems it is for diagnosis only."""
    work = _Work(rules=rules or Rules())
    for part in parts:
        work.take_domains(part)
    for part in sorted(parts, key=lambda part: not part.strict):
        work.take_people(part)
    for number, part in enumerate(parts):
        for entry in part.entries:
            if entry.kind is Kind.FORWARD or (entry.kind is Kind.ALIAS and part.strict):
                work.take_name(entry, part.strict, number)
    for number, part in enumerate(parts):
        for entry in part.entries:
            if entry.kind is Kind.ALIAS and not part.strict:
                work.take_name(entry, part.strict, number)
    verified_at = min((part.read_at for part in parts), default=0.0)
    return work.finish(verified_at)


@dataclass(slots=True)
class _Work:
    """The directory while it is made. ``strict`` keeps, for each name, whether it came from a file, ``ranks``
    from which part."""

    rules: Rules
    domains: dict[str, str] = field(default_factory=dict)
    told: dict[str, None] = field(default_factory=dict)
    names: dict[str, Name] = field(default_factory=dict)
    strict: dict[str, bool] = field(default_factory=dict)
    ranks: dict[str, int] = field(default_factory=dict)
    logins: dict[str, dict[str, None]] = field(default_factory=dict)
    holders: dict[str, list[str]] = field(default_factory=dict)
    roles: dict[str, dict[str, None]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def take_domains(self, part: Part) -> None:
        """Learn the domains, so that addresses can be told ours or not. An alias of an alias is an error."""
        entries = [e for e in part.entries if e.kind is Kind.DOMAIN]
        before = frozenset(self.told)
        for entry in entries:
            if entry.source != CONFIGURED and entry.name not in before:
                self.told[entry.name] = None
                self.domains[entry.name] = entry.values[0] if entry.values else entry.name
            else:
                self.domains.setdefault(entry.name, entry.name)
        for entry in entries:
            primary = self.domains[entry.name]
            if self.domains.get(primary) != primary:
                self._say(entry.source, f"{entry.name} folds to {primary}, which is no primary domain", True)
                self.domains[entry.name] = entry.name

    def take_people(self, part: Part) -> None:
        """Learn who may use what: logins and roles."""
        for entry in part.entries:
            if entry.kind is Kind.LOGIN:
                # A stranger's address is a login's only where a file says so, never by an attribute that its
                # owner may edit.
                keys = [key for key in entry.values if part.strict or domain_of(key) in self.domains]
                self.logins.setdefault(entry.name, {}).update(dict.fromkeys(keys))
                for key in keys:
                    self.holders.setdefault(key, []).append(entry.name)
            elif entry.kind is Kind.ROLE:
                self.roles.setdefault(entry.name, {}).update(dict.fromkeys(entry.values))

    def take_name(self, entry: Entry, strict: bool, rank: int) -> None:
        """Merge one alias or forward of the part with this rank."""
        domain = domain_of(entry.name)
        if domain not in self.domains:
            self._say(entry.source, f"{entry.name}: {domain} is not one of our domains", strict)
            return
        kept = (t for t in entry.values if not self._is_srs(entry, t) and not self._is_barred(entry, t))
        targets = tuple(dict.fromkeys(map(self._target, kept)))
        outward = any(domain_of(t) not in self.domains for t in targets)
        if self.domains[domain] != domain and (outward or entry.kind is Kind.FORWARD):
            where = f"put it in {self.domains[domain]}"
            self._say(entry.source, f"{entry.name} leaves from an alias domain; {where}", strict)
            return
        if entry.name.startswith("@") and not strict:
            self._say(entry.source, f"{entry.name} would have the mail of everybody; left out", False)
            return
        before = self.names.get(entry.name)
        holder = "" if strict or entry.name in self.roles else self._other_holder(entry.name, targets)
        if holder and entry.kind is Kind.ALIAS:
            self._say(entry.source, f"{entry.name} belongs to {holder}; left out", False)
        elif before is not None and before.kind is not entry.kind:
            fatal = strict and self.strict[entry.name]
            text = f"{entry.name} is a {entry.kind} here and {_a(before.kind)} at {before.source}"
            self._say(entry.source, text + ("" if fatal else "; that one counts"), fatal)
        elif before is not None and (self.ranks[entry.name] != rank or not strict):
            if not (strict or self.strict[entry.name]):
                self._say(entry.source, f"{entry.name} is already at {before.source}; that one counts", False)
        else:
            self.names[entry.name] = Name(entry.kind, targets, entry.source, outward)
            self.strict[entry.name] = strict
            self.ranks[entry.name] = rank

    def _is_srs(self, entry: Entry, target: str) -> bool:
        """Whether a target is in our own SRS domain, where only bounces go; then it is told."""
        local, _, domain = target.rpartition("@")
        if domain not in self.rules.srs_domains or (domain in self.domains and not SRS.match(local)):
            return False
        self._say(
            entry.source, f"{target}, a target of {entry.name}, is an SRS address of ours; left out", False
        )
        return True

    def _is_barred(self, entry: Entry, target: str) -> bool:
        """Whether mail may not be forwarded to that domain; then it is told."""
        allowed, denied = self.rules.allowed_targets, self.rules.denied_targets
        if not (allowed or denied) or domain_of(target) in self.domains:
            return False
        domain = domain_or_nothing(domain_of(target))
        if owned(domain, denied):
            reason = "is in map.denied_targets"
        elif allowed and not owned(domain, allowed):
            reason = "is not in map.allowed_targets"
        else:
            return False
        self._say(entry.source, f"{target}, a target of {entry.name}, {reason}; left out", False)
        return True

    def _other_holder(self, key: str, targets: tuple[str, ...]) -> str:
        """Who has ``key`` already, "" for nobody or for one who may use a target: an attribute that people
        edit must not take another's mail, nor give the right to write as him; in no domain of his."""
        domain = domain_of(key)
        folded = f"{key.rpartition('@')[0]}@{self.domains.get(domain, domain)}"
        for login in (*self.holders.get(key, ()), *self.holders.get(folded, ())):
            if self.logins[login].keys().isdisjoint(targets):
                return f"the login {login}"
        taken = folded != key and folded not in targets and (folded in self.names or folded in self.roles)
        return folded if taken else ""

    def _target(self, text: str) -> str:
        """Targets of ours become keys, so that they are found; others stay as written."""
        if domain_of(text) not in self.domains:
            return text
        try:
            return key_of(text)
        except AddressError:
            return text

    def finish(self, verified_at: float) -> Compiled:
        """Turn the walks loose: loops, dead ends, members that do not exist."""
        directory = Directory(
            domain=next((d for d, primary in self.domains.items() if d == primary), ""),
            domains=self.domains,
            names=self.names,
            logins={login: tuple(keys) for login, keys in self.logins.items()},
            users={key: tuple(dict.fromkeys(logins)) for key, logins in self.holders.items()},
            roles={key: tuple(members) for key, members in self.roles.items()},
            rules=self.rules,
            verified_at=verified_at,
        )
        loops: dict[str, str] = {}
        dead: set[str] = set()
        for key in self.names:
            targets = self._ends(directory, key)
            if isinstance(targets, Unavailable):
                loops[key] = targets.reason
            elif not targets:
                dead.add(key)
        directory = replace(directory, loops=loops, dead=frozenset(dead))
        self._report_loops(directory)
        for key, name in self.names.items():
            self._report_members(directory, key, name)
        return Compiled(directory=directory, problems=tuple(self.problems))

    def _ends(self, directory: Directory, key: str) -> tuple[str, ...] | Unavailable:
        """Where the mail of a name ends. Nearly all names are forwards to the outside: no walk needed."""
        name = self.names[key]
        if name.kind is Kind.FORWARD and len(name.targets) <= self.rules.max_targets and name.outward:
            inner = [t for t in name.targets if domain_of(t) in self.domains]
            if not inner:
                return name.targets
        return resolve.expand(directory, key, through_forwards=True)

    def _report_loops(self, directory: Directory) -> None:
        """Name each cycle once, not once for every name that leads into it."""
        told: set[frozenset[str]] = set()
        for key, reason in directory.loops.items():
            cycle = frozenset(reason.removeprefix(resolve.LOOP).split(" -> "))
            if not reason.startswith(resolve.LOOP):
                self._say(self.names[key].source, f"{key} has {reason}", self.strict[key])
            elif cycle not in told:
                told.add(cycle)
                members = [k for k in cycle if k in self.names]
                where = ", ".join(f"{k} at {self.names[k].source}" for k in sorted(members))
                self._say(self.names[key].source, f"{reason} ({where})", all(self.strict[k] for k in members))

    def _report_members(self, directory: Directory, key: str, name: Name) -> None:
        for target in name.targets:
            if not directory.is_ours(target):
                continue
            found = directory.find(target)
            if found is None:
                known = any(c in directory.users for c in directory.candidates(target))
                what = "has a login but no forward" if known else "does not exist"
                self._say(name.source, f"{target}, a target of {key}, {what}: it gets no mail", False)
        if key in directory.dead:
            self._say(name.source, f"{key} leads nowhere: mail for it is refused", False)

    def _say(self, source: str, text: str, fatal: bool) -> None:
        self.problems.append(Problem(source=source, text=text, fatal=fatal))


def _a(kind: Kind) -> str:
    return f"an {kind}" if kind is Kind.ALIAS else f"a {kind}"
