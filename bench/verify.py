"""Verifying: our daemon beside rspamd and the chain of OpenDKIM, pyspf-milter and OpenDMARC."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from bench import engine, letters, load, rounds, servers, table
from bench.letters import DOMAINS
from bench.servers import CONF, ENGINES, RUN, Program, Server

CHAIN = ("opendkim", "pyspf-milter", "opendmarc")
CHAINED = "chain of the three"
FIELD = "Authentication-Results"
ALL_THREE = (f"{FIELD}=spf=pass", f"{FIELD}=dkim=pass", f"{FIELD}=dmarc=pass")


def programs() -> tuple[Program, ...]:
    """The milters, ours first."""
    return (
        *(servers.ours(engine, "verify", ALL_THREE) for engine in ENGINES),
        servers.rspamd("rspamd.conf", ALL_THREE),
        Program(
            name="opendkim",
            command=("opendkim", "-f", "-x", f"{CONF}/opendkim.conf"),
            expect=(f"{FIELD}=dkim=pass",),
        ),
        Program(
            name="pyspf-milter",
            command=("pyspf-milter", f"{CONF}/pyspf-milter.conf"),
            expect=(f"{FIELD}=spf=pass",),
        ),
        Program(
            name="opendmarc",
            command=("opendmarc", "-f", "-c", f"{CONF}/opendmarc.conf"),
            expect=(f"{FIELD}=dmarc=pass",),
        ),
    )


def main(given: argparse.Namespace) -> None:
    """Measure and report. Raises Broken."""
    sizes = given.sizes or ["5k"]
    policies = letters.MIXED if given.spf == "mixed" else letters.PLAIN
    (RUN / "zone.conf").write_text(letters.write(RUN / "letters", sizes, policies))
    resolver = servers.unbound(DOMAINS[-1])
    if given.engine:
        with servers.running([resolver]):
            for size in sizes:
                engine.report(RUN / "letters" / size, profile=given.profile)
        return
    about = rounds.machine("rspamd", "opendkim", "pyspf-milter", "opendmarc", "unbound")
    texts, data = [], {}
    with servers.running([resolver, *programs()]) as (_, *milters):
        for size in sizes:
            ready = _ready(milters, RUN / "letters" / size)
            measured = [chained(each) for each in rounds.measure(milters, ready, _envelope, given, size)]
            texts.append(
                f"Letters of {size}, SPF {given.spf}, {given.rounds} x {rounds.seconds_of(size, given):g} s:"
            )
            texts += [table.markdown(measured), "\n".join(aims(measured, given.connections))]
            data[size] = rounds.plain(measured)
    rounds.write("verify", about, texts, {"letters": data})


def _envelope(letter: Path | None) -> Sequence[str]:
    # Letters come in turn and senders by lot: SPF passes for a domain that mostly is not the author's.
    domain = letter.stem if letter else "{pick:" + "|".join(DOMAINS) + "}"
    return ("--mail-from", f"bounce@{domain}", "--rcpt", "bob@our.example")


def _ready(milters: Sequence[Server], folder: Path) -> dict[str, Path]:
    """The letters for each server. All have seen every letter once by then: what they cache, they have."""
    ready: dict[str, Path] = {}
    passed = folder
    for server in milters:
        to = folder.parent / f"{folder.name}-{server.name}"
        ready[server.name] = passed if server.name in CHAIN else folder
        result = load.passed_on(server, ready[server.name], _envelope, to)
        if server.name in CHAIN:
            passed = result
    return ready


def chained(figures: Mapping[table.Key, load.Figures]) -> table.Round:
    """The figures with those of the chain, which nobody can drive as one from outside.

    A letter passes one server after the other, and all of them want the same processors: times add up.
    """
    result = dict(figures)
    for connections in {key[1] for key in figures}:
        parts = [figures[name, connections] for name in CHAIN]
        result[CHAINED, connections] = replace(
            parts[0],
            rate=1 / sum(1 / part.rate for part in parts),
            p50=sum(part.p50 for part in parts),
            p99=sum(part.p99 for part in parts),
            cpu=sum(part.cpu for part in parts),
            worker=sum(part.worker for part in parts),
            pss=sum(part.pss for part in parts),
            letters=min(part.letters for part in parts),
            wrong=sum(part.wrong for part in parts),
        )
    return result


def aims(measured: Sequence[table.Round], connections: Sequence[int]) -> list[str]:
    """What was to be reached, and whether it is."""
    busy = max(connections)
    lines = []
    for each in ENGINES:
        name = f"postvouch-{each}"
        cpu = table.ratio(measured, (CHAINED, busy), (name, busy), lambda point: point.cpu)
        lines += [
            table.faster(measured, name, CHAINED, busy, 5),
            table.said(f"CPU, {CHAINED} / {name}", cpu, None),
            table.faster(measured, name, "rspamd", busy, 0.6),
        ]
        if 8 in connections:
            late = median(each[name, 8].p99 for each in measured)
            lines.append(table.said(f"p99 of {name} at 8 connections, ms", late, 25, most=True))
    return lines
