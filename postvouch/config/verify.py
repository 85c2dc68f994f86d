"""The table [verify]: where postvouch-verify listens and what it finds out; what it does is [verdict]."""

# ruff: noqa: RUF009 - setting() is dataclasses.field() with a manual

from dataclasses import dataclass

from postvouch.config import kinds
from postvouch.config.kinds import Duration, Endpoint, Socket, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Verify:
    """postvouch-verify: SPF, DKIM, ARC, DMARC and the Authentication-Results field."""

    socket: Socket = kinds.socket("verify", "Where Postfix finds the milter (smtpd_milters).")
    engine: str = kinds.engine()
    workers: int = kinds.workers()
    metrics: Endpoint = kinds.metrics(9471)
    authserv_id: str = setting(
        "",
        "Our name in Authentication-Results; every field of a stranger that claims it is removed. "
        "Default: general.hostname.",
    )
    discovery: str = setting(
        "treewalk",
        "How a domain's organisation, its Organizational Domain, is found. treewalk: RFC 9989, where no "
        "domain on the list of public suffixes counts as one. psl: by that list alone, as RFC 7489 did. "
        "both-log-differences: treewalk decides, and what psl would have said is logged where it differs.",
        choices=("treewalk", "psl", "both-log-differences"),
    )
    public_suffixes: str = setting(
        "/usr/share/publicsuffix/public_suffix_list.dat",
        "The list of public suffixes (Debian's package publicsuffix keeps it fresh). Where the file is "
        'missing treewalk goes by DNS alone. "" for none.',
    )
    arc: bool = setting(True, "Validate ARC chains. What they say counts for verdict.exempt_sealers only.")
    iprev: bool = setting(True, "Say whether the client's name leads back to its address.")
    note_dnssec: bool = setting(
        False, "Note in a comment of our field which results rest on DNSSEC. For a validating resolver."
    )
    received_spf: bool = setting(
        False, "Also write a Received-SPF field (RFC 7208, section 9.1), for filters that read no other."
    )
    min_rsa_bits: int = setting(1024, "Shorter RSA keys never pass (RFC 8301).", least=1024, most=4096)
    max_signatures: int = setting(
        10, "DKIM signatures that are checked, from the top; the others are only counted.", least=1, most=100
    )
    cpu_limit: Duration = setting(
        Duration(2), "Computing time for one message; what is not checked then is a temperror.", least=0.1
    )
