"""Only the changes are read, and what comes of it is exactly what a full reading gives."""

import random
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import badldap
import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers import Slapd, ldif_of, program

from postvouch.config.kinds import Duration
from postvouch.config.names import Ldap
from postvouch.directory import ldap, ldapdelta
from postvouch.directory.ldaptranslate import Record
from postvouch.directory.model import LDAP, Part

PEOPLE = "".join(
    f"user{n} emailForward=user{n}@gmail.example emailAlias=a{n}@our.example\n" for n in range(60)
)
USERS = "ou=users,dc=our,dc=example"
CSN = "20261124030000.000000Z#000000#000#000000"


@pytest.fixture(params=["with contextCSN", "without"])
def slapd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Slapd]:
    server = Slapd(tmp_path / "slapd", ldif_of(PEOPLE))
    if request.param == "with contextCSN":
        server.stop()
        conf = tmp_path / "slapd" / "slapd.conf"
        conf.write_text(
            conf.read_text().replace("moduleload back_mdb", "moduleload back_mdb\nmoduleload syncprov")
            + "overlay syncprov\n"
        )
        server.start()
    yield server
    server.stop()


def settings_of(port: int) -> Ldap:
    return Ldap(
        uri=f"ldap://127.0.0.1:{port}", base=USERS, filter="(objectClass=mailThing)", page_size=25,
        alias_attribute="emailAlias", member_attribute="roleMember", timeout=Duration(5), delta=True,
    )  # fmt: skip


def edit(slapd: Slapd, ldif: str) -> None:
    """Change the server as its administrator."""
    command = [
        program("ldapmodify", "ldap-utils"), "-x", "-c", "-H", f"ldap://127.0.0.1:{slapd.port}",
        "-D", "cn=admin,dc=our,dc=example", "-w", "secret",
    ]  # fmt: skip
    subprocess.run(command, input=ldif, text=True, check=False, capture_output=True)


def compared(settings: Ldap, previous: Part, now: float) -> Part:
    """The changes read on top of ``previous``, which must be what a full reading is."""
    part, problems = ldap.read(settings, "our.example", now=now, previous=previous)
    full, said = ldap.read(replace(settings, delta=False), "our.example", now=now)
    assert part.entries == full.entries
    assert problems == said
    assert (part.origin, part.strict, part.read_at) == (full.origin, full.strict, full.read_at)
    return part


def random_edit(choose: random.Random) -> str:
    """One change of any kind to any person, there or not."""
    who = f"dn: uid=user{choose.randrange(70)},{USERS}\n"
    number = choose.randrange(1000)
    uid = who.partition("=")[2].partition(",")[0]
    return choose.choice([
        f"{who}changetype: modify\nreplace: emailForward\nemailForward: new{number}@far.example\n\n",
        f"{who}changetype: modify\nreplace: emailAlias\nemailAlias: a{number % 90}@our.example\n\n",
        f"{who}changetype: modify\nreplace: emailForward\nemailForward: nonsense\n\n",
        f"{who}changetype: modify\nadd: roleMember\nroleMember: uid=user{number % 70},{USERS}\n\n",
        f"{who}changetype: modify\ndelete: objectClass\nobjectClass: mailThing\n-\ndelete: emailForward\n"
        "-\ndelete: emailAlias\n\n",
        f"{who}changetype: delete\n\n",
        f"{who}changetype: add\nobjectClass: account\nobjectClass: mailThing\nuid: {uid}\n"
        f"emailForward: again{number}@far.example\n\n",
        f"{who}changetype: modrdn\nnewrdn: uid=user{number % 70}\ndeleteoldrdn: 1\n\n",
    ])  # fmt: skip


@pytest.mark.parametrize("seed", [1, 2])
def test_after_any_edits_the_changes_give_what_a_full_reading_gives(slapd: Slapd, seed: int) -> None:
    choose = random.Random(seed)
    settings = settings_of(slapd.port)
    now = 4e9  # stamps of today are long settled
    part, _ = ldap.read(settings, "our.example", now=now)
    seen = set()
    for _ in range(12):
        edit(slapd, "".join(random_edit(choose) for _ in range(choose.randrange(4))))
        now += 60
        part = compared(settings, part, now)
        assert ldapdelta.unpack(part.state).full_at == 4e9, "the changes were enough"
        seen.add(part.entries)
    assert len(seen) > 3


def test_a_subtree_that_is_renamed_is_seen_although_no_stamp_in_it_moves(slapd: Slapd) -> None:
    settings = replace(settings_of(slapd.port), base="dc=our,dc=example")
    part, _ = ldap.read(settings, "our.example", now=4e9)
    edit(slapd, f"dn: ou=team,{USERS}\nchangetype: add\nobjectClass: organizationalUnit\nou: team\n\n"
         f"dn: uid=zoe,ou=team,{USERS}\nchangetype: add\nobjectClass: account\nobjectClass: mailThing\n"
         "uid: zoe\nemailForward: zoe@far.example\n\n")  # fmt: skip
    part = compared(settings, part, 4e9 + 1)
    edit(slapd, f"dn: ou=team,{USERS}\nchangetype: modrdn\nnewrdn: ou=crew\ndeleteoldrdn: 1\n\n")
    part = compared(settings, part, 4e9 + 2)
    assert any(e.source == f"uid=zoe,ou=crew,{USERS}" for e in part.entries)


def test_where_nothing_moved_nothing_is_read_if_the_server_keeps_contextcsn(
    slapd: Slapd, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    settings = settings_of(slapd.port)
    edit(
        slapd,
        f"dn: uid=user1,{USERS}\nchangetype: modify\nreplace: emailForward\nemailForward: x@far.example\n\n",
    )
    part, _ = ldap.read(settings, "our.example", now=4e9)
    asked = []
    whole = ldap.Session.all
    monkeypatch.setattr(ldap.Session, "all", lambda self, names: asked.append(names) or whole(self, names))
    again, _ = ldap.read(settings, "our.example", now=4e9 + 1, previous=part)
    assert again == replace(part, read_at=4e9 + 1)
    assert asked == ([] if "with contextCSN" in request.node.name else [("entryUUID", "entryCSN")])


def test_in_doubt_everything_is_read(slapd: Slapd) -> None:
    settings = settings_of(slapd.port)
    part, _ = ldap.read(settings, "our.example", now=4e9)
    head, body = part.state.split("\n")
    other = replace(settings, uri=f"ldap://localhost:{slapd.port}")
    later = 4e9 + settings.full
    doubtful = [
        (settings, part, later), (settings, part, 4e9 - 1), (other, part, 4e9 + 1),
        (replace(settings, forward_attribute="mail"), part, 4e9 + 1),
        (replace(settings, domain="old.example"), part, 4e9 + 1),  # type: ignore[arg-type]
        (settings, replace(part, state=""), 4e9 + 1), (settings, replace(part, state="{}\nx"), 4e9 + 1),
        (settings, replace(part, state=head), 4e9 + 1),
        (settings, replace(part, state=f"{head}\n{body[:-9]}"), 4e9 + 1),
    ]  # fmt: skip
    edit(slapd, f"dn: uid=user1,{USERS}\nchangetype: delete\n\n")
    for changed, previous, now in doubtful:
        after = compared(changed, previous, now)
        assert ldapdelta.unpack(after.state).full_at == now


def test_an_entry_that_goes_while_the_changes_are_read_makes_it_a_full_reading(slapd: Slapd) -> None:
    settings = settings_of(slapd.port)
    part, _ = ldap.read(settings, "our.example", now=4e9)
    modify = "changetype: modify\nreplace: emailForward\nemailForward: x@far.example\n\n"
    edit(slapd, f"dn: uid=user1,{USERS}\n{modify}dn: uid=user2,{USERS}\n{modify}")

    def once(requests: list[int] = []) -> None:  # noqa: B006
        requests.append(1)
        if len(requests) == 7:  # bind, two for contextCSN, three pages; this one asks for an entry
            edit(slapd, f"dn: uid=user1,{USERS}\nchangetype: modrdn\nnewrdn: uid=moved\ndeleteoldrdn: 1\n\n")

    with badldap.server(badldap.between(slapd.port, each=once)) as port:
        through = replace(settings, uri=f"ldap://127.0.0.1:{port}")
        known = replace(part, state=part.state.replace(str(slapd.port), str(port)))
        after, _ = ldap.read(through, "our.example", now=4e9 + 1, previous=known)
    names = {e.name for e in after.entries}
    assert {"moved", "user2"} <= names
    assert "user1" not in names


def test_changes_between_pages_neither_lose_nor_double_who_was_there_all_the_time(slapd: Slapd) -> None:
    choose = random.Random(7)

    def disturb() -> None:
        number = choose.randrange(30, 60)
        edit(slapd, f"dn: uid=user{number},{USERS}\nchangetype: delete\n\n"
             f"dn: uid=new{number},{USERS}\nchangetype: add\nobjectClass: account\nobjectClass: mailThing\n"
             f"uid: new{number}\n\n")  # fmt: skip

    with badldap.server(badldap.between(slapd.port, each=disturb)) as port:
        settings = replace(settings_of(port), page_size=7)
        part, _ = ldap.read(settings, "our.example", now=4e9)
    logins = [e.name for e in part.entries if e.kind == "login"]
    assert len(logins) == len(set(logins))
    assert {f"user{n}" for n in range(30)} <= set(logins)
    behind = replace(part, state=part.state.replace(str(port), str(slapd.port)))
    compared(settings_of(slapd.port), behind, 4e9 + 1)


def entry(dn: str, **attributes: str) -> Record:
    return Record(dn, {name: [value] for name, value in attributes.items()})


def test_a_stamp_in_whole_seconds_is_relied_on_when_no_second_change_can_bear_it() -> None:
    now = 1_795_012_000.0  # 2026-11-18 14:26:40 UTC
    for stamp, relied_on in (
        ("20261118142640Z", ""), ("20261118142000Z", ""), ("20261118140000Z", "20261118140000Z"),
        ("20271118140000Z", ""), ("yesterday", ""), (CSN, CSN),
    ):  # fmt: skip
        known = ldapdelta.known_of([entry("uid=a", entryuuid="1", modifytimestamp=stamp)], now)
        assert known is not None
        assert known["1"][0] == relied_on


def test_without_identities_there_are_no_changes_to_ask_for() -> None:
    assert ldapdelta.known_of([entry("uid=a", uid="a")], 0.0) is None
    twice = [entry(dn, entryuuid="1", entrycsn=CSN) for dn in ("uid=a", "uid=b")]
    assert ldapdelta.known_of(twice, 0.0) is None


def test_a_mark_of_the_future_tells_nothing() -> None:
    assert ldapdelta.told_by([CSN], 1_795_489_200.0) == (CSN,)
    assert ldapdelta.told_by([CSN], 1_795_400_000.0) == ()


@given(
    st.dictionaries(
        st.text(), st.tuples(st.text(), st.text(), st.dictionaries(st.text(), st.lists(st.text())))
    )
)
def test_the_memory_comes_back_as_it_was(rows: dict[str, tuple[str, str, dict[str, list[str]]]]) -> None:
    known = {uuid: (stamp, Record(dn, attributes)) for uuid, (stamp, dn, attributes) in rows.items()}
    memory = ldapdelta.Memory(question="q", server="s", full_at=1.5, mark=("m",))
    again = ldapdelta.unpack(ldapdelta.pack(memory, known))
    assert again.records() == known
    assert replace(again, body="") == memory


@given(
    st.text()
    | st.text().map(lambda t: f'{{"question":"","server":"","full_at":0,"mark":[],"problems":[]}}\n{t}')
)
def test_any_text_for_a_memory_is_a_doubt_at_worst(text: str) -> None:
    with pytest.raises(ldapdelta.Doubt):
        ldapdelta.unpack(text).records()


def test_what_is_too_large_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ldapdelta, "_MOST_STATE", 100)
    memory = ldapdelta.Memory(question="q", server="s", full_at=1.0, mark=())
    known = {str(n): (str(n * n), entry(f"uid={n * n * n}")) for n in range(100)}
    assert ldapdelta.pack(memory, known) == ""
    assert Part(origin=LDAP).state == ""
