"""``postvouch doctor``: does DNS, and does Postfix, say what the configuration needs?

One line a finding, and below the table the records to publish. Nothing is changed; only DNS is asked.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from postvouch.auth.diagnosis import About, Diagnosis, Severity, Wanted
from postvouch.cli import dnsplanned, output
from postvouch.cli.postfixaround import Around, milters_let_off, postfix_of
from postvouch.config.schema import Config
from postvouch.host.dns import DnsResolver
from postvouch.host.dnscheck import dmarc_policies, examine
from postvouch.host.dnsplan import Plan, delivers_itself
from postvouch.host.suffixes import load

PATIENCE_S = 120.0
_LOOKUPS = 20000


@click.command()
@dnsplanned.planned
@click.option(
    "--all", "show_all", is_flag=True, help="Also show what is as it should be, and the records of notes."
)
@output.config_option
@output.json_option
def doctor(
    only: tuple[str, ...], addresses: tuple[str, ...], peers: tuple[str, ...], mx_hosts: tuple[str, ...],
    entry: str, config_dir: Path | None, show_all: bool, path: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Check DNS and Postfix against the configuration.

    Looked at are the name and the addresses of the hosts that send (HELO, PTR and back), and SPF, DKIM,
    DMARC, MX, DANE, MTA-STS and TLSRPT of each domain. Each finding is ok, note, warning or error, and comes
    with the record that mends it. Exit status: 0 fine (notes do not count), 1 warnings, 65 errors, 75 where
    all else is fine and DNS did not answer something.
    """
    config = output.configuration(path)
    if not config.general.role:
        raise output.Failure(output.CONFIG, "general.role is not set, so there is nothing to check")
    around = postfix_of(config_dir)
    plan = dnsplanned.plan(
        config, around, only=only, addresses=addresses, peers=peers, mx_hosts=mx_hosts, entry=entry
    )
    resolver = DnsResolver(config.dns.servers, timeout_s=config.dns.timeout).for_message(PATIENCE_S, _LOOKUPS)
    suffixes, _ = load(config.verify.public_suffixes)
    found = examine(plan, resolver, suffixes)
    policies = dmarc_policies(plan.domains, resolver, suffixes)
    findings = (*_postfix(config, around, policies), *found)
    status = status_of(findings)
    if as_json:
        output.print_json(
            {"status": status, "role": plan.role, "host": plan.host, "findings": list(map(_data, findings))}
        )
    else:
        _print(findings, plan, show_all)
    output.leave(status)


def status_of(findings: Sequence[Diagnosis]) -> int:
    """The exit status of a doctor's visit."""
    if any(each.severity is Severity.ERROR for each in findings):
        return output.DATA
    warnings = [each for each in findings if each.severity is Severity.WARNING]
    if any(not each.unanswered for each in warnings):
        return output.NEGATIVE
    return output.TEMPFAIL if warnings else output.OK


def _postfix(config: Config, around: Around, policies: dict[str, str]) -> Iterator[Diagnosis]:
    """What Postfix's own settings do to it."""
    if not around.is_there:
        return
    about = About("postfix", "main.cf")
    for text in milters_let_off(config, around):
        domains = ", ".join(f"{domain} (p={policy})" for domain, policy in list(policies.items())[:5])
        if domains and config.general.role == "mx":
            yield about.warning(f"{text}: while postvouch-verify is away, forgeries of {domains} come in")
        elif domains:
            yield about.warning(
                f"{text}: while postvouch-sign is away, mail leaves bare and fails as {domains}"
            )
        else:
            yield about.note(f"{text}: while our milter is away, mail goes by it")
    if config.general.role == "mx" and delivers_itself(around.settings.main):
        yield about.error(
            "default_transport brings mail to the world from this mx, which SPF does not list; "
            "postvouch postfix --apply sets it to the srs hosts"
        )


def _print(findings: Sequence[Diagnosis], plan: Plan, show_all: bool) -> None:
    rows = [
        (str(each.severity), each.area, each.name, each.text)
        for each in findings
        if show_all or each.severity is not Severity.OK
    ]
    if rows:
        output.table(("STATE", "AREA", "NAME", "FINDING"), rows)
    wanted: dict[str, Wanted] = {}
    for each in findings:
        if show_all or each.severity in (Severity.WARNING, Severity.ERROR):
            wanted |= {record.line(): record for record in each.publish}
    if wanted:
        click.echo()
        output.heading("To publish; TXT in place of the record of its kind, all else beside what is there:")
        for line in wanted:
            output.line(line)
    counts = [
        f"{sum(each.severity is severity for each in findings)} {severity}" for severity in reversed(Severity)
    ]
    output.line(f"{plan.host}, role {plan.role}: {', '.join(counts)}")


def _data(each: Diagnosis) -> dict[str, Any]:
    return {
        "area": each.area,
        "name": each.name,
        "severity": str(each.severity),
        "text": each.text,
        "unanswered": each.unanswered,
        "publish": [
            {"name": record.name, "type": record.kind, "value": record.value, "line": record.line()}
            for record in each.publish
        ],
    }
