"""``postvouch dkim``: keys from the day they are made to the day their records may go. One verb a file."""

import click

from postvouch.cli.genkey import genkey
from postvouch.cli.keylist import list_keys
from postvouch.cli.record import record
from postvouch.cli.rotate import rotate
from postvouch.cli.testkey import testkey


@click.group(no_args_is_help=False)
def dkim() -> None:
    """Make signing keys, print their DNS records, see what is published."""


# In the order of a key's life.
for _verb in (genkey, record, list_keys, testkey, rotate):
    dkim.add_command(_verb)
