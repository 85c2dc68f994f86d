"""SPF (RFC 7208): may this client send for this domain?

pyspf does the evaluating; this adapter gives it our resolver, counts void lookups per term, keeps its work
bounded and turns whatever it raises into a finding. ``check_mail_from`` and ``check_helo`` never raise.
"""

import ipaddress
import re
from typing import Any, NoReturn

import spf

from postvouch.auth.result import Result, SpfFinding
from postvouch.values.address import AddressError, parse_domain
from postvouch.values.dns import DnsUnavailable, Resolver, Status

# Records of the real world stay under 4 kB. pyspf's parser is quadratic in the length of a term, and a TXT
# record may have 64 kB.
MAX_RECORD_OCTETS = 8192
MAX_TERM_OCTETS = 512

# RFC 7208 §4.3: what is no multi-label domain name gets "none" without a question to DNS.
_DOMAIN = re.compile(r"(?=.{1,253}\Z)(?:[^.\s\[\]]{1,63}\.)+[^.\s\[\]]{1,63}")
_MAX_REASON = 200
_LOCAL_MACRO = re.compile(r"%\{[sl]", re.IGNORECASE)
_NEVER = "\u0080.invalid"


def _no_other_way(*_: object) -> NoReturn:
    raise spf.TempError("DNS is asked through the resolver of the message only")


# pyspf's own lookups apply the search list of resolv.conf, so that far.example could become
# far.example.corp.local. Ours never come here; should a release of pyspf find another way, it ends here.
spf.DNSLookup = _no_other_way


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

    def found(result: Result, reason: str) -> SpfFinding:
        return SpfFinding(result=result, domain=domain, identity=identity, reason=_plain(reason))

    client = _client(address)
    if not client:
        return found(Result.NONE, "the address of the client is not known")
    if not _DOMAIN.fullmatch(domain) or not domain.isascii():
        return found(Result.NONE, "no domain name to check" if not domain else "not a full domain name")
    try:
        query = _Query(client, local, domain, helo, resolver)
        word, _, text = query.check()
        result = Result(word)
    except Exception as error:
        # The record's owner can reach every line of pyspf with words of his choice; a fault there is his
        # record's permerror, not our stop.
        return found(Result.PERMERROR, f"the record cannot be evaluated ({type(error).__name__})")
    return found(result, _reason(result, client, domain, query.mechanism, text))


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
    return "".join(c if " " <= c <= "~" else "?" for c in text)[:_MAX_REASON]


def _folded(written: str) -> str:
    """The domain in lower-case A-labels, or as written where it is no domain; one last dot is allowed."""
    domain = written.removesuffix(".").lower()
    if domain.isascii():
        return domain
    try:
        return parse_domain(domain)
    except AddressError:
        return domain


def _client(address: str) -> str:
    """An IP address that pyspf takes: no scope ("%eth0" makes it raise), no "IPv6:" tag; "" for none."""
    bare = address.lower().removeprefix("ipv6:").partition("%")[0]
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        return ""


# pyspf has no types.
class _Query(spf.query):  # type: ignore[misc]
    """One check_host() of pyspf with our DNS under it."""

    def __init__(self, client: str, local: str, domain: str, helo: str, resolver: Resolver) -> None:
        super().__init__(i=client, s=f"{local}@{domain}", h=helo)
        self.l, self.o, self.d = local, domain, domain
        self._resolver = resolver
        self._term = 0
        self._void: set[tuple[str, str]] = set()
        self._void_terms: set[int] = set()
        self._answers: dict[tuple[str, str], list[Any]] = {}

    def check_lookups(self) -> None:
        """Count a term that asks DNS (RFC 7208 §4.6.4: at most 10); pyspf calls this once for each."""
        super().check_lookups()
        self._term += 1

    def dns(self, name: str, qtype: str, cnames: object = None, ignore_void: bool = False) -> list[Any]:
        """Ask ``name`` for ``qtype``; [] for nothing. Raises TempError; PermError after too many void."""
        key = (str(name).removesuffix(".").lower(), qtype)
        if key not in self._answers:
            self._answers[key] = self._ask(*key)
        values = self._answers[key]
        if key in self._void and not ignore_void and self._term:
            # Per term, and not for the first TXT: "mx" with three hosts that have no AAAA is one void term.
            self._void_terms.add(self._term)
            if len(self._void_terms) > spf.MAX_VOID_LOOKUPS:
                raise spf.PermError(f"Void lookup limit of {spf.MAX_VOID_LOOKUPS} exceeded")
        return values

    def _ask(self, name: str, qtype: str) -> list[Any]:
        if not name.isascii():
            return []
        try:
            records = self._resolver.lookup(name, qtype)
        except DnsUnavailable as error:
            raise spf.TempError(f"{qtype} of {name}: {error}") from None
        if records.status is not Status.FOUND:
            self._void.add((name, qtype))
            return []
        if qtype == "TXT":
            return [(text,) for text in records.texts()]
        return [v for v in records.values if isinstance(v, tuple if qtype == "MX" else str)]

    def dns_spf(self, domain: str) -> str | None:
        """Find the SPF record of ``domain``, if there is one and it is of a reasonable size."""
        record: str | None = super().dns_spf(domain)
        if record is not None and (
            len(record) > MAX_RECORD_OCTETS or max(map(len, record.split(" "))) > MAX_TERM_OCTETS
        ):
            raise spf.PermError("SPF record too long", domain)
        return record

    def get_explanation(self, spec: str) -> None:
        """No explanation: we never show a stranger's text, so we need not ask DNS for it."""

    def expand(self, s: str, stripdot: bool = True) -> str:
        """Expand macros; names over 253 octets lose labels on the left until they fit (RFC 7208 §7.3)."""
        if not self.l.isascii() and _LOCAL_MACRO.search(s):
            # RFC 8616 §4: such a term never matches. What is not ASCII is never asked for.
            return _NEVER
        name: str = super().expand(s, stripdot)
        while stripdot and len(name) > 253 and "." in name:
            name = name.partition(".")[2]
        return name

    def validated_ptrs(self) -> list[str]:
        """Names of the client that point back at it; DNS trouble skips a name (RFC 7208 §5.5)."""
        try:
            names = self.dns_ptr(self.i)[: spf.MAX_PTR]
        except spf.TempError:
            return []
        return [name for name in names if self._points_back(name)]

    def _points_back(self, name: str) -> bool:
        try:
            return bool(self.cidrmatch(self.dns_a(name, self.A), self.cidrmax))
        except spf.TempError:
            return False
