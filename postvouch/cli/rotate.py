"""``postvouch dkim rotate``: a new key in place of an old one, and never a letter without a key."""

import sys
from pathlib import Path

import click

from postvouch.cli import dkimkey, output, rotatereport
from postvouch.cli.rotatedesk import desk_of, managed_domains
from postvouch.host.rotation import Busy
from postvouch.host.rotator import Desk, NotNow, Outcome, Refused, Wish, advance, confirm_here, peek
from postvouch.sign import recordforms
from postvouch.sign.keys import KeyProblem
from postvouch.sign.record import is_selector
from postvouch.sign.rotate import Need
from postvouch.values.address import AddressError, parse_domain

POLL_S = 30
FAR_S = 86400


def _selectors(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if not is_selector(value):
            raise click.BadParameter(f'"{output.clean(value)}" is no selector')
    return tuple(value.lower() for value in values)


def _hosts(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    if value is None:
        return None
    try:
        return tuple(parse_domain(name.strip()) for name in value.split(",") if name.strip())
    except AddressError as error:
        raise click.BadParameter(str(error)) from None


@click.command(short_help="Replace the keys of a domain, step by step.")
@click.argument("domain", required=False, callback=dkimkey.domain)
@click.option("--new", is_flag=True, help="Begin a rotation, though the active key is fine.")
@click.option(
    "--type", "kind", type=click.Choice(tuple(dkimkey.TYPES)), help="Kind of a new key. Default: as before."
)
@click.option("--status", is_flag=True, help="Show how things stand, and change nothing.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, ask DNS, and change nothing.")
@click.option(
    "--wait", is_flag=True,
    help="Ask again and again, until what is next needs a person or is more than a day away.",
)  # fmt: skip
@click.option(
    "--adopt", multiple=True, metavar="SELECTOR", callback=_selectors,
    help="Manage a key that signs today: its file in the domain's folder, its record in DNS.",
)  # fmt: skip
@click.option(
    "--revoke-now", "revoke", multiple=True, metavar="SELECTOR", callback=_selectors,
    help="For a stolen key: withdraw it as soon as another can sign, without regard to letters on their way.",
)  # fmt: skip
@click.option(
    "--hosts", metavar="HOST,HOST", callback=_hosts,
    help='The other hosts that sign with copies of these keys; "" for none.',
)  # fmt: skip
@click.option("--confirm", is_flag=True, help="On one of those: the active keys are here, and sign here.")
@click.option(
    "--confirmed", multiple=True, metavar="HOST",
    help="That host signs with the active keys, as --confirm said there.",
)  # fmt: skip
@click.option("--take-over", is_flag=True, help="Make this the host that makes keys, and not the one before.")
@click.option(
    "--form", type=click.Choice(recordforms.FORMS), default="zone", show_default=True,
    help="How records to publish are printed, as in postvouch dkim record.",
)  # fmt: skip
@click.option("--zone", help="The zone: names are printed relative to it, and nsupdate is told.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask whether a key should be withdrawn.")
@output.config_option
@output.json_option
def rotate(
    domain: str | None, new: bool, kind: str | None, status: bool, dry_run: bool, wait: bool,
    adopt: tuple[str, ...], revoke: tuple[str, ...], hosts: tuple[str, ...] | None, confirm: bool,
    confirmed: tuple[str, ...], take_over: bool, form: str, zone: str | None, yes: bool,
    path: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Replace the signing keys of DOMAIN, or make its first, as far as it can go now.

    A key is made, published (by you: its record is printed), active, retiring, revoked, deleted. It signs
    when every authoritative server has its record and no resolver can remember that there was none; the
    record of the old one stays until the last letter signed with it must have arrived. What is missing for
    the next step is printed; run it again then, as often as you like.

    Without DOMAIN: every domain that has managed keys. The exit status is 0 where nothing is left to do, 75
    where something is waited for, 1 where a record that is needed is not what it has to be.
    """
    wish = Wish(
        new=new, kinds=dkimkey.TYPES[kind] if kind else (), adopt=adopt, revoke=revoke,
        hosts=hosts, confirmed=confirmed, take_over=take_over,
    )  # fmt: skip
    if domain is None and wish != Wish():
        raise click.UsageError("which DOMAIN?")
    if status and wait:
        raise click.UsageError("--status does not wait")
    if revoke and not (yes or dry_run or status):
        _ask(revoke, domain)
    config = dkimkey.settings(path)
    desk = desk_of(config)
    domains = [domain] if domain else managed_domains(config)
    report = rotatereport.Report(desk=desk, form=form, zone=zone, as_json=as_json)
    statuses = [output.OK]
    for each in domains:
        try:
            if confirm:
                report.confirmed(*confirm_here(desk, each))
            elif status:
                statuses.append(report.status(each, peek(desk, each)))
            else:
                statuses.append(_go_on(desk, each, wish, report, dry_run=dry_run, wait=wait))
        except (Refused, NotNow, Busy, KeyProblem) as problem:
            statuses.append(report.problem(each, problem))
    report.end()
    if not domains:
        click.echo("no domain has managed keys; begin with: postvouch dkim rotate DOMAIN", err=True)
    output.leave(_worst(statuses))


def _go_on(
    desk: Desk, domain: str, wish: Wish, report: rotatereport.Report, *, dry_run: bool, wait: bool
) -> int:
    """One run, or with ``wait`` as many as it takes; the exit status of the last."""
    outcome = advance(desk, domain, wish, dry_run=dry_run)
    known = _for_people(outcome)
    status = report.outcome(outcome, dry_run=dry_run)
    while wait and not dry_run and _soon(outcome) and _for_people(outcome) <= known:
        desk.sleep(POLL_S)
        try:
            again = advance(desk, domain, Wish())
        except (NotNow, Busy) as trouble:
            report.progress(str(trouble))
            continue
        if again.step.waits == outcome.step.waits and again.rotation == outcome.rotation:
            report.progress("; ".join(f"{each.selector}: {each.why}" for each in again.step.waits))
        else:
            status = report.outcome(again, dry_run=False)
        outcome = again
    return status


def _for_people(outcome: Outcome) -> set[tuple[str, Need]]:
    """What a person has to do; whoever begins to wait has been told of it."""
    people = (Need.PUBLISH, Need.REVOKE, Need.REMOVE, Need.CONFIRM, Need.ALARM)
    return {(each.selector, each.need) for each in outcome.step.waits if each.need in people}


def _soon(outcome: Outcome) -> bool:
    """Whether anything may happen before long."""
    return any(each.need is not Need.TIME or each.until < outcome.now + FAR_S for each in outcome.step.waits)


def _ask(selectors: tuple[str, ...], domain: str | None) -> None:
    question = (
        f"Letters on their way that are signed with {', '.join(selectors)} of {domain} will fail. Withdraw?"
    )
    if not sys.stdin.isatty():
        raise click.UsageError("--revoke-now asks on a terminal; elsewhere say --yes")
    click.confirm(question, abort=True, err=True)


def _worst(statuses: list[int]) -> int:
    """Of several domains the one that most needs a person decides."""
    gravity = [output.OK, output.TEMPFAIL, output.NEGATIVE, output.UNAVAILABLE]
    return max(statuses, key=gravity.index)
