"""``postvouch try``: what the package does, shown on letters inside it; no server, file or network needed."""

from dataclasses import replace
from typing import Any

import click

from postvouch import __version__
from postvouch.auth import dkim as checker
from postvouch.auth.judge import Judgement
from postvouch.auth.result import Result
from postvouch.cli import output, sample, verdict
from postvouch.cli.jsonlresult import in_full
from postvouch.cli.letter import read_letter
from postvouch.cli.zonefile import ZoneFile
from postvouch.config.cover import cover_of
from postvouch.config.schema import Config, General
from postvouch.config.verdict import Verdict
from postvouch.config.verify import Verify
from postvouch.sign import dkim as signer
from postvouch.sign import record
from postvouch.sign.keys import SigningKey, generate
from postvouch.srs import codec
from postvouch.values.answer import Found
from postvouch.values.message import Client, Envelope, Field, Message

_MX = "mx.our.example"
_DOMAIN, _SELECTOR = "our.example", "try"
_INDENT = "    "
_CONFIG = Config(
    general=General(role="mx", domains=(_DOMAIN,), hostname=_MX),  # type: ignore[arg-type]
    verify=Verify(authserv_id=_MX, public_suffixes=""),
    verdict=Verdict(mode="enforce"),
)


@click.command("try", short_help="See what it does, on letters inside the program.")
@output.json_option
def try_(as_json: bool) -> None:
    """Show a verdict on two letters, a signature and a rewritten sender: all inside this program.

    Exit status 0 if everything came out as it should, else 1.
    """
    honest, spoof = (
        _judge(sample.HONEST, _FAR, "mara@far.example"),
        _judge(sample.SPOOF, _BULK, "x@bulk.example"),
    )
    signed = _sign()
    wrapped, unwrapped = _rewrite()
    good = (
        honest.findings.dmarc.result is Result.PASS
        and spoof.ruling.code == "spoof"
        and signed["verified"] == "pass"
        and unwrapped == "mara@far.example"
    )
    if as_json:
        output.print_json(
            {
                "good": good,
                "honest": in_full(honest, _read(sample.HONEST, _FAR, "mara@far.example").fields),
                "spoof": in_full(spoof, _read(sample.SPOOF, _BULK, "x@bulk.example").fields),
                "signature": signed,
                "srs": {"forward": wrapped, "reverse": unwrapped},
            }
        )
    else:
        _show(honest, spoof, signed, wrapped, unwrapped)
        output.raw("")
        output.raw(_NEXT if good else "Something above is not as it should be: please report it.")
    output.leave(output.OK if good else output.NEGATIVE)


_FAR = Client(address="192.0.2.7", name="mx.far.example", helo="mx.far.example")
_BULK = Client(address="198.51.100.66", name="bulk.example", helo="bulk.example")

_NEXT = """\
That is what the four daemons do beside Postfix, each on the host whose role needs it. Next:
    postvouch verify LETTER --client-ip ADDRESS --mail-from SENDER    a letter of yours, with your DNS
    postvouch config --example                                       every setting and what it is for
    postvouch --help                                                 the other verbs"""


def _judge(letter: bytes, client: Client, sender: str) -> Judgement:
    message = _read(letter, client, sender)
    return verdict.judge(message, ZoneFile(sample.ZONE), now=sample.NOW, config=_CONFIG)


def _read(letter: bytes, client: Client, sender: str) -> Message:
    envelope = Envelope(sender=sender, recipients=("grants@our.example",))
    return read_letter(letter, client=client, envelope=envelope).message


def _sign() -> dict[str, Any]:
    """Make a key, sign our letter, and check the signature against the record that would be published."""
    private, _ = generate()
    key = SigningKey(domain=_DOMAIN, selector=_SELECTOR, private=private)
    texts = record.strings(private)
    client = Client(address="203.0.113.25", helo="client.our.example", login="bob")
    message = read_letter(sample.OURS, client=client, envelope=Envelope(sender="bob@our.example")).message
    made = signer.sign(message, key, now=sample.NOW, rules=cover_of(_CONFIG.sign))
    own = Field(made.name.encode(), b" " + made.value.replace("\n", "\r\n").encode())
    zone = ZoneFile(record.zone_text(_DOMAIN, _SELECTOR, texts).replace("\n", " "))
    found = checker.verify(replace(message, fields=(own, *message.fields)), zone, sample.NOW)
    return {
        "algorithm": private.algorithm,
        "bits": private.bits,
        "field": f"{made.name}: {made.value}",
        "record": "".join(texts),
        "verified": str(found[0].result) if found else "none",
    }


def _rewrite() -> tuple[str, str]:
    """A sender wrapped for forwarding, and unwrapped again."""
    rules = codec.Rules(
        domain=_DOMAIN, local_domains=frozenset({_DOMAIN}), secrets=(b"only for postvouch try",)
    )
    today = int(sample.NOW // 86400)
    there = codec.forward("mara@far.example", rules=rules, today=today)
    wrapped = there.value if isinstance(there, Found) else ""
    back = codec.reverse(wrapped, rules=rules, today=today)
    return wrapped, back.value if isinstance(back, Found) else ""


def _show(honest: Judgement, spoof: Judgement, signed: dict[str, Any], wrapped: str, unwrapped: str) -> None:
    output.heading(
        f"postvouch {__version__} on four small cases. No network: DNS is a zone inside this program."
    )
    output.raw("spf: may that host send for the sender's domain? dkim: is a domain's signature intact?")
    output.raw("dmarc: does one of them prove the domain of the From: that people see?")
    output.heading("\n1. An honest letter: mara@far.example, from her own mail server 192.0.2.7")
    verdict.show(honest, indent=_INDENT)
    output.heading(
        '\n2. A spoof: From: bob@our.example, sent by a stranger\'s host, verdict.mode = "enforce"'
    )
    verdict.show(spoof, indent=_INDENT)
    output.heading("\n3. Our own letter: bob@our.example logged in and answers, and we sign")
    output.raw(f"{_INDENT}a new key, kept nowhere: {signed['algorithm']}, {signed['bits']} bits")
    name, _, value = signed["field"].partition(":")
    verdict.field(_INDENT, name, value)
    output.raw(f"{_INDENT}its record, {_SELECTOR}._domainkey.{_DOMAIN} TXT: {signed['record'][:44]}...")
    output.raw(f"{_INDENT}verified against that record: {output.styled(signed['verified'])}")
    output.heading(
        "\n4. Forwarding mara's letter: the envelope sender becomes ours (SRS), and a bounce finds back"
    )
    output.raw(f"{_INDENT}mara@far.example -> {wrapped}")
    output.raw(f"{_INDENT}{wrapped} -> {unwrapped}")
