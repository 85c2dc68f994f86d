"""What was measured, for a person to read."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median

from bench.load import Figures

Key = tuple[str, int]
"""A server and a number of connections."""

Round = Mapping[Key, Figures]
"""Each point once."""


def markdown(rounds: Sequence[Round]) -> str:
    """One row a server: medians, and the least and the most of the rates; below, wrong answers."""
    connections = sorted({key[1] for key in rounds[0]}, reverse=True)
    heads = [f"/s at {n}" for n in connections]
    heads += [f"p50 / p99 ms at {n}" for n in connections]
    heads += ["CPU s/1000 at " + " / ".join(map(str, connections)), "RSS of a worker (PSS of all) MiB"]
    lines = ["| server | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    notes = []
    for name in dict.fromkeys(key[0] for key in rounds[0]):
        points = {n: [each[name, n] for each in rounds] for n in connections}
        cells = [spread([point.rate for point in points[n]]) for n in connections]
        cells += [
            f"{median(point.p50 for point in points[n]):.1f} / {median(point.p99 for point in points[n]):.1f}"
            for n in connections
        ]
        cells.append(" / ".join(f"{median(point.cpu for point in points[n]):.2f}" for n in connections))
        most = [point for n in connections for point in points[n]]
        cells.append(f"{max(point.worker for point in most):.0f} ({max(point.pss for point in most):.0f})")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
        wrong, letters = sum(point.wrong for point in most), sum(point.letters for point in most)
        if wrong:
            notes.append(f"{name}: {wrong} of {letters} letters did not get the answer that is theirs.")
    return "\n".join(lines) + "".join(f"\n\n{note}" for note in notes)


def spread(rates: Sequence[float]) -> str:
    """The median, and from where to where."""
    ends = f" ({min(rates):.0f} to {max(rates):.0f})" if len(rates) > 1 else ""
    return f"{median(rates):.0f}{ends}"


def ratio(rounds: Sequence[Round], one: Key, other: Key, what: Callable[[Figures], float]) -> float:
    """The median of the ratios within each round, so that noise is shared."""
    return median(what(each[one]) / what(each[other]) for each in rounds)


def faster(rounds: Sequence[Round], one: str, other: str, connections: int, aim: float | None) -> str:
    """How many times as many letters a second one server answers as the other, and whether that is enough."""
    value = ratio(rounds, (one, connections), (other, connections), lambda point: point.rate)
    return said(f"letters/s at {connections} connections, {one} / {other}", value, aim)


def said(what: str, value: float, aim: float | None, *, most: bool = False) -> str:
    """A line of what was to be reached: at least ``aim``, or at most."""
    line = f"{what}: {value:.2f}"
    if aim is None:
        return line
    is_reached = value <= aim if most else value >= aim
    return f"{line} (at {'most' if most else 'least'} {aim:g}: {'reached' if is_reached else 'MISSED'})"
