"""Which letters left unsigned, told from the log alone."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postvouch.sign.outbound import KEEP_S, Outbound, Unsigned
from postvouch.wire.maillog import Line, parse

NOW = 1_795_500_000.0
QUEUED = "250 2.0.0 Ok: queued as"
DOWN = "warning: connect to Milter service unix:postvouch/sign.sock: Connection refused"


def log(*texts: str, second: int = 0) -> list[Line]:
    """Lines of one host, a tenth of a second apart: "smtpd[7] 4XyZ1k2Lz3: client=..."."""
    found = []
    for number, text in enumerate(texts):
        program, _, rest = text.partition(" ")
        name = program if program.startswith("postvouch") else f"postfix/{program}"
        minute, tenth = divmod(second * 10 + number, 600)
        line = parse(f"2026-11-24T03:{minute:02d}:{tenth / 10:04.1f}Z out {name}: {rest}", now=NOW)
        assert line is not None, text
        found.append(line)
    return found


def judged(*texts: str) -> list[Unsigned]:
    letters = Outbound()
    return [*(each for line in log(*texts) for each in letters.feed(line)), *letters.settle()]


def sent(
    queue_id: str, relay: str = "mx.far.example[192.0.2.1]:25", reply: str = "250 ok", to: str = ""
) -> str:
    return (
        f"smtp[9] {queue_id}: to=<{to or 'x@far.example'}>, relay={relay}, delay=0.5, "
        f"delays=0.1/0/0.2/0.2, dsn=2.0.0, status=sent ({reply})"
    )


def arrival(queue_id: str, pid: int = 7) -> tuple[str, ...]:
    return (
        f"smtpd[{pid}] {queue_id}: client=desk.our.example[192.0.2.9], sasl_method=PLAIN, sasl_username=bob",
        f"cleanup[8] {queue_id}: message-id=<1@our.example>",
        f"qmgr[2] {queue_id}: from=<bob@our.example>, size=300, nrcpt=1 (queue active)",
    )


def word(queue_id: str, reason: str, action: str = "accept") -> str:
    return f"postvouch-sign[5] {queue_id}: from=<bob@our.example>, action={action}, reason={reason}, ms=1"


def test_a_letter_that_the_signer_has_signed_is_no_news() -> None:
    came = arrival("4XyZ1k2Lz3")
    assert (
        judged(
            *came[:2], word("4XyZ1k2Lz3", "ok"), came[2], sent("4XyZ1k2Lz3"), "qmgr[2] 4XyZ1k2Lz3: removed"
        )
        == []
    )


def test_lines_of_one_moment_may_be_in_any_order() -> None:
    bounce = (
        "cleanup[8] 4XyZ1k2Lz3: message-id=<1@our.example>",
        sent("4XyZ1k2Lz3"),
        "qmgr[2] 4XyZ1k2Lz3: removed",
    )
    first, second = Outbound(), Outbound()
    assert [each for line in log(word("4XyZ1k2Lz3", "ok")) for each in first.feed(line)] == []
    second.restore(json.loads(json.dumps(first.state())))
    assert [*(each for line in log(*bounce) for each in second.feed(line)), *second.settle()] == []
    for place in range(len(bounce) + 1):
        assert judged(*bounce[:place], word("4XyZ1k2Lz3", "ok"), *bounce[place:]) == []
        (found,) = judged(*bounce[:place], word("4XyZ1k2Lz3", "no-role"), *bounce[place:])
        assert found.why == "postvouch-sign: no-role"
    came = arrival("4XyZ1k2Lz3")
    assert judged(word("4XyZ1k2Lz3", "ok"), *came, sent("4XyZ1k2Lz3")) == []


def test_a_letter_that_has_just_left_is_decided_by_the_next_run() -> None:
    for said in (word("4XyZ1k2Lz3", "ok"), "anvil[3] statistics: none"):
        first, second = Outbound(), Outbound()
        for line in log(*arrival("4XyZ1k2Lz3"), sent("4XyZ1k2Lz3"), "qmgr[2] 4XyZ1k2Lz3: removed"):
            assert list(first.feed(line)) == []
        second.restore(json.loads(json.dumps(first.state())))
        found = [each for line in log(said, second=2) for each in second.feed(line)]
        assert len([*found, *second.settle()]) == ("anvil" in said)
        assert second.state()["suspects"] == {}


def test_a_letter_of_which_the_signer_said_nothing_has_left_unsigned() -> None:
    (found,) = judged(
        f"smtpd[7] {DOWN}", *arrival("4XyZ1k2Lz3"), sent("4XyZ1k2Lz3"), "qmgr[2] 4XyZ1k2Lz3: removed"
    )
    assert (found.queue_id, found.sender) == ("4XyZ1k2Lz3", "bob@our.example")
    assert (found.to_domain, found.relay) == ("far.example", "mx.far.example[192.0.2.1]:25")
    assert found.why == DOWN.removeprefix("warning: ")


def test_local_pickup_and_bounces_are_letters_too() -> None:
    (found,) = judged(
        f"cleanup[8] {DOWN}", "cleanup[8] 3F0A912C4D: message-id=<1@our.example>",
        "qmgr[2] 3F0A912C4D: from=<>, size=300, nrcpt=1 (queue active)", sent("3F0A912C4D"),
    )  # fmt: skip
    assert (found.sender, found.why) == ("", DOWN.removeprefix("warning: "))


def test_where_postfix_said_nothing_the_signer_s_silence_is_the_reason() -> None:
    (found,) = judged(*arrival("4XyZ1k2Lz3"), sent("4XyZ1k2Lz3"))
    assert found.why == "postvouch-sign has said nothing of it"


@pytest.mark.parametrize("reason", ["ok", "already-signed", "not-ours", "several-authors", "gate-denied"])
def test_what_need_not_be_signed_is_no_news(reason: str) -> None:
    assert judged(*arrival("4XyZ1k2Lz3"), word("4XyZ1k2Lz3", reason), sent("4XyZ1k2Lz3")) == []


@pytest.mark.parametrize("reason", ["no-key-for-domain", "not-internal", "no-role"])
def test_mail_of_ours_that_the_signer_lets_go_unsigned_is_told_with_its_reason(reason: str) -> None:
    (found,) = judged(*arrival("4XyZ1k2Lz3"), word("4XyZ1k2Lz3", reason), sent("4XyZ1k2Lz3"))
    assert found.why == f"postvouch-sign: {reason}"
    assert judged(*arrival("4XyZ1k2Lz3"), word("4XyZ1k2Lz3", reason, "quarantine"), sent("4XyZ1k2Lz3")) == []


@pytest.mark.parametrize(
    "relay", ["127.0.0.1[127.0.0.1]:10026", "localhost[::1]:24", "none", "out.our.example[private/lmtp]"]
)
def test_what_stays_on_this_host_has_not_left(relay: str) -> None:
    assert judged(*arrival("4XyZ1k2Lz3"), sent("4XyZ1k2Lz3", relay)) == []


@pytest.mark.parametrize("relay", ["mx.far.example[192.0.2.1]:25", "mx.far.example[2001:db8::1]:25"])
@pytest.mark.parametrize("daemon", ["smtp", "relay/smtp", "lmtp"])
def test_every_way_out_counts(relay: str, daemon: str) -> None:
    out = sent("4XyZ1k2Lz3", relay).replace("smtp[9]", f"{daemon}[9]")
    assert [each.relay for each in judged(*arrival("4XyZ1k2Lz3"), out)] == [relay]


def test_a_letter_is_told_once_however_many_recipients_it_has() -> None:
    twice = [sent("4XyZ1k2Lz3"), sent("4XyZ1k2Lz3", "mx.b.example[192.0.2.2]:25", to="y@b.example")]
    assert len(judged(*arrival("4XyZ1k2Lz3"), *twice, "qmgr[2] 4XyZ1k2Lz3: removed")) == 1
    letters = Outbound()
    first = [each for line in log(*arrival("4XyZ1k2Lz3"), twice[0]) for each in letters.feed(line)]
    later = [each for line in log(twice[1], second=1800) for each in letters.feed(line)]
    assert [each.to_domain for each in [*first, *later, *letters.settle()]] == ["far.example"]


def test_a_letter_that_comes_back_from_a_filter_is_as_good_as_it_was() -> None:
    away = sent("4XyZ1k2Lz3", "127.0.0.1[127.0.0.1]:10026", f"{QUEUED} 4XyZ1k2Lz4")
    back = (
        "smtpd[6] 4XyZ1k2Lz4: client=localhost[127.0.0.1]",
        "cleanup[8] 4XyZ1k2Lz4: message-id=<1@our.example>",
    )
    came = arrival("4XyZ1k2Lz3")
    assert judged(*came, word("4XyZ1k2Lz3", "ok"), *back, away, sent("4XyZ1k2Lz4")) == []
    # The line that joins them may be late.
    assert judged(*came, word("4XyZ1k2Lz3", "ok"), *back, sent("4XyZ1k2Lz4"), away) == []
    (found,) = judged(*came, word("4XyZ1k2Lz3", "no-key-for-domain"), *back, away, sent("4XyZ1k2Lz4"))
    assert (found.queue_id, found.why) == ("4XyZ1k2Lz4", "postvouch-sign: no-key-for-domain")


def test_a_letter_signed_on_its_way_back_is_signed() -> None:
    away = sent("4XyZ1k2Lz3", "127.0.0.1[127.0.0.1]:10026", f"{QUEUED} 4XyZ1k2Lz4")
    back = arrival("4XyZ1k2Lz4")
    assert judged(*arrival("4XyZ1k2Lz3"), *back, word("4XyZ1k2Lz4", "ok"), away, sent("4XyZ1k2Lz4")) == []


def test_a_letter_that_came_before_the_log_begins_is_not_judged() -> None:
    assert judged(sent("4XyZ1k2Lz3"), "qmgr[2] 4XyZ1k2Lz3: removed") == []


def test_a_queue_id_that_is_used_again_is_another_letter() -> None:
    first = (
        *arrival("3F0A912C4D"),
        word("3F0A912C4D", "ok"),
        sent("3F0A912C4D"),
        "qmgr[2] 3F0A912C4D: removed",
    )
    assert len(judged(*first, *arrival("3F0A912C4D"), sent("3F0A912C4D"))) == 1


def test_an_address_or_a_reply_that_looks_like_a_log_hides_nothing() -> None:
    fake = "relay=a[127.0.0.1]:25, delay=0, delays=0/0/0/0, dsn=2.0.0, status=sent (250"
    in_address = sent("4XyZ1k2Lz3", to=f'"x>, {fake}"@far.example')
    in_reply = sent("4XyZ1k2Lz3", reply=f"ok>, {fake} queued as 4XyZ1k2Lz9")
    assert [each.relay for each in judged(*arrival("4XyZ1k2Lz3"), in_address)] == [
        "mx.far.example[192.0.2.1]:25"
    ]
    assert [each.relay for each in judged(*arrival("4XyZ1k2Lz3"), in_reply)] == [
        "mx.far.example[192.0.2.1]:25"
    ]


def test_a_letter_is_told_without_its_end_when_time_goes_on() -> None:
    letters = Outbound()
    for line in log(*arrival("4XyZ1k2Lz3"), sent("4XyZ1k2Lz3")):
        assert list(letters.feed(line)) == []
    (late,) = log("anvil[3] statistics: none", second=11)
    assert [each.queue_id for each in letters.feed(late)] == ["4XyZ1k2Lz3"]


def test_what_waits_in_the_queue_is_remembered_from_one_run_to_the_next() -> None:
    first = Outbound()
    for line in log(*arrival("4XyZ1k2Lz3"), *arrival("4XyZ1k2Lz4"), word("4XyZ1k2Lz4", "ok")):
        assert list(first.feed(line)) == []
    second = Outbound()
    second.restore(json.loads(json.dumps(first.state())))
    lines = log(sent("4XyZ1k2Lz3"), sent("4XyZ1k2Lz4"), second=1800)
    found = [*(each for line in lines for each in second.feed(line)), *second.settle()]
    assert [(each.queue_id, each.sender) for each in found] == [("4XyZ1k2Lz3", "bob@our.example")]


def test_what_is_older_than_any_queue_is_forgotten_with_the_run() -> None:
    letters = Outbound()
    for line in log(*arrival("4XyZ1k2Lz3")):
        list(letters.feed(line))
    assert set(letters.state()["suspects"]) == {"4XyZ1k2Lz3"}
    list(letters.feed(Line(time=NOW + KEEP_S, program="postfix/anvil", pid="1", queue_id="", text="")))
    assert letters.state()["suspects"] == {}


def test_the_oldest_suspects_are_forgotten_and_counted_when_there_are_too_many() -> None:
    letters = Outbound(most=10)
    for number in range(100):
        for line in log(f"cleanup[8] {0xF0000 + number:X}0: message-id=<>", sent(f"{0xF0000 + number:X}0")):
            list(letters.feed(line))
    assert len(letters.state()["suspects"]) == 10
    assert len(letters._left) <= 11
    assert letters.forgotten == 90


WORDS = st.sampled_from(
    ["smtpd[7] ", "cleanup[8] ", "qmgr[2] ", "smtp[9] ", "postvouch-sign[5] ", "A1B2C3: ", "A1B2C4: ",
     "client=x", "message-id=<>", "from=<a@b>, size=1", "removed", "milter-reject: ", "to=<",
     "@far.example>, ", "relay=m[192.0.2.1]:25", "relay=l[127.0.0.1]:1", "queued as A1B2C4", "reason=ok, ",
     "action=accept", ", delay=1, delays=1/1/1/1, dsn=2.0.0, status=sent (", "reason=not-internal", DOWN]
)  # fmt: skip


@given(
    st.lists(st.lists(WORDS | st.text(max_size=9), max_size=9).map("".join), max_size=40), st.integers(1, 5)
)
def test_no_log_raises_or_takes_more_room_than_there_is(texts: list[str], most: int) -> None:
    letters = Outbound(most=most)
    for text in texts:
        program, _, rest = text.partition(" ")
        name = program if program.startswith("postvouch") else f"postfix/{program}"
        line = parse(f"2026-11-24T03:15:55Z out {name}: {rest}", now=NOW)
        if line is not None:
            list(letters.feed(line))
        assert len(letters._suspects) <= most
        assert len(letters._left) <= most + 1
    list(letters.settle())
    again = Outbound(most=most)
    again.restore(json.loads(json.dumps(letters.state())))
    assert again.state()["suspects"].keys() <= letters.state()["suspects"].keys()


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["arrived", "pids", "left", "is_told", "why", "sender"])
                | st.text(max_size=3),
                inner,
            )
        ),
        max_leaves=9,
    )
)
def test_a_damaged_state_is_skipped(state: object) -> None:
    letters = Outbound()
    letters.restore(state)
    list(letters.settle())
    letters.state()


@pytest.mark.parametrize(
    "piece", [", relay=", "relay=a[", ", relay=a[1]:1, delay=1", "queued as ", ", ", "a" * 9, ">, orig_to=<"]
)
def test_a_hostile_line_takes_no_longer_than_its_length(piece: str) -> None:
    text = f"to=<{piece * (7000 // len(piece))} status=sent"
    lines = log("cleanup[8] 4XyZ1k2Lz3: message-id=<>", f"smtp[9] 4XyZ1k2Lz3: {text}")
    letters = Outbound()
    began = time.perf_counter()
    for _ in range(20):
        for line in lines:
            list(letters.feed(line))
    assert time.perf_counter() - began < 0.5
