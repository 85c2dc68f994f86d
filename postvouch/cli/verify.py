"""``postvouch verify``: what postvouch-verify would find out about a letter in a file, and do with it."""

import sys
import time
from ipaddress import ip_address
from pathlib import Path

import click
from click.core import ParameterSource

from postvouch.cli import output, verdict
from postvouch.cli.jsonl import run
from postvouch.cli.jsonlresult import in_full
from postvouch.cli.letter import Letter, read_letter
from postvouch.cli.zonefile import ZoneError, ZoneFile
from postvouch.config.load import DEFAULT_PATH
from postvouch.config.schema import Config
from postvouch.host.dns import DnsResolver
from postvouch.values.address import AddressError, parse_path
from postvouch.values.dns import Resolver
from postvouch.values.message import Client, Envelope

_NOBODY = "general.domains is not set: no domain is ours, so nothing is a spoof"


@click.command(short_help="Check a letter in a file by SPF, DKIM, ARC and DMARC.")
@click.argument("letter", metavar="MESSAGE", required=False, type=click.Path(dir_okay=False, allow_dash=True))
@click.option(
    "--client-ip", default="", help="Address of the SMTP client. Without it SPF has nothing to check."
)
@click.option("--helo", default="", help="What the client called itself.")
@click.option("--mail-from", default="", help="Envelope sender. Default: the null sender.")
@click.option("--dns", "zone", type=click.Path(), help='Answer DNS from this file ("NAME TYPE DATA" a line).')
@click.option("--now", type=float, help="The time, in seconds since 1970, instead of the clock's.")
@click.option(
    "--jsonl", is_flag=True, help="Read cases from standard input, one a line, and write results, one a line."
)
@output.config_option
@output.json_option
@click.pass_context
def verify(
    context: click.Context, letter: str | None, client_ip: str, helo: str, mail_from: str, zone: str | None,
    now: float | None, jsonl: bool, path: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Check the letter in the file MESSAGE ("-": standard input) by SPF, DKIM, ARC and DMARC.

    The policy is that of the configuration, or the defaults where there is none; the client is taken for a
    stranger's. Exit status 0 unless DMARC fails or cannot be applied, as without one author (1), or DNS
    trouble leaves it open (75). --json has the members of a result of --jsonl and a few more.

    With --jsonl and no MESSAGE, for programs: each line of standard input is a case, a JSON object
    {"id", "message_b64", "client_ip", "helo", "mail_from", "rcpt_to", "now", "authserv_id", "min_rsa_bits",
    "dns"} of which id and message_b64 are needed. For each one line is written at once, in order: {"id",
    "spf", "helo", "dkim", "arc", "dmarc", "from", "iprev", "authres", "action", "removed_fields", "cpu_ms"},
    or {"id", "error"} for a line that is no case. Where "dns" is given nothing else is asked. Exit status 0
    if every line had a result, else 1. All members are explained in docs/jsonl.rst.
    """
    config = _config(path)
    if jsonl:
        _alone(context)
        output.leave(run(sys.stdin.buffer, sys.stdout.buffer, config))
    if letter is None:
        raise click.UsageError("Missing argument 'MESSAGE'.")
    read = _letter(letter, client_ip, helo, mail_from)
    resolver = _resolver(zone, config)
    judgement = verdict.judge(read.message, resolver, now=time.time() if now is None else now, config=config)
    notes = list(read.notes) if config.general.domains else [*read.notes, _NOBODY]
    if as_json:
        output.print_json({"message": letter, "notes": notes, **in_full(judgement, read.message.fields)})
    else:
        for note in notes:
            click.echo(f"note: {note}", err=True)
        verdict.show(judgement)
    output.leave(verdict.status(judgement.findings))


def _alone(context: click.Context) -> None:
    """Raise UsageError where what --jsonl reads from each line is given on the command line too."""
    for name in ("letter", "client_ip", "helo", "mail_from", "zone", "now", "as_json"):
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            raise click.UsageError("--jsonl goes with --config only: a line says the rest")


def _config(path: Path | None) -> Config:
    """The configuration; without --config and without a file at the usual place, the defaults."""
    if path is None and not DEFAULT_PATH.exists():
        return Config()
    return output.configuration(path)


def _letter(name: str, client_ip: str, helo: str, mail_from: str) -> Letter:
    try:
        sender = parse_path(mail_from)
    except AddressError as error:
        raise click.UsageError(f"--mail-from: {error}") from None
    if client_ip:
        try:
            ip_address(client_ip)
        except ValueError:
            raise click.UsageError(f'--client-ip: "{client_ip}" is no IP address') from None
    client = Client(address=client_ip, helo=helo)
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return read_letter(data, client=client, envelope=Envelope(sender=str(sender) if sender else ""))
    except OSError as error:
        raise output.Failure(output.DATA, f"{name}: {error.strerror}") from None


def _resolver(zone: str | None, config: Config) -> Resolver:
    if zone is None:
        resolver = DnsResolver(config.dns.servers, timeout_s=config.dns.timeout)
        return resolver.for_message(config.dns.message_timeout)
    try:
        return ZoneFile(Path(zone).read_text("utf-8"))
    except OSError as error:
        raise output.Failure(output.DATA, f"{zone}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise output.Failure(output.DATA, f"{zone}: not UTF-8") from None
    except ZoneError as error:
        raise output.Failure(output.DATA, f"{zone}:{error}") from None
