"""The openspf suite for RFC 7208, all of it, against our adapter and an in-memory DNS."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from postvouch.auth import spf
from postvouch.values.dns import NO_DATA, NO_SUCH_NAME, DnsUnavailable, Records, Status

SUITE = Path(__file__).parent / "vectors" / "spf" / "rfc7208-tests.yml"
# The C loader is five times as fast; wheels have it, Debian has it, a source build may not.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
SCENARIOS = list(yaml.load_all(SUITE.read_text(encoding="utf-8"), Loader=LOADER))


def _octets(value: str | list[str]) -> bytes:
    return "".join(value).encode("latin-1")


class SuiteZone:
    """Zone data as the suite writes them."""

    def __init__(self, zonedata: dict[str, list[Any]]) -> None:
        self.names = {name.lower(): entries for name, entries in zonedata.items()}

    def lookup(self, name: str, kind: str) -> Records:
        seen: set[str] = set()
        name = name.lower().removesuffix(".")
        while name not in seen:
            seen.add(name)
            if name not in self.names:
                if name.startswith("error."):
                    raise DnsUnavailable("timeout")
                return NO_SUCH_NAME
            entries = [(t, v) for e in self.names[name] if e != "TIMEOUT" for t, v in e.items()]
            types = {t for t, _ in entries}
            if "CNAME" in types and kind != "CNAME":
                name = str(next(v for t, v in entries if t == "CNAME")).lower()
                continue
            wanted = "SPF" if kind == "TXT" and "TXT" not in types else kind
            found = [self._value(kind, v) for t, v in entries if t == wanted and v != "NONE"]
            if not found and "TIMEOUT" in self.names[name]:
                raise DnsUnavailable("timeout")
            return Records(status=Status.FOUND, values=tuple(found)) if found else NO_DATA
        raise DnsUnavailable("CNAME loop")

    def _value(self, kind: str, value: Any) -> bytes | str | tuple[int, str]:
        if kind == "TXT":
            return _octets(value)
        if kind == "MX":
            return (value[0], value[1].lower().removesuffix("."))
        return str(value).removesuffix(".")


CASES = [
    pytest.param(scenario["zonedata"], case, id=f"{scenario['description']}-{name}")
    for scenario in SCENARIOS
    for name, case in scenario["tests"].items()
]


def test_the_suite_is_whole() -> None:
    assert len(CASES) == 203


@pytest.mark.parametrize("zonedata, case", CASES)
def test_openspf_suite(zonedata: dict[str, list[Any]], case: dict[str, Any]) -> None:
    finding = spf.check_mail_from(
        address=case["host"], sender=case["mailfrom"], helo=case["helo"], resolver=SuiteZone(zonedata)
    )
    wanted = case["result"] if isinstance(case["result"], list) else [case["result"]]
    assert finding.result in wanted, finding.reason
    assert finding.reason
