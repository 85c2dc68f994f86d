"""How much has a key used of its limit in the window that slides? In memory, bounded, exact enough to trust.

The window is cut into slots; a slot counts until all of it is older than the window. So a limit is never
exceeded in any window, and what was used frees at most one slot (a 60th) late.
"""

from collections import OrderedDict
from dataclasses import dataclass

SLOTS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The state after one request: whether it was counted, how many are, when (seconds) the next frees."""

    allowed: bool
    used: int
    frees_in_s: float = 0.0


class LocalCounter:
    """Counters of this process. At most ``max_keys`` keys, the one longest unused forgotten first."""

    def __init__(self, *, max_keys: int = 100_000) -> None:
        self._max_keys = max_keys
        self._slots: OrderedDict[tuple[str, float], dict[int, int]] = OrderedDict()

    def take(self, key: str, *, limit: int, window_s: float, now: float) -> Usage:
        """Count one for ``key`` if ``limit`` (0: none) has room for it. ``now``: monotonic seconds."""
        slot_s = window_s / SLOTS
        current = int(now // slot_s)
        slots = self._of(key, window_s)
        for slot in [s for s in slots if s < current - SLOTS]:
            del slots[slot]
        used = sum(slots.values())
        frees = (min(slots, default=current) + 1) * slot_s + window_s - now
        if limit and used >= limit:
            return Usage(allowed=False, used=used, frees_in_s=frees)
        slots[current] = slots.get(current, 0) + 1
        return Usage(allowed=True, used=used + 1, frees_in_s=frees)

    def _of(self, key: str, window_s: float) -> dict[int, int]:
        slots = self._slots.setdefault((key, window_s), {})
        self._slots.move_to_end((key, window_s))
        if len(self._slots) > self._max_keys:
            self._slots.popitem(last=False)
        return slots
