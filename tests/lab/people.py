"""Who works at our.example: 91 accounts, 24 forwards and 76 roles, made up the same way every time.

144 addresses outside receive their mail: 30 at riseup.example, 21 at gmail.example, 93 elsewhere. Accounts
and forwards live in LDAP; a few roles that the letters use, and the alias domain, in a YAML file as an admin
writes it.
"""

from collections.abc import Iterator

ACCOUNTS, FORWARDS, ROLES = 91, 24, 76
AT_RISEUP, AT_GMAIL, ELSEWHERE = 30, 21, 93
BASE = "dc=our,dc=example"

# The people of the letters. Their targets count among those above.
NAMED = {
    "bob": "bob@riseup.example",
    "carol": "carol@gmail.example",
    "dora": "dora@gmail.example",
    "frank": "full@gmail.example",
}

YAML = """\
# What an admin keeps by hand: the alias domain, and the roles of the letters. People are in LDAP.
domains:
  our.example: primary
  old.example: our.example
aliases:
  grants: [bob, dora]
  postmaster: carol
"""


def _domains() -> Iterator[str]:
    """The domains of the 144 targets, one after the other, well mixed."""
    left = {"riseup.example": AT_RISEUP, "gmail.example": AT_GMAIL, "": ELSEWHERE}
    for target in NAMED.values():
        left[target.partition("@")[2]] -= 1
    total = sum(left.values())
    used = dict.fromkeys(left, 0)
    for place in range(1, total + 1):
        # The kind that is furthest behind its share comes next.
        kind = max(left, key=lambda k: left[k] * place / total - used[k])
        used[kind] += 1
        yield kind or f"m{used[kind]}.members.example"


def ldif() -> str:
    """The whole directory as LDIF, for slapadd."""
    domains = _domains()
    entries = [
        f"dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\ndc: our\no: Our Example",
        *(f"dn: ou={ou},{BASE}\nobjectClass: organizationalUnit\nou: {ou}" for ou in ("users", "roles")),
    ]
    logins = [*NAMED, *(f"user{number:02d}" for number in range(len(NAMED) + 1, ACCOUNTS + 1))]
    # 115 accounts and forwards have a target each; 29 of them have a second one, which makes 144.
    second = AT_RISEUP + AT_GMAIL + ELSEWHERE - ACCOUNTS - FORWARDS
    for number, login in enumerate([*logins, *(f"fwd{number:02d}" for number in range(1, FORWARDS + 1))]):
        targets = [NAMED.get(login) or f"{login}@{next(domains)}"]
        if len(NAMED) <= number < len(NAMED) + second:
            targets.append(f"{login}.too@{next(domains)}")
        kind = "labAccount" if number < ACCOUNTS else "labForward"
        entries.append(
            f"dn: uid={login},ou=users,{BASE}\nobjectClass: {kind}\nuid: {login}\ncn: {login.title()}\n"
            + "\n".join(f"emailForward: {target}" for target in targets)
        )
    for number in range(1, ROLES + 1):
        members = {logins[number % ACCOUNTS], logins[number * 7 % ACCOUNTS]}
        entries.append(
            f"dn: uid=role{number:02d},ou=roles,{BASE}\nobjectClass: labRole\nuid: role{number:02d}\n"
            + "\n".join(f"member: uid={login},ou=users,{BASE}" for login in sorted(members))
        )
    return "\n\n".join(entries) + "\n"


SLAPD_CONF = f"""\
include /etc/ldap/schema/core.schema
attributetype ( 1.3.6.1.4.1.32473.1.1 NAME 'emailForward' EQUALITY caseIgnoreIA5Match
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.26 )
objectclass ( 1.3.6.1.4.1.32473.2.1 NAME 'labAccount' SUP top STRUCTURAL
  MUST ( uid $ cn ) MAY ( emailForward ) )
objectclass ( 1.3.6.1.4.1.32473.2.2 NAME 'labForward' SUP top STRUCTURAL
  MUST ( uid $ emailForward ) MAY ( cn ) )
objectclass ( 1.3.6.1.4.1.32473.2.3 NAME 'labRole' SUP top STRUCTURAL MUST ( uid $ member ) )
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile /run/slapd/slapd.pid
database mdb
suffix "{BASE}"
rootdn "cn=admin,{BASE}"
directory /var/lib/ldap-lab
index objectClass,uid eq
access to * by * read
"""
