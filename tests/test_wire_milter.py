"""The milter protocol's codec: packets cut anywhere, what Postfix sends, what may go back, and junk."""

import contextlib
import struct
import time
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from postvouch.wire import milter
from postvouch.wire.milter import Decoder, Macros, Options, ProtocolError

STAGES = st.sampled_from(sorted(milter.STAGES))
NAMES = st.sampled_from([b"i", b"{auth_authen}", b"{cert_subject}", b"{daemon_name}"])
WORDS = st.binary(max_size=8).map(lambda octets: octets.replace(b"\0", b"")) | NAMES


def packet(command: int, data: bytes = b"") -> bytes:
    return struct.pack("!L", len(data) + 1) + bytes([command]) + data


def decode(chunks: list[bytes], limit: int = 60) -> tuple[list[tuple[int, bytes]], str, int]:
    """All commands, how the stream ended, and how much of it is still held."""
    decoder = Decoder(max_size=limit)
    commands: list[tuple[int, bytes]] = []
    for chunk in chunks:
        try:
            commands += decoder.feed(chunk)
        except ProtocolError as fault:
            with pytest.raises(ProtocolError, match=str(fault)):
                decoder.feed(b"")
            return [*commands, *fault.before], fault.code, 0
    return commands, "", decoder.pending


def cut(stream: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(stream), *(min(cut, len(stream)) for cut in cuts)})
    return [stream[a:b] for a, b in pairwise(edges)]


@given(
    st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=40)), max_size=8),
    st.lists(st.integers(0, 300), max_size=6),
)
def test_commands_survive_any_split(commands: list[tuple[int, bytes]], cuts: list[int]) -> None:
    stream = b"".join(packet(command, data) for command, data in commands)
    repeated = [(milter.MACROS, b"L"), (milter.MACROS, b"B")]
    expected = [(c, data) for c, data in commands if (c, data[:1]) not in repeated]
    assert decode(cut(stream, cuts)) == (expected, "", 0)
    assert decode([stream[i : i + 1] for i in range(len(stream))]) == (expected, "", 0)


@given(st.binary(max_size=60) | st.binary(max_size=30).map(lambda b: b"\0\0\0" + b), st.integers(0, 60))
@example(b"\0\0\0\0", 2)
@example(b"\0\0\0\1A\0\0\0\x3d", 7)
def test_junk_ends_the_same_way_wherever_it_is_cut(junk: bytes, place: int) -> None:
    assert decode([junk]) == decode([junk[:place], junk[place:]])


@pytest.mark.parametrize("length, code", [(0, "bad-length"), (61, "too-long"), (0xFFFFFFFF, "too-long")])
def test_a_packet_without_a_command_or_too_long_is_refused_before_it_comes(length: int, code: str) -> None:
    assert decode([packet(milter.ABORT) + struct.pack("!L", length)]) == ([(milter.ABORT, b"")], code, 0)


def test_a_large_packet_octet_by_octet_takes_linear_time_and_one_copy() -> None:
    stream = packet(milter.BODY, b"x" * (1 << 19))
    decoder = Decoder()
    began = time.process_time()
    for place in range(0, len(stream) - 1, 4):
        assert decoder.feed(stream[place : min(place + 4, len(stream) - 1)]) == []
    assert decoder.feed(stream[-1:]) == [(milter.BODY, b"x" * (1 << 19))]
    assert time.process_time() - began < 2
    assert decoder.pending == 0


@given(
    st.lists(st.tuples(STAGES, st.dictionaries(WORDS, WORDS, max_size=3), st.booleans()), max_size=8), NAMES
)
def test_a_macro_is_what_was_said_last_for_a_stage_that_is_not_over(
    said: list[tuple[int, dict[bytes, bytes], bool]], name: bytes
) -> None:
    macros = Macros()
    known: dict[int, dict[bytes, bytes]] = {}
    for stage, values, defined in said:
        number = milter.STAGES[stage]
        if defined:
            macros.define(bytes([stage]) + b"".join(n + b"\0" + v + b"\0" for n, v in values.items()))
        macros.begin(stage)
        known = {n: v for n, v in known.items() if n < number}
        if defined:
            known[number] = values
    found = [known[number][name] for number in sorted(known, reverse=True) if name in known[number]]
    assert macros.get(name) == (found[0].decode("utf-8", "surrogateescape") if found else "")


def test_a_login_is_forgotten_with_the_next_mail_or_helo_even_if_nothing_is_said() -> None:
    for later in (milter.MAIL, milter.HELO, milter.CONNECT):
        macros = Macros()
        macros.define(b"M{auth_authen}\0bob\0")
        macros.begin(milter.MAIL)
        assert macros.get(b"{auth_authen}") == "bob"
        macros.begin(later)
        assert macros.get(b"{auth_authen}") == ""


def test_a_value_that_is_named_like_a_macro_is_no_macro() -> None:
    macros = Macros()
    macros.define(b"M{mail_addr}\0{auth_authen}\0{mail_host}\0bob\0")
    macros.begin(milter.MAIL)
    assert macros.get(b"{auth_authen}") == ""
    assert macros.get(b"{mail_addr}") == "{auth_authen}"


@pytest.mark.parametrize("data", [b"Mi", b"Mi\0", b"Mi\0x", b"Mi\0x\0y\0", b"M\0"])
def test_macros_that_are_not_pairs_are_malformed(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        Macros().define(data)


def test_macros_without_end_are_not_kept() -> None:
    # A megabyte of tiny ones, for each of seven stages, would be a hundred of objects on one connection.
    macros = Macros()
    macros.define(b"M" + b"i\0" + b"x" * (milter.MAX_MACROS - 5) + b"\0")
    assert len(macros.get(b"i")) == milter.MAX_MACROS - 5
    with pytest.raises(ProtocolError, match="macros of more than"):
        macros.define(b"M" + b"".join(b"%05x\0\0" % number for number in range(10_000)))
    assert len(macros.get(b"i")) == milter.MAX_MACROS - 5


@given(st.binary(max_size=60))
def test_whatever_comes_is_read_or_refused(data: bytes) -> None:
    for read in (Options.read, Macros().define, milter.field, milter.first, milter.client):
        with contextlib.suppress(ProtocolError):
            read(data)


@pytest.mark.parametrize(
    "data, expected",
    [
        (b"mx.far.example\x004\x9c\x40192.0.2.7\0", ("mx.far.example", "192.0.2.7", 40000)),
        (b"unknown\x006\0\x19IPv6:2001:db8::7\0", ("unknown", "2001:db8::7", 25)),
        (b"x\x006\0\0fe80::1%eth0\0", ("x", "fe80::1", 0)),
        (b"localhost\0U", ("localhost", "", 0)),
        (b"localhost\0L\0\0/run/x\0", ("localhost", "", 0)),
        (b"j\xf6rg\0U", ("j\udcf6rg", "", 0)),
    ],
)
def test_the_client_of_each_family(data: bytes, expected: tuple[str, str, int]) -> None:
    assert milter.client(data) == expected


@pytest.mark.parametrize("data", [b"", b"x", b"x\0", b"x\x004", b"x\x004\0\0192.0.2.7", b"x\x004\0\0\xff\0"])
def test_a_client_cut_short_is_malformed(data: bytes) -> None:
    with pytest.raises(ProtocolError, match=r"client|string"):
        milter.client(data)


def test_a_field_is_two_strings() -> None:
    assert milter.field(b"Subject\0 a\n\tb\0") == (b"Subject", b" a\n\tb")
    assert milter.field(b"X\0\0") == (b"X", b"")
    for data in (b"", b"X\0", b"X\0y", b"X\0y\0z", b"X\0y\0z\0", b"\0y\0"):
        with pytest.raises(ProtocolError):
            milter.field(data)


OFFER = struct.pack("!LLL", 6, 0x1FF, 0x1FFFFF)


def test_only_what_is_offered_is_taken() -> None:
    old = Options.read(struct.pack("!LLL", 2, 0x3F, 0x7F))
    assert old.taking(actions=0x141, protocol=0x1FF180) == Options(version=2, actions=0x01, protocol=0)
    new = Options.read(struct.pack("!LLL", 9, 0x1FF, 0x1FFFFF)).taking(actions=0x141, protocol=0x180)
    assert new == Options(version=6, actions=0x141, protocol=0x180)
    with pytest.raises(ProtocolError, match="version 1"):
        Options.read(struct.pack("!LLL", 1, 0, 0))


def test_macros_are_asked_for_where_one_may() -> None:
    wanted = {milter.MAIL: "i {auth_authen}", milter.END: "i", milter.END_OF_HEADER: "x"}
    head = struct.pack("!LLL", 6, 0x100, 0)
    lists = b"\0\0\0\2i {auth_authen}\0" + b"\0\0\0\5i\0" + b"\0\0\0\6x\0"
    assert Options(actions=0x100).reply(wanted) == packet(milter.OPTIONS, head + lists)
    assert Options(actions=0x01).reply(wanted) == packet(milter.OPTIONS, struct.pack("!LLL", 6, 1, 0))


def test_what_goes_back_has_the_shape_of_libmilter() -> None:
    assert milter.insert_field(0, "X-A", " b\n\tc") == packet(ord("i"), b"\0\0\0\0X-A\0 b\n\tc\0")
    assert milter.insert_field(1, "X-A", "b\r\n c") == packet(ord("i"), b"\0\0\0\1X-A\0b\n c\0")
    assert milter.remove_field(3, "X-A") == packet(ord("m"), b"\0\0\0\3X-A\0\0")
    assert milter.change_sender("<>") == packet(ord("e"), b"<>\0")
    assert milter.quarantine("why") == packet(ord("q"), b"why\0")
    assert milter.refuse(550, "5.7.1", ["no: 100%"]) == packet(ord("y"), b"550 5.7.1 no: 100%%\0")


def test_a_reply_of_several_lines_has_its_code_on_each() -> None:
    octets = milter.refuse(451, "4.7.1", ["one", "tw\u00f6\r\n250 ok", "\0"])
    assert octets == packet(ord("y"), b"451-4.7.1 one\r\n451-4.7.1 tw???250 ok\r\n451 4.7.1 ?\0")
    assert milter.refuse(451, "4.7.1", []) == packet(ord("y"), b"451 4.7.1 \0")


@given(st.lists(st.text(max_size=1200), max_size=3))
def test_no_text_breaks_out_of_its_reply(lines: list[str]) -> None:
    octets = milter.refuse(550, "5.7.1", lines)
    reply = octets[5:-1].replace(b"%%", b"%").split(b"\r\n")
    assert len(reply) == max(1, len(lines))
    assert all(line.startswith((b"550-5.7.1 ", b"550 5.7.1 ")) and line.isascii() for line in reply)
    assert all(len(line) <= milter.MAX_TEXT + 10 for line in reply)
    assert b"".join(reply).decode().isprintable()


@pytest.mark.parametrize(
    "name, value",
    [
        ("", " x"), ("X:Y", " x"), ("X Y", " x"), ("X\nY", " x"), ("Ä", " x"), ("X\0", " x"),
        ("X", "a\nY: b"), ("X", "a\n"), ("X", "a\n\n b"), ("X", "a\rb"), ("X", "a\0b"), ("X", "\udcff"),
    ],
)  # fmt: skip
def test_a_field_that_would_be_more_or_less_than_one_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        milter.insert_field(0, name, value)


@given(st.text(max_size=40))
def test_an_inserted_field_is_read_as_one_field_again(value: str) -> None:
    try:
        octets = milter.insert_field(0, "X", value)
    except ValueError:
        return
    [(command, data)] = Decoder().feed(octets)
    assert command == ord("i")
    assert milter.field(data[4:]) == (b"X", value.replace("\r\n", "\n").encode())


def test_a_field_is_added_below_all_others() -> None:
    assert milter.insert_field(None, "X-Last", " a\n b") == milter.packet(b"h", b"X-Last\0 a\n b\0")
    with pytest.raises(ValueError, match="no fold"):
        milter.insert_field(None, "X-Last", "a\nBcc: b")


@pytest.mark.parametrize("size, packets", [(0, 1), (1, 1), (65535, 1), (65536, 2), (200_000, 4)])
def test_a_body_goes_in_packets_that_the_other_side_takes(size: int, packets: int) -> None:
    octets = milter.replace_body(b"x" * size)
    found = milter.Decoder().feed(octets)
    assert [command for command, _ in found] == [ord("b")] * packets
    assert sum(len(data) for _, data in found) == size
    assert max(len(data) for _, data in found) <= 65535
