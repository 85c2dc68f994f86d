"""postvouch doctor and dns-records, over a DNS server, beside a Postfix that is nothing but its files."""

import json
import os

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from dnsserver import serving
from hypothesis import given
from hypothesis import strategies as st
from postfixfiles import MASTER, PATH
from test_auth_tlsa import certificate

from postvouch.auth.tlsa import of_certificate
from postvouch.cli import doctor, output
from postvouch.cli.main import run
from postvouch.config.milteraction import accepting
from postvouch.sign.keys import generate, parse_pem

SOCKET = "unix:/var/spool/postfix/postvouch/sign.sock"
OURS = "unix:postvouch/sign.sock"


@pytest.fixture(scope="module")
def pem():
    return generate("ed25519")[1]


class Host:
    """A host with its configuration, its key, and the two files of a Postfix."""

    def __init__(self, folder, pem, monkeypatch, capsys):
        monkeypatch.setenv("PATH", PATH)
        self.folder, self.capsys = folder, capsys
        self.postfix_dir = folder / "postfix"
        self.postfix_dir.mkdir()
        key = folder / "k.pem"
        key.write_bytes(pem)
        key.chmod(0o600)
        public = parse_pem(pem, "k").public_text()
        self.good = (
            "srs.our.example A 192.0.2.10",
            "srs.our.example TXT v=spf1 a -all",
            "10.2.0.192.in-addr.arpa PTR srs.our.example",
            "our.example TXT v=spf1 a:srs.our.example ~all",
            "our.example MX 10 mx.our.example",
            "mx.our.example A 192.0.2.25",
            f"k._domainkey.our.example TXT v=DKIM1; h=sha256; k=ed25519; p={public}",
            "_dmarc.our.example TXT v=DMARC1; p=quarantine; np=reject; rua=mailto:d@our.example",
            "_mta-sts.our.example TXT v=STSv1; id=1",
            "mta-sts.our.example A 192.0.2.80",
            "_smtp._tls.our.example TXT v=TLSRPTv1; rua=mailto:t@our.example",
        )
        self.postfix()

    def postfix(self, main=""):
        (self.postfix_dir / "main.cf").write_text(main)
        (self.postfix_dir / "master.cf").write_text(MASTER)
        for file in self.postfix_dir.glob("*.cf"):
            os.utime(file, (1e9, 1e9))

    def configure(self, server="127.0.0.1@1", *, role="srs", more=""):
        vouching = (
            'vouching_hosts = ["192.0.2.25"]\nvouching_id = "mx.our.example"\n' if role == "srs" else ""
        )
        path = self.folder / "postvouch.toml"
        path.write_text(
            f'[general]\nrole = "{role}"\nhostname = "{role}.our.example"\ndomains = ["our.example"]\n'
            f'[dns]\nservers = ["{server}"]\n[sign]\n{vouching}[verify]\npublic_suffixes = ""\n'
            f'[[sign.key]]\ndomain = "our.example"\nselector = "k"\nfile = "{self.folder}/k.pem"\n{more}'
        )
        return path

    def run(self, verb, *arguments, zone=None, without="", role="srs", more=""):
        kept = [each for each in self.good if not without or not each.startswith(without)]
        with serving(*(kept if zone is None else zone)) as server:
            path = self.configure(server, role=role, more=more)
            options = ["--config", str(path), "--config-dir", str(self.postfix_dir)]
            status = run([verb, *options, *arguments])
        return status, self.capsys.readouterr().out


@pytest.fixture
def host(tmp_path, pem, monkeypatch, capsys):
    return Host(tmp_path, pem, monkeypatch, capsys)


def test_all_well_is_one_line_and_status_0(host):
    status, out = host.run("doctor")
    assert status == 0, out
    assert out == "srs.our.example, role srs: 0 error, 0 warning, 0 note, 10 ok\n"


def test_a_defect_is_a_row_a_record_to_publish_and_status_65(host):
    status, out = host.run("doctor", without="our.example TXT")
    assert status == 65
    assert "error  spf   our.example  no SPF record: anyone may write as this domain\n" in out
    assert '\nour.example. IN TXT "v=spf1 a:srs.our.example ~all"\n' in out
    assert "\x1b" not in out


def test_warnings_alone_are_status_1_and_notes_status_0(host):
    assert host.run("doctor", without="_dmarc")[0] == 1
    status, out = host.run("doctor", without="_smtp._tls")
    assert status == 0
    assert "note   tlsrpt" in out
    assert "To publish" not in out


def test_where_dns_does_not_answer_the_status_is_75(host):
    status, out = host.run("doctor", zone=[*host.good, "_smtp._tls.our.example TEMPERROR"])
    assert status == 75, out
    assert "warning  tlsrpt  _smtp._tls.our.example  no answer from DNS" in out


def test_with_all_what_is_right_is_shown_as_well(host):
    status, out = host.run("doctor", "--all")
    assert status == 0
    assert "ok     dkim     k._domainkey.our.example" in out


def test_json_has_every_finding_and_its_records(host):
    status, out = host.run("doctor", "--json", without="_dmarc")
    data = json.loads(out)
    assert (data["status"], data["role"], data["host"]) == (1, "srs", "srs.our.example")
    assert status == 1
    worst = [each for each in data["findings"] if each["severity"] == "warning"]
    assert [(each["area"], each["name"], each["unanswered"]) for each in worst] == [
        ("dmarc", "_dmarc.our.example", False)
    ]
    assert worst[0]["publish"][0]["type"] == "TXT"
    assert worst[0]["publish"][0]["line"].startswith("_dmarc.our.example. IN TXT ")


def test_options_say_what_the_host_cannot_know(host):
    status, out = host.run(
        "doctor", "--address", "192.0.2.66", "--mx", "mx9.our.example", "--domain", "our.example"
    )
    assert status == 65
    assert "192.0.2.66 (srs.our.example) sends for it and is not listed: softfail" in out
    assert "mx9.our.example takes its mail and is not in its MX" in out
    assert "our.example. IN MX 10 mx9.our.example." in out
    assert host.run("doctor", "--domain", "other.example")[1].count("our.example  ") == 0


def test_the_address_that_postfix_is_bound_to_is_the_one_that_sends(host):
    host.postfix("smtp_bind_address = 192.0.2.77\n")
    assert "192.0.2.77 (srs.our.example) sends for it and is not listed" in host.run("doctor")[1]


@pytest.mark.parametrize("option", [["--address", "x"], ["--mx", "a..b"]])
def test_wrong_options_are_wrong_usage(host, option, capsys):
    assert host.run("doctor", *option)[0] == 64


def test_without_a_role_there_is_nothing_to_check(tmp_path, capsys):
    path = tmp_path / "postvouch.toml"
    path.write_text("[general]\n")
    for verb in ("doctor", "dns-records"):
        assert run([verb, "--config", str(path)]) == 78
        assert "general.role is not set" in capsys.readouterr().err


def test_accept_is_a_warning_where_receivers_are_asked_to_be_strict(host):
    host.postfix(f"milter_default_action = accept\nsmtpd_milters = {OURS}\n")
    status, out = host.run("doctor")
    assert status == 1
    text = "accept: while postvouch-sign is away, mail leaves bare and fails as our.example (p=quarantine)"
    assert text in out
    lax = [*(each for each in host.good if not each.startswith("_dmarc")),
           "_dmarc.our.example TXT v=DMARC1; p=none; np=reject; rua=mailto:d@our.example"]  # fmt: skip
    status, out = host.run("doctor", zone=lax)
    assert status == 0
    assert "note   postfix  main.cf" in out


def test_check_warns_of_accept_and_not_of_tempfail(host):
    for action, count in (("accept", 1), ("tempfail", 0)):
        host.postfix(f"milter_default_action = {action}\nnon_smtpd_milters = {OURS}\n")
        _, out = host.run("check")
        warned = (
            f"{host.postfix_dir}/main.cf: warning: milter_default_action = accept: while our milter is away"
        )
        assert out.count(warned) == count, out


def test_an_mx_that_delivers_to_the_world_is_an_error(host):
    more = '[map]\nforward_transport = "smtp:[srs.our.example]"\n'
    status, out = host.run("doctor", role="mx", more=more)
    assert (status, out.count("default_transport brings mail to the world from this mx")) == (65, 1)
    host.postfix("default_transport = smtp:[srs.our.example]\n")
    assert "default_transport" not in host.run("doctor", role="mx", more=more)[1]


def test_a_terminal_gets_colours(host, monkeypatch):
    monkeypatch.setattr(output, "terminal", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b[31m" in host.run("doctor", without="our.example TXT")[1]


def test_the_records_in_zone_form_are_all_that_doctor_wants(host):
    status, out = host.run("dns-records", "--address", "192.0.2.10", "--mx", "mx.our.example", "--ttl", "300")
    assert status == 0
    for line in (
        "srs.our.example. 300 IN A 192.0.2.10  ; the name said in HELO\n",
        "; 10.2.0.192.in-addr.arpa. 300 IN PTR srs.our.example.  ; whoever assigns 192.0.2.10 sets it\n",
        'srs.our.example. 300 IN TXT "v=spf1 a -all"',
        "our.example. 300 IN MX 10 mx.our.example.",
        'our.example. 300 IN TXT "v=spf1 a:srs.our.example ~all"',
        '_dmarc.our.example. 300 IN TXT "v=DMARC1; p=none; np=reject; rua=mailto:postmaster@our.example"',
        '; _mta-sts.our.example. 300 IN TXT "v=STSv1; id=2',
        '_smtp._tls.our.example. 300 IN TXT "v=TLSRPTv1; rua=mailto:postmaster@our.example"',
        'k._domainkey.our.example. 300 IN TXT "v=DKIM1; h=sha256; k=ed25519; p=',
    ):
        assert f"\n{line}" in f"\n{out}", out


def test_records_take_a_policy_and_a_mailbox_and_say_what_is_not_known(host):
    _, out = host.run("dns-records", "--policy", "reject", "--reports", "dmarc@agency.example")
    assert '"v=DMARC1; p=reject; np=reject; rua=mailto:dmarc@agency.example"' in out
    assert "; MX: the mx hosts are not known here; name them with --mx HOST\n" in out
    assert host.run("dns-records", "--reports", "no address")[0] == 64


def test_the_name_by_which_mx_find_the_srs_hosts_is_checked_and_printed(host):
    entry = ("--entry", "in.our.example")
    assert "in.our.example  srs.our.example is not in its MX" in host.run("doctor", *entry)[1]
    assert "in.our.example. IN MX 10 srs.our.example." in host.run("dns-records", *entry)[1]
    assert host.run("doctor", "--entry", "a..b")[0] == 64


def test_the_certificate_of_an_mx_has_its_tlsa_record(host):
    file = host.folder / "cert.pem"
    file.write_bytes(certificate(ec.generate_private_key(ec.SECP256R1())).public_bytes(Encoding.PEM))
    more = f'[postfix]\ntls_cert = "{file}"\n[map]\nforward_transport = "smtp:[srs.our.example]"\n'
    _, out = host.run("dns-records", role="mx", more=more)
    assert f"\n_25._tcp.mx.our.example. IN TLSA {of_certificate(file.read_bytes())[0]}  ; " in f"\n{out}"
    file.unlink()
    assert "TLSA" not in host.run("dns-records", role="mx", more=more)[1]


def test_records_in_json_have_their_strings(host):
    _, out = host.run("dns-records", "--json")
    records = json.loads(out)["records"]
    key = next(each for each in records if each["name"] == "k._domainkey.our.example")
    assert "".join(key["strings"]) == key["value"]
    assert (key["type"], key["hint"]) == ("TXT", False)


def test_a_key_that_cannot_be_read_is_said_in_both(host):
    (host.folder / "k.pem").unlink()
    assert "; a key of our.example cannot be read: " in host.run("dns-records")[1]
    status, out = host.run("doctor")
    assert status == 1
    assert "a key cannot be used: " in out


@pytest.mark.parametrize("main, services, said", [
    ({}, {}, ()),
    ({"milter_default_action": "accept"}, {}, ("milter_default_action = accept",)),
    ({"milter_default_action": "accept", "smtpd_milters": f"{{ {OURS}, default_action=tempfail }}"}, {}, ()),
    ({"milter_default_action": "accept", "smtpd_milters": f"{{{OURS}, default_action=tempfail}}",
      "non_smtpd_milters": f"inet:127.0.0.1:1 {OURS}"}, {}, ("milter_default_action = accept",)),
    ({"smtpd_milters": f"{{ {OURS}, command_timeout=5s, default_action = accept }}"}, {},
     (f"smtpd_milters has default_action=accept for {OURS}",)),
    ({"smtpd_milters": "{ inet:127.0.0.1:11332, default_action=accept }", "non_smtpd_milters": OURS}, {}, ()),
    ({"smtpd_milters": "local:postvouch/sign.sock", "milter_default_action": "Accept"}, {},
     ("milter_default_action = accept",)),
    ({}, {"smtp/inet": "smtp inet n - y - - smtpd -o milter_default_action=accept"},
     ("milter_default_action=accept for smtp/inet in master.cf",)),
    ({}, {"smtp/inet": "smtp inet n - y - - smtpd -o milter_default_action=tempfail", "x/unix": None}, ()),
])  # fmt: skip
def test_where_postfix_lets_mail_go_by(main, services, said):
    assert accepting(main, services, {OURS, SOCKET}) == said


@given(st.text(alphabet="{}, =\tdefault_actioncep/:unix.", max_size=200))
def test_any_setting_of_milters_is_read_without_a_fault(text):
    for each in accepting({"smtpd_milters": text}, {"a/b": text}, {OURS}):
        assert "accept" in each


def test_an_error_weighs_more_than_silence_and_silence_less_than_a_warning():
    about = doctor.About("mx", "our.example")
    error, warning, silence, note = (
        about.error("x"),
        about.warning("x"),
        about.unanswered("x"),
        about.note("x"),
    )
    assert doctor.status_of([note, silence, warning, error]) == 65
    assert doctor.status_of([note, silence, warning]) == 1
    assert doctor.status_of([note, silence]) == 75
    assert doctor.status_of([note]) == 0
