"""The DNS record of a key, as text to publish (RFC 6376 §3.6.1).

The layout is that of opendkim-genkey, which admins know and their zone tools parse, with one difference: the
owner name is right for the zone it goes into. (opendkim-genkey prints "sel._domainkey" for a subdomain too,
and the key is then looked for where it is not.)

What programs take (nsupdate, octoDNS, Terraform, JSON) is in ``sign.recordforms``.
"""

import re
from dataclasses import dataclass

from postvouch.sign.keys import PrivateKey

MAX_STRING = 255
MAX_NAME = 253
MAX_SELECTOR = 120
HASHES = ("sha256",)

_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The TXT record of one key. ``strings``: its character-strings, in order, at most 255 octets each."""

    domain: str
    selector: str
    strings: tuple[str, ...]


def default_selector(year: int, hostname: str) -> str:
    """Year and short host name ("2026-submit-01"), so that no two hosts share a key."""
    return f"{year}-{hostname.partition('.')[0].lower()}"


def is_selector(text: str) -> bool:
    """Whether ``text`` is one or more DNS labels (RFC 6376 §3.1), so that it can name a file, too."""
    return len(text) <= MAX_SELECTOR and all(map(_LABEL.fullmatch, text.split(".")))


def strings(
    key: PrivateKey,
    *,
    testing: bool = False,
    no_subdomains: bool = False,
    note: str = "",
    email_only: bool = False,
    hashes: tuple[str, ...] = HASHES,
) -> tuple[str, ...]:
    """The character-strings of the TXT record, in order, each of at most 255 octets.

    RSA-2048 gives 26, 252 and 142. ``testing`` sets t=y, ``no_subdomains`` t=s, ``note`` n=, ``email_only``
    s=email, ``hashes`` h=; none of them leaves h= out, which allows all.
    """
    tags = ["v=DKIM1"]
    if note:
        tags.append("n=" + "".join(c if c.isalnum() and c.isascii() else _quoted(c) for c in note))
    if hashes:
        tags.append(f"h={':'.join(hashes)}")
    tags.append(f"k={key.kind}")
    flags = ":".join(["y"] * testing + ["s"] * no_subdomains)
    if flags:
        tags.append(f"t={flags}")
    if email_only:
        tags.append("s=email")
    public = f"p={key.public_text()}"
    # opendkim-genkey cuts p= so that each string, its two letters included, stays below the limit.
    pieces = [public[:252], *(public[i : i + 250] for i in range(252, len(public), 250))]
    head = "; ".join(tags) + "; "
    return (*(head[i : i + MAX_STRING] for i in range(0, len(head), MAX_STRING)), *pieces)


def revoked(kind: str) -> tuple[str, ...]:
    """The strings of the record of a key that is no more: an empty p= (RFC 6376 §3.6.1)."""
    return (f"v=DKIM1; k={kind}; p=",)


def owner(domain: str, selector: str, zone: str | None = None) -> str:
    """The owner name: absolute with its last dot, or relative to ``zone``, which must hold the domain.

    Raises ValueError where it does not, or the name is longer than DNS has them.
    """
    name = f"{selector}._domainkey.{domain}"
    if len(name) > MAX_NAME:
        raise ValueError(f"{name} is longer than {MAX_NAME} characters")
    if zone is None:
        return name + "."
    zone = zone.rstrip(".").lower()
    if domain != zone and not domain.endswith("." + zone):
        raise ValueError(f"{domain} is not in the zone {zone}")
    return name[: -len(zone) - 1]


def zone_text(
    domain: str,
    selector: str,
    texts: tuple[str, ...],
    *,
    zone: str | None = None,
    ttl_s: int | None = None,
) -> str:
    """The record as a line of a zone file, in parentheses over several lines, with its comment."""
    quoted = "\n\t  ".join(f'"{text}"' for text in texts)
    comment = f"; ----- DKIM key {selector} for {domain}"
    ttl = "" if ttl_s is None else f"{ttl_s}\t"
    return f"{owner(domain, selector, zone)}\t{ttl}IN\tTXT\t( {quoted} )  {comment}\n"


def _quoted(character: str) -> str:
    return "".join(f"={octet:02X}" for octet in character.encode(errors="replace"))
