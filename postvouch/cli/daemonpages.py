"""The manual pages of the four daemons: what each does, how it is told to reload and stop, what it needs."""

from collections.abc import Iterator

from postvouch import __version__
from postvouch.cli.roff import Page
from postvouch.config.catalog import TABLES

FILES = [
    ("/etc/postvouch/postvouch.toml, /etc/postvouch/conf.d/*.toml", "The configuration, postvouch.toml(5)."),
    ("/etc/postvouch/keys/DOMAIN/SELECTOR.pem", "Signing keys."),
    ("/etc/postvouch/srs.secrets", "The secrets of SRS, the same on mx and srs hosts."),
    ("/etc/postvouch/names.d/*.yaml", "Aliases, forwards, alias domains, logins."),
    ("/var/lib/postvouch/directory.snapshot", "The compiled names; written by postvouch-map."),
    ("/var/spool/postfix/postvouch/", "The sockets, where a chrooted Postfix can reach them."),
]

_DAEMONS = {
    "verify": (
        "check incoming mail by SPF, DKIM, ARC and DMARC (milter)",
        "mx",
        "A milter for smtpd_milters. It evaluates SPF, DKIM, ARC and DMARC for each message from outside, "
        "removes every Authentication-Results field that claims to be ours, and writes one. What happens to "
        "mail that fails is decided by the table [verdict] of postvouch.toml(5). By default its mode is "
        "monitor: everything is accepted, and the log (would=) and the counter postvouch_would_total say "
        "what enforce would do.\n\n"
        "Mail of internal hosts, of logins and from this host itself is not checked; it gets the field all "
        "the same, so that readers can rely on it.",
    ),
    "sign": (
        "sign mail of ours with DKIM (milter)",
        "srs, submission, relay",
        "A milter for smtpd_milters and non_smtpd_milters. It signs by the domain of header From:, and only "
        "with proof of origin: a login that owns the address, a host in general.internal_hosts, local "
        "pickup, or the dmarc=pass or x-origin=pass of one of our mx hosts (sign.vouching_hosts). "
        "Nothing else is signed; the log says why. On srs hosts mail with our From: and no proof is held, "
        "refused or sent under another SRS domain (sign.on_unproven).\n\n"
        "A message of a domain whose key cannot be used is deferred; it never leaves bare.",
    ),
    "map": (
        "answer Postfix's lookups: aliases, forwards, owners, SRS (socketmap)",
        "mx, srs, submission",
        "A server of the socketmap protocol, socketmap_table(5). The maps are alias, forward, alias-domain, "
        "transport, owners, recipients, srs-forward and srs-reverse; which of them answer depends on "
        "general.role.\n\n"
        "It also reads the names files and LDAP every map.refresh and writes the snapshot that the other "
        "daemons of the host read. While LDAP is away the snapshot answers.",
    ),
    "policy": (
        "let a login send only as itself, and not without end (policy server)",
        "submission",
        "A server of Postfix's policy delegation protocol for check_policy_service. At RCPT it refuses a "
        "sender address that the login does not own; at DATA it counts messages and recipients, and defers "
        "what is above one of policy.limit. It never answers OK, which would end Postfix's own "
        "restrictions.",
    ),
}


def pages() -> Iterator[Page]:
    """One page a daemon."""
    for name, (about, roles, text) in _DAEMONS.items():
        yield _page(name, about, roles, text)


def _page(name: str, about: str, roles: str, text: str) -> Page:
    program = f"postvouch-{name}"
    page = Page(program, 8, about, __version__)
    page.heading("SYNOPSIS")
    page.usage(program, "[--config FILE]")
    page.heading("DESCRIPTION")
    page.paragraphs(text)
    page.paragraphs(
        f"It runs on hosts of role {roles}, in the foreground, usually under systemd as {program}.service. "
        f"Its settings are in [{name}] of postvouch.toml(5)"
        f"{', those of the names in [map] and [ldap], those of SRS in [srs]' if name == 'map' else ''}."
    )
    page.heading("OPTIONS")
    page.terms(
        [
            (
                "--config FILE",
                "Read this file, and conf.d/*.toml beside it, instead of /etc/postvouch/postvouch.toml.",
            ),
            ("--version", "Print the version and leave."),
            ("--help", "Print the options and leave."),
        ]
    )
    page.heading("SIGNALS")
    page.terms(
        [
            (
                "SIGHUP",
                "Read the configuration again. Any problem in it is logged, and the old one stays in use.",
            ),
            ("SIGTERM", "Stop; what is under way is finished first."),
        ]
    )
    page.heading("LOG")
    page.paragraphs(
        "One line a message or request, or for a lookup only where an admin would look for it, on standard "
        "error, with Postfix's queue id first where there is one and a stable reason code. log.privacy "
        "hashes or drops addresses."
    )
    page.heading("METRICS")
    page.paragraphs(
        f"In Prometheus' format on http://{TABLES[name].settings['metrics'].default}/metrics, or elsewhere "
        f"({name}.metrics)."
    )
    page.heading("EXIT STATUS")
    page.terms(
        [
            ("0", "Stopped as told."),
            ("78", "The configuration has problems; each was logged with file and line."),
        ]
    )
    page.heading("SEE ALSO")
    page.paragraphs("postvouch(1), postvouch.toml(5), postconf(5)")
    return page
