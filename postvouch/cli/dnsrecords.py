"""``postvouch dns-records``: what the configuration implies should be in DNS, ready to publish."""

import time
from pathlib import Path

import click

from postvouch.auth.diagnosis import Wanted
from postvouch.cli import dnsplanned, output
from postvouch.cli.postfixaround import postfix_of
from postvouch.host.dnswanted import records


@click.command(name="dns-records")
@dnsplanned.planned
@click.option(
    "--policy", type=click.Choice(("none", "quarantine", "reject")), default="none", show_default=True,
    help="The DMARC policy.",
)  # fmt: skip
@click.option(
    "--reports", default="", metavar="ADDRESS", help="Where reports go. Default: postmaster of each domain."
)
@click.option("--ttl", type=click.IntRange(0, 2**31 - 1), help="In seconds. Default: the zone's.")
@output.config_option
@output.json_option
def dns_records(
    only: tuple[str, ...], addresses: tuple[str, ...], peers: tuple[str, ...], mx_hosts: tuple[str, ...],
    entry: str, config_dir: Path | None, policy: str, reports: str, ttl: int | None, path: Path | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Print the DNS records that the configuration implies.

    Lines of zone files, names absolute; what is a comment depends on more than this host knows. SPF has to
    name whoever else sends for the domain, too: "postvouch doctor" says how the record that is there should
    read.
    """
    config = output.configuration(path)
    if not config.general.role:
        raise output.Failure(output.CONFIG, "general.role is not set, so nothing is implied")
    if reports and ("@" not in reports or any(c in reports for c in ' ,;!"')):
        raise click.BadParameter("no plain address", param_hint="--reports")
    around = postfix_of(config_dir)
    plan = dnsplanned.plan(
        config, around, only=only, addresses=addresses, peers=peers, mx_hosts=mx_hosts, entry=entry
    )
    identity = time.strftime("%Y%m%d%H%M%S", time.gmtime())
    found = records(plan, identity=identity, policy=policy, reports=reports)
    if as_json:
        output.print_json(
            {
                "records": [
                    {
                        "name": each.name,
                        "type": each.kind,
                        "value": each.value,
                        "strings": list(each.strings) if each.kind == "TXT" else [],
                        "remark": each.remark,
                        "hint": each.is_hint,
                        "line": each.line(ttl),
                    }
                    for each in found
                ],
                "unreadable_keys": [{"domain": d, "problem": why} for d, why in plan.unreadable_keys],
            }
        )
        return
    for each in found:
        _print(each, ttl)
    if plan.role not in ("mx", "relay") and not plan.mx_names:
        output.line("; MX: the mx hosts are not known here; name them with --mx HOST")
    for domain, why in plan.unreadable_keys:
        output.line(f"; a key of {domain} cannot be read: {why}")


def _print(each: Wanted, ttl: int | None) -> None:
    remark = f"  ; {each.remark}" if each.remark else ""
    output.line(f"{'; ' if each.is_hint else ''}{each.line(ttl)}{remark}")
