"""What is wrong with a Dovecot passwd-file: lines that log nobody in, or the wrong people. Pure.

A line is ``login:{SCHEME}hash`` and, after further colons, what we do not look at (passwd(5)). No finding
holds a hash.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

DOVECOTS = ("2.3", "2.4")

SCHEMES = frozenset(
    {
        *("PLAIN", "CLEAR", "CLEARTEXT", "PLAIN-TRUNC", "CRYPT", "DES-CRYPT", "MD5", "MD5-CRYPT"),
        *(
            "SHA256-CRYPT",
            "SHA512-CRYPT",
            "BLF-CRYPT",
            "ARGON2I",
            "ARGON2ID",
            "PBKDF2",
            "SHA",
            "SHA1",
            "SSHA",
        ),
        *("SHA256", "SSHA256", "SHA512", "SSHA512", "SMD5", "LDAP-MD5", "PLAIN-MD4", "PLAIN-MD5", "CRAM-MD5"),
        *("HMAC-MD5", "DIGEST-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "OTP"),
    }
)
"""What "doveadm pw -l" of Debian 12 and 13 lists; 2.4 knows ARGON2 as well."""

WEAK = frozenset({"MD5", "MD5-CRYPT", "SMD5", "LDAP-MD5", "PLAIN-MD4", "PLAIN-MD5", "DES-CRYPT"})
"""What Dovecot 2.4 does not take without auth_allow_weak_schemes."""

FAST = frozenset({"SHA", "SHA1", "SSHA"})
"""What Dovecot 2.4 takes, and a thief of the file soon knows."""

CLEAR = frozenset({"PLAIN", "CLEAR", "CLEARTEXT", "PLAIN-TRUNC"})

_CRYPT = (
    ("$1$", "MD5-CRYPT"),
    ("$5$", "SHA256-CRYPT"),
    ("$6$", "SHA512-CRYPT"),
    ("$2", "BLF-CRYPT"),
    ("$y$", "YESCRYPT"),
    ("$gy$", "GOST-YESCRYPT"),
    ("$7$", "SCRYPT"),
)
_DES = re.compile(r"[./0-9A-Za-z]{13}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A line of a person. ``scheme`` as meant: that of a {CRYPT} hash is in the hash; "" where nobody knows.

    ``is_locked``: no password fits, and is not meant to.
    """

    line: int
    login: str
    scheme: str
    is_locked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What is wrong, and what to do. ``line`` 0 is the file; ``is_problem``: somebody cannot log in, or may
    who should not; else it is worth a look."""

    line: int
    login: str
    text: str
    is_problem: bool = True


def entries(lines: Iterable[str]) -> Iterator[Entry | Finding]:
    """Each line that is no comment."""
    for number, raw in enumerate(lines, 1):
        line = raw.rstrip("\r\n")
        if not line or line.startswith("#"):
            continue
        login, colon, rest = line.partition(":")
        if not colon:
            yield Finding(line=number, login="", text="no colon: Dovecot passes over the line")
            continue
        if not login.strip():
            yield Finding(line=number, login="", text="no login before the colon")
            continue
        prefix, body = _split(rest.partition(":")[0])
        yield Entry(
            line=number,
            login=login,
            scheme=(_crypt(body) if prefix in ("", "CRYPT") else prefix) if body else "",
            is_locked=body.startswith(("!", "*")),
        )


def lint(lines: Iterable[str], *, dovecot: str, logins: Collection[str] | None = None) -> Iterator[Finding]:
    """What is wrong for that Dovecot. ``logins``: those of the directory, where it is to be compared."""
    first: dict[str, int] = {}
    for entry in entries(lines):
        if isinstance(entry, Finding):
            yield entry
            continue
        # Our dovecot.conf folds what people type to the part before "@" in lower case.
        folded = entry.login.lower()
        if folded in first:
            text = f"a second entry, the first is in line {first[folded]}: Dovecot takes one of them"
            yield Finding(line=entry.line, login=entry.login, text=text)
            continue
        first[folded] = entry.line
        yield from _of(entry, dovecot)
        if logins is not None and folded not in logins:
            text = "no login of the directory: it may log in, and send as nobody"
            yield Finding(line=entry.line, login=entry.login, text=text, is_problem=False)
    for login in sorted(logins or ()):
        if login not in first:
            text = "a login of the directory without a password: it cannot log in"
            yield Finding(line=0, login=login, text=text, is_problem=False)


def _of(entry: Entry, dovecot: str) -> Iterator[Finding]:
    def finding(text: str, *, is_problem: bool = True) -> Finding:
        return Finding(line=entry.line, login=entry.login, text=text, is_problem=is_problem)

    if "@" in entry.login or entry.login != entry.login.lower() or entry.login != entry.login.strip():
        yield finding(
            "Dovecot looks for the part before @ in lower case (auth_username_format): never found so"
        )
    if entry.is_locked:
        yield finding("locked: no password fits", is_problem=False)
    elif not entry.scheme:
        yield finding("no password, or a hash that crypt(3) does not know: nobody can log in with it")
    elif entry.scheme not in SCHEMES | {scheme for _, scheme in _CRYPT}:
        yield finding(f"unknown scheme {{{entry.scheme[:40]}}}: nobody can log in with it")
    elif entry.scheme in WEAK:
        text = f"{entry.scheme} is weak; Dovecot 2.4 refuses it: set a new password, as {{SHA512-CRYPT}}"
        yield finding(text, is_problem=dovecot != "2.3")
    elif entry.scheme in FAST:
        text = f"{entry.scheme} is soon guessed: set a new password, as {{SHA512-CRYPT}}"
        yield finding(text, is_problem=False)
    elif entry.scheme in CLEAR:
        yield finding("the password is in clear text: set a new one, as {SHA512-CRYPT}", is_problem=False)


def _split(password: str) -> tuple[str, str]:
    """The scheme in capital letters, "" for none, without its encoding ("{SSHA.HEX}"), and what follows."""
    if not password.startswith("{") or "}" not in password:
        return "", password
    scheme, _, body = password[1:].partition("}")
    return scheme.partition(".")[0].upper(), body


def _crypt(body: str) -> str:
    for prefix, scheme in _CRYPT:
        if body.startswith(prefix):
            return scheme
    return "DES-CRYPT" if _DES.fullmatch(body) else ""
