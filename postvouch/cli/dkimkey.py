"""Which key a verb of ``postvouch dkim`` is about: the options --domain, --selector and --directory.

``--selector`` and ``--directory`` are None where they were not given; the configuration has their defaults.
"""

import os
import shlex
import time
from collections.abc import Callable
from pathlib import Path

import click

from postvouch.cli import output
from postvouch.config.load import examine
from postvouch.config.schema import Config
from postvouch.host.keyfiles import load_key, specs_of
from postvouch.sign import record as records
from postvouch.sign.keys import KeyProblem, PrivateKey
from postvouch.values.address import AddressError, parse_domain

TYPES = {"rsa": ("rsa",), "ed25519": ("ed25519",), "both": ("rsa", "ed25519")}
"""The words of --type, and the kinds of key that each makes."""
MAX_NOTE = 255


def domain(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """The callback of ``--domain``: lower case, A-labels."""
    try:
        return value if value is None else parse_domain(value)
    except AddressError as error:
        raise click.BadParameter(str(error)) from None


def selector(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """The callback of ``--selector``: nothing that would leave the folder of its domain."""
    if value is not None and not records.is_selector(value):
        raise click.BadParameter(
            f'"{output.clean(value)}" is none: letters, digits, "-", "_" and "." of ASCII, '
            f"at most {records.MAX_SELECTOR} of them"
        )
    return value


def which_key(function: output.F) -> output.F:
    """``--domain``, which must be given, ``--selector`` and ``--directory``."""
    for option in (
        click.option(
            "-D",
            "--directory",
            type=click.Path(file_okay=False, path_type=Path),
            help="Where keys are kept, as DOMAIN/SELECTOR.pem. Default: sign.key_directory.",
        ),
        click.option(
            "-s",
            "--selector",
            callback=selector,
            help="The selector (s=). Default: year and short host name, {year}-{shorthost}.",
        ),
        click.option("-d", "--domain", callback=domain, required=True, help="The domain that signs (d=)."),
    ):
        function = option(function)
    return function


def settings(path: Path | None) -> Config:
    """The configuration as far as it is sound: keys are made, and looked at, before it is.

    A file that is no TOML at all, or closed to us, ends the command, and so does one that was named and is
    not there: what it says of keys is not to be guessed.
    """
    report = examine(path)
    unread = [file for file in report.unread if path is not None or os.path.lexists(file)]
    if unread:
        names = set(map(str, unread))
        text = "\n".join(str(each) for each in report.problems if each.file in names)
        raise output.Failure(output.CONFIG, text)
    if report.problems and not report.unread:
        count = f"{len(report.problems)} problem{'s'[: len(report.problems) > 1]}"
        where = f" --config {shlex.quote(str(path))}" if path else ""
        click.echo(f"warning: {count} in the configuration; see: postvouch check{where}", err=True)
    return report.settings


def key_directory(config: Config, given: Path | None) -> Path:
    """Where keys are kept, absolute."""
    return (given or Path(config.sign.key_directory)).absolute()


def or_default(selector: str | None, config: Config) -> str:
    """The selector, or the one of this year and this host."""
    if selector is not None:
        return selector
    name = records.default_selector(time.localtime().tm_year, config.general.hostname)
    if not records.is_selector(name):
        raise click.UsageError(f'"{output.clean(name)}" is no selector: give one with --selector')
    return name


def load(file: str) -> PrivateKey:
    """The key in ``file``, or the end of the command."""
    try:
        return load_key(file)
    except KeyProblem as problem:
        raise output.Failure(output.UNAVAILABLE, str(problem)) from None


def record_tags(*, hashes: tuple[str, ...]) -> Callable[[output.F], output.F]:
    """The options of opendkim-genkey that go into the record; ``hashes`` are the names of the one for h=."""

    def decorate(function: output.F) -> output.F:
        for option in (
            click.option(
                *hashes,
                "hashes",
                metavar="NAMES",
                callback=_hashes,
                default="sha256",
                show_default=True,
                help='Hash algorithms that may be used with the key, with ":" between them; "" for any (h=).',
            ),
            click.option("-r", "--restrict/--no-restrict", help="The key is for e-mail only (s=email)."),
            click.option("-n", "--note", default="", callback=_note, help="A note for people (n=)."),
            click.option(
                "--subdomains/--no-subdomains",
                " /-S",
                default=True,
                help="Whether signatures with the key may name an identity (i=) of a subdomain; if not, t=s.",
            ),
            click.option(
                "-t", "--testmode/--no-testmode", help="Tell verifiers that we are only testing (t=y)."
            ),
        ):
            function = option(function)
        return function

    return decorate


def _note(ctx: click.Context, param: click.Parameter, value: str) -> str:
    if len(value) > MAX_NOTE:
        raise click.BadParameter(f"longer than {MAX_NOTE} characters: everybody who verifies has to fetch it")
    return value


def _hashes(ctx: click.Context, param: click.Parameter, value: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(value.lower().split(":"))) if value else ()
    for name in names:
        if name not in ("sha1", "sha256"):
            raise click.BadParameter(f'no such algorithm: "{output.clean(name)}"; there is sha256')
    if names and "sha256" not in names:
        raise click.BadParameter("we sign with sha256; sha1 must not be used (RFC 8301 §3.1)")
    if "sha1" in names:
        click.echo("warning: sha1 is left out: no verifier may take it (RFC 8301 §3.1)", err=True)
    return tuple(name for name in names if name != "sha1")


def configured(config: Config, domain: str) -> list[tuple[str, str]]:
    """Selector and file of each key that signs as the domain, by the configuration or as rotate has it."""
    return [(spec.selector, spec.file) for spec in specs_of(config) if spec.domain == domain and spec.file]
