"""``postvouch srs``: rewrite a sender, undo it, make a secret; the arithmetic of postvouch-map itself."""

import secrets
import time
from dataclasses import replace
from pathlib import Path

import click

from postvouch.cli import output
from postvouch.config.defaults import fill_in
from postvouch.config.kinds import Domain
from postvouch.config.schema import Config
from postvouch.host.srs_secrets import SecretsProblem, read_secrets
from postvouch.policyd.srs import Srs
from postvouch.srs import codec
from postvouch.values.address import AddressError, parse_domain
from postvouch.values.answer import Answer, Found, NotFound, Refused


@click.group(no_args_is_help=False)
def srs() -> None:
    """Rewrite envelope senders (SRS), undo it, make a secret."""


def _options(function: output.F) -> output.F:
    for option in (
        click.option("--now", type=int, help="The time, in seconds since 1970, instead of the clock's."),
        click.option("--domain", help="The SRS domain, instead of srs.domain."),
        click.option("--secret-file", help="The file of secrets, instead of srs.secrets_file."),
        click.argument("address"),
        output.json_option,
        output.config_option,
    ):
        function = option(function)
    return function


@srs.command()
@_options
def forward(
    address: str,
    secret_file: str | None,
    domain: str | None,
    now: int | None,
    path: Path | None,
    as_json: bool,
) -> None:
    """Print the sender that ADDRESS becomes when we forward.

    Exit status 1 where it stays as it is (null sender, ours, rewritten by us already). With --secret-file and
    --domain no configuration is read.
    """
    rules = _rules(path, secret_file, domain)
    _print("forward", address, codec.forward(address, rules=rules.rules[0], today=_today(now)), as_json)


@srs.command()
@_options
def reverse(
    address: str,
    secret_file: str | None,
    domain: str | None,
    now: int | None,
    path: Path | None,
    as_json: bool,
) -> None:
    """Print the original sender behind the SRS ADDRESS.

    Exit status 1 where it is none of ours, forged or expired; standard error says which. With --secret-file
    and --domain no configuration is read.
    """
    rules = _rules(path, secret_file, domain)
    _print("reverse", address, rules.lookup("srs", "srs-reverse", address, today=_today(now)), as_json)


@srs.command()
def genkey() -> None:
    """Print a new secret, a line for srs.secrets_file.

    The first line of that file signs, all lines verify. To change secrets: add the new one as a second line
    on all hosts, then make it the first, and drop the old one after srs.max_age.
    """
    click.echo(secrets.token_urlsafe(32))


def _rules(path: Path | None, secret_file: str | None, domain: str | None) -> Srs:
    standalone = path is None and secret_file is not None and domain is not None
    config = fill_in(Config()) if standalone else output.configuration(path)
    settings = config.srs
    if domain is not None:
        try:
            domain = parse_domain(domain)
        except AddressError as error:
            raise click.UsageError(f"--domain: {error}") from None
    try:
        keys = read_secrets(secret_file or settings.secrets_file)
    except SecretsProblem as problem:
        raise output.Failure(output.UNAVAILABLE, str(problem)) from None
    ours = (domain, *config.general.domains) if domain else config.general.domains
    if domain:
        settings = replace(settings, domain=Domain(domain))
    rules = Srs.of(settings, ours, secrets=keys)
    if not rules.rules:
        raise output.Failure(output.CONFIG, "neither srs.domain nor general.domains is set; use --domain")
    return rules


def _today(now: int | None) -> int:
    return int(time.time() if now is None else now) // 86400


def _print(verb: str, address: str, answer: Answer, as_json: bool) -> None:
    reason = answer.source if isinstance(answer, Found) else answer.reason
    if as_json:
        output.print_json(
            {
                "verb": verb,
                "address": address,
                "answer": output.ANSWERS[type(answer)],
                "value": answer.value if isinstance(answer, Found) else None,
                "reason": reason,
            }
        )
    elif isinstance(answer, Found):
        output.line(answer.value)
    elif isinstance(answer, NotFound | Refused):
        click.echo(output.clean(reason or "not an SRS address of ours"), err=True)
    output.leave(output.STATUS_OF_ANSWER[type(answer)])
