"""Whether a letter is signed, and with which keys: the whole decision, default-deny.

A signature says "this is from us". So there must be proof of where the letter came from (a login, local
pickup, a client certificate, an internal host, or the word of one of our mx hosts for a stranger's letter), a
key for its From:, and, where the login is known, its right to that address. Every other outcome has one
reason code; ``docs/signing.rst`` lists them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from postvouch.auth.mentioned import mentions
from postvouch.forward import bounce
from postvouch.sign.alreadysigned import unsigned
from postvouch.sign.keys import KeyRing, SigningKey
from postvouch.sign.vouch import doubt
from postvouch.values.address import (
    Address,
    Author,
    MalformedAuthor,
    MissingAuthor,
    OneAuthor,
    SeveralAuthors,
    parse_author,
)
from postvouch.values.dns import Resolver
from postvouch.values.domain import owned
from postvouch.values.message import Client, Message
from postvouch.values.network import NOBODY, Hosts, Network, within
from postvouch.values.reply import (
    AUTHOR_NOT_OWNED,
    AUTHOR_UNCLEAR,
    KEY_PROBLEM,
    LATER,
    NULL_SENDER,
    SENDER_NOT_OWNED,
    SENDER_UNCLEAR,
    Reply,
)

REPORTS = frozenset({"delivery-status", "disposition-notification"})
"""What a login may send with the null sender."""

Owns = Callable[[str, Address], bool | None]
"""``owns(login, address)``: may this login use this address? None: the directory cannot say now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The settings that decide. ``domains`` are ours, lower-case A-labels; ``certificates``: common names
    of client certificates that are proof, in lower case.

    ``rewrites``: this host puts our domain into envelope senders (roles srs and single), so that even an
    unsigned spoof would pass DMARC at its target, whoever brought it.
    ``verified_here``: the authserv-id of the verifier that strangers' mail passes on this very host (role
    single). Its dmarc=pass lets a letter leave in the ordinary way; it is no reason to sign.
    """

    domains: frozenset[str] = frozenset()
    internal: Hosts = NOBODY
    certificates: frozenset[str] = frozenset()
    vouching: tuple[Network, ...] = ()
    vouching_id: str = ""
    sign_unauthenticated: bool = False
    check_owner: bool = True
    rewrites: bool = False
    verified_here: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """Sign with each of ``keys`` (at least one). ``origin``: the proof, by the rule that gave it."""

    keys: tuple[SigningKey, ...]
    origin: str


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
    CERTIFICATE = "client certificate"
    INTERNAL = "internal host"
    STRANGER = "stranger"


def choose(
    message: Message,
    author: Author,
    *,
    rules: Rules,
    ring: KeyRing,
    owns: Owns,
    now: float,
    published: Resolver | None = None,
) -> Choice:
    """Decide about one letter. ``author`` is what ``parse_author`` made of its From fields.

    ``now`` in seconds since 1970 tells whether a signature that is there has expired, ``published`` whether
    one of another host of ours holds.
    """
    origin, matched = _origin(message.client, rules)
    if not isinstance(author, OneAuthor):
        return _unclear(message, author, origin, rules, ring)
    address = author.address
    if origin is _Origin.LOGIN and rules.check_owner:
        refused = _of_login(message, address, owns)
        if refused is not None:
            return refused
    keys = ring.find(address)
    if keys is None and not owned(address.domain, rules.domains):
        return NotSigned(code="not-ours", reason=f"{address.domain} is none of our domains")
    if origin is _Origin.STRANGER:
        reason = "no login, and the client is not one of our hosts"
        here = rules.verified_here
        proven = bool(here) and not doubt(message, address.domain, here)
        return NotSigned(code="not-internal", reason=reason, unproven=not proven and _is_gated(origin, rules))
    if origin is _Origin.VOUCHING:
        # Before everything else: a forged signature of ours must not open a way around the gate.
        why = "" if rules.sign_unauthenticated else doubt(message, address.domain, rules.vouching_id)
        if why:
            return NotSigned(code="gate-denied", reason=why, unproven=True)
    if keys is None:
        return NotSigned(code="no-key-for-domain", reason=f"no key is configured for {address}")
    if keys.problem:
        return KeyTrouble(code="key-problem", reason=keys.problem)
    missing = unsigned(message, keys.keys, now=now, published=published)
    if not missing:
        return NotSigned(code="already-signed", reason="it carries our signature, and that holds")
    return Signing(keys=missing, origin=matched)


def _of_login(message: Message, author: Address, owns: Owns) -> Refusal | KeyTrouble | None:
    """What a login may not: write as another, have another send it, send without a sender what is no report.

    Sender: is one mailbox (RFC 5322 §3.6.2). The null sender is for reports, of delivery (RFC 3464 §2) and of
    reading (RFC 8098 §3); the owners map of Postfix never sees it.
    """
    login = message.client.login
    named = [(author, AUTHOR_NOT_OWNED, "not-owner", "From:")]
    fields = message.named(b"sender")
    if fields:
        sender = parse_author([field.value for field in fields])
        if not isinstance(sender, OneAuthor):
            return Refusal(reply=SENDER_UNCLEAR, code="bad-sender", reason="Sender: is not one mailbox")
        named.append((sender.address, SENDER_NOT_OWNED, "not-sender", "Sender:"))
    for address, reply, code, field in named:
        allowed = owns(login, address)
        if allowed is None:
            return KeyTrouble(
                code="owner-unknown", reason="the directory cannot say who owns it", reply=LATER
            )
        if not allowed:
            return Refusal(reply=reply, code=code, reason=f"{login} does not own the {field} address")
    if not message.envelope.sender and bounce.report_type(message.fields) not in REPORTS:
        return Refusal(reply=NULL_SENDER, code="null-sender", reason="no sender, and no report")
    return None


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
    """Where the letter came from, and the rule that says so; who it was, the line says already.

    A host that is vouching and anything else but the place of a login is vouching, the strictest.
    """
    if client.login:
        return _Origin.LOGIN, "login"
    if client.local:
        return _Origin.LOCAL, "local pickup"
    network = within(client.address, rules.vouching)
    if network is not None:
        return _Origin.VOUCHING, f"vouching host {network}"
    # The Kelvin sign is a "k" in lower case, and no host has it.
    if client.certificate.isascii() and client.certificate.lower() in rules.certificates:
        return _Origin.CERTIFICATE, f"client certificate {client.certificate}"
    rule = rules.internal.rule(client)
    if rule:
        return _Origin.INTERNAL, f"internal host {rule}"
    return _Origin.STRANGER, ""
