"""Whether a letter is signed, and with which keys: the whole decision, default-deny (features S1, S2, S16).

A signature says "this is from us". So there must be proof of where the letter came from (a login, local
pickup, an internal host, or the word of one of our mx hosts for a stranger's letter), a key for the domain of
its From:, and, where the login is known, its right to that address. Every other outcome has one reason code.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from postvouch.auth.mentioned import mentions
from postvouch.sign.keys import KeyRing, SigningKey
from postvouch.sign.vouch import doubt
from postvouch.values.address import (
    Address,
    Author,
    MalformedAuthor,
    MissingAuthor,
    OneAuthor,
    SeveralAuthors,
    parse_domain,
)
from postvouch.values.domain import AddressError, owned
from postvouch.values.message import Client, Message
from postvouch.values.network import Network, within
from postvouch.values.reply import AUTHOR_NOT_OWNED, AUTHOR_UNCLEAR, KEY_PROBLEM, LATER, Reply
from postvouch.wire import taglist

_MAX_SIGNATURES = 100
Owns = Callable[[str, Address], bool | None]
"""``owns(login, address)``: may this login use this address? None: the directory cannot say now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The settings that decide. ``domains`` are ours, lower-case A-labels.

    ``rewrites``: this host puts our domain into envelope senders (role srs), so that even an unsigned spoof
    would pass DMARC at its target, whoever brought it.
    """

    domains: frozenset[str] = frozenset()
    internal: tuple[Network, ...] = ()
    vouching: tuple[Network, ...] = ()
    vouching_id: str = ""
    sign_unauthenticated: bool = False
    check_owner: bool = True
    rewrites: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """Sign with each of ``keys`` (at least one). ``reason`` names the proof of origin."""

    keys: tuple[SigningKey, ...]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotSigned:
    """Let it pass without a signature of ours.

    ``unproven``: it came through one of our mx hosts, or through nobody we know to a host that rewrites
    senders, its From: is or may be read as ours, and nobody vouches for it; forwarded in the ordinary way it
    would pass DMARC by our own SPF (sign.on_unproven).
    """

    code: str
    reason: str
    unproven: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Refuse for good: a login writes as somebody else, or as nobody in particular."""

    reply: Reply
    code: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyTrouble:
    """Defer: it should be signed and cannot be now (key, or the directory that knows the owners)."""

    code: str
    reason: str
    reply: Reply = KEY_PROBLEM


Choice = Signing | NotSigned | Refusal | KeyTrouble


class _Origin(StrEnum):
    """How a letter came to us."""

    LOGIN = "login"
    LOCAL = "local pickup"
    VOUCHING = "vouching host"
    INTERNAL = "internal host"
    STRANGER = "stranger"


def choose(message: Message, author: Author, *, rules: Rules, ring: KeyRing, owns: Owns) -> Choice:
    """Decide about one letter. ``author`` is what ``parse_author`` made of its From fields."""
    origin, matched = _origin(message.client, rules)
    login = message.client.login
    if not isinstance(author, OneAuthor):
        return _unclear(message, author, origin, rules, ring)
    address = author.address
    if origin is _Origin.LOGIN and rules.check_owner:
        allowed = owns(login, address)
        if allowed is None:
            return KeyTrouble(
                code="owner-unknown", reason="the directory cannot say who owns it", reply=LATER
            )
        if not allowed:
            return Refusal(
                reply=AUTHOR_NOT_OWNED, code="not-owner", reason=f"{login} does not own the From: address"
            )
    keys = ring.find(address)
    if keys is None and not owned(address.domain, rules.domains):
        return NotSigned(code="not-ours", reason=f"{address.domain} is none of our domains")
    if origin is _Origin.STRANGER:
        reason = "no login, and the client is not one of our hosts"
        return NotSigned(code="not-internal", reason=reason, unproven=_is_gated(origin, rules))
    if origin is _Origin.VOUCHING:
        # Before everything else: a forged signature of ours must not open a way around the gate.
        why = "" if rules.sign_unauthenticated else doubt(message, address.domain, rules.vouching_id)
        if why:
            return NotSigned(code="gate-denied", reason=why, unproven=True)
    if keys is None:
        return NotSigned(code="no-key-for-domain", reason=f"no key is configured for {address}")
    if _signed_already(message, {address.domain, *(key.domain for key in keys.keys)}):
        return NotSigned(code="already-signed", reason="it carries a signature of that domain")
    if keys.problem:
        return KeyTrouble(code="key-problem", reason=keys.problem)
    return Signing(keys=keys.keys, reason=matched)


def _unclear(
    message: Message,
    author: MissingAuthor | SeveralAuthors | MalformedAuthor,
    origin: _Origin,
    rules: Rules,
    ring: KeyRing,
) -> Choice:
    """No author, several, or something that is no address: never signed, and refused from a login."""
    match author:
        case MissingAuthor():
            code, reason = "no-author", "no From: address"
        case SeveralAuthors():
            code, reason = "several-authors", "more than one From: address"
        case MalformedAuthor():
            code, reason = "bad-author", author.reason
    if origin is _Origin.LOGIN and rules.check_owner:
        return Refusal(reply=AUTHOR_UNCLEAR, code=code, reason=reason)
    unproven = False
    if _is_gated(origin, rules):
        # Some reader down the road will settle on one address; it must not be ours.
        values = [field.value for field in message.named(b"from")]
        unproven = mentions(values, rules.domains.union(ring.domains()))
    return NotSigned(code=code, reason=reason, unproven=unproven)


def _is_gated(origin: _Origin, rules: Rules) -> bool:
    """Whether a From: of ours needs the word of the mx before it may leave in the ordinary way."""
    strangers = _Origin.STRANGER if rules.rewrites else _Origin.VOUCHING
    return origin in (_Origin.VOUCHING, strangers) and not rules.sign_unauthenticated


def _origin(client: Client, rules: Rules) -> tuple[_Origin, str]:
    """Where the letter came from, and the rule that says so.

    A host that is both internal and vouching is vouching, the stricter of the two.
    """
    if client.login:
        return _Origin.LOGIN, f"login {client.login}"
    if client.local:
        return _Origin.LOCAL, "local pickup"
    for origin, listed in ((_Origin.VOUCHING, rules.vouching), (_Origin.INTERNAL, rules.internal)):
        network = within(client.address, listed)
        if network is not None:
            return origin, f"{origin} {client.address} in {network}"
    return _Origin.STRANGER, ""


def _signed_already(message: Message, domains: set[str]) -> bool:
    """Whether a signature of one of these domains is there: content filters bring letters back."""
    for field in message.named(b"dkim-signature")[:_MAX_SIGNATURES]:
        try:
            d = taglist.parse(field.value).get(b"d", b"")
            if parse_domain(d.decode()) in domains:
                return True
        except (taglist.ProtocolError, AddressError, UnicodeDecodeError):
            continue
    return False
