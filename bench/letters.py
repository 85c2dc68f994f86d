"""What is sent: letters of many domains, signed with RSA-2048, and the DNS that speaks for them."""

import base64
import itertools
import random
import time
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from postvouch.sign.dkim import Rules, sign
from postvouch.sign.keys import PrivateKey, SigningKey
from postvouch.values.message import Field, Message

DOMAINS = tuple(f"sender{number}.example" for number in range(1, 33))
CLIENT = "192.0.2.10"
HELO = "client.provider.example"
SELECTOR = "s1"
SIGNED = ("from", "to", "subject", "date", "message-id", "mime-version", "content-type")

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


def write(folder: Path, sizes: Sequence[str], policies: Sequence[str]) -> str:
    """Write ``folder``/SIZE/DOMAIN.eml for all sizes ("5k"). unbound's local-data for them is returned.

    ``policies`` are the SPF records, dealt out to the domains in turn.
    """
    lines = [f'local-data-ptr: "{CLIENT} 3600 {HELO}"', *(_data(*each) for each in _COMMON.items())]
    for domain, policy in zip(DOMAINS, itertools.cycle(policies), strict=False):
        key = PrivateKey(kind="rsa", bits=2048, key=generate_private_key(65537, 2048))
        signer = SigningKey(domain=domain, selector=SELECTOR, private=key)
        public = f"v=DKIM1; k=rsa; p={base64.b64encode(key.public()).decode()}"
        lines += [
            _data(domain, f'TXT "{policy}"'),
            _data(domain, f"MX 10 mx.{domain}"),
            _data(f"mx.{domain}", f"A {CLIENT}"),
            _data(f"_dmarc.{domain}", 'TXT "v=DMARC1; p=reject"'),
            _data(f"{SELECTOR}._domainkey.{domain}", f'TXT "{public[:250]}" "{public[250:]}"'),
        ]
        for size in sizes:
            place = folder / size / f"{domain}.eml"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(_letter(domain, int(size.removesuffix("k")) * 1000, signer))
    return "\n".join(lines) + "\n"


def _data(name: str, rest: str) -> str:
    return f"local-data: '{name} 3600 {rest}'"


def _letter(domain: str, octets: int, key: SigningKey) -> bytes:
    dice = random.Random(domain)  # the same text in every run
    now = time.time()
    lines: list[str] = []
    while sum(map(len, lines)) < octets:
        words = ("".join(dice.choices(_SYLLABLES, k=dice.randint(1, 3))) for _ in range(10))
        lines.append(" ".join(words)[:74] + "\r\n")
    body = "".join(lines).encode()
    header = {
        "Received": f"from desk.{domain} (desk.{domain} [198.51.100.7])\r\n\tby {HELO} id 4XyZ1k2",
        "From": f"Ada Writer <ada@{domain}>",
        "To": "bob@our.example",
        "Subject": "The minutes of our last meeting, and what is to be done before the next",
        "Date": time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime(now)),
        "Message-ID": f"<{dice.getrandbits(64):016x}@{domain}>",
        "MIME-Version": "1.0",
        "Content-Type": "text/plain; charset=us-ascii",
        "List-Unsubscribe": f"<mailto:leave@{domain}>",
        "X-Mailer": "Desk 7.1",
    }
    fields = tuple(Field(name.encode(), f" {value}".encode()) for name, value in header.items())
    edit = sign(Message(fields=fields, body=(body,)), key, now=now, rules=Rules(headers=SIGNED))
    own = Field(edit.name.encode(), f" {edit.value}".replace("\n", "\r\n").encode())
    return b"".join(f.name + b":" + f.value + b"\r\n" for f in (own, *fields)) + b"\r\n" + body
