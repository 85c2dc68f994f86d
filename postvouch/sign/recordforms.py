"""DNS records of keys in the form that each way of publishing takes; several keys make one text.

zone       lines of a zone file: BIND, NSD, Knot DNS, and what else reads RFC 1035
bare       the value alone, for the form of a web page
nsupdate   commands for nsupdate(1) or knsupdate(1) (RFC 2136)
json       name, type, ttl, value, and the value cut into strings
octodns    YAML for the file of a zone of octoDNS: semicolons escaped, cut by octoDNS itself
terraform  HCL, a resource aws_route53_record each: strings joined by \"\" as that provider wants them
"""

import json
import re
from collections.abc import Sequence
from typing import Any

from postvouch.sign.record import Record, owner, zone_text

FORMS = ("zone", "bare", "nsupdate", "json", "octodns", "terraform")
CHANGES = ("add", "replace", "delete")
TTL_S = 3600


def text(
    records: Sequence[Record],
    *,
    form: str = "zone",
    zone: str | None = None,
    ttl_s: int | None = None,
    server: str | None = None,
    change: str = "add",
) -> str:
    """The records in one of FORMS; ends with a newline.

    ``zone`` makes names relative to it, and is told to nsupdate. ``ttl_s`` None: TTL_S, and in a zone file
    the zone's own. ``server`` and ``change`` are for nsupdate: "replace" removes what is there first,
    "delete" leaves it at that. Raises ValueError for an unknown form, or a zone that does not hold a domain.
    """
    ttl = TTL_S if ttl_s is None else ttl_s
    for record in records:
        owner(record.domain, record.selector, zone)  # whatever the form, a name out of its zone is a mistake
    if form == "zone":
        lines = (zone_text(r.domain, r.selector, r.strings, zone=zone, ttl_s=ttl_s) for r in records)
        return "".join(lines)
    if form == "bare":
        return "".join("".join(record.strings) + "\n" for record in records)
    if form == "nsupdate":
        return _nsupdate(records, zone, ttl, server, change)
    if form == "json":
        data = [_data(record, zone, ttl) for record in records]
        return json.dumps(data[0] if len(data) == 1 else data, indent=2) + "\n"
    if form == "octodns":
        return _octodns(records, zone, ttl)
    if form == "terraform":
        return "\n".join(_terraform(record, ttl) for record in records)
    raise ValueError(f"no such form: {form}; one of {', '.join(FORMS)}")


def _nsupdate(
    records: Sequence[Record], zone: str | None, ttl_s: int, server: str | None, change: str
) -> str:
    lines = []
    if server:
        lines.append(f"server {server}")
    if zone:
        lines.append(f"zone {zone.rstrip('.')}.")
    for record in records:
        name = owner(record.domain, record.selector)
        if change != "add":
            lines.append(f"update delete {name} IN TXT")
        if change != "delete":
            quoted = " ".join(f'"{part}"' for part in record.strings)
            lines.append(f"update add {name} {ttl_s} IN TXT {quoted}")
    return "\n".join([*lines, "send", ""])


def _data(record: Record, zone: str | None, ttl_s: int) -> dict[str, Any]:
    return {
        "name": owner(record.domain, record.selector, zone),
        "type": "TXT",
        "ttl": ttl_s,
        "value": "".join(record.strings),
        "strings": list(record.strings),
    }


def _octodns(records: Sequence[Record], zone: str | None, ttl_s: int) -> str:
    """Names in octoDNS' files are relative; without a zone to those of each key's own domain."""
    lines: list[str] = []
    named = {owner(r.domain, r.selector, r.domain if zone is None else zone): r for r in records}
    for name, record in sorted(named.items(), key=lambda pair: _natural(pair[0])):
        value = "".join(record.strings).replace(";", "\\;")
        lines += [f"{name}:", f"  ttl: {ttl_s}", "  type: TXT", f"  value: '{value}'"]
    return "\n".join(["---", *lines, ""])


def _natural(name: str) -> list[str | int]:
    """The order that octoDNS asks for: 9 before 10."""
    return [int(part) if part.isdecimal() else part for part in re.split("([0-9]+)", name)]


def _terraform(record: Record, ttl_s: int) -> str:
    value = '\\"\\"'.join(record.strings)
    label = re.sub("[^A-Za-z0-9_-]", "_", f"dkim_{record.selector}_{record.domain}")
    return (
        f'resource "aws_route53_record" "{label}" {{\n'
        f"  zone_id = var.zone_id\n"
        f'  name    = "{owner(record.domain, record.selector).rstrip(".")}"\n'
        f'  type    = "TXT"\n'
        f"  ttl     = {ttl_s}\n"
        f'  records = ["{value}"]\n'
        "}\n"
    )
