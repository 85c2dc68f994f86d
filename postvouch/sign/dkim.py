"""Make DKIM-Signature fields (RFC 6376 §5), RSA-SHA256 and Ed25519-SHA256 (RFC 8463).

Relaxed unless told otherwise, because later hops fold and space fields as they like. Every occurrence of a
signed field is covered, and one more than there is of those that a reader sees, so that none can be put on
top of ours. Never l=.
"""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from postvouch.auth import canonical
from postvouch.sign.keys import SigningKey
from postvouch.values.decision import InsertField
from postvouch.values.message import Field, Form, Index, Message, by_name

NAME = "DKIM-Signature"
_WIDTH = 76
_COMMON = 100  # names in h=; longer lists are a stranger's and not worth keeping


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What signatures cover, and how long they hold (0: no x=).

    Three classes of field names, as rspamd has them: ``headers`` are covered as often as they are there,
    those in ``oversign`` once more, those in ``oversign_present`` once more where there are any. A name in
    several of them belongs to the strictest.
    """

    headers: tuple[str, ...]
    oversign: tuple[str, ...] = ("from",)
    oversign_present: tuple[str, ...] = ()
    expire_s: int = 0
    canonicalization: str = "relaxed/relaxed"

    @property
    def relaxed_header(self) -> bool:
        """Whether the header is signed in the relaxed form (RFC 6376 §3.4.2)."""
        return self.canonicalization.startswith("relaxed/")

    @property
    def form(self) -> Form:
        """The form in which the body is hashed."""
        return self.canonicalization.endswith("/relaxed"), None


def sign_all(
    message: Message, keys: Iterable[SigningKey], *, now: float, rules: Rules
) -> tuple[InsertField, ...]:
    """The DKIM-Signature field of each key over the message as it stands; none of them covers another.

    A value is folded with LF + blank, as Postfix inserts it; the blank after the colon is the door's. Where
    the body was hashed as it arrived, ``rules.form`` must be among its digests.
    """
    relaxed = rules.relaxed_header
    names, chosen = _covered(by_name(message.fields), rules)
    header = canonical.canonical_fields(chosen, relaxed=relaxed)
    if message.digests is None:
        digest = canonical.body_hash(message.body, relaxed=rules.form[0])
    else:
        digest, _ = message.digests[rules.form]
    covers = _kept(tuple(names)) if len(names) <= _COMMON else header_list(names)
    tail = f"\n {covers}\n bh={base64.b64encode(digest).decode()};\n b="
    return tuple([_signed(key, header, tail, now=int(now), rules=rules) for key in keys])


def sign(message: Message, key: SigningKey, *, now: float, rules: Rules) -> InsertField:
    """The field of one key; see ``sign_all``."""
    return sign_all(message, (key,), now=now, rules=rules)[0]


def _signed(key: SigningKey, header: bytes, tail: str, *, now: int, rules: Rules) -> InsertField:
    times = f"t={now}; x={now + rules.expire_s};" if rules.expire_s else f"t={now};"
    value = _head(key.private.algorithm, rules.canonicalization, key.domain, key.selector, times) + tail
    own = Field(b"DKIM-Signature", b" " + value.replace("\n", "\r\n").encode())
    # RFC 6376 §3.7: its own b= is empty in what it covers, and no CRLF follows.
    covers = header + canonical.canonical_field(own, relaxed=rules.relaxed_header)[:-2]
    text = "b=" + base64.b64encode(key.private.sign(covers)).decode()
    lines = [text[start : start + _WIDTH] for start in range(0, len(text), _WIDTH)]
    return InsertField(NAME, value[:-2] + "\n ".join(lines))


@lru_cache(maxsize=256)
def _head(algorithm: str, canonicalization: str, domain: str, selector: str, times: str) -> str:
    """The first tags; letters of one second have them in common."""
    tags = ("v=1;", f"a={algorithm};", f"c={canonicalization};", f"d={domain};", f"s={selector};")
    return fold([*tags, *times.split(" ")], " ")


def covered(index: Index, rules: Rules) -> list[bytes]:
    """The names of h=: each as often as there are such fields, and once more where it is oversigned.

    From is always covered (RFC 6376 §5.4), and always oversigned: two of them are how a forger hides. No
    signature is ever covered: later hops add and remove them.
    """
    return _covered(index, rules)[0]


def _covered(index: Index, rules: Rules) -> tuple[list[bytes], list[Field]]:
    """The names of h=, and the fields that they mean: of one name from the bottom up (RFC 6376 §5.4.2)."""
    names: list[bytes] = []
    chosen: list[Field] = []
    for name, absent, present in _classes(rules):
        there = index.get(name)
        if there is None:
            if absent:
                names.append(name)
        elif len(there) == 1:
            names += (name, name) if present else (name,)
            chosen.append(there[0])
        else:
            names += [name] * (len(there) + present)
            chosen += reversed(there)
    return names, chosen


@lru_cache(maxsize=16)
def _classes(rules: Rules) -> tuple[tuple[bytes, int, int], ...]:
    """Each name with how often it is mentioned where it is absent, and how often too many where it is not."""
    classes: dict[bytes, tuple[int, int]] = {b"from": (1, 1)}
    for listed, absent, present in (
        (rules.oversign, 1, 1), (rules.oversign_present, 0, 1), (rules.headers, 0, 0),
    ):  # fmt: skip
        for name in listed:
            classes.setdefault(name.lower().encode(), (absent, present))
    classes.pop(NAME.lower().encode(), None)
    return tuple((name, *numbers) for name, numbers in classes.items())


def header_list(names: Sequence[bytes]) -> str:
    """The tag h= over these names, folded."""
    words = [name.decode() + ":" for name in names[:-1]] + [names[-1].decode() + ";"]
    return fold(words, "", first="h=")


_kept = lru_cache(maxsize=256)(header_list)


def fold(words: Sequence[str], between: str, first: str = "") -> str:
    """Words on lines of at most some 76 characters, continued with LF + blank; ``first`` joins the first."""
    lines = [first]
    for word in words:
        if len(lines[-1]) + len(between) + len(word) > _WIDTH and lines[-1]:
            lines.append(word)
        else:
            lines[-1] += (between if lines[-1] and lines[-1] != first else "") + word
    return "\n ".join(lines)
