"""DMARC policy records: what a domain owner wrote, read as RFC 9989 §4.7 and §4.8 say.

A record is recognised by its first tag alone; whatever is wrong after that is ignored or costs only its own
tag, so that one typing mistake does not switch a domain's protection off.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

_VERSION = re.compile(rb"[vV][ \t]*=[ \t]*DMARC1[ \t]*(?:;|\Z)")
# dmarc-value of §4.8; TAB inside it only ever meets values that are compared whole.
_VALUE = re.compile(r"[\t\x20-\x7e]*")
# Around tags and values; a line's end too, which an owner pastes along and DKIM's grammar folds at.
_BLANK = " \t\r\n"
# RFC 3986's shape is all that we need to know about a reporting address; "!10m" behind it is obsolete (§4.8).
_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*:[^\s,;!]+)(?:![0-9]+[kmgtKMGT]?)?")
# Strangers fill what is kept.
_SHORT = 1024
_POLICIES = ("none", "quarantine", "reject")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One policy record.

    ``p``, ``sp`` and ``np`` are none, quarantine or reject; ``sp`` and ``np`` are "" where absent, and fall
    back (see ``policy``). ``psd`` is y, n or u. ``rua``: the reporting URIs that are well-formed, octet for
    octet. ``usable`` is false where the record asks for no DMARC processing at all.
    """

    p: str
    sp: str = ""
    np: str = ""
    psd: str = "u"
    strict_dkim: bool = False
    strict_spf: bool = False
    testing: bool = False
    rua: tuple[str, ...] = ()
    usable: bool = True

    def policy(self, *, own: bool, exists: bool) -> tuple[str, str]:
        """The policy for an author and the tag it came from (RFC 9989 §4.10.1).

        ``own``: the record is the Author Domain's own; ``exists``: the Author Domain is in DNS at all.
        """
        if own:
            return self.p, "p"
        if not exists and self.np:
            return self.np, "np"
        return (self.sp, "sp") if self.sp else (self.p, "p")

    def applied(self, policy: str) -> str:
        """``policy`` after t=y has lowered it by one step (RFC 9989 §4.7)."""
        if not self.testing:
            return policy
        return {"reject": "quarantine"}.get(policy, "none")


def find_record(texts: tuple[bytes, ...]) -> Record | None:
    """The one policy record among TXT values; None for none, and for several (RFC 9989 §4.10 step 2).

    What is no DMARC record is put aside before counting: other TXT at the name does no harm.
    """
    records = [text for text in texts if _VERSION.match(text)]
    return parse_record(records[0]) if len(records) == 1 else None


def parse_record(text: bytes) -> Record | None:
    """Read one TXT value; None if it is no DMARC record. The short ones, which all honest are, are kept."""
    return _kept(text) if len(text) <= _SHORT else _read(text)


def _read(text: bytes) -> Record | None:
    if not _VERSION.match(text):
        return None
    tags = _tags(text.decode("utf-8", "replace"))

    def word(tag: str, allowed: tuple[str, ...], default: str) -> str:
        value = tags.get(tag, default).lower()
        return value if value in allowed else default

    rua = tuple(found[1] for uri in tags.get("rua", "").split(",") if (found := _URI.fullmatch(uri.strip())))
    bad = [t for t in ("p", "sp", "np") if t in tags and tags[t].lower() not in _POLICIES]
    sound = "p" in tags and not bad
    return Record(
        # RFC 9989 §4.10.1: a bad or missing p, or a bad sp or np, means p=none to who wants reports, and
        # no DMARC at all to who does not.
        p=tags["p"].lower() if sound else "none",
        sp=word("sp", _POLICIES, "") if sound else "",
        np=word("np", _POLICIES, "") if sound else "",
        psd=word("psd", ("y", "n", "u"), "u"),
        strict_dkim=word("adkim", ("r", "s"), "r") == "s",
        strict_spf=word("aspf", ("r", "s"), "r") == "s",
        testing=word("t", ("y", "n"), "n") == "y",
        rua=rua,
        usable=sound or bool(rua),
    )


_kept = lru_cache(maxsize=1024)(_read)


def _tags(text: str) -> dict[str, str]:
    """The tags after the version; "" for one written twice (RFC 6376 §3.2) or with octets that no value has.

    By hand and not by one pattern: blanks on both sides of a lazy value are cubic, and 64 kB fit in DNS.
    """
    tags: dict[str, str] = {}
    for piece in text.split(";")[1:]:
        name, equals, value = piece.partition("=")
        name, value = name.strip(_BLANK), value.strip(_BLANK)
        # ASCII is asked before lower(): that makes a k of the Kelvin sign.
        if equals and name.isascii() and name.isalpha():
            name = name.lower()
            tags[name] = value if name not in tags and _VALUE.fullmatch(value) else ""
    return tags
