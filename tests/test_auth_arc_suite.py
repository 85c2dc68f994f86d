"""The ARC test suite: 171 letters to verify, RFC 8617 deciding what it leaves open, and 17 to seal."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from fakedns import Zone, zone
from letters import crlf, message_of

from postvouch.auth import arc
from postvouch.sign import arc as sign_arc
from postvouch.sign.keys import PrivateKey, SigningKey

VECTORS = Path(__file__).parent / "vectors/arc"


def scenarios(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((VECTORS / name).read_text(encoding="utf-8")))


VALIDATION = scenarios("arc-draft-validation-tests.yml")
OVERRIDES = {case["case"]: case["cv"] for case in scenarios("overrides.yml")[0]["overrides"]}
REMARKED = {"cv_pass_i2_1_ams1_invalid", "ams_fields_h_empty"}
CASES = [
    pytest.param(case, scenario["txt-records"] or {}, id=name)
    for scenario in VALIDATION
    for name, case in {n: {**c, "name": n} for n, c in scenario["tests"].items()}.items()
]


def published(records: dict[str, str]) -> Zone:
    """The keys, their lines joined."""
    return zone(*(f"{name} TXT {''.join(str(text).split(chr(10)))}" for name, text in records.items()))


def test_the_vectors_kept_their_octets() -> None:
    sums = [line.split() for line in (VECTORS / "SHA256SUMS").read_text().splitlines()]
    assert len(sums) == 4
    for digest, name in sums:
        assert hashlib.sha256((VECTORS / name).read_bytes()).hexdigest() == digest, name


def test_all_cases_are_run() -> None:
    assert len(CASES) == 171
    assert len(OVERRIDES) == 3


@pytest.mark.parametrize("case, records", CASES)
def test_validation(case: dict[str, Any], records: dict[str, str]) -> None:
    expected = OVERRIDES.get(case["name"], case["cv"] or "none").lower()
    dns = published(records)
    finding = arc.verify(message_of(crlf(case["message"])), dns, 1_500_000_000)
    assert finding.result == expected, finding.reason
    assert bool(finding.reason) is (expected == "fail") or case["name"] in REMARKED
    assert bool(finding.sealers) is (expected == "pass")


SIGNING = [
    pytest.param(case, scenario, id=name)
    for scenario in scenarios("arc-draft-sign-tests.yml")
    for name, case in scenario["tests"].items()
]


def tags(text: str) -> list[str]:
    """Tags without white space, in any order."""
    return sorted("".join(text.split()).split(";"))


@pytest.mark.parametrize("case, scenario", SIGNING)
def test_sealing(case: dict[str, Any], scenario: dict[str, Any]) -> None:
    dns = published(scenario["txt-records"])
    # The suite's key has 1024 bits, which ours may not have; so it is not read as ours are.
    pem = load_pem_private_key(scenario["privatekey"].encode(), password=None)
    assert isinstance(pem, RSAPrivateKey)
    private = PrivateKey(kind="rsa", bits=pem.key_size, key=pem)
    key = SigningKey(domain=scenario["domain"], selector=scenario["sel"], private=private)
    message = message_of(crlf(case["message"]))
    fields = sign_arc.seal(
        message,
        key,
        now=case["t"],
        authserv_id=case["srv-id"],
        chain=arc.verify(message, dns, case["t"]).result,
        headers=case["sig-headers"].split(":"),
        oversign=(),
    )
    if not case["AS"]:
        assert fields == ()
        return
    results, signature, seal = fields
    assert "".join(results.value.split()) == "".join(case["AAR"].split())
    assert tags(signature.value) == tags(case["AMS"])
    assert tags(seal.value) == tags(case["AS"])


def test_all_sealings_are_run() -> None:
    assert len(SIGNING) == 17
