"""postvouch verify and postvouch try: a verdict without any server."""

import base64
import fnmatch
import io
import json
import os
import subprocess
import sys
from dataclasses import fields

import dkim
import pytest

from postvouch.auth import decide, exempt
from postvouch.cli import sample, verdict
from postvouch.cli.main import run
from postvouch.config.verdict import Verdict

CLIENT = ["--client-ip", "192.0.2.7", "--helo", "mx.far.example", "--mail-from", "mara@far.example"]


@pytest.fixture
def files(tmp_path):
    """The sample letters and zone, and an empty configuration, as files."""
    (tmp_path / "honest.eml").write_bytes(sample.HONEST)
    (tmp_path / "spoof.eml").write_bytes(sample.SPOOF)
    (tmp_path / "zone").write_text(sample.ZONE)
    config = (
        '[general]\nhostname = "mx.our.example"\ndomains = ["our.example"]\n[verdict]\nmode = "enforce"\n'
    )
    (tmp_path / "postvouch.toml").write_text(config)
    common = [
        "--dns",
        str(tmp_path / "zone"),
        "--now",
        str(sample.NOW),
        "--config",
        str(tmp_path / "postvouch.toml"),
    ]
    return tmp_path, common


def test_an_honest_letter_passes_and_the_field_says_so(files, capsys):
    folder, common = files
    assert run(["verify", str(folder / "honest.eml"), *CLIENT, *common]) == 0
    shown = capsys.readouterr()
    assert "note: line ends were LF" in shown.err
    lines = shown.out.splitlines()
    assert lines[0] == "from    mara@far.example"
    assert lines[1].startswith("spf     pass      far.example")
    assert "dkim    pass      far.example/s1  rsa-sha256" in lines
    assert "dmarc   pass      far.example  p=reject  aligned by spf,dkim" in lines
    assert "action  accept    ok" in lines
    assert "Authentication-Results: mx.our.example;" in lines


def test_one_octet_changed_breaks_the_signature_and_a_forwarder_fails_dmarc(files, capsys):
    folder, common = files
    (folder / "honest.eml").write_bytes(sample.HONEST.replace(b"apply?", b"reply?"))
    arguments = [
        "verify",
        str(folder / "honest.eml"),
        "--client-ip",
        "203.0.113.1",
        "--mail-from",
        "x@bulk.example",
    ]
    assert run([*arguments, "--json", *common]) == 1
    data = json.loads(capsys.readouterr().out)
    assert data["dkim"][0]["result"] == "fail"
    assert data["dmarc"]["result"] == "fail"
    assert (data["action"], data["code"]) == ("mark", "dmarc-fail")


def test_a_spoof_is_refused_by_the_configured_policy_and_its_forged_field_goes(files, capsys):
    folder, common = files
    assert run(["verify", str(folder / "spoof.eml"), "--client-ip", "198.51.100.66", "--json", *common]) == 1
    data = json.loads(capsys.readouterr().out)
    assert (data["action"], data["code"], len(data["removed_fields"])) == ("reject", "spoof", 1)
    assert data["reply"].startswith("550 5.7.1 ")
    assert (data["from"]["result"], data["from"]["addresses"]) == ("single", ["bob@our.example"])


def test_json_has_the_members_of_a_line_of_jsonl_and_a_few_more(files, capsysbinary, monkeypatch):
    folder, common = files
    run(["verify", str(folder / "spoof.eml"), "--client-ip", "198.51.100.66", "--json", *common])
    one = json.loads(capsysbinary.readouterr().out)
    case = {
        "id": 1,
        "message_b64": base64.b64encode(sample.SPOOF).decode(),
        "client_ip": "198.51.100.66",
        "dns": {},
    }
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(case).encode() + b"\n")))
    run(["verify", "--jsonl", *common[-2:]])
    line = json.loads(capsysbinary.readouterr().out)
    assert set(one) == set(line) - {"id", "cpu_ms"} | {"message", "discovery", "list_id", "mark", "reply"}


def test_in_mode_monitor_a_person_and_a_program_read_what_would_be(files, capsys):
    folder, common = files
    path = folder / "postvouch.toml"
    path.write_text(path.read_text().replace("enforce", "monitor"))
    spoof = ["verify", str(folder / "spoof.eml"), "--client-ip", "198.51.100.66", *common]
    assert run(spoof) == 1
    assert (
        "action  accept    spoof  mode monitor; enforce would reject" in capsys.readouterr().out.splitlines()
    )
    assert run([*spoof, "--json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert (data["action"], data["code"], data["would"], data["mark"]) == ("accept", "spoof", "reject", "")


def test_arc_iprev_the_list_and_a_mark_have_their_lines(files, capsys):
    folder, common = files
    letter = sample.HONEST.replace(b"apply?", b"reply?")
    letter = b"ARC-Seal: i=1; cv=none\nList-Id: Talk <talk.far.example>\nX-Postvouch-Mark: ok\n" + letter
    (folder / "honest.eml").write_bytes(letter)
    arguments = ["verify", str(folder / "honest.eml"), "--client-ip", "203.0.113.1", *common]
    assert run(arguments) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("arc     fail      ") for line in lines)
    assert any(line.startswith("iprev   ") for line in lines)
    assert "list    talk.far.example" in lines
    assert "action  mark      dmarc-fail  X-Postvouch-Mark: dmarc-fail" in lines
    assert "1 forged field(s) would be removed" in lines
    assert run([*arguments, "--json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert (data["arc"]["result"], data["list_id"], data["mark"]) == (
        "fail",
        "talk.far.example",
        "dmarc-fail",
    )


def test_every_reason_of_the_verdict_is_explained_with_a_setting_that_exists():
    codes = {value for name, value in vars(decide).items() if name.isupper() and isinstance(value, str)}
    codes = codes - {decide.ACCEPT, *decide.ACTIONS, decide.OK, decide.INTERNAL} | set(exempt.CODES)
    assert set(verdict.WHY) == codes
    settings = {each.name for each in fields(Verdict)}
    for _, setting in verdict.WHY.values():
        names = {setting.format(applied=word) for word in ("quarantine", "reject")}
        assert fnmatch.filter(settings, setting) if "*" in setting else names <= settings


def test_a_person_reads_which_rule_applied_and_who_published_the_policy(files, capsys):
    folder, common = files
    (folder / "sub.eml").write_bytes(b"From: x@news.far.example\n\nhello\n")
    run(["verify", str(folder / "sub.eml"), "--client-ip", "203.0.113.1", *common])
    lines = [line.split(None, 1) for line in capsys.readouterr().out.splitlines() if not line.startswith(" ")]
    said = {name: rest for name, *rest in lines}
    assert (
        "p=reject by _dmarc.far.example  nothing that passed is aligned with news.far.example"
        in (said["dmarc"][0])
    )
    assert said["why"] == ["DMARC fails, and the author's domain asks for reject (verdict.enforced_reject)"]


def test_what_the_list_of_public_suffixes_would_have_changed_is_shown(files, capsys):
    folder, common = files
    (folder / "list.dat").write_text("com\norg\nexample\n// ===END PRIVATE DOMAINS===\n")
    (folder / "zone").write_text(
        "_dmarc.b.far.example TXT v=DMARC1; p=reject; psd=n\nfar.example TXT v=spf1 +all\n"
    )
    with (folder / "postvouch.toml").open("a") as file:
        file.write(f'[verify]\ndiscovery = "both-log-differences"\npublic_suffixes = "{folder}/list.dat"\n')
    (folder / "sub.eml").write_bytes(b"From: x@a.b.far.example\n\nhello\n")
    arguments = ["verify", str(folder / "sub.eml"), *CLIENT, *common]
    assert run(arguments) == 1
    said = "by the list of public suffixes: result none, not fail; policy (none), not reject; "
    assert said in capsys.readouterr().out
    run([*arguments, "--json"])
    assert json.loads(capsys.readouterr().out)["discovery"].startswith(said[:-2])


def test_the_longest_word_keeps_its_distance(files, capsys):
    folder, common = files
    path = folder / "postvouch.toml"
    path.write_text(path.read_text().replace("[verdict]", '[verdict]\nown_fail = "quarantine"'))
    run(["verify", str(folder / "spoof.eml"), "--client-ip", "198.51.100.66", *common])
    assert "action  quarantine spoof  held until an admin looks  X-Postvouch-Mark: spoof" in (
        capsys.readouterr().out.splitlines()
    )


def test_without_domains_of_ours_it_is_said_that_nothing_can_be_a_spoof(files, capsys):
    folder, common = files
    (folder / "postvouch.toml").write_text("")
    run(["verify", str(folder / "spoof.eml"), *common])
    assert "note: general.domains is not set" in capsys.readouterr().err


def test_a_client_that_is_no_address_is_wrong_usage(files, capsys):
    folder, common = files
    assert run(["verify", str(folder / "honest.eml"), "--client-ip", "300.1.1.1", *common]) == 64
    assert '--client-ip: "300.1.1.1" is no IP address' in capsys.readouterr().err


def test_dns_trouble_is_status_75(files, capsys):
    folder, common = files
    (folder / "zone").write_text("_dmarc.far.example TEMPERROR\nfar.example TEMPERROR\n")
    assert run(["verify", str(folder / "honest.eml"), *CLIENT, *common]) == 75
    assert "temperror" in capsys.readouterr().out


def test_a_letter_can_come_by_standard_input(files, capsys, monkeypatch):
    _, common = files
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(sample.HONEST.replace(b"\n", b"\r\n"))))
    assert run(["verify", "-", *CLIENT, *common]) == 0
    assert capsys.readouterr().err == ""


def test_input_that_cannot_be_read_is_status_65_with_its_place(files, capsys):
    folder, common = files
    assert run(["verify", str(folder / "none.eml"), *common]) == 65
    (folder / "zone").write_text("\nnonsense\n")
    assert run(["verify", str(folder / "honest.eml"), *common]) == 65
    assert f"{folder}/zone:2: not a record" in capsys.readouterr().err


def test_a_file_that_is_no_letter_has_a_verdict_too_and_that_is_said(files, capsys):
    folder, common = files
    (folder / "empty.eml").write_bytes(b"")
    assert run(["verify", str(folder / "empty.eml"), *CLIENT, *common]) == 1
    shown = capsys.readouterr()
    assert "note: no header field at its start" in shown.err
    assert shown.out.splitlines()[0] == "from    (no author)"


def test_a_sender_that_is_no_address_is_wrong_usage(files, capsys):
    folder, common = files
    assert run(["verify", str(folder / "honest.eml"), "--mail-from", "not an address", *common]) == 64
    assert "--mail-from" in capsys.readouterr().err


def test_a_hostile_letter_sends_nothing_to_the_terminal(files, capsys):
    folder, common = files
    evil = (
        b'From: "\x1b]0;owned\x07" <x@\x1b[2Jfar.example>\n'
        b"DKIM-Signature: v=1; d=\x1b[31m; s=x; b=; bh=; h=from; a=\x1b\n\nx\n"
    )
    (folder / "evil.eml").write_bytes(evil)
    run(["verify", str(folder / "evil.eml"), "--helo", "\x1b[31mx", *CLIENT[:2], *common])
    shown = capsys.readouterr()
    assert "\x1b" not in shown.out + shown.err
    assert "\x07" not in shown.out + shown.err


def test_the_sample_letter_is_signed_for_other_programs_too():
    record = next(line.split('"')[1] for line in sample.ZONE.splitlines() if line.startswith("s1._domainkey"))
    letter = sample.HONEST.replace(b"\n", b"\r\n")
    assert dkim.verify(letter, dnsfunc=lambda name, timeout=5: record.encode())


def bare_postvouch(folder, *arguments):
    """Run the command with nothing around it: no home, no environment, an empty folder."""
    code = "import sys; from postvouch.cli.main import main; main()"
    top = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder, env={"PYTHONPATH": top}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_try_shows_verdicts_and_a_signature_with_nothing_around(tmp_path):
    ended = bare_postvouch(tmp_path, "try")
    assert (ended.returncode, ended.stderr) == (0, "")
    for part in (
        "1. An honest letter", "dmarc   pass      far.example  p=reject  aligned by spf,dkim",
        "2. A spoof", "action  reject    spoof  550 5.7.1", "1 forged field(s) would be removed",
        "3. Our own letter", "verified against that record: pass",
        "4. Forwarding", "SRS0=",
    ):  # fmt: skip
        assert part in ended.stdout
    assert list(tmp_path.iterdir()) == []


def test_try_in_json_says_that_all_came_out_right(capsys):
    assert run(["try", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["good"] is True
    assert data["srs"]["reverse"] == "mara@far.example"
    assert data["signature"]["field"].startswith("DKIM-Signature: v=1;")


def test_each_try_signs_with_another_key(capsys):
    records = []
    for _ in range(2):
        run(["try", "--json"])
        records.append(json.loads(capsys.readouterr().out)["signature"]["record"])
    assert records[0] != records[1]
