"""``postvouch dkim genkey``: a private key, its record beside it, and what to do with both.

Takes what opendkim-genkey takes; three things are better here. The owner name in the record is right for its
zone, nothing is ever overwritten, and a key that verifiers would not accept is not made.
"""

import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from postvouch import __version__
from postvouch.cli import dkimkey, output
from postvouch.config.convert import show
from postvouch.config.load import DEFAULT_PATH
from postvouch.host.keyfiles import load_key
from postvouch.host.keyfolder import GROUP, group_id, make_folder, write_key, write_new
from postvouch.sign import record as records
from postvouch.sign import recordforms
from postvouch.sign.keys import MAX_RSA_BITS, MIN_RSA_BITS, KeyProblem, PrivateKey, generate

EVERYWHERE_BITS = 4096

# What Getopt::Long lets its users write.
_OLD = ("append-domain", "restrict", "subdomains", "testmode")
_OLD_NAMES = {f"no{name}": f"no-{name}" for name in _OLD}


@dataclass(frozen=True, slots=True, kw_only=True)
class _New:
    """A key that was made: its place, its record, and that as text of a zone file."""

    record: records.Record
    private: PrivateKey
    pem: bytes = field(repr=False)
    file: Path
    zone_text: str

    @property
    def record_file(self) -> Path:
        return self.file.with_name(f"{self.record.selector}.txt")


def _renamed(option: str) -> str:
    return _OLD_NAMES.get(option, option)


@click.command(
    short_help="Make a private key and its DNS record.",
    context_settings={"help_option_names": ["--help"], "token_normalize_func": _renamed},
)
@dkimkey.which_key
@click.option(
    "--type",
    "kind",
    type=click.Choice(tuple(dkimkey.TYPES)),
    default="rsa",
    show_default=True,
    help='Kind of key. With "both" the Ed25519 key has the selector SELECTOR-ed25519; each letter then gets '
    "two signatures.",
)
@click.option(
    "-b",
    "--bits",
    type=int,
    default=MIN_RSA_BITS,
    show_default=True,
    help="Length of an RSA key.",
)
@dkimkey.record_tags(hashes=("-h", "--hash-algorithms"))
@click.option("--zone", help="In the record, print the name relative to this zone.")
@click.option(
    "-a",
    "--append-domain/--no-append-domain",
    default=True,
    help="In the record, end the name with the domain (default); if not, it is relative to the domain.",
)
@click.option("-v", "--verbose", count=True, help="Say each step on standard error.")
@click.version_option(__version__, "-V", "--version", prog_name="postvouch dkim genkey")
@output.config_option
@output.json_option
def genkey(
    domain: str, selector: str | None, directory: Path | None, kind: str, bits: int,
    testmode: bool, subdomains: bool, note: str, restrict: bool, hashes: tuple[str, ...],
    zone: str | None, append_domain: bool, verbose: int, path: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Make a private key, write its DNS record beside it, and print the [[sign.key]] table for it.

    The key is DIRECTORY/DOMAIN/SELECTOR.pem with mode 0640, root:postvouch, so that postvouch-sign can read
    and not change it; made by another user, or where there is no such group, its mode is 0600. The record is
    SELECTOR.txt. What exists is never overwritten. It takes the options of opendkim-genkey, -h included.
    """
    _check_bits(kind, bits)
    config = dkimkey.settings(path)
    folder = dkimkey.key_directory(config, directory) / domain
    name = dkimkey.or_default(selector, config)

    def say(text: str) -> None:
        if verbose:
            click.echo(f"postvouch dkim genkey: {text}", err=True)

    wanted = [
        (each, name if each == "rsa" or kind != "both" else f"{name}-{each}") for each in dkimkey.TYPES[kind]
    ]
    _refuse_existing(domain, [folder / f"{each}{end}" for _, each in wanted for end in (".pem", ".txt")])
    news = []
    for each, its_selector in wanted:
        say(f"generating private key, {each}")
        private, pem = _generate(each, bits)
        strings = records.strings(
            private, testing=testmode, no_subdomains=not subdomains, note=note,
            email_only=restrict, hashes=hashes,
        )  # fmt: skip
        ours = records.Record(domain=domain, selector=its_selector, strings=strings)
        try:
            text = recordforms.text([ours], zone=domain if zone is None and not append_domain else zone)
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        news.append(
            _New(record=ours, private=private, pem=pem, file=folder / f"{its_selector}.pem", zone_text=text)
        )
    try:
        make_folder(folder)
        for new in news:
            _write(new, say)
    except KeyProblem as problem:
        raise output.Failure(output.UNAVAILABLE, str(problem)) from None
    _show(news, directory, path, as_json=as_json)
    _check_readable(news)


def _check_bits(kind: str, bits: int) -> None:
    if kind == "ed25519":
        return
    if bits < MIN_RSA_BITS:
        reason = "such keys can be broken, and verifiers refuse the shortest of them (RFC 8301 §3.2)"
        raise output.Failure(
            output.UNAVAILABLE, f"an RSA key of {bits} bits is too short: {reason}; {MIN_RSA_BITS} or more"
        )
    if bits > MAX_RSA_BITS:
        raise output.Failure(
            output.UNAVAILABLE, f"an RSA key of {bits} bits: {MAX_RSA_BITS} is the most we use"
        )
    if bits > EVERYWHERE_BITS:
        reason = f"verifiers need not know RSA above {EVERYWHERE_BITS} bits (RFC 8301 §3.2)"
        click.echo(f"warning: {reason}, and many DNS panels have no room for the record", err=True)


def _refuse_existing(domain: str, files: list[Path]) -> None:
    """Before anything is made. That a key made meanwhile is not overwritten is ``write_new``'s promise."""
    for file in files:
        if os.path.lexists(file):
            how = f"its record: postvouch dkim record -d {domain} -s {file.stem}"
            raise output.Failure(output.UNAVAILABLE, f"{file}: exists already; nothing is overwritten; {how}")


def _generate(kind: str, bits: int) -> tuple[PrivateKey, bytes]:
    try:
        return generate(kind, bits)
    except KeyProblem as problem:
        raise output.Failure(output.UNAVAILABLE, str(problem)) from None


def _write(new: _New, say: Callable[[str], None]) -> None:
    """The key first: a record without its key would be published for nothing. Raises KeyProblem."""
    mode = write_key(str(new.file), new.pem)
    say(f"private key written to {new.file}, mode {'0640, group ' + GROUP if mode == 0o640 else '0600'}")
    write_new(str(new.record_file), new.zone_text.encode("ascii"), mode=0o644, gid=group_id())
    say(f"DNS TXT record written to {new.record_file}")


def _check_readable(news: list[_New]) -> None:
    """postvouch-sign would not take a key from a folder that others may write to."""
    for new in news:
        try:
            load_key(str(new.file))
        except KeyProblem as problem:
            raise output.Failure(
                output.UNAVAILABLE, f"the key is made, but not usable yet: {problem}"
            ) from None


def _show(news: list[_New], directory: Path | None, path: Path | None, *, as_json: bool) -> None:
    if as_json:
        output.print_json({"keys": [_data(new) for new in news]})
        return
    for new in news:
        settings = {"domain": new.record.domain, "selector": new.record.selector, "file": str(new.file)}
        click.echo("[[sign.key]]")
        for key, value in settings.items():
            click.echo(f"{key} = {show(value)}")
    if not output.terminal():
        return
    click.echo()
    output.heading("Publish this, and wait until it is published:")
    click.echo()
    for new in news:
        click.echo(new.zone_text, nl=False)
    click.echo()
    which = [f"-d {new.record.domain} -s {new.record.selector}" for new in news]
    config = f" --config {shlex.quote(str(path))}" if path else ""
    where = f" -D {shlex.quote(str(directory))}" if directory else ""
    forms = "|".join(recordforms.FORMS[1:])
    output.line(f"Other forms:  postvouch dkim record {which[0]}{where}{config} --form {forms}")
    for each, new in zip(which, news, strict=True):
        where = f" -k {shlex.quote(str(new.file))}" if directory else ""
        output.line(f"Is it there?  postvouch dkim testkey {each}{where}{config}")
    output.line(f"Then put the table above into {path or DEFAULT_PATH}.")
    if not news[0].file.stat().st_mode & 0o040:
        output.line(
            f"Only you can read the key. For postvouch-sign: chgrp {GROUP}, chmod 0640; its folder as well."
        )


def _data(new: _New) -> dict[str, Any]:
    return {
        "domain": new.record.domain,
        "selector": new.record.selector,
        "kind": new.private.kind,
        "bits": new.private.bits,
        "file": str(new.file),
        "record_file": str(new.record_file),
        "name": records.owner(new.record.domain, new.record.selector),
        "strings": list(new.record.strings),
    }
