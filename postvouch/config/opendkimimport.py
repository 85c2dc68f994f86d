"""A configuration of OpenDKIM as ours: settings, keys, and what became of every line.

    imported = convert(opendkim.parse("/etc/opendkim.conf", read), read)

Pure but for ``read``. Whether the key files are there and good is for the caller to look at.
"""

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from postvouch.config import opendkimheaders as headers
from postvouch.config.opendkim import Line, Read, Settings
from postvouch.config.opendkimdirectives import Fate, Kind
from postvouch.config.opendkimhosts import internal_hosts
from postvouch.config.opendkimkeys import ImportedKey, keys
from postvouch.config.opendkimledger import Entry, Ledger
from postvouch.config.opendkimsources import read_set
from postvouch.config.problems import Where
from postvouch.config.verify import Verify
from postvouch.values.domain import domain_or_nothing

_SIGNING = (
    "BodyLengthDB", "Canonicalization", "Domain", "ExemptDomains", "InternalHosts", "KeyFile", "KeyTable",
    "MultipleSignatures", "OmitHeaders", "OverSignHeaders", "RemoveOldSignatures", "Selector", "SignHeaders",
    "SignatureAlgorithm", "SignatureTTL", "SigningTable", "SubDomains",
)  # fmt: skip
_VERIFYING = ("AuthservID", "MaximumSignaturesToVerify", "MinimumKeyBits")
_FORMS = ("relaxed/relaxed", "relaxed/simple", "simple/simple", "simple/relaxed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """``settings`` by their dotted names; ``domains`` are for general.domains; ``entries`` say the rest."""

    settings: dict[str, Any]
    domains: tuple[str, ...]
    keys: tuple[ImportedKey, ...]
    entries: tuple[Entry, ...]
    files: tuple[str, ...]


def convert(settings: Settings, read: Read) -> Imported:
    """All that can be carried of a configuration. ``read`` opens what it names."""
    return _Conversion(settings, read).imported()


class _Conversion:
    def __init__(self, settings: Settings, read: Read) -> None:
        self._settings = settings
        self._read = read
        self._ledger = Ledger()
        self._values: dict[str, Any] = {}
        mode = settings.get("Mode")
        self._signs = mode is None or "s" in mode.value
        self._verifies = mode is None or "v" in mode.value

    def imported(self) -> Imported:
        ledger = self._ledger
        for fault in self._settings.faults:
            ledger.lost(fault.where, fault.directive, fault.text)
        for line in self._settings.overridden:
            ledger.needless(line, "set again later, and the last one counts")
        self._mode()
        found = keys(self._settings, self._read, ledger) if self._signs else ()
        handlers: dict[str, Callable[[Line], None]] = {
            "authservid": self._authserv_id,
            "basedirectory": lambda line: ledger.carried(line, "relative paths begin there"),
            "canonicalization": self._canonicalization,
            "dnstimeout": self._dns_timeout,
            "internalhosts": self._internal_hosts,
            "maximumsignaturestoverify": self._max_signatures,
            "minimumkeybits": self._key_bits,
            "multiplesignatures": lambda line: ledger.carried(line, "sign.key.authors"),
            "nameservers": self._nameservers,
            "removeoldsignatures": self._old_signatures,
            "requiresafekeys": self._safe_keys,
            "senderheaders": self._sender_headers,
            "signaturealgorithm": self._algorithm,
            "signaturettl": self._ttl,
            "socket": self._socket,
        }
        for name, line in self._settings.lines.items():
            if not self._signs and line.directive.name in _SIGNING:
                ledger.needless(line, "for signing only, and Mode has no s")
            elif not self._verifies and line.directive.name in _VERIFYING:
                ledger.needless(line, "for verifying only, and Mode has no v")
            elif name in handlers:
                handlers[name](line)
            elif line.directive.fate is not Fate.CARRIED:
                self._plain(line)
        if self._signs:
            self._headers()
        domains = dict.fromkeys(
            domain for key in found for domain in (*(pattern.domain for pattern in key.patterns), key.domain)
        )
        return Imported(
            settings=self._values,
            domains=tuple(domains),
            keys=found,
            entries=ledger.entries,
            files=tuple(self._settings.files),
        )

    def _plain(self, line: Line) -> None:
        """A directive that is no setting of ours, whatever its value."""
        directive = line.directive
        if directive.fate is Fate.NEEDLESS:
            self._ledger.needless(line, directive.text)
        elif (directive.kind is Kind.BOOLEAN and not line.true) or line.value.lower() in directive.harmless:
            self._ledger.needless(line, f"{line.value}: the same without it")
        elif directive.fate is Fate.VERIFYING and not self._verifies:
            self._ledger.needless(line, "for verifying only, and Mode has no v")
        else:
            self._ledger.lost(line.where, directive.name, directive.text)

    def _mode(self) -> None:
        line = self._settings.get("Mode")
        text = "postvouch-sign signs; verifying is for postvouch-verify, on a host with the role mx"
        if line is None:
            self._ledger.lost(Where(self._settings.files[0], 0), "Mode", f"not set, so sv: {text}")
        elif self._verifies:
            self._ledger.lost(line.where, "Mode", text)
        else:
            self._ledger.carried(line, "postvouch-sign signs")

    def _authserv_id(self, line: Line) -> None:
        if line.value == "HOSTNAME":
            self._ledger.carried(line, "the default of verify.authserv_id")
        elif domain_or_nothing(line.value):
            self._set(line, "verify.authserv_id", line.value)
        else:
            self._ledger.lost(line.where, line.directive.name, f'"{line.value}" is no host name')

    def _canonicalization(self, line: Line) -> None:
        header, _, body = line.value.lower().partition("/")
        form = f"{header}/{body or 'simple'}"
        if form in _FORMS:
            self._set(line, "sign.canonicalization", form)
        else:
            self._ledger.lost(line.where, line.directive.name, f'"{line.value}" is no canonicalization')

    def _dns_timeout(self, line: Line) -> None:
        if 0 < line.number <= 20:
            self._set(line, "dns.timeout", f"{line.number}s")
        else:
            self._ledger.needless(line, "one answer may take 5s, all for a message 20s (dns.message_timeout)")

    def _internal_hosts(self, line: Line) -> None:
        hosts = read_set(line, self._read, self._ledger)
        if hosts.problem:
            return
        found = internal_hosts(hosts, line.directive.name, self._ledger)
        local = "" if "127.0.0.1" in found else "; local pickup is signed here in any case"
        self._values["general.internal_hosts"] = found
        self._ledger.carried(line, f"general.internal_hosts{local}")

    def _max_signatures(self, line: Line) -> None:
        if 1 <= line.number <= 100:
            self._set(line, "verify.max_signatures", line.number)
        else:
            self._ledger.lost(line.where, line.directive.name, "verify.max_signatures is from 1 to 100")

    def _key_bits(self, line: Line) -> None:
        if line.number <= Verify().min_rsa_bits:
            self._ledger.needless(line, "verify.min_rsa_bits is 1024, and no less (RFC 8301)")
        elif line.number <= 4096:
            self._set(line, "verify.min_rsa_bits", line.number)
        else:
            self._ledger.lost(line.where, line.directive.name, "verify.min_rsa_bits is at most 4096")

    def _nameservers(self, line: Line) -> None:
        servers = []
        for text in filter(None, map(str.strip, line.value.split(","))):
            try:
                servers.append(str(ip_address(text)))
            except ValueError:
                self._ledger.lost(line.where, line.directive.name, f'"{text}" is no IP address')
        if servers:
            self._set(line, "dns.servers", tuple(servers))

    def _old_signatures(self, line: Line) -> None:
        if line.true:
            self._set(line, "sign.remove_old_signatures", "all")
        else:
            self._ledger.carried(line, "sign.remove_old_signatures is none")

    def _safe_keys(self, line: Line) -> None:
        said = "always on" if line.true else "always on: a key that others may read is not used"
        self._ledger.needless(line, said)

    def _sender_headers(self, line: Line) -> None:
        names = [row.key.lower() for row in read_set(line, self._read, self._ledger).rows]
        if names in ([], ["from"]):
            self._ledger.needless(line, "From: is the author")
        else:
            text = "From: alone is the author here; DMARC looks at nothing else"
            self._ledger.lost(line.where, line.directive.name, text)

    def _algorithm(self, line: Line) -> None:
        if line.value.lower() in ("rsa-sha256", "ed25519-sha256"):
            self._ledger.carried(line, "the kind of the key decides")
        else:
            self._ledger.needless(line, "the kind of the key decides; rsa-sha1 passes nowhere (RFC 8301)")

    def _ttl(self, line: Line) -> None:
        if line.number > 0:
            self._set(line, "sign.expire", f"{line.number}s")
        else:
            self._ledger.carried(line, "sign.expire is 0s")

    def _socket(self, line: Line) -> None:
        text = (
            f"put sign.socket in its place in main.cf: postvouch postfix --apply does; {line.value} goes out "
            "of smtpd_milters and non_smtpd_milters"
        )
        self._ledger.needless(line, text)

    def _headers(self) -> None:
        ours = fields = headers.default()
        for name, change in (
            ("SignHeaders", headers.signed),
            ("OmitHeaders", headers.omitted),
            ("OverSignHeaders", headers.oversigned),
        ):
            line = self._settings.get(name)
            if line is None:
                continue
            listed = read_set(line, self._read, self._ledger)
            if listed.problem or listed.globs:
                if listed.globs:
                    self._ledger.lost(line.where, name, "OpenDKIM takes no refile for it")
                continue
            before, fields = fields, change(fields, listed)
            same = "ours do so without it" if before == fields else "sign.sign_headers and sign.oversign_..."
            self._ledger.carried(line, same)
        for key, value, default in (
            ("sign_headers", fields.sign, ours.sign),
            ("oversign_headers", fields.oversign, ours.oversign),
            ("oversign_present_headers", fields.oversign_present, ours.oversign_present),
        ):
            if value != default:
                self._values[f"sign.{key}"] = value

    def _set(self, line: Line, name: str, value: Any) -> None:
        self._values[name] = value
        self._ledger.carried(line, name)
