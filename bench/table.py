"""What was measured, for a person to read."""

from collections.abc import Mapping, Sequence
from statistics import median

from bench.load import Figures
from bench.servers import CHAIN, OURS, RSPAMD

Key = tuple[str, int]
"""A server and a number of connections."""

Round = Mapping[Key, Figures]
"""Each point once."""

CHAINED = "chain of the three"


def chained(figures: Round) -> dict[Key, Figures]:
    """The figures with those of the chain, which nobody can drive as one from outside.

    A letter passes one server after the other, and all of them want the same processors: times add up.
    """
    result = dict(figures)
    for connections in {key[1] for key in figures}:
        parts = [figures[name, connections] for name in CHAIN]
        result[CHAINED, connections] = Figures(
            rate=1 / sum(1 / part.rate for part in parts),
            p50=sum(part.p50 for part in parts),
            p99=sum(part.p99 for part in parts),
            cpu=sum(part.cpu for part in parts),
            rss=sum(part.rss for part in parts),
            pss=sum(part.pss for part in parts),
            letters=min(part.letters for part in parts),
            wrong=sum(part.wrong for part in parts),
        )
    return result


def markdown(rounds: Sequence[Round]) -> str:
    """One row a server: medians, and the least and the most of the rates; below, wrong verdicts."""
    connections = sorted({key[1] for key in rounds[0]}, reverse=True)
    heads = [f"/s at {n}" for n in connections]
    heads += [f"p50 / p99 ms at {n}" for n in connections]
    heads += ["CPU s/1000 at " + " / ".join(map(str, connections)), "RSS (PSS) MiB"]
    lines = ["| server | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    notes = []
    for name in dict.fromkeys(key[0] for key in rounds[0]):
        points = {n: [each[name, n] for each in rounds] for n in connections}
        cells = [_rates([point.rate for point in points[n]]) for n in connections]
        cells += [
            f"{median(point.p50 for point in points[n]):.1f} / {median(point.p99 for point in points[n]):.1f}"
            for n in connections
        ]
        cells.append(" / ".join(f"{median(point.cpu for point in points[n]):.2f}" for n in connections))
        most = [point for n in connections for point in points[n]]
        cells.append(f"{max(point.rss for point in most):.0f} ({max(point.pss for point in most):.0f})")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
        wrong, letters = sum(point.wrong for point in most), sum(point.letters for point in most)
        if wrong:
            notes.append(f"{name}: {wrong} of {letters} letters did not get the verdict that is theirs.")
    return "\n".join(lines) + "".join(f"\n\n{note}" for note in notes)


def _rates(rates: Sequence[float]) -> str:
    spread = f" ({min(rates):.0f} to {max(rates):.0f})" if len(rates) > 1 else ""
    return f"{median(rates):.0f}{spread}"


def aims(rounds: Sequence[Round], busy: int, calm: int) -> list[str]:
    """What was to be reached, and whether it is: ratios are taken within a round, so that noise is shared."""

    def against(name: str) -> float:
        return median(each[OURS, busy].rate / each[name, busy].rate for each in rounds)

    def said(what: str, value: float, reached: bool, aim: str) -> str:
        return f"{what}: {value:.2f} ({aim}: {'reached' if reached else 'MISSED'})"

    chain, rspamd = against(CHAINED), against(RSPAMD)
    cpu = median(each[CHAINED, busy].cpu / each[OURS, busy].cpu for each in rounds)
    late = median(each[OURS, calm].p99 for each in rounds)
    return [
        said(f"letters/s at {busy} connections, {OURS} / {CHAINED}", chain, chain >= 5, "at least 5"),
        f"CPU, {CHAINED} / {OURS}: {cpu:.2f}",
        said(f"letters/s at {busy} connections, {OURS} / {RSPAMD}", rspamd, rspamd >= 0.6, "at least 0.6"),
        said(f"p99 at {calm} connections, ms", late, late < 25, "below 25"),
    ]
