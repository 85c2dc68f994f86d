"""What can become of a letter behind a forward: whether it can pass DMARC there, and whether it should go.

Both are read off what the mx found out, in its Authentication-Results field on top. Nothing of it is proof
for us: a word for the log line, and a gate for what is marked already.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass

from postvouch.auth import authres, header
from postvouch.auth.authres import Parsed, ResInfo
from postvouch.values.domain import AddressError, parse_domain
from postvouch.values.message import Message, by_name

OUTCOMES = ("dkim", "own", "none-policy", "will-fail", "unknown")
"""The author's signature passes DMARC at the target; our own does; the author's domain asks for nothing; only
SPF spoke for it, which ends here, or nothing did, and its domain asks for quarantine or reject; nobody
knows."""

_FIELD = header.FIELD_NAME.lower().encode()
_ENFORCED = ("quarantine", "reject")


def word_of_mx(message: Message, vouching_id: str) -> Parsed | None:
    """The field of our mx, above all Received fields; None where that is another's, or cannot be read."""
    for field in message.fields:
        name = field.name.rstrip(b" \t").lower()
        if name == b"received":
            return None
        if name == _FIELD:
            try:
                parsed = authres.parse(field.value)
            except authres.AuthresError:
                return None
            same = parsed.authserv_id.rstrip(".").lower() == vouching_id.rstrip(".").lower()
            return parsed if vouching_id and same and parsed.version in (None, 1) else None
    return None


def outcome(author: str, said: Parsed | None, signed: Container[str]) -> str:
    """The word of ``OUTCOMES`` for a letter whose From: is in the domain ``author`` ("" for no one author).

    ``said``: the word of the mx, if it may be believed; ``signed``: the domains (d=) that we sign it with.
    Domains align here where one is the other or is above it: a d= beside the author's, under one
    organizational domain (RFC 9989 §4.10), counts where the mx says that DMARC passed and SPF cannot be why.
    """
    if author and any(domain in signed for domain in _above(author)):
        return "own"
    dmarc = _judged(author, said)
    if said is None or dmarc is None:
        return "unknown"
    passing = [info for info in said.results if info.result == "pass"]
    keys = [info.value("header.d") or "" for info in passing if info.method == "dkim"]
    senders = [
        _host(info.value("smtp.mailfrom") or info.value("smtp.helo")) for info in passing if _is_spf(info)
    ]
    by_key = any(_align(author, key) for key in keys)
    if dmarc.result == "pass" and (by_key or (keys and not senders)):
        return "dkim"
    policy = dmarc.value("policy.dmarc") or ""
    if dmarc.result == "none" or (dmarc.result in ("pass", "fail") and policy == "none"):
        return "none-policy"
    if dmarc.result == "fail" and policy in _ENFORCED:
        return "will-fail"
    if (
        dmarc.result == "pass"
        and policy in _ENFORCED
        and (not keys or any(_align(author, s) for s in senders))
    ):
        return "will-fail"
    return "unknown"


def _judged(author: str, said: Parsed | None) -> ResInfo | None:
    """The one dmarc result, if it is about this author."""
    found = [info for info in said.results if info.method == "dmarc"] if said is not None else []
    if len(found) != 1 or found[0].method_version != 1 or not author:
        return None
    judged = found[0].value("header.from")
    return found[0] if judged is None or _same(author, judged) else None


def _is_spf(info: ResInfo) -> bool:
    return info.method == "spf"


def _host(identity: str | None) -> str:
    return (identity or "").rpartition("@")[2]


def _same(author: str, domain: str) -> bool:
    try:
        return parse_domain(domain) == author
    except AddressError:
        return False


def _align(author: str, domain: str) -> bool:
    try:
        other = parse_domain(domain)
    except AddressError:
        return False
    return other == author or ("." in other and other in _above(author)) or author in _above(other)


def _above(domain: str) -> Sequence[str]:
    """The domain and all above it that are no single label."""
    labels = domain.split(".")
    return [".".join(labels[at:]) for at in range(max(len(labels) - 1, 1))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """By which fields a spam filter on mx marks a letter: name and beginning of the value, in lower case."""

    fields: tuple[tuple[bytes, str], ...] = ()

    @classmethod
    def of(cls, written: Sequence[str]) -> "Marks":
        """From the setting, each "Name: value"."""
        pairs = (each.partition(":") for each in written)
        return cls(
            fields=tuple((name.strip().lower().encode(), value.strip().lower()) for name, _, value in pairs)
        )


def marked(message: Message, said: Parsed | None, marks: Marks) -> str:
    """How the mx has marked a letter: "spam", "spoof", "dmarc-fail", or "" where it has not.

    A value counts by its beginning ("YES" is in "Yes, score=9"). DMARC that failed counts where the author's
    domain asks for quarantine or reject and no exemption of the mx let the letter in.
    """
    if said is None:
        return ""
    index = by_name(message.fields)
    for name, wanted in marks.fields:
        for field in index.get(name, ())[:10]:
            if field.value[:200].decode("latin-1").strip().lower().startswith(wanted):
                return "spam"
    for field in index.get(header.MARK.lower().encode(), ())[:10]:
        if field.value.strip().startswith(b"spoof"):
            return "spoof"
    for info in said.results:
        policy = info.value("policy.dmarc")
        if info.method == "dmarc" and info.result == "fail" and policy in _ENFORCED:
            return "" if info.value("policy.override") else "dmarc-fail"
    return ""
