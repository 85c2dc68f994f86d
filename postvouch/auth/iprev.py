"""iprev (RFC 8601 §3): does a name of the client lead back to its address?

pass: one does. fail: it has names and none does. permerror: it has no name. temperror: DNS left it open.
none: the address is not known, so that there is nothing to ask for; such a result is not worth writing.
"""

from ipaddress import IPv4Address, IPv6Address

from postvouch.auth.result import IprevFinding, Result
from postvouch.values.dns import DnsUnavailable, Resolver, Status
from postvouch.values.domain import domain_or_nothing
from postvouch.values.network import client_address

MAX_NAMES = 10
"""Names of one address that are looked up; as for SPF's "ptr" (RFC 7208 §5.5)."""


def check(address: str, name: str, resolver: Resolver) -> IprevFinding:
    """Find the first name of ``address`` that leads back to it. Never raises.

    ``name`` is what smtpd(8) says of its client, "unknown" or "" where it does not know. It only says a name
    after asking for it in both directions, so that is a pass without any question; ``secure`` is then False.
    """
    client = client_address(address)
    if client is None:
        return IprevFinding(result=Result.NONE, reason="the address of the client is not known")
    known = domain_or_nothing(name)
    if known and known != "unknown":
        return IprevFinding(result=Result.PASS, name=known, reason=f"{known} leads back to {client}")
    return _Search(client, resolver).run()


class _Search:
    def __init__(self, client: IPv4Address | IPv6Address, resolver: Resolver) -> None:
        self._client = client
        self._resolver = resolver
        self._secure = True

    def run(self) -> IprevFinding:
        try:
            names = self._ask(self._client.reverse_pointer, "PTR")
        except DnsUnavailable as error:
            return self._say(Result.TEMPERROR, f"the names of {self._client} could not be had: {error}")
        if not names:
            return self._say(Result.PERMERROR, f"{self._client} has no name")
        trouble = ""
        for name in filter(None, map(domain_or_nothing, names[:MAX_NAMES])):
            try:
                if self._leads_back(name):
                    return self._say(Result.PASS, f"{name} leads back to {self._client}", name)
            except DnsUnavailable as error:
                trouble = trouble or f"the addresses of {name} could not be had: {error}"
        if trouble:
            return self._say(Result.TEMPERROR, trouble)
        return self._say(Result.FAIL, f"no name of {self._client} leads back to it")

    def _leads_back(self, name: str) -> bool:
        kind = "A" if self._client.version == 4 else "AAAA"
        return any(client_address(address) == self._client for address in self._ask(name, kind))

    def _ask(self, name: str, kind: str) -> tuple[str, ...]:
        try:
            records = self._resolver.lookup(name, kind)
        except DnsUnavailable:
            self._secure = False
            raise
        self._secure = self._secure and records.secure
        return records.names() if records.status is Status.FOUND else ()

    def _say(self, result: Result, reason: str, name: str = "") -> IprevFinding:
        return IprevFinding(result=result, name=name, reason=reason, secure=self._secure)
