"""Where an answer comes from: the entries and the rules that lead from a question to it.

A Directory keeps what is needed to answer; the parts that it was made of know who said so. ``Origins`` is the
index of the parts, made once in time linear in them; ``trace`` tells the way of one address.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from postvouch.directory.model import Directory, Kind, Part, domain_of, query_key
from postvouch.directory.resolve import MAX_DEPTH, known

MAX_STEPS = 200
"""A way that is longer is cut: nobody reads on, and what an alias holds has no other bound here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step: what is said, by which entry. ``source`` is "file:line" or a DN; "" for a rule of ours."""

    text: str
    source: str = ""

    def __str__(self) -> str:
        return f"{self.text} ({self.source})" if self.source else self.text


class Origins:
    """Which entry of which source says what."""

    __slots__ = ("_said",)

    def __init__(self, parts: Iterable[Part]) -> None:
        self._said: dict[tuple[Kind, str], list[tuple[tuple[str, ...], str]]] = {}
        for part in parts:
            for entry in part.entries:
                self._said.setdefault((entry.kind, entry.name), []).append((entry.values, entry.source))

    def of(self, kind: Kind, name: str, value: str = "") -> str:
        """The source of the first entry that says it (and has ``value`` among its values); "" for none."""
        said = self._said.get((kind, name), ())
        return next((source for values, source in said if not value or value in values), "")


def trace(directory: Directory, origins: Origins, text: str, *, outside: bool = True) -> tuple[Step, ...]:
    """The way from a key as Postfix wrote it to where its mail goes; at most MAX_STEPS steps.

    Loops are told and not followed. ``outside`` shows targets that are not ours; a host of role mx must not.
    No address, or none of ours: empty.
    """
    key = query_key(text)
    if key is None:
        return ()
    steps: list[Step] = []
    if key != text:
        steps.append(Step(text=f"{text} is read as {key}"))
    for step in _follow(directory, origins, key, outside):
        steps.append(step)
        if len(steps) == MAX_STEPS:
            break
    return tuple(steps)


def folded(directory: Directory, origins: Origins, key: str, found: str) -> Iterator[Step]:
    """The rules by which ``found`` answers for ``key``: alias domain, extension, catch-all."""
    local, _, domain = key.rpartition("@")
    other, _, where = found.rpartition("@")
    if domain != where:
        yield Step(
            text=f"{domain} folds to {where}: {key} is {local}@{where}",
            source=origins.of(Kind.DOMAIN, domain, where),
        )
    if not other:
        yield Step(text=f"no such name in {where}: its catch-all {found} answers")
    elif other != local:
        yield Step(text=f"{local}@{where} is {found} without its extension {local[len(other) :]}")


def _follow(directory: Directory, origins: Origins, key: str, outside: bool) -> Iterator[Step]:
    """Depth first, each name once, in the order in which the targets are written."""
    seen: set[str] = set()
    waiting: list[tuple[str, int]] = [(key, 0)]
    while waiting:
        key, depth = waiting.pop()
        if not directory.is_ours(key):
            continue
        found = directory.find(key)
        if found is None:
            yield from _no_mail(directory, origins, key)
            continue
        yield from folded(directory, origins, key, found)
        if found in seen:
            continue
        seen.add(found)
        name = directory.names[found]
        shown = dict.fromkeys(
            target if outside or directory.is_ours(target) else "an address outside"
            for target in name.targets
        )
        yield Step(text=f"{found} is the {name.kind} for {', '.join(shown)}", source=name.source)
        if found in directory.loops:
            yield Step(text=f"{found}: {directory.loops[found]}")
        elif depth < MAX_DEPTH:
            waiting.extend((target, depth + 1) for target in reversed(name.targets))


def _no_mail(directory: Directory, origins: Origins, key: str) -> Iterator[Step]:
    at = known(directory, key)
    if at is None:
        yield Step(text=f"{key}: no such name in {domain_of(key)}")
        return
    yield from folded(directory, origins, key, at)
    if at in directory.roles:
        yield Step(text=f"{at} is a role, and gets no mail of its own", source=origins.of(Kind.ROLE, at))
    for login in directory.users.get(at, ()):
        text = f"{at} is an address of the login {login}, and has no forward"
        yield Step(text=text, source=origins.of(Kind.LOGIN, login, at))


def spoken(steps: Sequence[Step]) -> list[dict[str, str]]:
    """The steps for JSON."""
    return [{"text": step.text, "source": step.source} for step in steps]
