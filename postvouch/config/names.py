"""The tables [map] and [ldap]: where the names come from, and how they are served."""

# ruff: noqa: RUF009 - setting() is dataclasses.field() with a manual

from dataclasses import dataclass

from postvouch.config import kinds
from postvouch.config.kinds import Domain, Duration, Endpoint, SecretPath, Socket, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One more source of names, besides the YAML files of map.names and the server of [ldap]."""

    name: str = setting(
        "",
        "What map.precedence, messages and the log call it; neither names nor ldap, which are taken.",
        example='"puppet"',
        required=True,
    )
    type: str = setting(
        "yaml",
        "yaml: files like those of map.names, the later one counts. flat: text files as postmap(1) and "
        'newaliases(1) read them, "name address, address". ud-ldap: an export of userdir-ldap, '
        '"uid: address"; people edit it, so a bad line costs that line only, and none may take what is '
        "somebody else's. fragments: folders of small YAML files, each of them one exported resource.",
        choices=("yaml", "flat", "ud-ldap", "fragments"),
    )
    files: tuple[str, ...] = setting(
        (),
        "Files or globs; for fragments, folders. {role} and {shorthost} as in map.names.",
        example='["/etc/postfix/maps/alias"]',
        required=True,
    )
    section: str = setting(
        "",
        "What the lines of flat and ud-ldap files are. Default: aliases for flat, forwards for ud-ldap.",
        choices=("", "aliases", "forwards", "domains", "logins", "roles"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Map:
    """postvouch-map: aliases, forwards, alias domains, owners and SRS over Postfix's socketmap protocol."""

    socket: Socket = kinds.socket("map", "Where Postfix finds the maps.")
    metrics: Endpoint = kinds.metrics(9473)
    names: tuple[str, ...] = setting(
        ("/etc/postvouch/names.d/*.yaml",),
        "YAML files (globs) with aliases, forwards, alias domains, logins and roles; merged in this order, "
        "the later counts. {role} and {shorthost} stand for general.role and the first label of "
        "general.hostname; such a file need not be there.",
    )
    namespace: str = setting(
        "",
        'Where data files of Hiera hold the sections: with "profile::mail", profile::mail::aliases is '
        "aliases, and keys of other modules are passed over.",
        example='"profile::mail"',
    )
    source: tuple[Source, ...] = setting((), "More sources, a [[map.source]] table each.")
    precedence: tuple[str, ...] = setting(
        (),
        "Sources by name; where two name the same address, the first wins. Those left out follow. Default: "
        "names, the [[map.source]] tables in their order, ldap.",
        example='["names", "ldap"]',
    )
    allowed_targets: tuple[Domain, ...] = setting(
        (),
        "The only domains, and all below them, besides our own, to which a name may lead. Empty: any.",
        example='["gmail.com", "riseup.net"]',
    )
    denied_targets: tuple[Domain, ...] = setting(
        (), "Domains, and all below them, to which no name may lead: such a target is left out, and told."
    )
    snapshot: str = setting(
        "/var/lib/postvouch/directory.snapshot",
        "The compiled directory, which all daemons of this host read; it survives LDAP and restarts.",
    )
    refresh: Duration = setting(Duration(300), "How often files and LDAP are read again.", least=1)
    soft_age: Duration = setting(Duration(7200), "A snapshot older than this is warned about.")
    hard_age: Duration = setting(
        Duration(7 * 86400),
        'Beyond this age "not found" is no longer believed and answered as a temporary failure.',
    )
    max_shrink: int = setting(
        20,
        "A new snapshot that lost more than this many per cent of the entries is refused; the old one stays.",
        most=100,
    )
    forward_transport: str = setting(
        "",
        "On mx, the transport that the map named transport answers for forward addresses.",
        example='"smtp:[srs.our.example]"',
    )
    recipient_delimiter: str = setting(
        "+", 'Characters that separate a sub-address ("bob+list@"), as in main.cf. "" for none.'
    )
    max_targets: int = setting(1000, "An alias or forward with more targets is a loop or a mistake.", least=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ldap:
    """An LDAP server as a source of accounts, forwards and roles. It is read into the snapshot, never asked
    while mail waits."""

    uri: str = setting(
        "",
        "ldap:// or ldaps://. Several, separated by spaces, are tried in this order: the first that gives a "
        "whole answer counts. Empty: no LDAP.",
        example='"ldaps://ldap1.our.example ldaps://ldap2.our.example"',
    )
    starttls: bool = setting(False, "Upgrade an ldap:// connection with StartTLS before anything else.")
    ca_file: str = setting("", "Certificates to trust. Default: the system's.")
    bind_dn: str = setting("", "Who we are. Empty: anonymous.")
    password_file: SecretPath = setting(SecretPath(""), "File whose first line is the password of bind_dn.")
    base: str = setting("", "Where to search.", example='"ou=users,dc=our,dc=example"')
    filter: str = setting("(objectClass=*)", "Which entries to read.")
    login_attribute: str = setting("uid", "Attribute that holds the login; the address is login@domain.")
    forward_attribute: str = setting("emailForward", "Attribute with the address that mail goes to.")
    alias_attribute: str = setting("", "Attribute with further addresses of the account.")
    member_attribute: str = setting(
        "member",
        "Attribute of a role with its members: DNs, logins or addresses; they own the role's address.",
    )
    domain: Domain = setting(Domain(""), "Domain of the addresses. Default: the first of general.domains.")
    timeout: Duration = setting(
        Duration(10), "How long to wait for a server that says nothing at all.", least=0.1
    )
    deadline: Duration = setting(
        Duration(300), "How long one reading may last, all servers together.", least=0.1
    )
    page_size: int = setting(500, "Entries asked for at a time.", least=1)
    delta: bool = setting(
        False,
        "Read only what has changed, as the server tells by contextCSN, or by entryUUID and entryCSN or "
        "modifyTimestamp; the snapshot then holds what is needed to compare. In doubt all is read.",
    )
    full: Duration = setting(Duration(86400), "With delta: how often all is read even so.", least=1)

    @property
    def uris(self) -> tuple[str, ...]:
        """The servers, in the order in which they are tried."""
        return tuple(self.uri.split())
