"""Private keys: read from PEM once, kept in an immutable ring, and made new.

A key of ours that cannot be used is remembered as the reason why, under its domain, so that its letters are
deferred instead of leaving unsigned. Opening files is the shell's business (``host/keyfiles.py``); a ring is
built from what a ``read`` function returns, and a reload builds another ring.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

MIN_RSA_BITS = 2048
MAX_RSA_BITS = 8192
KINDS = ("rsa", "ed25519")

_PKCS1 = PKCS1v15()
_SHA256 = SHA256()


class KeyProblem(Exception):
    """A key that cannot be used; the text names the file and, where there is one, the command that helps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateKey:
    """A usable private key. ``kind`` "rsa" or "ed25519"; ``bits`` of the modulus, 256 for Ed25519."""

    kind: str
    bits: int
    key: RSAPrivateKey | Ed25519PrivateKey = field(repr=False)

    @property
    def algorithm(self) -> str:
        """The a= of its signatures."""
        return f"{self.kind}-sha256"

    def sign(self, signing_input: bytes) -> bytes:
        """The raw signature: RSASSA-PKCS1-v1_5 (RFC 6376 §3.3.1) or Ed25519 over the hash (RFC 8463 §3)."""
        if isinstance(self.key, RSAPrivateKey):
            return self.key.sign(signing_input, _PKCS1, _SHA256)
        return self.key.sign(hashlib.sha256(signing_input).digest())

    def public(self) -> bytes:
        """The octets that go, as base64, into p= (RFC 6376 §3.6.1 with erratum 3017, RFC 8463 §4.2)."""
        if isinstance(self.key, RSAPrivateKey):
            return self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySpec:
    """Where a key is and what for: the [[sign.key]] table of the configuration."""

    domain: str
    selector: str
    file: str
    subdomains: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A loaded key with its names: ``domain`` is d=, ``selector`` s=."""

    domain: str
    selector: str
    subdomains: bool
    private: PrivateKey


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenKey:
    """A key that should be there and cannot be used: ``reason`` is the text of its KeyProblem."""

    domain: str
    selector: str
    subdomains: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """What a ring has for one domain. With a ``problem`` nothing may leave, whatever other keys there are."""

    keys: tuple[SigningKey, ...] = ()
    problem: str = ""


def parse_pem(pem: bytes, file: str) -> PrivateKey:
    """A private key from PEM: PKCS#8 or PKCS#1, CRLF or LF. Raises KeyProblem naming ``file``.

    The library checks the key's arithmetic here, once; later signatures rely on it.
    """
    try:
        key = load_pem_private_key(pem.replace(b"\r\n", b"\n"), password=None)
    except TypeError:
        raise KeyProblem(f"{file}: the key is encrypted; postvouch cannot ask for a passphrase") from None
    except (ValueError, UnsupportedAlgorithm):
        raise KeyProblem(f"{file}: no PEM private key") from None
    if isinstance(key, Ed25519PrivateKey):
        return PrivateKey(kind="ed25519", bits=256, key=key)
    if not isinstance(key, RSAPrivateKey):
        raise KeyProblem(f"{file}: neither an RSA nor an Ed25519 key")
    if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
        raise KeyProblem(
            f"{file}: RSA key of {key.key_size} bits; {MIN_RSA_BITS} to {MAX_RSA_BITS} are usable"
        )
    return PrivateKey(kind="rsa", bits=key.key_size, key=key)


def generate(kind: str = "rsa", bits: int = MIN_RSA_BITS) -> tuple[PrivateKey, bytes]:
    """A new key and its PKCS#8 PEM, which OpenDKIM and others read too. ``bits`` matters for RSA only."""
    key: RSAPrivateKey | Ed25519PrivateKey
    if kind == "ed25519":
        key = Ed25519PrivateKey.generate()
    elif kind == "rsa" and MIN_RSA_BITS <= bits <= MAX_RSA_BITS:
        key = generate_private_key(public_exponent=65537, key_size=bits)
    else:
        raise KeyProblem(
            f"no such kind of key: {kind} {bits}; rsa of {MIN_RSA_BITS} to {MAX_RSA_BITS}, or ed25519"
        )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return parse_pem(pem, "new key"), pem


class KeyRing:
    """All keys of a host, by domain. Immutable: a letter that began with one ring ends with it."""

    __slots__ = ("_by_domain",)

    def __init__(self, entries: Iterable[SigningKey | BrokenKey] = ()) -> None:
        by_domain: dict[str, tuple[SigningKey | BrokenKey, ...]] = {}
        for entry in entries:
            by_domain[entry.domain] = (*by_domain.get(entry.domain, ()), entry)
        self._by_domain = by_domain

    @classmethod
    def build(cls, specs: Iterable[KeySpec], read: Callable[[str], bytes]) -> "KeyRing":
        """Load all keys. ``read(file)`` returns the PEM or raises KeyProblem; nothing is raised from here."""
        seen: set[tuple[str, str]] = set()
        entries: list[SigningKey | BrokenKey] = []
        for spec in specs:
            name = (spec.domain.lower(), spec.selector.lower())
            entries.append(_load(spec, read, twice=name in seen))
            seen.add(name)
        return cls(entries)

    @property
    def problems(self) -> tuple[str, ...]:
        """Why keys could not be loaded, a sentence each; for the log and ``postvouch check``."""
        return tuple(e.reason for es in self._by_domain.values() for e in es if isinstance(e, BrokenKey))

    def domains(self) -> tuple[str, ...]:
        """The domains that have a key, usable or not."""
        return tuple(self._by_domain)

    def find(self, domain: str) -> Keys | None:
        """What signs mail From: ``domain`` (lower-case A-labels), or None where no key is meant for it.

        The domain's own keys, else those of the nearest parent that are for subdomains.
        """
        entries = self._by_domain.get(domain, ())
        _, dot, parent = domain.partition(".")
        while dot and not entries:
            entries = tuple(entry for entry in self._by_domain.get(parent, ()) if entry.subdomains)
            _, dot, parent = parent.partition(".")
        if not entries:
            return None
        return Keys(
            keys=tuple(entry for entry in entries if isinstance(entry, SigningKey)),
            problem="; ".join(entry.reason for entry in entries if isinstance(entry, BrokenKey)),
        )


def _load(spec: KeySpec, read: Callable[[str], bytes], *, twice: bool) -> SigningKey | BrokenKey:
    domain = spec.domain.lower()
    try:
        if twice:
            raise KeyProblem(f"{spec.file}: a second key for selector {spec.selector} of {domain}")
        private = parse_pem(read(spec.file), spec.file)
    except KeyProblem as problem:
        return BrokenKey(
            domain=domain, selector=spec.selector, subdomains=spec.subdomains, reason=str(problem)
        )
    return SigningKey(domain=domain, selector=spec.selector, subdomains=spec.subdomains, private=private)
