"""The ARC test suite: 171 letters to verify, with RFC 8617's word where the suite leaves one open."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from fakedns import zone
from letters import crlf, message_of

from postvouch.auth import arc

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
    dns = zone(*(f"{name} TXT {''.join(str(text).split(chr(10)))}" for name, text in records.items()))
    finding = arc.verify(message_of(crlf(case["message"])), dns, 1_500_000_000)
    assert finding.result == expected, finding.reason
    assert bool(finding.reason) is (expected == "fail") or case["name"] in REMARKED
    assert bool(finding.sealers) is (expected == "pass")
