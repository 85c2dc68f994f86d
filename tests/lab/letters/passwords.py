"""Letter 14: passwords. Every way to log in, and what "postvouch accounts lint" says of a passwd-file."""

import base64
import hashlib
import json
import shlex

from lab.engine import FileIn
from lab.lab import Lab
from lab.letters.submission import DOORS
from lab.ours import PASSWORDS
from lab.story import Story, letter

FILE = "/etc/dovecot/private/mail-passwords"
WORD = "sesame"
SALT = b"salt1234"


def hashed(lab: Lab) -> dict[str, str]:
    """The same password, in every way in which files hold it."""

    def salted(name: str) -> str:
        return base64.b64encode(hashlib.new(name, WORD.encode() + SALT).digest() + SALT).decode()

    def bare(name: str) -> str:
        return base64.b64encode(hashlib.new(name, WORD.encode()).digest()).decode()

    crypt = {n: lab.sh("submission", f"openssl passwd -{n} {WORD}").out.strip() for n in (1, 5, 6, "apr1")}

    def made(scheme: str) -> str:
        pw = f"pw -s {scheme} -p {WORD}"
        return lab.sh(
            "submission", f"doveadm -o auth_allow_weak_schemes=yes {pw} || doveadm {pw}"
        ).out.strip()

    return {
        "sha512crypt": "{SHA512-CRYPT}" + crypt[6],
        "crypt6": "{CRYPT}" + crypt[6],
        "bare6": crypt[6],
        "sha256crypt": "{SHA256-CRYPT}" + crypt[5],
        "blowfish": made("BLF-CRYPT"),
        "argon2": made("ARGON2ID"),
        "descrypt": made("DES-CRYPT"),
        "plainmd4": made("PLAIN-MD4"),
        "ssha512": "{SSHA512}" + salted("sha512"),
        "ssha256": "{SSHA256}" + salted("sha256"),
        "plain": "{PLAIN}" + WORD,
        "md5crypt": "{MD5-CRYPT}" + crypt[1],
        "crypt1": "{CRYPT}" + crypt[1],
        "bare1": crypt[1],
        "smd5": "{SMD5}" + salted("md5"),
        "ldapmd5": "{LDAP-MD5}" + bare("md5"),
        "plainmd5": "{PLAIN-MD5}" + hashlib.md5(WORD.encode()).hexdigest(),
        "ssha": "{SSHA}" + salted("sha1"),
        "sha": "{SHA}" + bare("sha1"),
        "apr1": "{CRYPT}" + crypt["apr1"],
        "empty": "{PLAIN}",
        "nothing": "",
        "locked": "{CRYPT}!" + crypt[6],
        "star": "*",
        "unknown": "{NOSUCH}" + WORD,
        "Capital": "{PLAIN}" + WORD,
        "at@our.example": "{PLAIN}" + WORD,
    }


@letter(14, "every kind of password: lint says who can log in, Dovecot agrees")
def lint_predicts(lab: Lab, story: Story) -> None:
    """Each scheme of a file is tried with the right password, on the Dovecot of this Debian."""
    container = lab.topology.container("submission")
    version = lab.sh("submission", "dovecot --version").out[:3]
    written = hashed(lab)
    before = lab.sh("submission", f"cat {FILE}").out
    lines = "".join(f"{login}:{password}\n" for login, password in written.items())
    try:
        # Dovecot sees the new file by itself.
        lab.engine.put(container, {FILE: FileIn(text=before + lines, mode=0o640, group="dovecot")})
        done = lab.sh("submission", f"postvouch accounts lint {FILE} --dovecot {version} --json", check=False)
        found = json.loads(done.out)
        story.claim("no password in what it prints", WORD not in done.out, done.out)
        for each in found[:4]:
            story.show("submission", f"{each['login']}: {each['text']}")
        stopped = {each["login"] for each in found if each["level"] == "problem"} | {"locked", "star"}
        wrong = []
        for login in written:
            tried = f"timeout -k 1 20 doveadm auth test {shlex.quote(login)} {WORD}"
            took = lab.sh("submission", tried, check=False).ok
            if took is (login in stopped):
                wrong.append((login, "logged in" if took else "refused"))
        story.claim(f"lint is right about {len(written)} logins, says Dovecot {version}", not wrong, wrong)
        hash_itself = lab.sh(
            "submission", f"timeout -k 1 20 doveadm auth test bare6 '{written['bare6']}'", check=False
        )
        story.claim("a hash is no password", not hash_itself.ok, hash_itself.out)
    finally:
        lab.engine.put(container, {FILE: FileIn(text=before, mode=0o640, group="dovecot")})


@letter(14, "465 and 587, PLAIN and LOGIN, TLS 1.2 and 1.3, and nothing before TLS")
def every_way_to_log_in(lab: Lab, story: Story) -> None:
    """What Thunderbird, Mail.app, Outlook and telephones do; and what nobody may."""

    def logged_in(port: int, *words: str, password: str = PASSWORDS["bob"]) -> str:
        return lab.swaks(
            "sender", "--server", lab.address("submission"), "--port", str(port), *words,
            "--auth-user", "bob", "--auth-password", password, "--quit-after", "AUTH",
        ).out  # fmt: skip

    for port, tls in DOORS.items():
        for mechanism in ("PLAIN", "LOGIN"):
            for protocol in ("tlsv1_2", "tlsv1_3"):
                said = logged_in(port, tls, "--auth", mechanism, "--tls-protocol", protocol)
                story.claim(f"{port}, {mechanism}, {protocol}: logged in", "235 2.7.0" in said, said[-900:])
                version = protocol.replace("tlsv", "TLSv").replace("_", ".")
                story.claim(f"over {version}", version in said, said[-1500:])
        said = logged_in(port, tls, "--auth", "PLAIN", password="wrong")
        story.claim(f"{port}: a wrong password is 535", "535 5.7.8" in said, said[-900:])
    story.tell("587 without STARTTLS.")
    said = lab.swaks(
        "sender", "--server", lab.address("submission"), "--port", "587", "--quit-after", "EHLO"
    ).out
    story.claim("AUTH is not offered", "STARTTLS" in said and "AUTH" not in said.partition("EHLO")[2], said)
    old = logged_in(465, DOORS[465], "--auth", "PLAIN", "--tls-protocol", "tlsv1_1")
    story.claim("TLS 1.1 is not spoken", "235 " not in old, old[-900:])
    ports = "ss -Hltn | awk '{print $4}' | sed 's/.*://' | sort -un | xargs"
    listening = lab.sh("submission", ports).out.split()
    story.show("submission", f"listening: {' '.join(listening)}")
    mailboxes = {"110", "143", "993", "995", "4190"}.intersection(listening)
    story.claim("both doors, and no IMAP, POP or Sieve", {"465", "587"} <= set(listening), listening)
    story.claim("no mailboxes", not mailboxes, listening)
