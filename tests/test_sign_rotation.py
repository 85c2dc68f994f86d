"""rotation.json: what is written is read again, and everything else is refused with a reason."""

import base64
import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postvouch.sign.rotation import GONE, PENDING, Key, Rotation, State, dump, parse

PUBLIC = base64.b64encode(bytes(32)).decode()
NAMES = st.sampled_from(["srs-01.our.example", "srs-02.our.example", "a", "b.example"])
TIMES = st.integers(0, 2**40 - 1)


def key(selector="2026-srs", state=State.ACTIVE, **members):
    given = {"kind": "rsa", "public": PUBLIC, "generation": 1, "since": 1_800_000_000, **members}
    if state in GONE:
        given.setdefault("stopped", 1_800_000_000)
    return Key(selector=selector, state=state, **given)


@st.composite
def rotations(draw):
    selectors = draw(st.lists(st.from_regex(r"[a-z0-9]{1,8}(\.[a-z0-9]{1,4})?", fullmatch=True), unique=True))
    keys = []
    for selector in selectors:
        state = draw(st.sampled_from(State))
        stopped = draw(TIMES) if state in GONE else None
        if state is State.RETIRING:
            stopped = draw(st.none() | TIMES)
        number = {State.ACTIVE: 2, State.MADE: 3, State.PUBLISHED: 3}.get(state, 1)
        keys.append(
            key(
                selector, state, kind=draw(st.sampled_from(["rsa", "ed25519"])), generation=number,
                since=draw(TIMES), hold_s=draw(TIMES), stopped=stopped, stolen=draw(st.booleans()),
            )
        )  # fmt: skip
    hosts = draw(st.lists(NAMES, unique=True))
    return Rotation(
        domain="our.example",
        maker="maker.our.example",
        hosts=tuple(hosts),
        confirmed={host: draw(TIMES) for host in hosts if draw(st.booleans())},
        keys=tuple(keys),
    )


@given(rotations())
def test_what_is_written_is_read_again(rotation):
    assert parse(dump(rotation)) == rotation


@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_junk_is_refused_with_a_reason(text):
    with pytest.raises(ValueError, match=r".+"):
        parse(text)


@given(rotations(), st.data())
def test_a_file_changed_in_one_place_is_read_as_something_sound_or_refused(rotation, data):
    text = dump(rotation)
    at = data.draw(st.integers(0, len(text) - 1))
    changed = (
        text[:at] + data.draw(st.sampled_from(['"', "0", "x", "[", "}", "-", "", "\0"])) + text[at + 1 :]
    )
    with contextlib.suppress(ValueError):
        again = parse(changed)
        assert dump(again) == dump(parse(dump(again)))


@pytest.mark.parametrize(
    "change, why",
    [
        ({"version": 2}, "update postvouch"),
        ({"version": True}, "has version True"),
        ({"version": 1.0}, "has version 1.0"),
        ({"keys": {}}, "not a list"),
        ({"domain": "Our.Example"}, "lower case"),
        ({"maker": "../.."}, "maker"),
        ({"hosts": ["srs.our.example"]}, "twice"),
        ({"confirmed": {"x.example": 1}}, "confirmed"),
        ({"more": 1}, "unknown member 'more'"),
    ],
)
def test_a_file_that_is_not_ours_is_refused_with_a_reason(change, why):
    data = json.loads(dump(Rotation(domain="our.example", maker="srs.our.example", keys=(key(),))))
    with pytest.raises(ValueError, match=why):
        parse(json.dumps({**data, **change}))


@pytest.mark.parametrize(
    "change, why",
    [
        ({"selector": "../../etc/shadow"}, "no selector"),
        ({"selector": "A"}, "no selector"),
        ({"kind": "dsa"}, "kind"),
        ({"state": "signing"}, "state"),
        ({"public": "p"}, "public"),
        ({"since": -1}, "since"),
        ({"since": "now"}, "since"),
        ({"generation": True}, "generation"),
        ({"hold_s": 2**60}, "hold_s"),
        ({"stolen": 1}, "stolen"),
        ({"stopped": 5}, "stopped"),
        ({"state": "revoked"}, "stopped"),
        ({"note": ""}, "unknown member 'note'"),
    ],
)
def test_a_key_that_makes_no_sense_is_refused_with_a_reason(change, why):
    data = json.loads(dump(Rotation(domain="our.example", maker="srs.our.example", keys=(key(),))))
    data["keys"][0].update(change)
    with pytest.raises(ValueError, match=why):
        parse(json.dumps(data))


def test_a_member_that_stands_twice_or_is_missing_is_refused():
    text = dump(Rotation(domain="our.example", maker="srs.our.example", keys=(key(),)))
    with pytest.raises(ValueError, match="twice"):
        parse(text.replace('"stolen": false', '"stolen": false, "stolen": true'))
    with pytest.raises(ValueError, match="without stolen"):
        parse(text.replace(',\n   "stolen": false', ""))


def test_two_keys_of_one_selector_or_of_two_generations_active_are_refused():
    for keys, why in [
        ((key(), key()), "twice"),
        ((key(), key("b", generation=2)), "different generations are active"),
        ((key("a", State.MADE), key("b", State.PUBLISHED, generation=2)), "are to become active"),
    ]:
        with pytest.raises(ValueError, match=why):
            parse(dump(Rotation(domain="our.example", maker="srs.our.example", keys=keys)))


def test_states_are_all_either_to_come_or_signing_or_on_their_way_out():
    assert set(State) == {*PENDING, State.ACTIVE, State.RETIRING, *GONE}


@pytest.mark.parametrize("text", ["", ".", "a..b", "a/b", ".a", "a.", "-a", "ü", "A", "a b", "a" * 64, "a\n"])
def test_a_selector_makes_no_path(text):
    with pytest.raises(ValueError, match="no selector"):
        parse(dump(Rotation(domain="our.example", maker="srs.our.example", keys=(key(text),))))
