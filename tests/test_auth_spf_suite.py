"""The openspf suite for RFC 7208, all of it: against a literal zone, and over DNS sockets."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from spfzone import CASES, FOLDER, SCENARIOS, Server, Zone

from postvouch.auth import spf
from postvouch.auth.result import SpfFinding
from postvouch.host.dns import DnsResolver
from postvouch.values.dns import Resolver, Status

DEVIATIONS = {
    each["case"]: each["also_accept"]
    for each in yaml.safe_load((FOLDER / "deviations.yml").read_text("utf-8"))["deviations"]
}

each_case = pytest.mark.parametrize(
    "scenario, name, case",
    CASES,
    ids=[f"{scenario['description']}-{name}" for scenario, name, _ in CASES],
)


def check(case: dict[str, Any], resolver: Resolver) -> SpfFinding:
    return spf.check_mail_from(
        address=case["host"], sender=case["mailfrom"], helo=case["helo"], resolver=resolver
    )


def wanted(case: dict[str, Any]) -> list[str]:
    return case["result"] if isinstance(case["result"], list) else [case["result"]]


def test_the_suite_is_whole() -> None:
    assert len(CASES) == 203
    assert list(DEVIATIONS) == ["ptr-cname-loop"]


@each_case
def test_openspf_suite(scenario: dict[str, Any], name: str, case: dict[str, Any]) -> None:
    finding = check(case, Zone(scenario["zonedata"]))
    assert finding.result in wanted(case), finding.reason
    assert finding.reason


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as serving:
        yield serving


@each_case
def test_openspf_suite_over_dns_sockets(
    server: Server, scenario: dict[str, Any], name: str, case: dict[str, Any]
) -> None:
    server.zone = Zone(scenario["zonedata"])
    resolver = DnsResolver([server.address], timeout_s=0.4 if "temperror" in wanted(case) else 5)
    finding = check(case, resolver)
    assert finding.result in [*wanted(case), *DEVIATIONS.get(name, [])], finding.reason


def test_what_is_too_large_for_udp_comes_over_tcp(server: Server) -> None:
    terms = " ".join(f"ip4:192.0.2.{n}" for n in range(1, 200))
    server.zone = Zone({"far.example": [{"TXT": f"v=spf1 {terms} -all"}]})
    server.asked.clear()
    finding = check(
        {"host": "192.0.2.199", "mailfrom": "a@far.example", "helo": "far.example"},
        DnsResolver([server.address]),
    )
    assert finding.result == "pass"
    assert server.asked == [("udp", "far.example", "TXT"), ("tcp", "far.example", "TXT")]


def test_the_server_serves_what_the_literal_zone_says(server: Server) -> None:
    """Both readings of the suite's zones agree, or the sockets would prove less than they seem to."""
    for scenario in SCENARIOS:
        server.zone = zone = Zone(scenario["zonedata"])
        resolver = DnsResolver([server.address])
        for name in zone.names:
            if zone.silent or "CNAME" in str(zone.names[name]) or not set(name) <= ALPHABET:
                continue
            for kind in ("TXT", "A", "MX", "PTR"):
                asked, literal = resolver.lookup(name, kind), zone.lookup(name, kind)
                if (0, "") in literal.values:
                    continue
                assert (asked.status, set(asked.values)) == (literal.status, set(literal.values))
                assert literal.status is not Status.NXDOMAIN


ALPHABET = set("abcdefghijklmnopqrstuvwxyz0123456789-_.")
