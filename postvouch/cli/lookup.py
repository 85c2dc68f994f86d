"""``postvouch lookup``: what a map answers, asked as Postfix asks, or worked out here without a daemon."""

import socket
import time
from dataclasses import dataclass
from pathlib import Path

import click

from postvouch.cli import output
from postvouch.config.schema import Config
from postvouch.directory import files, resolve, snapshot
from postvouch.directory.compile import compile_directory
from postvouch.directory.model import Directory
from postvouch.host.refresh import rules_of
from postvouch.policyd.maps import srs_of
from postvouch.policyd.srs import SRS_VIEWS
from postvouch.values.answer import Answer, Found, NotFound, Refused, Unavailable
from postvouch.wire import netstring

_TIMEOUT_S = 10.0
MAPS = sorted((*resolve.MAPS, *SRS_VIEWS))


class _NoDaemon(Exception):
    """Nobody listens at map.socket."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Names:
    """A directory and where it is from."""

    directory: Directory
    via: str


@click.command(short_help="Ask one of the maps of postvouch-map.")
@click.argument("name", metavar="MAP", type=click.Choice(MAPS))
@click.argument("key")
@click.option(
    "-v", "--verbose", is_flag=True, help="Also say who answered, from which file and line, or why not."
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
    try:
        if local:
            raise _NoDaemon
        answer, via = _ask(config.map.socket, name, key), f"postvouch-map at {config.map.socket}"
        if verbose and not isinstance(answer, Unavailable):
            answer = _with_reason(answer, _answer(config, _names(config).directory, name, key))
    except _NoDaemon:
        names = _names(config)
        answer, via = _answer(config, names.directory, name, key), names.via
    _print(name, key, answer, via, verbose, as_json)
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


def _names(config: Config) -> _Names:
    try:
        directory = snapshot.load(Path(config.map.snapshot), rules=rules_of(config))
    except snapshot.SnapshotError:
        part, _ = files.read(config.map.names, config.general.domains, now=time.time())
        directory = compile_directory((part,), rules=rules_of(config)).directory
        return _Names(directory=directory, via=f"names files {', '.join(config.map.names)}")
    return _Names(directory=directory, via=f"snapshot {config.map.snapshot}")


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


def _print(name: str, key: str, answer: Answer, via: str, verbose: bool, as_json: bool) -> None:
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
