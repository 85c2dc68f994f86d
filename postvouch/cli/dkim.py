"""``postvouch dkim``: make a key, and the DNS record to publish for it."""

import json
import os
import shutil
import time
from pathlib import Path

import click

from postvouch.cli import output
from postvouch.config.convert import show
from postvouch.config.load import examine
from postvouch.host.keyfiles import load_key, write_new
from postvouch.sign import record as records
from postvouch.sign.keys import KINDS, MIN_RSA_BITS, KeyProblem, PrivateKey, generate
from postvouch.values.address import AddressError, parse_domain

KEY_DIR = Path("/etc/postvouch/keys")
_GROUP = "postvouch"


@click.group(no_args_is_help=False)
def dkim() -> None:
    """Make signing keys and the DNS records for them."""


def _domain(ctx: click.Context, param: click.Parameter, value: str) -> str:
    try:
        return parse_domain(value)
    except AddressError as error:
        raise click.BadParameter(str(error)) from None


def _which_key(function: output.F) -> output.F:
    for option in (
        click.option(
            "-D",
            "--directory",
            type=click.Path(file_okay=False, path_type=Path),
            default=KEY_DIR,
            show_default=True,
            help="Where keys are kept, as DOMAIN/SELECTOR.pem.",
        ),
        click.option("-s", "--selector", help="The selector (s=). Default: year and short host name."),
        click.option("-d", "--domain", callback=_domain, required=True, help="The domain that signs (d=)."),
    ):
        function = option(function)
    return function


@dkim.command()
@_which_key
@click.option(
    "--type", "kind", type=click.Choice(KINDS), default=KINDS[0], show_default=True, help="Kind of key."
)
@click.option("-b", "--bits", type=int, default=MIN_RSA_BITS, show_default=True, help="Length of an RSA key.")
@output.config_option
@output.json_option
def genkey(
    domain: str, selector: str | None, directory: Path, kind: str, bits: int, path: Path | None, as_json: bool
) -> None:
    """Make a private key and print the [[sign.key]] table for it.

    The file is readable by root and the group postvouch only; an existing one is never overwritten.
    """
    selector = selector or _default_selector(path)
    file = directory.absolute() / domain / f"{_checked(selector)}.pem"
    try:
        _, pem = generate(kind, bits)
        gid = _make_folder(file.parent)
        write_new(str(file), pem, mode=0o640 if gid >= 0 else 0o600, gid=gid)
    except KeyProblem as problem:
        raise output.Failure(output.UNAVAILABLE, str(problem)) from None
    except OSError as error:
        raise output.Failure(output.UNAVAILABLE, f"{file.parent}: {error.strerror}") from None
    settings = {"domain": domain, "selector": selector, "file": str(file)}
    if as_json:
        output.print_json(settings)
        return
    click.echo("[[sign.key]]")
    for key, value in settings.items():
        click.echo(f"{key} = {show(value)}")


@dkim.command()
@_which_key
@click.option(
    "--file", help="The key. Default: the [[sign.key]] of domain and selector, or the one in --directory."
)
@click.option(
    "--form", type=click.Choice(records.FORMS), default="zone", show_default=True, help="How to print it."
)
@click.option("--zone", help="Print the name relative to this zone.")
@click.option("-t", "--testing", is_flag=True, help="Mark the key as a test (t=y).")
@click.option("-S", "--no-subdomains", is_flag=True, help="The key is not for subdomains (t=s).")
@click.option("-n", "--note", default="", help="A note for people (n=).")
@output.config_option
@output.json_option
def record(
    domain: str, selector: str | None, directory: Path, file: str | None, form: str, zone: str | None,
    testing: bool, no_subdomains: bool, note: str, path: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Print the DNS record of a key, ready to publish."""
    selector = selector or _default_selector(path)
    key = _load(
        file or _configured(path, domain, selector) or str(directory / domain / f"{_checked(selector)}.pem")
    )
    texts = records.strings(key, testing=testing, no_subdomains=no_subdomains, note=note)
    try:
        text = records.text(domain, selector, texts, form="json" if as_json else form, zone=zone)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    click.echo(text, nl=False)


def _load(file: str) -> PrivateKey:
    try:
        return load_key(file)
    except KeyProblem as problem:
        raise output.Failure(output.UNAVAILABLE, str(problem)) from None


def _configured(path: Path | None, domain: str, selector: str) -> str | None:
    """The file of that key in the configuration, if it can be read; a record needs no sound configuration."""
    config = examine(path).config
    keys = config.sign.key if config else ()
    return next((key.file for key in keys if (key.domain, key.selector) == (domain, selector)), None)


def _default_selector(path: Path | None) -> str:
    config = examine(path).config
    name = config.general.hostname if config else os.uname().nodename
    return records.default_selector(time.localtime().tm_year, name)


def _checked(selector: str) -> str:
    """A selector is one or more DNS labels; nothing that would leave the folder of its domain."""
    labels = selector.split(".")
    if not all(
        label and len(label) < 64 and label.replace("-", "").replace("_", "").isalnum() for label in labels
    ):
        raise click.UsageError(f"no selector: {json.dumps(selector)}")
    if not selector.isascii():
        raise click.UsageError("a selector is ASCII")
    return selector


def _make_folder(folder: Path) -> int:
    """Make the folder of a domain; the group that may read keys, -1 where we cannot give them to it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o750)
    if os.geteuid() != 0:
        return -1
    try:
        shutil.chown(folder, group=_GROUP)
    except LookupError:
        return -1
    return folder.stat().st_gid
