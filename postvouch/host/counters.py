"""How much has a key used of its limit in the window that slides? In memory, bounded, exact enough to trust.

The window is cut into slots; a slot counts until all of it is older than the window. So a limit is never
exceeded in any window, and what was used frees at most one slot (a 60th) late.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

SLOTS = 60
MOST_KEYS = 100_000


# Tuples, where the house has frozen dataclasses elsewhere: each letter makes several, in a fifth of the time.
class Charge(NamedTuple):
    """What one letter takes from one limit: ``amount`` of ``limit`` in any ``window_s`` seconds.

    ``counter`` is the name of the counter: another window has to have another one, for its slots differ.
    ``enforced``: whether the letter is refused where there is no room.
    """

    counter: str
    amount: int
    limit: int
    window_s: float
    enforced: bool = True


class Usage(NamedTuple):
    """What a charge met: whether there was room, how much is used now, in how many seconds there is room.

    ``frees_in_s`` is 0 where there is room, and negative where there never will be.
    """

    fits: bool
    used: int
    frees_in_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one counter holds in one slot; the slot begins at ``slot * width_s`` of the clock."""

    counter: str
    slot: int
    width_s: float
    used: int


def is_counted(charges: Sequence[Charge], usages: Sequence[Usage]) -> bool:
    """Whether the letter is taken: all that is enforced had room."""
    for charge, usage in zip(charges, usages, strict=True):
        if charge.enforced and not usage.fits:
            return False
    return True


class LocalCounter:
    """Counters of this process. At most ``most`` of them, the one longest unused forgotten first.

    ``now`` is seconds of a clock that outlives the process. If it is set back, what seems to be of the
    future counts as of now: the window then is longer by as much, and never shorter.
    """

    def __init__(self, *, most: int = MOST_KEYS) -> None:
        self._most = most
        self._slots: OrderedDict[str, _Slots] = OrderedDict()
        self._changed: dict[tuple[str, int], float] = {}

    def __len__(self) -> int:
        return len(self._slots)

    def take(self, charges: Sequence[Charge], now: float) -> tuple[Usage, ...]:
        """Count a letter if there is room in all limits that are enforced, else nowhere; one usage each."""
        before = []
        for charge in charges:
            slots = self._of(charge, now)
            room = charge.limit - charge.amount - slots.used
            before.append(Usage(room >= 0, slots.used, 0.0 if room >= 0 else slots.frees(-room, now)))
        if not is_counted(charges, before):
            return tuple(before)
        self.add(charges, now)
        return tuple(
            [
                Usage(met.fits, met.used + charge.amount, met.frees_in_s)
                for charge, met in zip(charges, before, strict=True)
            ]
        )

    def add(self, charges: Iterable[Charge], now: float) -> None:
        """Count a letter that somebody else let through."""
        for charge in charges:
            slots = self._of(charge, now)
            current = int(now // slots.width_s)
            slots.put(current, charge.amount)
            self._changed[charge.counter, current] = slots.width_s

    def changes(self) -> list[Row]:
        """What has changed since this was last asked."""
        changed, self._changed = self._changed, {}
        rows = []
        for (counter, slot), width_s in changed.items():
            slots = self._slots.get(counter)
            used = 0 if slots is None else slots.at(slot)
            if used:
                rows.append(Row(counter=counter, slot=slot, width_s=width_s, used=used))
        return rows

    def not_kept(self, rows: Iterable[Row]) -> None:
        """These changes could not be written: they are among the next ones, as far as they still count."""
        for row in rows:
            self._changed.setdefault((row.counter, row.slot), row.width_s)

    def restore(self, rows: Iterable[Row], now: float) -> None:
        """Take back what ``changes`` gave, oldest first; what is over by ``now`` is forgotten."""
        for row in rows:
            slots = self._slots.setdefault(row.counter, _Slots(row.width_s))
            slots.put(row.slot, row.used)
        for counter, slots in tuple(self._slots.items()):
            self._slide(counter, slots, now)
            if not slots.used:
                del self._slots[counter]
        while len(self._slots) > self._most:
            self._slots.popitem(last=False)

    def used(self, now: float) -> Iterator[tuple[str, int]]:
        """Every counter that is not empty."""
        for counter, slots in self._slots.items():
            self._slide(counter, slots, now)
            if slots.used:
                yield counter, slots.used

    def _of(self, charge: Charge, now: float) -> "_Slots":
        slots = self._slots.get(charge.counter)
        if slots is None:
            slots = self._slots[charge.counter] = _Slots(charge.window_s / SLOTS)
            if len(self._slots) > self._most:
                self._slots.popitem(last=False)
        else:
            self._slots.move_to_end(charge.counter)
        self._slide(charge.counter, slots, now)
        return slots

    def _slide(self, counter: str, slots: "_Slots", now: float) -> None:
        if slots.slide(now):
            self._changed[counter, int(now // slots.width_s)] = slots.width_s


class _Slots:
    """One counter: slots that hold something, oldest first, and their sum."""

    __slots__ = ("_slots", "used", "width_s")

    def __init__(self, width_s: float) -> None:
        self.used = 0
        self.width_s = width_s
        self._slots: list[tuple[int, int]] = []

    def slide(self, now: float) -> bool:
        """Forget what is over; whether something seemed to be of the future, and is of now from now on."""
        slots, current = self._slots, int(now // self.width_s)
        while slots and slots[0][0] < current - SLOTS:
            self.used -= slots.pop(0)[1]
        ahead = 0
        while slots and slots[-1][0] > current:
            ahead += slots.pop()[1]
        if ahead:
            self.used -= ahead
            self.put(current, ahead)
        return ahead > 0

    def put(self, slot: int, amount: int) -> None:
        if self._slots and self._slots[-1][0] == slot:
            amount_before = self._slots.pop()[1]
            self._slots.append((slot, amount_before + amount))
        else:
            self._slots.append((slot, amount))
        self.used += amount

    def at(self, slot: int) -> int:
        return next((used for number, used in reversed(self._slots) if number == slot), 0)

    def frees(self, wanted: int, now: float) -> float:
        """In how many seconds so much is free again; -1 for never."""
        for slot, used in self._slots:
            wanted -= used
            if wanted <= 0:
                return (slot + 1 + SLOTS) * self.width_s - now
        return -1.0
