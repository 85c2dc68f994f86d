"""``postvouch dkim``: keys from the day they are made to the day their records may go. One verb a file."""

import click

from postvouch.cli.genkey import genkey
from postvouch.cli.keylist import list_keys
from postvouch.cli.record import record
from postvouch.cli.rotate import rotate
from postvouch.cli.testkey import testkey


class _InOrder(click.Group):
    """Its verbs in the order of a key's life."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=_InOrder, no_args_is_help=False, short_help="Make, publish, test and rotate signing keys.")
def dkim() -> None:
    """Make signing keys, print their DNS records, see what is published, replace them in time."""


for _verb in (genkey, record, list_keys, testkey, rotate):
    dkim.add_command(_verb)
