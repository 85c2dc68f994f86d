"""Reading the configuration: several files, all problems at once, each with its place."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postvouch.config.load import ConfigError, examine, load
from postvouch.config.schema import Config


@pytest.fixture
def files(tmp_path):
    """Write files by name below an empty directory and return the path of the main one."""

    def write(main="", **drop_ins):
        (tmp_path / "conf.d").mkdir(exist_ok=True)
        path = tmp_path / "postvouch.toml"
        path.write_text(main, "utf-8")
        for name, text in drop_ins.items():
            (tmp_path / "conf.d" / f"{name}.toml").write_text(text, "utf-8")
        return path

    return write


def problems(path):
    """The problems as (file name, line, text)."""
    with pytest.raises(ConfigError) as caught:
        load(path)
    return [(Path(p.file).name, p.line, p.text) for p in caught.value.problems]


def test_an_empty_file_gives_the_defaults(files):
    config = load(files())
    assert config.general.role == ""
    assert config.verify == Config().verify.__class__(authserv_id=config.general.hostname)
    assert config.sign == Config().sign


def test_values_are_read_and_folded(files):
    config = load(
        files(
            """
[general]
role = "srs"
domains = ["Our.Example", "bücher.example"]
[map]
refresh = "10m"
[[sign.key]]
domain = "our.example"
selector = "2026"
file = "/nowhere/key.pem"
subdomains = true
"""
        )
    )
    assert config.general.domains == ("our.example", "xn--bcher-kva.example")
    assert config.map.refresh == 600
    assert [(k.domain, k.selector, k.file, k.subdomains) for k in config.sign.key] == [
        ("our.example", "2026", "/nowhere/key.pem", True)
    ]


def test_two_drop_ins_that_each_add_a_domain_and_a_key_both_count(files):
    key = '[general]\ndomains = ["{0}"]\n[[sign.key]]\ndomain = "{0}"\nselector = "s"\nfile = "/k"\n'
    config = load(files("", one=key.format("one.example"), two=key.format("two.example")))
    assert config.general.domains == ("one.example", "two.example")
    assert [key.domain for key in config.sign.key] == ["one.example", "two.example"]


def test_the_later_file_wins_for_single_values_and_joins_lists_without_doubling(files):
    config = load(
        files(
            '[log]\nprivacy = "full"\n[general]\ndomains = ["a.example", "b.example"]\n',
            b='[log]\nprivacy = "drop"\n',
            a='[log]\nprivacy = "hash"\n[general]\ndomains = ["B.example", "c.example"]\n',
        )
    )
    assert config.log.privacy == "drop"
    assert config.general.domains == ("a.example", "b.example", "c.example")


def test_a_list_in_a_file_takes_the_place_of_the_default(files):
    assert load(files('[general]\ninternal_hosts = ["192.0.2.0/24"]\n')).general.internal_hosts == (
        "192.0.2.0/24",
    )
    assert load(files("[general]\ninternal_hosts = []\n")).general.internal_hosts == ()


def test_files_that_are_still_being_written_are_not_read(files, tmp_path):
    path = files("", a='[log]\nprivacy = "hash"\n')
    (tmp_path / "conf.d" / ".b.toml.Xy1").write_text("[nope")
    (tmp_path / "conf.d" / ".c.toml").write_text("[nope")
    (tmp_path / "conf.d" / "d.toml~").write_text("[nope")
    assert load(path).log.privacy == "hash"


def test_every_problem_of_every_file_is_named_in_one_run(files):
    path = files(
        'role = "mx"\n[general]\nrolle = "mx"\n'
        'domains = [\n  "our.example",\n  "not a domain",\n]\n[sgn]\nx = 1\n',
        a='[verify]\nworkers = "two"\ndiscovery = "refuse"\nnote.deep = 1\n',
        b="[log]\nprivacy = \n",
        c="[[sign.key]]\ndomain = 5\n",
        d='[[sign.key]]\nselector = "a"\n',
    )
    found = problems(path)
    assert [(file, line) for file, line, _ in found] == [
        ("postvouch.toml", 1),
        ("postvouch.toml", 3),
        ("postvouch.toml", 6),
        ("postvouch.toml", 8),
        ("a.toml", 2),
        ("a.toml", 3),
        ("a.toml", 4),
        ("b.toml", 2),
        ("c.toml", 2),
        ("d.toml", 1),
    ]
    texts = [text for _, _, text in found]
    assert texts[0] == '"role" stands outside of its table: put it under [general]'
    assert texts[1] == 'unknown setting "general.rolle" (did you mean "general.role"?)'
    assert texts[3] == 'unknown table "sgn" (did you mean "sign"?)'
    assert texts[7].startswith("not TOML: ")
    assert texts[9] == "this [[sign.key]] lacks its domain"


def test_an_error_reads_as_file_line_and_text(files):
    path = files("[log]\ndebug = 1\n")
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value) == f"{path}:2: log.debug: a number where true or false is meant"


@pytest.mark.parametrize(
    "text, line, part",
    [
        ("[general]\ndomains = 'our.example'\n", 2, 'a list is meant: write ["our.example"]'),
        ("sign = 3\n", 1, "write [sign]"),
        ("[[log]]\n", 1, "write [log]"),
        ("[sign]\n[sign.key]\ndomain = 'x.example'\n", 2, "write [[sign.key]]"),
        ("[sign]\nkey = ['x']\n", 2, "write [[sign.key]]"),
        ("[log]\ndomains = ['x.example']\n", 2, "it belongs in [general]"),
        ("[log]\n\n[log]\n", 3, "not TOML: a second [log] in this file: put the settings below the first"),
        (
            '[log]\nprivacy = "full"\nprivacy = "drop"\n',
            3,
            "not TOML: cannot overwrite a value (it is set twice)",
        ),
        ("[log]\nprivacy = full\n", 2, "not TOML: invalid value (text stands in quotes)"),
        ('[log]\nprivacy = "full\n', 2, "not TOML: illegal character '\\n' (the line ends before its quote"),
        ("a = 1\na = 2\n", 2, "not TOML"),
        ("x = '''\n\n", 2, "not TOML"),
        ("[map]\nsoft_age = '8d'\n", 2, "map.soft_age must be shorter"),
    ],
)
def test_a_mistake_is_named_with_its_remedy_and_line(files, text, line, part):
    found = problems(files(text))
    assert any(where == line and part in said for _, where, said in found), found


def test_bytes_that_are_not_utf_8_are_named_with_their_line(files):
    path = files()
    path.write_bytes(b"[general]\n# caf\xe9\n")
    assert problems(path) == [("postvouch.toml", 2, "not UTF-8")]


def test_a_missing_file_and_a_drop_in_that_is_a_folder_are_problems(files, tmp_path):
    path = files()
    (tmp_path / "conf.d" / "x.toml").mkdir()
    path.unlink()
    assert [(file, text) for file, _, text in problems(path)] == [
        (
            "postvouch.toml",
            "cannot be read: No such file or directory; postvouch config --example prints one",
        ),
        ("x.toml", "cannot be read: Is a directory"),
    ]


def test_nesting_without_end_is_a_problem_and_no_crash(files):
    found = problems(files("x = " + "[" * 200_000))
    assert found[0][2].startswith("not TOML")


def test_a_faulty_setting_raises_no_second_problem_elsewhere(files):
    found = problems(files('[sign]\nvouching_id = 7\nvouching_hosts = ["192.0.2.1"]\n'))
    assert [text for _, _, text in found] == ["sign.vouching_id: a number where a string is meant"]


def test_defaults_that_depend_on_others_are_filled_in(files):
    config = load(files('[general]\nhostname = "mx.our.example"\ndomains = ["our.example"]\n'))
    assert config.verify.authserv_id == "mx.our.example"
    assert config.srs.domain == config.ldap.domain == "our.example"


def test_the_system_gives_the_name_of_the_host(files):
    assert load(files()).general.hostname != ""


@pytest.mark.parametrize(
    "mode, good", [(0o600, True), (0o640, True), (0o440, True), (0o644, False), (0o660, False)]
)
def test_a_secret_that_others_may_read_stops_the_start(files, tmp_path, mode, good):
    secret = tmp_path / "srs.secrets"
    secret.write_text("x\n")
    secret.chmod(mode)
    path = files(f'[log]\ndebug = true\n[srs]\nsecrets_file = "{secret}"\n')
    report = examine(path)
    assert (report.config is not None) == good
    assert [p.line for p in report.problems] == ([] if good else [4])


def test_the_mode_of_each_signing_key_is_checked_at_its_own_table(files, tmp_path):
    key = tmp_path / "key.pem"
    key.write_text("x")
    key.chmod(0o604)
    table = '[[sign.key]]\ndomain = "our.example"\nselector = "{}"\nfile = "{}"\n'
    found = problems(files(table.format("a", "/nowhere"), z=table.format("b", key)))
    assert found == [("z.toml", 1, f"{key} has mode 0604: others may read it; chmod 0640 {key}")]


def test_warnings_do_not_stop_anything(files):
    report = examine(files('[general]\ninternal_hosts = ["10.0.0.1/8"]\n'))
    assert report.config is not None
    assert report.config.general.internal_hosts == ("10.0.0.0/8",)
    assert any(w.line == 2 and "10.0.0.0/8" in w.text for w in report.warnings)


def test_a_report_says_where_each_setting_was_set(files):
    report = examine(files("[log]\ndebug = false\n", a="[log]\n\ndebug = true\n"))
    assert [(os.path.basename(w.file), w.line) for w in report.places["log.debug"]] == [("a.toml", 3)]


@given(st.text(max_size=60))
def test_no_text_whatever_makes_the_loader_raise_anything_else(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(text.encode("utf-8", "replace"))
    report = examine(path)
    assert (report.config is None) == bool(report.problems)


def test_a_relay_without_domains_signs_for_its_own_name_and_no_other_role_does(files):
    text = '[general]\nrole = "{}"\nhostname = "Crm-Int-01.our.example"\n'
    assert load(files(text.format("relay"))).general.domains == ("crm-int-01.our.example",)
    assert problems(files(text.format("srs")))[0][2].startswith("role srs without general.domains")
    assert load(files(text.format("relay").replace("Crm-Int-01.our.example", "crm"))).general.domains == ()
