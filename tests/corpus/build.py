"""Letters of the corpus that need signatures or odd octets are made here, and committed as they come out.

    PYTHONPATH=.:tests python3 -m corpus.build          writes the message.eml of every case in ``LETTERS``

Deterministic: fixed throw-away keys in keys/, a fixed clock. Canonicalisation and signing are written here
once more, from RFC 6376 and RFC 8617, and share nothing with the product: so a letter that passes is a letter
that somebody else would have signed so. Forms that our own signer never makes are made here, too.
"""

import base64
import hashlib
import json
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

HERE = Path(__file__).resolve().parent
NOW = 1767225600
"""2026-01-01, the time of every case that does not say otherwise."""

LETTERS: dict[str, Callable[[], bytes]] = {}
"""Folder name -> what makes its message.eml. Filled by the modules ``letters_*``."""

Repeats = dict[str, dict[str, object]]


def expand(octets: bytes, repeats: Repeats) -> bytes:
    """``{{name}}`` as the text of [repeat], so many times, its "{n}" counted from 1; ``{{x.pub}}``: a key."""

    def filled(found: re.Match[bytes]) -> bytes:
        name = found[1].decode()
        if name.endswith(".pub"):
            return (HERE / "keys" / name).read_bytes()
        text, times = str(repeats[name]["text"]), int(str(repeats[name]["times"]))
        text = expand(text.encode(), repeats).decode()
        if "{n}" in text:
            return "".join(text.replace("{n}", str(n)) for n in range(1, times + 1)).encode()
        return text.encode() * times

    return re.sub(rb"\{\{([a-z0-9.]+)\}\}", filled, octets)


def crlf(text: str) -> bytes:
    """Text as octets with CRLF lines; "\\udc80" and its like as the octet that they stand for."""
    return text.encode("utf-8", "surrogateescape").replace(b"\n", b"\r\n")


def letter(
    sender: str = "Mara <mara@far.example>",
    body: str = "Hello Bob,\n\nshall we meet on Friday?\n\nMara\n",
    *,
    subject: str = "Friday",
    more: str = "",
) -> bytes:
    """A plain letter; ``more``: further fields, each with its line end."""
    return crlf(
        f"From: {sender}\nTo: Bob <bob@our.example>\nSubject: {subject}\n"
        f"Date: Wed, 31 Dec 2025 23:50:00 +0000\nMessage-ID: <1@far.example>\n{more}\n{body}"
    )


# RFC 6376 §3.4, in the plainest way.


def relaxed_header(field: bytes) -> bytes:
    name, _, value = field.partition(b":")
    return name.strip().lower() + b":" + re.sub(rb"[ \t]+", b" ", value.replace(b"\r\n", b"")).strip(b" ")


def relaxed_body(body: bytes) -> bytes:
    lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in body.split(b"\r\n")]
    while lines and not lines[-1]:
        lines.pop()
    return b"".join(line + b"\r\n" for line in lines)


def simple_body(body: bytes) -> bytes:
    while body.endswith(b"\r\n"):
        body = body[:-2]
    return body + b"\r\n"


def split(octets: bytes) -> tuple[list[bytes], bytes]:
    """Fields, each with its folds and without its last line end, and the body."""
    head, _, body = octets.partition(b"\r\n\r\n")
    return re.split(rb"\r\n(?![ \t])", head), body


def chosen(fields: list[bytes], names: list[bytes]) -> list[bytes]:
    """Each name in h= takes the lowest field of that name that is left (§5.4.2)."""
    left = list(fields)
    found = []
    for name in names:
        for at in range(len(left) - 1, -1, -1):
            if left[at].partition(b":")[0].strip().lower() == name.strip().lower():
                found.append(left.pop(at))
                break
    return found


@lru_cache
def private(name: str):
    return load_pem_private_key((HERE / "keys" / f"{name}.pem").read_bytes(), None)


def raw_signature(key: str, octets: bytes, sha1: bool = False) -> str:
    """The b= of these octets, in base64."""
    if key == "tiny":
        # OpenSSL has grown too wise to sign with 512 bits.
        numbers = json.loads((HERE / "keys" / "tiny.json").read_text())
        info = bytes.fromhex("3031300d060960864801650304020105000420") + hashlib.sha256(octets).digest()
        padded = b"\x00\x01" + b"\xff" * (64 - 3 - len(info)) + b"\x00" + info
        made = pow(int.from_bytes(padded, "big"), int(numbers["d"], 16), int(numbers["n"], 16))
        return base64.b64encode(made.to_bytes(64, "big")).decode()
    signer = private(key)
    if isinstance(signer, Ed25519PrivateKey):
        return base64.b64encode(signer.sign(hashlib.sha256(octets).digest())).decode()
    return base64.b64encode(signer.sign(octets, PKCS1v15(), SHA1() if sha1 else SHA256())).decode()


def dkim(
    octets: bytes,
    *,
    key: str = "far",
    d: str = "far.example",
    s: str = "s1",
    a: str = "",
    c: str = "relaxed/relaxed",
    h: str = "from:to:subject:date:message-id",
    t: int | None = NOW - 600,
    more: str = "",
    limit: int | None = None,
    fold: str = "\r\n\t",
    repeats: Repeats | None = None,
) -> bytes:
    """The letter with one signature more on top. ``more``: further tags ("x=1;"); ``limit``: l=."""
    fields, body = split(expand(octets, repeats or {}))
    header_way, _, body_way = c.partition("/")
    a = a or ("ed25519-sha256" if key in ("ed", "seal", "other") else "rsa-sha256")
    canonical = relaxed_body(body) if body_way == "relaxed" else simple_body(body)
    digest = hashlib.new("sha1" if a.endswith("sha1") else "sha256", canonical[:limit]).digest()
    length = f" l={limit};" if limit is not None else ""
    time = f" t={t};" if t is not None else ""
    value = (
        f" v=1; a={a}; c={c}; d={d}; s={s};{time}{length} {more}{fold}"
        f"h={h};{fold}bh={base64.b64encode(digest).decode()};{fold}b="
    )
    own = f"DKIM-Signature:{value}".encode()
    names = expand(h.encode(), repeats or {}).split(b":")
    own_input = expand(own, repeats or {})
    made = chosen(fields, names)
    if header_way == "relaxed":
        signed = b"".join(relaxed_header(field) + b"\r\n" for field in made) + relaxed_header(own_input)
    else:
        signed = b"".join(field + b"\r\n" for field in made) + own_input
    return own + raw_signature(key, signed, a.endswith("sha1")).encode() + b"\r\n" + octets


def arc(
    octets: bytes,
    instance: int,
    *,
    key: str = "seal",
    d: str = "seal.example",
    says: str = "dmarc=pass header.from=far.example",
    cv: str = "",
    h: str = "from:to:subject:date:message-id",
    sealed_before: bool = True,
) -> bytes:
    """The letter with one ARC set more on top (RFC 8617 §5.1); ``says``: what it claims to have found."""
    fields, body = split(octets)
    cv = cv or ("none" if instance == 1 else "pass")
    common = f"i={instance}; a=ed25519-sha256; d={d}; s=arc;"
    results = f"ARC-Authentication-Results: i={instance}; mx.{d}; {says}".encode()
    digest = base64.b64encode(hashlib.sha256(relaxed_body(body)).digest()).decode()
    signature = (
        f"ARC-Message-Signature: {common} c=relaxed/relaxed;\r\n\th={h};\r\n\tbh={digest};\r\n\tb=".encode()
    )
    over = [relaxed_header(field) for field in (*chosen(fields, h.encode().split(b":")), signature)]
    signature += raw_signature(key, b"\r\n".join(over)).encode()
    seal = f"ARC-Seal: {common} cv={cv};\r\n\tb=".encode()
    before = []
    if sealed_before:
        sets: dict[int, dict[bytes, bytes]] = {}
        for field in fields:
            name = field.partition(b":")[0].lower()
            if name.startswith(b"arc-"):
                number = re.search(rb"\bi=(\d+);", field)
                assert number is not None
                sets.setdefault(int(number[1]), {})[name] = field
        order = (b"arc-authentication-results", b"arc-message-signature", b"arc-seal")
        before = [sets[number][name] for number in sorted(sets) for name in order]
    under = [relaxed_header(field) for field in (*before, results, signature, seal)]
    seal += raw_signature(key, b"\r\n".join(under)).encode()
    return b"\r\n".join((seal, signature, results, octets))


def made(name: str) -> Callable[[Callable[[], bytes]], Callable[[], bytes]]:
    """Register the maker of the message.eml of one folder."""

    def register(make: Callable[[], bytes]) -> Callable[[], bytes]:
        assert name not in LETTERS, name
        LETTERS[name] = make
        return make

    return register


def main() -> None:
    """Write them all."""
    from corpus import letters

    for name, make in letters.LETTERS.items():
        (HERE / name / "message.eml").write_bytes(make())


if __name__ == "__main__":
    main()
