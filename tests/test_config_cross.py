"""Settings that are right by themselves and wrong together."""

import pytest

from postvouch.config.load import examine

KEY = '[[sign.key]]\ndomain = "our.example"\nselector = "{}"\nfile = "/nowhere"\n'
OURS = '[general]\nrole = "srs"\ndomains = ["our.example"]\n'


@pytest.fixture
def texts(tmp_path):
    """Problems and warnings of a configuration, each as "line: text"."""

    def read(text):
        path = tmp_path / "postvouch.toml"
        path.write_text(text, "utf-8")
        report = examine(path)
        return [f"{p.line}: {p.text}" for p in report.problems], [
            f"{w.line}: {w.text}" for w in report.warnings
        ]

    return read


def test_a_vouching_host_among_the_internal_hosts_is_refused(texts):
    found, _ = texts(
        OURS + 'internal_hosts = ["192.0.2.0/24", "2001:db8::/32"]\n'
        '[sign]\nvouching_id = "mx.our.example"\nvouching_hosts = [\n"198.51.100.1",\n"192.0.2.7",\n]\n'
        + KEY.format("a")
    )
    assert len(found) == 1
    assert found[0].startswith("9: 192.0.2.7/32 in sign.vouching_hosts is also in general.internal_hosts")


def test_a_whole_world_of_internal_hosts_is_refused(texts):
    for world in ("0.0.0.0/0", "::/0"):
        found, _ = texts(OURS + f'internal_hosts = ["{world}"]\n')
        assert len(found) == 1
        assert "strangers' mail would be signed" in found[0]


PROBLEMS = [
    ('[general]\nrole = "mx"\n', "2: role mx without general.domains"),
    ('[sign]\nvouching_hosts = ["192.0.2.1"]\n', "2: sign.vouching_hosts without sign.vouching_id"),
    ('[srs]\nmax_age = "10d"\n', "2: srs.max_age must be longer than 10d"),
    ('[sign]\noversign_headers = ["to"]\n', "2: no list of headers holds from"),
    ('[map]\nsoft_age = "3d"\nhard_age = "2d"\n', "2: map.soft_age must be shorter"),
    ('[dns]\ntimeout = "30s"\n', "2: dns.timeout is longer"),
    ('[[map.source]]\nname = "ldap"\nfiles = ["/x"]\n', '1: map.source.name: "ldap" is taken'),
    ('[[map.source]]\nname = "A b"\nfiles = ["/x"]\n', '1: map.source.name: "A b" is no word'),
    ('[[map.source]]\nname = "a"\nfiles = ["x"]\n', '1: map.source.files: "x" is no absolute path'),
    (
        '[[map.source]]\nname = "a"\nfiles = ["/{rolle}"]\n',
        '1: map.source.files: "/{rolle}": {rolle} stands for',
    ),
    ('[map]\nnames = ["/{host}.yaml"]\n', '2: map.names: "/{host}.yaml": {host} stands for nothing'),
    (
        '[[map.source]]\nname = "a"\nfiles = ["/x"]\n[[map.source]]\nname = "a"\nfiles = ["/y"]\n',
        '4: a second map.source named "a"',
    ),
    (
        '[[map.source]]\nname = "db"\ntype = "ud-ldap"\nfiles = ["/x"]\nsection = "roles"\n',
        '1: map.source.section: "roles" is not for people to edit',
    ),
    ('[[policy.limit]]\nname = "a"\n', '1: policy.limit "a" limits nothing'),
    ('[[policy.limit]]\nname = "A b"\nmessages = 1\n', '1: policy.limit.name: "A b" is no word'),
    (
        '[[policy.limit]]\nname = "a"\nmessages = 1\n[[policy.limit]]\nname = "a"\nmessages = 2\n',
        '4: a second policy.limit named "a"',
    ),
    (
        '[[policy.limit]]\nname = "a"\nper = "client"\nmessages = 1\nonly = ["192.0.2.1/24"]\n',
        '1: policy.limit.only: "192.0.2.1/24" is no address or network',
    ),
    (
        '[[policy.limit]]\nname = "a"\nper = "sender_domain"\nmessages = 1\nonly = ["bob@our.example"]\n',
        '1: policy.limit.only: "bob@our.example" is no domain',
    ),
    (
        '[[policy.limit]]\nname = "a"\nmessages = 1\nonly = [" "]\n',
        '1: policy.limit.only: " " is no login and no address',
    ),
    ('[policy]\ncounters = "here"\n', '2: policy.counters: "here" is no absolute path'),
    ('[postfix]\nhelp_url = "see $myhostname"\n', '2: postfix.help_url: "see $myhostname" is no http'),
    ('[map]\nprecedence = ["puppet"]\n', '2: map.precedence: no source is named "puppet"'),
    (
        '[map]\nallowed_targets = ["x.example"]\ndenied_targets = ["x.example"]\n',
        "3: x.example in map.allowed_targets and map.denied_targets",
    ),
    ('[sign]\nmetrics = "127.0.0.1:9471"\n', "2: sign.metrics and verify.metrics are the same"),
    (
        '[map]\nsocket = "unix:/run/a"\n[policy]\nsocket = "unix:/run/a"\n',
        "4: policy.socket and map.socket are the same",
    ),
    ('[ldap]\nuri = "ldaps://x.example"\n', "2: ldap.uri without ldap.base"),
    ('[ldap]\nuri = "http://x.example"\nbase = "o=x"\n', "2: ldap.uri must begin with"),
    ('[ldap]\nuri = "ldaps://x.example"\nbase = "o=x"\nstarttls = true\n', "4: ldap.starttls is for ldap://"),
    ('[ldap]\nuri = "ldaps://x.example"\nbase = "o=x"\nbind_dn = "cn=x"\n', "4: ldap.bind_dn without"),
    ('[verdict]\nown_url = "https://our.example/a page"\n', "2: verdict.own_url: http:// or https://"),
    ('[verdict]\nown_url = "javascript:alert(1)"\n', "2: verdict.own_url: http:// or https://"),
    (
        '[verdict]\nexempt_lists = ["lists.größe.example"]\n',
        '2: verdict.exempt_lists: "lists.größe.example": write a',
    ),
    ('[verdict]\nown_url = "https://bücher.example/"\n', "2: verdict.own_url: http:// or https://"),
    (f'[verdict]\nown_url = "https://our.example/{"x" * 181}"\n', "2: verdict.own_url: http:// or https://"),
    ('[verdict]\nexempt_hosts = ["0.0.0.0/0"]\n', "2: 0.0.0.0/0 in verdict.exempt_hosts: that is everybody"),
    ('[verdict]\nown_hosts = ["::/0"]\n', "2: ::/0 in verdict.own_hosts: that is everybody"),
    (
        '[verdict]\nexempt_names = ["example"]\n',
        '2: verdict.exempt_names: "example" is a whole top-level domain',
    ),
    ('[verdict]\nexempt_lists = ["dev"]\n', '2: verdict.exempt_lists: "dev" is a whole top-level domain'),
    (
        '[verdict]\nexempt_lists = ["dev@far.example"]\n',
        '2: verdict.exempt_lists: "dev@far.example": write the name',
    ),
    (
        '[verdict]\nexempt_lists = ["<dev.far.example>"]\n',
        '2: verdict.exempt_lists: "<dev.far.example>": write',
    ),
    (
        OURS + '[verdict]\nexempt_domains = ["crm.our.example"]\n',
        "5: crm.our.example in verdict.exempt_domains is ours",
    ),
    (
        '[verify]\narc = false\n[verdict]\nexempt_sealers = ["a.example"]\n',
        "4: verdict.exempt_sealers needs verify.arc",
    ),
    (
        '[verify]\niprev = false\n[verdict]\nexempt_names = ["a.example"]\n',
        "4: verdict.exempt_names needs verify.iprev",
    ),
    (
        '[verify]\ndiscovery = "psl"\npublic_suffixes = ""\n',
        '2: verify.discovery = "psl" needs verify.public_suffixes',
    ),
    (OURS + '[sign]\non_unproven = "forward"\n', '5: sign.on_unproven = "forward" needs srs.unproven_domain'),
    (OURS + '[srs]\nunproven_domain = "our.example"\n', "5: srs.unproven_domain must be another domain"),
    (KEY.format("a b"), '1: sign.key.selector: "a b" is no selector'),
    ('[general]\nhostname = "mx our"\n', '2: general.hostname: "mx our" is no host name'),
    ('[verify]\nauthserv_id = "mx;x"\n', "2: verify.authserv_id"),
    ('[map]\nnames = ["names.d/*.yaml"]\n', "2: map.names"),
    ('[map]\nsnapshot = "x"\n', "2: map.snapshot"),
    ('[redis]\nurl = "http://x.example"\n', "2: redis.url must begin"),
    ('[redis]\nsentinels = ["x.example:26379"]\nmaster = ""\n', "2: redis.sentinels without redis.master"),
    ('[srs]\ntokens = "redis"\n', '2: srs.tokens = "redis" needs redis.url or redis.sentinels'),
    ('[srs]\ntokens = "file"\ntoken_file = "x"\n', '3: srs.token_file: "x" is no absolute path'),
    (KEY.format("a") + KEY.format("A"), "5: a second key for A._domainkey.our.example"),
    ('[[sign.key]]\ndomain = "our.example"\n' * 2, "3: a second managed table of our.example"),
    (KEY.format("a") + 'authors = [\n"our.example",\n"bob@",\n]\n', "7: sign.key.authors: "),
    (KEY.format("a") + 'authors = "our.example"\n', '5: sign.key.authors: a list is meant: write ["'),
    (KEY.format("{Year}"), "1: sign.key.selector: {Year} is unknown: write {year} or {shorthost}"),
    (KEY.format("{selector}"), "1: sign.key.selector: {selector} is unknown"),
    (KEY.format("{year}"), "1: sign.key.selector has {year}, and sign.key.file neither"),
    (KEY.format("a").replace("/nowhere", "/{year}"), "1: sign.key.file has {year}, and sign.key.selector"),
    (KEY.format(""), "1: sign.key.file without sign.key.selector"),
    ('[sign]\nclient_certificates = ["crm our"]\n', '2: sign.client_certificates: "crm our" is no host'),
    ('[sign]\nclient_certificates = ["*.our.example"]\n', "2: sign.client_certificates"),
    (
        OURS + 'internal_hosts = []\n[sign]\nvouching_id = "m"\nvouching_hosts = ["127.0.0.1"]\n',
        "7: 127.0.0.1/32 in sign.vouching_hosts is also in general.internal_hosts (127.0.0.0/8)",
    ),
]


@pytest.mark.parametrize("text, expected", PROBLEMS)
def test_two_settings_that_cannot_be_together_are_a_problem(texts, text, expected):
    found, _ = texts(text)
    assert [each for each in found if each.startswith(expected)], found


WARNINGS = [
    (
        '[redis]\nurl = "redis://x.example"\nsentinels = ["x.example:26379"]\n',
        "2: redis.url has no effect beside redis.sentinels",
    ),
    (OURS + '[srs]\ntokens = "file"\n', '5: srs.tokens = "file" on role srs: a bounce that comes to another'),
    (OURS + '[redis]\nurl = "redis://x.example"\n', '5: srs.tokens = "off": senders too long for SRS leave'),
    ('[postfix]\nsign_default_action = "accept"\n', '2: postfix.sign_default_action = "accept": while'),
    ("", "0: general.role is not set"),
    ('[general]\nrole = "relay"\ndomains = ["our.example"]\n', "2: role relay without a [[sign.key]]"),
    ('[general]\nrole = "mx"\ndomains = ["our.example"]\n' + KEY.format("a"), "4: an mx does not sign"),
    ('[general]\nrole = "mx"\ndomains = ["our.example"]\n', "2: role mx without map.forward_transport"),
    ('[general]\nrole = "srs"\ndomains = ["our.example"]\n', "2: role srs without sign.vouching_hosts"),
    ('[general]\ndomains = ["far.example"]\n' + KEY.format("a"), "3: our.example is not in general.domains"),
    ('[general]\nrole = "relay"\n', "2: role relay without general.domains: only mail From: this host's"),
    (OURS + KEY.format("a") + 'authors = ["far.example"]\n', "4: far.example in sign.key.authors is not in"),
    (OURS + KEY.format("a") + 'authors = ["far.example"]\n', "4: our.example signs for far.example, which"),
    (KEY.format("a") + 'authors = ["our.example"]\nsubdomains = true\n', "1: sign.key.subdomains has no"),
    ("[sign]\nsign_unauthenticated = true\n", "2: sign.sign_unauthenticated"),
    ('[sign]\nvouching_id = "mx.our.example"\n', "2: sign.vouching_id without sign.vouching_hosts"),
    ('[sign]\nexpire = "2d"\n', "2: sign.expire"),
    ('[sign]\nretire_after = "2d"\n', "2: sign.retire_after"),
    ('[map]\nrefresh = "3h"\n', "2: map.refresh is not shorter"),
    ('[verdict]\nmode = "enforce"\nown_fail = "accept"\n', "3: verdict.own_fail"),
    ('[verdict]\nown_temperror = "accept"\n', "2: verdict.own_temperror"),
    (
        '[general]\ndomains = ["our.example"]\n[srs]\ndomain = "srs.example"\n',
        "4: srs.domain srs.example is not in",
    ),
    (
        '[ldap]\nuri = "ldap://x.example"\nbase = "o=x"\nbind_dn = "cn=x"\npassword_file = "/nowhere"\n',
        "2: ldap.password_file over ldap://",
    ),
]


@pytest.mark.parametrize("text, expected", WARNINGS)
def test_what_may_be_meant_is_a_warning_and_stops_nothing(texts, text, expected):
    found, warned = texts(text)
    assert found == []
    assert [each for each in warned if each.startswith(expected)], warned


def test_keys_for_subdomains_of_ours_are_ours(texts):
    _, warned = texts('[general]\nrole = "relay"\ndomains = ["example"]\n' + KEY.format("a"))
    assert warned == []


def test_good_patterns_and_templates_have_nothing_to_be_warned_about(texts):
    assert texts(
        '[general]\nrole = "relay"\ndomains = ["our.example"]\ninternal_hosts = [".lists.our.example"]\n'
        '[[sign.key]]\ndomain = "lists.our.example"\nselector = "{year}-{shorthost}"\n'
        'authors = ["news-*@our.example", "*.lists.our.example", "a.crm.our.example"]\n'
        '[[sign.key]]\ndomain = "our.example"\nselector = "{year}"\nfile = "/keys/{selector}.pem"\n'
        '[[sign.key]]\ndomain = "our.example"\n'
    ) == ([], [])


def test_a_new_mx_that_only_looks_has_nothing_to_be_warned_about(texts):
    assert texts(
        '[general]\nrole = "mx"\ndomains = ["our.example"]\n'
        '[map]\nforward_transport = "smtp:[srs.our.example]"\n'
        '[verdict]\nown_url = "https://our.example/mail?how=to#send"\n'
        'exempt_lists = ["dev.lists.far.example"]\nexempt_domains = ["far.example", "example.org"]\n'
    ) == ([], [])
