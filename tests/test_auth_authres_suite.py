"""The Authentication-Results vectors: reading, removing, writing."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from postvouch.auth import authres, header
from postvouch.values.decision import RemoveField
from postvouch.values.message import Field, Message

SUITE = Path(__file__).parent / "vectors" / "authres" / "rfc8601.yml"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DATA = yaml.load(SUITE.read_text(encoding="utf-8"), Loader=LOADER)
OURS = DATA["authserv_id"]


def by_id(case: dict[str, Any]) -> str:
    return str(case["id"])


def field(raw: str) -> Field:
    name, _, value = raw.removesuffix("\r\n").encode("latin-1").partition(b":")
    return Field(name, value)


def test_the_suite_is_whole() -> None:
    assert [len(DATA[part]) for part in ("parse", "strip", "messages", "generate")] == [49, 97, 7, 50]


@pytest.mark.timeout(5)
@pytest.mark.parametrize("case", DATA["parse"], ids=by_id)
def test_parse(case: dict[str, Any]) -> None:
    value = field(case["raw"]).value
    want = case["expect"]
    if want == "error":
        with pytest.raises(authres.AuthresError):
            authres.parse(value)
        return
    got = authres.parse(value)
    assert (got.authserv_id, got.version) == (want["authserv_id"], want.get("version"))
    if "result_count" in want:
        assert len(got.results) == want["result_count"]
        return
    assert [
        {
            "method": r.method,
            "result": r.result,
            "properties": [list(p) for p in r.properties],
            **({"reason": r.reason} if r.reason else {}),
            "method_version": r.method_version,
        }
        for r in got.results
    ] == [{"method_version": 1, **result} for result in want["results"]]
    assert list(got.comments) == want.get("comments", list(got.comments))


@pytest.mark.parametrize("case", DATA["strip"], ids=by_id)
def test_strip(case: dict[str, Any]) -> None:
    removed = header.removals(Message(fields=(field(case["raw"]),)), OURS)
    assert bool(removed) in ((True, False) if case["strip"] == "either" else (case["strip"],))


@pytest.mark.parametrize("case", DATA["messages"], ids=by_id)
def test_messages(case: dict[str, Any]) -> None:
    fields = [field(raw) for raw in case["fields"]]
    left = list(range(len(fields)))
    for edit in header.removals(Message(fields=tuple(fields)), OURS):
        # As a milter counts: the nth field of that name among those still there.
        assert isinstance(edit, RemoveField)
        named = [i for i in left if fields[i].name.strip().lower() == edit.name.lower().encode()]
        left.remove(named[edit.nth - 1])
    assert left == case["keep"]


@pytest.mark.parametrize("case", DATA["generate"], ids=by_id)
def test_generate(case: dict[str, Any]) -> None:
    infos = [
        authres.ResInfo(
            method=r["method"],
            result=r["result"],
            properties=tuple((name, value) for name, value in r["properties"]),
            reason=r.get("reason", ""),
        )
        for r in case["results"]
    ]
    eai = case.get("eai", False)
    value = authres.write(case["authserv_id"], infos, internationalized=eai).replace("\n", "\r\n")
    wire = f"Authentication-Results: {value}\r\n".encode()
    want = case["expect"]
    for octets in want.get("forbid", []):
        assert octets.encode("latin-1") not in wire
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n|\x00", wire)
    assert eai or wire.isascii()
    lines = wire.removesuffix(b"\r\n").split(b"\r\n")
    assert all(line[:1] in (b" ", b"\t") and line.strip() for line in lines[1:])
    assert max(map(len, lines)) <= 998
    got = authres.parse(wire.partition(b":")[2])
    assert got.authserv_id == case["authserv_id"]
    assert [[r.method, r.result] for r in got.results] == want["methods"]
    found = dict(p for r in got.results for p in r.properties)
    if "properties" in want:
        assert set(found) <= set(want["properties"])
        assert all(found.get(name) in values for name, values in want["properties"].items())
    if "reason" in want:
        assert (got.results[0].reason or None) in want["reason"]
