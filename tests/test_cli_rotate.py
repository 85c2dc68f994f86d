"""postvouch dkim rotate against real name servers: whole rotations, a secondary that lags, shared keys."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import dns.rcode
import dns.rrset
import pytest
from dnstree import Tree, Zone

from postvouch.cli import rotate as verb
from postvouch.cli import rotatedesk
from postvouch.cli.main import run
from postvouch.host import dnsauthority
from postvouch.host.rotation import LOCK, active, locked, read
from postvouch.sign.rotation import State

DAY = 86400
START = 1_800_000_000
YEAR = 2027


class World:
    """A domain with its keys, two name servers, and a clock that the test moves."""

    def __init__(self, tree, folder, monkeypatch, capsys, domain="our.example"):
        self.tree, self.folder, self.domain, self.now = tree, folder, domain, START
        self._monkeypatch, self._capsys = monkeypatch, capsys
        self.records = {}
        self.naps, self.meanwhile = 0, {}
        monkeypatch.setattr(dnsauthority, "PORT", tree.port)
        monkeypatch.setattr(verb, "desk_of", self._desk)

    def _desk(self, config):
        return replace(rotatedesk.desk_of(config), clock=lambda: self.now, sleep=self.sleep)

    def sleep(self, seconds):
        self.naps += 1
        assert self.naps < 100
        if self.naps in self.meanwhile:
            self.meanwhile[self.naps]()
        self.now += seconds

    def config(self, host="srs.our.example", keys="keys", more=""):
        path = self.folder / f"{host}-{len(more)}.toml"
        path.write_text(
            f'[general]\nrole = "relay"\nhostname = "{host}"\ndomains = ["our.example"]\n'
            f'[dns]\nservers = ["{self.tree.resolver}"]\n'
            f'[sign]\nkey_directory = "{self.folder}/{keys}"\n{more}\n'
        )
        return path

    def rotate(self, *arguments, config=None, domain=True):
        """Exit status and all that was said."""
        which = [self.domain] if domain else []
        status = run(["dkim", "rotate", *which, *arguments, "--config", str(config or self.config())])
        said = self._capsys.readouterr()
        return status, said.out + said.err

    def publish(self, *, everywhere=True, **texts):
        """Give selectors these TXT records, "" for none; "-" stands for "_" in a selector."""
        for name, text in texts.items():
            self.records[name.replace("_", "-")] = text
        lines = [f"{name}._domainkey TXT {text}" for name, text in self.records.items() if text]
        self.tree.change(self.domain, "\n".join(lines))
        if everywhere:
            self.tree.catch_up(self.domain)

    def states(self, keys="keys"):
        rotation = read(str(self.folder / keys), self.domain)
        return {key.selector: str(key.state) for key in rotation.keys}

    def files(self):
        return sorted(os.listdir(self.folder / "keys" / self.domain))


def asked(said):
    """The strings of each record that was printed in zone form, by selector."""
    found = re.findall(r"(\S+)\._domainkey\.\w+\.example\.\tIN\tTXT\t\( (.*?) \)", said, re.DOTALL)
    return {selector.replace("-", "_"): " ".join(text.split()) for selector, text in found}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    zones = [
        Zone("our.example", servers=2, negative_s=300),
        Zone("half.example", dead=1),
        Zone("insecure.example", signed=False, ds="none", servers=2),
    ]
    running = Tree(tmp_path_factory.mktemp("tree"), zones)
    yield running
    running.stop()


@pytest.fixture
def world(tree, tmp_path, monkeypatch, capsys):
    made = World(tree, tmp_path, monkeypatch, capsys)
    made.publish()
    return made


def begun(world, *arguments):
    """The first key signs."""
    _, said = world.rotate(*arguments)
    world.publish(**asked(said))
    world.rotate()
    world.now += 300
    status, said = world.rotate()
    assert (status, "[[sign.key]]" in said) == (0, True)
    assert active(str(world.folder / "keys"), "our.example")


def test_a_first_key_is_made_published_and_active_when_nobody_can_remember_that_there_was_none(world):
    status, said = world.rotate()
    assert (status, world.states()) == (75, {"2027-srs": "made"})
    records = asked(said)
    assert list(records) == ["2027_srs"]
    world.publish(everywhere=False, **records)
    status, said = world.rotate()
    assert (status, world.states()) == (75, {"2027-srs": "made"})
    assert "ns2.our.example" in said
    assert "has no record (serial" in said
    world.tree.catch_up("our.example")
    status, said = world.rotate()
    assert (status, world.states()) == (75, {"2027-srs": "published"})
    assert "5 minutes from now" in said
    world.now += 299
    assert world.rotate()[0] == 75
    world.now += 1
    status, said = world.rotate()
    assert (status, world.states()) == (0, {"2027-srs": "active"})
    assert world.rotate()[0] == 0


def test_a_whole_rotation_with_both_kinds_of_keys(world):
    begun(world, "--type", "both")
    assert world.states() == {"2027-srs": "active", "2027-srs-ed25519": "active"}
    world.now += 300 * DAY
    status, said = world.rotate("--new")
    new = asked(said)
    assert set(new) == {"2027_srs_2", "2027_srs_2_ed25519"}
    world.publish(**new)
    world.rotate()
    world.now += 300
    status, said = world.rotate()
    assert (status, "signs no more" in said) == (75, True)
    old, both = ("2027-srs", "2027-srs-ed25519"), ("2027-srs-2", "2027-srs-2-ed25519")
    assert world.states() == {**dict.fromkeys(old, "retiring"), **dict.fromkeys(both, "active")}
    world.now += 10 * DAY
    status, said = world.rotate()
    empty = asked(said)
    assert empty == {"2027_srs": '"v=DKIM1; k=rsa; p="', "2027_srs_ed25519": '"v=DKIM1; k=ed25519; p="'}
    assert "2027-srs.pem" in world.files()
    world.publish(**empty)
    assert world.rotate()[0] == 75
    assert world.states() == {**dict.fromkeys(old, "revoked"), **dict.fromkeys(both, "active")}
    assert [name for name in world.files() if name.endswith(".pem")] == [
        "2027-srs-2-ed25519.pem",
        "2027-srs-2.pem",
    ]
    world.now += 30 * DAY
    assert "2027-srs._domainkey.our.example. TXT" in world.rotate()[1]
    world.publish(**dict.fromkeys(empty, ""))
    assert world.rotate()[0] == 0
    assert world.states() == {**dict.fromkeys(old, "deleted"), **dict.fromkeys(both, "active")}
    # A selector is never used again, though nothing is left of it.
    world.rotate("--new")
    assert set(world.states()) == {*old, *both, "2027-srs-3", "2027-srs-3-ed25519"}


def test_a_record_that_signatures_need_and_that_is_gone_or_wrong_is_said_loudly_and_changes_nothing(world):
    begun(world)
    before = world.states()
    right = dict(world.records)
    for text, why in [
        ("", "has no record"),
        ('"v=DKIM1; k=rsa; p="', "empty p="),
        ('"v=DKIM1; p=AAAA"', "another record"),
    ]:
        world.publish(**{"2027_srs": text})
        status, said = world.rotate()
        assert (status, world.states()) == (1, before)
        assert "problem: our.example: 2027-srs: " in said
        assert why in said
    world.publish(everywhere=False, **right)
    assert world.rotate()[0] == 1


def test_a_server_that_does_not_answer_stops_everything_and_is_named(tree, tmp_path, monkeypatch, capsys):
    half = World(tree, tmp_path, monkeypatch, capsys, domain="half.example")
    status, said = half.rotate()
    assert (status, "Publish this" in said, "does not answer" in said) == (75, True, True), said
    half.publish(everywhere=False, **asked(said))
    half.now += 90 * DAY
    status, said = half.rotate()
    assert (status, half.states()) == (75, {"2027-srs": "made"})
    assert "ns2.half.example" in said
    assert "Publish this" not in said


def test_without_any_dns_nothing_is_made(world):
    path = world.folder / "nodns.toml"
    path.write_text(world.config().read_text().replace(world.tree.resolver, "127.0.0.1@1"))
    status, said = world.rotate(config=path)
    assert (status, "cannot be seen" in said) == (75, True)
    assert world.files() == [LOCK]


def test_where_dnssec_is_required_an_insecure_record_makes_no_key_sign(
    world, tree, tmp_path, monkeypatch, capsys
):
    insecure = World(tree, tmp_path, monkeypatch, capsys, domain="insecure.example")
    path = insecure.config(more="require_dnssec = true")
    _, said = insecure.rotate(config=path)
    insecure.publish(**asked(said))
    status, said = insecure.rotate(config=path)
    assert (status, insecure.states()) == (75, {"2027-srs": "made"})
    assert "not secure" in said
    insecure.rotate()
    assert insecure.states() == {"2027-srs": "published"}
    assert insecure.rotate(config=path)[0] == 75
    assert insecure.states() == {"2027-srs": "made"}


@pytest.mark.parametrize("before", ["nothing", "another key"])
def test_where_dnssec_is_required_a_forged_answer_of_every_name_server_makes_no_key_sign(
    world, monkeypatch, before
):
    # Whoever sits between us and the name servers can say anything, and sign none of it.
    path = world.config(more="require_dnssec = true")
    _, said = world.rotate(config=path)
    (text,) = asked(said).values()
    if before == "another key":
        world.publish(**{"2027_srs": '"v=DKIM1; p=AAAA"'})
    honest = dnsauthority.exchange

    def forged(address, port, name, kind, **how):
        reply = honest(address, port, name, kind, **how)
        if kind == "TXT" and name.startswith("2027-srs."):
            reply.index = None
            reply.answer = [dns.rrset.from_text(f"{name}.", 300, "IN", "TXT", text)]
            reply.set_rcode(dns.rcode.NOERROR)
        return reply

    monkeypatch.setattr(dnsauthority, "exchange", forged)
    for _ in range(2):
        status, said = world.rotate(config=path)
        assert (status, world.states()) == (75, {"2027-srs": "made"}), said
        world.now += DAY
    monkeypatch.setattr(dnsauthority, "exchange", honest)
    world.publish(**{"2027_srs": text})
    assert "the resolver does not know it" in world.rotate(config=path)[1]
    assert world.states() == {"2027-srs": "made"}
    world.tree.control("flush_zone", "our.example")
    world.rotate(config=path)
    assert world.states() == {"2027-srs": "published"}


def test_status_and_dry_run_change_nothing(world):
    status, said = world.rotate("--dry-run")
    assert (status, "would be: 2027-srs: made" in said) == (75, True)
    assert not (world.folder / "keys").exists()
    assert world.rotate("--status")[0] == 75
    begun(world)
    world.now += 2 * DAY
    world.publish(**asked(world.rotate("--new")[1]))
    files, states = world.files(), world.states()
    status, said = world.rotate("--dry-run")
    assert (status, "would be: 2027-srs-2: its record is on every name server" in said) == (75, True)
    status, said = world.rotate("--status")
    assert (status, "next run: 2027-srs-2" in said) == (75, True)
    assert re.search(r"^2027-srs +rsa +active .* published$", said, re.MULTILINE)
    assert (world.files(), world.states()) == (files, states)
    status, said = world.rotate("--status", "--json", domain=False)
    (data,) = json.loads(said)["domains"]
    assert [(key["selector"], key["state"]) for key in data["keys"]] == list(states.items())
    assert data["steps"] == [{"selector": "2027-srs-2", "from": "made", "to": "published"}]


def test_a_second_rotation_is_not_begun_by_accident(world):
    begun(world)
    status, said = world.rotate("--new")
    assert (status, "less than a day" in said) == (0, True)
    world.now += DAY
    world.rotate("--new")
    status, said = world.rotate("--new")
    assert (status, "is to sign next" in said) == (75, True)
    assert world.states() == {"2027-srs": "active", "2027-srs-2": "made"}


def test_a_selector_that_somebody_has_published_or_another_table_uses_is_not_taken(world):
    world.publish(**{"2027_srs": '"v=DKIM1; p=AAAA"'})
    more = f'[[sign.key]]\ndomain = "our.example"\nselector = "2027-srs-2"\nfile = "{world.folder}/x.pem"'
    _, said = world.rotate(config=world.config(more=more))
    assert world.states() == {"2027-srs-3": "made"}
    assert "published for a key that is not ours here" in said


def genkey(world, selector, *arguments):
    """A key that was made by hand; the record that is to be published."""
    run(["dkim", "genkey", "-d", "our.example", "-s", selector, "-D", f"{world.folder}/keys", *arguments])
    text = (world.folder / "keys" / "our.example" / f"{selector}.txt").read_text()
    return asked(text)


def test_a_key_that_signs_today_is_adopted_if_it_is_published_and_then_rotated(world):
    record = genkey(world, "seed")
    status, said = world.rotate("--adopt", "seed")
    assert (status, "not adopted" in said, "has no record" in said) == (1, True, True)
    world.publish(everywhere=False, **record)
    assert world.rotate("--adopt", "seed")[0] == 1
    world.tree.catch_up("our.example")
    assert world.rotate("--adopt", "seed")[0] == 0
    assert world.states() == {"seed": "active"}
    status, said = world.rotate("--adopt", "seed")
    assert (status, "active already" in said) == (0, True)
    world.now += DAY
    world.publish(**asked(world.rotate("--new")[1]))
    world.rotate()
    world.now += 300
    world.rotate()
    assert world.states() == {"seed": "retiring", "2027-srs": "active"}


def test_a_key_file_that_nobody_published_is_taken_and_one_of_another_kind_is_left(world):
    genkey(world, "2027-srs", "--type", "ed25519")
    genkey(world, "2027-srs-2")
    before = {name: (world.folder / "keys/our.example" / name).read_bytes() for name in world.files()}
    status, said = world.rotate()
    assert (status, world.states()) == (75, {"2027-srs-2": "made"})
    assert "2027-srs.pem is there and no key of the kind" in said
    assert "2027-srs-2.pem is there and was never published: it is taken" in said
    assert {name: (world.folder / "keys/our.example" / name).read_bytes() for name in before} == before


def test_a_stolen_key_is_replaced_first_and_revoked_without_waiting(world):
    begun(world)
    assert world.rotate("--revoke-now", "2027-srs")[0] == 64
    status, said = world.rotate("--revoke-now", "2027-srs", "--yes")
    assert world.states() == {"2027-srs": "active", "2027-srs-2": "made"}
    world.publish(**asked(said))
    world.rotate()
    world.now += 300
    empty = asked(world.rotate()[1])
    assert list(empty) == ["2027_srs"]
    world.publish(**empty)
    world.rotate()
    assert world.states() == {"2027-srs": "revoked", "2027-srs-2": "active"}
    status, said = world.rotate("--revoke-now", "2027-srs", "--yes")
    assert (status, "revoked already" in said) == (1, True)
    assert world.rotate("--revoke-now", "none", "--yes")[0] == 1


def test_two_runs_at_once_do_not_meet(world):
    world.rotate()
    with locked(f"{world.folder}/keys", "our.example", "process 1 on srs.our.example"):
        status, said = world.rotate()
    assert (status, "worked on by process 1 on srs.our.example" in said) == (75, True)


def test_hosts_with_copies_confirm_and_never_advance(world):
    begun(world)
    other = world.config("srs-02.our.example", keys="copy")
    assert world.rotate("--hosts", "srs-02.our.example")[0] == 0

    def copy():
        os.makedirs(world.folder / "copy" / "our.example", exist_ok=True, mode=0o750)
        for name in world.files():
            source = world.folder / "keys" / "our.example" / name
            target = world.folder / "copy" / "our.example" / name
            target.write_bytes(source.read_bytes())
            target.chmod(source.stat().st_mode & 0o777)

    copy()
    status, said = world.rotate(config=other)
    assert (status, "made on srs.our.example, this is srs-02.our.example" in said) == (1, True)
    world.now += DAY
    world.publish(**asked(world.rotate("--new")[1]))
    world.rotate()
    world.now += 300
    status, said = world.rotate()
    assert (status, "waits until the new keys sign on srs-02.our.example" in said) == (75, True)
    # The old state, confirmed too late, is no confirmation of the new one.
    status, stale = world.rotate("--confirm", config=other)
    assert status == 0
    old = re.search(r"--confirmed (\S+)", stale)[1]
    assert world.rotate("--confirmed", old)[0] == 1
    copy()
    status, said = world.rotate("--confirm", config=other)
    new = re.search(r"--confirmed (\S+)", said)[1]
    world.now += 50 * DAY
    status, said = world.rotate("--confirmed", new)
    assert (status, "10 days from now" in said) == (75, True)
    (world.folder / "copy/our.example/2027-srs-2.pem").unlink()
    assert world.rotate("--confirm", config=other)[0] == 69
    status, said = world.rotate("--take-over", config=other)
    assert read(f"{world.folder}/copy", "our.example").maker == "srs-02.our.example"


def test_a_confirmation_may_come_as_a_file(world):
    begun(world)
    path = world.folder / "keys" / "our.example" / "confirmed.b.our.example.json"
    world.rotate("--hosts", "b.our.example")
    for text in (
        "",
        "[]",
        '{"generation": 1}',
        "[" * 4000,
        '{"version": 1, "domain": "far.example", "host": "b.our.example", "generation": 1}',
    ):
        path.write_text(text)
        world.rotate()
        assert read(f"{world.folder}/keys", "our.example").confirmed == {}
    path.write_text('{"version": 1, "domain": "our.example", "host": "b.our.example", "generation": 1}')
    world.rotate()
    assert read(f"{world.folder}/keys", "our.example").confirmed == {"b.our.example": 1}


@pytest.mark.parametrize(
    "form, part",
    [
        ("nsupdate", "update add 2027-srs._domainkey.our.example."),
        ("bare", "v=DKIM1; h=sha256; k=rsa; p="),
        ("terraform", "aws_route53_record"),
    ],
)
def test_the_record_is_printed_in_the_form_that_is_asked_for(world, form, part):
    assert part in world.rotate("--form", form)[1]


def test_wait_goes_on_until_the_next_step_is_days_away(world):
    begun(world)
    world.now += DAY
    new = asked(world.rotate("--new")[1])
    world.meanwhile = {
        2: lambda: world.publish(everywhere=False, **new),
        4: lambda: world.tree.catch_up("our.example"),
    }
    status, said = world.rotate("--wait")
    assert (status, world.states()) == (75, {"2027-srs": "retiring", "2027-srs-2": "active"})
    assert "ns2.our.example" in said
    assert "9 days from now" in said or "10 days from now" in said
    assert world.naps == 4 + 10


def test_wait_ends_where_a_person_has_to_do_something_else(world):
    begun(world)
    world.now += DAY
    record = world.records["2027-srs"]
    world.publish(**asked(world.rotate("--new")[1]))
    world.meanwhile = {3: lambda: world.publish(**{"2027_srs": ""})}
    status, said = world.rotate("--wait")
    assert (status, world.naps) == (1, 3)
    assert "problem: our.example: 2027-srs: every name server has no record" in said
    world.publish(**{"2027_srs": record})


def test_a_state_that_cannot_be_understood_stops_the_command_and_not_other_domains(world):
    begun(world)
    place = world.folder / "keys" / "far.example"
    place.mkdir()
    (place / "rotation.json").write_text('{"version": 7}')
    (place / "rotation.json").chmod(0o640)
    status, said = world.rotate(domain=False)
    assert (status, "update postvouch" in said) == (69, True)
    assert "2027-srs signs" in said


def test_used_wrongly(world):
    assert world.rotate("--new", domain=False)[0] == 64
    assert world.rotate("--adopt", "../x")[0] == 64
    assert world.rotate("--hosts", "no host")[0] == 64
    assert world.rotate("--status", "--wait")[0] == 64
    assert world.rotate("--confirm")[0] == 1
    assert world.rotate("--hosts", "srs.our.example")[0] == 1
    assert Path(world.folder / "keys/our.example/rotation.json").exists() is False
    assert set(State) >= set(world.states() if world.files() != [LOCK] else ())
