"""Make DKIM-Signature fields (RFC 6376 §5), RSA-SHA256 and Ed25519-SHA256 (RFC 8463), relaxed/relaxed.

Relaxed, because later hops fold and space fields as they like. Every occurrence of a signed field is covered,
and one more than there is of those that a reader sees, so that none can be put on top of ours. Never l=.
"""

import base64
from collections.abc import Iterable
from dataclasses import dataclass

from postvouch.auth import canonical
from postvouch.sign.keys import SigningKey
from postvouch.values.decision import InsertField
from postvouch.values.message import Field, Message

NAME = "DKIM-Signature"
_WIDTH = 76


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What signatures cover: names in lower case, and how long they hold (0: no x=)."""

    headers: tuple[str, ...]
    oversign: tuple[str, ...] = ("from",)
    expire_s: int = 0


def sign_all(
    message: Message, keys: Iterable[SigningKey], *, now: float, rules: Rules
) -> tuple[InsertField, ...]:
    """One field for each key; the body is hashed once. None of them covers another."""
    digest = canonical.body_hash(message.body, relaxed=True)
    return tuple(sign(message, key, now=now, rules=rules, digest=digest) for key in keys)


def sign(
    message: Message, key: SigningKey, *, now: float, rules: Rules, digest: bytes | None = None
) -> InsertField:
    """The DKIM-Signature field of one key over the message as it stands.

    The value is folded with LF + blank, as Postfix inserts it; the blank after the colon is the door's.
    ``digest`` is the hash of the relaxed body, for a caller that made it while the body came in.
    """
    if digest is None:
        digest = canonical.body_hash(message.body, relaxed=True)
    index = canonical.by_name(message.fields)
    names = covered(index, rules)
    tags = [
        "v=1",
        f"a={key.private.algorithm}",
        "c=relaxed/relaxed",
        f"d={key.domain}",
        f"s={key.selector}",
        f"t={int(now)}",
    ]
    if rules.expire_s:
        tags.append(f"x={int(now) + rules.expire_s}")
    head = fold([tag + ";" for tag in tags], " ")
    fields = fold([name.decode() + ":" for name in names[:-1]] + [names[-1].decode() + ";"], "", first="h=")
    body = f"bh={base64.b64encode(digest).decode()};"
    value = f"{head}\n {fields}\n {body}\n b="
    own = Field(NAME.encode(), value.replace("\n", "\r\n").encode())
    chosen = canonical.select(index, names, None)
    made = key.private.sign(canonical.signing_input(chosen, own, relaxed=True))
    text = base64.b64encode(made).decode()
    lines = [text[: _WIDTH - 2], *(text[i : i + _WIDTH] for i in range(_WIDTH - 2, len(text), _WIDTH))]
    return InsertField(NAME, value + "\n ".join(lines))


def covered(index: dict[bytes, list[Field]], rules: Rules) -> list[bytes]:
    """The names of h=: each as often as there are such fields, and once more where it is oversigned.

    From is always covered (RFC 6376 §5.4), and always oversigned: two of them are how a forger hides.
    """
    oversigned = {b"from", *(name.lower().encode() for name in rules.oversign)}
    wanted = dict.fromkeys([b"from", *(name.lower().encode() for name in rules.headers), *oversigned])
    names: list[bytes] = []
    for name in wanted:
        names += [name] * (len(index.get(name, ())) + (name in oversigned))
    return names


def fold(words: list[str], between: str, first: str = "") -> str:
    """Words on lines of at most some 76 characters, continued with LF + blank; ``first`` joins the first."""
    lines = [first]
    for word in words:
        if len(lines[-1]) + len(between) + len(word) > _WIDTH and lines[-1]:
            lines.append(word)
        else:
            lines[-1] += (between if lines[-1] and lines[-1] != first else "") + word
    return "\n ".join(lines)
