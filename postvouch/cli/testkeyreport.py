"""What ``postvouch dkim testkey`` prints: opendkim-testkey's lines, a table for several keys, or JSON."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import click

from postvouch.cli import output
from postvouch.host.dnsexamine import Examination
from postvouch.sign.finding import MEANINGS, Fault, Strictness
from postvouch.sign.keys import KeySpec

PROGRAM = "postvouch dkim testkey"
FILES, DETAILS = 2, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """One key and all that was found. ``examination`` is None where DNS was not asked."""

    spec: KeySpec
    name: str
    examination: Examination | None
    faults: tuple[Fault, ...]
    is_loaded: bool

    @property
    def is_secure(self) -> bool:
        """Whether DNSSEC proves the record."""
        return self.examination is not None and self.examination.is_secure


def statuses() -> str:
    """The exit statuses in one paragraph, for the manual."""
    parts = ["0 good"]
    for meaning, finding in sorted((each.status, finding) for finding, each in MEANINGS.items()):
        warning = " (a warning)" if MEANINGS[finding].is_warning else ""
        parts.append(f"{meaning} {finding}{warning}")
    return ", ".join(parts) + "."


class Report:
    """What was found, and how much of it counts."""

    def __init__(self, tested: Sequence[Tested], strictness: Strictness) -> None:
        self._tested = tested
        self._strictness = strictness
        self.status = strictness.status(fault for each in tested for fault in each.faults)

    def print_lines(self, verbose: int, configuration: str) -> None:
        """The lines of opendkim-testkey, and between them what it does not say."""
        if verbose >= FILES and configuration:
            _say(configuration)
        for each in self._tested:
            if verbose >= FILES and each.spec.file and each.is_loaded:
                _say(f"key loaded from {each.spec.file}")
            if verbose:
                _say(f"checking key '{each.name}'")
            for line in _details(each) if verbose >= DETAILS else ():
                _say(line)
            place = "" if verbose else f"{each.name}: "
            for fault in each.faults:
                is_error = self._strictness.is_error(fault.finding)
                _say(f"{place}{'' if is_error else 'warning: '}{fault}", "red" if is_error else "yellow")
                output.line(f"    to mend it: {MEANINGS[fault.finding].remedy}")
            end = self._end(each)
            if end:
                _say(place + end, "green")

    def _end(self, each: Tested) -> str:
        """The last word on a key that can be used as it is."""
        if self._strictness.status(each.faults):
            return ""
        return "key secure" if each.is_secure else "key OK"

    def print_table(self) -> None:
        """A line a key, then what to do about those with a fault."""
        rows = []
        for each in self._tested:
            state = "problem" if self._strictness.status(each.faults) else "warning" if each.faults else "ok"
            rows.append((each.name, state, "; ".join(map(str, each.faults)) or self._end(each)))
        output.table(("KEY", "STATE", "FINDINGS"), rows)
        for finding in dict.fromkeys(fault.finding for each in self._tested for fault in each.faults):
            output.line(f"{MEANINGS[finding].text}: {MEANINGS[finding].remedy}")

    def print_json(self) -> None:
        """Everything, as one document."""
        keys = [{"status": self._strictness.status(each.faults), **_data(each)} for each in self._tested]
        output.print_json({"status": self.status, "keys": keys})


def _details(each: Tested) -> list[str]:
    """What each server says, and each link."""
    if each.examination is None:
        return []
    look = each.examination.look
    lines = [f"zone {look.zone or '.'}"] if look.servers else []
    for server in look.servers:
        said = server.trouble or f"{server.status}, {len(server.texts)} TXT, serial {server.serial}"
        lines.append(f"server {server.server} [{server.address}]: {said}")
    resolver = look.resolver
    said = resolver.trouble or f"{resolver.status}, {len(resolver.texts)} TXT, TTL {resolver.ttl_s} s"
    lines.append(f"resolver: {said}{', secure' if resolver.secure else ''}")
    for chain in each.examination.chains:
        lines += [f"chain: {link}" for link in chain.links]
        if chain.trouble:
            lines.append(f"chain: {chain.trouble}")
    return lines


def _say(text: str, colour: str = "") -> None:
    line = f"{PROGRAM}: {output.clean(text)}"
    is_plain = not colour or not output.terminal() or "NO_COLOR" in os.environ
    output.raw(line if is_plain else click.style(line, fg=colour))


def _data(each: Tested) -> dict[str, Any]:
    data: dict[str, Any] = {
        "name": each.name,
        "domain": each.spec.domain,
        "selector": each.spec.selector,
        "file": each.spec.file,
        "secure": each.is_secure,
        "findings": [
            {
                "finding": str(fault.finding),
                "status": MEANINGS[fault.finding].status,
                "warning": MEANINGS[fault.finding].is_warning,
                "text": MEANINGS[fault.finding].text,
                "detail": fault.detail,
                "remedy": MEANINGS[fault.finding].remedy,
            }
            for fault in each.faults
        ],
    }
    if each.examination is None:
        return data
    look = each.examination.look
    return data | {
        "zone": look.zone,
        "aliases": look.aliases,
        "wildcard": look.is_wildcard,
        "trouble": look.trouble,
        "servers": [_plain(asdict(server)) for server in look.servers],
        "resolver": _plain(asdict(look.resolver)),
        "chain": [link for chain in each.examination.chains for link in chain.links],
    }


def _plain(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer for JSON: texts as text, any octet that is none spelled out."""
    texts = [[string.decode("ascii", "backslashreplace") for string in text] for text in answer["texts"]]
    return answer | {"texts": texts}
