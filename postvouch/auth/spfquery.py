"""One check_host() of pyspf (RFC 7208 §4), with our DNS under it, our macros in it and its work bounded.

The one place that imports pyspf. Where it differs from what pyspf alone says, and why, is in
docs/decisions/0007-spf.rst; tests/test_libraries_spf.py shows each difference.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NoReturn

import spf

from postvouch.auth.spfmacro import MacroError, Step, expand, parse, parse_domain_spec
from postvouch.values.dns import DnsUnavailable, Resolver, Status

# Records of the real world stay under 4 kB; a TXT record may have 64 kB.
MAX_RECORD_OCTETS = 8192
MAX_TERM_OCTETS = 512
# An answer of 64 kB has room for 4000 addresses.
MAX_VALUES = 500

# A name that can be asked for (RFC 1035 §2.3.4); macros make others.
_POSSIBLE = re.compile(r"(?=[\x00-\x7f]{1,253}\Z)(?:[^.]{1,63}\.)*+[^.]{1,63}", re.DOTALL)
_NEVER = "\u0080.invalid"

_Term = tuple[str, str, str, int, str]
"""A mechanism as pyspf parses it: as written, name, argument, prefix length, result."""

_TERMS: dict[tuple[str, str, str], _Term] = {}
"""Mechanisms without macros, by text, current domain and kind of address: all that their reading rests on."""
_MAX_TERMS = 4096


def _no_other_way(*_: object) -> NoReturn:
    raise spf.TempError("DNS is asked through the resolver of the message only")


# pyspf's own lookups apply the search list of resolv.conf, so that far.example could become
# far.example.corp.local. Ours never come here; should a release of pyspf find another way, it ends here.
spf.DNSLookup = _no_other_way


@lru_cache(maxsize=1024)
def _seen_from(client: str) -> Mapping[str, Any]:
    """What pyspf makes of the client's address: the same for the two checks of a letter, and for its next."""
    query = spf.query(i=None, s="", h="")
    spf.query.set_ip(query, client)
    return {name: getattr(query, name) for name in ("iplist", "ipaddr", "c", "A", "v", "i", "cidrmax")}


@lru_cache(maxsize=4096)
def _number(address: str) -> tuple[int, int]:
    """Version and number of an IP address. ValueError."""
    parsed = ipaddress.ip_address(address)
    return parsed.version, int(parsed)


@lru_cache(maxsize=512)
def _readable(record: str) -> str:
    """The record as pyspf reads it rightly: names of modifiers in lower case, unknown ones checked and gone.

    pyspf takes "Redirect=" for unknown and two unknown modifiers of one name for an error (RFC 7208 §6).
    """
    version, *terms = record.split(" ")
    if len(record) > MAX_RECORD_OCTETS or max(map(len, terms), default=0) > MAX_TERM_OCTETS:
        raise spf.PermError("SPF record too long")
    kept = [version]
    for term in terms:
        found = spf.RE_MODIFIER.match(term)
        name = found[0].lower() if found else ""
        if not name or name in ("redirect=", "exp="):
            kept.append(name + term[len(name) :])
        else:
            _syntax(parse, term[len(name) :])
    return " ".join(kept)


def _syntax(read: Callable[[str], tuple[Step, ...]], text: str) -> tuple[Step, ...]:
    try:
        return read(text)
    except MacroError as error:
        raise spf.PermError(str(error), text) from None


# pyspf has no types.
class Query(spf.query):  # type: ignore[misc]
    """One check of one identity: ``check()`` gives pyspf's (result, code, text).

    ``domain`` and ``helo`` are lower-case A-labels. ``secure``: all answers so far had the AD bit.
    """

    def __init__(self, client: str, local: str, domain: str, helo: str, resolver: Resolver) -> None:
        super().__init__(i=client, s=f"{local}@{domain}", h=helo)
        self.l, self.o, self.d = local, domain, domain
        self.secure = True
        self._resolver = resolver
        self._depth = -1
        self._redirect_read = False
        self._term = 0
        self._void: set[tuple[str, str]] = set()
        self._void_terms: set[int] = set()
        self._answers: dict[tuple[str, str], list[Any]] = {}
        self._named: dict[str, str] = {}

    def set_ip(self, i: str) -> None:
        """Take the address of the client."""
        self.__dict__.update(_seen_from(i))

    def check1(self, spf_record: str | None, domain: str, recursion: int) -> Any:
        """Evaluate a record: that of the domain (recursion 0), of an include (one deeper), of a redirect."""
        if recursion == self._depth:
            self._count()
        outside, self._depth = self._depth, recursion
        try:
            return super().check1(spf_record, domain, recursion)
        finally:
            self._depth = outside

    def check0(self, spf_record: str | None, recursion: int) -> Any:
        """Parse and evaluate a record's terms."""
        # pyspf counts a redirect where it reads it; of those it does not follow the RFC counts none.
        self._redirect_read = " redirect=" in (spf_record or "")
        return super().check0(spf_record, recursion)

    def check_lookups(self) -> None:
        """Count a term that asks DNS; pyspf calls this once for each."""
        if self._redirect_read:
            self._redirect_read = False
        else:
            self._count()

    def _count(self) -> None:
        """At most 10 terms that ask DNS in one check (RFC 7208 §4.6.4)."""
        super().check_lookups()
        self._term += 1

    def dns(self, name: str, qtype: str, cnames: object = None, ignore_void: bool = False) -> list[Any]:
        """Ask ``name`` for ``qtype``; [] for nothing. Raises TempError; PermError after too many void."""
        key = (name, qtype)
        values = self._answers.get(key)
        if values is None:
            values = self._answers[key] = self._ask(name, qtype)
        if not values and self._term and key in self._void and not ignore_void:
            # Per term, and not for the first TXT: "mx" with three hosts that have no AAAA is one void term.
            self._void_terms.add(self._term)
            if len(self._void_terms) > spf.MAX_VOID_LOOKUPS:
                raise spf.PermError(f"Void lookup limit of {spf.MAX_VOID_LOOKUPS} exceeded")
        return values

    def _ask(self, name: str, qtype: str) -> list[Any]:
        if not _POSSIBLE.fullmatch(name):
            return []
        try:
            records = self._resolver.lookup(name, qtype)
        except DnsUnavailable as error:
            self.secure = False
            raise spf.TempError(f"{qtype} of {name}: {error}") from None
        self.secure = self.secure and records.secure
        if records.status is not Status.FOUND:
            self._void.add((name, qtype))
            return []
        if len(records.values) > MAX_VALUES:
            raise spf.PermError(f"more than {MAX_VALUES} records in one answer", name)
        if qtype == "TXT":
            return list(records.texts())
        return [v for v in records.values if isinstance(v, tuple if qtype == "MX" else str)]

    def dns_txt(self, domainname: str, rr: str = "TXT", ignore_void: bool = False) -> list[bytes]:
        """The texts of a name."""
        return self.dns(domainname, rr, ignore_void=ignore_void)

    def dns_spf(self, domain: str) -> str | None:
        """Find the SPF record of ``domain``, if there is one and it is of a reasonable size."""
        record: str | None = super().dns_spf(domain)
        return None if record is None else _readable(record)

    def get_explanation(self, spec: str) -> None:
        """No explanation: what is never shown need not be asked for."""

    def validate_mechanism(self, mech: str) -> _Term:
        """Parse a mechanism; one without macros only once."""
        key = (mech, self.d, self.v)
        term = _TERMS.get(key)
        if term is None:
            term = super().validate_mechanism(mech)
            if "%" not in mech:
                if len(_TERMS) >= _MAX_TERMS:
                    _TERMS.clear()
                _TERMS[key] = term
        if term[2] == _NEVER:
            return (mech, "never", *term[2:])
        return term

    def expand_domain(self, arg: str) -> str:
        """Expand a domain-spec; the current domain, which stands for none, is no text with macros."""
        if arg == self.d:
            return arg
        name = expand(_syntax(parse_domain_spec, arg), self._value)
        # RFC 8616 §4: a term with a local part in it that is not ASCII never matches.
        return name if name.isascii() else _NEVER

    def _value(self, letter: str) -> str:
        if letter != "p":
            return str(getattr(self, letter))
        if self.d not in self._named:
            # Which of several names counts depends on the domain that asks.
            self.p = None
            self._named[self.d] = self.getp()
        return self._named[self.d]

    def cidrmatch(self, ipaddrs: Sequence[str], n: int) -> bool:
        """Whether the client is in one of these networks of ``n`` bits."""
        try:
            numbers = [_number(address) for address in ipaddrs]
        except ValueError as error:
            raise spf.PermError(str(error)) from None
        version, client = _number(self.c)
        ignored = self.cidrmax - n
        return any(v == version and number >> ignored == client >> ignored for v, number in numbers)

    def validated_ptrs(self) -> list[str]:
        """Names of the client that point back at it; DNS trouble skips a name (RFC 7208 §5.5)."""
        try:
            names = self.dns_ptr(self.i)[: spf.MAX_PTR]
        except spf.TempError:
            return []
        return [name for name in names if self._points_back(name)]

    def _points_back(self, name: str) -> bool:
        try:
            return self.cidrmatch(self.dns_a(name, self.A), self.cidrmax)
        except spf.TempError:
            return False
