"""SigningTable and KeyTable: whoever is signed for, and by which key, stays so."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_config_opendkim import disk, lost

from postvouch.config import opendkimtables
from postvouch.config.opendkim import parse
from postvouch.config.opendkimimport import convert
from postvouch.sign.authors import Table
from postvouch.sign.authors import parse as pattern_of
from postvouch.values.address import Address

MAIN = "/etc/opendkim.conf"


def imported(signing, keys, kind="file", more=""):
    """The tables, one row a line; ``keys`` are "name d:s:file"."""
    text = f"Mode s\nKeyTable file:/keys\nSigningTable {kind}:/signing\n{more}"
    read = disk(**{MAIN: text, "/signing": signing, "/keys": keys})
    return convert(parse(MAIN, read), read)


def ours(result):
    """What our ring would do with the imported keys: (d, s) of an address."""
    rows, names = [], []
    for key in result.keys:
        own = [key.domain, *([f"*.{key.domain}"] if key.subdomains else [])]
        names.append((key.domain, key.selector))
        rows += [(pattern_of(text), len(names) - 1) for text in key.authors or own]
    table = Table(rows)

    def find(local, domain):
        return [names[number] for number in table.find(Address(local, domain))]

    return find


def theirs(signing, keys, kind, *, several=False):
    """What OpenDKIM does: opendkim.conf(5), SigningTable. Knows nothing of how ours are made."""
    rows = [line.split() for line in signing.splitlines() if line.strip()]
    known = dict(line.split() for line in keys.splitlines())

    def asked(local, domain):
        yield f"{local}@{domain}"
        yield domain
        labels = domain.split(".")
        for n in range(1, len(labels)):
            parent = "." + ".".join(labels[n:])
            yield f"{local}@{parent}"
            yield parent
        yield f"{local}@*"
        yield "*"

    def fits(glob, text):
        if not glob:
            return not text
        if glob[0] == "*":
            return any(fits(glob[1:], text[n:]) for n in range(len(text) + 1))
        return bool(text) and glob[0] == text[0] and fits(glob[1:], text[1:])

    def find(local, domain):
        address = f"{local}@{domain}"
        if kind == "refile":
            found = [key for glob, key in rows if fits(glob, address)]
        else:
            found = [
                next(k for name, k in rows if name == q) for q in asked(local, domain) if q in dict(rows)
            ]
        found = [domain if name == "%" else name for name in (found if several else found[:1])]
        signed = []
        for name in found:
            d, s, _ = known[name].split(":")
            signed.append((domain if d == "%" else d, s))
        return list(dict.fromkeys(signed))

    return find


KEYS = "".join(
    f"k{n} {d}:s{n}:/k{n}\n" for n, d in enumerate(["our.example", "a.our.example", "esp.example"])
)
LOCALS = ["bob", "news", "news-a", "ann", "n", "x+y"]
DOMAINS = [
    "our.example", "a.our.example", "b.a.our.example", "old.example", "ourexample", "far.test",
    "notour.example",
]  # fmt: skip

SAMPLES = {
    "file": "bob@our.example k0\nour.example k1\nann@.our.example k2\n.our.example k0\n",
    "order of a file does not count": ".example k2\n.our.example k1\nour.example k0\nbob@our.example k1\n",
    "a name twice": "our.example k0\nour.example k1\n",
    "address below a domain": "a.our.example k0\nbob@.our.example k1\n.our.example k2\n",
    "super-domain of both": ".our.example k0\n.a.our.example k1\nann@.a.our.example k2\n",
}
GLOBS = {
    "domains": "*@our.example k0\n*@*.our.example k1\n",
    "first is general": "*@our.example k0\nbob@our.example k1\n*@a.our.example k2\n",
    "first is special": "bob@our.example k1\n*@our.example k0\n",
    "glob first": "news*@our.example k1\nnews-a@our.example k2\n*@our.example k0\n",
    "across domains": "bob@*.our.example k1\n*@a.our.example k2\n*@*.our.example k0\n",
    "glob across domains": "n*@*.our.example k1\n*@a.our.example k2\n",
    "without an at": "*.our.example k0\n*@our.example k1\n",
    "nested globs": "n*@our.example k0\nnews*@our.example k1\n",
    "plus": "x+*@our.example k1\n*@our.example k0\n",
}


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("kind, signing", [
    *(("file", text) for text in SAMPLES.values()), *(("refile", text) for text in GLOBS.values()),
])  # fmt: skip
def test_each_address_is_signed_as_before(kind, signing, several):
    result = imported(signing, KEYS, kind, "MultipleSignatures yes\n" if several else "")
    assert lost(result) == []
    mine, before = ours(result), theirs(signing, KEYS, kind, several=several)
    for local, domain in product(LOCALS, DOMAINS):
        assert set(mine(local, domain)) == set(before(local, domain)), f"{local}@{domain}"


def test_a_csl_is_a_table_too():
    read = disk(
        **{MAIN: "Mode s\nKeyTable csl:k=our.example:s:/k\nSigningTable our.example=k,bob@.our.example=k\n"}
    )
    (key,) = convert(parse(MAIN, read), read).keys
    assert (key.domain, key.selector, key.file) == ("our.example", "s", "/k")
    assert key.authors == ("our.example", "bob@*.our.example")


def test_the_domain_of_from_is_written_out_where_the_key_goes_by_it():
    result = imported("our.example all\nold.example all\n", "all %:2026:/keys/%.pem\n")
    assert [(key.domain, key.file, key.authors) for key in result.keys] == [
        ("our.example", "/keys/our.example.pem", ()), ("old.example", "/keys/old.example.pem", ()),
    ]  # fmt: skip
    assert lost(result) == []


def test_a_key_named_like_the_domain_of_from():
    keys = "our.example our.example:s:/o\nold.example old.example:s:/p\n"
    result = imported("*@our.example %\n*@old.example %\n*@far.example %\n", keys, "refile")
    assert [key.domain for key in result.keys] == ["our.example", "old.example"]
    assert lost(result) == [
        '/signing:3: SigningTable: there is no key "far.example" in the KeyTable; OpenDKIM defers such mail'
    ]


def test_everybody_is_written_out_for_the_domains_that_are_named():
    result = imported("* k0\n", KEYS)
    assert set(ours(result)("bob", "our.example")) == {("our.example", "s0")}
    assert set(ours(result)("bob", "x.our.example")) == {("our.example", "s0")}
    assert ours(result)("bob", "far.test") == []
    assert lost(result) == [
        "/signing:1: SigningTable: signs for all domains there are; carried for those that are named: "
        "our.example, a.our.example, esp.example"
    ]


@pytest.mark.parametrize("row, words", [
    ("*.our.example k0", "is looked up like this"),
    ("nobody", "names no key"),
    ("our.example none", 'no key "none"'),
    ("bob@our.example inline", "the key itself is in the table"),
    ("our.example broken", "is not followed by domain:selector:file"),
    ("our.example odd", "is no selector"),
    (".our.example any", "a d= for each domain below our.example"),
])  # fmt: skip
def test_a_row_that_cannot_be_carried_is_named(row, words):
    keys = f"{KEYS}inline our.example:s:MIIEvQ==\nbroken our.example\nodd our.example:?:/k\nany %:s:/k\n"
    assert any(words in text for text in lost(imported(f"{row}\n", keys)))


@pytest.mark.parametrize("glob, words", [
    ("*@our.(example|test)", 'belongs to a regular expression'),
    ("*our.example", "without an @"),
    ("*@*our.example", 'may only stand in front'),
    ("a*@our.example k1\n*b@our.example", "order of its rows"),
])  # fmt: skip
def test_a_pattern_that_cannot_be_carried_is_named(glob, words):
    assert any(words in text for text in lost(imported(f"{glob} k0\n", KEYS, "refile")))


def test_a_line_of_a_refile_that_begins_with_a_blank_is_none():
    assert imported(" *@our.example k0\n*@old.example k1\n", KEYS, "refile").domains == (
        "old.example", "a.our.example",
    )  # fmt: skip


def test_one_selector_with_two_files_is_named():
    keys = "a our.example:s:/one\nb our.example:s:/two\n"
    result = imported("bob@our.example a\nour.example b\n", keys)
    assert [key.file for key in result.keys] == ["/one"]
    assert lost(result) == [
        "/keys:2: KeyTable: a second file for selector s of our.example; the first is /one"
    ]


def test_relative_files_begin_at_the_base_directory():
    result = imported("our.example k\n", "k our.example:s:./k.pem\n", more="BaseDirectory /etc/dkimkeys\n")
    assert result.keys[0].file == "/etc/dkimkeys/k.pem"
    assert lost(result) == []
    assert "no BaseDirectory" in lost(imported("our.example k\n", "k our.example:s:./k.pem\n"))[0]


def test_exempt_domains_are_signed_by_no_key():
    rows = "our.example k0\n.our.example k1\n.esp.example k2\n"
    result = imported(rows, KEYS, more="ExemptDomains our.example,old.example\n")
    assert ours(result)("bob", "our.example") == []
    assert lost(result) == []
    (text,) = lost(imported(rows, KEYS, more="ExemptDomains a.our.example\n"))
    assert text.endswith("ExemptDomains: a.our.example: no part of *.our.example can be left out")


def test_too_many_patterns_are_named_and_none_is_carried(monkeypatch):
    monkeypatch.setattr(opendkimtables, "MAX_PATTERNS", 3)
    result = imported("a@our.example k0\nb@our.example k0\nc@our.example k0\nour.example k1\n", KEYS)
    assert result.keys == ()
    assert "too many patterns" in lost(result)[0]


@pytest.mark.parametrize(
    "kind, scopes",
    [
        ("file", ["our.example", ".our.example", ".a.our.example", "a.our.example"]),
        ("refile", ["@our.example", "@*.our.example", "@*.a.our.example", "@a.our.example"]),
    ],
)
def test_any_table_decides_as_before_or_says_that_it_does_not(kind, scopes):
    locals_ = ["", "bob@", "ann@"] if kind == "file" else ["*", "bob", "n*", "ne*", "*s", "*"]
    names = [f"{local}{scope}" for local, scope in product(locals_, scopes)]

    @given(
        st.lists(st.tuples(st.sampled_from(names), st.sampled_from(["k0", "k1", "k2"])), max_size=7),
        st.booleans(),
    )
    def check(rows, several):
        signing = "".join(f"{name} {key}\n" for name, key in rows)
        result = imported(signing, KEYS, kind, "MultipleSignatures yes\n" if several else "")
        if lost(result):
            assert kind == "refile"
            assert all("order of its rows" in text for text in lost(result))
            return
        mine, before = ours(result), theirs(signing, KEYS, kind, several=several)
        for local, domain in product(["bob", "ann", "news", "ns", "bus"], DOMAINS):
            assert set(mine(local, domain)) == set(before(local, domain)), f"{local}@{domain}"

    check()
