"""Letters of all kinds: each a plausible one at first, signed and sealed, then broken here and there."""

import base64
import hashlib
from dataclasses import dataclass, field

from fuzz.chance import Chance
from fuzz.world import DOMAINS, HONEST, NOW, OURS, SELECTORS, WORDS, keys
from postvouch.auth import canonical
from postvouch.values.message import Field, by_name

FORGED = (
    b" mx.our.example; dmarc=pass header.from=our.example", b"mx.our.example;dkim=pass",
    b" MX.Our.EXAMPLE ; spf=pass",
    b' "mx.our.example"; dkim=pass', b" (x) mx.our.example 1; none", b"\r\n\tmx.our.example\r\n ; spf=pass",
    b" mx.our.example",
    b" mx.our.example.; dmarc=pass", b' "mx\\.our.example"; dmarc=pass',
    b" mx.(a(b)c)our.example; dmarc=pass",
    b" =?utf-8?q?mx.our.example?=; dmarc=pass", b" =?UTF-8?B?bXgub3VyLmV4YW1wbGU=?=; dmarc=pass",
    b" mx.our.example/1; x=pass",
    b" \xef\xbd\x8dx.our.example; dmarc=pass", b" mx.our\xe2\x80\x8b.example; dmarc=pass",
    b" mx.our.example (", b" (((",
    b" " * 70 + b"mx.our.example; dmarc=pass", b" mx.our.example 99; dmarc=pass",
    b" mx.our.example\0; dmarc=pass",
)  # fmt: skip
"""Authentication-Results that some reader would take for ours."""

FOREIGN = (
    b" other.example; dmarc=pass header.from=our.example", b" mx.our.example.evil.example; dmarc=pass",
    b" xmx.our.example; none",
    b" other.example (mx.our.example); spf=pass smtp.mailfrom=mx.our.example", b" our.example; dmarc=pass",
    b" ;", b"",
    b' "a;mx.our.example"; dkim=pass',
    b" other.example 1; spf=pass; dkim=fail (x) reason=\"mx.our.example; dmarc=pass\"",
)  # fmt: skip
"""Those that nobody would; they stay as they are."""

_LOCALS = (
    "bob",
    "a.b",
    '"a b"',
    '"a\\"b"',
    "é",
    "a..b",
    "",
    '"a@b"',
    "a(c)",
    "x" * 70,
    "=?utf-8?q?bob?=",
    "SRS0=aa=bb=far.example=x",
)
_NAMES = (
    b"Bob",
    b'"Bob, B."',
    b"=?utf-8?q?bob=40our.example?=",
    b"bob@our.example",
    b"(c)",
    b"\xff",
    b"B.",
    b"",
    b"Bob:",
    b"<x>",
)
_LISTS = (
    b" <dev.lists.our.example>",
    b" Dev <dev.list.example>",
    b" <>",
    b" dev.list.example",
    b" <a> <b>",
    b" <A.B.list.example.>",
)
_RESULTS = (
    "dmarc=pass header.from=far.example", "dmarc=pass (p=none) header.from=our.example",
    "spf=pass smtp.mailfrom=a@far.example",
    "dkim=fail reason=\"x\" header.d=far.example", "arc=none", "none",
    "dmarc=pass action=none header.from=other.example", "x", "=",
)  # fmt: skip
_PLAIN = (
    "to",
    "subject",
    "date",
    "message-id",
    "received",
    "x-junk",
    "reply-to",
    "cc",
    "list-id",
    "mime-version",
)
_CANONICAL = (
    "relaxed/relaxed",
    "relaxed/simple",
    "simple/simple",
    "simple/relaxed",
    "relaxed",
    "simple",
    "x/y",
    "/",
    "",
)
_LINES = (
    b"Hello.",
    b"",
    b"",
    b" ",
    b"\t \t",
    b"a  b \t c",
    b"  indented",
    b"trailing  ",
    b".",
    b"\xff\xfe",
    b"x" * 200,
    b"From x",
)
_ENDS = (b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"")


@dataclass(slots=True)
class Draft:
    """A letter while it is made.

    ``forged`` and ``foreign``: the fields that must go and those that must stay. ``signed``, ``sealed``:
    somebody really did that.
    """

    fields: list[Field] = field(default_factory=list)
    body: bytes = b""
    forged: list[Field] = field(default_factory=list)
    foreign: list[Field] = field(default_factory=list)
    signed: bool = False
    sealed: bool = False


def draft(chance: Chance) -> Draft:
    """One letter."""
    letter = Draft(body=_body(chance))
    fields = letter.fields
    for _ in range(chance.upto(4)):
        fields.append(_junk(chance))
    for _ in range(0 if chance.odds(0.02) else 2 if chance.odds(0.03) else 1):
        fields.append(Field(b"From", _author(chance)))
    for _ in range(chance.rarely_many(1, 3) * chance.odds(0.5)):
        fields.append(_results(chance, letter))
    if chance.odds(0.1):
        fields.append(Field(b"List-Id", chance.one(_LISTS)))
    if chance.odds(0.1):
        fields.append(Field(chance.one((b"X-Postvouch-Mark", b"x-postvouch-mark ")), b" ok"))
    for _ in range(chance.one((0, 0, 1, 1, 1, 2)) if chance.odds(0.97) else chance.upto(14)):
        fields.insert(chance.upto(len(fields)), _signature(chance, letter))
    if chance.odds(0.15):
        _seal(chance, letter)
    if chance.odds(0.1):
        fields.insert(chance.upto(len(fields)), _arc_field(chance))
    if chance.odds(0.5):
        _break(chance, letter)
    return letter


def _break(chance: Chance, letter: Draft) -> None:
    fields = letter.fields
    for _ in range(1 + chance.upto(2)):
        if not fields or chance.odds(0.1):
            letter.body = chance.broken(letter.body)
            continue
        at = chance.upto(len(fields) - 1)
        old = fields[at]
        name, value = old.name, old.value
        match chance.upto(11):
            case 0:
                name = chance.one(
                    (name.upper(), name.lower(), name + b" ", name + b"\t", chance.broken(name))
                )
            case 1:
                del fields[at]
            case 2:
                fields.insert(chance.upto(len(fields)), old)
                continue
            case 3:
                # What is repeated is repeated by the thousand.
                fields[at:at] = [old] * chance.rarely_many(12, 3000)
                continue
            case 4:
                value = b" " * chance.rarely_many(80, 80_000) + value
            case _:
                value = chance.broken(value)
        letter.forged = [each for each in letter.forged if each is not old]
        letter.foreign = [each for each in letter.foreign if each is not old]
        if at < len(fields) and fields[at] is old:
            fields[at] = Field(name, value)


def domain(chance: Chance) -> str:
    if chance.odds(0.5):
        return chance.one(HONEST[:2])
    return chance.one(HONEST if chance.odds(0.85) else DOMAINS)


def address(chance: Chance) -> str:
    local = "bob" if chance.odds(0.9) else chance.one(_LOCALS)
    text = f"{local}@{domain(chance)}"
    return text if chance.odds(0.97) else chance.broken_text(text)


def _author(chance: Chance) -> bytes:
    octets = address(chance).encode("utf-8", "surrogateescape")
    if chance.odds(0.5):
        return b" " + octets
    octets = (b"Bob" if chance.odds(0.5) else chance.one(_NAMES)) + b" <" + octets + b">"
    match chance.upto(24):
        case 0:
            octets += b", " + address(chance).encode("utf-8", "surrogateescape")
        case 1:
            octets = b"Group: " + octets + b";"
        case 2:
            octets = b"(" * chance.rarely_many(9, 3000) + octets
        case 3:
            depth = chance.rarely_many(9, 3000)
            octets = b"(" * depth + b")" * depth + octets
        case 4:
            octets = octets.replace(b" <", b"\r\n <")
        case 5:
            octets = (octets + b", ") * chance.rarely_many(4, 2000)
        case 6:
            octets = octets.replace(b"<", b"<@relay.example:")
        case 7:
            octets = chance.broken(octets)
        case _:
            pass
    return b" " + octets


def _results(chance: Chance, letter: Draft) -> Field:
    name = chance.one((b"Authentication-Results", b"authentication-results", b"Authentication-Results "))
    forged = chance.odds(0.6)
    made = Field(name, chance.one(FORGED if forged else FOREIGN))
    (letter.forged if forged else letter.foreign).append(made)
    return made


def _junk(chance: Chance) -> Field:
    name = chance.one(_PLAIN).encode()
    value = b" " + b" ".join(chance.one(_LINES) for _ in range(chance.upto(4)))
    if chance.odds(0.05):
        return Field(b"Received-SPF", b" pass (x) client-ip=192.0.2.7;")
    return Field(chance.one((name, name.title(), name.upper())), value.replace(b"  ", b"\r\n  "))


def _body(chance: Chance) -> bytes:
    lines = [chance.one(_LINES) + chance.one(_ENDS) for _ in range(chance.upto(8))]
    text = b"".join(lines)
    return text * chance.upto(3000) if chance.odds(0.0005) else text


def chunks(chance: Chance, body: bytes) -> tuple[bytes, ...]:
    """The body as it may arrive."""
    if chance.odds(0.5):
        return (body,) if body else ()
    cuts = sorted(chance.upto(len(body)) for _ in range(1 + chance.upto(3)))
    return tuple(body[a:b] for a, b in zip((0, *cuts), (*cuts, len(body)), strict=True))


def _signature(chance: Chance, letter: Draft) -> Field:
    """A DKIM-Signature over the letter as it stands, or what looks like one."""
    which = chance.upto(8) % 3 if chance.odds(0.3) else chance.upto(1)
    method = chance.one(_CANONICAL[:4]) if chance.odds(0.95) else chance.one(_CANONICAL)
    name = domain(chance)
    tags = [
        "v=1",
        f"a={keys()[which].kind}-sha256" if chance.odds(0.97) else chance.one(("a=rsa-sha1", "a=x", "a=")),
        f"c={method}" if chance.odds(0.95) else "",
        f"d={name}",
        f"s={SELECTORS[which]}",
    ]
    limit = None
    if chance.odds(0.3):
        match chance.upto(8):
            case 0:
                limit = chance.upto(len(letter.body) + 4)
                tags.append(f"l={limit}")
            case 1:
                tags.append(f"i=@{name}")
            case 2:
                tags.append(f"i=bo=62@sub.{name}")
            case 3:
                tags.append(f"t={int(NOW)}; x={int(NOW) + chance.upto(4) - 2}")
            case 4:
                tags.append(chance.one(("q=dns/txt", "q=dns", "q=x", "q=x:dns/txt", "z=From:x|To:y")))
            case 5:
                tags.append(
                    chance.one(("i=", "l=-1", "l=x", "x=1", "t=" + "9" * 30, "v=1", "i=@other.example"))
                )
            case 6:
                tags.extend(["x=y"] * chance.rarely_many(3, 2000))
            case _:
                tags.append(f"i={address(chance)}")
    names = ["from", *chance.some(_PLAIN, 5), *(["from"] if chance.odds(0.5) else [])]
    if chance.odds(0.02):
        names = names[1:] * chance.rarely_many(3, 10_000)
    tags.append(f"h={':'.join(names)}")
    made = _made(chance, b"DKIM-Signature", tags, letter, names, method, limit, which)
    letter.signed = True
    return made


def _made(
    chance: Chance,
    name: bytes,
    tags: list[str],
    letter: Draft,
    names: list[str],
    method: str,
    limit: int | None,
    which: int,
) -> Field:
    """The signature field; its arithmetic is right."""
    head, _, tail = method.partition("/")
    hasher = canonical.BodyHasher(relaxed=tail == "relaxed", limit=limit)
    hasher.feed(letter.body)
    digest = base64.b64encode(hasher.finish()).decode()
    between = chance.one(("; ", ";\r\n\t", ";"))
    value = f" {between.join(filter(None, tags))}{between}bh={digest}{between}b="
    own = Field(name, value.encode("utf-8", "surrogateescape"))
    chosen = canonical.select(by_name(letter.fields), [each.encode() for each in names], None)
    octets = canonical.signing_input(chosen, own, relaxed=head == "relaxed")
    made = base64.b64encode(keys()[which].sign(octets))
    return Field(name, own.value + (made if chance.odds(0.9) else made[:40] + b"\r\n " + made[40:]))


def _seal(chance: Chance, letter: Draft) -> None:
    """A chain of one to three sets, or very rarely of more than there may be."""
    running: list[Field] = []
    for number in range(1, 2 + (chance.upto(52) if chance.odds(0.01) else chance.upto(2))):
        which, d = chance.upto(1), domain(chance)
        tags = [f"i={number}", "a=ed25519-sha256", f"d={d}", f"s={SELECTORS[which]}"]
        said = "; ".join([f"i={number}", OURS, *chance.some(_RESULTS, 3)]).encode()
        results = Field(b"ARC-Authentication-Results", b" " + said)
        names = ["from", "subject", "dkim-signature"]
        over = [*tags, "c=relaxed/relaxed", f"h={':'.join(names)}"]
        signature = _made(
            chance, b"ARC-Message-Signature", over, letter, names, "relaxed/relaxed", None, which
        )
        cv = ("none" if number == 1 else "pass") if chance.odds(0.97) else chance.one(WORDS)
        own = Field(b"ARC-Seal", f" {'; '.join(tags)}; cv={cv}; b=".encode())
        octets = canonical.signing_input([*running, results, signature], own, relaxed=True)
        seal = Field(own.name, own.value + base64.b64encode(keys()[which].sign(octets)))
        running += [results, signature, seal]
        letter.fields[:0] = [seal, signature, results]
    letter.sealed = True


def _arc_field(chance: Chance) -> Field:
    name = chance.one((b"ARC-Seal", b"ARC-Message-Signature", b"ARC-Authentication-Results", b"arc-seal "))
    number = chance.one((b"1", b"2", b"0", b"51", b"x", b"", b"01", b"999999999999"))
    d = base64.b64encode(hashlib.sha256(number).digest())
    return Field(
        name, b" i=" + number + b"; a=rsa-sha256; cv=none; d=far.example; s=r1; h=from; bh=" + d + b"; b=AAAA"
    )
