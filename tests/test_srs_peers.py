"""Debian's postsrsd 1.10 as an oracle: the same secret gives the same addresses, in both directions."""

import random
import socket
import string
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from servers import Process, accepts, free_port, program, wait_for

from postvouch.srs import codec
from postvouch.values.answer import Found, NotFound

MANY = 10_002
SECRETS = (b"the secret of both", b"an older one")
SEPARATORS = "=+-"
ATOM = string.ascii_letters + string.digits + "!#$&*/?^_`{|}~"
"""Without "%", "+", "-" and "=", which come in of their own."""


class Postsrsd:
    """The real daemon with its two tables (tcp_table(5)), one connection to each."""

    def __init__(self, folder: Path, stack: ExitStack, *, separator: str = "=", length: int = 4) -> None:
        secrets = folder / f"secrets{ord(separator)}"
        secrets.write_bytes(b"\n".join(SECRETS) + b"\n")
        there, back = free_port(), free_port()
        command = [
            program("postsrsd", "postsrsd"), "-s", str(secrets), "-d", "our.example", "-l", "127.0.0.1", "-4",
            "-f", str(there), "-r", str(back), "-a", separator, "-n", str(length), "-N", str(length),
            "-Xold.example",
        ]  # fmt: skip
        stack.callback(Process(command, folder / f"log{ord(separator)}").stop)
        wait_for(lambda: accepts(there) and accepts(back), "postsrsd")
        self._tables = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port))) for port in (there, back)
        ]

    def forward(self, addresses: list[str]) -> list[str | None]:
        """What each becomes, None where it stays."""
        return self._ask(self._tables[0], addresses)

    def reverse(self, addresses: list[str]) -> list[str | None]:
        """What each was, None where it is refused or nothing of its own."""
        return self._ask(self._tables[1], addresses)

    def _ask(self, table: socket.socket, keys: list[str]) -> list[str | None]:
        found: list[str | None] = []
        with table.makefile("rb") as lines:
            for at in range(0, len(keys), 50):
                some = keys[at : at + 50]
                table.sendall("".join(f"get {_quoted(key)}\n" for key in some).encode())
                for _ in some:
                    code, _, value = lines.readline().decode().rstrip("\n").partition(" ")
                    found.append(_unquoted(value) if code == "200" else None)
        # 1.x also finds what it leaves as it is.
        return [None if value == key else value for key, value in zip(keys, found, strict=True)]


def _quoted(text: str) -> str:
    return "".join(f"%{ord(c):02x}" if c in "% " else c for c in text)


def _unquoted(text: str) -> str:
    head, *rest = text.split("%")
    return head + "".join(chr(int(each[:2], 16)) + each[2:] for each in rest)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("postsrsd")


@pytest.fixture(scope="module", params=SEPARATORS)
def both(request: pytest.FixtureRequest, folder: Path) -> Iterator[tuple[Postsrsd, codec.Rules]]:
    """The daemon and our rules, which say the same."""
    rules = codec.Rules(
        domain="our.example",
        local_domains=frozenset({"our.example", "old.example"}),
        secrets=SECRETS,
        separator=request.param,
    )
    with ExitStack() as stack:
        yield Postsrsd(folder, stack, separator=request.param), rules


def addresses(count: int, seed: int) -> list[str]:
    """Senders of many shapes: short and too long, ours and strangers', SRS addresses of others."""
    chance = random.Random(seed)
    domains = [
        "far.example",
        "FAR.example",
        "a.b.c.example",
        "x.example",
        "our.example",
        "old.example",
        "1-2.example",
    ]

    def one() -> str:
        local = "".join(chance.choice(ATOM) for _ in range(chance.choice((1, 3, 8, 12, 30, 45))))
        for mark in "+-=.%":
            if chance.random() < 0.2:
                local = f"a{mark}{local}"
        shape = chance.random()
        if shape < 0.1:
            local = f"SRS0{chance.choice(SEPARATORS)}ab1/=JM=first.example={local}"
        elif shape < 0.2:
            local = f"SRS1{chance.choice(SEPARATORS)}cd2+=first.example=={local}"
        return f"{local}@{chance.choice(domains)}"

    return [one() for _ in range(count)]


def spelled(address: str | None, separator: str) -> str | None:
    """With the hash in postsrsd 1.x's alphabet; 2.x and we write base64url, which some receivers need."""
    if address is None:
        return None
    head, hashed, rest = address[:5], address[5:9], address[9:]
    return head + hashed.replace("-", "+").replace("_", "/") + rest


def test_senders_become_what_postsrsd_makes_of_them(both: tuple[Postsrsd, codec.Rules]) -> None:
    postsrsd, rules = both
    senders = addresses(MANY // len(SEPARATORS), seed=ord(rules.separator))
    today = int(time.time() // 86400)
    theirs = postsrsd.forward(senders)
    if int(time.time() // 86400) != today:  # midnight has passed
        today += 1
        theirs = postsrsd.forward(senders)
    rewritten = 0
    for sender, expected in zip(senders, theirs, strict=True):
        answer = codec.forward(sender, rules=rules, today=today)
        got = spelled(answer.value, rules.separator) if isinstance(answer, Found) else None
        if isinstance(answer, NotFound) and "do not fit" in answer.reason:
            # Deliberate: 1.x makes addresses that RFC 5321 §4.5.3.1.1 does not allow and some hosts refuse.
            assert expected is not None
            assert len(expected.rpartition("@")[0]) > 64
            continue
        assert got == expected, sender
        rewritten += got is not None
    assert rewritten > len(senders) // 3


def test_each_undoes_what_the_other_made(both: tuple[Postsrsd, codec.Rules]) -> None:
    postsrsd, rules = both
    senders = addresses(MANY // len(SEPARATORS), seed=7 + ord(rules.separator))
    today = int(time.time() // 86400)
    theirs = [each for each in postsrsd.forward(senders) if each is not None]
    ours = [spelled(a.value, rules.separator) or "" for a in _forwarded(senders, rules, today)]
    assert len(theirs) > len(senders) // 3
    for made in (theirs, ours):
        undone = postsrsd.reverse(made)
        for address, expected in zip(made, undone, strict=True):
            assert codec.reverse(address, rules=rules, today=today) == Found(expected or "", ANY), address


def test_what_one_refuses_the_other_refuses(both: tuple[Postsrsd, codec.Rules]) -> None:
    postsrsd, rules = both
    chance = random.Random(3)
    today = int(time.time() // 86400)
    broken = []
    for answer in _forwarded(addresses(600, seed=5), rules, today):
        made = spelled(answer.value, rules.separator) or ""
        at = chance.randrange(5, len(made) - len("@our.example"))
        broken.append(made[:at] + chance.choice("abcXYZ27") + made[at + 1 :])
    for address, expected in zip(broken, postsrsd.reverse(broken), strict=True):
        answer = codec.reverse(address, rules=rules, today=today)
        assert (answer.value if isinstance(answer, Found) else None) == expected, address


def _forwarded(senders: list[str], rules: codec.Rules, today: int) -> list[Found]:
    answers = (codec.forward(each, rules=rules, today=today) for each in senders)
    return [each for each in answers if not isinstance(each, NotFound) and isinstance(each, Found)]


class _Any:
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


ANY: str = _Any()  # type: ignore[assignment]
