"""``postvouch lookup``: what a map answers, asked as Postfix asks, or worked out here without a daemon."""

import socket
import time
from pathlib import Path

import click

from postvouch.cli import output
from postvouch.cli.known import Known, known_names
from postvouch.config.schema import Config
from postvouch.directory import owners, resolve
from postvouch.directory.model import Directory
from postvouch.directory.trace import Origins, Step, spoken, trace
from postvouch.policyd.maps import srs_of
from postvouch.policyd.srs import SRS_VIEWS
from postvouch.values.answer import Answer, Found, NotFound, Refused, Unavailable
from postvouch.wire import netstring

_TIMEOUT_S = 10.0
MAPS = sorted((*resolve.MAPS, *SRS_VIEWS))


class _NoDaemon(Exception):
    """Nobody listens at map.socket."""


@click.command(short_help="Ask one of the maps of postvouch-map.")
@click.argument("name", metavar="MAP", type=click.Choice(MAPS))
@click.argument("key")
@click.option(
    "-v", "--verbose", is_flag=True, help="Also say who answered, and by which entries and rules, or why not."
)
@click.option(
    "--local", is_flag=True, help="Do not ask the daemon: use the snapshot, or else the names files."
)
@output.config_option
@output.json_option
def lookup(name: str, key: str, verbose: bool, local: bool, path: Path | None, as_json: bool) -> None:
    """Ask the map MAP for KEY and print the value, as "postmap -q" would.

    Maps: alias, forward, alias-domain, transport, owners, recipients, srs-forward, srs-reverse. Which of
    them a host has depends on general.role. Exit status 1: not found; 75: cannot be known now.
    """
    config = output.configuration(path)
    names = known_names(config) if verbose or as_json else None
    try:
        if local:
            raise _NoDaemon
        answer, via = _ask(config.map.socket, name, key), f"postvouch-map at {config.map.socket}"
        if names is not None and not isinstance(answer, Unavailable):
            answer = _with_reason(answer, _answer(config, names.directory, name, key))
    except _NoDaemon:
        names = names or known_names(config)
        answer, via = _answer(config, names.directory, name, key), names.via
    steps = _steps(config, names, name, key) if names is not None and (verbose or as_json) else ()
    _print(name, key, answer, via, steps, verbose, as_json)
    output.leave(output.STATUS_OF_ANSWER[type(answer)])


def _ask(address: str, name: str, key: str) -> Answer:
    """Put the question to the daemon. Raises _NoDaemon."""
    decoder = netstring.Decoder()
    with _connect(address) as connection:
        try:
            connection.sendall(netstring.encode(f"{name} {key}".encode("utf-8", "surrogateescape")))
            # At the end of the stream a byte that is no netstring, so that the decoder says what is missing.
            while not (replies := decoder.feed(connection.recv(65536) or b"!")):
                pass
        except (OSError, netstring.ProtocolError) as error:
            return Unavailable(f"the daemon gave no answer: {error}")
    status, _, text = replies[0].decode("utf-8", "replace").partition(" ")
    if status == "OK":
        return Found(text)
    return NotFound() if status == "NOTFOUND" else Unavailable(text or status)


def _connect(address: str) -> socket.socket:
    how, _, where = address.partition(":")
    try:
        if how == "inet":
            host, _, port = where.rpartition(":")
            return socket.create_connection((host.strip("[]"), int(port)), _TIMEOUT_S)
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(_TIMEOUT_S)
            connection.connect(where)
        except OSError:
            connection.close()
            raise
    except OSError as error:
        raise _NoDaemon from error
    return connection


def _with_reason(told: Answer, worked_out: Answer) -> Answer:
    """The daemon's answer with the provenance that only a look into the names gives, where the two agree."""
    if isinstance(told, Found) and isinstance(worked_out, Found) and told.value == worked_out.value:
        return worked_out
    if isinstance(told, NotFound) and isinstance(worked_out, NotFound | Refused):
        return worked_out
    return told


def _answer(config: Config, directory: Directory, name: str, key: str) -> Answer:
    role = config.general.role
    if name in SRS_VIEWS:
        return srs_of(config).lookup(role, name, key, today=int(time.time() // 86400))
    answer = resolve.lookup(directory, role, name, key, nexthop=config.map.forward_transport)
    if name not in resolve.VIEWS.get(role, frozenset()):
        return answer
    return resolve.believed(
        directory,
        key,
        answer,
        ours=config.general.domains,
        age_s=max(0.0, time.time() - directory.verified_at),
        hard_age_s=config.map.hard_age,
    )


def _steps(config: Config, names: Known, name: str, key: str) -> tuple[Step, ...]:
    """The entries and rules behind the answer, as this host's snapshot or files have them."""
    if name in SRS_VIEWS or name not in resolve.VIEWS.get(config.general.role, frozenset()):
        return ()
    origins = Origins(names.parts)
    if name == "owners":
        steps = (each for right in owners.who_can(names.directory, origins, key) for each in right.way)
        return tuple(dict.fromkeys(steps))
    outside = "forward" in resolve.VIEWS[config.general.role]
    return trace(names.directory, origins, key, outside=outside)


def _print(
    name: str, key: str, answer: Answer, via: str, steps: tuple[Step, ...], verbose: bool, as_json: bool
) -> None:
    found = isinstance(answer, Found)
    reason = answer.source if isinstance(answer, Found) else answer.reason
    if as_json:
        output.print_json(
            {
                "map": name,
                "key": key,
                "answer": output.ANSWERS[type(answer)],
                "value": answer.value if isinstance(answer, Found) else None,
                "source" if found else "reason": reason,
                "way": spoken(steps),
                "via": via,
            }
        )
        return
    if isinstance(answer, Found):
        output.line(answer.value)
    elif not isinstance(answer, NotFound) and not verbose:
        click.echo(output.clean(reason), err=True)
    if verbose:
        word = output.ANSWERS[type(answer)]
        click.echo(output.clean(f"{word}{f': {reason}' if reason else ''} (asked {via})"), err=True)
        for step in steps:
            click.echo(output.clean(f"    {step}"), err=True)
