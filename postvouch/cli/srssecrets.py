"""``postvouch srs status`` and ``rotate``: the secrets that hosts share, and how they are replaced."""

import os
import secrets
import time
from pathlib import Path

import click

from postvouch.cli import output
from postvouch.config.schema import Config
from postvouch.host.srs_secrets import SecretsProblem, fingerprint, read_secrets, write_secrets

_DAY_S = 86400


@click.command()
@output.config_option
@output.json_option
def status(path: Path | None, as_json: bool) -> None:
    """Show the fingerprints of the secrets, never the secrets.

    They are the same, in the same order, on all hosts that share SRS addresses.
    Exit status 69: the secrets cannot be read.
    """
    config = output.configuration(path)
    held = _read(config.srs.secrets_file)
    prints = [fingerprint(each) for each in held]
    changed = os.stat(config.srs.secrets_file).st_mtime
    domains = [each for each in (_domain(config), config.srs.unproven_domain) if each]
    if as_json:
        output.print_json(
            {
                "file": config.srs.secrets_file,
                "fingerprints": prints,
                "changed_at": changed,
                "max_age_days": int(config.srs.max_age // _DAY_S),
                "domains": domains,
            }
        )
        return
    output.line(f"{config.srs.secrets_file}, changed {_ago(changed)}; for {', '.join(domains)}")
    rows = [(n, each, "signs" if n == 1 else "verifies") for n, each in enumerate(prints, 1)]
    output.table(("secret", "fingerprint", "what it does"), rows)


@click.command()
@click.argument("step", type=click.Choice(("add", "use", "drop")))
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@output.config_option
@output.json_option
def rotate(step: str, dry_run: bool, path: Path | None, as_json: bool) -> None:
    """Replace the secret in three steps, each on one host, whose file then goes to all others.

    add: a new secret that only verifies. use: the newest one signs from now on; only when all hosts have it.
    drop: the others are forgotten; refused until srs.max_age has passed since the file was changed, for so
    long bounces come back that were signed with them. postvouch-map takes the file when it is reloaded.

    Exit status 65: this step cannot be taken now.
    """
    config = output.configuration(path)
    file = config.srs.secrets_file
    held = _read(file)
    match step:
        case "add":
            after = (*held, secrets.token_urlsafe(32).encode())
            then = "put this file on all hosts, reload postvouch-map there, then: postvouch srs rotate use"
        case "use":
            if len(held) < 2:
                raise output.Failure(
                    output.DATA, f"{file} has one secret: postvouch srs rotate add comes first"
                )
            after = (held[-1], *held[:-1])
            days = int(config.srs.max_age // _DAY_S)
            then = (
                f"put this file on all hosts and reload; in {days} days or later: postvouch srs rotate drop"
            )
        case _:
            _may_drop(config, held)
            after = held[:1]
            then = "put this file on all hosts and reload"
    if not dry_run:
        try:
            write_secrets(file, after)
        except OSError as error:
            raise output.Failure(output.UNAVAILABLE, f"{file}: {error.strerror}") from None
    prints = [fingerprint(each) for each in after]
    if as_json:
        output.print_json(
            {"file": file, "step": step, "dry_run": dry_run, "fingerprints": prints, "next": then}
        )
        return
    output.line(f"{'would be' if dry_run else 'is'} now in {file}: {', '.join(prints)}")
    output.line(f"next: {then}")


def _may_drop(config: Config, held: tuple[bytes, ...]) -> None:
    file = config.srs.secrets_file
    if len(held) < 2:
        raise output.Failure(output.DATA, f"{file} has one secret: there is none to drop")
    left = os.stat(file).st_mtime + config.srs.max_age - time.time()
    if left > 0:
        text = (
            f"{file} was changed {_ago(os.stat(file).st_mtime)}; bounces may come back for {_days(left)} more"
        )
        raise output.Failure(output.DATA, text)


def _read(file: str) -> tuple[bytes, ...]:
    try:
        return read_secrets(file)
    except SecretsProblem as problem:
        raise output.Failure(output.UNAVAILABLE, str(problem)) from None


def _domain(config: Config) -> str:
    return config.srs.domain or next(iter(config.general.domains), "")


def _ago(then: float) -> str:
    return f"{_days(time.time() - then)} ago"


def _days(seconds: float) -> str:
    return (
        f"{seconds / _DAY_S:.0f} days" if seconds >= 2 * _DAY_S else f"{max(0.0, seconds) / 3600:.0f} hours"
    )
