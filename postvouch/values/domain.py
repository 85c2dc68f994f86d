"""Domain names as identities: folded to one form, so that comparing them is comparing strings.

The one place that imports the idna library (docs/decisions/0002-idna.rst): the codec of the standard library
is IDNA 2003, which turns "straße" into another organisation's "strasse".
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from unicodedata import normalize

import idna


class AddressError(ValueError):
    """The text is no such address or domain; the message says why and never repeats the text."""


_LABEL = r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")


def parse_domain(text: str) -> str:
    """Fold a domain name for comparison: lower case, U-labels to A-labels (IDNA 2008), no last dot.

    Letters, digits, "-" and "_" (in DNS and in mail, though in no host name); labels of at most 63
    octets, 253 in all (RFC 1035 §2.3.4). AddressError for anything else, IP addresses and literals included.
    """
    return fold(text.removesuffix("."))


def domain_or_nothing(text: str) -> str:
    """``parse_domain`` for strangers' words that may be anything: "" for what is no domain name."""
    try:
        return parse_domain(text)
    except AddressError:
        return ""


@lru_cache(maxsize=4096)
def fold(text: str) -> str:
    """``parse_domain`` for places whose grammar has no last dot (RFC 5321 §4.1.2, RFC 5322 §3.4.1)."""
    # The length comes first: idna before 3.7 is quadratic in the length of a label (CVE-2024-3651).
    if not 0 < len(text) <= 253:
        raise AddressError("the domain is empty or too long")
    domain = text.lower()
    if not domain.isascii() or not text.isascii():
        domain = ".".join(label.lower() if label.isascii() else _a_label(label) for label in text.split("."))
    if len(domain) > 253 or any(len(label) > 63 for label in domain.split(".")):
        raise AddressError("the domain or one of its labels is too long")
    if not _NAME.fullmatch(domain):
        raise AddressError("the domain is no DNS name")
    if domain.rpartition(".")[2].isdigit():
        raise AddressError("the domain is an IP address")
    return domain


def owned(domain: str, domains: Iterable[str]) -> str:
    """Find which of ``domains`` this is or lies below, the longest that fits; "" for none.

    All are lower-case A-labels. Below counts: relaxed alignment makes no difference between the two.
    """
    fits = [ours for ours in domains if ours and (domain == ours or domain.endswith("." + ours))]
    return max(fits, key=len, default="")


def _a_label(label: str) -> str:
    # Case folding is usual for people who type; nothing else is mapped. A letter that folds to ASCII (the
    # Kelvin sign) would make a look-alike the real name.
    if len(label) > 63 or any(not c.isascii() and c.lower()[0].isascii() for c in label):
        raise AddressError("a label of the domain is not valid IDNA 2008")
    try:
        return idna.alabel(normalize("NFC", label.lower())).decode("ascii")
    except UnicodeError:
        raise AddressError("a label of the domain is not valid IDNA 2008") from None
