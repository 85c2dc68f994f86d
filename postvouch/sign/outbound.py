"""Which letters left this host unsigned: Postfix's log and the lines of postvouch-sign, joined by queue id.

A letter is suspect from its arrival until postvouch-sign has said that it is signed, or need not be. A
suspect that is sent to another host has left unsigned: the signer was away and the milter's default_action is
"accept", or it has no key for an address of ours. A letter that passes through a content filter, or twice
through this host, has several queue ids; the second is as good as the first ("queued as"). Pure, linear,
bounded; nothing raises.
"""

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from typing import Any

from postvouch.wire.maillog import Line

SIGNER = "postvouch-sign"
MOST = 50_000
"""Suspects that are kept; beyond, the oldest is forgotten."""
PATIENCE_S = 10.0
"""Lines of one moment are in no order: those of Postfix and of the signer reach the journal by two ways."""
KEEP_S = 12 * 86400
"""Nothing is in a queue for longer: twice the default of maximal_queue_lifetime, and some."""
BARE = frozenset({"no-key-for-domain", "not-internal", "no-role"})
"""Reasons of postvouch-sign for mail of ours that it lets go unsigned (action=accept)."""

_ARRIVAL = {"smtpd": ("client=",), "cleanup": ("message-id=", "resent-message-id=")}
_RECENT = 2000
_PIDS = 4
_LATELY_S = 300.0
_SENT = re.compile(
    r", relay=([^\s,]{1,400})(?:, conn_use=\d+)?, delay=[\d.]+, delays=[\d./]+, dsn=[\d.]+, status=sent\b",
    re.ASCII,
)
_ADDRESS = re.compile(r"\[([^\[\]]*)\](?::\d+)?", re.ASCII)
_QUEUED = re.compile(r"\bqueued as ([0-9A-Za-z]{6,24})\b", re.ASCII)
_TROUBLE = re.compile(r"warning: ((?:connect to Milter service|milter) .{1,200})", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsigned:
    """A letter that has left unsigned.

    ``time`` (seconds since 1970), ``to_domain`` and ``relay`` are those of its first recipient.
    """

    time: float
    queue_id: str
    sender: str
    to_domain: str
    relay: str
    why: str


@dataclass(slots=True, kw_only=True)
class _Suspect:
    arrived: float
    pids: tuple[str, ...] = ()
    sender: str = ""
    why: str = ""
    left: float = 0.0
    to_domain: str = ""
    relay: str = ""
    is_gone: bool = False
    is_told: bool = False


class Outbound:
    """Takes lines in the order of the log. ``forgotten`` counts suspects for which there was no room."""

    def __init__(self, *, most: int = MOST) -> None:
        self.forgotten = 0
        self._most = most
        self._suspects: dict[str, _Suspect] = {}
        self._left: deque[tuple[float, str]] = deque()
        self._words: dict[str, tuple[float, str]] = {}
        self._trouble: dict[str, tuple[float, str]] = {}
        self._last_trouble = (0.0, "")
        self._clock = 0.0

    def feed(self, line: Line) -> Iterator[Unsigned]:
        """Take one line; each letter that is now known to have left unsigned, once."""
        self._clock = max(self._clock, line.time)
        yield from self.settle(self._clock - PATIENCE_S)
        if len(self._left) > self._most:  # so many in so little time
            yield from self.settle(self._left[0][0])
        queue_id, text = line.queue_id, line.text
        if line.program == SIGNER:
            self._signer_says(line)
        elif not queue_id:
            self._note_trouble(line)
        elif text == "removed" or text.startswith("milter-reject: "):
            self._remove(queue_id)
        elif text.startswith(_ARRIVAL.get(line.daemon, ())):
            self._arrive(line)
        elif line.daemon == "qmgr" and text.startswith("from=<") and queue_id in self._suspects:
            self._suspects[queue_id].sender = text[6:400].rpartition(">, size=")[0]
        elif line.daemon in ("smtp", "lmtp") and text.startswith("to=<"):
            self._sent(line)

    def settle(self, before: float = float("inf")) -> Iterator[Unsigned]:
        """Each suspect that has left by then and that nothing has cleared; without a time, all there are."""
        while self._left and self._left[0][0] <= before:
            left, queue_id = self._left.popleft()
            suspect = self._suspects.get(queue_id)
            if suspect is None or suspect.left != left or suspect.is_told:
                continue
            suspect.is_told = True
            if suspect.is_gone:
                del self._suspects[queue_id]
            yield Unsigned(
                time=left,
                queue_id=queue_id,
                sender=suspect.sender,
                to_domain=suspect.to_domain,
                relay=suspect.relay,
                why=self._why(suspect),
            )

    def state(self) -> dict[str, Any]:
        """What to remember until more of the log is read: plain data, for JSON."""
        oldest, recent = self._clock - KEEP_S, self._clock - PATIENCE_S
        return {
            "suspects": {
                name: asdict(each) for name, each in self._suspects.items() if each.arrived >= oldest
            },
            "words": {name: word for name, word in self._words.items() if word[0] >= recent},
        }

    def restore(self, state: object) -> None:
        """Take back what ``state`` said; what does not look like it is skipped."""
        for name, fields in _items(state, "suspects"):
            known = {key: value for key, value in _items({"": fields}, "") if _fits(key, value)}
            if "arrived" in known:
                known["pids"] = tuple(filter(_is_text, known.get("pids", ())))
                self._keep(name, _Suspect(**known))
        for name, word in _items(state, "words"):
            match word:
                case [int() | float() as time, str() as why]:
                    self._words[name] = (time, why)
        waiting = [
            (each.left, name) for name, each in self._suspects.items() if each.left and not each.is_told
        ]
        self._left.extend(sorted(waiting))

    def _arrive(self, line: Line) -> None:
        suspect = self._suspects.get(line.queue_id)
        if suspect is not None and line.daemon == "cleanup" and not (suspect.is_told or suspect.is_gone):
            suspect.pids = (*suspect.pids, line.pid)[:_PIDS]
            return
        said, why = self._words.get(line.queue_id, (float("-inf"), ""))
        is_new = abs(line.time - said) > PATIENCE_S
        if is_new or why:
            why = "" if is_new else why
            self._keep(line.queue_id, _Suspect(arrived=line.time, pids=(line.pid,), why=why))

    def _keep(self, queue_id: str, suspect: _Suspect) -> None:
        self._suspects.pop(queue_id, None)
        self._suspects[queue_id] = suspect
        if len(self._suspects) > self._most:
            del self._suspects[next(iter(self._suspects))]
            self.forgotten += 1

    def _remove(self, queue_id: str) -> None:
        self._words.pop(queue_id, None)
        suspect = self._suspects.get(queue_id)
        if suspect is not None and suspect.left and not suspect.is_told:
            suspect.is_gone = True
        else:
            self._suspects.pop(queue_id, None)

    def _signer_says(self, line: Line) -> None:
        pairs = line.text.split(", ")
        reason = next((each[7:] for each in pairs if each.startswith("reason=")), "")
        why = f"{SIGNER}: {reason}" if reason in BARE and "action=accept" in pairs else ""
        self._words.pop(line.queue_id, None)
        self._words[line.queue_id] = (line.time, why)
        if len(self._words) > _RECENT:
            del self._words[next(iter(self._words))]
        suspect = self._suspects.get(line.queue_id)
        if suspect is not None and why:
            suspect.why = why
        else:
            self._suspects.pop(line.queue_id, None)

    def _sent(self, line: Line) -> None:
        if "status=sent" not in line.text:
            return
        # An address or a reply may hold what looks like these words: one that is another host is enough.
        found = list(_SENT.finditer(line.text))
        away = [each for each in found if not _is_local(each[1])]
        suspect = self._suspects.get(line.queue_id)
        if away and suspect is not None and not suspect.left:
            suspect.left, suspect.relay = line.time, away[0][1]
            suspect.to_domain = _domain_of(line.text[4 : away[0].start()])
            self._left.append((line.time, line.queue_id))
        elif found and not away:
            for child in _QUEUED.findall(line.text, found[-1].end())[-1:]:
                self._is_child(child, suspect)

    def _is_child(self, queue_id: str, parent: _Suspect | None) -> None:
        child = self._suspects.get(queue_id)
        if child is not None and parent is None:
            del self._suspects[queue_id]
        elif child is not None and parent is not None and not child.why:
            child.why = self._why(parent)

    def _note_trouble(self, line: Line) -> None:
        if line.daemon not in ("smtpd", "cleanup") or not (found := _TROUBLE.match(line.text)):
            return
        self._trouble.pop(line.pid, None)
        self._trouble[line.pid] = self._last_trouble = (line.time, found[1])
        if len(self._trouble) > _RECENT:
            del self._trouble[next(iter(self._trouble))]

    def _why(self, suspect: _Suspect) -> str:
        """What Postfix said of a milter: by a daemon that took this letter, or by any at about that time."""
        if suspect.why:
            return suspect.why
        for time, text in (*(self._trouble.get(pid, (0.0, "")) for pid in suspect.pids), self._last_trouble):
            if text and abs(time - suspect.arrived) <= _LATELY_S:
                return text
        return f"{SIGNER} has said nothing of it"


def _domain_of(address: str) -> str:
    first = address.partition(">, orig_to=<")[0]
    return first.rpartition("@")[2].rstrip(">").lower()[:255] if "@" in first else ""


def _is_local(relay: str) -> bool:
    """Whether it is this host: the loopback, a socket, or nobody ("none")."""
    found = _ADDRESS.search(relay)
    if found is None:
        return True
    try:
        return ip_address(found[1]).is_loopback
    except ValueError:
        return True


_KINDS: dict[str, tuple[type, ...]] = {
    "arrived": (int, float),
    "left": (int, float),
    "pids": (list, tuple),
    "is_gone": (bool,),
    "is_told": (bool,),
    **dict.fromkeys(("sender", "why", "to_domain", "relay"), (str,)),
}


def _items(state: object, part: str) -> Iterator[tuple[str, Any]]:
    found = state.get(part) if isinstance(state, dict) else None
    if isinstance(found, dict):
        yield from ((name, value) for name, value in found.items() if isinstance(name, str))


def _fits(name: str, value: object) -> bool:
    return isinstance(value, _KINDS.get(name, ())) and isinstance(value, bool) == (name[:3] == "is_")


def _is_text(value: object) -> bool:
    return isinstance(value, str)
