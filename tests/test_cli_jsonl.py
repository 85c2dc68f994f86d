"""postvouch verify --jsonl: what goes in, what comes out, and that every line has its line."""

import base64
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonlines import CONFIG, ask, b64

from postvouch.cli import jsonl, sample
from postvouch.cli.main import run

TOP = Path(__file__).resolve().parent.parent
DNS = {
    "far.example": {"TXT": ["v=spf1 ip4:192.0.2.7 -all"], "MX": [[10, "mx.far.example"]]},
    "mx.far.example": {"TXT": ["v=spf1 a -all"], "A": ["192.0.2.7"]},
    "_dmarc.far.example": {"TXT": ["v=DMARC1; p=reject"]},
    "7.2.0.192.in-addr.arpa": {"PTR": ["mx.far.example"]},
    "our.example": {"TXT": ["v=spf1 ip4:198.51.100.0/24 -all"]},
    "_dmarc.our.example": {"TXT": ["v=DMARC1; p=reject"]},
}
LETTER = b"From: Mara <mara@far.example>\r\nSubject: x\r\n\r\nhello\r\n"


def case(octets=LETTER, **members):
    common = {
        "id": "1", "message_b64": b64(octets), "client_ip": "192.0.2.7", "helo": "mx.far.example",
        "mail_from": "mara@far.example", "rcpt_to": ["bob@our.example"], "now": sample.NOW, "dns": DNS,
    }  # fmt: skip
    return {**common, **members}


def one(*args, **members):
    (result,) = ask(case(*args, **members))
    return result


MEMBERS = {
    "id", "spf", "helo", "dkim", "arc", "dmarc", "from", "iprev", "authres", "action", "removed_fields",
    "cpu_ms",
}  # fmt: skip


def test_a_result_has_every_member_that_was_promised():
    result = one(b"DKIM-Signature: v=1; d=far.example; s=s1; a=rsa-sha256\r\n" + LETTER)
    assert set(result) >= MEMBERS
    assert result["id"] == "1"
    for key, members in {
        "spf": {"result", "domain", "scope", "reason"},
        "helo": {"result", "domain", "scope", "reason"},
        "arc": {"result", "oldest_pass", "reason"},
        "dmarc": {"result", "domain", "org_domain", "policy", "applied", "aligned_by", "reason"},
        "from": {"result", "domain", "addresses"},
        "iprev": {"result", "name", "reason"},
    }.items():
        assert set(result[key]) >= members
    assert [set(each) >= {"result", "d", "s", "a", "i", "reason"} for each in result["dkim"]] == [True]
    assert result["cpu_ms"] > 0


def test_an_honest_letter_passes():
    result = one()
    assert (result["spf"]["result"], result["spf"]["scope"]) == ("pass", "mailfrom")
    assert (result["helo"]["result"], result["helo"]["scope"]) == ("pass", "helo")
    assert (result["helo"]["domain"], result["dkim"]) == ("mx.far.example", [])
    assert (result["dmarc"]["result"], result["dmarc"]["aligned_by"]) == ("pass", "spf")
    assert result["from"] == {
        "result": "single", "domain": "far.example", "addresses": ["mara@far.example"],
        "domains": ["far.example"], "reason": "",
    }  # fmt: skip
    assert (result["action"], result["code"], result["removed_fields"]) == ("accept", "ok", [])


def test_the_field_is_whole_with_its_folds_as_crlf():
    field = one(authserv_id="mx.other.example")["authres"]
    assert field.startswith("Authentication-Results: mx.other.example;\r\n ")
    lines = field.split("\r\n")
    assert all(line.startswith((" ", "\t")) for line in lines[1:])
    assert not any("\n" in line or "\r" in line or not line.strip() for line in lines)
    assert " dmarc=pass " in field


def test_the_null_sender_is_judged_by_helo():
    for sender in ("", "<>", None):
        result = one(mail_from=sender)
        assert (result["spf"]["result"], result["spf"]["scope"]) == ("pass", "helo")
        assert result["spf"]["domain"] == "mx.far.example"


def test_the_organisation_of_the_author_is_named_also_where_nothing_depends_on_it():
    letter = LETTER.replace(b"@far", b"@news.far")
    dns = {**DNS, "_dmarc.news.far.example": {"TXT": ["v=DMARC1; p=none"]}}
    failed = one(letter, mail_from="x@our.example", dns=dns)["dmarc"]
    assert (failed["result"], failed["record_domain"]) == ("fail", "news.far.example")
    assert failed["org_domain"] == "far.example"
    dns["_dmarc.far.example"] = {"rcode": "SERVFAIL"}
    assert one(letter, mail_from="x@our.example", dns=dns)["dmarc"]["org_domain"] == ""


def test_angle_brackets_around_addresses_do_not_matter():
    bare, bracketed = one(), one(mail_from="<mara@far.example>", rcpt_to=["<bob@our.example>"])
    assert {**bare, "cpu_ms": 0} == {**bracketed, "cpu_ms": 0}


def test_only_the_id_and_the_letter_are_needed():
    (result,) = ask({"id": 7, "message_b64": b64(LETTER), "dns": {}})
    assert (result["id"], result["spf"]["result"], result["dmarc"]["result"]) == (7, "none", "none")


def test_results_come_in_order_and_a_broken_line_costs_only_itself():
    results = ask(case(id="a"), b"{", case(id="b", message_b64="*"), b"", case(id="c"), {"message_b64": ""})
    assert [result["id"] for result in results] == ["a", None, "b", None, "c", None]
    assert ["error" in result for result in results] == [False, True, True, True, False, True]


@pytest.mark.parametrize(
    "line, name, said",
    [
        (b"nonsense", None, "not JSON"),
        (b"\xff\xfe", None, "not UTF-8"),
        (b"[]", None, "not an object"),
        (b"[" * 200_000, None, "too deep"),
        (b'{"id": ' + b"9" * 5000 + b"}", None, "not JSON"),
        (b'{"id": 1e999, "message_b64": ""}', None, "id: "),
        (b'{"id": NaN, "message_b64": ""}', None, "NaN is no JSON"),
        (b'{"id": true, "message_b64": ""}', None, "id: "),
        (b'{"id": null, "message_b64": ""}', None, "id: "),
        (case(message_b64=None), "1", "message_b64: missing"),
        (case(message_b64="abc"), "1", "message_b64: not base64"),
        (case(message_b64="\u00e4"), "1", "message_b64: not base64"),
        (case(message_b64=["x"]), "1", "message_b64: not a string"),
        (case(client_ip=1), "1", "client_ip: not a string"),
        (case(helo={}), "1", "helo: not a string"),
        (case(mail_from=[]), "1", "mail_from: not a string"),
        (case(rcpt_to="bob@our.example"), "1", "rcpt_to: not a list"),
        (case(rcpt_to=[1]), "1", "rcpt_to: not a list of strings"),
        (case(now="today"), "1", "now: "),
        (case(now=True), "1", "now: "),
        (case(now=10**400), "1", "now: "),
        (case(min_rsa_bits=511), "1", "min_rsa_bits: "),
        (case(min_rsa_bits=True), "1", "min_rsa_bits: "),
        (case(min_rsa_bits=1024.0), "1", "min_rsa_bits: "),
        (case(authserv_id=1), "1", "authserv_id: "),
        (case(authserv_id="a\r\nb: c"), "1", "authserv-id"),
        (case(dns=[]), "1", "dns: not an object"),
        (case(dns={"a.example": []}), "1", "dns: a.example: not an object"),
        (case(dns={"a.example": {"rcode": "OOPS"}}), "1", "dns: a.example: rcode"),
        (case(dns={"a.example": {"TXT": [1]}}), "1", "dns: a.example: TXT: not a string"),
        (case(dns={"a.example": {"TXT": ["\ud800"]}}), "1", "surrogate"),
        (case(dns={"a.example": {"A": ["::1"]}}), "1", "dns: a.example: A: "),
        (case(dns={"a.example": {"AAAA": ["1.2.3.4"]}}), "1", "dns: a.example: AAAA: "),
        (case(dns={"a.example": {"MX": ["x 10"]}}), "1", "dns: a.example: MX: "),
        (case(dns={"a.example": {"MX": [[True, "x"]]}}), "1", "dns: a.example: MX: "),
        (case(dns={"a.example": {"MX": ["9" * 9999 + " x"]}}), "1", "dns: a.example: MX: "),
        (case(dns={"a.example": {"MX": [[65536, "x"]]}}), "1", "dns: a.example: MX: "),
        (case(dns={"a.example": {"CNAME": None}}), "1", "dns: a.example: CNAME: "),
    ],
)  # fmt: skip
def test_a_line_that_is_no_case_says_why(line, name, said):
    (result,) = ask(line)
    assert set(result) == {"id", "error"}
    assert result["id"] == name
    assert said in result["error"]


def test_a_line_that_is_too_long_is_passed_over_and_the_next_is_read(monkeypatch):
    monkeypatch.setattr(jsonl, "MAX_LINE", 4096)
    monkeypatch.setattr(jsonl, "_SKIPPED", 1000)
    results = ask(case(), case(helo="x" * 20_000), case(id="3"))
    assert [result["id"] for result in results] == ["1", None, "3"]
    assert "longer than" in results[1]["error"]


def test_the_last_line_needs_no_end(monkeypatch):
    sink = io.BytesIO()
    assert jsonl.run(io.BytesIO(json.dumps(case()).encode()), sink, CONFIG) == 0
    assert json.loads(sink.getvalue())["id"] == "1"


def test_members_that_are_not_known_are_left_alone():
    assert one(comment="for people", tags={"a": 1})["action"] == "accept"


def test_what_is_no_unicode_comes_back_in_the_id_only():
    result = one(id="\ud800", helo="\ud800\u00e4.example", mail_from="\udcff@\udcff.example")
    assert result.pop("id") == "\ud800"
    assert "?\u00e4.example" in json.dumps(result, ensure_ascii=False).encode().decode()


def test_base64_may_be_folded_as_mime_does():
    assert one(message_b64=base64.encodebytes(LETTER * 3).decode())["from"]["result"] == "single"


@pytest.mark.parametrize(
    "octets, word",
    [
        (b"", "none"),
        (b"\r\n", "none"),
        (b"\n\n\n", "none"),
        (b"just a body\r\n", "none"),
        (b" folded at once: x\r\nFrom: mara@far.example\r\n", "none"),
        (b"\x00\x01\xff" * 100, "none"),
        (b"From mara@far.example Mon Nov 23\nFrom: mara@far.example\n\nx", "single"),
        (b"From: mara@far.example", "single"),
        (b"From: mara@far.example\n\nbody", "single"),
        (b"From : mara@far.example\r\n\r\n", "single"),
        (b"From : a@far.example\r\nFrom: b@our.example\r\n\r\n", "multiple"),
        (b"X: y\r\nFrom: a@far.example\nFrom: b@our.example\r\n\r\n", "unparsable"),
        (b"From: a@far.example\rFrom: b@our.example\r\n\r\n", "unparsable"),
        (b"From: a@far.example\x00\r\n\r\n", "unparsable"),
        (b"From: G: a@far.example, b@our.example;\r\n\r\n", "group"),
        (b"From: a@far.example, b@our.example\r\n\r\n", "multiple"),
    ],
)
def test_any_octets_are_a_letter(octets, word):
    result = one(octets)
    assert result["from"]["result"] == word
    assert result["authres"].startswith("Authentication-Results: mx.our.example;")
    if word in ("group", "multiple"):
        assert result["from"]["addresses"] == ["a@far.example", "b@our.example"]
    if word != "single":
        assert result["from"]["domain"] == ""
        assert result["dmarc"]["result"] != "pass"


def test_fields_that_claim_our_name_are_counted_among_all_fields():
    claim = b"authentication-results: MX.our.example.; dmarc=pass\r\n"
    foreign = b"Authentication-Results: mx.far.example; dmarc=pass\r\n"
    letter = (
        claim + b"X: y\r\n" + foreign + b"Authentication-Results : (x) mx.our.example\r\n" + LETTER + claim
    )
    assert one(letter)["removed_fields"] == [0, 3]
    assert one(letter, authserv_id="mx.far.example")["removed_fields"] == [2]


def test_a_name_that_is_not_listed_does_not_exist_unless_one_below_it_is():
    below = {"_dmarc.far.example": {"TXT": ["v=DMARC1; p=none; np=reject"]}}
    assert one(dns=below)["dmarc"]["policy"] == "none"  # far.example is above a name that is listed
    letter = LETTER.replace(b"far.example", b"no.far.example")
    assert one(letter, dns=below)["dmarc"]["policy"] == "reject"
    assert one(letter, dns={**below, "NO.far.example.": {}})["dmarc"]["policy"] == "none"
    assert one(letter, dns={**below, "x.no.far.example": {"A": []}})["dmarc"]["policy"] == "none"
    denied = {**below, "x.no.far.example": {"A": []}, "no.far.example": {"rcode": "NXDOMAIN"}}
    assert one(letter, dns=denied)["dmarc"]["policy"] == "reject"


@pytest.mark.parametrize("rcode", ["SERVFAIL", "TIMEOUT", "timeout"])
def test_a_name_that_does_not_answer_is_a_temperror(rcode):
    result = one(dns={**DNS, "far.example": {"rcode": rcode, "TXT": ["v=spf1 +all"]}})
    assert result["spf"]["result"] == "temperror"


@pytest.mark.parametrize(
    "records",
    [
        {"FAR.Example.": {"txt": ["v=spf1 ip4:192.0.2.7 -all"]}},
        {"far.example": {"TXT": "v=spf1 ip4:192.0.2.7 -all"}},
        {"far.example": {"TXT": [["v=spf1 ip4:192", ".0.2.7 -all"]]}},
        {"far.example": {"TXT": ["something else", "v=spf1 +all"], "SPF": ["v=spf1 -all"], "NS": []}},
        {"far.example": {"CNAME": "alias.example"}, "alias.example": {"TXT": ["v=spf1 +all"]}},
        {"far.example": {"CNAME": ["Alias.Example."]}, "alias.example": {"TXT": ["v=spf1 +all"]}},
        {"far.example": {"TXT": ["v=spf1 mx -all"], "MX": [[10, "MX.b\u00fccher.example."]]},
         "mx.b\u00fccher.example": {"A": ["192.0.2.7"]}},
        {"far.example": {"TXT": ["v=spf1 mx -all"], "MX": ["10 mx.example."]},
         "mx.example": {"A": ["192.0.2.7"]}},
        {"far.example": {"TXT": ["v=spf1 ptr -all"]}, "7.2.0.192.IN-ADDR.ARPA.": {"PTR": ["Far.Example."]}},
    ],
)  # fmt: skip
def test_dns_in_all_its_spellings(records):
    records = {"far.example": {"A": ["192.0.2.7"]}, **records}
    if "PTR" in str(records):
        records["far.example"]["A"] = ["192.0.2.7"]
    assert one(dns=records)["spf"]["result"] == "pass"


def test_names_in_unicode_are_a_labels_everywhere():
    dns = {
        "b\u00fccher.example": {"TXT": ["v=spf1 +all"]},
        "_dmarc.B\u00fccher.example.": {"TXT": ["v=DMARC1; p=reject"]},
    }
    letter = "From: a@b\u00fccher.example\r\n\r\n".encode()
    result = one(letter, dns=dns, mail_from="a@b\u00fccher.example")
    assert result["dmarc"]["result"] == "pass"
    assert result["dmarc"]["domain"] == result["spf"]["domain"] == "xn--bcher-kva.example"


def test_a_cname_loop_ends_and_is_a_temperror():
    loop = {"far.example": {"CNAME": "b.example"}, "b.example": {"CNAME": "far.example"}}
    assert one(dns=loop)["spf"]["result"] == "temperror"


def test_octets_that_are_no_utf8_can_be_said_in_dns():
    zone = jsonl.read_case(json.dumps(case(dns={"a.example": {"TXT": ["x\udcff\u00e4"]}})).encode()).zone
    assert zone.lookup("a.example", "TXT").texts() == (b"x\xff\xc3\xa4",)


def test_the_questions_of_one_letter_are_bounded_as_in_the_daemon(monkeypatch):
    monkeypatch.setattr(jsonl, "MESSAGE_LOOKUPS", 1)
    result = one()
    assert "temperror" in (result["spf"]["result"], result["dmarc"]["result"])


WORDS = ["far.example", "<>", "192.0.2.7", "fe80::1%eth0", "a@b@c", "x" * 300, "\ud800", "mx." * 90]
TYPES = ["TXT", "A", "MX", "CNAME", "PTR", "rcode"]
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.sampled_from(WORDS),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=6) | st.sampled_from(TYPES), inner, max_size=3)
    ),
    max_leaves=6,
)
KEYS = st.sampled_from([*case(), "authserv_id", "min_rsa_bits"])


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=200)
@given(KEYS, ANY)
def test_whatever_a_member_holds_its_line_has_a_line(key, value):
    if key == "dns" and value is None:
        return  # that asks the network
    line = json.dumps(case(**{key: value})).encode()
    (result,) = ask(line)
    if "error" in result:
        assert set(result) == {"id", "error"}
        assert not result["error"].startswith("internal error")
    else:
        assert set(result) >= MEMBERS
        assert result["authres"].startswith("Authentication-Results: ")
    assert result["id"] == "1" or key == "id" or "not JSON" in result["error"]


TEXTS = st.text(max_size=30) | st.sampled_from(
    ["a@far.example", '"a b"@far.example', "@", "a@[192.0.2.7]", "\udcff@far.example", *WORDS]
)


@settings(max_examples=100)
@given(st.binary(max_size=60) | st.binary(max_size=40).map(lambda b: b"From: " + b), TEXTS, TEXTS, TEXTS)
def test_any_letter_and_any_envelope_have_a_verdict(octets, client, helo, sender):
    result = one(octets, client_ip=client, helo=helo, mail_from=sender)
    assert "error" not in result
    json.dumps(result, ensure_ascii=False).encode()  # no surrogates: some readers of JSON refuse them
    assert result["from"]["result"] in ("single", "none", "multiple", "group", "unparsable")


@settings(max_examples=100)
@given(st.binary(max_size=60))
def test_any_octets_between_two_cases_disturb_neither(junk):
    junk = junk.replace(b"\n", b"")
    results = ask(case(id="a"), junk, case(id="b"))
    assert [results[0]["id"], results[2]["id"]] == ["a", "b"]
    assert results[0]["dmarc"] == results[2]["dmarc"]


DOCUMENT = (TOP / "docs" / "jsonl.rst").read_text("utf-8")


def worded(result):
    """A result without what may be worded otherwise, or takes another time."""
    if isinstance(result, dict):
        return {k: worded(v) for k, v in result.items() if k not in ("reason", "authres", "cpu_ms")}
    return [worded(each) for each in result] if isinstance(result, list) else result


def test_the_example_in_the_document_is_true():
    blocks = re.findall(r"::\n\n((?:  .*\n)+)", DOCUMENT)
    given, promised, error = (json.loads(block) for block in blocks if block.startswith("  {"))
    (result,) = ask(given)
    assert worded(result) == worded(promised)
    assert set(result) == set(promised)
    assert promised["authres"].split("\r\n")[0] == result["authres"].split("\r\n")[0]
    assert ask({**given, "id": error["id"], "now": "soon"}) == [error]


def test_every_member_has_its_line_in_the_document():
    result = one()
    described = set(re.findall(r"^([a-z0-9_]+) +\S", DOCUMENT, re.M))
    assert set(result) | set(case()) | {"authserv_id", "min_rsa_bits"} <= described
    for finding in ("spf", "arc", "dmarc", "from", "iprev"):
        for member in result[finding]:
            assert f"``{member}``" in DOCUMENT


# The command.


def command(*arguments):
    code = "import sys; from postvouch.cli.main import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, "verify", "--jsonl", *arguments],
        env={"PYTHONPATH": str(TOP)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_a_program_can_talk_with_it_line_by_line():
    with command() as process:
        for name in ("first", "second"):
            process.stdin.write(json.dumps(case(id=name)).encode() + b"\n")
            process.stdin.flush()
            result = json.loads(process.stdout.readline())
            assert (result["id"], result["dmarc"]["result"]) == (name, "pass")
        process.stdin.write(b"nonsense\n")
        process.stdin.flush()
        assert "error" in json.loads(process.stdout.readline())
        rest, complaints = process.communicate(timeout=30)
    assert (process.returncode, rest, complaints) == (1, b"", b"")


def test_a_reader_that_goes_away_ends_it_quietly():
    with command() as process:
        process.stdout.close()
        _, complaints = process.communicate(json.dumps(case()).encode() + b"\n", timeout=30)
    assert (process.returncode, complaints) == (1, b"")


def test_an_interrupt_ends_it_quietly():
    with command() as process:
        process.stdin.write(json.dumps(case()).encode() + b"\n")
        process.stdin.flush()
        assert process.stdout.readline()
        os.kill(process.pid, 2)
        assert process.stderr.read() == b""
        assert process.wait(30) == 1


def test_the_exit_status_says_whether_every_line_had_a_result(capsys, monkeypatch):
    for line, status in ((json.dumps(case()), 0), ("{}", 1)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(line.encode() + b"\n")))
        assert run(["verify", "--jsonl"]) == status
        assert capsys.readouterr().err == ""


@pytest.mark.parametrize("other", [["x.eml"], ["--json"], ["--helo", "x"], ["--now", "1"], ["--dns", "zone"]])
def test_what_a_line_says_is_not_said_on_the_command_line_too(other, capsys):
    assert run(["verify", "--jsonl", *other]) == 64
    assert "--jsonl" in capsys.readouterr().err


def test_without_jsonl_a_letter_must_be_named(capsys):
    assert run(["verify"]) == 64
    assert "MESSAGE" in capsys.readouterr().err
