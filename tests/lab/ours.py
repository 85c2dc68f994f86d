"""Our hosts: their configuration as an admin would write it, and the commands that put it to work."""

from lab.engine import ROOT, FileIn
from lab.people import BASE, YAML
from lab.strangers import QUICK
from lab.topology import FORWARDERS, SELECTOR, Topology, fqdn, role

OWN = '["our.example", "old.example"]'
DIRECTORY = f"""
[ldap]
uri = "ldap://ldap.our.example"
base = "{BASE}"
filter = "(|(objectClass=labAccount)(objectClass=labForward)(objectClass=labRole))"
timeout = "3s"
"""
# What hosts share: the tokens of senders that are too long, and how much a login has sent.
SHARED = f"""
[redis]
url = "redis://{fqdn("redis")}:6379/0"
"""
TOKENS = """
[srs]
tokens = "redis"
"""
# The numbers of the lab, not of a mail host: changes are seen at once, and what is old is old soon.
PACE = """
[map]
refresh = "5s"
soft_age = "10s"
"""


def selector(host: str) -> str:
    """Each signing host has a key of its own."""
    return f"{SELECTOR}-{host}"


def key_table(host: str) -> str:
    """The [[sign.key]] of a signing host."""
    return (
        f'\n[[sign.key]]\ndomain = "our.example"\nselector = "{selector(host)}"\n'
        f'file = "/etc/postvouch/keys/our.example/{selector(host)}.pem"\n'
    )


def config(host: str, topology: Topology) -> str:
    """What goes to /etc/postvouch/conf.d/lab.toml."""
    at = topology.address
    internal = {
        "mx": [],
        "srs": [at("submission")],
        "submission": [],
        "relay": [at("ldap")],
    }[role(host)]
    networks = ", ".join(f'"{n}"' for n in ["127.0.0.0/8", *internal])
    text = (
        f'[general]\nrole = "{role(host)}"\ndomains = {OWN}\nhostname = "{fqdn(host)}"\n'
        f"internal_hosts = [{networks}]\n"
    )
    if role(host) in ("mx", "srs", "submission"):
        text += DIRECTORY + PACE
    if role(host) == "mx":
        # Both write one name into their results, which the srs hosts take for a voucher.
        text += f'forward_transport = "smtp:{FORWARDERS}"\n[verify]\nauthserv_id = "{fqdn("mx")}"\n'
    if role(host) == "srs":
        both = f'"{at("mx")}", "{at("mx2")}"'
        text += f'\n[sign]\nvouching_hosts = [{both}]\nvouching_id = "{fqdn("mx")}"\n'
    if role(host) in ("mx", "srs"):
        text += SHARED + TOKENS
    if host == "submission":
        text += (
            SHARED + f'\n[postfix]\noutgoing_transport = "smtp:{FORWARDERS}"\n'
            'help_url = "https://our.example/mail-help"\n'
            'tls_cert = "/etc/ssl/certs/submission.pem"\ntls_key = "/etc/ssl/private/submission.key"\n'
        )
    if role(host) != "mx":
        text += key_table(host)
    return text


# Dovecot only says who logged in; 2.3 (Debian 12) and 2.4 (Debian 13) speak two languages. We ship both
# files.
DOVECOT = {"12": "dovecot-2.3.conf", "13": "dovecot-2.4.conf"}
# Wrong passwords in a row would each wait longer than the one before.
AT_ONCE = "\nservice anvil {\n  unix_listener anvil-auth-penalty {\n    mode = 0\n  }\n}\n"
PASSWORDS = {"bob": "bobs-secret", "carol": "carols-secret"}

SUBMISSION = """
chgrp dovecot /etc/dovecot/private; chmod 0750 /etc/dovecot/private
openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=submission.our.example \
  -keyout /etc/ssl/private/submission.key -out /etc/ssl/certs/submission.pem 2>/dev/null
# Dovecot's listener is in Postfix's private directory, which a fresh Debian 13 makes at the first start.
postfix check
"""


def files(host: str, topology: Topology, secret: str) -> dict[str, FileIn]:
    """Everything that is written on one of our hosts before its commands run."""
    written = {"/etc/postvouch/conf.d/lab.toml": FileIn(text=config(host, topology))}
    if host != "relay":
        written["/etc/postvouch/names.d/lab.yaml"] = FileIn(text=YAML, mode=0o640, group="postvouch")
    if role(host) in ("mx", "srs"):
        written["/etc/postvouch/srs.secrets"] = FileIn(text=secret + "\n", mode=0o640, group="postvouch")
    if host == "submission":
        users = "".join(f"{login}:{{PLAIN}}{word}\n" for login, word in PASSWORDS.items())
        shipped = ROOT / "postfix-snippets" / "submission" / DOVECOT[topology.release]
        written["/etc/dovecot/private/mail-passwords"] = FileIn(text=users, mode=0o640, group="dovecot")
        written["/etc/dovecot/dovecot.conf"] = FileIn(text=shipped.read_text() + AT_ONCE)
    return written


def key_script(host: str) -> str:
    """Make the host's key if it has none, and print the DNS record for it (a line of a zone file)."""
    name = selector(host)
    return f"""
set -e
test -s /etc/postvouch/keys/our.example/{name}.pem ||
  postvouch dkim genkey --domain our.example --selector {name} >&2
postvouch dkim record --domain our.example --selector {name}
"""


def start_script(host: str) -> str:
    """Wire Postfix, start the daemons of the role, start Postfix."""
    more = SUBMISSION if host == "submission" else ""
    dovecot = "systemctl start dovecot" if host == "submission" else ""
    return f"""
set -e
{more}
postvouch check
postvouch postfix --role {role(host)} --apply
postvouch postfix --role {role(host)} --check
{QUICK}
{dovecot}
systemctl start postfix
"""
