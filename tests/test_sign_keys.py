"""Private keys: what loads, what is refused and why, and a ring that defers instead of leaving mail bare."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from postvouch.sign.keys import KeyProblem, KeyRing, KeySpec, generate, parse_pem
from postvouch.values.address import Address

RSA, RSA_PEM = generate("rsa")
ED, ED_PEM = generate("ed25519")


def spec(
    domain: str, selector: str, file: str, *, subdomains: bool = False, authors: tuple[str, ...] = ()
) -> KeySpec:
    return KeySpec(domain=domain, selector=selector, file=file, subdomains=subdomains, authors=authors)


def read(file: str) -> bytes:
    if file.startswith("broken"):
        raise KeyProblem(f"{file}: mode 0644 is too open")
    return ED_PEM if file.startswith("ed") else RSA_PEM


def test_new_keys_are_rsa_2048_or_ed25519_in_pkcs8() -> None:
    assert (RSA.kind, RSA.bits, RSA.algorithm) == ("rsa", 2048, "rsa-sha256")
    assert (ED.kind, ED.bits, ED.algorithm) == ("ed25519", 256, "ed25519-sha256")
    assert RSA_PEM.startswith(b"-----BEGIN PRIVATE KEY-----\n")
    assert ED_PEM.startswith(b"-----BEGIN PRIVATE KEY-----\n")
    assert generate("rsa", 3072)[0].bits == 3072


@pytest.mark.parametrize("kind, bits", [("rsa", 1024), ("rsa", 16384), ("dsa", 2048), ("", 0)])
def test_no_weak_or_unknown_key_is_made(kind: str, bits: int) -> None:
    with pytest.raises(KeyProblem, match="no such kind of key"):
        generate(kind, bits)


def test_pem_with_crlf_and_the_old_rsa_form_load() -> None:
    assert parse_pem(RSA_PEM.replace(b"\n", b"\r\n"), "k").public() == RSA.public()
    old = RSA.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    assert b"BEGIN RSA PRIVATE KEY" in old
    assert parse_pem(old, "k").public() == RSA.public()
    assert parse_pem(ED_PEM.replace(b"\n", b"\r\n"), "k").public() == ED.public()


def pem_of(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey, password: bytes = b""
) -> bytes:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


@pytest.mark.parametrize(
    "pem, problem",
    [
        (b"", "k.pem: no PEM private key"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "k.pem: no PEM private key"),
        (base64.b64encode(bytes(32)), "k.pem: no PEM private key"),
        (pem_of(ec.generate_private_key(ec.SECP256R1())), "k.pem: neither an RSA nor an Ed25519 key"),
        (
            pem_of(rsa.generate_private_key(65537, 1024)),
            "k.pem: RSA key of 1024 bits; 2048 to 8192 are usable",
        ),
        (pem_of(ed25519.Ed25519PrivateKey.generate(), b"x"), "k.pem: the key is encrypted"),
    ],
    ids=["empty", "junk", "raw-seed", "ec", "rsa-1024", "encrypted"],
)
def test_a_key_that_cannot_be_used_says_why(pem: bytes, problem: str) -> None:
    with pytest.raises(KeyProblem) as raised:
        parse_pem(pem, "k.pem")
    assert str(raised.value).startswith(problem)


def at(text: str) -> Address:
    local, _, domain = text.rpartition("@")
    return Address(local or "bob", domain)


def names(ring: KeyRing, author: str) -> list[str]:
    """The selectors that sign for an author; a domain stands for anybody in it."""
    found = ring.find(at(author))
    return [] if found is None else [key.selector for key in found.keys]


def test_a_private_key_never_shows_in_a_repr() -> None:
    assert "key=" not in repr(RSA)
    found = KeyRing.build([spec("our.example", "a", "rsa")], read).find(at("our.example"))
    assert found is not None
    assert "PRIVATE" not in repr(found)
    assert "key=<" not in repr(found)


def test_each_domain_finds_its_own_keys_and_all_of_them() -> None:
    ring = KeyRing.build(
        [
            spec("our.example", "a", "rsa"),
            spec("Our.Example", "b", "ed"),
            spec("crm.our.example", "c", "rsa"),
        ],
        read,
    )
    found = ring.find(at("our.example"))
    assert found is not None
    assert [(key.selector, key.private.kind) for key in found.keys] == [("a", "rsa"), ("b", "ed25519")]
    assert found.problem == ""
    assert names(ring, "crm.our.example") == ["c"]
    for other in ("far.example", "x.our.example", "notour.example", "example", ""):
        assert ring.find(at(other)) is None
    assert ring.domains() == {"our.example", "crm.our.example"}


def test_a_parent_signs_for_subdomains_only_where_it_is_told_to() -> None:
    ring = KeyRing.build(
        [spec("our.example", "only", "rsa"), spec("our.example", "all", "ed", subdomains=True)], read
    )
    found = ring.find(at("deep.sub.our.example"))
    assert found is not None
    assert [(key.domain, key.selector) for key in found.keys] == [("our.example", "all")]
    assert names(ring, "our.example") == ["only", "all"]


def test_the_key_of_the_most_specific_pattern_signs_with_its_own_domain() -> None:
    ring = KeyRing.build(
        [
            spec("our.example", "all", "rsa", subdomains=True),
            spec("our.example", "news", "rsa", authors=("news-*@our.example", "*.lists.our.example")),
            spec("our.example", "boss", "rsa", authors=("Boss@our.example",)),
            spec("our.example", "boss2", "ed", authors=("boss@OUR.example", "x.lists.our.example")),
        ],
        read,
    )
    assert names(ring, "bob@our.example") == ["all"]
    assert names(ring, "News-May@our.example") == ["news"]
    assert names(ring, "BOSS@our.example") == ["boss", "boss2"]
    assert names(ring, "bob@a.b.our.example") == ["all"]
    assert names(ring, "bob@a.lists.our.example") == ["news"]
    assert names(ring, "bob@x.lists.our.example") == ["boss2"]
    assert names(ring, "bob@lists.our.example") == ["all"]
    found = ring.find(at("bob@a.lists.our.example"))
    assert found is not None
    assert found.keys[0].domain == "our.example"


def test_a_key_may_sign_for_a_domain_that_is_not_its_own_and_then_not_for_its_own() -> None:
    ring = KeyRing.build([spec("our.example", "a", "rsa", authors=("old.example",))], read)
    found = ring.find(at("old.example"))
    assert found is not None
    assert found.keys[0].domain == "our.example"
    assert ring.find(at("our.example")) is None
    assert ring.domains() == {"our.example", "old.example"}


def test_a_broken_key_is_trouble_for_its_authors_and_for_no_others() -> None:
    ring = KeyRing.build(
        [spec("our.example", "a", "rsa"), spec("our.example", "b", "broken", authors=("boss@our.example",))],
        read,
    )
    boss, bob = ring.find(at("boss@our.example")), ring.find(at("bob@our.example"))
    assert boss is not None
    assert bob is not None
    assert (boss.keys, boss.problem, bob.problem) == ((), "broken: mode 0644 is too open", "")


def test_a_key_that_could_not_be_looked_for_and_a_bad_pattern_defer_the_whole_domain() -> None:
    ring = KeyRing.build(
        [
            KeySpec(domain="our.example", selector="", file="", problem="no rotation.json"),
            spec("two.example", "a", "rsa", authors=("bob@",)),
        ],
        read,
    )
    ours, two = ring.find(at("our.example")), ring.find(at("two.example"))
    assert ours is not None
    assert two is not None
    assert ours.problem == "no rotation.json"
    assert two.problem.startswith('"bob@" is no pattern of authors: ')


def test_one_broken_key_is_a_problem_of_its_domain_and_of_no_other() -> None:
    ring = KeyRing.build(
        [
            spec("our.example", "a", "rsa"),
            spec("our.example", "b", "broken-b"),
            spec("two.example", "c", "ed"),
            spec("three.example", "d", "broken-d", subdomains=True),
        ],
        read,
    )
    ours, two, below = (
        ring.find(at("our.example")),
        ring.find(at("two.example")),
        ring.find(at("x.three.example")),
    )
    assert ours is not None
    assert two is not None
    assert below is not None
    assert ours.problem == "broken-b: mode 0644 is too open"
    assert two.problem == ""
    assert below.problem == "broken-d: mode 0644 is too open"
    assert ring.find(at("x.our.example")) is None
    assert ring.problems == ("broken-b: mode 0644 is too open", "broken-d: mode 0644 is too open")


def test_the_same_selector_twice_is_a_problem() -> None:
    ring = KeyRing.build([spec("our.example", "A", "rsa"), spec("our.example", "a", "ed")], read)
    assert ring.problems == ("ed: a second key for selector a of our.example",)
