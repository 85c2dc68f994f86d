"""Token addresses: SRS0 to all others, whoever is behind them, and nobody makes one but us."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from postvouch.srs import codec, tokens
from postvouch.srs.tokens import Find, Keep
from postvouch.values.address import quote_local
from postvouch.values.answer import Found, NotFound, Refused

RULES = codec.Rules(
    domain="our.example", local_domains=frozenset({"our.example"}), secrets=(b"first", b"second")
)
OTHER = replace(RULES, domain="other.example", local_domains=frozenset({"other.example"}))
LONG = "a.very.long.local.part.that.some.list.software.made+of=somebody@far.example"

atoms = st.from_regex(r"\A[a-z0-9!#$%&'*+/=?^_`{|}~é漢-]+(\.[a-z0-9é漢-]+){0,3}\Z")
locals_ = st.one_of(atoms, st.text('ab "\\@<>.,é漢', min_size=1).map(lambda text: quote_local(text + " ")))
domains = st.sampled_from(["far.example", "a-long-name-of-a-house.lists.far.example", "bücher.example"])
senders = st.builds("{}@{}".format, locals_, domains)


def keep(sender: str, rules: codec.Rules = RULES, today: int = 20000) -> Keep:
    answer = tokens.kept(sender, codec.forward(sender, rules=rules, today=today), rules=rules, today=today)
    assert isinstance(answer, Keep), answer
    return answer


def reverse(address: str, today: int = 20000, rules: codec.Rules = RULES) -> object:
    return tokens.found(codec.reverse(address, rules=rules, today=today), rules=rules)


@given(senders, st.integers(0, 40000), st.booleans())
def test_every_sender_that_is_rewritten_comes_back_by_its_own_address_or_by_its_token(
    sender: str, today: int, fold: bool
) -> None:
    plain = codec.forward(sender, rules=RULES, today=today)
    answer = tokens.kept(sender, plain, rules=RULES, today=today)
    if isinstance(plain, Found):
        assert answer is plain
        return
    assert isinstance(answer, Keep)
    assert (answer.sender, answer.domain.isascii()) == (sender, True)
    address = answer.address.value
    local, _, domain = address.rpartition("@")
    assert address.startswith("SRS0=")
    assert (address.isascii(), domain) == (True, "our.example")
    assert len(local) <= 64
    asked = reverse(address.lower() if fold else address, today + 21)
    assert isinstance(asked, Find)
    assert asked.token == answer.token
    assert tokens.is_made_of(asked.token, sender, asked.secrets)
    assert isinstance(reverse(address, today + 22), Refused)


def test_what_fits_into_64_octets_is_embedded_and_the_next_octet_makes_a_token() -> None:
    room = 64 - len("SRS0=HHHH=TT=far.example=")
    fits = codec.forward("x" * room + "@far.example", rules=RULES, today=1)
    assert tokens.kept("x" * room + "@far.example", fits, rules=RULES, today=1) is fits
    assert len(keep("x" * (room + 1) + "@far.example").token) == 16


def test_one_changed_character_of_a_token_address_is_refused_without_asking() -> None:
    address = keep(LONG).address.value
    local = address.partition("@")[0]
    for at in range(5, len(local)):
        new = "a" if local[at].lower() != "a" else "b"
        answer = reverse(f"{local[:at]}{new}{local[at + 1 :]}@our.example")
        # The hash is compared without case, as are token and day; so "new" is another letter, not a case.
        assert isinstance(answer, Refused), (at, answer)


def test_a_sender_has_one_token_on_every_day_and_another_with_another_secret() -> None:
    assert keep(LONG, today=20001).token == keep(LONG).token
    assert keep(LONG, today=20001).address != keep(LONG).address
    assert keep(LONG, replace(RULES, secrets=(b"second",))).token != keep(LONG).token
    assert keep("A" + LONG).token != keep("a" + LONG).token  # local parts may tell cases apart


def test_a_token_of_the_second_secret_is_still_undone_and_one_of_a_stranger_is_not() -> None:
    old = keep(LONG, replace(RULES, secrets=(b"second",)))
    asked = reverse(old.address.value)
    assert isinstance(asked, Find)
    assert tokens.is_made_of(asked.token, LONG, asked.secrets)
    assert not tokens.is_made_of(asked.token, "eve@far.example", asked.secrets)
    strange = keep(LONG, replace(RULES, secrets=(b"stranger",)))
    assert isinstance(reverse(strange.address.value), Refused)


def test_the_next_forwarder_wraps_a_token_as_any_srs0_and_it_comes_home() -> None:
    token = keep(LONG)
    wrapped = codec.forward(token.address.value, rules=OTHER, today=20000)
    assert isinstance(wrapped, Found)
    assert wrapped.value.startswith("SRS1=")
    back = codec.reverse(wrapped.value, rules=OTHER, today=20000)
    assert isinstance(back, Found)
    asked = reverse(back.value)
    assert isinstance(asked, Find)
    assert asked.token == token.token


def test_a_strangers_srs0_that_is_too_long_as_srs1_gets_a_token_too() -> None:
    sender = "SRS0=abcd=XY=a-long-name.far.example=somebody-with-a-name@relay.far.example"
    asked = keep(sender)
    assert (asked.sender, asked.domain) == (sender, "relay.far.example")


def test_what_needs_no_rewriting_gets_no_token() -> None:
    for sender in (
        "",
        "x" * 70 + "@our.example",
        "x" * 70,
        "x" * 70 + "@[192.0.2.1]",
        "x" * 3000 + "@far.example",
    ):
        plain = codec.forward(sender, rules=RULES, today=1)
        assert isinstance(plain, NotFound)
        assert tokens.kept(sender, plain, rules=RULES, today=1) is plain


@given(st.text())
def test_no_address_and_no_text_in_a_store_raises(text: str) -> None:
    for key in (text, f"{text}@our.example", f"SRS0={text}@our.example"):
        reverse(key)
        tokens.kept(key, codec.forward(key, rules=RULES, today=1), rules=RULES, today=1)
    assert not tokens.is_made_of(text, text, RULES.secrets)
