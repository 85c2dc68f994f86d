"""``postvouch postfix``: wire this host's Postfix for its role, show what that would change, and undo it.

Order matters: the daemons are up before Postfix is told of them, and what stood in main.cf is on disk before
the first line is changed. Postfix's own programs do the writing.
"""

import time
from pathlib import Path

import click

from postvouch.cli import output
from postvouch.config.load import DEFAULT_PATH
from postvouch.config.schema import Config
from postvouch.config.snippets import FILTERS, Wiring, filter_snippet, wiring
from postvouch.config.wiring import DAEMONS, ROLES, sockets, words
from postvouch.host.postfix import Postfix, PostfixError, start_units, systemd_runs, unanswered
from postvouch.host.wiring import Plan, Settings, after, diff, to_apply, to_remove

_QUEUE_DIR = "/var/spool/postfix"
PATIENCE_S = 15.0
"""How long a daemon that was just started may take until it listens."""


@click.command(name="postfix")
@output.config_option
@click.option("--role", type=click.Choice(ROLES), help="What this host is. Default: general.role.")
@click.option("--check", "action", flag_value="check", help="Say whether Postfix is wired so; 1 if not.")
@click.option("--diff", "action", flag_value="diff", help="Show what --apply would change, as a diff.")
@click.option(
    "--apply", "action", flag_value="apply", help="Start our daemons, then change and reload Postfix."
)
@click.option("--remove", "action", flag_value="remove", help="Put back what --apply found.")
@click.option("--print", "action", flag_value="print", help="Print the fragments, with reasons, to paste.")
@click.option(
    "--filter",
    "reader",
    type=click.Choice(tuple(FILTERS)),
    help="Print what makes this filter score our Authentication-Results field, and do nothing else.",
)
@click.option(
    "--config-dir",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Where main.cf and master.cf are. Default: Postfix's own.",
)
@click.option(
    "--files-only", is_flag=True, help="With --apply and --remove: start, check and reload nothing."
)
def postfix(
    path: Path | None,
    role: str | None,
    action: str | None,
    reader: str | None,
    config_dir: Path | None,
    files_only: bool,
) -> None:
    """Wire Postfix for the role of this host.

    Without an action, --diff. Only settings that the role needs are touched; their former values are kept in
    postvouch-before.json beside main.cf until --remove.
    """
    try:
        if action == "remove":
            _remove(Postfix(config_dir), files_only)
            return
        config = output.configuration(path)
        if reader:
            click.echo(filter_snippet(reader, config.verify.authserv_id), nl=False)
            return
        role = role or config.general.role
        if not role:
            raise output.Failure(output.USAGE, "which role? --role, or general.role in postvouch.toml")
        if action == "print":
            _print(_wanted(config, path, role, _QUEUE_DIR))
            return
        host = Postfix(config_dir)
        now = host.settings()
        wanted = _wanted(config, path, role, host.queue_dir())
        plan = to_apply(role, wanted, now, host.known(), host.record())
        if action == "apply":
            _apply(config, role, host, now, plan, files_only)
            return
        _show(host, now, plan)
        if action == "check" and plan:
            output.leave(output.NEGATIVE)
    except PostfixError as error:
        raise output.Failure(output.UNAVAILABLE, str(error)) from error


def _wanted(config: Config, path: Path | None, role: str, queue_dir: str) -> Wiring:
    found, problems = words(config, role, queue_dir=queue_dir, aliases=_alias_domains(config))
    if problems:
        raise output.Failure(output.CONFIG, "\n".join(f"{path or DEFAULT_PATH}: {each}" for each in problems))
    return wiring(role, found)


def _alias_domains(config: Config) -> frozenset[str]:
    """The domains that the files fold into others; main.cf must name those nowhere else."""
    from postvouch.directory import sources
    from postvouch.directory.model import Kind

    readings = sources.read_files(config, now=time.time())
    fatal = [str(each) for reading in readings for each in reading.problems if each.fatal]
    if fatal:
        raise output.Failure(output.CONFIG, "\n".join(fatal))
    entries = (entry for reading in readings if reading.part for entry in reading.part.entries)
    return frozenset(each.name for each in entries if each.kind is Kind.DOMAIN and each.values)


def _print(wanted: Wiring) -> None:
    click.echo(wanted.main_text, nl=False)
    if wanted.master_text:
        click.echo("\n# ---- master.cf ----\n\n" + wanted.master_text, nl=False)


def _show(host: Postfix, now: Settings, plan: Plan) -> None:
    if plan:
        click.echo(diff(now, after(now, plan)))
    else:
        click.echo(f"{host.config_dir}: wired, nothing to change")
    for note in plan.notes:
        click.echo(f"note: {output.clean(note)}", err=True)


def _apply(config: Config, role: str, host: Postfix, now: Settings, plan: Plan, files_only: bool) -> None:
    if not files_only:
        _daemons_up(config, role)
    former = host.record()
    # First the way back, then the way there: a crash in between loses neither.
    host.keep(plan.record)
    try:
        _write(host, now, plan, files_only)
    except PostfixError:
        host.keep(former)
        raise


def _remove(host: Postfix, files_only: bool) -> None:
    record = host.record()
    if record is None:
        click.echo(f"{host.config_dir}: not wired by us, nothing to remove")
        return
    now = host.settings()
    _write(host, now, to_remove(now, record), files_only)
    host.keep(None)


def _write(host: Postfix, now: Settings, plan: Plan, files_only: bool) -> None:
    host.write(plan.main, plan.services)
    if not files_only:
        try:
            host.check()
        except PostfixError as error:
            host.write(
                {name: now.main.get(name) for name in plan.main},
                {name: now.services.get(name) for name in plan.services},
            )
            raise PostfixError(f"taken back, since Postfix does not like it: {error}") from error
    _show(host, now, plan)
    if plan and not files_only:
        click.echo("Postfix reloaded" if host.reload() else "Postfix does not run; it will start like this")


def _daemons_up(config: Config, role: str) -> None:
    """Postfix is never wired to nothing: every letter would be deferred from that moment."""
    if systemd_runs():
        start_units(DAEMONS[role])
    places = sockets(config)
    silent = unanswered([places[daemon] for daemon in DAEMONS[role]], patience_s=PATIENCE_S)
    if silent:
        raise output.Failure(
            output.UNAVAILABLE,
            "Postfix is left as it is, since nobody listens at " + ", ".join(silent)
            + ".\nStart " + ", ".join(f"postvouch-{daemon}" for daemon in DAEMONS[role]) + " first.",
        )  # fmt: skip
