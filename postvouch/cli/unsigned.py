"""``postvouch unsigned``: which letters left this host without the signature that they should have."""

import gzip
import json
import math
import os
import re
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import click

from postvouch.cli import output
from postvouch.config.load import DEFAULT_PATH
from postvouch.host import log
from postvouch.sign.outbound import PATIENCE_S, Outbound, Unsigned
from postvouch.wire.maillog import Lines, parse

SIGNING = ("srs", "submission", "relay", "single")
EVENT = "unsigned_outbound"
_CHUNK = 1 << 16
_TICK_S = 2.0
_CURSOR = "-- cursor: "
_AGO = re.compile(r"(\d{1,9})([smhdw])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1)
@click.option(
    "--since",
    default="",
    metavar="TIME",
    help='Only what has left since: "2h", "1d", a local time as "2026-11-24 03:00", or "@" and seconds since '
    "1970. Default for the journal: 1h.",
)
@click.option("--follow", is_flag=True, help="Go on with what the log gets, until interrupted.")
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Read the journal from where the last run with this file ended.",
)
@output.config_option
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each letter, one a line.")
def unsigned(
    files: tuple[str, ...], since: str, follow: bool, state: Path | None, path: Path | None, as_json: bool
) -> None:
    """Find letters that left this host unsigned.

    Read are the files of Postfix's log ("-" is standard input), or the journal where none is named. A letter
    is found when Postfix sent it to another host (smtp, lmtp) and postvouch-sign said nothing of it, because
    it was away and the milter's default_action is "accept", or said that it leaves mail of ours unsigned. One
    line each: queue id, sender, domain of the recipient, relay, and why. Letters that came before the log
    begins are not judged. Exit status 1 if there is one, 0 if none.

    Run by systemd (postvouch-unsigned.timer) it writes the lines to the journal as warnings.
    """
    if state and (files or follow):
        raise output.Failure(output.USAGE, "--state is for reading the journal, once a run")
    if follow and len(files) > 1:
        raise output.Failure(output.USAGE, "--follow takes one FILE, or the journal")
    privacy = "full"
    if path or (not files and DEFAULT_PATH.exists()):
        config = output.configuration(path)
        privacy = config.log.privacy
        if config.general.role not in SIGNING:
            output.line(f'general.role is "{config.general.role}": nothing is signed on this host')
            return
    begin = _since(since)
    kept = _State(state)
    letters = Outbound()
    letters.restore(kept.letters)
    source = _files(files) if files and not follow else _program(_command(files, follow, begin, kept.cursor))
    tell = _Teller(as_json, privacy)
    with closing(source):
        try:
            for found in _judge(letters, source, kept):
                if found.time >= begin:
                    tell(found)
        except KeyboardInterrupt:
            pass
    if letters.forgotten:
        click.echo(f"{letters.forgotten} letters were too many to be remembered, and not judged", err=True)
    kept.write(letters)
    output.leave(output.NEGATIVE if tell.count else output.OK)


def _judge(letters: Outbound, source: Iterable[bytes], kept: "_State") -> Iterator[Unsigned]:
    """Read it all; b"" among the octets means that for a moment there are no more."""
    lines = Lines()
    offset_s = time.localtime().tm_gmtoff

    def read(texts: Iterable[str]) -> Iterator[Unsigned]:
        for text in texts:
            if text.startswith(_CURSOR):
                kept.cursor = text.removeprefix(_CURSOR)
            elif line := parse(text, now=time.time(), offset_s=offset_s):
                yield from letters.feed(line)

    for octets in source:
        if octets:
            yield from read(lines.feed(octets))
        else:
            yield from letters.settle()
    yield from read(lines.close())
    # What has left just now the next run decides, where there is one.
    yield from letters.settle(time.time() - PATIENCE_S if kept.is_kept else math.inf)


def _since(text: str) -> float:
    if not text:
        return 0.0
    if ago := _AGO.fullmatch(text):
        return time.time() - int(ago[1]) * _SECONDS[ago[2]]
    try:
        return int(text[1:]) if text.startswith("@") else datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        raise output.Failure(
            output.USAGE, f'--since "{output.clean(text)}": write "2h", "1d" or "2026-11-24 03:00"'
        ) from None


def _files(names: Iterable[str]) -> Generator[bytes, None, None]:
    for name in names:
        try:
            with _opened(name) as file:
                while octets := file.read(_CHUNK):
                    yield octets
        except (OSError, EOFError) as error:
            raise output.Failure(output.UNAVAILABLE, f"{name}: {error}") from None


def _opened(name: str) -> IO[bytes]:
    if name == "-":
        return os.fdopen(os.dup(0), "rb")
    return gzip.open(name, "rb") if name.endswith(".gz") else Path(name).open("rb")  # type: ignore[return-value]


def _command(files: tuple[str, ...], follow: bool, begin: float, cursor: str) -> list[str]:
    if files:
        return ["tail", "-n", "+1", "-F", "--", files[0]]
    words = ["journalctl", "--quiet", "--no-pager", "--all", "--output=short-iso-precise"]
    words += ["--follow", "--no-tail"] if follow else ["--show-cursor"]
    start = f"--after-cursor={cursor}" if cursor else f"--since=@{begin or time.time() - 3600:.0f}"
    return [*words, start, "SYSLOG_FACILITY=2"]


def _program(words: list[str]) -> Generator[bytes, None, None]:
    """What a program writes, as it comes; b"" whenever it pauses."""
    program = shutil.which(words[0])
    if program is None:
        raise output.Failure(output.UNAVAILABLE, f"{words[0]} is not there; name the log FILE")
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen([program, *words[1:]], stdout=subprocess.PIPE, stderr=said) as process,  # noqa: S603
    ):
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        try:
            while True:
                ready, _, _ = select.select([process.stdout], [], [], _TICK_S)
                octets = os.read(process.stdout.fileno(), _CHUNK) if ready else b""
                if ready and not octets:
                    break
                yield octets
            if process.wait() != 0:
                said.seek(0)
                text = said.read(2000).decode("utf-8", "replace").strip()
                raise output.Failure(
                    output.UNAVAILABLE, f"{words[0]} ended with {process.returncode}: {text}"
                )
        finally:
            process.terminate()


class _Teller:
    """Writes what was found: for people and pipes to standard output, for the journal as warnings."""

    def __init__(self, as_json: bool, privacy: str) -> None:
        self.count = 0
        self._as_json = as_json
        self._journal = log.to_stderr("postvouch-unsigned", privacy=privacy) if log.is_journal(2) else None

    def __call__(self, found: Unsigned) -> None:
        self.count += 1
        when = datetime.fromtimestamp(found.time).astimezone().isoformat(timespec="seconds")
        if self._as_json:
            click.echo(json.dumps({"event": EVENT, **_data(found), "time": when}), nl=True)
            return
        pairs = [
            ("event", EVENT),
            ("from", f"<{found.sender}>"),
            ("to-domain", found.to_domain),
            ("relay", found.relay),
            ("left", when),
            ("why", found.why),
        ]
        if self._journal is not None:
            self._journal.line(found.queue_id, pairs, level=log.WARNING)
        else:
            click.echo(log.format_line(found.queue_id, pairs))


def _data(found: Unsigned) -> dict[str, Any]:
    return {
        "queue_id": found.queue_id,
        "from": found.sender,
        "to_domain": found.to_domain,
        "relay": found.relay,
        "why": found.why,
    }


class _State:
    """What one run leaves to the next: where the journal was read to, and the letters that are still here."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self.is_kept = file is not None
        self.cursor = ""
        self.letters: object = {}
        try:
            read = json.loads(file.read_bytes()) if file else {}
        except (OSError, ValueError, RecursionError):  # the first run, or nothing to go by
            return
        if isinstance(read, dict) and isinstance(read.get("cursor"), str):
            self.cursor, self.letters = read["cursor"], read.get("letters")

    def write(self, letters: Outbound) -> None:
        """Keep it, whole or not at all."""
        if self._file is None:
            return
        text = json.dumps({"cursor": self.cursor, "letters": letters.state()})
        new = self._file.with_name(f"{self._file.name}.new")
        try:
            new.write_text(text, "ascii")
            new.replace(self._file)
        except OSError as error:
            raise output.Failure(output.UNAVAILABLE, f"{self._file}: {error}") from None
