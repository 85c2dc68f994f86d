"""The DNS record of a key, as text to publish (RFC 6376 §3.6.1).

The layout is that of opendkim-genkey, which admins know and their zone tools parse, with one difference: the
owner name is right for the zone it goes into. (opendkim-genkey prints "sel._domainkey" for a subdomain too,
and the key is then looked for where it is not.)
"""

import base64
import json

from postvouch.sign.keys import PrivateKey

MAX_STRING = 255
FORMS = ("zone", "bare", "nsupdate", "json")
TTL_S = 3600


def default_selector(year: int, hostname: str) -> str:
    """Year and short host name ("2026-submit-01"), so that no two hosts share a key."""
    return f"{year}-{hostname.partition('.')[0].lower()}"


def strings(
    key: PrivateKey, *, testing: bool = False, no_subdomains: bool = False, note: str = ""
) -> tuple[str, ...]:
    """The character-strings of the TXT record, in order, each of at most 255 octets.

    RSA-2048 gives 26, 252 and 142. ``testing`` sets t=y, ``no_subdomains`` t=s, ``note`` n=.
    """
    tags = ["v=DKIM1", "h=sha256", f"k={key.kind}"]
    if note:
        tags.append("n=" + "".join(c if c.isalnum() and c.isascii() else _quoted(c) for c in note))
    flags = ":".join(["y"] * testing + ["s"] * no_subdomains)
    if flags:
        tags.append(f"t={flags}")
    public = "p=" + base64.b64encode(key.public()).decode()
    # opendkim-genkey cuts p= so that each string, its two letters included, stays below the limit.
    pieces = [public[:252], *(public[i : i + 250] for i in range(252, len(public), 250))]
    head = "; ".join(tags) + "; "
    return (*(head[i : i + MAX_STRING] for i in range(0, len(head), MAX_STRING)), *pieces)


def owner(domain: str, selector: str, zone: str | None = None) -> str:
    """The owner name: absolute with its last dot, or relative to ``zone``, which must hold the domain.

    Raises ValueError where it does not.
    """
    name = f"{selector}._domainkey.{domain}"
    if zone is None:
        return name + "."
    zone = zone.rstrip(".").lower()
    if domain != zone and not domain.endswith("." + zone):
        raise ValueError(f"{domain} is not in the zone {zone}")
    return name[: -len(zone) - 1]


def zone_text(domain: str, selector: str, texts: tuple[str, ...], *, zone: str | None = None) -> str:
    """The record as a line of a zone file, in parentheses over several lines, with its comment."""
    quoted = "\n\t  ".join(f'"{text}"' for text in texts)
    comment = f"; ----- DKIM key {selector} for {domain}"
    return f"{owner(domain, selector, zone)}\tIN\tTXT\t( {quoted} )  {comment}\n"


def text(
    domain: str, selector: str, texts: tuple[str, ...], *, form: str = "zone", zone: str | None = None
) -> str:
    """The record in one of FORMS: zone file, bare value for a web form, nsupdate(1) commands, JSON.

    Ends with a newline. Raises ValueError for an unknown form, or a zone that does not hold the domain.
    """
    if form == "zone":
        return zone_text(domain, selector, texts, zone=zone)
    name = owner(domain, selector)
    if form == "bare":
        return "".join(texts) + "\n"
    if form == "nsupdate":
        quoted = " ".join(f'"{part}"' for part in texts)
        return f"update add {name} {TTL_S} IN TXT {quoted}\nsend\n"
    if form == "json":
        relative = owner(domain, selector, zone) if zone else name
        data = {
            "name": relative,
            "type": "TXT",
            "ttl": TTL_S,
            "value": "".join(texts),
            "strings": list(texts),
        }
        return json.dumps(data, indent=2) + "\n"
    raise ValueError(f"no such form: {form}; one of {', '.join(FORMS)}")


def _quoted(character: str) -> str:
    return "".join(f"={octet:02X}" for octet in character.encode())
