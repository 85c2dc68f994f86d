"""Private keys: read from PEM once, kept in an immutable ring, and made new.

A key of ours that cannot be used is remembered as the reason why, under its domain, so that its letters are
deferred instead of leaving unsigned. Opening files is the shell's business (``host/keyfiles.py``); a ring is
built from what a ``read`` function returns, and a reload builds another ring.
"""

import base64
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from postvouch.sign.authors import Pattern, Table, parse
from postvouch.values.address import Address, AddressError

MIN_RSA_BITS = 2048
MAX_RSA_BITS = 8192
KINDS = ("rsa", "ed25519")

_USUAL = 320  # characters of a local part
_PKCS1 = PKCS1v15()
_HASHED = Prehashed(SHA256())


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
        digest = hashlib.sha256(signing_input).digest()
        if isinstance(self.key, RSAPrivateKey):
            return self.key.sign(digest, _PKCS1, _HASHED)
        return self.key.sign(digest)

    def public(self) -> bytes:
        """The octets that go, as base64, into p= (RFC 6376 §3.6.1 with erratum 3017, RFC 8463 §4.2)."""
        if isinstance(self.key, RSAPrivateKey):
            return self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def public_text(self) -> str:
        """The value of p=."""
        return base64.b64encode(self.public()).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySpec:
    """Where a key is and what for: a [[sign.key]] table, its file and selector found.

    ``authors``: the patterns of those whose From: it signs (see ``sign.authors``); none: the domain, and with
    ``subdomains`` what lies below. ``problem``: why it cannot even be looked for.
    """

    domain: str
    selector: str
    file: str
    subdomains: bool = False
    authors: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A loaded key with its names: ``domain`` is d=, ``selector`` s=."""

    domain: str
    selector: str
    private: PrivateKey

    @property
    def record_name(self) -> str:
        """Where its record is (RFC 6376 §3.6.2.1)."""
        return f"{self.selector.lower()}._domainkey.{self.domain}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenKey:
    """A key that should be there and cannot be used: ``reason`` is the text of its KeyProblem.

    ``waits``: until it is published; other keys may sign for it meanwhile.
    """

    domain: str
    selector: str
    reason: str
    waits: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """What a ring has for one author. With a ``problem`` nothing may leave, whatever other keys there are."""

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
    """All keys of a host, and whose mail each signs.

    Immutable: a letter that began with one ring ends with it.
    """

    __slots__ = ("_find", "_given", "_table")

    def __init__(self, entries: Iterable[tuple[SigningKey | BrokenKey, Iterable[Pattern]]] = ()) -> None:
        self._given = tuple((entry, tuple(patterns)) for entry, patterns in entries)
        self._table = Table(
            (pattern, number) for number, (_, patterns) in enumerate(self._given) for pattern in patterns
        )
        entries_only = tuple(entry for entry, _ in self._given)
        self._find = lru_cache(maxsize=1024)(partial(_find, entries_only, self._table))

    @classmethod
    def build(cls, specs: Iterable[KeySpec], read: Callable[[str], bytes]) -> "KeyRing":
        """Load all keys. ``read(file)`` returns the PEM or raises KeyProblem; nothing is raised from here."""
        seen: set[tuple[str, str]] = set()
        entries: list[tuple[SigningKey | BrokenKey, tuple[Pattern, ...]]] = []
        for spec in specs:
            name = (spec.domain.lower(), spec.selector.lower())
            entries.append(_load(spec, read, twice=name in seen))
            seen.add(name)
        return cls(entries)

    @property
    def keys(self) -> tuple[SigningKey, ...]:
        """Those that can sign."""
        return tuple(entry for entry, _ in self._given if isinstance(entry, SigningKey))

    def without(self, unfit: Mapping[tuple[str, str], str]) -> "KeyRing":
        """This ring where some keys, by domain and selector, wait to be published, for the reasons given."""
        return KeyRing((_waiting(entry, unfit), patterns) for entry, patterns in self._given)

    @property
    def problems(self) -> tuple[str, ...]:
        """Why keys could not be loaded, a sentence each; for the log and ``postvouch check``."""
        return tuple(entry.reason for entry, _ in self._given if isinstance(entry, BrokenKey))

    def domains(self) -> frozenset[str]:
        """The domains that sign, with a usable key or not, and those that they sign for."""
        return self._table.domains().union(entry.domain for entry, _ in self._given)

    def find(self, author: Address) -> Keys | None:
        """What signs mail From: ``author``, or None where no key is meant for it.

        The most specific pattern decides (``sign.authors``), and every key that has it signs, in the order
        of the configuration.
        """
        return self._find(author) if is_usual(author) else self._find.__wrapped__(author)


def is_usual(address: Address) -> bool:
    """Whether an answer about it is worth keeping: no stranger fills the memory with long local parts."""
    return len(address.local) <= _USUAL


def _find(entries: Sequence[SigningKey | BrokenKey], table: Table, author: Address) -> Keys | None:
    meant = [entries[number] for number in table.find(author)]
    if not meant:
        return None
    keys = tuple(entry for entry in meant if isinstance(entry, SigningKey))
    broken = [entry for entry in meant if isinstance(entry, BrokenKey) and not (keys and entry.waits)]
    return Keys(keys=keys, problem="; ".join(entry.reason for entry in broken))


def _waiting(entry: SigningKey | BrokenKey, unfit: Mapping[tuple[str, str], str]) -> SigningKey | BrokenKey:
    name = (entry.domain, entry.selector)
    if isinstance(entry, BrokenKey) or name not in unfit:
        return entry
    return BrokenKey(domain=entry.domain, selector=entry.selector, reason=unfit[name], waits=True)


def _load(
    spec: KeySpec, read: Callable[[str], bytes], *, twice: bool
) -> tuple[SigningKey | BrokenKey, tuple[Pattern, ...]]:
    domain = spec.domain.lower()
    patterns = (Pattern(domain=domain), Pattern(domain=domain, below=True))[: 1 + spec.subdomains]
    try:
        if spec.authors:
            patterns = tuple(map(_pattern, spec.authors))
        if spec.problem:
            raise KeyProblem(spec.problem)
        if twice:
            raise KeyProblem(f"{spec.file}: a second key for selector {spec.selector} of {domain}")
        private = parse_pem(read(spec.file), spec.file)
    except KeyProblem as problem:
        return BrokenKey(domain=domain, selector=spec.selector, reason=str(problem)), patterns
    return SigningKey(domain=domain, selector=spec.selector, private=private), patterns


def _pattern(text: str) -> Pattern:
    try:
        return parse(text)
    except AddressError as error:
        raise KeyProblem(f'"{text}" is no pattern of authors: {error}') from None
