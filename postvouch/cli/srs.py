"""``postvouch srs``: rewrite a sender, undo it, make a secret; the arithmetic of postvouch-map itself."""

import secrets
import time
from dataclasses import replace
from pathlib import Path

import click

from postvouch.cli import output, srssecrets
from postvouch.config.defaults import fill_in
from postvouch.config.kinds import Domain
from postvouch.config.schema import Config
from postvouch.host.srs_secrets import SecretsProblem, fingerprint, read_secrets
from postvouch.policyd.srs import Srs
from postvouch.srs import codec
from postvouch.srs import explain as explaining
from postvouch.srs.explain import Explained
from postvouch.values.address import AddressError, parse_domain
from postvouch.values.answer import Answer, Found, NotFound, Refused

_STATUS = {**output.STATUS_OF_ANSWER, Refused: output.DATA}


@click.group(no_args_is_help=False)
def srs() -> None:
    """Rewrite envelope senders (SRS), undo it, explain it; its secrets."""


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

    Exit status 1 where it is none of ours, 65 where it is ours and refused: forged, expired, broken; standard
    error says which. With --secret-file
    and --domain no configuration is read.
    """
    rules = _rules(path, secret_file, domain)
    _print("reverse", address, rules.lookup("srs", "srs-reverse", address, today=_today(now)), as_json)


@srs.command()
@_options
def explain(
    address: str,
    secret_file: str | None,
    domain: str | None,
    now: int | None,
    path: Path | None,
    as_json: bool,
) -> None:
    """Say what is in the SRS ADDRESS: whom it names, its day, which secret made it, or why it is refused.

    Exit status as of "reverse".
    """
    rules = _rules(path, secret_file, domain)
    found = [explaining.explain(address, rules=each, today=_today(now)) for each in rules.rules]
    best = next((each for each in found if not isinstance(each.answer, NotFound)), found[0])
    prints = [fingerprint(each) for each in rules.rules[0].secrets]
    if as_json:
        output.print_json(_as_json(best, prints))
    else:
        output.table(("what", "is"), _rows(best, prints))
    output.leave(_STATUS[type(best.answer)])


def _as_json(found: Explained, prints: list[str]) -> dict[str, object]:
    answer = found.answer
    return {
        "address": found.address,
        "answer": output.ANSWERS[type(answer)],
        "original": found.original or None,
        "reason": answer.source if isinstance(answer, Found) else answer.reason,
        "tag": found.tag or None,
        "domain": found.domain or None,
        "local": found.local or None,
        "made_on": None if found.made_on is None else _date(found.made_on),
        "age_days": found.age_days,
        "days_left": found.days_left,
        "secret": found.secret,
        "fingerprint": prints[found.secret - 1] if found.secret else None,
        "hash_exact": found.exact,
    }


def _rows(found: Explained, prints: list[str]) -> list[tuple[str, str]]:
    answer = found.answer
    word = output.ANSWERS[type(answer)]
    rows = [("answer", word if isinstance(answer, Found) else f"{word}: {answer.reason}")]
    if found.original:
        rows.append(("original", found.original))
    if found.tag == "SRS0" and found.domain:
        rows.append(("sender", f"{found.local}@{found.domain}"))
    elif found.domain:
        rows.append(("first forwarder", f"{found.domain}, which made {found.local}@{found.domain}"))
    if found.made_on is not None and found.days_left is not None:
        left = f"{found.days_left} days left" if found.days_left >= 0 else f"{-found.days_left} days too old"
        rows.append(("made on", f"{_date(found.made_on)}, {found.age_days} days ago, {left}"))
    elif found.tag == "SRS0" and found.domain:
        rows.append(("made on", "no day of ours"))
    if found.secret:
        case = "" if found.exact else ", in another case or alphabet: some host has folded the address"
        rows.append(("hash", f"by secret {found.secret} ({prints[found.secret - 1]}){case}"))
    elif found.domain:
        rows.append(("hash", f"by none of our secrets ({', '.join(prints)})"))
    return rows


def _date(seconds: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))


srs.add_command(srssecrets.status)
srs.add_command(srssecrets.rotate)


@srs.command()
def genkey() -> None:
    """Print a new secret, a line for srs.secrets_file.

    The first line of that file signs, all lines verify. To replace one by another: postvouch srs rotate.
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
    output.leave(_STATUS[type(answer)])
