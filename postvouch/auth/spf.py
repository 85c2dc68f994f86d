"""SPF (RFC 7208): may this client send for this domain?

``check_mail_from`` and ``check_helo`` never raise: whatever pyspf raises becomes a finding. exp= is read and
never asked for: the text behind it is a stranger's, and we show none.
"""

import re

from postvouch.auth.result import Result, SpfFinding
from postvouch.auth.spfquery import Query
from postvouch.values.address import AddressError, parse_domain
from postvouch.values.dns import Resolver
from postvouch.values.network import client_address

# RFC 7208 §4.3: what is no multi-label domain name gets "none" without a question to DNS.
_DOMAIN = re.compile(r"(?=.{1,253}\Z)(?:[^.\s\[\]]{1,63}\.)+[^.\s\[\]]{1,63}")
_MAX_REASON = 200


def check_mail_from(*, address: str, sender: str, helo: str, resolver: Resolver) -> SpfFinding:
    """Check the MAIL FROM identity: is the client ``address`` allowed to send for the domain of ``sender``?

    ``sender`` is without angle brackets. For the null sender the identity is postmaster@HELO (RFC 7208 §2.4),
    and the finding says so with ``identity="helo"``.
    """
    if not sender:
        return check_helo(address=address, helo=helo, resolver=resolver)
    # The last "@" ends the local part: a quoted one may hold others, and pyspf would split at the first.
    local, _, domain = sender.rpartition("@")
    return _check("mailfrom", address, local or "postmaster", domain, helo, resolver)


def check_helo(*, address: str, helo: str, resolver: Resolver) -> SpfFinding:
    """Check the HELO identity (RFC 7208 §2.3)."""
    return _check("helo", address, "postmaster", helo, helo, resolver)


def _check(
    identity: str, address: str, local: str, written: str, helo: str, resolver: Resolver
) -> SpfFinding:
    domain = _folded(written)

    def found(result: Result, reason: str, secure: bool = False) -> SpfFinding:
        return SpfFinding(
            result=result, domain=domain, identity=identity, reason=_plain(reason), secure=secure
        )

    client = client_address(address)
    if client is None:
        return found(Result.NONE, "the address of the client is not known")
    if not _DOMAIN.fullmatch(domain) or not domain.isascii():
        return found(Result.NONE, "no domain name to check" if not domain else "not a full domain name")
    try:
        query = Query(str(client), local, domain, _folded(helo), resolver)
        word, _, text = query.check()
        result = Result(word)
    except Exception as error:
        # The record's owner can reach every line of pyspf with words of his choice; a fault there is his
        # record's permerror, not our stop.
        return found(Result.PERMERROR, f"the record cannot be evaluated ({type(error).__name__})")
    return found(result, _reason(result, str(client), domain, query.mechanism, text), query.secure)


def _reason(result: Result, client: str, domain: str, mechanism: str | None, text: str) -> str:
    """Say in a sentence which mechanism decided."""
    if result is Result.NONE:
        return f"{domain} publishes no SPF record"
    if result in (Result.TEMPERROR, Result.PERMERROR):
        return text.removeprefix("SPF Temporary Error: ").removeprefix("SPF Permanent Error: ")
    says = {
        Result.PASS: "may send",
        Result.FAIL: "may not send",
        Result.SOFTFAIL: "should not send",
    }.get(result, "is neither allowed nor denied to send")
    matched = f"{mechanism} matched" if mechanism else "no mechanism matched"
    return f"{client} {says} for {domain}: {matched}"


def _plain(text: str) -> str:
    """One line of printable ASCII: mechanisms are a stranger's words on the way to our log."""
    text = text[:_MAX_REASON]
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if " " <= c <= "~" else "?" for c in text)


def _folded(written: str) -> str:
    """The domain in lower-case A-labels, or as written where it is no domain; one last dot is allowed."""
    domain = written.removesuffix(".").lower()
    if domain.isascii():
        return domain
    try:
        return parse_domain(domain)
    except AddressError:
        return domain
