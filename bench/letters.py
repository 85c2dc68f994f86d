"""What is sent: signed letters of strangers, with the DNS that speaks for them; unsigned letters of ours."""

import base64
import itertools
import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import dkim
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

DOMAINS = tuple(f"sender{number}.example" for number in range(1, 33))
CLIENT = "192.0.2.10"
HELO = "client.provider.example"
SELECTOR = "s1"
SIGNED = ("from", "to", "subject", "date", "message-id", "mime-version", "content-type")

OURS = "our.example"
AUTHOR = f"ada@{OURS}"
LETTERS_OF_OURS = 16

PLAIN = ("v=spf1 ip4:192.0.2.0/24 -all",)
"""The least that an SPF record can be: one question, one term."""
MIXED = (
    *PLAIN,
    "v=spf1 mx -all",
    "v=spf1 include:_spf.provider.example -all",
    "v=spf1 ip4:203.0.113.7 include:_spf.desk.example include:_spf.provider.example ~all",
)
"""What domains really publish: their own hosts, or those of who sends for them."""

_COMMON = {
    HELO: f"A {CLIENT}",
    "_spf.provider.example": 'TXT "v=spf1 include:_net.provider.example ~all"',
    "_net.provider.example": 'TXT "v=spf1 ip4:198.51.100.0/24 ip4:192.0.2.0/24 ~all"',
    "_spf.desk.example": 'TXT "v=spf1 ip4:203.0.113.64/26 ~all"',
}
_SYLLABLES = "ba ce di fo gu la me ni po ru sa te vi xo zu and the of mail".split()  # noqa: SIM905


def octets_of(size: str) -> int:
    """How many octets "2k" or "1M" are."""
    units = {"k": 1000, "M": 1000_000}
    return int(size[:-1]) * units[size[-1]] if size[-1:] in units else int(size)


def write(folder: Path, sizes: Sequence[str], policies: Sequence[str]) -> str:
    """Write ``folder``/SIZE/DOMAIN.eml for all sizes, signed. unbound's local-data for them is returned.

    ``policies`` are the SPF records, dealt out to the domains in turn.
    """
    lines = [f'local-data-ptr: "{CLIENT} 3600 {HELO}"', *(_data(*each) for each in _COMMON.items())]
    for domain, policy in zip(DOMAINS, itertools.cycle(policies), strict=False):
        key = generate_private_key(65537, 2048)
        public = record(key)
        lines += [
            _data(domain, f'TXT "{policy}"'),
            _data(domain, f"MX 10 mx.{domain}"),
            _data(f"mx.{domain}", f"A {CLIENT}"),
            _data(f"_dmarc.{domain}", 'TXT "v=DMARC1; p=reject"'),
            _data(f"{SELECTOR}._domainkey.{domain}", f'TXT "{public[:250]}" "{public[250:]}"'),
        ]
        for size in sizes:
            letter = _letter(f"ada@{domain}", octets_of(size), domain)
            _write(folder / size / f"{domain}.eml", _signed(letter, domain, key))
    return "\n".join(lines) + "\n"


def write_ours(folder: Path, sizes: Sequence[str]) -> None:
    """Write ``folder``/SIZE/N.eml: letters of AUTHOR, as they come from the desk."""
    for size in sizes:
        for number in range(LETTERS_OF_OURS):
            octets = _letter(AUTHOR, octets_of(size), str(number))
            _write(folder / size / f"{number}.eml", octets)


def pem(key: RSAPrivateKey) -> bytes:
    """The private key as all signers read it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def record(key: RSAPrivateKey) -> str:
    """What DNS has of it."""
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"v=DKIM1; k=rsa; p={base64.b64encode(public).decode()}"


def _data(name: str, rest: str) -> str:
    return f"local-data: '{name} 3600 {rest}'"


def _write(place: Path, octets: bytes) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(octets)


def _signed(letter: bytes, domain: str, key: RSAPrivateKey) -> bytes:
    field: bytes = dkim.sign(
        letter,
        SELECTOR.encode(),
        domain.encode(),
        pem(key),
        canonicalize=(b"relaxed", b"relaxed"),
        include_headers=[name.encode() for name in SIGNED],
    )
    return field + letter


def _letter(author: str, octets: int, seed: str) -> bytes:
    dice = random.Random(seed)  # the same text in every run
    lines: list[str] = []
    size = 0
    while size < octets:
        words = ("".join(dice.choices(_SYLLABLES, k=dice.randint(1, 3))) for _ in range(10))
        lines.append(" ".join(words)[:74] + "\r\n")
        size += len(lines[-1])
    domain = author.partition("@")[2]
    header: Mapping[str, str] = {
        "Received": f"from desk.{domain} (desk.{domain} [198.51.100.7])\r\n\tby {HELO} id 4XyZ1k2",
        "From": f"Ada Writer <{author}>",
        "To": "bob@there.example",
        "Subject": "The minutes of our last meeting, and what is to be done before the next",
        "Date": time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime()),
        "Message-ID": f"<{dice.getrandbits(64):016x}@{domain}>",
        "MIME-Version": "1.0",
        "Content-Type": "text/plain; charset=us-ascii",
        "List-Unsubscribe": f"<mailto:leave@{domain}>",
        "X-Mailer": "Desk 7.1",
    }
    fields = "".join(f"{name}: {value}\r\n" for name, value in header.items())
    return (fields + "\r\n" + "".join(lines)).encode()
