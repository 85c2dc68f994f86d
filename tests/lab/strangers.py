"""The hosts that are not ours: DNS, LDAP, redis, a stranger's mail server, the world's big mailbox.

For each: the files it gets and the script that starts it. The sink judges mail with programs that share no
code with postvouch: Mail::SPF (Perl), OpenDKIM and OpenDMARC (C).
"""

from lab.engine import FileIn
from lab.people import SLAPD_CONF, ldif
from lab.topology import Topology

# In a lab a message that was deferred is tried again within seconds, not within minutes.
QUICK = """
postconf -e inet_protocols=ipv4 queue_run_delay=3s minimal_backoff_time=3s maximal_backoff_time=6s
postconf -e smtpd_error_sleep_time=0 smtpd_client_connection_count_limit=0
"""

KNOT = """\
server:
    listen: 127.0.0.1@5353
    user: knot:knot
database:
    storage: /var/lib/knot
log:
  - target: syslog
    any: info
policy:
  - id: lab
    algorithm: ecdsap256sha256
    single-type-signing: on
    # No rollovers: the resolver's trust anchor is read once.
    zsk-lifetime: 0
zone:
  - domain: .
    file: /etc/knot/root.zone
    zonefile-sync: -1
    zonefile-load: difference
    journal-content: all
    dnssec-signing: on
    dnssec-policy: lab
"""

# The built-in empty zones of unbound would hide 10.in-addr.arpa and example.
UNBOUND = """\
server:
    interface: 0.0.0.0
    port: 53
    access-control: 10.0.0.0/8 allow
    access-control: 127.0.0.0/8 allow
    do-ip6: no
    username: ""
    chroot: ""
    use-syslog: yes
    trust-anchor-file: /etc/unbound/lab.anchor
    do-not-query-localhost: no
    local-zone: "10.in-addr.arpa." nodefault
    local-zone: "example." nodefault
    cache-max-ttl: 1
    cache-max-negative-ttl: 1
    infra-host-ttl: 1
    outgoing-range: 200
    num-queries-per-thread: 200
stub-zone:
    name: "."
    stub-addr: 127.0.0.1@5353
"""


def dns(zone: str) -> tuple[dict[str, FileIn], str]:
    """A signed root zone on knot, and unbound that validates against its key."""
    files = {
        "/etc/knot/knot.conf": FileIn(text=KNOT),
        "/etc/knot/root.zone": FileIn(text=zone),
        "/etc/unbound/lab.conf": FileIn(text=UNBOUND),
        "/etc/systemd/system/unbound.service.d/lab.conf": FileIn(
            text="[Service]\nType=simple\nExecStartPre=\nExecStart=\n"
            "ExecStart=/usr/sbin/unbound -d -c /etc/unbound/lab.conf\n"
        ),
    }
    script = """
set -e
chown -R knot:knot /var/lib/knot
systemctl daemon-reload
systemctl start knot
for i in $(seq 100); do
  keymgr -c /etc/knot/knot.conf . dnskey > /etc/unbound/lab.anchor 2>/dev/null || true
  test -s /etc/unbound/lab.anchor && kdig +short @127.0.0.1 -p 5353 . SOA | grep -q . && break
  sleep 0.1
done
systemctl start unbound
for i in $(seq 100); do
  kdig +dnssec @127.0.0.1 our.example MX | grep -q 'Flags:.* ad' && exit 0
  sleep 0.1
done
echo 'no validated answer from the resolver'
kdig +dnssec @127.0.0.1 our.example MX
journalctl -n 30 --no-pager
exit 1
"""
    return files, script


def ldap() -> tuple[dict[str, FileIn], str]:
    """slapd with everybody, and a Postfix that can only hand its mail to the relay: a host without keys."""
    files = {
        "/etc/ldap/lab.conf": FileIn(text=SLAPD_CONF),
        "/etc/ldap/lab.ldif": FileIn(text=ldif()),
        "/etc/systemd/system/lab-slapd.service": FileIn(
            text="[Service]\nRuntimeDirectory=slapd\n"
            "ExecStart=/usr/sbin/slapd -d 0 -h 'ldap://0.0.0.0/' -f /etc/ldap/lab.conf\n"
        ),
    }
    script = f"""
set -e
rm -rf /var/lib/ldap-lab; mkdir -p /var/lib/ldap-lab
slapadd -q -f /etc/ldap/lab.conf -l /etc/ldap/lab.ldif
systemctl daemon-reload
systemctl start lab-slapd
postconf -e myhostname=ldap.our.example myorigin=our.example mydestination= \
  'local_transport=error:no local mail' 'relayhost=[relay.our.example]' \
  inet_interfaces=loopback-only alias_maps= alias_database=
{QUICK}
systemctl start postfix
for i in $(seq 100); do
  ldapsearch -x -H ldap://127.0.0.1 -b dc=our,dc=example -s base >/dev/null 2>&1 && exit 0
  sleep 0.1
done
echo 'slapd does not answer'; journalctl -n 30 --no-pager; exit 1
"""
    return files, script


def redis() -> tuple[dict[str, FileIn], str]:
    """A redis without a password on a network where nobody else is."""
    command = "/usr/bin/redis-server --bind 0.0.0.0 --protected-mode no --save '' --daemonize no"
    unit = f"[Service]\nExecStart={command}\n"
    script = """
systemctl daemon-reload
systemctl start lab-redis
for i in $(seq 100); do redis-cli ping 2>/dev/null | grep -q PONG && exit 0; sleep 0.1; done
journalctl -n 30 --no-pager; exit 1
"""
    return {"/etc/systemd/system/lab-redis.service": FileIn(text=unit)}, script


# OpenDKIM and OpenDMARC run by units of the lab: Debian's two releases start them in two ways.
def _unit(command: str) -> FileIn:
    return FileIn(text=f"[Service]\nExecStart={command}\nRestart=on-failure\n")


# Keeps all mail of all virtual users in one Maildir, where the lab reads it.
KEEP = """
groupadd -f -g 5000 vmail; id vmail >/dev/null 2>&1 || useradd -u 5000 -g 5000 -d /var/mail/lab vmail
mkdir -p /var/mail/lab; chown vmail:vmail /var/mail/lab
postconf -e mydestination= 'local_transport=error:no local mail' virtual_mailbox_base=/var/mail/lab \
  virtual_mailbox_maps=static:all/ virtual_uid_maps=static:5000 virtual_gid_maps=static:5000 \
  alias_maps= alias_database= compatibility_level=3.6
"""


def sender() -> tuple[dict[str, FileIn], str]:
    """far.example: signs with its own key through OpenDKIM, keeps what comes home."""
    opendkim = """\
Syslog yes
UMask 002
UserID opendkim
Mode s
Domain far.example
Selector lab
KeyFile /etc/dkimkeys/lab.private
Socket inet:8891@127.0.0.1
Canonicalization relaxed/simple
InternalHosts 127.0.0.1
OversignHeaders From
"""
    files = {
        "/etc/opendkim.conf": FileIn(text=opendkim),
        "/etc/systemd/system/lab-opendkim.service": _unit("/usr/sbin/opendkim -f -x /etc/opendkim.conf"),
    }
    script = f"""
set -e
{KEEP}
postconf -e myhostname=mail.far.example myorigin=far.example mynetworks=127.0.0.0/8 \
  virtual_mailbox_domains=far.example smtpd_milters=inet:127.0.0.1:8891 \
  non_smtpd_milters=inet:127.0.0.1:8891 milter_default_action=tempfail \
  'smtpd_relay_restrictions=permit_mynetworks, reject_unauth_destination' \
  disable_mime_output_conversion=yes
{QUICK}
systemctl daemon-reload
systemctl start lab-opendkim postfix
"""
    return files, script


SENDER_KEY = """
set -e
mkdir -p /etc/dkimkeys
test -s /etc/dkimkeys/lab.private || openssl genrsa -out /etc/dkimkeys/lab.private 2048 2>/dev/null
chown -R opendkim /etc/dkimkeys; chmod 0600 /etc/dkimkeys/lab.private
openssl rsa -in /etc/dkimkeys/lab.private -pubout -outform DER 2>/dev/null | base64 -w0
"""


def sink(topology: Topology) -> tuple[dict[str, FileIn], str]:
    """gmail.example, riseup.example, all of members.example; one mailbox there refuses too late."""
    # Debian's OpenDKIM resolves by libunbound, which would ask the world's root servers if it were not told.
    opendkim = f"""\
Syslog yes
UMask 002
UserID opendkim
Nameservers {topology.address("dns")}
Mode v
AlwaysAddARHeader yes
AuthservID mx.gmail.example
Socket inet:8891@127.0.0.1
"""
    # It judges, and keeps what it would refuse, so that the lab can read it.
    opendmarc = """\
Syslog true
UserID opendmarc
AuthservID mx.gmail.example
TrustedAuthservIDs mx.gmail.example
Socket inet:8893@127.0.0.1
RejectFailures false
SPFSelfValidate false
SPFIgnoreResults false
PublicSuffixList /usr/share/publicsuffix/public_suffix_list.dat
"""
    refuse = "#!/bin/sh\ncat >/dev/null\necho '5.2.2 This mailbox is full'\nexit 69\n"
    files = {
        "/etc/opendkim.conf": FileIn(text=opendkim),
        "/etc/opendmarc.conf": FileIn(text=opendmarc),
        "/etc/systemd/system/lab-opendkim.service": _unit("/usr/sbin/opendkim -f -x /etc/opendkim.conf"),
        "/etc/systemd/system/lab-opendmarc.service": _unit("/usr/sbin/opendmarc -f -c /etc/opendmarc.conf"),
        "/usr/local/bin/refuse-late": FileIn(text=refuse, mode=0o755),
    }
    script = f"""
set -e
{KEEP}
postconf -e myhostname=mx.gmail.example myorigin=gmail.example mynetworks=127.0.0.0/8 \
  'virtual_mailbox_domains=gmail.example riseup.example pcre:{{{{/\\.members\\.example$$/ OK}}}}' \
  'smtpd_milters=inet:127.0.0.1:8891 inet:127.0.0.1:8893' milter_default_action=tempfail \
  'smtpd_relay_restrictions=reject_unauth_destination' \
  'smtpd_recipient_restrictions=reject_unauth_destination, check_policy_service unix:private/spf' \
  'transport_maps=inline:{{{{full@gmail.example=late:}}}}'
postconf -M 'late/unix=late unix - n n - - pipe flags= user=nobody argv=/usr/local/bin/refuse-late'
postconf -M 'spf/unix=spf unix - n n - 0 spawn user=nobody argv=/usr/sbin/postfix-policyd-spf-perl'
{QUICK}
systemctl daemon-reload
systemctl start lab-opendkim lab-opendmarc postfix
"""
    return files, script


REFLECT = """#!/usr/bin/python3
# Mail back what "postvouch verify" says: reflect SENDER CLIENT_ADDRESS HELO, the letter on standard input.
# By SMTP: Debian 13's unit lets no child of Postfix be setgid, as sendmail(1) has to be.
import email, email.message, json, smtplib, subprocess, sys

sender, address, helo = sys.argv[1:]
letter = sys.stdin.buffer.read()
verify = ["postvouch", "verify", "--json", "--client-ip", address, "--helo", helo, "--mail-from", sender, "-"]
done = subprocess.run(verify, input=letter, capture_output=True)
if done.returncode not in (0, 1):
    sys.stderr.write(done.stderr.decode()[-500:])
    sys.exit(75)
found = json.loads(done.stdout)
reply = email.message.EmailMessage()
reply["From"], reply["To"] = "check-auth@verifier.far.example", sender
reply["Subject"] = "Authentication report"
reply["In-Reply-To"] = email.message_from_bytes(letter)["Message-ID"].strip()
found["octets_above_127"] = sum(octet > 127 for octet in letter)
reply.set_content(json.dumps(found, indent=1))
with smtplib.SMTP("127.0.0.1", timeout=30) as server:
    server.send_message(reply, "", [sender])
"""


def verifier() -> tuple[dict[str, FileIn], str]:
    """check-auth@verifier.far.example answers with verdicts; its Postfix does not take 8BITMIME.

    Nor SMTPUTF8: who offers that is taken to offer both.
    """
    files = {"/usr/local/bin/reflect": FileIn(text=REFLECT, mode=0o755)}
    words = "${sender} ${client_address} ${client_helo}"
    script = f"""
set -e
postconf -e myhostname=verifier.far.example myorigin=verifier.far.example mynetworks=127.0.0.0/8 \
  mydestination= 'local_transport=error:no local mail' alias_maps= alias_database= compatibility_level=3.6 \
  relay_domains=verifier.far.example relay_transport=reflect: \
  'smtpd_discard_ehlo_keywords=8bitmime, smtputf8' \
  relay_recipient_maps=inline:{{{{check-auth@verifier.far.example=ok}}}} \
  'smtpd_relay_restrictions=permit_mynetworks, reject_unauth_destination'
postconf -M 'reflect/unix=reflect unix - n n - - pipe flags= user=nobody argv=/usr/local/bin/reflect {words}'
{QUICK}
systemctl start postfix
"""
    return files, script
