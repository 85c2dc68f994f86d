"""The standard vectors once more, from end to end through postvouch verify --jsonl.

The other tests of the vectors ask one method; these ask the whole engine as a program would.
"""

from pathlib import Path
from typing import Any

import yaml
from jsonlines import ask, b64
from letters import crlf, octets_of

from postvouch.sign import dkim, record
from postvouch.sign.keys import SigningKey, generate
from postvouch.values.message import Field, Message

VECTORS = Path(__file__).parent / "vectors"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
Entry = dict[str, Any]


def load(name: str) -> Any:
    return yaml.load((VECTORS / name).read_text(encoding="utf-8"), Loader=LOADER)


def load_all(name: str) -> list[Any]:
    return list(yaml.load_all((VECTORS / name).read_text(encoding="utf-8"), Loader=LOADER))


def dns_of(zone: dict[str, Entry]) -> dict[str, Entry]:
    """A zone as the YAML files have it: timeout: true is rcode TIMEOUT here."""
    return {name: {"rcode": "TIMEOUT"} if entry.get("timeout") else entry for name, entry in zone.items()}


def wrong(cases: list[Any], lines: list[dict[str, Any]], agrees: Any) -> list[str]:
    """The cases whose result does not agree, with what came out."""
    results = ask(*lines)
    return [
        f"{line['id']}: {result}"
        for case, line, result in zip(cases, lines, results, strict=True)
        if "error" in result or not agrees(case, result)
    ]


def test_dkim() -> None:
    suite = load("dkim/cases.yml")
    dns = dns_of(load("dkim/dns.yml")["records"])
    lines = [
        {
            "id": case["id"],
            "message_b64": b64((VECTORS / "dkim" / case["file"]).read_bytes()),
            "now": suite["now"],
            "dns": {n: e for n, e in dns.items() if "_domainkey" in n},
        }
        for case in suite["cases"]
    ]
    assert len(lines) == 161

    def agrees(case: Entry, result: Entry) -> bool:
        got = [
            {k: f[k] for k in ("result", "d", "s", "a", "i") if want.get(k)}
            for f, want in zip(result["dkim"], case["signatures"], strict=False)
        ]
        wants = [
            {k: want[k] for k in ("result", "d", "s", "a", "i") if want.get(k)} for want in case["signatures"]
        ]
        left = len(case["signatures"]) - len(got)
        return got == wants[: len(got)] and (not left or "not checked" in result["dkim"][-1]["reason"])

    assert wrong(suite["cases"], lines, agrees) == []


def spf_dns(zonedata: dict[str, list[Any]]) -> dict[str, Entry] | None:
    """The zone of a scenario; None where a name answers for some types only, which has no word here."""
    dns: dict[str, Entry] = {}
    for name, entries in zonedata.items():
        records = [pair for each in entries if each != "TIMEOUT" for pair in each.items()]
        if "TIMEOUT" in entries:
            if records:
                return None
            dns[name] = {"rcode": "TIMEOUT"}
            continue
        dns[name] = {}
        texts = any(kind == "TXT" for kind, _ in records)
        for kind, value in records:
            if value != "NONE" and not (kind == "SPF" and texts):
                text = value if kind not in ("SPF", "TXT") else octets(value)
                dns[name].setdefault("TXT" if kind == "SPF" else kind, []).append(text)
    return dns


def octets(value: str | list[str]) -> str:
    """Text that stands for octets, as JSON lines want it."""
    return "".join(value).encode("latin-1").decode("utf-8", "surrogateescape")


def test_spf() -> None:
    cases, lines = [], []
    for scenario in load_all("spf/rfc7208-tests.yml"):
        dns = spf_dns(scenario["zonedata"])
        for name, case in scenario["tests"].items() if dns is not None else ():
            asked = " ".join(map(str, case.values())) + str(dns)
            if "error." in asked:  # a name that does not answer without being listed
                continue
            cases.append(case)
            lines.append(
                {
                    "id": name,
                    "message_b64": "",
                    "client_ip": case["host"],
                    "helo": case["helo"],
                    "mail_from": case["mailfrom"],
                    "dns": dns,
                }
            )
    assert len(lines) > 150

    def agrees(case: Entry, result: Entry) -> bool:
        wanted = case["result"] if isinstance(case["result"], list) else [case["result"]]
        return result["spf"]["result"] in wanted

    assert wrong(cases, lines, agrees) == []


def test_arc() -> None:
    overrides = {each["case"]: each["cv"] for each in load("arc/overrides.yml")["overrides"]}
    cases, lines = [], []
    for scenario in load_all("arc/arc-draft-validation-tests.yml"):
        records = scenario["txt-records"] or {}
        dns = {name: {"TXT": [str(text).replace("\n", "")]} for name, text in records.items()}
        for name, case in scenario["tests"].items():
            cases.append(overrides.get(name, case["cv"] or "none").lower())
            lines.append(
                {"id": name, "message_b64": b64(crlf(case["message"])), "now": 1_500_000_000, "dns": dns}
            )
    assert len(lines) == 171
    assert wrong(cases, lines, lambda cv, result: result["arc"]["result"] == cv) == []


PRIVATE, _ = generate("ed25519")
KEY_RECORD = "".join(record.strings(PRIVATE))


def dmarc_line(case: Entry) -> dict[str, Any] | None:
    """A letter that has the SPF and DKIM results of the case, its keys and SPF records added to the zone.

    None where that would change what the case is about, or the result is a temperror.
    """
    dns = dns_of(case["zone"])
    spf, signatures = case["spf"] or {"result": "none", "domain": "", "identity": "mailfrom"}, case["dkim"]
    if "temperror" in (spf["result"], *(each["result"] for each in signatures)):
        return None
    if case["expect"].get("policy_tag") == "np" or len(case["from"]) > 1:
        return None
    added: dict[str, Entry] = {}
    if spf["result"] == "pass":
        added[spf["domain"]] = {"TXT": ["v=spf1 +all"]}
    message = Message(
        fields=tuple(Field(b"From", f" x@{domain}".encode()) for domain in case["from"]), body=(b"x\r\n",)
    )
    for each in signatures:
        if each["result"] == "pass" and "." in each["d"]:
            key = SigningKey(domain=each["d"].lower().removesuffix("."), selector="s", private=PRIVATE)
            made = dkim.sign(message, key, now=1_700_000_000, rules=dkim.Rules(headers=()))
            value = b" " + made.value.replace("\n", "\r\n").encode()
            message = Message(fields=(Field(b"DKIM-Signature", value), *message.fields), body=message.body)
            added[f"s._domainkey.{key.domain}"] = {"TXT": [KEY_RECORD]}
        elif each["result"] == "pass":
            return None
    if added.keys() & dns.keys() or any("CNAME" in dns.get(name, {}) for name in added):
        return None
    senders = {
        ("mailfrom", False): f"x@{spf['domain']}",
        ("helo", True): "",
        ("helo", False): "x@sender.invalid",
    }
    return {
        "id": case["id"],
        "message_b64": b64(octets_of(message)),
        "client_ip": "192.0.2.1",
        "helo": spf["domain"] if spf["identity"] == "helo" else "helo.invalid",
        "mail_from": senders[spf["identity"], spf.get("null_sender", False)],
        "dns": {**dns, **added},
    }  # fmt: skip


def test_dmarc() -> None:
    pairs = [(case, dmarc_line(case)) for case in load("dmarc/rfc9989.yml")["cases"]]
    cases = [case for case, line in pairs if line is not None]
    lines = [line for _, line in pairs if line is not None]
    assert len(lines) > 120

    def agrees(case: Entry, result: Entry) -> bool:
        want, got = case["expect"], result["dmarc"]
        if got["result"] not in want.get("accept", [want["result"]]):
            return False
        if got["result"] != want["result"]:
            return True
        pairs = (("org_domain", "org_domain"), ("policy", "policy"), ("policy_domain", "record_domain"))
        return all(got[ours] == (want[theirs] or "") for theirs, ours in pairs if theirs in want)

    assert wrong(cases, lines, agrees) == []


def test_from() -> None:
    cases = load("dmarc/from-header.yml")["cases"]
    lines = [
        {"id": case["id"], "message_b64": b64(case["raw"].encode("latin-1")), "dns": {}} for case in cases
    ]
    assert len(lines) == 158

    def agrees(case: Entry, result: Entry) -> bool:
        got = result["from"]
        words = [case["outcome"], *case.get("accept", ())]
        if case["outcome"] == "group" and not case["domains"]:
            words.append("none")  # RFC 6854 §1: a group may name nobody, and then there is no author
        return (
            got["result"] in words
            and got["domain"] == (case["domain"] if got["result"] == "single" else "")
            and got["domain"] not in case.get("never", ())
            and result["cpu_ms"] < 1000 * case.get("limits", {}).get("max_seconds", 1)
        )

    assert wrong(cases, lines, agrees) == []


def test_fields_that_claim_our_name() -> None:
    suite = load("authres/rfc8601.yml")
    lines = [
        {"id": case["id"], "message_b64": b64(case["raw"].encode("latin-1")), "dns": {}}
        for case in suite["strip"]
    ]
    lines += [
        {"id": case["id"], "message_b64": b64("\r\n".join(case["fields"]).encode("latin-1")), "dns": {}}
        for case in suite["messages"]
    ]
    lines = [{**line, "authserv_id": suite["authserv_id"]} for line in lines]
    assert len(lines) == 104

    def agrees(case: Entry, result: Entry) -> bool:
        if "strip" in case:
            return case["strip"] == "either" or result["removed_fields"] == [0] * case["strip"]
        return [at for at in range(len(case["fields"])) if at not in result["removed_fields"]] == case["keep"]

    assert wrong(suite["strip"] + suite["messages"], lines, agrees) == []


def test_short_keys_pass_only_where_a_case_asks_for_it() -> None:
    now = load("dkim/cases.yml")["now"]
    common = {
        "message_b64": b64((VECTORS / "dkim/messages/key-rsa768.eml").read_bytes()),
        "now": now,
        "dns": dns_of(load("dkim/dns.yml")["records"]),
    }
    asked = ({}, {"min_rsa_bits": None}, {"min_rsa_bits": 1024}, {"min_rsa_bits": 769}, {"min_rsa_bits": 768})
    results = ask(*({"id": 1, **common, **more} for more in asked))
    words = [each["dkim"][0]["result"] for each in results]
    assert words == ["permerror", "permerror", "permerror", "permerror", "pass"]
