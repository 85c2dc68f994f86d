"""postvouch(1): what a person asks of it. One verb a file, loaded when it is used.

Exit statuses are those of ``output.STATUSES`` for every verb; click's own 2 for wrong usage becomes 64.
"""

import importlib
import sys

import click

from postvouch import __version__
from postvouch.cli import output
from postvouch.config.problems import did_you_mean

GROUPS: dict[str, dict[str, str]] = {
    "Start here": {
        "try": "postvouch.cli.try_:try_",
        "check": "postvouch.cli.check:check",
        "config": "postvouch.cli.config:config",
        "postfix": "postvouch.cli.postfix:postfix",
        "import": "postvouch.cli.import_:import_",
        "doctor": "postvouch.cli.doctor:doctor",
        "dns-records": "postvouch.cli.dnsrecords:dns_records",
    },
    "Letters": {
        "verify": "postvouch.cli.verify:verify",
        "dkim": "postvouch.cli.dkim:dkim",
        "srs": "postvouch.cli.srs:srs",
        "send-test": "postvouch.cli.sendtest:send_test",
        "unsigned": "postvouch.cli.unsigned:unsigned",
    },
    "Names": {
        "lookup": "postvouch.cli.lookup:lookup",
        "who-can-send-as": "postvouch.cli.owners:who_can_send_as",
        "what-can": "postvouch.cli.owners:what_can",
        "account": "postvouch.cli.account:account",
        "accounts": "postvouch.cli.accounts:accounts",
        "directory": "postvouch.cli.directory:directory",
    },
}
_VERBS = {name: place for group in GROUPS.values() for name, place in group.items()}


class _Verbs(click.Group):
    """A group that imports a verb only when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = _VERBS.get(cmd_name)
        if place is None:
            hint = did_you_mean(cmd_name, list(_VERBS))
            raise click.UsageError(f'no verb "{output.clean(cmd_name)}"{hint}; see postvouch --help', ctx)
        module, _, name = place.partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)  # noqa: S101 - our own table, checked by a test
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = formatter.width - 6 - max(map(len, _VERBS))
        for title, verbs in GROUPS.items():
            rows = []
            for name in verbs:
                command = self.get_command(ctx, name)
                if command is not None:
                    rows.append((name, command.get_short_help_str(width)))
            with formatter.section(title):
                formatter.write_dl(rows)


@click.group(
    cls=_Verbs,
    name="postvouch",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Every verb has --help, most have --json. Manual: postvouch(1), postvouch.toml(5).",
)
@click.version_option(__version__, "--version", prog_name="postvouch")
def postvouch() -> None:
    """Verify, sign, forward and police mail beside Postfix.

    New here? "postvouch try" shows what it does, with no server and no configuration.
    """


def run(arguments: list[str]) -> int:
    """Carry out one command line and return its exit status."""
    try:
        # Said here, since without arguments click 8.1 prints help and is content, 8.2 is not.
        status = postvouch.main(arguments or ["--help"], prog_name="postvouch", standalone_mode=False)
    except click.UsageError as error:
        error.show()
        return output.USAGE
    except click.ClickException as error:
        error.show()
        return output.DATA
    except click.Abort:
        click.echo("aborted", err=True)
        return output.NEGATIVE
    except output.Failure as failure:
        for text in str(failure).splitlines():
            click.echo(output.clean(text), err=True)
        return failure.status
    return status if isinstance(status, int) else output.OK


def main() -> None:
    """The command ``postvouch``."""
    sys.exit(run(sys.argv[1:]))
