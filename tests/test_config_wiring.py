"""The fragments of main.cf and master.cf, and the words that our configuration puts into them."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postvouch.config.kinds import Domain, Host, Network, Socket
from postvouch.config.names import Map
from postvouch.config.postfix import Postfix
from postvouch.config.schema import Config, General, Sign
from postvouch.config.snippets import Wiring, fill, normal, parse_main, parse_master, wiring
from postvouch.config.wiring import DAEMONS, ROLES, as_postfix_says, home_map, networks, words
from postvouch.directory.resolve import MAPS

SNIPPETS = Path(__file__).parents[1] / "postfix-snippets"
QUEUE = "/var/spool/postfix"
NO_NULL = "check_sender_access inline:{{<>=REJECT null sender not allowed}}, "
SRS_MAPS = {"srs-forward", "srs-reverse"}


def config(role: str) -> Config:
    return Config(
        general=General(
            role=role,
            domains=(Domain("our.example"), Domain("old.example")),
            hostname="host.our.example",
            internal_hosts=(Host("127.0.0.0/8"), Host("::1/128"), Host("192.0.2.7/32")),
        ),
        sign=Sign(vouching_hosts=(Network("192.0.2.25/32"), Network("2001:db8::25/128"))),
        map=Map(forward_transport="smtp:[srs.our.example]"),
        postfix=Postfix(tls_cert="/etc/ssl/mail.pem"),
    )


def wired(role: str, changed: Config | None = None) -> Wiring:
    found, problems = words(changed or config(role), role, queue_dir=QUEUE, aliases={"old.example"})
    assert problems == ()
    return wiring(role, found)


@pytest.mark.parametrize("role", ROLES)
def test_every_word_of_every_fragment_is_filled_in(role: str) -> None:
    result = wired(role)
    for text in (*result.main.values(), *(line or "" for line in result.services.values())):
        assert not re.search(r"@\w+\??@", text)


@pytest.mark.parametrize("role", ROLES)
def test_no_setting_is_said_twice(role: str) -> None:
    names = [
        line.partition("=")[0].strip()
        for folder in ("common", role)
        for line in (SNIPPETS / folder / "main.cf").read_text().splitlines()
        if re.match(r"\w", line)
    ]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("role", ROLES)
def test_every_setting_has_its_reason_above(role: str) -> None:
    for folder in ("common", role):
        for paragraph in (SNIPPETS / folder / "main.cf").read_text().split("\n\n"):
            settings = [line for line in paragraph.splitlines() if not line.startswith("#")]
            if settings and "tls_level" not in paragraph and "myhostname" not in paragraph:
                assert paragraph.startswith("#") or "mynetworks" in paragraph, settings


@pytest.mark.parametrize("role", ROLES)
def test_every_map_asked_for_is_one_that_the_daemon_serves(role: str) -> None:
    text = " ".join(wired(role).main.values())
    assert set(re.findall(r"socketmap:unix:postvouch/map\.sock:([\w-]+)", text)) <= MAPS | SRS_MAPS
    assert ("socketmap:" in text) == ("map" in DAEMONS[role])


@pytest.mark.parametrize("role", ROLES)
def test_every_milter_of_ours_defers_when_it_is_gone_and_never_waits_for_long(role: str) -> None:
    main = wired(role).main
    lists = [value for name, value in main.items() if name.endswith("_milters")]
    assert lists
    for value in lists:
        for entry in re.findall(r"\{[^}]*\}", value):
            assert "default_action=tempfail" in entry
            assert all(f"{limit}_timeout=" in entry for limit in ("connect", "command", "content"))
    assert main["milter_default_action"] == "tempfail"


@pytest.mark.parametrize("role", ["srs", "submission", "relay", "single"])
def test_mail_leaves_without_the_signer_only_where_the_configuration_says_accept(role: str) -> None:
    whole = config(role)
    accepting = replace(whole, postfix=replace(whole.postfix, sign_default_action="accept"))
    plain, lax = wired(role), wired(role, accepting)
    texts = [*lax.main.values(), *(line or "" for line in lax.services.values())]
    entries = [entry for text in texts for entry in re.findall(r"\{ ?unix:postvouch/[^}]*\}", text)]
    signing = [entry for entry in entries if "sign.sock" in entry]
    assert signing
    for entry in entries:
        assert ("default_action=accept" in entry) == (entry in signing)
    # A login may send reports with the null sender, but not while nobody is sure to look at them.
    same = {k: v.replace("=accept", "=tempfail").replace(NO_NULL, "") for k, v in lax.main.items()}
    assert plain.main == same


def test_a_policy_service_that_is_gone_means_451_and_never_yes() -> None:
    main = wired("submission").main
    for name in ("smtpd_sender_restrictions", "smtpd_data_restrictions"):
        assert "timeout=10s" in main[name]
        assert "{default_action = 451 " in main[name]


def test_the_map_refuses_a_foreign_sender_behind_the_policy_service() -> None:
    restrictions = wired("submission").main["smtpd_sender_restrictions"]
    assert restrictions.startswith("check_policy_service")
    assert restrictions.endswith("}, reject_sender_login_mismatch")


@pytest.mark.parametrize(
    "sign, postfix",
    [(Sign(check_owner=False), Postfix()), (Sign(), Postfix(sign_default_action="accept"))],
)
def test_the_null_sender_is_refused_where_nobody_looks_at_reports(sign: Sign, postfix: Postfix) -> None:
    changed = replace(config("submission"), sign=sign, postfix=replace(postfix, tls_cert="/etc/ssl/mail.pem"))
    assert "{<>=REJECT" in wired("submission", changed).main["smtpd_sender_restrictions"]
    assert "{<>=REJECT" not in wired("submission").main["smtpd_sender_restrictions"]


@pytest.mark.parametrize("role", ["submission", "single"])
def test_refusals_name_the_page_that_helps_and_clients_are_hidden_by_choice(role: str) -> None:
    plain = wired(role)
    assert "smtpd_reject_footer" not in plain.main
    mail = Postfix(tls_cert="/x", help_url="https://our.example/help", hide_clients=False)
    told = wired(role, replace(config(role), postfix=mail))
    assert told.main["smtpd_reject_footer"] == "\\c - see https://our.example/help"
    for made, cleanup in ((plain, "desk"), (told, "cleanup")):
        doors = [
            line for name, line in made.services.items() if line and "smtpd_sasl_auth_enable=yes" in line
        ]
        assert len(doors) == 2
        assert all(f"cleanup_service_name={cleanup}" in door for door in doors)


def test_mx_and_submission_trust_no_network_but_their_own_host() -> None:
    for role in ("mx", "submission"):
        assert wired(role).main["mynetworks"] == "127.0.0.0/8 [::1]/128"
    assert wired("mx").main["smtpd_relay_restrictions"] == "reject_unauth_destination"


def test_srs_lets_in_its_submission_and_mx_hosts_and_relay_only_internal_ones() -> None:
    assert wired("srs").main["mynetworks"].split() == [
        "127.0.0.0/8", "[::1]/128", "192.0.2.7/32", "192.0.2.25/32", "[2001:db8::25]/128",
    ]  # fmt: skip
    assert wired("relay").main["mynetworks"].split() == ["127.0.0.0/8", "[::1]/128", "192.0.2.7/32"]


def test_an_alias_domain_is_never_a_domain_of_its_own_for_postfix() -> None:
    # Postfix complains of a domain that is in relay_domains and virtual_alias_domains, and then guesses.
    assert wired("mx").main["relay_domains"] == "our.example"
    assert wired("srs").main["virtual_alias_domains"] == "our.example"
    assert "old.example" in wired("submission").main["transport_maps"]


def test_mx_never_sends_to_the_world() -> None:
    main = wired("mx").main
    assert main["relay_transport"] == main["default_transport"] == "smtp:[srs.our.example]"
    assert "transport_maps" not in main


def test_srs_rewrites_envelopes_and_no_header() -> None:
    main = wired("srs").main
    assert main["sender_canonical_classes"] == "envelope_sender"
    assert main["recipient_canonical_classes"] == "envelope_recipient"
    assert main["smtp_generic_maps"] == ""


def test_what_is_not_configured_is_left_as_it_is() -> None:
    without = replace(config("srs"), postfix=Postfix())
    main = wired("srs", without).main
    assert "default_transport" not in main
    assert "smtpd_tls_cert_file" not in main
    assert "smtpd_tls_security_level" not in main


def test_the_key_is_in_the_file_of_the_certificate_unless_said() -> None:
    apart = replace(config("mx"), postfix=Postfix(tls_cert="/c.pem", tls_key="/k.pem"))
    assert wired("mx", apart).main["smtpd_tls_key_file"] == "/k.pem"
    together = replace(config("mx"), postfix=Postfix(tls_cert="/c.pem"))
    assert wired("mx", together).main["smtpd_tls_key_file"] == "/c.pem"


def test_other_milters_come_after_verifying_and_before_signing() -> None:
    other = Postfix(tls_cert="/c.pem", more_milters=("inet:127.0.0.1:11332",))
    assert (
        wired("mx", replace(config("mx"), postfix=other))
        .main["smtpd_milters"]
        .endswith("}, inet:127.0.0.1:11332")
    )
    main = wired("relay", replace(config("relay"), postfix=other)).main
    assert main["smtpd_milters"].startswith("inet:127.0.0.1:11332, {")
    assert "11332" not in main["non_smtpd_milters"]


@pytest.mark.parametrize(
    "role, changes, said",
    [
        ("mx", {"general": General(role="srs")}, 'general.role is "srs"'),
        ("mx", {"general": General(role="mx", hostname="mx.our.example")}, "general.domains"),
        ("mx", {"map": Map()}, "postfix.outgoing_transport"),
        ("submission", {"map": Map()}, "postfix.outgoing_transport"),
        ("submission", {"postfix": Postfix()}, "postfix.tls_cert"),
        ("mx", {"map": Map(socket=Socket("unix:/run/map.sock"))}, "map.socket: /run/map.sock is not below"),
    ],
)
def test_what_is_missing_is_said(role: str, changes: dict[str, object], said: str) -> None:
    _, problems = words(replace(config(role), **changes), role, queue_dir=QUEUE, aliases=())  # type: ignore[arg-type]
    assert any(said in problem for problem in problems)


def test_a_socket_is_named_as_the_chroot_sees_it() -> None:
    assert as_postfix_says("unix:/var/spool/postfix/postvouch/map.sock", QUEUE) == (
        "unix:postvouch/map.sock",
        "",
    )
    assert as_postfix_says("inet:127.0.0.1:8891", QUEUE) == ("inet:127.0.0.1:8891", "")


def test_networks_are_written_once_and_ipv6_in_brackets() -> None:
    assert networks(["::1/128", "192.0.2.0/24", "::1/128"]) == "[::1]/128 192.0.2.0/24 127.0.0.0/8"


def test_home_is_a_next_hop_for_each_domain() -> None:
    assert (
        home_map(["a.example", "b.example"], "smtp:[mx]")
        == "inline:{{a.example=smtp:[mx]}, {b.example=smtp:[mx]}}"
    )


def test_a_commented_service_shall_not_be() -> None:
    text = "#smtp inet n - y - - smtpd\n# smtp is closed\nsubmission inet n - y - - smtpd\n  -o { a = b c }\n"
    assert parse_master(text) == {
        "smtp/inet": None,
        "submission/inet": "submission inet n - y - - smtpd -o {a = b c}",
    }
    with pytest.raises(ValueError, match="not a service"):
        parse_master("what is this\n")


def test_main_cf_is_read_as_postfix_reads_it() -> None:
    text = "a = 1\n  2\n# no\n  # nor this\n\t3\nb=\nc = { x=y,\n  z }\na=4\n"
    assert parse_main(text) == {"a": "4", "b": "", "c": "{x=y, z}"}


def test_a_word_that_nobody_knows_is_a_mistake_in_a_fragment() -> None:
    with pytest.raises(KeyError):
        fill("a = @nobody_knows@\n", {})
    assert fill("# @nobody_knows@ in a comment\n", {}) == "# @nobody_knows@ in a comment\n"


@given(st.text(alphabet="ab {}\t=,", max_size=40))
def test_one_spelling_stays_one_spelling(text: str) -> None:
    assert normal(normal(text)) == normal(text)


def named_hosts(role: str) -> Config:
    whole = config(role)
    hosts = (Host("192.0.2.7/32"), Host("lists-01.our.example"), Host(".crm.our.example"))
    sign = replace(whole.sign, client_certificates=("crm.our.example",))
    return replace(whole, general=replace(whole.general, internal_hosts=hosts), sign=sign)


@pytest.mark.parametrize("role", ["srs", "relay"])
def test_hosts_given_by_name_may_connect_and_the_loopback_always_may(role: str) -> None:
    main = wired(role, named_hosts(role)).main
    assert main["mynetworks"].split()[-2:] == ["127.0.0.0/8", "[::1]/128"]
    assert "lists" not in main["mynetworks"]
    for name in ("smtpd_client_restrictions", "smtpd_relay_restrictions"):
        assert main[name] == (
            "permit_mynetworks, check_client_access "
            r"regexp:{{/^lists-01\.our\.example$$/ OK}, {/\.crm\.our\.example$$/ OK}}, reject"
        )
        assert wired(role).main[name] == "permit_mynetworks, reject"


@pytest.mark.parametrize("role", ["srs", "relay", "submission"])
def test_clients_are_asked_for_certificates_only_where_these_mean_something(role: str) -> None:
    assert wired(role, named_hosts(role)).main["smtpd_tls_ask_ccert"] == "yes"
    assert "smtpd_tls_ask_ccert" not in wired(role).main


def test_bounces_of_ours_pass_the_milter_of_every_role() -> None:
    for role in ROLES:
        assert "bounce" in wired(role).main["internal_mail_filter_classes"]


@pytest.mark.parametrize("role", ROLES)
def test_what_was_signed_leaves_as_it_was_signed(role: str) -> None:
    main = wired(role).main
    assert main["disable_mime_output_conversion"] == "yes"  # a next hop without 8BITMIME
    assert main["smtp_line_length_limit"] == "0"
    assert main["smtp_generic_maps"] == main["smtp_header_checks"] == ""
    assert "masquerade_domains" not in main
