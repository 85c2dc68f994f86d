"""Asking ``postvouch verify --jsonl`` in a test, without a process: cases in, results out."""

import base64
import io
import json
from typing import Any

from postvouch.cli import jsonl
from postvouch.config.schema import Config, General, Verify

OURS = "mx.our.example"
# The list of public suffixes differs from machine to machine.
CONFIG = Config(
    general=General(domains=("our.example",)),  # type: ignore[arg-type]
    verify=Verify(authserv_id=OURS, public_suffixes=""),
)


def b64(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii")


def ask(*cases: dict[str, Any] | bytes, config: Config = CONFIG) -> list[dict[str, Any]]:
    """The results of cases, each a dict or the octets of a line."""
    lines = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in cases]
    sink = io.BytesIO()
    jsonl.run(io.BytesIO(b"".join(line + b"\n" for line in lines)), sink, config)
    results = [json.loads(line) for line in sink.getvalue().splitlines()]
    assert len(results) == len(lines)
    return results
