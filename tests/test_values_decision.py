"""A decision is data that nobody can change on the way to the door."""

from dataclasses import FrozenInstanceError

import pytest

from postvouch.values.decision import Accept, Decision, Defer, InsertField, Quarantine, Reject, RemoveField
from postvouch.values.reply import LATER, SPOOF


@pytest.mark.parametrize(
    "verdict, word",
    [
        (Accept(), "accept"),
        (Reject(SPOOF), "reject"),
        (Defer(LATER), "defer"),
        (Quarantine("dmarc=fail"), "quarantine"),
    ],
)
def test_the_action_is_the_word_of_the_log_line(verdict, word):
    assert Decision(verdict=verdict, code="ok").action == word


def test_mark_is_an_action_of_its_own_where_nothing_sterner_happens():
    assert Decision(verdict=Accept(), code="bad-author", marked=True).action == "mark"
    assert Decision(verdict=Quarantine("bad-author"), code="bad-author", marked=True).action == "quarantine"


def test_a_decision_keeps_the_order_of_its_edits_and_cannot_be_changed():
    edits = (RemoveField("Authentication-Results", 2), RemoveField("Authentication-Results", 1))
    decision = Decision(verdict=Accept(), code="ok", edits=(*edits, InsertField("X", " y")))
    assert decision.edits[:2] == edits
    with pytest.raises(FrozenInstanceError):
        decision.code = "other"


def test_a_decision_without_edits_changes_nothing():
    decision = Decision(verdict=Accept(), code="ok")
    assert decision.edits == ()
    assert decision.facts == ()
