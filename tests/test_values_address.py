"""The one reader of addresses: standard vectors of the From field, round trips, junk, and hostile sizes."""

import re
import time
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from postvouch.values.address import (
    Address,
    AddressError,
    MalformedAuthor,
    MissingAuthor,
    OneAuthor,
    SeveralAuthors,
    parse_address,
    parse_author,
    parse_domain,
    parse_path,
    quote_local,
    split_mailbox,
)

VECTORS = Path(__file__).parent / "vectors" / "dmarc" / "from-header.yml"
CASES = yaml.load(VECTORS.read_text("utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))["cases"]
WORDS = {
    OneAuthor: "single",
    MissingAuthor: "none",
    SeveralAuthors: "multiple",
    MalformedAuthor: "unparsable",
}


def from_values(raw: bytes) -> list[bytes]:
    """What a milter would get as values of From fields; Postfix removes blanks before the colon."""
    header = raw.partition(b"\r\n\r\n")[0].removesuffix(b"\r\n")
    fields = [field.partition(b":") for field in re.split(rb"\r\n(?![ \t])", header)]
    return [value for name, _, value in fields if name.rstrip(b" \t").lower() == b"from"]


def test_the_suite_is_whole():
    assert len(CASES) == 158


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_author_of_the_standard_vectors(case):
    values = from_values(case["raw"].encode("latin-1"))
    begin = time.perf_counter()
    author = parse_author(values)
    assert time.perf_counter() - begin < case.get("limits", {}).get("max_seconds", 1)
    outcome = case["outcome"]
    if outcome == "group":
        # RFC 6854 §1: a group may name nobody, and then there is no author.
        outcome = "multiple" if case["domains"] else "none"
    assert WORDS[type(author)] == outcome
    if isinstance(author, OneAuthor):
        assert author.address.domain == case["domain"]
        assert author.address.domain not in case.get("never", ())
    if isinstance(author, SeveralAuthors):
        assert list(author.domains) == case["domains"]
        assert sorted({address.domain for address in author.addresses}) == case["domains"]
        assert author.group == (case["outcome"] == "group")


@pytest.mark.parametrize(
    "value",
    [
        b"(" * 3000 + b")" * 3000 + b" a@far.example",
        b" " * 80_000 + b"a@far.example",
        b"(" * 80_000,
        b"(\\" * 40_000,
        b'"' * 80_000,
        b'"\\' * 40_000,
        b"\\" * 80_000,
        b"<" * 80_000,
        b"a." * 40_000,
        b"[" * 80_000,
        b", " * 40_000,
        b"a@far.example," * 6_000,
        b"a:" * 40_000,
        "ü".encode() * 40_000 + b"@far.example",
        b"a@" + "ü".encode() * 40_000,
        b"a@" + b"a." * 40_000 + b"example",
        b"\r\n " * 27_000 + b"a@far.example",
        "".join(f"a@{'.'.join(chr(0x4E00 + i + j) for j in range(20))}," for i in range(900)).encode(),
    ],
    ids=lambda value: f"{value[:6]!r} {len(value)}",
)
def test_hostile_values_cost_little(value):
    begin = time.perf_counter()
    parse_author([value])
    assert time.perf_counter() - begin < 2


def test_local_part_of_an_author_is_unquoted_and_keeps_its_case():
    assert parse_author([b' "A \\"b\\""@Far.Example (x)']) == OneAuthor(Address('A "b"', "far.example"))
    assert parse_author([b' x <"a".B@far.example>']) == OneAuthor(Address("a.B", "far.example"))


@pytest.mark.parametrize(
    "value",
    [
        b"alice@far example",
        b"alice@far.example.",
        b'alice@"far".example',
        b'""@far.example',
        "ali\u202ece@far.example".encode(),
        "ali\u00a0ce@far.example".encode(),
        "ali\u00adce@far.example".encode(),
        b"ali\xffce@far.example",
        b"a@192.0.2.1",
        b"a: b: c@far.example;",
        b". <a@far.example>",
        b"<@far.example a@far.example>",
        b"<@far.example,a@far.example>",
        b"a@" + b"x" * 64 + b".example",
    ],
)
def test_malformed_author_gives_a_reason_without_the_text(value):
    author = parse_author([value])
    assert isinstance(author, MalformedAuthor)
    assert author.reason
    assert "alice" not in author.reason


def test_author_counts_domain_literals_as_mailboxes():
    assert parse_author([b"a@[192.0.2.1]"]) == MissingAuthor()
    assert parse_author([b"a@[192.0.2.1], b@far.example"]) == SeveralAuthors(("far.example",))
    assert parse_author([b"a@[192.0.2.1], b@[192.0.2.2]"]) == SeveralAuthors(())
    assert parse_author([]) == MissingAuthor()


@given(st.lists(st.binary(max_size=60), max_size=3))
def test_parse_author_never_raises(values):
    assert type(parse_author(values)) in WORDS


JUNK = st.text(st.sampled_from('ab.@<>()[]",;:\\ \t\r\n\x00=é\u200bß'), max_size=25)


@given(st.lists(JUNK, max_size=2))
def test_parse_author_never_raises_on_things_like_addresses(values):
    author = parse_author([value.encode() for value in values])
    if isinstance(author, OneAuthor):
        assert parse_address(str(author.address)) == author.address


@given(st.text(max_size=40) | JUNK)
def test_nothing_but_address_error_comes_out(text):
    for parse in (parse_domain, parse_address, parse_path, split_mailbox):
        with suppress(AddressError):
            parse(text)


LABELS = st.from_regex(r"[a-z0-9]([a-z0-9_-]{0,20}[a-z0-9])?", fullmatch=True)
DOMAINS = st.lists(LABELS, min_size=1, max_size=4).map(lambda labels: ".".join((*labels, "example")))
LOCALS = st.text(
    st.sampled_from([chr(c) for c in range(0x20, 0x300) if not 0x7F <= c <= 0xA0 and c != 0xAD]),
    min_size=1,
    max_size=30,
)


@given(LOCALS, DOMAINS)
def test_an_address_survives_writing_and_reading(local, domain):
    address = Address(local, domain)
    assert parse_address(str(address)) == address
    assert parse_path(f"<{address}>") == address
    assert parse_author([f" x (y) <{address}>".encode()]) == OneAuthor(address)
    assert parse_author([f" {address}".encode()]) == OneAuthor(address)


@given(DOMAINS)
def test_folding_a_domain_twice_changes_nothing(domain):
    assert parse_domain(domain.upper() + ".") == parse_domain(domain) == domain


@pytest.mark.parametrize(
    "text, folded",
    [
        ("Far.EXAMPLE.", "far.example"),
        ("straße.example", "xn--strae-oqa.example"),
        ("STRAẞE.example", "xn--strae-oqa.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("bu\u0308cher.example", "xn--bcher-kva.example"),
        ("βόλος.example", "xn--nxasmm1c.example"),
        ("\u0646\u0627\u0645\u0647\u200c\u0627\u06cc.example", "xn--mgba3gch31f060k.example"),
        ("XN--BCHER-KVA.Example", "xn--bcher-kva.example"),
        ("_dmarc.far.example", "_dmarc.far.example"),
        ("localhost", "localhost"),
        ("a" * 63 + ".example", "a" * 63 + ".example"),
    ],
)
def test_domains_fold_as_idna_2008_says(text, folded):
    assert parse_domain(text) == folded


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "far.example..",
        ".far.example",
        "far..example",
        "-far.example",
        "far-.example",
        "far example",
        "far!.example",
        "192.0.2.1",
        "[192.0.2.1]",
        "a" * 64 + ".example",
        "ü" * 60 + ".example",
        "ü" * 300 + ".example",
        "a." * 126 + "ab",
        "ba\u200bnk.example",  # a zero-width space
        "ban\u212a.example",  # the Kelvin sign
        "\uff42ank.example",  # a full-width b
        "bank\u3002example",  # an ideographic full stop
        "a\u200db.example",  # ZWJ between Latin letters
        "b\udcfccher.example",  # an octet that was not UTF-8
    ],
)
def test_what_is_no_domain_is_refused(text):
    with pytest.raises(AddressError):
        parse_domain(text)


@pytest.mark.parametrize(
    "text, address",
    [
        ("alice@far.example", Address("alice", "far.example")),
        ("Alice@FAR.example", Address("Alice", "far.example")),
        ('"mara lind"@far.example', Address("mara lind", "far.example")),
        ('"a\\"b\\\\"@far.example', Address('a"b\\', "far.example")),
        ('"mara"@far.example', Address("mara", "far.example")),
        ("zoë@far.example", Address("zoë", "far.example")),
        ("a=b+c/d@far.example", Address("a=b+c/d", "far.example")),
    ],
)
def test_mailboxes_are_read(text, address):
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "alice",
        "alice@",
        "@far.example",
        "a b@far.example",
        " alice@far.example",
        "alice@far.example ",
        "alice@far.example\n",
        "a..b@far.example",
        ".a@far.example",
        "a.@far.example",
        "a@b@far.example",
        "alice(x)@far.example",
        "<alice@far.example>",
        '"alice@far.example',
        '"a"b@far.example',
        '""@far.example',
        '"a\tb"@far.example',
        "alice@far.example.",
        "alice@[192.0.2.1]",
        "al\udcffice@far.example",
    ],
)
def test_what_is_no_mailbox_is_refused(text):
    with pytest.raises(AddressError):
        parse_address(text)


def test_the_null_sender_is_none_in_both_spellings():
    assert parse_path("") is None
    assert parse_path("<>") is None
    assert parse_path("<a@far.example>") == parse_path("a@far.example") == Address("a", "far.example")
    for text in ("<", ">", "<a@far.example", "a@far.example>", "<<a@far.example>>", "< >"):
        with pytest.raises(AddressError):
            parse_path(text)


def test_odd_dots_pass_only_where_asked_for():
    assert split_mailbox("a..b.@Far.example", odd_dots=True) == ("a..b.", "Far.example")
    with pytest.raises(AddressError):
        split_mailbox("a..b.@Far.example")


@pytest.mark.parametrize(
    "local, written",
    [
        ("a.b", "a.b"),
        ("a b", '"a b"'),
        ("a..b", '"a..b"'),
        ('a"\\', '"a\\"\\\\"'),
        ("zoë", "zoë"),
        ("a@b", '"a@b"'),
    ],
)
def test_local_parts_are_quoted_only_where_needed(local, written):
    assert quote_local(local) == written


def test_a_letter_of_nothing_but_from_fields_costs_no_more_than_a_few() -> None:
    """Each of a different internationalized domain: unbounded, a letter of 10 MB took 17 s."""
    labels = [chr(0x4E00 + n) for n in range(20_000)]
    values = [("a@" + ".".join(labels[n : n + 20]) + ".example").encode() for n in range(10_000)]
    begin = time.process_time()
    author = parse_author(values)
    assert time.process_time() - begin < 0.5
    assert isinstance(author, SeveralAuthors)


def test_a_from_longer_than_postfix_hands_over_is_not_read():
    assert parse_author([b"x" * (1 << 17) + b"@far.example"]) == MalformedAuthor("too long")
    assert isinstance(parse_author([b"a@far.example" + b" " * 102_400]), OneAuthor)
