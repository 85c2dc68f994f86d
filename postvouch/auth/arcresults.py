"""What an ARC set says about DMARC: the claim in its ARC-Authentication-Results (RFC 8617 §4.1.1).

A sealer's word, to be believed as far as the sealer is. Only what cannot be read in two ways is a claim.
"""

import re

from postvouch.auth import authres
from postvouch.values.domain import domain_or_nothing

MAX_OCTETS = 8192
"""Longer texts are not read; honest ones have some hundred octets."""

# Microsoft writes "dmarc=pass action=none header.from=...", which is no property by RFC 8601.
_ACTION = re.compile(rb"(?<=[\s)])action=[a-z.]+(?=[\s;]|$)")


def dmarc_pass(claims: bytes) -> str:
    """The header.from of its one dmarc=pass, in lower-case A-labels; "" where that is not what it says.

    ``claims`` is the text behind "i=N;". Two dmarc results, or two header.from, say nothing.
    """
    if len(claims) > MAX_OCTETS:
        return ""
    try:
        parsed = authres.parse(_ACTION.sub(b"", claims))
    except authres.AuthresError:
        return ""
    results = [info for info in parsed.results if info.method == "dmarc"]
    if parsed.version not in (None, 1) or len(results) != 1 or results[0].method_version != 1:
        return ""
    names = [value for name, value in results[0].properties if name == "header.from"]
    return domain_or_nothing(names[0]) if results[0].result == "pass" and len(names) == 1 else ""
