"""What is wrong with the records about TLS: MTA-STS (RFC 8461), its reports (RFC 8460), DANE (RFC 7672).

Pure: texts in, findings out.
"""

import re
from collections.abc import Iterator

from postvouch.auth.diagnosis import About, Diagnosis, Wanted, shown

_STS = re.compile(r"v=STSv1[ \t]*;[ \t]*id=[A-Za-z0-9]{1,32}[ \t]*(?:;.*)?", re.DOTALL)
_RPT = re.compile(r"v=TLSRPTv1[ \t]*;[ \t]*rua=([^;]+)(?:;.*)?", re.DOTALL)
_URI = re.compile(r"mailto:[^\s@,;!]+@[^\s@,;!]+|https://[^\s,;!]+", re.IGNORECASE)
_HEX = re.compile(r"[0-9a-f]*")
_OCTETS = {1: 32, 2: 64}
"""Matching type of TLSA -> octets of its digest (RFC 6698 §2.1.3)."""


def wanted_sts(domain: str, identity: str) -> Wanted:
    """The record that says that there is a policy at https://mta-sts.DOMAIN; ``identity`` changes with it."""
    remark = f"once https://mta-sts.{domain}/.well-known/mta-sts.txt is there (RFC 8461)"
    return Wanted(
        name=f"_mta-sts.{domain}", kind="TXT", value=f"v=STSv1; id={identity}", remark=remark, is_hint=True
    )


def wanted_reports(domain: str, reports: str = "") -> Wanted:
    """The record that asks senders to tell of failed TLS. ``reports``: a mailbox; default: postmaster."""
    value = f"v=TLSRPTv1; rua=mailto:{reports or f'postmaster@{domain}'}"
    return Wanted(name=f"_smtp._tls.{domain}", kind="TXT", value=value, remark="reports on TLS (RFC 8460)")


def lint_sts(domain: str, texts: tuple[bytes, ...]) -> Diagnosis:
    """Judge the TXT values at _mta-sts.``domain``."""
    about = About("mta-sts", f"_mta-sts.{domain}")
    records = [text for text in _read(texts) if text.startswith("v=STSv1")]
    if not records and texts:
        return about.error(f'no record begins with "v=STSv1": {shown(texts[0])}')
    if not records:
        return about.note("no MTA-STS: who forges DNS or strips TLS reads the mail, unless there is DANE")
    if len(records) > 1:
        return about.error(f"{len(records)} MTA-STS records, so none counts (RFC 8461 §3.1): leave one")
    if not _STS.fullmatch(records[0]):
        return about.error(f'not "v=STSv1; id=" and up to 32 letters and digits: {shown(records[0])}')
    return about.ok("MTA-STS is announced")


def lint_reports(domain: str, texts: tuple[bytes, ...]) -> tuple[Diagnosis, ...]:
    """Judge the TXT values at _smtp._tls.``domain``."""
    about = About("tlsrpt", f"_smtp._tls.{domain}")
    records = [text for text in _read(texts) if text.startswith("v=TLSRPTv1")]
    if not records and texts:
        text = f'no record begins with "v=TLSRPTv1": {shown(texts[0])}'
        return (about.error(text, wanted_reports(domain)),)
    if not records:
        text = "nobody tells of mail that failed for TLS"
        return (about.note(text, wanted_reports(domain)),)
    if len(records) > 1:
        return (about.error(f"{len(records)} TLSRPT records, so none counts (RFC 8460 §3): leave one"),)
    match = _RPT.fullmatch(records[0])
    if not match:
        text = f'not "v=TLSRPTv1; rua=" and an address: {shown(records[0])}'
        return (about.error(text, wanted_reports(domain)),)
    bad = [uri.strip() for uri in match[1].split(",")[:32] if not _URI.fullmatch(uri.strip())]
    if bad:
        return tuple(about.warning(f"rua: {shown(uri)} is neither mailto: nor https:") for uri in bad)
    return (about.ok("reports on TLS are asked for"),)


def lint_tlsa(name: str, values: tuple[str, ...]) -> tuple[Diagnosis, ...]:
    """Judge the TLSA records of one MX host at ``name`` (_25._tcp.HOST), as text: "3 1 1 HEX"."""
    about = About("dane", name)
    found = tuple(_tlsa(about, values))
    return found or (about.ok(f"DANE: {len(values)} TLSA record{'s'[: len(values) != 1]}"),)


def _tlsa(about: About, values: tuple[str, ...]) -> Iterator[Diagnosis]:
    """At most one finding for each record."""
    for value in values:
        words = value.lower().split()
        numbers = [int(word) for word in words[:3] if word.isdecimal() and len(word) <= 3]
        digest = "".join(words[3:])
        if len(numbers) < 3 or not digest or not _HEX.fullmatch(digest):
            yield about.error(f"not a TLSA record: {shown(value)}")
        elif numbers[0] not in (2, 3):
            text = f"usage {numbers[0]} is not for SMTP (RFC 7672 §3.1.3): publish 3 1 1"
            yield about.warning(f"{shown(' '.join(words[:3]))}: {text}")
        elif numbers[1] > 1 or numbers[2] > 2:
            yield about.warning(f"{shown(' '.join(words[:3]))}: no such selector or matching type")
        elif len(digest) != 2 * _OCTETS.get(numbers[2], len(digest) / 2):
            yield about.error(f"{shown(' '.join(words[:3]))}: the digest has not the length of its type")
        elif numbers[0] == 3 and numbers[1] == 0:
            text = "the certificate itself is named, so each renewal needs a new record: 3 1 1 names the key"
            yield about.note(f"{shown(' '.join(words[:3]))}: {text}")


def _read(texts: tuple[bytes, ...]) -> list[str]:
    return [text.decode("latin-1") for text in texts]
