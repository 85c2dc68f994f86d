"""What is wrong with a DMARC record that a domain of ours publishes, by RFC 9989 and not by RFC 7489.

``dmarcrecord`` reads what strangers publish and forgives; this one speaks with the owner. Pure: texts in,
findings out. Whether a reporting address outside accepts reports takes DNS: ``outside`` says whom to ask.
"""

import re
from collections.abc import Iterator

from postvouch.auth.diagnosis import About, Diagnosis, Severity, Wanted, shown
from postvouch.auth.dmarcrecord import find_record, parse_record
from postvouch.values.domain import domain_or_nothing

AREA = "dmarc"
_POLICIES = ("none", "quarantine", "reject")
_OBSOLETE = {
    "pct": "receivers apply the policy to all mail now; t=y is what is left of it",
    "rf": "there is one format of failure reports",
    "ri": "aggregate reports come once a day",
}
"""Tags of RFC 7489 that RFC 9989 took away, and what that means."""
_WORDS = {
    "adkim": ("r", "s"), "aspf": ("r", "s"), "psd": ("y", "n", "u"), "t": ("y", "n"),
    "p": _POLICIES, "sp": _POLICIES, "np": _POLICIES,
}  # fmt: skip
_KNOWN = {*_WORDS, *_OBSOLETE, "v", "fo", "rua", "ruf"}
_FO = re.compile(r"[01ds](?:[ \t]*:[ \t]*[01ds])*", re.IGNORECASE)
_SIZE = re.compile(r"!\d+[kmgt]?\Z", re.IGNORECASE)
_MAILTO = re.compile(r"mailto:[^\s@,;!]+@([^\s@,;!?]+)", re.IGNORECASE)
_MAX_TAGS = 64
_MAX_URIS = 32


def wanted(domain: str, *, policy: str = "none", reports: str = "") -> Wanted:
    """A record to begin with. ``reports``: the mailbox for aggregate reports; default: postmaster."""
    value = f"v=DMARC1; p={policy}; np=reject; rua=mailto:{reports or f'postmaster@{domain}'}"
    return Wanted(name=f"_dmarc.{domain}", kind="TXT", value=value, remark="DMARC policy (RFC 9989)")


def lint(domain: str, texts: tuple[bytes, ...]) -> tuple[Diagnosis, ...]:
    """Judge the TXT values at _dmarc.``domain``: never empty, "ok" where there is nothing to say."""
    about = About(AREA, f"_dmarc.{domain}")
    records = [text for text in texts if parse_record(text) is not None]
    if len(records) > 1:
        return (about.error(f"{len(records)} DMARC records, so none counts (RFC 9989 §4.10): leave one"),)
    if not records:
        if not texts:
            return (about.warning("no DMARC record: anyone may write as this domain", wanted(domain)),)
        text = f'no record begins with "v=DMARC1;": {shown(texts[0])}'
        return (about.error(text, wanted(domain)),)
    found = tuple(_tags_of(about, domain, records[0]))
    record = find_record(tuple(records))
    policy = record.p if record else "none"
    is_sound = all(each.severity is Severity.NOTE for each in found)
    return (about.ok(f"policy p={policy}"), *found) if is_sound else found


def _tags_of(about: About, domain: str, text: bytes) -> Iterator[Diagnosis]:
    """Everything to say about the one record."""
    pairs = list(_pairs(text))
    tags = dict(pairs)
    repeated = sorted({name for name, _ in pairs if sum(name == other for other, _ in pairs) > 1})
    if repeated:
        yield about.error(
            f"the tag {', '.join(shown(tag) for tag in repeated)} is written twice, so it does not count"
        )
    yield from _policies(about, domain, tags, pairs)
    for name, value in tags.items():
        if name in _OBSOLETE:
            weight = about.warning if name == "pct" and value != "100" else about.note
            words = f"{name}={shown(value)} is obsolete (RFC 9989): {_OBSOLETE[name]}"
            yield weight(words, _mended(domain, pairs))
        elif name in _WORDS and name not in ("p", "sp", "np") and value.lower() not in _WORDS[name]:
            yield about.warning(
                f"{name}={shown(value)} is not one of {', '.join(_WORDS[name])}, so it is ignored"
            )
        elif name == "fo" and not _FO.fullmatch(value):
            yield about.warning(f"fo={shown(value)} is not made of 0, 1, d and s, so it is ignored")
        elif name not in _KNOWN:
            yield about.note(f"{shown(name)}= is no tag of DMARC, so it is ignored")
    yield from _reports(about, domain, tags, pairs)


def _policies(
    about: About, domain: str, tags: dict[str, str], pairs: list[tuple[str, str]]
) -> Iterator[Diagnosis]:
    p = tags.get("p", "").lower()
    bad = [name for name in ("p", "sp", "np") if name in tags and tags[name].lower() not in _POLICIES]
    if not tags.get("p"):
        yield about.error("p= is missing, so the record counts as p=none at best (RFC 9989 §4.10.1)")
    for name in bad:
        if tags[name]:
            text = f"{name}={shown(tags[name])} is none of none, quarantine, reject: all counts as p=none"
            yield about.error(text)
    if bad or not p:
        return
    sp, np = tags.get("sp", "").lower(), tags.get("np", "").lower()
    if sp and _POLICIES.index(sp) < _POLICIES.index(p):
        yield about.warning(f"sp={sp} is weaker than p={p}: whoever writes as a subdomain gets by")
    if not np:
        text = "no np=: names below it that do not exist are free to use as From:"
        yield about.note(text, _mended(domain, pairs))
    elif _POLICIES.index(np) < _POLICIES.index(sp or p):
        yield about.warning(f"np={np} is weaker than {'sp' if sp else 'p'}={sp or p}")
    if p == "none":
        yield about.note("p=none asks receivers for nothing but reports")
    if p == "reject":
        yield about.note("p=reject breaks letters of its users to mailing lists (RFC 9989 §7.4)")
    if tags.get("t", "").lower() == "y":
        yield about.note("t=y lowers every policy by one step")
    if tags.get("psd", "").lower() == "y":
        yield about.warning("psd=y is for public suffixes: subdomains are then strangers to each other")


def _reports(
    about: About, domain: str, tags: dict[str, str], pairs: list[tuple[str, str]]
) -> Iterator[Diagnosis]:
    if not tags.get("rua"):
        yield about.note("no rua=: nobody tells you who writes as this domain", _mended(domain, pairs))
    for tag in ("rua", "ruf"):
        for uri in _uris(tags.get(tag, "")):
            size = _SIZE.search(uri)
            bare = uri[: size.start()] if size else uri
            if not _MAILTO.fullmatch(bare):
                yield about.warning(f"{tag}: {shown(uri)} is no mailto: address, so no reports go there")
            elif size:
                yield about.note(f"{tag}: {shown(size[0])} is obsolete (RFC 9989), a size limit is ignored")


def outside(text: bytes) -> tuple[str, ...]:
    """The domains of all reporting addresses of a record, each once; those outside have to agree."""
    tags = dict(_pairs(text))
    found = []
    for uri in (*_uris(tags.get("rua", "")), *_uris(tags.get("ruf", ""))):
        match = _MAILTO.match(uri)
        domain = domain_or_nothing(match[1]) if match else ""
        if domain:
            found.append(domain)
    return tuple(dict.fromkeys(found))


def consent(domain: str, receiver: str) -> Wanted:
    """What the ``receiver`` of reports publishes to have those about ``domain`` (RFC 9990 §4)."""
    name = f"{domain}._report._dmarc.{receiver}"
    return Wanted(name=name, kind="TXT", value="v=DMARC1;", remark="it takes our DMARC reports")


def _pairs(text: bytes) -> Iterator[tuple[str, str]]:
    """The tags after the version with their values, in the order written; linear."""
    for piece in text.decode("utf-8", "replace").split(";", _MAX_TAGS + 1)[1 : _MAX_TAGS + 1]:
        name, _, value = piece.partition("=")
        if name.strip():
            yield name.strip().lower(), value.strip()


def _uris(value: str) -> list[str]:
    return [uri.strip() for uri in value.split(",", _MAX_URIS)[:_MAX_URIS] if uri.strip()]


def _mended(domain: str, pairs: list[tuple[str, str]]) -> Wanted:
    """The record without what is obsolete, and with the np= and rua= that it lacks: one for all findings."""
    present = {name for name, value in pairs if value}
    kept = ["v=DMARC1"]
    for name, value in pairs:
        if name not in _OBSOLETE:
            kept.append(f"{name}={value}")
        if name == ("sp" if "sp" in present else "p") and "np" not in present:
            kept.append("np=reject")
    if "rua" not in present:
        kept.append(f"rua=mailto:postmaster@{domain}")
    return Wanted(name=f"_dmarc.{domain}", kind="TXT", value="; ".join(kept))
