"""Every directive of opendkim.conf(5) of OpenDKIM 2.11, and what becomes of it here.

CARRIED: ``opendkimimport`` turns it into a setting of ours, or names what of it has none. NEEDLESS: nothing
is lost without it. VERIFYING: it matters only where OpenDKIM verifies, and has no counterpart. LOST: it
decides what is signed or how, and has no counterpart. A Boolean that is no, or a value listed as harmless,
loses nothing.
"""

from dataclasses import dataclass
from enum import Enum, auto


class Kind(Enum):
    """How the value is written."""

    TEXT = auto()
    BOOLEAN = auto()
    INTEGER = auto()
    INCLUDE = auto()


class Fate(Enum):
    """What becomes of a directive."""

    CARRIED = auto()
    NEEDLESS = auto()
    VERIFYING = auto()
    LOST = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Directive:
    """One directive. ``text`` is the reason, or what is lost; ``harmless`` values, in lower case."""

    name: str
    kind: Kind
    fate: Fate
    text: str
    harmless: tuple[str, ...] = ()


_FATES = {"+": Fate.CARRIED, "0": Fate.NEEDLESS, "v": Fate.VERIFYING, "!": Fate.LOST}
_KINDS = {"b": Kind.BOOLEAN, "i": Kind.INTEGER, "t": Kind.TEXT, "f": Kind.INCLUDE}
_LDAP = "postvouch reads no keys and no signers from LDAP; the directive whose data set is there is named"
_VERDICT = "postvouch-verify goes by DMARC, not by single signatures: table [verdict]"
_CHILD = "systemd starts the daemons again"
_LUA = "there are no scripts here; what it decided has to become settings, or a milter of its own"
_RAR = "postvouch-verify removes every field that claims verify.authserv_id, and none else"
_REPORTS = "postvouch sends no reports about signatures"
_STATISTICS = "numbers are served at sign.metrics and verify.metrics"
_VBR = "vouching by reference (RFC 5518) is not in use any more"
_TEST = "for OpenDKIM's own tests"

# name | kind | fate | harmless values | text
_TABLE = f"""
AllowSHA1Only|b|0||rsa-sha256 is always there, and rsa-sha1 never passes (RFC 8301)
AlwaysAddARHeader|b|0||postvouch-verify always writes its field
ATPSDomains|t|0||authorized third-party signatures (RFC 6541) are not in use any more
ATPSHashAlgorithm|t|0||authorized third-party signatures (RFC 6541) are not in use any more
AuthservID|t|+||
AuthservIDWithJobID|b|v||the queue id is in the log, not in the field
AutoRestart|b|0||{_CHILD}
AutoRestartCount|i|0||{_CHILD}
AutoRestartRate|t|0||{_CHILD}
Background|b|0||systemd keeps the daemons in the foreground
BaseDirectory|t|+||
BodyLengthDB|t|!||l= is never written: anybody could add to what it covers
BogusKey|t|v|fail|a key that DNSSEC calls bogus is no answer of the resolver, so a temperror
CaptureUnknownErrors|b|0||an error of ours is answered with 451, and the sender tries again
Canonicalization|t|+||
ChangeRootDirectory|t|0||the systemd units shut the daemons in
ClockDrift|i|0||a fixed five minutes are forgiven
Diagnostics|b|!||z= is never written
DiagnosticDirectory|t|0||postvouch verify --json shows what a letter was checked against
DisableCryptoInit|b|0||the library looks after itself
DNSConnect|b|0||TCP is used where an answer asks for it
DNSTimeout|i|+||
Domain|t|+||
DomainKeysCompat|b|0||DomainKeys (RFC 4870) is historic
DontSignMailTo|t|!||who receives a letter decides nothing here; it is signed
EnableCoredumps|b|0||the systemd units say no
ExemptDomains|t|+||
ExternalIgnoreList|t|0||it only silenced a log line; here each letter has one line, with its reason
FinalPolicyScript|t|!||{_LUA}
FixCRLF|b|0||Postfix sends CRLF, and nothing is signed that it would change
IdentityHeader|t|!||i= is never written
IdentityHeaderRemove|b|!||i= is never written, and no such field is removed
IgnoreMalformedMail|b|0||what is malformed is named in the log and is never signed
Include|f|+||
InternalHosts|t|+||
KeepAuthResults|b|v||{_RAR}
KeepTemporaryFiles|b|0||there are none
KeyFile|t|+||
KeyTable|t|+||
LDAPAuthMechanism|t|0||{_LDAP}
LDAPAuthName|t|0||{_LDAP}
LDAPAuthRealm|t|0||{_LDAP}
LDAPAuthUser|t|0||{_LDAP}
LDAPBindPassword|t|0||{_LDAP}
LDAPBindUser|t|0||{_LDAP}
LDAPDisableCache|b|0||{_LDAP}
LDAPKeepaliveIdle|t|0||{_LDAP}
LDAPKeepaliveInterval|t|0||{_LDAP}
LDAPKeepaliveProbes|t|0||{_LDAP}
LDAPTimeout|t|0||{_LDAP}
LDAPUseTLS|b|0||{_LDAP}
LogResults|b|0||each log line of postvouch-verify has them
LogWhy|b|0||each log line has reason=
MacroList|t|!||milter macros prove nothing here; a login, internal_hosts, local pickup, client_certificates do
MaximumHeaders|i|0||Postfix has header_size_limit
MaximumSignaturesToVerify|i|+||
MaximumSignedBytes|i|!|-1|l= is never written: anybody could add to what it covers
MilterDebug|i|0||log.debug = true tells how each decision came about
Minimum|t|v||a signature with l= that leaves something uncovered is judged as RFC 6376 does, and noted
MinimumKeyBits|i|+||
Mode|t|+||
MTA|t|!||the name of a Postfix service proves nothing here; its logins and internal_hosts do
MTACommand|t|0||{_REPORTS}
MultipleSignatures|b|+||
MustBeSigned|t|v||a signature passes as RFC 6376 says; it has to cover From:
Nameservers|t|+||
NoHeaderB|b|v||header.b is always written where two signatures need telling apart
OmitHeaders|t|+||
On-BadSignature|t|v|a,accept|{_VERDICT}
On-Default|t|v|a,accept|{_VERDICT}
On-DNSError|t|v|t,tempfail|verdict.own_temperror and others say what becomes of it
On-InternalError|t|0||an error of ours is answered with 451, and the sender tries again
On-KeyNotFound|t|v|a,accept|{_VERDICT}
On-NoSignature|t|v|a,accept|{_VERDICT}
On-Security|t|v|t,tempfail|{_VERDICT}
On-SignatureError|t|0||a letter that should be signed and cannot be is deferred, and never leaves bare
OverSignHeaders|t|+||
PeerList|t|!||no client is passed over; Postfix can: smtpd_milter_maps with DISABLE
PidFile|t|0||systemd knows the processes
POPDBFile|t|!||POP before SMTP proves nothing here; a login does
Quarantine|b|v||verdict.own_fail and others can be "quarantine"
QueryCache|b|0||answers are kept as long as they say (dns.cache_entries)
RedirectFailuresTo|t|v||nothing is sent elsewhere; a verdict can be "quarantine", and Postfix holds the letter
RemoveARAll|b|v||{_RAR}
RemoveARFrom|t|v||{_RAR}
RemoveOldSignatures|b|+||
ReplaceHeaders|t|!||what Postfix will change is not foreseen; let it change header fields before the milter
ReplaceRules|t|!||what Postfix will change is not foreseen; let it change header fields before the milter
ReportAddress|t|0||{_REPORTS}
ReportBccAddress|t|0||{_REPORTS}
RequestReports|b|0||r=y is never written; nearly nobody sends such reports (RFC 6651)
RequiredHeaders|b|v||Postfix's cleanup adds what is missing from mail of ours; verdict.bad_author is for From:
RequireSafeKeys|b|+||
ResignAll|b|!||what was signed by others is left alone
ResignMailTo|t|!||who receives a letter decides nothing here
ResolverConfiguration|t|0||dns.servers or /etc/resolv.conf name the resolver; it has its own configuration
ResolverTracing|b|0||log.debug = true tells how each decision came about
ScreenPolicyScript|t|!||{_LUA}
SelectCanonicalizationHeader|t|0||a letter does not choose how it is signed
Selector|t|+||
SenderHeaders|t|+||
SenderMacro|t|!||From: alone is the author; DMARC looks at nothing else
SendReports|b|0||{_REPORTS}
SetupPolicyScript|t|!||{_LUA}
SignatureAlgorithm|t|+||
SignatureTTL|i|+||
SignHeaders|t|+||
SigningTable|t|+||
SMTPURI|t|0||{_REPORTS}
Socket|t|+||
SoftStart|b|0||{_LDAP}
SoftwareHeader|b|0||no field says which software was at work
Statistics|t|0||{_STATISTICS}
StatisticsName|t|0||{_STATISTICS}
StatisticsPolicyScript|t|0||{_STATISTICS}
StatisticsPrefix|t|0||{_STATISTICS}
StrictHeaders|b|!||a letter with a repeated or missing field is signed; oversigned fields cannot be added to
StrictTestMode|b|0||{_TEST}
SubDomains|b|+||
Syslog|b|0||always on
SyslogFacility|t|0|mail|always mail
SyslogName|t|0||always postvouch-sign, postvouch-verify
SyslogSuccess|b|0||each letter has a log line
TemporaryDirectory|t|0||there are no temporary files
TestDNSData|t|!||{_TEST}
TestPublicKeys|t|!||{_TEST}
TrustAnchorFile|t|0||the resolver validates, and says so
TrustSignaturesFrom|t|v||{_VERDICT}
UMask|i|0||the sockets are in a folder that Postfix alone may enter
UnprotectedKey|t|v|none|verify.note_dnssec notes what DNSSEC protects, and nothing is refused for it
UserID|t|0||the daemons run as the user postvouch
VBR-Certifiers|t|0||{_VBR}
VBR-PurgeFields|b|0||{_VBR}
VBR-TrustedCertifiers|t|0||{_VBR}
VBR-TrustedCertifiersOnly|b|0||{_VBR}
VBR-Type|t|0||{_VBR}
WeakSyntaxChecks|b|0||all is checked that can be read
X-Header|b|0||no field says which software was at work
"""


def _read(row: str) -> Directive:
    name, kind, fate, harmless, text = row.split("|", 4)
    return Directive(
        name=name,
        kind=_KINDS[kind],
        fate=_FATES[fate],
        text=text,
        harmless=tuple(filter(None, harmless.split(","))),
    )


DIRECTIVES = {each.name.lower(): each for each in map(_read, _TABLE.strip().splitlines())}
"""Name in lower case -> what is known of it."""
