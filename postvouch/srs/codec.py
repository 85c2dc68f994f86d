"""The sender rewriting scheme: a sender's address wrapped into ours, so that SPF passes and bounces return.

    SRS0=HHHH=TT=sender.example=mara@our.example          of mara@sender.example, first forwarder
    SRS1=HHHH=first.example==hhhh=TT=...@our.example      of SRS0=hhhh=TT=...@first.example, any later one

HHHH is a cut HMAC-SHA1 in base64, TT the day. The bytes are those of postsrsd: 1.x and 2.x read what we write
as 2.x does (base64url), we read what both write, so hosts can change over one by one with one secret.
Pure: secrets and the day come in. What is not ours is ``NotFound``, so Postfix leaves it alone.
"""

import hmac
import re
from binascii import b2a_base64
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product

from postvouch.values.address import AddressError, quote_local, split_mailbox
from postvouch.values.answer import Answer, Found, NotFound, Refused
from postvouch.values.domain import fold

_SEPARATORS = "=+-"
_TAG = re.compile(r"SRS[01][=+-]", re.IGNORECASE | re.ASCII)
_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_DAYS = len(_BASE32) ** 2  # the day's two characters repeat after this many
_DAY_OF = {high + low: day for day, (high, low) in enumerate(product(_BASE32, repeat=2))}
_MAX_LOCAL_PART = 64  # RFC 5321 §4.5.3.1.1
_SHORTEST_HASH = 4
_LONGEST_HASH = 27  # base64 of SHA-1 without its padding
_TOO_LONG = "octets do not fit into a local part"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What all hosts that share SRS addresses must agree on.

    ``domain`` and ``local_domains`` are lower-case A-labels; senders in either are never rewritten. The first
    secret signs, all verify. ``hash_length`` characters are written and at least ``hash_min`` (0: as many)
    demanded. ValueError for rules that cannot work.
    """

    domain: str
    local_domains: frozenset[str]
    secrets: tuple[bytes, ...] = field(repr=False)
    max_age_days: int = 21
    separator: str = "="
    hash_length: int = 4
    hash_min: int = 0

    def __post_init__(self) -> None:
        if not self.secrets or not all(self.secrets):
            raise ValueError("SRS needs a secret, and no empty one")
        if len(self.separator) != 1 or self.separator not in _SEPARATORS:
            raise ValueError(f"the SRS separator is one of {' '.join(_SEPARATORS)}")
        if not _SHORTEST_HASH <= (self.hash_min or self.hash_length) <= self.hash_length <= _LONGEST_HASH:
            raise ValueError(f"the SRS hash has {_SHORTEST_HASH} to {_LONGEST_HASH} characters")
        # Tomorrow's stamp must not look like the oldest one.
        if not 1 <= self.max_age_days <= _DAYS - 3:
            raise ValueError(f"SRS addresses can be valid for 1 to {_DAYS - 3} days")


def forward(sender: str, *, rules: Rules, today: int) -> Answer:
    """Rewrite an envelope sender of a message that leaves.

    ``today`` is days since 1970. Found, or NotFound where the sender is to stay: null, local, ours already,
    no address in a DNS domain (it has no SPF policy to fail), or too long to be wrapped in 64 octets.
    """
    try:
        local, domain = split_mailbox(sender, odd_dots=True)
        folded = fold(domain)
    except AddressError as error:
        return NotFound(f"not rewritten: {error}")
    if folded == rules.domain or folded in rules.local_domains:
        return NotFound("not rewritten: a domain of ours")
    match tag_of(local):
        case "SRS0":
            tag, inner = "SRS1", [domain, local[4:]]
        case "SRS1":
            # Straight to the first forwarder: the hosts between add nothing but length.
            tag, inner = "SRS1", local[5:].split("=", 2)[1:]
            if len(inner) < 2 or not _is_domain(inner[0]) or not _continues_srs0(inner[1]):
                return NotFound("not rewritten: a broken SRS1 address of another host")
        case _:
            tag, inner = "SRS0", [_stamp(today), domain, local]
    mac = _mac(rules.secrets[0], inner).translate(_TO_URL)[: rules.hash_length]
    wrapped = _as_written("=".join((tag + rules.separator + mac, *inner)), sender)
    # A hash longer than the usual one is the operator's choice and not counted against the sender.
    octets = len(wrapped.encode()) - (rules.hash_length - _SHORTEST_HASH)
    if octets > _MAX_LOCAL_PART:
        return NotFound(f"not rewritten: {octets} {_TOO_LONG}")
    return Found(f"{wrapped}@{rules.domain}", f"{tag}, secret 1")


def reverse(address: str, *, rules: Rules, today: int) -> Answer:
    """Undo the rewriting for a bounce that comes home.

    Found; NotFound for what is no SRS address in our SRS domain, foreign SRS included; Refused for one that
    is forged, expired or broken. Case does not matter anywhere, because some hosts fold addresses.
    """
    try:
        local, domain = split_mailbox(address, odd_dots=True)
        ours = fold(domain) == rules.domain
    except AddressError as error:
        return NotFound(str(error))
    tag = tag_of(local)
    if not ours or not tag:
        return NotFound("no SRS address of ours")
    given, inner = parts_of(local, tag)
    if not inner:
        return Refused(f"broken {tag} address")
    signer = signer_of(given, inner, rules)
    if signer is None:
        return Refused(f"forged {tag} address: no secret of ours gives this hash")
    if tag == "SRS1":
        if not _continues_srs0(inner[1]):
            return Refused("broken SRS1 address")
        return _original("SRS0" + inner[1], inner[0], address, str(signer))
    age = age_of(inner[0], today)
    if age is None:
        return Refused("broken SRS0 address")
    if age > rules.max_age_days:
        return Refused(f"expired SRS0 address: {age} days old")
    return _original(inner[2], inner[1], address, f"{signer}, {age} days old")


def too_long(answer: Answer) -> bool:
    """Whether ``forward`` would have rewritten the sender, had there been room."""
    return isinstance(answer, NotFound) and answer.reason.endswith(_TOO_LONG)


def is_tagged(local: str) -> bool:
    """Whether a local part, with its quotes or without, has the form of an SRS address, anybody's."""
    return bool(tag_of(local.removeprefix('"')))


def _original(local: str, domain: str, address: str, source: str) -> Answer:
    # A hash of 24 bits can be guessed; what comes out must be one address all the same.
    if not local or not _is_domain(domain):
        return Refused("no address in an SRS address")
    return Found(f"{_as_written(local, address)}@{domain}", source)


def _is_domain(text: str) -> bool:
    try:
        return bool(fold(text))
    except AddressError:
        return False


def _as_written(local: str, address: str) -> str:
    """Quote a local part that came out of a quoted one, where it needs it; leave any other, odd dots too."""
    return quote_local(local) if address.startswith('"') else local


def tag_of(local: str) -> str:
    """The tag of a local part, SRS0 or SRS1, or "" where it has none."""
    return local[:4].upper() if _TAG.match(local) else ""


def parts_of(local: str, tag: str) -> tuple[str, list[str]]:
    """The hash in a tagged local part, and what it was made of; nothing of that where something is missing.

    Behind SRS0 day, domain and local part; behind SRS1 the first forwarder's domain and what that one made.
    """
    count = 4 if tag == "SRS0" else 3
    given, *inner = local[5:].split("=", count - 1)
    return given, inner if len(inner) == count - 1 else []


def _continues_srs0(rest: str) -> bool:
    return len(rest) > 1 and rest[0] in _SEPARATORS


_TO_URL = str.maketrans("+/", "-_")
_FROM_URL = str.maketrans("-_", "+/")


def _mac(secret: bytes, parts: list[str]) -> str:
    """Hash the parts, all 27 characters.

    As postsrsd does: nothing between the parts (so the "=" between domain and local part is not protected,
    but both are), and lower case for ASCII only.
    """
    keyed = _keyed(secret).copy()
    keyed.update("".join(parts).encode().lower())
    return b2a_base64(keyed.digest(), newline=False).decode("ascii")[:_LONGEST_HASH]


@lru_cache(maxsize=64)
def _keyed(secret: bytes) -> hmac.HMAC:
    """HMAC-SHA1 (RFC 2104) that has eaten its key: a copy costs half of beginning anew. Never updated."""
    return hmac.new(secret, digestmod="sha1")


@dataclass(frozen=True, slots=True)
class Signer:
    """Which of the secrets made a hash, counted from 1; ``exact``: with the very case that it was made in."""

    number: int
    exact: bool

    def __str__(self) -> str:
        return f"secret {self.number}" if self.exact else f"secret {self.number}, hash in another case"


def signer_of(given: str, parts: list[str], rules: Rules) -> Signer | None:
    """Who made this hash, None for nobody. All secrets are tried, in constant time each."""
    if not given.isascii() or not (rules.hash_min or rules.hash_length) <= len(given) <= _LONGEST_HASH:
        return None
    plain = given.translate(_FROM_URL)
    found = None
    for number, secret in enumerate(rules.secrets, 1):
        mac = _mac(secret, parts)[: len(plain)]
        if found is not None:
            continue
        if hmac.compare_digest(plain, mac):
            found = Signer(number, True)
        elif hmac.compare_digest(plain.lower(), mac.lower()):
            found = Signer(number, False)
    return found


@lru_cache(maxsize=4)
def _stamp(today: int) -> str:
    high, low = divmod(today % _DAYS, len(_BASE32))
    return _BASE32[high] + _BASE32[low]


def age_of(stamp: str, today: int) -> int | None:
    """Days since that day, 0 for tomorrow too, which is today where a clock is ahead; None for no day."""
    day = _DAY_OF.get(stamp.upper())
    if day is None:
        return None
    age = (today - day) % _DAYS
    return 0 if age == _DAYS - 1 else age
