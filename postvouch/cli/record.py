"""``postvouch dkim record``: the DNS record of a key, or of all keys of a domain, ready to publish."""

from pathlib import Path

import click

from postvouch.cli import dkimkey, output
from postvouch.config.schema import Config
from postvouch.host.keyfiles import load_key
from postvouch.sign import record as records
from postvouch.sign import recordforms
from postvouch.sign.keys import KINDS, KeyProblem

_UPDATE = ("--server", "--replace", "--delete")


@click.command()
@dkimkey.which_key
@click.option(
    "--file", help="The key. Default: the [[sign.key]] of domain and selector, or the one in --directory."
)
@click.option(
    "--form", type=click.Choice(recordforms.FORMS), default="zone", show_default=True,
    help="zone: lines of a zone file. bare: the value alone. nsupdate: commands for nsupdate(1). octodns: "
    "YAML. terraform: HCL, resources aws_route53_record.",
)  # fmt: skip
@click.option("--zone", help="The zone: names are printed relative to it, and nsupdate is told.")
@click.option(
    "--ttl", type=click.IntRange(0, 2**31 - 1), help="In seconds. Default: 3600, in a zone file the zone's."
)
@click.option("--server", help='With --form nsupdate: the server to tell, "HOST" or "HOST PORT".')
@click.option(
    "--replace", "change", flag_value="replace", help="With --form nsupdate: in place of what is there."
)
@click.option("--delete", "change", flag_value="delete", help="With --form nsupdate: take the record away.")
@click.option(
    "--revoked", is_flag=True, help="Print the record that says that this key is no more: an empty p=."
)
@dkimkey.record_tags(hashes=("--hash-algorithms",))
@output.config_option
@output.json_option
def record(
    domain: str, selector: str | None, directory: Path | None, file: str | None, form: str, zone: str | None,
    ttl: int | None, server: str | None, change: str | None, revoked: bool, testmode: bool, subdomains: bool,
    note: str, restrict: bool, hashes: tuple[str, ...], path: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Print the DNS record of a key, ready to publish.

    Without --selector and --file: those of all keys that the configuration has for the domain, or, if it has
    none, of the key for this year and host.
    """
    form = "json" if as_json else form
    if form != "nsupdate" and (server or change):
        raise click.UsageError(f"{', '.join(_UPDATE)} are for --form nsupdate")
    config = dkimkey.settings(path)
    made = []
    for name, place in _which(config, domain, selector, directory, file):
        if revoked or change == "delete":
            strings = records.revoked(_kind(place))
        else:
            strings = records.strings(
                dkimkey.load(place), testing=testmode, no_subdomains=not subdomains, note=note,
                email_only=restrict, hashes=hashes,
            )  # fmt: skip
        made.append(records.Record(domain=domain, selector=name, strings=strings))
    try:
        text = recordforms.text(made, form=form, zone=zone, ttl_s=ttl, server=server, change=change or "add")
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    click.echo(text, nl=False)


def _which(
    config: Config, domain: str, selector: str | None, directory: Path | None, file: str | None
) -> list[tuple[str, str]]:
    """Selector and file of each key that is meant."""
    configured = dkimkey.configured(config, domain)
    if file is None and directory is None and selector is None and configured:
        return configured
    name = dkimkey.or_default(selector, config)
    if file is None and directory is None:
        file = dict(configured).get(name)
    return [(name, file or str(dkimkey.key_directory(config, directory) / domain / f"{name}.pem"))]


def _kind(file: str) -> str:
    """The kind of a key that may be gone already; for its last record it hardly matters."""
    try:
        return load_key(file).kind
    except KeyProblem:
        return KINDS[0]
