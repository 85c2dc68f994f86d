"""config/policy.py: what the core is told of the configuration, all of it."""

import dataclasses
from ipaddress import ip_network
from pathlib import Path

from postvouch.auth.policy import Policy
from postvouch.auth.psl import Suffixes
from postvouch.config.load import load
from postvouch.config.policy import options_of, policy_of
from postvouch.config.schema import Config
from postvouch.config.verdict import Verdict
from postvouch.values.network import internal_hosts

TEXT = """
[general]
domains = ["our.example", "old.example"]
internal_hosts = ["192.0.2.9", ".Lists.our.example"]
[srs]
unproven_domain = "unproven.example"
[verify]
discovery = "psl"
min_rsa_bits = 2048
max_signatures = 3
[verdict]
mode = "enforce"
own_fail = "quarantine"
own_temperror = "mark"
own_hosts = ["192.0.2.1"]
own_url = "https://our.example/mail"
enforced_reject = "reject"
enforced_quarantine = "quarantine"
enforced_temperror = "defer"
other_fail = "mark"
other_none = "defer"
other_temperror = "mark"
bad_author = "reject"
exempt_hosts = ["192.0.2.2", "2001:db8::/32"]
exempt_names = ["Trusted.example"]
exempt_domains = ["b\u00fccher.example"]
exempt_lists = ["Dev.Lists.far.example"]
exempt_sealers = ["seal.example"]
exempt_temperror = "defer"
"""


def test_every_setting_of_the_table_reaches_the_core(tmp_path: Path) -> None:
    path = tmp_path / "postvouch.toml"
    path.write_text(TEXT, "utf-8")
    policy = policy_of(load(path))
    assert policy == Policy(
        domains=("our.example", "old.example"),
        internal=internal_hosts(["192.0.2.9/32", ".lists.our.example"]),
        srs_domains=("our.example", "unproven.example"),
        mode="enforce",
        own_fail="quarantine",
        own_temperror="mark",
        own_hosts=(ip_network("192.0.2.1/32"),),
        own_url="https://our.example/mail",
        enforced_reject="reject",
        enforced_quarantine="quarantine",
        enforced_temperror="defer",
        other_fail="mark",
        other_none="defer",
        other_temperror="mark",
        bad_author="reject",
        exempt_hosts=(ip_network("192.0.2.2/32"), ip_network("2001:db8::/32")),
        exempt_names=("trusted.example",),
        exempt_domains=("xn--bcher-kva.example",),
        exempt_lists=("dev.lists.far.example",),
        exempt_sealers=("seal.example",),
        exempt_temperror="defer",
    )
    defaults = Policy()
    same = [
        each.name
        for each in dataclasses.fields(Policy)
        if getattr(policy, each.name) == getattr(defaults, each.name)
    ]
    assert same == [], "a setting that this test leaves at its default proves nothing"


def test_the_core_has_the_defaults_of_the_manual() -> None:
    for each in dataclasses.fields(Verdict):
        assert getattr(Policy(), each.name) == each.default, each.name


def test_the_limits_and_the_list_reach_the_engine(tmp_path: Path) -> None:
    path = tmp_path / "postvouch.toml"
    path.write_text(TEXT.partition("[verdict]")[0] + "arc = false\niprev = false\n", "utf-8")
    listed = Suffixes.parse("example\n")
    options = options_of(load(path), listed)
    assert (options.limits.min_rsa_bits, options.limits.max_signatures) == (2048, 3)
    assert (options.discovery, options.suffixes, options.arc, options.iprev) == ("psl", listed, False, False)


def test_a_host_without_domains_has_no_srs_domain() -> None:
    assert policy_of(Config()).srs_domains == ()
