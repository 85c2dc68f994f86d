"""What ``doctor`` and ``dns-records`` share: their options, and the plan out of configuration and Postfix."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from postvouch.auth.tlsa import of_certificate
from postvouch.cli.postfixaround import Around
from postvouch.config.schema import Config
from postvouch.host.dnsplan import Plan, plan_of
from postvouch.host.keyfiles import MAX_FILE_OCTETS, load_ring, specs_of
from postvouch.values.domain import AddressError, parse_domain
from postvouch.values.network import client_address

F = TypeVar("F", bound=Callable[..., Any])


def planned(function: F) -> F:
    """The options that say what this host cannot know by itself."""
    options = (
        click.option(
            "--domain", "only", multiple=True, metavar="DOMAIN", callback=_names,
            help="Only this domain; repeatable. Default: general.domains and those of [srs].",
        ),
        click.option(
            "--address", "addresses", multiple=True, metavar="IP", callback=_addresses,
            help="An address that this host sends from; repeatable. Default: smtp_bind_address in main.cf, "
            "else what DNS has for its name.",
        ),
        click.option(
            "--host", "peers", multiple=True, metavar="HOST", callback=_names,
            help="A further host of the same role; repeatable.",
        ),
        click.option(
            "--mx", "mx_hosts", multiple=True, metavar="HOST", callback=_names,
            help="An mx host; repeatable. Default: on mx this host, else postfix.home_transport.",
        ),
        click.option(
            "--entry", metavar="NAME", callback=_name,
            help="The name by whose MX our other hosts reach this one and each --host, as in "
            'map.forward_transport = "smtp:NAME" on mx.',
        ),
        click.option(
            "--config-dir", type=click.Path(path_type=Path, file_okay=False, exists=True),
            help="Where main.cf and master.cf are. Default: Postfix's own.",
        ),
    )  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


def plan(
    config: Config, around: Around, *, only: Sequence[str], addresses: Sequence[str], peers: Sequence[str],
    mx_hosts: Sequence[str], entry: str,
) -> Plan:  # fmt: skip
    """The plan, with the keys that sign here."""
    rings = [(spec, load_ring((spec,))) for spec in specs_of(config)]
    whole = plan_of(
        config,
        around.settings.main,
        addresses=addresses,
        peers=peers,
        mx_hosts=mx_hosts,
        entry=entry,
        tlsa=_certificate(config.postfix.tls_cert),
        keys=[key for _, ring in rings for key in ring.keys],
        unreadable_keys=[(spec.domain, why) for spec, ring in rings for why in ring.problems],
    )
    if not only:
        return whole
    return replace(
        whole,
        domains=tuple(only),
        srs_domains=tuple(each for each in whole.srs_domains if each in only),
        keys=tuple(key for key in whole.keys if key.domain in only),
    )


def _names(_: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return tuple(dict.fromkeys(map(parse_domain, values)))
    except AddressError as error:
        raise click.BadParameter(str(error), param=parameter) from None


def _certificate(file: str) -> tuple[str, ...]:
    """What DANE may say of the certificate in a file; nothing, where it is not to be had."""
    try:
        if not Path(file).is_file():
            return ()
        with Path(file).open("rb") as opened:
            return of_certificate(opened.read(MAX_FILE_OCTETS))
    except OSError:
        return ()


def _name(context: click.Context, parameter: click.Parameter, value: str | None) -> str:
    return "".join(_names(context, parameter, (value,) if value else ()))


def _addresses(_: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    found = [client_address(each) for each in values]
    if None in found:
        raise click.BadParameter("no IP address", param=parameter)
    return tuple(dict.fromkeys(map(str, found)))
