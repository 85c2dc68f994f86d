"""``postvouch dkim list``: every key of this host, how old it is, what for, and what is wrong with it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from postvouch.cli import dkimkey, output
from postvouch.cli.keyinventory import SIGNS, UNUSED, Listed, inventory
from postvouch.config.schema import Config
from postvouch.sign.finding import MEANINGS, Finding
from postvouch.sign.published import compare
from postvouch.sign.rotation import State
from postvouch.values.dns import DnsUnavailable, Records, Resolver

_SIGNING = (SIGNS, State.ACTIVE)
_NOT_YET = (UNUSED, State.MADE)
_WELCOME: dict[str, tuple[Finding, ...]] = {
    State.RETIRING: (Finding.REVOKED,),
    State.REVOKED: (Finding.REVOKED, Finding.NOT_PUBLISHED),
}
"""What a key in that state may look like besides being published."""

_AGES = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _InDns:
    """What the resolver says of a key: a word, perhaps why, and whether something has to be done."""

    word: str
    detail: str = ""
    wrong: bool = False


@click.command("list", short_help="List every key: its use, its age, what is wrong.")
@click.option("-d", "--domain", callback=dkimkey.domain, help="Only the keys of this domain.")
@click.option("--dns", "ask", is_flag=True, help="Ask the resolver what is published for each key.")
@output.config_option
@output.json_option
def list_keys(domain: str | None, ask: bool, path: Path | None, as_json: bool) -> None:
    """List every key: those that sign, those that rotate keeps, and files that nobody uses.

    The exit status is 1 where one needs attention: it cannot be used, or is not published as it should be.
    """
    config = dkimkey.settings(path)
    keys = [each for each in inventory(config) if domain in (None, each.domain)]
    found = _ask(keys, config) if ask else [None] * len(keys)
    pairs = list(zip(keys, found, strict=True))
    if as_json:
        output.print_json({"keys": [_data(key, dns) for key, dns in pairs]})
    else:
        _print(pairs, time.time(), ask=ask)
    wrong = any(key.problem or (dns and dns.wrong) for key, dns in pairs)
    output.leave(output.NEGATIVE if wrong else output.OK)


def _ask(keys: Sequence[Listed], config: Config) -> list[_InDns | None]:
    from postvouch.host.dns import DnsResolver

    resolver = DnsResolver(config.dns.servers, timeout_s=config.dns.timeout).for_message(
        config.dns.message_timeout
    )
    return [_in_dns(key, resolver, config.sign.require_dnssec) if key.selector else None for key in keys]


def _in_dns(key: Listed, resolver: Resolver, require_dnssec: bool) -> _InDns:
    try:
        records = resolver.lookup(f"{key.selector}._domainkey.{key.domain}", "TXT")
    except DnsUnavailable as error:
        return _InDns(word=Finding.DNS_UNAVAILABLE, detail=str(error), wrong=True)
    return judge(key, records, require_dnssec=require_dnssec)


def judge(key: Listed, records: Records, *, require_dnssec: bool) -> _InDns:
    """Whether what is published is what the state of the key asks for.

    A key that signs, or soon will, or did lately, has to be there; a revoked one must not verify any more.
    """
    faults = compare(key.private, [(text,) for text in records.texts()])
    if not faults:
        insecure = require_dnssec and not records.secure and key.state in _SIGNING
        return _InDns(
            word="secure" if records.secure else "insecure",
            detail="published, and not DNSSEC-secure" if insecure else "published, though revoked",
            wrong=insecure or key.state == State.REVOKED,
        )
    worst = faults[0]
    welcome = key.state in _NOT_YET or worst.finding in _WELCOME.get(key.state, ())
    wrong = not welcome and not MEANINGS[worst.finding].is_warning
    return _InDns(word=worst.finding, detail=str(worst), wrong=wrong)


def _print(pairs: Sequence[tuple[Listed, _InDns | None]], now: float, *, ask: bool) -> None:
    headers = ["DOMAIN", "SELECTOR", "KEY", "AGE", "STATE", *(["DNS"] if ask else []), "FOR", "FILE"]
    rows = []
    for key, dns in pairs:
        in_dns = [dns.word if dns else "-"] if ask else []
        row = [key.domain, key.selector, _kind(key), _age(key, now), key.state, *in_dns]
        rows.append([each or "-" for each in [*row, " ".join(key.used_for), key.file]])
    if not rows:
        click.echo("no keys", err=True)
        return
    output.table(headers, rows)
    for key, dns in pairs:
        name = f"{key.selector}._domainkey.{key.domain}" if key.selector else key.domain
        for text in (key.problem, dns.detail if dns and dns.wrong else ""):
            if text:
                output.raw(f"{output.styled('problem')}: {output.clean(f'{name}: {text}')}")


def _kind(key: Listed) -> str:
    if key.private is None:
        return ""
    return f"{key.private.kind}-{key.private.bits}" if key.private.kind == "rsa" else key.private.kind


def _age(key: Listed, now: float) -> str:
    """How old a key is, in the largest unit that fits."""
    if key.made is None:
        return ""
    seconds = max(0, int(now - key.made))
    length, unit = next(((length, unit) for length, unit in _AGES if seconds >= length), _AGES[-1])
    return f"{seconds // length}{unit}"


def _data(key: Listed, dns: _InDns | None) -> dict[str, Any]:
    return {
        "domain": key.domain,
        "selector": key.selector or None,
        "kind": key.private.kind if key.private else None,
        "bits": key.private.bits if key.private else None,
        "state": str(key.state),
        "file": key.file or None,
        "made": int(key.made) if key.made is not None else None,
        "used_for": list(key.used_for),
        "problem": key.problem or None,
        "dns": {"state": str(dns.word), "detail": dns.detail, "wrong": dns.wrong} if dns else None,
    }
