"""What a server and all its processes use, from /proc."""

from pathlib import Path

MIB = 1 << 20
PAGE = 4096


def family(pid: int) -> list[int]:
    """The process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for place in Path("/proc").iterdir():
        if place.name.isdecimal():
            try:
                stat = (place / "stat").read_text()
            except OSError:
                continue  # gone meanwhile
            children.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(place.name))
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found


def worker_rss(pid: int) -> float:
    """MiB that the largest of its processes has in memory, which is one of those that work."""
    return max(map(_resident, family(pid))) / MIB


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except OSError:
        return 0


def cpu_s(pid: int) -> float:
    """Seconds of processor that they have used, those of children that have ended included."""
    ticks = 0
    for each in family(pid):
        try:
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += sum(map(int, fields[11:15]))
    return ticks / 100
