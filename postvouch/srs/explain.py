"""What is in an SRS address, step by step, for a person who asks why it is, or is not, undone."""

from dataclasses import dataclass

from postvouch.srs import codec
from postvouch.values.address import AddressError, split_mailbox
from postvouch.values.answer import Answer, Found

_DAY_S = 86400


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """An address taken apart. What is not there, or cannot be told, is "" or None.

    ``answer`` is what the map says. ``domain`` and ``local``: whom the address names, of an SRS1 address the
    first forwarder and what that one made. ``made_on``: seconds since 1970, midnight UTC; ``days_left`` is
    negative after its time. ``secret`` counts from 1; ``exact``: the hash has the case in which it was made.
    """

    address: str
    answer: Answer
    tag: str = ""
    domain: str = ""
    local: str = ""
    made_on: int | None = None
    age_days: int | None = None
    days_left: int | None = None
    secret: int | None = None
    exact: bool = False

    @property
    def original(self) -> str:
        """Who gets what is sent to it; "" where nobody does."""
        return self.answer.value if isinstance(self.answer, Found) else ""


def explain(address: str, *, rules: codec.Rules, today: int) -> Explained:
    """Take an address apart, also one that is forged, expired or another host's."""
    answer = codec.reverse(address, rules=rules, today=today)
    try:
        local, _ = split_mailbox(address, odd_dots=True)
    except AddressError:
        return Explained(address=address, answer=answer)
    tag = codec.tag_of(local)
    given, inner = codec.parts_of(local, tag) if tag else ("", [])
    if not inner:
        return Explained(address=address, answer=answer, tag=tag)
    signer = codec.signer_of(given, inner, rules)
    age = codec.age_of(inner[0], today) if tag == "SRS0" else None
    return Explained(
        address=address,
        answer=answer,
        tag=tag,
        domain=inner[1] if tag == "SRS0" else inner[0],
        local=inner[2] if tag == "SRS0" else f"SRS0{inner[1]}",
        made_on=None if age is None else (today - age) * _DAY_S,
        age_days=age,
        days_left=None if age is None else rules.max_age_days - age,
        secret=signer.number if signer else None,
        exact=signer is not None and signer.exact,
    )
