"""The guard against a source that suddenly knows far less: an empty export, a search with other rights."""

from collections.abc import Sequence

from postvouch.directory.model import Kind, Part


def shrunk(old: Sequence[Part], new: Sequence[Part], max_shrink: int) -> str:
    """Why ``new`` lost too much to be believed, "" if it did not.

    Counted are names and logins, not domains. Losing all of one source is too much at any setting below 100.
    """
    before, after = _sizes(old), _sizes(new)
    total_before, total_after = sum(before.values()), sum(after.values())
    if (total_before - total_after) * 100 > max_shrink * total_before:
        return f"{total_after} entries instead of {total_before}: more than {max_shrink} % lost"
    for origin, size in before.items():
        if size and not after.get(origin) and max_shrink < 100:
            return f"all {size} entries from {origin} are gone"
    return ""


def _sizes(parts: Sequence[Part]) -> dict[str, int]:
    return {p.origin: sum(e.kind is not Kind.DOMAIN for e in p.entries) for p in parts}
