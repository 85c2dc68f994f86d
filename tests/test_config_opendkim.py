"""OpenDKIM's configuration, read as OpenDKIM reads it, and what becomes of it."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postvouch.config.load import examine
from postvouch.config.opendkim import data_set, parse
from postvouch.config.opendkimdirectives import DIRECTIVES
from postvouch.config.opendkimimport import convert
from postvouch.config.opendkimtoml import toml
from postvouch.config.sign import Sign

MAIN = "/etc/opendkim.conf"
MAN_PAGE = """
AllowSHA1Only AlwaysAddARHeader AuthservID AuthservIDWithJobID AutoRestart AutoRestartCount
AutoRestartRate Background BaseDirectory BodyLengthDB BogusKey CaptureUnknownErrors Canonicalization
ChangeRootDirectory ClockDrift Diagnostics DiagnosticDirectory DisableCryptoInit DNSConnect DNSTimeout
Domain DomainKeysCompat DontSignMailTo EnableCoredumps ExemptDomains ExternalIgnoreList
FinalPolicyScript FixCRLF IdentityHeader IdentityHeaderRemove IgnoreMalformedMail Include InternalHosts
KeepAuthResults KeepTemporaryFiles KeyFile KeyTable LDAPAuthMechanism LDAPAuthName LDAPAuthRealm
LDAPAuthUser LDAPBindPassword LDAPBindUser LDAPDisableCache LDAPKeepaliveIdle LDAPKeepaliveInterval
LDAPKeepaliveProbes LDAPTimeout LDAPUseTLS LogResults LogWhy MacroList MaximumHeaders
MaximumSignaturesToVerify MaximumSignedBytes MilterDebug Minimum MinimumKeyBits Mode MTA MTACommand
MultipleSignatures MustBeSigned Nameservers NoHeaderB OmitHeaders On-BadSignature On-Default On-DNSError
On-InternalError On-KeyNotFound On-NoSignature On-Security On-SignatureError OversignHeaders PeerList
PidFile POPDBFile Quarantine QueryCache RedirectFailuresTo RemoveARAll RemoveARFrom RemoveOldSignatures
ReplaceHeaders ReplaceRules ReportAddress ReportBccAddress RequestReports RequiredHeaders
RequireSafeKeys ResignAll ResignMailTo ResolverConfiguration ResolverTracing ScreenPolicyScript
SelectCanonicalizationHeader Selector SenderHeaders SenderMacro SendReports SetupPolicyScript
SignatureAlgorithm SignatureTTL SignHeaders SigningTable SMTPURI Socket SoftStart SoftwareHeader
Statistics StatisticsName StatisticsPolicyScript StatisticsPrefix StrictHeaders StrictTestMode
SubDomains Syslog SyslogFacility SyslogName SyslogSuccess TemporaryDirectory TestDNSData TestPublicKeys
TrustAnchorFile TrustSignaturesFrom UMask UnprotectedKey UserID VBR-Certifiers VBR-PurgeFields
VBR-TrustedCertifiers VBR-TrustedCertifiersOnly VBR-Type WeakSyntaxChecks
""".split()  # noqa: SIM905 - the names of opendkim.conf(5), as the manual page of Debian 12 and 13 has them

BASE = "Mode s\nDomain our.example\nSelector 2026\nKeyFile /etc/dkimkeys/2026.private\n"


def disk(**files):
    """A ``read`` for these files, "/" and dots spelled out in a dictionary."""

    def read(path):
        if path not in files:
            raise FileNotFoundError(2, "No such file or directory", path)
        return files[path]

    return read


def lines_of(text, **files):
    return parse(MAIN, disk(**{MAIN: text, **files}))


def imported(text, **files):
    read = disk(**{MAIN: text, **files})
    return convert(parse(MAIN, read), read)


def lost(result):
    return [str(each) for each in result.entries if each.fate == "not-carried"]


def fate(result, directive):
    return [each.fate for each in result.entries if each.directive == directive]


def test_each_directive_of_the_manual_page_is_known():
    assert [name for name in MAN_PAGE if name.lower() not in DIRECTIVES] == []
    assert {name.lower() for name in MAN_PAGE} >= set(DIRECTIVES) - {
        "atpsdomains", "atpshashalgorithm", "x-header",
    }  # fmt: skip


@pytest.mark.parametrize("name", [name for name in MAN_PAGE if name != "Include"])
def test_each_directive_has_an_entry_wherever_it_is_set(name):
    result = imported(f"Mode sv\n{name} 1\n")
    assert any(each.directive.lower() == name.lower() for each in result.entries), name


@pytest.mark.parametrize("text", [
    "mode\ts", "MODE s", "  Mode   s  ", "Mode s # sign only", "Mode s#", "\tMode \t s\t\r", "Mode v\nMode s",
])  # fmt: skip
def test_a_line_is_read_as_opendkim_reads_it(text):
    assert lines_of(text).get("Mode").value == "s"


def test_a_hash_ends_a_line_even_inside_a_word():
    assert lines_of("Selector a#b").get("selector").value == "a"


@pytest.mark.parametrize("value, is_true", [
    ("yes", True), ("True", True), ("1", True), ("y", True), ("no", False), ("False", False), ("0", False),
])  # fmt: skip
def test_a_boolean_is_its_first_letter(value, is_true):
    assert lines_of(f"SubDomains {value}").get("SubDomains").true is is_true


@pytest.mark.parametrize("value, number", [("10", 10), ("0x10", 16), ("010", 8), ("-1", -1), ("0", 0)])
def test_an_integer_may_be_octal_or_hexadecimal(value, number):
    assert lines_of(f"SignatureTTL {value}").get("SignatureTTL").number == number


@pytest.mark.parametrize("line, said", [
    ("Mode", "has no value"),
    ("SubDomains maybe", "neither yes nor no"),
    ("SignatureTTL 5d", "is no number"),
    ("KeyTabel /x", 'no directive of OpenDKIM 2.11 (did you mean "keytable"?)'),
    ("Include /nowhere", "/nowhere cannot be read: No such file"),
])  # fmt: skip
def test_what_opendkim_would_not_start_with_is_named_with_its_line(line, said):
    (text,) = [text for text in lost(imported(f"{BASE}\n{line}\n")) if said in text]
    assert text.startswith(f"{MAIN}:6: {line.split()[0]}: ")


def test_an_included_file_counts_where_it_stands_and_the_last_word_wins():
    settings = lines_of("Mode v\nInclude /more\nSelector b\n", **{"/more": "Mode s\nSelector a\n"})
    assert settings.get("Mode").where == ("/more", 1)
    assert settings.get("Selector").value == "b"
    assert [line.where for line in settings.overridden] == [(MAIN, 1), ("/more", 2)]


def test_files_that_include_each_other_come_to_an_end():
    settings = lines_of("Include /etc/opendkim.conf\n" * 4)
    assert len(settings.files) <= 100
    assert "nested too deeply" in settings.faults[0].text


@pytest.mark.parametrize("spec, keys", [
    ("our.example", ["our.example"]),
    ("a.example, b.example ,c.example", ["a.example", "b.example", "c.example"]),
    ("csl:a.example,b.example", ["a.example", "b.example"]),
    ("/set", ["a.example", "b.example"]),
    ("file:/set", ["a.example", "b.example"]),
    ("FILE:/set", ["a.example", "b.example"]),
    ("refile:/set", ["a.example"]),
    ("./set", ["./set"]),
    ("127.0.0.1,::1", ["127.0.0.1", "::1"]),
])  # fmt: skip
def test_a_data_set_is_what_its_first_letters_say(spec, keys):
    files = {"/set": "# comment\na.example k # more\n\n  b.example\tk\r\n"}
    line = lines_of(f"Domain {spec}").get("Domain")
    assert [row.key for row in data_set(line, disk(**files)).rows] == keys


@pytest.mark.parametrize("spec", [
    "ldap://ldap.our.example/", "lua:/x.lua", "dsn:mysql://x", "memcache:host/key", "db:/x", "/etc/x.db",
    "nonsense:x", "::1,127.0.0.1",
])  # fmt: skip
def test_a_source_that_is_not_read_is_named(spec):
    result = imported(f"{BASE}InternalHosts {spec}\n")
    assert lost(result) != []
    assert lost(result)[0].startswith(f"{MAIN}:5: InternalHosts: ")
    assert "general.internal_hosts" not in result.settings


SEED = """\
LogWhy yes
Mode s # sign only, use sv to also check incoming
Domain our.example
Selector 2022-submit-01 # 2022-submit-01._domainkey.our.example
Keyfile /etc/opendkim/keys/2022-submit-01.private
Socket local:/var/spool/postfix/opendkim/opendkim.sock
InternalHosts lists-01.our.example,lists.our.example,127.0.0.1,::1,localhost # cargo-culted, to remove?
# strip incoming sigs, typically from submit-01
RemoveOldSignatures yes
"""


def test_the_configuration_of_a_host_that_signs():
    result = imported(SEED)
    assert result.settings == {
        "general.internal_hosts": ("127.0.0.1", "::1", "lists-01.our.example", "lists.our.example"),
        "sign.remove_old_signatures": "all",
    }
    assert result.domains == ("our.example",)
    (key,) = result.keys
    assert (key.domain, key.selector) == ("our.example", "2022-submit-01")
    assert key.file == "/etc/opendkim/keys/2022-submit-01.private"
    assert (key.subdomains, key.authors) == (False, ())
    assert lost(result) == []
    assert fate(result, "Socket") == fate(result, "LogWhy") == ["not-needed"]


def test_several_domains_share_a_key_and_each_is_signed_as_itself():
    result = imported(BASE.replace("our.example", "our.example,crm.our.example") + "SubDomains yes\n")
    assert [(key.domain, key.subdomains) for key in result.keys] == [
        ("our.example", True), ("crm.our.example", True),
    ]  # fmt: skip
    assert {key.file for key in result.keys} == {"/etc/dkimkeys/2026.private"}


@pytest.mark.parametrize("hosts, networks, named", [
    ("127.0.0.1,::1", ("127.0.0.1", "::1"), 0),
    ("127.0.0.1,192.0.2.0/24,2001:db8::/32", ("127.0.0.1", "192.0.2.0/24", "2001:db8::/32"), 0),
    ("192.0.2.0/24,!192.0.2.0/25", ("192.0.2.128/25",), 0),
    ("!192.0.2.0/24,192.0.2.7", ("192.0.2.7",), 0),
    ("192.0.2.7,!192.0.2.7", (), 0),
    ("[192.0.2.7],[2001:db8::1]", ("192.0.2.7", "2001:db8::1"), 0),
    ("192.0.2.7/24", (), 1),
    ("192.0.2.0/255.255.255.0", (), 1),
    ("2001:DB8::/32,0.0.0.0/0", ("2001:db8::/32",), 1),
    ("Lists.our.example,192.0.2.7,.crm.example", ("192.0.2.7", "lists.our.example", ".crm.example"), 0),
    (".our.example,!x.our.example", (".our.example",), 1),
    (".example,unknown,-x-.our.example", (), 3),
])  # fmt: skip
def test_internal_hosts_are_networks_and_names(hosts, networks, named):
    result = imported(f"{BASE}InternalHosts csl:{hosts}\n")
    assert result.settings["general.internal_hosts"] == networks
    assert len(lost(result)) == named


def test_a_refile_without_patterns_is_a_list_of_hosts():
    files = {"/hosts": "127.0.0.1\nlocalhost\n192.0.2.0/24\n*.our.example\n"}
    result = imported(f"{BASE}InternalHosts refile:/hosts\nExternalIgnoreList refile:/hosts\n", **files)
    assert result.settings["general.internal_hosts"] == ("127.0.0.1", "192.0.2.0/24", "::1")
    assert lost(result)[0].startswith("/hosts:4: InternalHosts: *.our.example: OpenDKIM knows no patterns")
    assert fate(result, "ExternalIgnoreList") == ["not-needed"]


@pytest.mark.parametrize("lines, settings", [
    ("Canonicalization relaxed/simple", {"sign.canonicalization": "relaxed/simple"}),
    ("Canonicalization relaxed", {"sign.canonicalization": "relaxed/simple"}),
    ("SignatureTTL 1209600", {"sign.expire": "1209600s"}),
    ("Nameservers 192.0.2.53,2001:db8::53", {"dns.servers": ("192.0.2.53", "2001:db8::53")}),
    ("OversignHeaders From", {}),
    ("OversignHeaders From,Date", {
        "sign.oversign_headers": (*Sign().oversign_headers, "date"),
        "sign.oversign_present_headers": tuple(h for h in Sign().oversign_present_headers if h != "date"),
    }),
    ("SignHeaders *,+X-Ours", {"sign.sign_headers": (*Sign().sign_headers, "x-ours")}),
    ("SignHeaders From,To,X-Ours", {
        "sign.sign_headers": ("x-ours",), "sign.oversign_headers": ("from", "to"),
        "sign.oversign_present_headers": (),
    }),
    ("OmitHeaders Subject,From", {"sign.oversign_headers": ("from", "reply-to", "to", "cc")}),
    ("RequireSafeKeys yes\nRemoveOldSignatures no\nUserID opendkim\nUMask 007\nPidFile /x\nSyslog yes", {}),
])  # fmt: skip
def test_what_is_carried_and_loses_nothing(lines, settings):
    result = imported(BASE + lines)
    assert result.settings == settings
    assert lost(result) == []


@pytest.mark.parametrize("line, words", [
    ("Mode sv", "postvouch-verify"),
    ("DontSignMailTo a@far.example", "it is signed"),
    ("PeerList 192.0.2.7", "smtpd_milter_maps"),
    ("MacroList daemon_name|ORIGINATING", "prove nothing here"),
    ("MTA MSA", "proves nothing here"),
    ("SenderHeaders Sender,From", "From: alone"),
    ("SetupPolicyScript /x.lua", "no scripts"),
    ("BodyLengthDB file:/x", "l= is never written"),
    ("Nameservers resolver.our.example", "is no IP address"),
    ("Canonicalization odd", "is no canonicalization"),
])  # fmt: skip
def test_what_has_no_counterpart_is_named_with_what_that_means(line, words):
    (text,) = lost(imported(BASE + line))
    assert text.startswith(f"{MAIN}:5: {line.split()[0]}: ")
    assert words in text


def test_what_is_for_verifying_only_does_not_matter_to_a_host_that_signs():
    verifying = (
        "On-BadSignature reject\nMustBeSigned Subject\nAuthservID mx.our.example\nMinimumKeyBits 2048\n"
    )
    assert lost(imported(BASE + verifying)) == []
    result = imported(f"Mode v\n{verifying}Domain our.example\n")
    assert result.settings == {"verify.authserv_id": "mx.our.example", "verify.min_rsa_bits": 2048}
    assert [text.split(": ")[1] for text in lost(result)] == ["Mode", "On-BadSignature", "MustBeSigned"]
    assert result.keys == ()


WORDS = st.sampled_from([
    "Mode", "Domain", "Selector", "KeyFile", "KeyTable", "SigningTable", "SubDomains", "InternalHosts", "s",
    "MultipleSignatures", "Include", "OversignHeaders", "SignHeaders", "SignatureTTL", "Canonicalization",
    "our.example", "*", "%", "a@b.example", "/t", "refile:/t", "csl:", "k=our.example:s:/k", "yes", ",", ":",
    "!192.0.2.0/24", "::1", "0x", "\t", "\r", "\0", "\udcff", "é", "far.example", "Nameservers", "#",
    "*@*.our.example",
])  # fmt: skip


@given(
    st.lists(st.lists(WORDS, max_size=4).map(" ".join), max_size=8).map("\n".join),
    st.lists(st.lists(WORDS, max_size=4).map(" ".join), max_size=6).map("\n".join),
)
def test_no_configuration_makes_the_importer_fall(main, table):
    result = imported(main, **{"/t": table})
    assert all(each.fate in ("carried", "not-needed", "not-carried") for each in result.entries)
    tomllib.loads(toml(result, result.entries).encode("utf-8").decode())


@given(
    st.sets(st.sampled_from(["our.example", "a.our.example", "old.example", "-", "x_y.example"]), min_size=1),
    st.sampled_from(["2026", "a.b", "a_b", "-", "{year}", "sel ector"]),
    st.sampled_from(["/k.pem", "k.pem", "/k %.pem", '/k"\\.pem', "/é"]),
    st.booleans(),
    st.lists(st.sampled_from(["192.0.2.0/24", "!192.0.2.7", "::1", "host", "0.0.0.0/0"]), max_size=4),
    st.lists(st.sampled_from(["a", "from", "*", "+b", "-to", ":"]), max_size=4),
    st.sampled_from(["", "submission", "relay", "srs"]),
)
def test_what_is_written_loads_without_a_problem(
    tmp_path_factory, domains, selector, file, below, hosts, fields, role
):
    result = imported(
        f"Mode s\nDomain {','.join(sorted(domains))}\nSelector {selector}\nKeyFile {file}\n"
        f"SubDomains {'yes' if below else 'no'}\nInternalHosts csl:{','.join(hosts)}\n"
        f"SignHeaders csl:{','.join(fields)}\nOversignHeaders csl:{','.join(fields)}\n"
    )
    path = tmp_path_factory.mktemp("toml") / "postvouch.toml"
    path.write_text(toml(result, result.entries, role=role), "utf-8")
    assert examine(path).problems == ()
