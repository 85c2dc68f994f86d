"""One organisation in every form that names are kept in: the same answers, whichever has them."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from organisation import (
    Organisation,
    as_accounts,
    as_export,
    as_fragments,
    as_postmap,
    as_yaml,
    organisation,
)
from servers import Slapd, daemon, ldif_of, program

from postvouch.cli.lookup import lookup
from postvouch.config.load import load
from postvouch.config.schema import Config
from postvouch.directory import resolve, sources
from postvouch.directory.model import FILES, Directory, Kind, Part
from postvouch.host.gather import Gathered, gather
from postvouch.values.answer import Found

PEOPLE = organisation()
ROLES = ("mx", "srs", "single", "submission")
KEYS = [
    *(f"{name}@our.example" for name in (*PEOPLE.forwards, *PEOPLE.roles)),
    "nobody@our.example", "Bob+list@OLD.example", "role01@old.example",
]  # fmt: skip


def source(name: str, kind: str, files: Path | str, more: str = "") -> str:
    return f'[[map.source]]\nname = "{name}"\ntype = "{kind}"\nfiles = ["{files}"]\n{more}\n'


class Home:
    """A configuration in a folder, read as the daemons do."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names = folder / "names.yaml"
        self.names.write_text("domains: {our.example: primary, old.example: our.example}\n")
        self.path = folder / "postvouch.toml"

    def config(self, tables: str = "", *, settings: str = "", role: str = "srs", names: str = "") -> Config:
        self.path.write_text(f"""
[general]
role = "{role}"
hostname = "mx1.our.example"
domains = ["our.example", "old.example"]
[map]
names = ["{names or self.names}"]
snapshot = "{self.folder}/directory.snapshot"
socket = "unix:{self.folder}/map.sock"
metrics = ""
{settings}
{tables}
""")
        return load(self.path)

    def gathered(self, tables: str = "", *, settings: str = "", **more: str) -> Gathered:
        return gather(self.config(tables, settings=settings, **more), (), now=1.0)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def directory(made: Gathered) -> Directory:
    assert not made.failures
    assert not [p for p in made.problems if p.fatal]
    return made.compiled.directory


def answers(found: Directory) -> dict[tuple[str, str, str], frozenset[str]]:
    """Every answer of every map of every role, without its order and its source."""
    told = {}
    for role in ROLES:
        for name in sorted(resolve.MAPS):
            for key in KEYS:
                answer = resolve.lookup(found, role, name, key, nexthop="smtp:[srs.our.example]")
                value = answer.value.replace(",", " ").split() if isinstance(answer, Found) else [str(answer)]
                told[role, name, key] = frozenset(value)
    return told


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str, str], frozenset[str]]:
    """What the same people in one YAML file give."""
    home = Home(tmp_path_factory.mktemp("yaml"))
    with home.names.open("a") as file:
        file.write(as_yaml("forwards", PEOPLE.forwards) + as_yaml("roles", PEOPLE.roles))
    told = answers(directory(home.gathered()))
    assert told["srs", "forward", "bob@our.example"] == {"bob@riseup.example"}
    assert told["mx", "owners", "Bob+list@OLD.example"] == {"bob"}
    assert sum(len(told["srs", "forward", f"{name}@our.example"]) for name in PEOPLE.forwards) == 144
    return told


def flat(home: Home) -> str:
    (home.folder / "forward").write_text(as_postmap(PEOPLE.forwards))
    (home.folder / "roles").write_text(as_postmap(PEOPLE.roles))
    return source("flat", "flat", home.folder / "forward", 'section = "forwards"') + source(
        "roles", "flat", home.folder / "roles", 'section = "roles"'
    )


def export(home: Home) -> str:
    (home.folder / "forward-alias").write_text(as_export(PEOPLE.forwards))
    with home.names.open("a") as file:
        file.write(as_yaml("roles", PEOPLE.roles))
    return source("db", "ud-ldap", home.folder / "forward-alias")


def fragments(home: Home) -> str:
    as_fragments(home.folder / "d", "forwards", PEOPLE.forwards)
    as_fragments(home.folder / "d", "roles", PEOPLE.roles)
    return source("puppet", "fragments", home.folder / "d")


def hiera(home: Home) -> str:
    data = home.folder / "data"
    data.mkdir()
    (data / "common.yaml").write_text(
        "profile::ntp::servers: [a, b]\n" + as_yaml("forwards", PEOPLE.forwards, "profile::mail::")
    )
    (data / "srs.yaml").write_text(as_yaml("roles", PEOPLE.roles, "profile::mail::"))
    files = f'{data}/common.yaml", "{data}/{{role}}.yaml", "{data}/{{shorthost}}.yaml'
    return source("hiera", "yaml", files)


@pytest.mark.parametrize("write", [flat, export, fragments, hiera])
def test_every_form_of_file_gives_the_same_answers(write, home, expected) -> None:
    tables = write(home)
    made = home.gathered(tables, settings='namespace = "profile::mail"')
    assert answers(directory(made)) == expected


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    server = Slapd(tmp_path_factory.mktemp("slapd"), ldif_of(as_accounts(PEOPLE)))
    yield server
    server.stop()


def test_ldap_gives_the_same_answers(slapd: Slapd, home: Home, expected) -> None:
    made = home.gathered(f"""
[ldap]
uri = "ldap://127.0.0.1:{slapd.port}"
base = "ou=users,dc=our,dc=example"
filter = "(objectClass=mailThing)"
member_attribute = "roleMember"
""")
    assert answers(directory(made)) == expected


@pytest.mark.parametrize("role", ["mx", "srs"])
def test_the_daemon_postmap_and_lookup_say_the_same_of_every_name(role: str, home: Home) -> None:
    tables = fragments(home)
    home.config(tables, role=role, settings='forward_transport = "smtp:[srs.our.example]"')
    made = gather(load(home.path), (), now=1.0).compiled.directory
    (home.folder / "postfix").mkdir()
    (home.folder / "postfix/main.cf").write_text("compatibility_level = 3.6\n")
    postmap = [program("postmap", "postfix"), "-c", str(home.folder / "postfix"), "-q", "-"]
    runner = CliRunner()
    found = 0
    with daemon("policyd.maps", home.path):
        for name in sorted(resolve.VIEWS[role]):
            told = subprocess.run(
                [*postmap, f"socketmap:unix:{home.folder}/map.sock:{name}"],
                input="\n".join(KEYS) + "\n", capture_output=True, text=True, check=False, timeout=60,
            )  # fmt: skip
            assert not told.stderr
            values = dict(line.split("\t", 1) for line in told.stdout.splitlines())
            for key in KEYS:
                answer = resolve.lookup(made, role, name, key, nexthop="smtp:[srs.our.example]")
                assert values.get(key) == (answer.value if isinstance(answer, Found) else None)
                if role == "mx":
                    assert not {"riseup.example", "gmail.example", "members.example"} & set(
                        values.get(key, "").replace("@", " ").replace(",", " ").split()
                    )
            for key in KEYS[::10]:
                done = runner.invoke(lookup, [name, key, "--config", str(home.path)])
                assert done.output.splitlines()[:1] == ([values[key]] if key in values else []), done.output
            found += len(values)
    assert found > 2 * len(PEOPLE.forwards)


def test_the_first_source_counts_and_precedence_changes_who_is_first(home: Home) -> None:
    (home.folder / "forward").write_text("bob bob@flat.example\n")
    home.names.write_text(home.names.read_text() + "forwards: {bob: bob@yaml.example}\n")
    table = source("flat", "flat", home.folder / "forward", 'section = "forwards"')
    bob = directory(home.gathered(table)).names["bob@our.example"]
    assert (bob.targets, bob.source) == (("bob@yaml.example",), f"{home.names}:2")
    made = home.gathered(table, settings='precedence = ["flat"]')
    bob = directory(made).names["bob@our.example"]
    assert (bob.targets, bob.source) == (("bob@flat.example",), f"{home.folder}/forward:1")
    assert [part.origin for part in made.parts] == ["flat", FILES]


def test_one_broken_source_keeps_what_it_said_and_stops_no_other(home: Home) -> None:
    table = fragments(home)
    home.names.write_text(home.names.read_text() + "aliases: {grants: bob}\n")
    before = home.gathered(table)
    (home.folder / "d/forwards-bob.yaml").write_text("forwards:\n  bob: [half")
    home.names.write_text(home.names.read_text() + "  other: carol\n")
    made = gather(load(home.path), before.parts, now=2.0)
    assert [failure.partition(":")[0] for failure in made.failures] == ["names files", "puppet"]
    home.names.write_text(
        "domains: {our.example: primary, old.example: our.example}\naliases: {other: carol}\n"
    )
    made = gather(load(home.path), before.parts, now=2.0)
    (failure,) = made.failures
    assert failure.startswith("puppet: not taken")
    (problem,) = [p for p in made.problems if p.fatal]
    assert str(problem).startswith(f"{home.folder}/d/forwards-bob.yaml:2: not YAML")
    names = made.compiled.directory.names
    assert names["bob@our.example"].targets == ("bob@riseup.example",)
    assert "other@our.example" in names
    assert "grants@our.example" not in names


class TestFragments:
    def test_files_come_and_go(self, home: Home) -> None:
        table = fragments(home)
        assert "bob@our.example" in directory(home.gathered(table)).names
        (home.folder / "d/forwards-bob.yaml").unlink()
        (home.folder / "d/new.yml").write_text("forwards: {newbie: n@far.example}\n")
        names = directory(home.gathered(table)).names
        assert "bob@our.example" not in names
        assert names["newbie@our.example"].source == f"{home.folder}/d/new.yml:1"

    @pytest.mark.parametrize("name", [".x.yaml", "x.yaml~", "x.yaml.tmp", "#x.yaml#", "x.yaml.dpkg-new"])
    def test_a_file_under_another_name_is_not_there_yet(self, name: str, home: Home) -> None:
        table = fragments(home)
        (home.folder / "d" / name).write_text("forwards:\n  bob: [half")
        assert len(directory(home.gathered(table)).names) == 191

    def test_a_folder_that_is_not_there_is_a_failure_and_an_empty_one_is_empty(self, home: Home) -> None:
        folder = home.folder / "e"
        made = home.gathered(source("puppet", "fragments", folder))
        assert [str(p) for p in made.problems] == [f"{folder}: cannot be read: No such file or directory"]
        assert made.failures
        folder.mkdir()
        assert not directory(home.gathered(source("puppet", "fragments", folder))).names

    def test_two_fragments_of_one_name_are_told(self, home: Home) -> None:
        folder = home.folder / "e"
        folder.mkdir()
        for each in "ab":
            (folder / f"{each}.yaml").write_text(f"forwards: {{bob: {each}@far.example}}\n")
        made = home.gathered(source("puppet", "fragments", folder))
        assert directory(made).names["bob@our.example"].targets == ("b@far.example",)
        (problem,) = made.problems
        assert str(problem) == f"{folder}/b.yaml:1: bob is also at {folder}/a.yaml:1; this one counts"


class TestExport:
    """People edit what is in it themselves."""

    def made(self, home: Home, text: str) -> Gathered:
        (home.folder / "forward-alias").write_text(text)
        return home.gathered(source("db", "ud-ldap", home.folder / "forward-alias"))

    def test_a_bad_line_costs_itself_and_names_who(self, home: Home) -> None:
        long = "x" * 190 + "@far.example"
        made = self.made(home, f"bob: b@far.example\ncarol: <c@far.example>\ndora: {long}\nerin: |/bin/sh\n")
        assert list(directory(made).names) == ["bob@our.example"]
        told = [p.text for p in made.problems]
        assert sorted(text.split(" ")[0] for text in told) == ["'<c@far.example>'", "dora:", "erin:"]

    def test_nobody_takes_an_address_that_is_in_a_file(self, home: Home) -> None:
        home.names.write_text(
            home.names.read_text() + "aliases: {grants: carol}\nforwards: {carol: c@x.example}\n"
        )
        (home.folder / "forward-alias").write_text(
            "grants: thief@far.example\n@our.example: thief@far.example\n"
        )
        table = source("db", "ud-ldap", home.folder / "forward-alias")
        made = home.gathered(table)
        assert "@our.example" not in directory(made).names
        assert resolve.owners(made.compiled.directory, "grants@our.example") == Found("carol")

    def test_a_file_that_is_gone_is_a_failure(self, home: Home) -> None:
        made = home.gathered(source("db", "ud-ldap", home.folder / "gone"))
        assert made.failures
        assert [str(p) for p in made.problems] == [f"{home.folder}/gone: no such file"]


class TestLayers:
    def test_a_later_file_overrides_one_name_and_leaves_the_rest(self, home: Home) -> None:
        (home.folder / "common.yaml").write_text(
            "forwards: {bob: b@common.example, carol: c@common.example}\n"
        )
        (home.folder / "mx1.yaml").write_text("forwards: {bob: b@host.example}\n")
        names = f'{home.names}", "{home.folder}/common.yaml", "{home.folder}/{{shorthost}}.yaml'
        found = directory(home.gathered(names=names)).names
        assert found["bob@our.example"].targets == ("b@host.example",)
        assert found["carol@our.example"].targets == ("c@common.example",)

    def test_a_layer_may_be_missing_but_not_out_of_reach(self, home: Home) -> None:
        names = f'{home.names}", "{home.folder}/nodes/{{shorthost}}.yaml'
        assert not home.gathered(names=names).failures
        (home.folder / "nodes").write_text("no folder")
        made = home.gathered(names=names)
        assert made.failures
        assert "Not a directory" in str(made.problems[0]) or "no such file" in str(made.problems[0])

    def test_without_a_namespace_the_keys_of_modules_are_unknown(self, home: Home) -> None:
        home.names.write_text("profile::mail::aliases: {a: b}\n")
        (problem,) = home.gathered().problems
        assert problem.text.startswith("unknown section 'profile::mail::aliases'")


class TestRoles:
    def test_members_own_the_address_and_get_its_mail(self, home: Home) -> None:
        home.names.write_text(
            home.names.read_text()
            + "roles: {press: [bob, carol@our.example], desk: [desk, bob]}\n"
            + "forwards: {bob: b@far.example, carol: c@far.example}\n"
        )
        found = directory(home.gathered())
        assert resolve.owners(found, "press@our.example") == Found("bob,carol")
        assert resolve.alias(found, "press@our.example") == Found(
            "bob@our.example, carol@our.example", f"{home.names}:2"
        )
        assert resolve.owners(found, "desk@our.example") == Found("bob")

    def test_mail_of_a_role_may_go_elsewhere(self, home: Home) -> None:
        home.names.write_text(
            home.names.read_text()
            + "roles: {press: [bob, erin]}\nforwards: {bob: b@x.example, press: tickets@desk.example}\n"
            + "logins: {erin: [erin@our.example]}\n"
        )
        found = directory(home.gathered())
        assert resolve.owners(found, "press@our.example") == Found("bob,erin")
        answer = resolve.forward(found, "press@our.example")
        assert isinstance(answer, Found)
        assert answer.value == "tickets@desk.example"

    def test_a_role_of_nobody_is_a_fault(self, home: Home) -> None:
        home.names.write_text(home.names.read_text() + "roles:\n  press: press\n")
        (problem,) = home.gathered().problems
        assert str(problem) == f"{home.names}:3: press: a role needs a member besides itself"


def test_a_catch_all_has_what_nobody_else_has(home: Home) -> None:
    home.names.write_text(
        home.names.read_text()
        + 'aliases: {"@our.example": bob}\nforwards: {bob: b@far.example, carol: c@far.example}\n'
    )
    found = directory(home.gathered())
    assert resolve.alias(found, "whoever@our.example") == Found("bob@our.example", f"{home.names}:2")
    assert resolve.recipients(found, "whoever@old.example") == Found("OK", f"{home.names}:2")
    assert not isinstance(resolve.recipients(found, "SRS0=aaaa=bb=x.example=y@our.example"), Found)
    assert resolve.forward(found, "carol@our.example") == Found("c@far.example", f"{home.names}:3")


@pytest.mark.parametrize("settings, kept, reason", [
    ('denied_targets = ["far.example"]', "b@riseup.example", "is in map.denied_targets"),
    ('allowed_targets = ["riseup.example"]', "b@riseup.example", "is not in map.allowed_targets"),
    ('allowed_targets = ["example"]\ndenied_targets = ["far.example"]', "b@riseup.example", "map.denied"),
])  # fmt: skip
def test_targets_that_are_not_allowed_are_left_out_and_told(
    settings: str, kept: str, reason: str, home: Home
) -> None:
    home.names.write_text(
        home.names.read_text() + "forwards:\n  bob: [b@riseup.example, b@sub.far.example]\n  carol: bob\n"
    )
    made = home.gathered(settings=settings)
    names = directory(made).names
    assert names["bob@our.example"].targets == (kept,)
    assert names["carol@our.example"].targets == ("bob@our.example",)
    (problem,) = made.problems
    assert str(problem).startswith(f"{home.names}:3: b@sub.far.example, a target of bob@our.example, ")
    assert reason in problem.text


def test_a_file_that_nobody_may_read_is_a_failure_of_its_source(home: Home) -> None:
    if os.geteuid() == 0:
        (home.folder / "forward").mkdir()  # root may read all files, but no folder as a file
    else:
        (home.folder / "forward").write_text("bob b@far.example\n")
        (home.folder / "forward").chmod(0)
    made = home.gathered(source("flat", "flat", home.folder / "forward"))
    (problem,) = made.problems
    assert "cannot be read" in problem.text


def test_sources_are_parts_with_their_kinds(home: Home) -> None:
    (home.folder / "d").mkdir()
    (home.folder / "d/a.yaml").write_text("roles: {press: bob}\n")
    config = home.config(source("puppet", "fragments", home.folder / "d"))
    readings = sources.read_all(config, {}, now=5.0)
    assert [reading.origin for reading in readings] == [FILES, "puppet"]
    part = readings[1].part
    assert isinstance(part, Part)
    assert (part.read_at, part.strict) == (5.0, True)
    assert [entry.kind for entry in part.entries] == [Kind.ROLE, Kind.ALIAS]


def test_the_organisation_is_the_one_of_the_lab() -> None:
    assert isinstance(PEOPLE, Organisation)
    assert PEOPLE.forwards["frank"] == ("full@gmail.example",)
