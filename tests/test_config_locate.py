"""The locator finds the line of every key in any TOML file that tomllib accepts."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postvouch.config.locate import locate

TRICKY = '''\
# [not.a.table]
top = "a # no comment" # a comment with "quotes"
[general]   # trailing

domains = [ # [x]
  "a]b",   'c,d',
  # "commented.example",
  """e
f""", "g",
]
"quoted key" = 1
'single.dot' = 2
a.b . "c d" = 3
point = { x = 1, y = { z = [1, 2] }, "w w" = "}" }
long = """
[sign]
key = "\\""" inside"""
lit = \'\'\'
[nope]''\'\'\'
five = """a"""""
[[sign.key]]
domain = "one.example"
[[sign.key]]
domain = "two.example"
[sign.key.deep]
x = 1979-05-27 07:32:00
[[sign.key.more]]
y = -1.5e3
[ spaced . "out" ]
z = true
'''


def paths_of(value, path=()):
    """Every path that a parsed document has."""
    items = enumerate(value) if isinstance(value, list) else value.items()
    for key, inner in items:
        yield (*path, key)
        if isinstance(inner, dict | list):
            yield from paths_of(inner, (*path, key))


@pytest.mark.parametrize(
    "path, line",
    [
        (("top",), 2),
        (("general",), 3),
        (("general", "domains"), 5),
        (("general", "domains", 0), 6),
        (("general", "domains", 1), 6),
        (("general", "domains", 2), 8),
        (("general", "domains", 3), 9),
        (("general", "quoted key"), 11),
        (("general", "single.dot"), 12),
        (("general", "a", "b", "c d"), 13),
        (("general", "point", "y", "z", 1), 14),
        (("general", "point", "w w"), 14),
        (("general", "long"), 15),
        (("general", "lit"), 18),
        (("general", "five"), 20),
        (("sign", "key", 0), 21),
        (("sign", "key", 0, "domain"), 22),
        (("sign", "key", 1, "domain"), 24),
        (("sign", "key", 1, "deep", "x"), 26),
        (("sign", "key", 1, "more", 0, "y"), 28),
        (("spaced", "out", "z"), 30),
    ],
)
def test_every_kind_of_key_is_found_on_its_line(path, line):
    assert locate(TRICKY)[path] == line


def test_no_path_is_invented_and_none_is_missed():
    assert set(locate(TRICKY)) == set(paths_of(tomllib.loads(TRICKY)))


def test_windows_line_ends_count_once():
    assert locate(TRICKY.replace("\n", "\r\n")) == locate(TRICKY)


KEYS = st.one_of(
    st.from_regex(r"[A-Za-z0-9_-]{1,4}", fullmatch=True),
    st.sampled_from(['"a b"', "'c.d'", '"q\\"t"', '""', '"[x]"', "'#'"]),
)
SCALARS = st.sampled_from(
    [
        "1",
        "-0.5",
        "true",
        "inf",
        '"s"',
        '"]"',
        "'}'",
        '"#,"',
        '"\\\\"',
        "''",
        '""',
        "07:32:00",
        "0x1F",
        '"""\n]\n"""',
        "'''\n[x]\n'''",
        '"""\\"""""""',
        "'''''a'''''",
        '""""""',
    ]
)
SPACES = st.sampled_from(["", " ", "\t "])
BREAKS = st.sampled_from(["", "\n", " # ] } comment\n", "\r\n\n"])


def _array(values):
    return st.lists(st.tuples(BREAKS, values, BREAKS), max_size=3).map(
        lambda items: "[" + ",".join(a + v + b for a, v, b in items) + "]"
    )


def _inline(values):
    return st.lists(st.tuples(KEYS, SPACES, values), max_size=3).map(
        lambda items: "{" + ", ".join(f"{k}{s}={s}{v}" for k, s, v in items) + "}"
    )


VALUES = st.recursive(SCALARS, lambda inner: st.one_of(_array(inner), _inline(inner)), max_leaves=5)
DOTTED = st.lists(KEYS, min_size=1, max_size=3).map(" . ".join)
LINES = st.one_of(
    st.tuples(DOTTED, SPACES, VALUES, BREAKS).map(lambda t: f"{t[0]}{t[1]}={t[1]}{t[2]}{t[3]}\n"),
    DOTTED.map(lambda key: f"[{key}]\n"),
    DOTTED.map(lambda key: f"[[ {key} ]] # x\n"),
    st.sampled_from(["\n", "# k = 1\n"]),
)


@given(st.lists(LINES, max_size=8))
def test_any_document_that_parses_has_every_path_located(lines):
    kept = ""
    for line in lines:
        try:
            tomllib.loads(kept + line)
        except tomllib.TOMLDecodeError:
            continue
        kept += line
    located = locate(kept)
    assert set(located) == set(paths_of(tomllib.loads(kept)))
    last = kept.count("\n") + 1
    assert all(1 <= line <= last for line in located.values())


@given(st.lists(st.tuples(st.integers(0, 3), VALUES), max_size=5))
def test_the_line_of_a_key_is_the_line_where_it_was_written(items):
    text, expected = "", {}
    for number, (blanks, value) in enumerate(items):
        text += "\n" * blanks
        expected[(f"key{number}",)] = text.count("\n") + 1
        text += f"key{number} = {value}\n"
        try:
            tomllib.loads(text)
        except tomllib.TOMLDecodeError:  # an inline table with a key twice
            return
    located = locate(text)
    assert {path: located[path] for path in expected} == expected
