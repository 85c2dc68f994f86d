"""``postvouch dkim testkey``: what exactly is wrong with a published key; with opendkim-testkey's options."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from postvouch.cli import dkimkey, output, testkeyreport
from postvouch.cli.testkeyreport import Tested
from postvouch.config.load import DEFAULT_PATH
from postvouch.config.schema import Config
from postvouch.host.dnsexamine import examine
from postvouch.host.dnskeys import Anchors, parse_anchors
from postvouch.host.keyfiles import MAX_FILE_OCTETS, load_key, specs_of
from postvouch.sign.finding import Fault, Finding, Strictness, in_order
from postvouch.sign.keys import KeyProblem, KeySpec, PrivateKey, parse_pem

_AT_ONCE = 8


@click.command(short_help="Compare keys with what is published for them.")
@click.option("-d", "--domain", callback=dkimkey.domain, help="The domain that signs (d=). Default: all.")
@click.option("-s", "--selector", callback=dkimkey.selector, help="The selector (s=). Default: all.")
@click.option(
    "-k",
    "--keyfile",
    "file",
    metavar="FILE",
    help="The private key. Default: where the configuration has it.",
)
@click.option(
    "-v", "--verbose", count=True,
    help="Say more: -v which name is asked for, -vv also which files are read, -vvv also what each server "
    "says and each link of the chain of trust.",
)  # fmt: skip
@click.option(
    "--require-dnssec", is_flag=True,
    help='"key not secure" is an error (as with sign.require_dnssec) and no warning.',
)  # fmt: skip
@click.option("--strict", is_flag=True, help="Warnings are errors.")
@click.option(
    "--trust-anchor", type=click.File("r"), metavar="FILE",
    help="Trusted DS or DNSKEY records, as in unbound's root.key. Default: the resolver's word on the root.",
)  # fmt: skip
@click.option(
    "-x", "--config", "path", metavar="FILE", type=click.Path(path_type=Path, readable=False),
    help=f"Configuration file; conf.d/*.toml beside it is read too. Default: {DEFAULT_PATH}",
)  # fmt: skip
@output.json_option
def testkey(
    domain: str | None, selector: str | None, file: str | None, verbose: int, require_dnssec: bool,
    strict: bool, trust_anchor: Iterable[str] | None, path: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Compare keys with what is published for them, and say what is wrong.

    Each authoritative server of the zone is asked, and the resolver; the chain of trust (DNSSEC) is followed
    from the root. Without options: all keys of the configuration. The exit status says what was found, each
    finding has its own, and of several the gravest decides:

    STATUSES

    A warning leaves it 0, unless --strict. docs/testkey.rst says what to do about each.
    """
    config = dkimkey.settings(path)
    specs = _specs(config, domain, selector, file)
    anchors = _anchors(trust_anchor)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        tested = list(pool.map(lambda spec: _test(spec, config, anchors), specs))
    strictness = Strictness(require_dnssec=require_dnssec or config.sign.require_dnssec, all_warnings=strict)
    report = testkeyreport.Report(tested, strictness)
    if as_json:
        report.print_json()
    elif len(tested) > 1 and not verbose:
        report.print_table()
    else:
        report.print_lines(verbose, _configuration(path))
    output.leave(report.status)


testkey.help = (testkey.help or "").replace("STATUSES", testkeyreport.statuses())


def _configuration(path: Path | None) -> str:
    """How opendkim-testkey tells which configuration it reads; empty where there is none."""
    if path is not None:
        return f"using configfile {path}"
    return f"using default configfile {DEFAULT_PATH}" if DEFAULT_PATH.exists() else ""


def _specs(config: Config, domain: str | None, selector: str | None, file: str | None) -> list[KeySpec]:
    """The keys that are meant; ends the command where there are none."""
    if file is not None and not (domain and selector):
        raise click.UsageError("--keyfile needs --domain and --selector")
    if domain and selector and file:
        return [KeySpec(domain=domain, selector=selector, file=file)]
    found = [
        spec
        for spec in specs_of(config)
        if domain in (None, spec.domain) and (spec.problem or selector in (None, spec.selector))
    ]
    if domain and selector and not any(spec.selector == selector for spec in found):
        # Not ours to sign with, but perhaps made here; if not, the record is judged alone.
        place = dkimkey.key_directory(config, None) / domain / f"{selector}.pem"
        return [KeySpec(domain=domain, selector=selector, file=str(place) if place.exists() else "")]
    if not found:
        whose = f" for {domain}" if domain else ""
        raise output.Failure(
            output.UNAVAILABLE,
            f"the configuration has no [[sign.key]]{whose}; name one: -d DOMAIN -s SELECTOR",
        )
    return found


def _anchors(lines: Iterable[str] | None) -> Anchors | None:
    if lines is None:
        return None
    try:
        return parse_anchors(lines)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--trust-anchor") from None


def _test(spec: KeySpec, config: Config, anchors: Anchors | None) -> Tested:
    """One key, its file first; a file with a problem keeps nobody from looking at the record."""
    if spec.problem:
        fault = Fault(Finding.KEY_UNUSABLE, spec.problem)
        return Tested(spec=spec, name=spec.domain, examination=None, faults=(fault,), is_loaded=False)
    key, fault_of_file = _load(spec.file) if spec.file else (None, None)
    name = f"{spec.selector}._domainkey.{spec.domain}".lower()
    examination = examine(name, key, config.dns.servers, anchors=anchors)
    faults = [*examination.faults, fault_of_file] if fault_of_file else examination.faults
    return Tested(
        spec=spec, name=name, examination=examination, faults=in_order(faults), is_loaded=key is not None
    )


def _load(file: str) -> tuple[PrivateKey | None, Fault | None]:
    """The key as far as it can be had, and what is wrong with its file."""
    try:
        return load_key(file), None
    except KeyProblem as problem:
        text = str(problem)
    try:
        with Path(file).open("rb") as opened:
            key = parse_pem(opened.read(MAX_FILE_OCTETS), file) if Path(file).is_file() else None
    except FileNotFoundError:
        return None, Fault(Finding.KEY_MISSING, text)
    except (OSError, KeyProblem):
        key = None
    # A key that is fine by itself lies where it is not safe.
    return key, Fault(Finding.KEY_MODE if key else Finding.KEY_UNUSABLE, text)
