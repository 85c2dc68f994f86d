"""``postvouch who-can-send-as`` and ``postvouch what-can``: the rights to addresses, with their reasons."""

from pathlib import Path
from typing import Any

import click

from postvouch.cli import output
from postvouch.cli.known import known_names
from postvouch.directory import owners
from postvouch.directory.trace import Origins, spoken


@click.command(short_help="Show the logins that may send as an address, and why.")
@click.argument("address")
@output.config_option
@output.json_option
def who_can_send_as(address: str, path: Path | None, as_json: bool) -> None:
    """Show every login that may send as ADDRESS, each with the way by which it may and where that is written.

    What is shown is what the map owners, the submission policy and the signer go by. Exit status 1: nobody.
    """
    names = known_names(output.configuration(path))
    found = owners.who_can(names.directory, Origins(names.parts), address)
    _show(found, as_json, by_login=True)


@click.command(short_help="Show the addresses that a login may use, and why.")
@click.argument("login")
@output.config_option
@output.json_option
def what_can(login: str, path: Path | None, as_json: bool) -> None:
    """Show every address that LOGIN may send as, each with its reason and where that is written.

    Sub-addresses of each ("bob+list@") are included without being listed. Exit status 1: none.
    """
    names = known_names(output.configuration(path))
    found = owners.what_can(names.directory, Origins(names.parts), login)
    _show(found, as_json, by_login=False)


def _show(found: tuple[owners.Right, ...], as_json: bool, *, by_login: bool) -> None:
    if as_json:
        output.print_json([_right(each) for each in found])
    else:
        for each in found:
            also = f"; also {', '.join(each.also)}" if each.also else ""
            output.line(f"{each.login if by_login else each.address} ({each.reason}{also})")
            for step in each.way:
                output.line(f"    {step}")
    output.leave(output.OK if found else output.NEGATIVE)


def _right(right: owners.Right) -> dict[str, Any]:
    return {
        "login": right.login,
        "address": right.address,
        "also": list(right.also),
        "reason": right.reason,
        "way": spoken(right.way),
    }
