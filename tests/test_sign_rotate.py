"""The rotation of keys: what moves a key, and what never happens whatever DNS, the clock and crashes do."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from postvouch.sign.managed import adopt, begin, confirm, late, revoke_now, wants_new, with_hosts
from postvouch.sign.rotate import MAX_HOLD_S, Fact, Facts, Need, Seen, Terms, asked, step
from postvouch.sign.rotation import GONE, PENDING, Rotation, State, dump, parse

PUBLIC = "A" * 40
DAY = 86400
NOW = 1_800_000_000
TERMS = Terms(retire_after_s=10 * DAY, delete_after_s=30 * DAY)
HOLD = 3600
EMPTY = Rotation(domain="our.example", maker="a.our.example")


def facts(hold_s=HOLD, files=(), **records):
    by_selector = {name: Fact(seen=seen, why="as seen", hold_s=hold_s) for name, seen in records.items()}
    return Facts(records=by_selector, files=frozenset(files))


def made(*selectors, rotation=EMPTY, now=NOW):
    return begin(rotation, [(selector, "rsa", PUBLIC) for selector in selectors], now)


def signing(*selectors, rotation=EMPTY, now=NOW):
    """A rotation whose newest keys sign."""
    seen = dict.fromkeys(selectors, Seen.PUBLISHED)
    return step(made(*selectors, rotation=rotation, now=now), facts(hold_s=0, **seen), now, TERMS).rotation


def states(rotation):
    return {key.selector: key.state for key in rotation.keys}


def needs(taken):
    return {wait.selector: wait.need for wait in taken.waits}


def test_the_first_key_signs_once_it_was_seen_everywhere_and_resolvers_cannot_know_better():
    rotation = made("a")
    waiting = step(rotation, facts(a=Seen.ABSENT), NOW, TERMS)
    assert needs(waiting) == {"a": Need.PUBLISH}
    published = step(waiting.rotation, facts(a=Seen.PUBLISHED), NOW + 60, TERMS)
    assert states(published.rotation) == {"a": State.PUBLISHED}
    assert [(wait.need, wait.until) for wait in published.waits] == [(Need.TIME, NOW + 60 + HOLD)]
    early = step(published.rotation, facts(a=Seen.PUBLISHED), NOW + 59 + HOLD, TERMS)
    assert not early.moves
    done = step(early.rotation, facts(a=Seen.PUBLISHED), NOW + 60 + HOLD, TERMS)
    assert states(done.rotation) == {"a": State.ACTIVE}
    assert done.waits == ()


def test_the_longest_answer_that_resolvers_may_keep_counts_even_where_it_was_seen_earlier():
    rotation = step(made("a"), facts(a=Seen.DIFFERS, hold_s=2 * DAY), NOW, TERMS).rotation
    rotation = step(rotation, facts(a=Seen.PUBLISHED, hold_s=60), NOW + 1, TERMS).rotation
    assert step(rotation, facts(a=Seen.PUBLISHED), NOW + 2 * DAY, TERMS).moves == ()
    assert step(rotation, facts(a=Seen.PUBLISHED), NOW + 1 + 2 * DAY, TERMS).moves
    endless = step(made("a"), facts(a=Seen.ABSENT, hold_s=2**31), NOW, TERMS).rotation
    assert endless.keys[0].hold_s == MAX_HOLD_S


@pytest.mark.parametrize("seen", [seen for seen in Seen if seen is not Seen.PUBLISHED])
def test_nothing_but_the_record_on_every_server_makes_a_key_sign(seen):
    rotation = made("a")
    assert step(rotation, facts(a=seen), NOW + DAY, TERMS).moves == ()
    published = step(rotation, facts(a=Seen.PUBLISHED), NOW, TERMS).rotation
    later = step(published, facts(a=seen), NOW + DAY, TERMS)
    assert later.rotation.active == ()
    assert later.waits
    again = step(later.rotation, facts(a=Seen.PUBLISHED), NOW + 2 * DAY, TERMS)
    # What could not be asked is as it was; what was seen to be gone begins again.
    assert bool(again.rotation.active) == (seen in (Seen.UNKNOWN, Seen.NO_KEY))


def test_keys_that_were_made_together_begin_together_and_the_old_ones_end_in_the_same_step():
    rotation = made("new", "new-ed25519", rotation=signing("old"))
    seen = {"old": Seen.PUBLISHED, "new": Seen.PUBLISHED, "new-ed25519": Seen.ABSENT}
    one = step(rotation, facts(0, **seen), NOW, TERMS)
    assert states(one.rotation) == {"old": State.ACTIVE, "new": State.PUBLISHED, "new-ed25519": State.MADE}
    seen = dict.fromkeys(("old", "new", "new-ed25519"), Seen.PUBLISHED)
    both = step(one.rotation, facts(0, **seen), NOW + 5, TERMS).rotation
    assert states(both) == {"old": State.RETIRING, "new": State.ACTIVE, "new-ed25519": State.ACTIVE}
    assert both.keys[0].stopped == NOW + 5


def test_an_old_record_stays_for_letters_in_queues_then_is_emptied_then_goes_and_its_file_with_it():
    rotation = signing("new", rotation=signing("old"))
    both = {"old": Seen.PUBLISHED, "new": Seen.PUBLISHED}
    taken = step(rotation, facts(files=("old", "new"), **both), NOW + 10 * DAY - 1, TERMS)
    assert [(wait.need, wait.until) for wait in taken.waits] == [(Need.TIME, NOW + 10 * DAY)]
    taken = step(rotation, facts(files=("old", "new"), **both), NOW + 10 * DAY, TERMS)
    assert needs(taken) == {"old": Need.REVOKE}
    assert taken.remove == ()
    mixed = step(rotation, facts(**{**both, "old": Seen.MIXED}), NOW + 10 * DAY, TERMS)
    assert (mixed.moves, needs(mixed)) == ((), {"old": Need.SERVERS})
    emptied = facts(files=("old", "new"), **{**both, "old": Seen.REVOKED})
    taken = step(rotation, emptied, NOW + 11 * DAY, TERMS)
    assert (states(taken.rotation)["old"], taken.remove) == (State.REVOKED, ("old",))
    assert [wait.until for wait in taken.waits] == [NOW + 41 * DAY]
    later = step(taken.rotation, emptied, NOW + 41 * DAY, TERMS)
    assert (later.moves, needs(later), later.remove) == ((), {"old": Need.REMOVE}, ("old",))
    gone = step(later.rotation, facts(**{**both, "old": Seen.ABSENT}), NOW + 42 * DAY, TERMS)
    assert states(gone.rotation) == {"old": State.DELETED, "new": State.ACTIVE}
    assert gone.waits == ()


@pytest.mark.parametrize("seen", [Seen.ABSENT, Seen.REVOKED, Seen.DIFFERS, Seen.MIXED, Seen.INSECURE])
def test_a_record_that_signatures_need_and_that_is_not_right_is_an_alarm_and_changes_nothing(seen):
    rotation = signing("a")
    taken = step(rotation, facts(a=seen), NOW, TERMS)
    assert (taken.rotation, needs(taken)) == (rotation, {"a": Need.ALARM})
    if seen is not Seen.INSECURE:
        rotation = signing("b", rotation=rotation)
        taken = step(rotation, facts(a=seen, b=Seen.PUBLISHED), NOW, TERMS)
        assert taken.rotation == rotation
        assert Need.ALARM in {wait.need for wait in taken.waits}


def test_servers_that_do_not_answer_are_no_alarm():
    rotation = signing("a")
    assert needs(step(rotation, facts(a=Seen.UNKNOWN), NOW, TERMS)) == {"a": Need.SERVERS}
    assert needs(step(rotation, Facts(records={}), NOW, TERMS)) == {"a": Need.SERVERS}


def test_the_old_key_of_several_hosts_retires_from_the_moment_the_last_one_confirmed():
    hosts = with_hosts(EMPTY, ["b.our.example", "c.our.example"])
    first = signing("old", rotation=hosts)
    rotation = signing("new", rotation=first)
    assert late(rotation) == ("b.our.example", "c.our.example")
    both = facts(old=Seen.PUBLISHED, new=Seen.PUBLISHED)
    taken = step(rotation, both, NOW + 100 * DAY, TERMS)
    assert [(wait.need, wait.why) for wait in taken.waits] == [(Need.CONFIRM, "b.our.example, c.our.example")]
    rotation = confirm(taken.rotation, "b.our.example", 2)
    assert late(rotation) == ("c.our.example",)
    assert step(rotation, both, NOW + 200 * DAY, TERMS).rotation.keys[0].stopped is None
    rotation = confirm(rotation, "c.our.example", 2)
    taken = step(rotation, both, NOW + 300 * DAY, TERMS)
    assert taken.rotation.keys[0].stopped == NOW + 300 * DAY
    assert [wait.until for wait in taken.waits] == [NOW + 310 * DAY]


def test_a_confirmation_of_an_old_state_or_of_a_stranger_is_refused():
    rotation = signing("new", rotation=signing("old", rotation=with_hosts(EMPTY, ["b.our.example"])))
    for host, number, why in [("x.example", 2, "none of the other"), ("b.our.example", 1, "other keys")]:
        with pytest.raises(ValueError, match=why):
            confirm(rotation, host, number)
    with pytest.raises(ValueError, match="name the other hosts"):
        with_hosts(rotation, ["a.our.example"])
    assert with_hosts(confirm(rotation, "b.our.example", 2), ["c.our.example"]).confirmed == {}


def test_a_stolen_key_signs_until_another_can_and_is_revoked_at_once_then():
    rotation = revoke_now(signing("a"), "a", NOW)
    assert wants_new(rotation)
    rotation = made("b", rotation=rotation)
    both = facts(0, a=Seen.PUBLISHED, b=Seen.PUBLISHED)
    taken = step(rotation, both, NOW, TERMS)
    assert states(taken.rotation) == {"a": State.RETIRING, "b": State.ACTIVE}
    assert needs(taken) == {"a": Need.REVOKE}
    gone = step(taken.rotation, facts(a=Seen.REVOKED, b=Seen.PUBLISHED, files=("a", "b")), NOW + 1, TERMS)
    assert (states(gone.rotation)["a"], gone.remove) == (State.REVOKED, ("a",))


def test_a_stolen_key_that_never_signed_is_given_up_with_those_made_with_it():
    rotation = made("b", "b-ed25519", rotation=signing("a"))
    rotation = revoke_now(rotation, "b", NOW)
    assert not rotation.pending
    assert not wants_new(rotation)
    absent = {"a": Seen.PUBLISHED, "b": Seen.ABSENT, "b-ed25519": Seen.ABSENT}
    taken = step(rotation, facts(files=("b",), **absent), NOW, TERMS)
    assert states(taken.rotation) == {"a": State.ACTIVE, "b": State.DELETED, "b-ed25519": State.DELETED}
    assert taken.remove == ("b",)
    with pytest.raises(ValueError, match="deleted already"):
        revoke_now(taken.rotation, "b", NOW)
    with pytest.raises(ValueError, match="no managed key"):
        revoke_now(taken.rotation, "z", NOW)


def test_a_revoked_key_whose_record_comes_back_is_an_alarm():
    rotation = signing("b", rotation=signing("a"))
    rotation = step(rotation, facts(a=Seen.REVOKED, b=Seen.PUBLISHED), NOW + 10 * DAY, TERMS).rotation
    taken = step(rotation, facts(a=Seen.PUBLISHED, b=Seen.PUBLISHED), NOW + 11 * DAY, TERMS)
    assert needs(taken) == {"a": Need.ALARM}


def test_a_selector_is_used_once_and_one_rotation_is_under_way_at_a_time():
    rotation = signing("a")
    with pytest.raises(ValueError, match="has been used"):
        made("a", rotation=rotation)
    with pytest.raises(ValueError, match="has been used"):
        adopt(rotation, ("a", "rsa", PUBLIC), NOW)
    with pytest.raises(ValueError, match="under way"):
        made("c", rotation=made("b", rotation=rotation))


def test_a_key_that_signs_already_is_adopted_and_replaced_like_any_other():
    rotation = adopt(EMPTY, ("seed", "rsa", PUBLIC), NOW)
    rotation = adopt(rotation, ("seed-ed25519", "ed25519", PUBLIC), NOW)
    assert {key.generation for key in rotation.active} == {1}
    rotation = signing("new", rotation=rotation)
    assert states(rotation) == {
        "seed": State.RETIRING,
        "seed-ed25519": State.RETIRING,
        "new": State.ACTIVE,
    }
    # One under way does not make the adopted one younger.
    rotation = adopt(made("next"), ("seed", "rsa", PUBLIC), NOW)
    assert rotation.active[0].generation < rotation.pending[0].generation


OTHERS = ("b.our.example", "c.our.example")


class AnyWorld(RuleBasedStateMachine):
    """Two name servers that anybody may change or silence, hosts that copy late, runs that are killed."""

    @initialize(hosts=st.booleans())
    def begin(self, hosts):
        self.now = NOW
        self.servers = [{}, {}]
        self.silent = [False, False]
        self.disk = dump(with_hosts(EMPTY, OTHERS) if hosts else EMPTY)
        self.files = set()
        self.copies = dict.fromkeys(OTHERS) if hosts else {}
        self.signed_at = {}
        self.wrong_at = {}
        self.used = []
        self.began = False

    def rotation(self):
        return parse(self.disk)

    def fact(self, selector):
        has = [
            None if s else server.get(selector, "absent")
            for server, s in zip(self.servers, self.silent, strict=True)
        ]
        known = set(has) - {None}
        if known <= {"same"}:
            return Seen.UNKNOWN if None in has else Seen.PUBLISHED
        if len(known) > 1 or None in has:
            return Seen.MIXED
        return {"absent": Seen.ABSENT, "empty": Seen.REVOKED, "other": Seen.DIFFERS}[known.pop()]

    def sign(self):
        """Everyone signs now with what its state says."""
        for text in [self.disk, *filter(None, self.copies.values())]:
            for key in parse(text).active:
                self.signed_at[key.selector] = self.now

    @rule(seconds=st.sampled_from([1, 600, HOLD, DAY, 9 * DAY, 31 * DAY]))
    def time_passes(self, seconds):
        self.sign()
        self.now += seconds
        self.sign()

    @rule(
        data=st.data(),
        what=st.sampled_from(["same", "empty", "absent", "other"]),
        which=st.sampled_from([(0, 1), (0,), (1,)]),
    )
    def somebody_edits_a_zone(self, data, what, which):
        selectors = [key.selector for key in self.rotation().keys]
        if selectors:
            selector = data.draw(st.sampled_from(selectors))
            for number in which:
                self.servers[number][selector] = what

    @rule(times=st.integers(1, 3), seconds=st.sampled_from([HOLD, 11 * DAY, 31 * DAY]))
    def a_person_does_all_that_is_asked(self, times, seconds):
        self.silent = [False, False]
        for _ in range(times):
            for wait in self.look_and_step().waits:
                what = {Need.PUBLISH: "same", Need.REVOKE: "empty", Need.REMOVE: "absent"}
                if wait.need in what:
                    for server in self.servers:
                        server[wait.selector] = what[wait.need]
            self.it_runs(None)
            self.time_passes(seconds)
            self.it_runs(None)

    @rule(kinds=st.sampled_from([("rsa",), ("rsa", "ed25519")]))
    def a_key_is_replaced(self, kinds):
        self.a_key_is_made(False, kinds)
        self.a_person_does_all_that_is_asked(2, HOLD)

    @rule(number=st.sampled_from([0, 1]), silently=st.booleans())
    def a_new_record_is_not_there_for_a_while(self, number, silently):
        self.a_key_is_made(False, ("rsa",))
        self.silent = [False, False]
        pending = [key.selector for key in self.rotation().pending]
        for selector in pending:
            self.servers[0][selector] = self.servers[1][selector] = "same"
        self.it_runs(None)
        self.time_passes(HOLD - 1)
        for selector in pending:
            self.servers[number][selector] = "absent"
        self.silent[number] = silently
        self.it_runs(None)
        self.time_passes(2)
        self.it_runs(None)
        self.silent[number] = False
        for selector in pending:
            self.servers[number][selector] = "same"
        self.it_runs(None)

    @precondition(lambda self: self.copies)
    @rule()
    def all_hosts_copy(self):
        for host in OTHERS:
            self.a_host_copies(host, True)

    @rule(number=st.sampled_from([0, 1]), silent=st.booleans())
    def a_server_goes_or_comes(self, number, silent):
        self.silent[number] = silent

    def look_and_step(self):
        rotation = self.rotation()
        records = {key.selector: Fact(seen=self.fact(key.selector), hold_s=HOLD) for key in asked(rotation)}
        return step(rotation, Facts(records=records, files=frozenset(self.files)), self.now, TERMS)

    @rule(crash=st.sampled_from([None, None, None, "before", "written", "half"]))
    def it_runs(self, crash):
        taken = self.look_and_step()
        for key in self.rotation().pending:
            if self.fact(key.selector) not in (Seen.PUBLISHED, Seen.UNKNOWN):
                self.wrong_at[key.selector] = self.now
        for move in taken.moves:
            self.check_move(move, taken.rotation)
        if crash == "before":
            return
        self.sign()
        self.disk = dump(taken.rotation)
        self.sign()
        if crash == "written":
            return
        for selector in taken.remove[: 1 if crash == "half" else None]:
            self.files.discard(selector)
        again = self.look_and_step()
        assert (again.rotation, again.moves) == (taken.rotation, ())
        assert bool(again.remove) == (crash == "half" and len(taken.remove) > 1)

    def check_move(self, move, rotation):
        seen, key = self.fact(move.selector), rotation.find(move.selector)
        if move.after in (State.PUBLISHED, State.ACTIVE):
            assert seen is Seen.PUBLISHED
        if move.after is State.ACTIVE:
            assert self.now >= self.wrong_at.get(key.selector, 0) + HOLD
        if move.after in GONE:
            assert seen in (Seen.REVOKED, Seen.ABSENT)
            signed_at = self.signed_at.get(move.selector, 0)
            assert key.stolen or move.before in GONE or self.now >= signed_at + TERMS.retire_after_s
        assert move.before is not State.DELETED
        assert (move.before, move.after) != (State.REVOKED, State.RETIRING)

    @rule(crash=st.booleans(), kinds=st.sampled_from([("rsa",), ("rsa", "ed25519")]))
    def a_key_is_made(self, crash, kinds):
        rotation = self.rotation()
        if rotation.pending:
            return
        names = [(f"s{len(rotation.keys) + n}", kind, PUBLIC) for n, kind in enumerate(kinds)]
        self.files.update(name for name, _, _ in names)
        if not crash:
            self.disk = dump(begin(rotation, names, self.now))
            self.used += [name for name, _, _ in names]

    @precondition(lambda self: not self.rotation().active)
    @rule()
    def a_key_is_adopted(self):
        rotation = self.rotation()
        name = f"s{len(rotation.keys)}"
        for server in self.servers:
            server[name] = "same"
        self.files.add(name)
        self.disk = dump(adopt(rotation, (name, "rsa", PUBLIC), self.now))
        self.used.append(name)

    @rule(data=st.data())
    def a_key_is_stolen(self, data):
        keys = [key.selector for key in self.rotation().keys if key.state not in GONE]
        if keys:
            self.disk = dump(revoke_now(self.rotation(), data.draw(st.sampled_from(keys)), self.now))

    @precondition(lambda self: self.copies)
    @rule(host=st.sampled_from(OTHERS), confirms=st.booleans())
    def a_host_copies(self, host, confirms):
        self.sign()
        self.copies[host] = self.disk
        active = self.rotation().active
        if confirms and active:
            self.disk = dump(confirm(self.rotation(), host, active[0].generation))
        self.sign()

    @invariant()
    def whoever_signs_has_a_key_with_its_file(self):
        for text in [self.disk, *filter(None, self.copies.values())]:
            for key in parse(text).active:
                assert key.selector in self.files
                assert self.rotation().find(key.selector).state not in GONE
        active = bool(self.rotation().active)
        assert active or not self.began
        self.began = active

    @invariant()
    def no_selector_is_used_twice_or_forgotten(self):
        assert [key.selector for key in self.rotation().keys] == self.used
        assert len(set(self.used)) == len(self.used)

    @invariant()
    def no_key_is_to_sign_and_forgotten(self):
        rotation = self.rotation()
        assert bool(rotation.pending) == any(key.state in PENDING for key in rotation.keys)
        assert wants_new(rotation) or rotation.active or rotation.pending


AnyWorld.TestCase.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
TestAnyWorld = AnyWorld.TestCase
