"""Who there is in the world of the fuzzer: domains, hosts, addresses, keys, and what may stand in DNS."""

import base64
import hashlib
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateNumbers, RSAPublicNumbers

from fuzz.chance import Chance
from postvouch.sign.keys import PrivateKey

OURS = "mx.our.example"
NOW = 1_767_225_600.0
DOMAINS = (
    "far.example", "mail.far.example", "a.b.far.example", "other.example", "our.example", "sub.our.example",
    "list.example", "lists.our.example", "co.example", "x.co.example", "y.co.example",
    "xn--exmple-cua.example",
    "exämple.example", "deep." * 20 + "far.example", "l" * 63 + ".far.example", "example", "our.example.",
    "OUR.Example", "far.example.far.example", "_x.far.example", "1.2.3.4", "[192.0.2.7]", "", "com",
    "ourexample",
)  # fmt: skip
"""Names from all corners; the first ones are honest."""
HONEST = DOMAINS[:11]
ADDRESSES = (
    "192.0.2.7", "192.0.2.8", "198.51.100.4", "203.0.113.9", "2001:db8::7", "::ffff:192.0.2.7", "127.0.0.1",
    "::1",
    "fe80::1%eth0", "0.0.0.0", "255.255.255.255", "::", "IPv6:2001:db8::7", "", "unknown", "192.0.2.300",
    "192.0.2",
)  # fmt: skip
CLIENTS = ADDRESSES[:5]
WORDS = ("none", "neutral", "pass", "fail", "policy", "softfail", "temperror", "permerror", "", "PASS", "x")


def _prime(start: int) -> int:
    """The first number from there on that Fermat takes for a prime."""
    candidate = start | 1
    while any(pow(base, candidate - 1, candidate) != 1 for base in (2, 3, 5, 7)):
        candidate += 2
    return candidate


@lru_cache(maxsize=1)
def _rsa() -> PrivateKey:
    """1024 bits, the least that may pass, so that signing is quick."""
    top = 3 << 510
    p, q = (_prime(top + int.from_bytes(hashlib.sha512(word).digest()) // 4) for word in (b"p", b"q"))
    e, phi = 65537, (p - 1) * (q - 1)
    d = pow(e, -1, phi)
    numbers = RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), RSAPublicNumbers(e, p * q))
    return PrivateKey(kind="rsa", bits=1024, key=numbers.private_key())


@lru_cache(maxsize=1)
def keys() -> tuple[PrivateKey, ...]:
    """The private keys of everybody: two Ed25519, one RSA."""
    seeds = (hashlib.sha256(word).digest() for word in (b"one", b"two"))
    made = [
        PrivateKey(kind="ed25519", bits=256, key=Ed25519PrivateKey.from_private_bytes(seed)) for seed in seeds
    ]
    return (*made, _rsa())


SELECTORS = ("e1", "e2", "r1")
"""Where the public half of each is, whatever the domain."""


@lru_cache(maxsize=1)
def key_records() -> tuple[bytes, ...]:
    """Key records: first ours, as ``SELECTORS``, then odd ones."""
    ours = [f"v=DKIM1; k={key.kind}; p=".encode() + base64.b64encode(key.public()) for key in keys()]
    odd = [b"v=DKIM1; k=rsa; p=" + base64.b64encode(_der(bits, e)) for bits in SIZES for e in EXPONENTS]
    mixed = [
        ours[0] + b"; t=y:s", ours[2] + b"; h=sha1", ours[2] + b"; h=sha256:x; s=*", ours[2] + b"; s=other",
        ours[0].replace(b"ed25519", b"rsa"), ours[2].replace(b"rsa", b"ed25519"), b"v=DKIM1; p=", b"p=;",
        b"", b"v=spf1 -all",
        b"v=DKIM1; k=ed25519; p=AAAA", b"k=rsa; p=AAAA", b"v=DKIM2; p=AAAA", ours[2][11:],
        b"p=" + b"A" * 20000,
        b"v=DKIM1;" * 3000, b"a=b;" * 250 + ours[0],
    ]  # fmt: skip
    return (*ours, *odd, *mixed)


SIZES = (8, 512, 1023, 1024, 2048, 4096, 8192, 8193, 16384)
EXPONENTS = (0, 1, 2, 3, 65537, (1 << 32) - 1, 1 << 32, (1 << 256) + 1)


def _der(bits: int, exponent: int) -> bytes:
    """An RSAPublicKey whose modulus nobody knows the factors of, nor whether it has any."""
    octets = hashlib.shake_256(b"%d" % bits).digest(bits // 8 + 1)
    modulus = int.from_bytes(octets) % (1 << bits) | 1 << (bits - 1) | 1

    def element(tag: int, content: bytes) -> bytes:
        size = len(content)
        length = bytes([size]) if size < 128 else b"\x82" + size.to_bytes(2)
        return bytes([tag]) + length + content

    numbers = [element(2, n.to_bytes(n.bit_length() // 8 + 1)) for n in (modulus, exponent)]
    return element(0x30, b"".join(numbers))


SPF_TERMS = (
    "ip4:192.0.2.0/24", "ip4:192.0.2.7", "ip6:2001:db8::/32", "a", "mx", "ptr", "a:mail.far.example",
    "mx:far.example",
    "include:other.example", "include:a.b.far.example", "include:far.example", "exists:%{i}._spf.%{d}",
    "exists:%{l}.far.example",
    "redirect=other.example", "redirect=%{d}", "exp=why.far.example", "a/24//64", "mx/0", "ptr:far.example",
    "exists:%{ir}.%{v}._spf.%{d2}", "exists:%{l1r-}.%{s}.%{h}.x", "exists:" + "%{s}" * 60 + ".x",
    "exists:%{S99r}.x",
    "ip4:999.1.1.1", "ip4:1.2.3.4/33", "a:", "include:", "foo:bar", "foo=bar", "all", "~all", "?all", "-all",
    "+all",
    "exists:%{p}.x", "include:%{d}", "exists:%%.%_.%-.x", "a:%{", "a:%{d", "a:%{z}", "a:%{d0}", "A", "MX",
    "INCLUDE:other.example",
    "ip4:192.0.2.7/024", "redirect=a redirect=b", "a:" + "x" * 300, "mx:" + "a." * 130 + "b",
    "exists:%{d%{i}}", "",
)  # fmt: skip
_SOUND = 17
"""So many of them are as they should be."""

DMARC_TAGS = (
    "p=none", "p=quarantine", "p=reject", "sp=none", "sp=reject", "np=reject", "psd=y", "psd=n", "psd=u",
    "adkim=s",
    "aspf=s", "adkim=r", "t=y", "t=n", "pct=50", "rua=mailto:a@far.example", "ruf=mailto:b@far.example!10m",
    "fo=1",
    "p=rejct", "P=Reject", "p = reject ", "v=DMARC1", "p", "=", "rua=", "p=none;p=reject", "x" * 300, "é=é",
)  # fmt: skip


def spf_record(chance: Chance) -> bytes:
    terms = chance.some(SPF_TERMS if chance.odds(0.15) else SPF_TERMS[:_SOUND], 5)
    if chance.odds(0.1):
        terms = [chance.one("+-~?") + term for term in terms]
    if chance.odds(0.01):
        terms *= 1 + chance.upto(40)
    end = chance.one(("-all", "~all", "?all", "", "redirect=other.example"))
    first = "v=spf1" if chance.odds(0.95) else chance.one(("V=SPF1", "v=spf10", "v=spf1 ", ""))
    return " ".join((first, *terms, end)).encode()


def dmarc_record(chance: Chance) -> bytes:
    first = "v=DMARC1" if chance.odds(0.9) else chance.one(("v=DMARC1 ", "V = DMARC1", "v=DMARC2", ""))
    tags = [chance.one(DMARC_TAGS[:3]), *chance.some(DMARC_TAGS if chance.odds(0.3) else DMARC_TAGS[3:18], 3)]
    return chance.one(("; ", ";", " ; ", ";;")).join((first, *tags)).encode()
