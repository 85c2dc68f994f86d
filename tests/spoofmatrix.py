"""Every kind of client, every shape of From:, every word of the mx: what the signer is to do, said as policy.

``expected`` is the policy in a few sentences, written for this table and not taken from the code it judges;
``tests/test_sign_matrix.py`` compares the two. ``python tests/spoofmatrix.py`` prints the table of
docs/signing.rst.
"""

import itertools
import textwrap
from dataclasses import dataclass

from postvouch.values.message import Client

Raw = tuple[bytes, bytes]
MX_ID = "mx.our.example"


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of client. ``proof``: "always", "word" (only with the mx's word), "never"."""

    client: Client
    proof: str
    owns: bool = True
    rewrites: bool = False


CLIENTS = {
    "a login that owns the address": Kind(client=Client(address="203.0.113.9", login="bob"), proof="always"),
    "a login that does not own it": Kind(
        client=Client(address="192.0.2.4", login="eve"), proof="always", owns=False
    ),
    "local pickup": Kind(client=Client(address="127.0.0.1", name="localhost", local=True), proof="always"),
    "an internal host": Kind(client=Client(address="192.0.2.4", name="unknown"), proof="always"),
    "an internal host by its name": Kind(
        client=Client(address="203.0.113.4", name="a.lists.our.example"), proof="always"
    ),
    "a listed client certificate": Kind(
        client=Client(address="203.0.113.5", certificate="crm.our.example"), proof="always"
    ),
    "a certificate of another name": Kind(
        client=Client(address="203.0.113.6", certificate="crm.our.example.far.example"), proof="never"
    ),
    "a vouching host": Kind(client=Client(address="192.0.2.25"), proof="word", rewrites=True),
    "a vouching host that is internal as well": Kind(
        client=Client(address="198.51.100.7", name="a.lists.our.example", certificate="crm.our.example"),
        proof="word",
        rewrites=True,
    ),
    "a stranger": Kind(client=Client(address="203.0.113.7", name="unknown"), proof="never"),
    "a stranger on srs": Kind(client=Client(address="203.0.113.7"), proof="never", rewrites=True),
}


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A shape of From:. ``author`` is the domain of its one author, "" where there is not exactly one.

    ``flaw``: the code where there is not exactly one; ``ours``: some reader may take it for ours.
    """

    fields: tuple[Raw, ...]
    author: str = ""
    flaw: str = ""
    ours: bool = True
    key: str = ""


def _from(text: str) -> Raw:
    return (b"From", b" " + text.encode())


FROMS = {
    "ours": Shape(fields=(_from("Bob <bob@our.example>"),), author="our.example", key="good"),
    "a sub-domain with a key": Shape(
        fields=(_from("bob@a.keyed.our.example"),), author="a.keyed.our.example", key="good"
    ),
    "a sub-domain without a key": Shape(fields=(_from("bob@x.our.example"),), author="x.our.example"),
    "ours, without a key": Shape(fields=(_from("bob@old.example"),), author="old.example"),
    "ours, with a broken key": Shape(
        fields=(_from("bob@broken.example"),), author="broken.example", key="broken"
    ),
    "foreign": Shape(fields=(_from("Mara <mara@far.example>"),), author="far.example", ours=False),
    "foreign, our address in the display name": Shape(
        fields=(_from('"bob@our.example" <mara@far.example>'),), author="far.example", ours=False
    ),
    "foreign, our address in an encoded word": Shape(
        fields=(_from("=?utf-8?q?bob=40our.example?= <mara@far.example>"),), author="far.example", ours=False
    ),
    "none": Shape(fields=(), flaw="no-author", ours=False),
    "an empty group": Shape(fields=(_from("undisclosed:;"),), flaw="no-author", ours=False),
    "several, one of them ours": Shape(
        fields=(_from("mara@far.example, bob@our.example"),), flaw="several-authors"
    ),
    "several, all foreign": Shape(
        fields=(_from("mara@far.example, m@far.example"),), flaw="several-authors", ours=False
    ),
    "a group with one of ours": Shape(fields=(_from("us: bob@our.example;"),), flaw="several-authors"),
    "two From fields, one ours": Shape(
        fields=(_from("mara@far.example"), _from("bob@our.example")), flaw="several-authors"
    ),
    "malformed, ours in it": Shape(fields=(_from("bob@our.example <mara@far.example>"),), flaw="bad-author"),
    "malformed, an encoded word for ours": Shape(
        fields=(_from("=?utf-8?q?bob=40our.example?="),), flaw="bad-author"
    ),
    "malformed, nothing of ours": Shape(fields=(_from("mara@@far.example"),), flaw="bad-author", ours=False),
}


def _results(text: str) -> Raw:
    return (b"Authentication-Results", b" " + text.encode())


def verdicts(domain: str) -> dict[str, tuple[bool, tuple[Raw, ...]]]:
    """What the mx may have said of From: ``domain``: whether that is its word for it, and the fields."""
    passed = _results(f"{MX_ID}; dmarc=pass header.from={domain}")
    failed = _results(f"{MX_ID}; dmarc=fail header.from={domain}")
    received = (b"Received", b" from x by mx.our.example; Mon, 23 Nov 2026 12:00:00 +0000")
    return {
        "nothing": (False, ()),
        "dmarc=pass": (True, (passed, received)),
        "dmarc=pass for another domain": (
            False, (_results(f"{MX_ID}; dmarc=pass header.from=other.example"),)
        ),
        "dmarc=fail": (False, (failed,)),
        "dmarc=temperror": (False, (_results(f"{MX_ID}; dmarc=temperror header.from={domain}"),)),
        "fail above pass": (False, (failed, passed)),
        "pass above fail": (True, (passed, failed)),
        "pass below Received": (False, (received, passed)),
        "x-origin=pass": (
            True, (_results(f"{MX_ID}; dmarc=none; x-origin=pass header.from={domain} policy.by=local"),)
        ),
        "x-origin=pass for another domain": (
            False, (_results(f"{MX_ID}; dmarc=none; x-origin=pass header.from=other.example"),)
        ),
        "pass under a forged id": (
            False, (_results(f"{MX_ID}.far.example; dmarc=pass header.from={domain}"), passed)
        ),
        "malformed": (False, (_results(f"{MX_ID} (; dmarc=pass header.from={domain}"), passed)),
    }  # fmt: skip


@dataclass(frozen=True, order=True)
class Outcome:
    """What happens, and the reason code."""

    what: str
    code: str


def expected(kind: Kind, shape: Shape, word: bool) -> Outcome:
    """The policy."""
    # A login may only use what it owns, and has to say clearly who writes.
    if kind.client.login and shape.flaw:
        return Outcome("refused", shape.flaw)
    if kind.client.login and not kind.owns:
        return Outcome("refused", "not-owner")
    proven = kind.proof == "always" or (kind.proof == "word" and word)
    # What is ours and unproven does not leave in the ordinary way from where senders become ours.
    held = "held" if kind.rewrites and shape.ours else "unsigned"
    # Nobody in particular is never signed, and no word of the mx can mean them.
    if shape.flaw:
        return Outcome(held, shape.flaw)
    if not shape.ours:
        return Outcome("unsigned", "not-ours")
    if not proven:
        return Outcome(held, "gate-denied" if kind.proof == "word" else "not-internal")
    # Proven and ours: signed, unless there is no key; where one is meant and broken it waits.
    done = {
        "good": ("signed", "ok"),
        "broken": ("deferred", "key-problem"),
        "": ("unsigned", "no-key-for-domain"),
    }
    return Outcome(*done[shape.key])


def table() -> str:
    """All of it for people: kinds of client that fare alike are one, and so are shapes of From:."""
    fates: dict[tuple[tuple[str, bool, Outcome], ...], list[str]] = {}
    for name, kind in CLIENTS.items():
        words = (True, False) if kind.proof == "word" else (False,)
        fate = tuple(
            (shape, word, expected(kind, FROMS[shape], word))
            for word, shape in itertools.product(words, FROMS)
        )
        fates.setdefault(fate, []).append(name)
    rows: list[tuple[str, str, str, str]] = []
    for fate, names in fates.items():
        client = "; ".join(names)
        for word in sorted({word for _, word, _ in fate}, reverse=True):
            who = client
            if len({each for _, each, _ in fate}) > 1:
                who += ": with the word of the mx" if word else ": without it"
            outcomes: dict[Outcome, list[str]] = {}
            for shape, each, outcome in fate:
                if each is word:
                    outcomes.setdefault(outcome, []).append(shape)
            for outcome, shapes in outcomes.items():
                rows.append((who, "; ".join(shapes), outcome.what, f"``{outcome.code}``"))
                who = ""
    return _list_table(("Client", "From:", "Outcome", "Reason"), rows)


def _list_table(head: tuple[str, ...], rows: list[tuple[str, str, str, str]]) -> str:
    lines = [".. list-table::", "   :header-rows: 1", "   :widths: 30 46 10 14", ""]
    for row in (head, *rows):
        for index, cell in enumerate(row):
            first = f"   {'*' if index == 0 else ' '} - "
            lines += textwrap.wrap(cell, 110, initial_indent=first, subsequent_indent=" " * 7) or [
                first.rstrip()
            ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table(), end="")
