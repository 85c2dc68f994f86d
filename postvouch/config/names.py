"""The tables [map] and [ldap]: where the names come from, and how they are served."""

# ruff: noqa: RUF009 - setting() is dataclasses.field() with a manual

from dataclasses import dataclass

from postvouch.config import kinds
from postvouch.config.kinds import Domain, Duration, Endpoint, SecretPath, Socket, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Map:
    """postvouch-map: aliases, forwards, alias domains, owners and SRS over Postfix's socketmap protocol."""

    socket: Socket = kinds.socket("map", "Where Postfix finds the maps.")
    metrics: Endpoint = kinds.metrics(9473)
    names: tuple[str, ...] = setting(
        ("/etc/postvouch/names.d/*.yaml",),
        "YAML files (globs) with aliases, forwards, alias domains and logins; merged in this order.",
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
