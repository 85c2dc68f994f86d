"""auth/spfmacro.py: the grammar to the letter, the RFC's examples, and any text at all."""

import re
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postvouch.auth.spfmacro import MacroError, expand, parse, parse_domain_spec

# RFC 7208 §7.4
VALUES = {
    "s": "strong-bad@email.example.com",
    "l": "strong-bad",
    "o": "email.example.com",
    "d": "email.example.com",
    "h": "mx.example.org",
    "i": "192.0.2.3",
    "p": "mx.example.org",
    "v": "in-addr",
}


def expanded(text: str, **values: str) -> str:
    return expand(parse(text), {**VALUES, **values}.__getitem__)


@pytest.mark.parametrize(
    "text, name",
    [
        ("%{s}", "strong-bad@email.example.com"),
        ("%{o}", "email.example.com"),
        ("%{d}", "email.example.com"),
        ("%{d4}", "email.example.com"),
        ("%{d3}", "email.example.com"),
        ("%{d2}", "example.com"),
        ("%{d1}", "com"),
        ("%{dr}", "com.example.email"),
        ("%{d2r}", "example.email"),
        ("%{l}", "strong-bad"),
        ("%{l-}", "strong.bad"),
        ("%{lr}", "strong-bad"),
        ("%{lr-}", "bad.strong"),
        ("%{l1r-}", "strong"),
        ("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"),
        ("%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"),
        ("%{lr-}.lp.%{ir}.%{v}._spf.%{d2}", "bad.strong.lp.3.2.0.192.in-addr._spf.example.com"),
        ("%{ir}.%{v}.%{l1r-}.lp._spf.%{d2}", "3.2.0.192.in-addr.strong.lp._spf.example.com"),
        ("%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net"),
    ],
)
def test_the_examples_of_the_rfc(text: str, name: str) -> None:
    assert expanded(text) == name


@pytest.mark.parametrize(
    "text, name",
    [
        ("%%.%_.%-.x", "%. .%20.x"),
        ("%{D2R}", "example.email"),
        ("%{S}", "strong-bad%40email.example.com"),
        ("%{d0002}", "example.com"),
        ("%{d99999999999999999999}", "email.example.com"),
        ("%{o-.}", "email.example.com"),
        ("%{h.}.x.", "mx.example.org.x"),
        ("%{l/=+,_-}", "strong.bad"),
        ("A.B", "a.b"),
        ("", ""),
    ],
)
def test_what_the_grammar_says_besides(text: str, name: str) -> None:
    assert expanded(text) == name


def test_parts_are_joined_by_dots_whatever_they_were_split_at() -> None:
    assert expanded("%{l2r+-=}", l="a+b-c=d") == "b.a"
    assert expanded("%{l+}", l="a.b+c") == "a.b.c"
    assert expanded("%{l1+}", l="a.b+c.d") == "c.d"


@pytest.mark.parametrize(
    "text",
    [
        "%", "%x", "%{", "%{}", "%{d", "%{dx}", "%{d!}", "%{drr}", "%{dr2}", "%{d-2}", "%{d0}", "%{d00r}",
        "%{a}", "%{dd}", "%(d)", "%%%x", "% {d}", "a b", "\x00", "\x7f", "a\nb", "é", "\udcff", "%{c}",
        "%{R}", "%{t}",
    ],
)  # fmt: skip
def test_what_is_no_macro_string(text: str) -> None:
    for around in (text, f"x.{text}", f"%{{d}}{text}"):
        with pytest.raises(MacroError):
            parse(around)


@pytest.mark.parametrize(
    "text",
    [
        "a.b", "a.b.", ".com", "%{d}", "x%{d}", "a.%{d}.b1", "a.1-1", "x.xn--p1ai", "%%", "a%_", "a.%-",
        "a/b.c", "_x._y.z9",
    ],
)  # fmt: skip
def test_what_is_a_domain_spec(text: str) -> None:
    assert parse_domain_spec(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "a", ".", "a.", "a..", "a.b..", "a.1", "a.192", "a.-b", "a.b-", "a.b_c", "a.b/c", "%{d}x",
        "%{d}.", "a.%%_", "%{d}a.b}",
    ],
)  # fmt: skip
def test_what_is_no_domain_spec(text: str) -> None:
    with pytest.raises(MacroError):
        parse_domain_spec(text)


def test_too_long_a_name_loses_labels_on_the_left() -> None:
    label = "x" * 49 + "."
    assert expanded("%{l}.y", l=label * 5 + "z") == label * 5 + "z.y"
    assert expanded("%{l}.y", l=label * 6 + "z") == label * 4 + "x" * 49 + ".z.y"
    assert len(expanded("%{l}.y", l=label * 100 + "z")) <= 253
    assert len(expanded("%{l}", l="x" * 300)) == 300


@given(st.text(max_size=40) | st.text(alphabet="%{}dslr0129-+._=/ ", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(MacroError):
        name = expand(parse(text), lambda letter: letter)
        assert name == name.lower()
        literal = re.sub(r"%(?:[%_-]|\{[a-zA-Z][0-9]*[rR]?[-.+,/_=]*\})", "", text)
        assert all("!" <= c <= "~" and c != "%" for c in literal)


LETTERS = st.sampled_from("slodiphvSLODIPHV")
MARKS = st.text(alphabet="-.+,/_=", max_size=3)


@given(
    letter=LETTERS,
    keep=st.none() | st.integers(1, 200),
    turned=st.sampled_from(["", "r", "R"]),
    marks=MARKS,
    value=st.text(alphabet="ab.-+,/_=@", max_size=30),
)
def test_a_macro_means_what_the_rfc_says_in_words(
    letter: str, keep: int | None, turned: str, marks: str, value: str
) -> None:
    """Split at any of the marks, reverse, keep so many on the right, join by dots (RFC 7208 §7.3)."""
    wanted = value
    if keep or turned or marks:
        parts = re.split(f"[{re.escape(marks or '.')}]", value)
        if turned:
            parts.reverse()
        wanted = ".".join(parts[-(keep or len(parts)) :])
    if letter.isupper():
        wanted = re.sub(r"[+,/=@]", lambda found: f"%{ord(found[0]):02x}", wanted)
    text = f"%{{{letter}{keep or ''}{turned}{marks}}}"
    assert expand(parse(text), lambda _: value) == wanted.removesuffix(".")


def test_the_work_is_linear_in_the_text() -> None:
    begin = time.process_time()
    for text in ("a.%%" * 100_000, "%{d" * 100_000, "a" * 400_000 + "!", ".-" * 200_000, "%{l1r-}" * 50_000):
        with suppress(MacroError):
            parse_domain_spec(text)
    assert time.process_time() - begin < 2
