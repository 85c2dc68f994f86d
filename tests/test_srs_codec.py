"""SRS: byte for byte what postsrsd does, and nothing that was not signed comes back."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from postvouch.srs.codec import Rules, forward, reverse
from postvouch.values.address import parse_address, split_mailbox
from postvouch.values.answer import Found, NotFound, Refused

VECTORS = Path(__file__).parent / "vectors" / "srs" / "vectors.yml"
SUITE = yaml.load(VECTORS.read_text("utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
WORDS = {Found: "found", NotFound: "not_found", Refused: "rejected"}
# Open points of the suite, as we settle them: a stamp of tomorrow comes from a host whose clock is ahead;
# only an address in a DNS domain is rewritten.
SETTLED = {
    "age-future-1": "found",
    "wrap-20484": "found",
    "odd-domain-literal": "not_found",
    "odd-two-ats": "not_found",
    "odd-space": "not_found",
    "odd-trailing-dot": "not_found",
}


def rules_of(name: str) -> tuple[Rules, int]:
    """The rules and the day of a set of the suite."""
    given = SUITE["sets"][name]
    rules = Rules(
        domain=given["srs_domain"],
        local_domains=frozenset(given["local_domains"]),
        secrets=tuple(secret.encode() for secret in given["secrets"]),
        max_age_days=given["max_age_days"],
        separator=given["separator"],
        hash_length=given["hash_length"],
        hash_min=given["hash_min"],
    )
    return rules, given["now"] // 86400


def expected(case) -> str:
    result = SETTLED.get(case["id"], case["result"])
    assert result in case.get("accept", [result])
    return "not_found" if result == "does_not_fit" else result


def test_the_suite_is_whole():
    assert (len(SUITE["forward"]), len(SUITE["reverse"]), len(SUITE["chains"])) == (77, 106, 2)


@pytest.mark.parametrize("case", SUITE["forward"], ids=lambda case: case["id"])
def test_senders_of_the_standard_vectors(case):
    rules, today = rules_of(case["set"])
    answer = forward(case["sender"], rules=rules, today=today)
    assert WORDS[type(answer)] == expected(case)
    if not isinstance(answer, Found):
        return
    assert parse_address(answer.value).domain == rules.domain
    if "value" in case:
        assert answer.value == case.get("value_base64url", case["value"])
    back = reverse(answer.value, rules=rules, today=today)
    assert isinstance(back, Found)
    if "reverse_value" in case:
        assert back.value == case["reverse_value"]
    else:
        # Needless quotes go; the address is the same (RFC 5321 section 4.1.2).
        assert split_mailbox(back.value) == split_mailbox(case["sender"])


@pytest.mark.parametrize("case", SUITE["reverse"], ids=lambda case: case["id"])
def test_recipients_of_the_standard_vectors(case):
    rules, today = rules_of(case["set"])
    answer = reverse(case["recipient"], rules=rules, today=today)
    assert WORDS[type(answer)] == expected(case)
    if isinstance(answer, Found) and "value" in case:
        assert answer.value == case["value"]


@pytest.mark.parametrize("chain", SUITE["chains"], ids=lambda chain: chain["id"])
def test_chains_of_the_standard_vectors(chain):
    for step in chain["steps"]:
        rules, today = rules_of(step["set"])
        turn = forward if step["op"] == "forward" else reverse
        answer = turn(step["input"], rules=rules, today=today)
        assert isinstance(answer, Found)
        assert answer.value == step["value"]


RULES = Rules(
    domain="our.example", local_domains=frozenset({"our.example", "old.example"}), secrets=(b"one", b"two")
)
DAY = 20_500
PLAIN = st.text(st.sampled_from("abcXYZ019.+-_='/"), min_size=1, max_size=20)
ODD = st.text(st.sampled_from('ab =@"\\<>,;:é'), min_size=1, max_size=12).map(
    lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
)
DOMAINS = st.sampled_from(["far.example", "Far.Example", "a-b.far.example", "bücher.example"])
SENDERS = st.builds("{}@{}".format, PLAIN | ODD, DOMAINS).filter(lambda sender: sender[:3].upper() != "SRS")


@given(SENDERS, st.integers(0, 40_000), st.integers(0, 21), st.sampled_from("=+-"))
def test_what_is_rewritten_comes_back(sender, today, age, separator):
    rules = Rules(domain="our.example", local_domains=frozenset(), secrets=(b"one",), separator=separator)
    there = forward(sender, rules=rules, today=today)
    assert isinstance(there, Found)
    back = reverse(there.value, rules=rules, today=today + age)
    assert isinstance(back, Found)
    assert split_mailbox(back.value, odd_dots=True) == split_mailbox(sender, odd_dots=True)
    assert isinstance(reverse(there.value, rules=rules, today=today + 22), Refused)


@given(SENDERS, st.data())
def test_a_changed_character_is_refused(sender, data):
    # A hash of four characters can be hit by chance once in a million times; a test must not be so lucky.
    rules = Rules(domain="our.example", local_domains=frozenset(), secrets=(b"one", b"two"), hash_length=20)
    there = forward(sender, rules=rules, today=DAY)
    assert isinstance(there, Found)
    local = there.value.removesuffix("@our.example").removeprefix('"').removesuffix('"')
    at = data.draw(st.integers(5, len(local) - 1))
    other = data.draw(st.sampled_from("abcdefghijklmnop0123456789"))
    if local[at].lower() == other or "\\" in local[at - 1 : at + 1]:
        return
    forged = f'"{local[:at]}{other}{local[at + 1 :]}"@our.example'
    assert isinstance(reverse(forged, rules=rules, today=DAY), Refused)


@given(st.text(max_size=40) | st.text(st.sampled_from('srSR01=+-@."our.exampl\\ é'), max_size=40))
def test_nothing_raises(text):
    for address in (text, f"{text}@our.example", f"SRS0={text}@our.example", f"srs1+{text}@far.example"):
        assert type(forward(address, rules=RULES, today=DAY)) in WORDS
        assert type(reverse(address, rules=RULES, today=DAY)) in WORDS


@given(st.text(max_size=30))
def test_no_answer_is_found_without_a_hash_of_ours(text):
    assert not isinstance(reverse(f"SRS0=AAAA=AA={text}@our.example", rules=RULES, today=DAY), Found)


def test_the_rewritten_local_part_is_never_too_long():
    for length in range(1, 60):
        answer = forward(f"{'m' * length}@sender.example", rules=RULES, today=DAY)
        assert isinstance(answer, Found) == (length <= 36)
        if isinstance(answer, Found):
            assert len(answer.value.rpartition("@")[0]) <= 64


def test_octets_count_and_not_characters():
    assert isinstance(forward("é" * 18 + "@sender.example", rules=RULES, today=DAY), Found)
    assert isinstance(forward("é" * 19 + "@sender.example", rules=RULES, today=DAY), NotFound)


def test_postfix_spelling_of_the_null_sender_stays():
    # cleanup(8) asks for the two characters "" where the sender is null.
    for null in ('""', "", "<>"):
        assert isinstance(forward(null, rules=RULES, today=DAY), NotFound)


def test_a_local_domain_is_known_by_its_u_label_too():
    rules = Rules(domain="our.example", local_domains=frozenset({"xn--bcher-kva.example"}), secrets=(b"one",))
    assert isinstance(forward("a@BÜCHER.example", rules=rules, today=DAY), NotFound)
    assert isinstance(forward("a@xn--bcher-kva.example", rules=rules, today=DAY), NotFound)


def test_a_long_s_is_no_tag():
    answer = forward("\u017frs0=x@far.example", rules=RULES, today=DAY)
    assert isinstance(answer, Found)
    assert answer.value.startswith("SRS0=")
    assert answer.value.endswith("=far.example=\u017frs0=x@our.example")


def test_the_answer_tells_which_secret_and_how_old():
    rotated = Rules(domain="our.example", local_domains=frozenset(), secrets=(b"new", b"one"))
    there = forward("Mara@far.example", rules=RULES, today=DAY)
    assert isinstance(there, Found)
    back = reverse(there.value, rules=rotated, today=DAY + 3)
    assert back == Found("Mara@far.example", "secret 2, 3 days old")
    folded = reverse(there.value.lower(), rules=rotated, today=DAY + 3)
    assert folded == Found("mara@far.example", "secret 2, hash in another case, 3 days old")


@pytest.mark.parametrize(
    "address, reason",
    [
        ("SRS0=AAAA=AA=far.example=a@our.example", "forged"),
        ("SRS0=AAAA@our.example", "broken"),
        ("SRS1=AAAA=far.example==x@our.example", "forged"),
    ],
)
def test_a_refusal_says_why(address, reason):
    answer = reverse(address, rules=RULES, today=DAY)
    assert isinstance(answer, Refused)
    assert reason in answer.reason


def test_a_signed_wrapper_without_an_address_in_it_is_refused():
    # Found where another program wrapped what was no address; only its hash is right.
    for sender in ("a@far.example", "b@far.example"):
        there = forward(sender, rules=RULES, today=DAY)
        assert isinstance(there, Found)
        moved = there.value.replace("=far.example=" + sender[0], f"=far.example{sender[0]}=")
        assert isinstance(reverse(moved, rules=RULES, today=DAY), Refused)


@pytest.mark.parametrize(
    "change",
    [
        {"secrets": ()},
        {"secrets": (b"one", b"")},
        {"separator": "/"},
        {"separator": ""},
        {"hash_length": 3},
        {"hash_length": 28},
        {"hash_min": 3},
        {"hash_length": 4, "hash_min": 5},
        {"max_age_days": 0},
        {"max_age_days": 1022},
    ],
)
def test_rules_that_cannot_work_are_refused(change):
    with pytest.raises(ValueError, match="SRS"):
        Rules(**{"domain": "our.example", "local_domains": frozenset(), "secrets": (b"one",)} | change)


def test_a_repr_shows_no_secret() -> None:
    rules = Rules(domain="our.example", local_domains=frozenset(), secrets=(b"hunter2",))
    assert "hunter2" not in repr(rules)
