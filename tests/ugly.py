"""Letters of every ugly shape that a signature of ours has to survive, the same ones for the same seed.

    for letter in ugly.letters(500):
        letter.shape, letter.octets

Each is a whole letter as it is sent: CRLF lines, From: bob@our.example in one dress or another, no signature
of ours. Each shape comes again and again with other text. A shape is ``stray`` if it has a CR or LF alone in
its body: verifiers that read lines mend it before they look. ``relaxed_only``: Postfix hands a milter its
header in another way than it sends it on, which a signature in simple form cannot know.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

SEED = 20260
Fields = list[tuple[bytes, bytes]]
"""Name, and all that follows the colon, without the last CRLF."""

_TEXT = (
    "the a of mail list grants relay 2026 meeting minutes re: fwd: budget, draft; (v2) =?x?= b= h= bh=AAAA "
    "d=far.example https://www.example/?a=b&c -- .dot .. <angle> [list] 100% $5 ~ tilde^ `tick"
)
_WORDS = tuple(_TEXT.split(" "))
_FROM = (b"From", b" Bob <bob@our.example>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One letter. ``octets`` is the whole of it, header, empty line, body."""

    shape: str
    octets: bytes
    stray: bool = False
    relaxed_only: bool = False


class _Maker:
    """The text of one letter, from its own random numbers."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)

    def words(self, count: int = 6) -> bytes:
        return " ".join(self.random.choice(_WORDS) for _ in range(self.random.randint(1, count))).encode()

    def text(self, lines: int = 12) -> bytes:
        return b"".join(self.words(10) + b"\r\n" for _ in range(self.random.randint(1, lines)))

    def octet_line(self, length: int, alphabet: bytes) -> bytes:
        return bytes(self.random.choice(alphabet) for _ in range(length))

    def fold(self) -> bytes:
        return b"\r\n" + self.random.choice((b" ", b"\t", b"  ", b" \t ", b"        "))

    def usual(self) -> Fields:
        """A header as mail programs write it."""
        number = self.random.randrange(10**9)
        return [
            (b"Received", b" from laptop.our.example (laptop [192.0.2.7])\r\n\tby mx.our.example; x"),
            (b"Date", b" Thu, 1 Jan 2026 00:00:%02d +0000" % self.random.randrange(60)),
            _FROM,
            (b"To", b" Mara <mara@far.example>"),
            (b"Subject", b" " + self.words()),
            (b"Message-ID", b" <%d@our.example>" % number),
        ]

    def some(self, *pieces: bytes, count: int = 12) -> bytes:
        return b"".join(self.random.choice(pieces) for _ in range(self.random.randint(1, count)))


def letters(count: int = 500, seed: int = SEED) -> Iterator[Letter]:
    """So many letters, the shapes in turns."""
    names = list(SHAPES)
    for number in range(count):
        shape = names[number % len(names)]
        fields, body = SHAPES[shape](_Maker(f"{seed}/{number}"))
        head = b"".join(name + b":" + value + b"\r\n" for name, value in fields)
        yield Letter(
            shape=shape,
            octets=head + b"\r\n" + body,
            stray=shape in STRAY,
            relaxed_only=shape in RELAXED_ONLY,
        )


def _body(make: Callable[[_Maker], bytes]) -> Callable[[_Maker], tuple[Fields, bytes]]:
    """A shape whose body is what is ugly."""
    return lambda m: (m.usual(), make(m))


def _more(make: Callable[[_Maker], Fields]) -> Callable[[_Maker], tuple[Fields, bytes]]:
    """A shape with further fields, among the usual ones."""

    def shape(m: _Maker) -> tuple[Fields, bytes]:
        fields = m.usual()
        for field in make(m):
            fields.insert(m.random.randint(0, len(fields)), field)
        return fields, m.text()

    return shape


def _author(make: Callable[[_Maker], bytes]) -> Callable[[_Maker], tuple[Fields, bytes]]:
    """A shape whose From: is what is ugly."""
    return lambda m: ([(n, make(m) if n == b"From" else v) for n, v in m.usual()], m.text())


def _dressed(
    make: Callable[[_Maker, bytes, bytes], tuple[bytes, bytes]],
) -> Callable[[_Maker], tuple[Fields, bytes]]:
    """A shape whose fields are all written in an unusual way."""
    return lambda m: ([make(m, name, value) for name, value in m.usual()], m.text())


def _folded(m: _Maker, name: bytes, value: bytes) -> tuple[bytes, bytes]:
    return name, m.fold() + m.fold().join(value.strip().split(b" "))


def _cased(m: _Maker, name: bytes, value: bytes) -> tuple[bytes, bytes]:
    return m.random.choice((name.upper(), name.lower(), name.swapcase(), name.title())), value


def _spaced(m: _Maker, name: bytes, value: bytes) -> tuple[bytes, bytes]:
    return name, m.some(b" ", b"\t") + m.some(b" ", b"\t").join(value.split(b" ")) + m.some(b" ", b"\t")


def _multipart(m: _Maker) -> tuple[Fields, bytes]:
    mark = b"=_%d" % m.random.randrange(10**6)
    fields = [
        *m.usual(),
        (b"MIME-Version", b" 1.0"),
        (b"Content-Type", b' multipart/mixed;\r\n\tboundary="' + mark + b'"'),
    ]
    parts = b"".join(
        b"--" + mark + b"\r\nContent-Type: text/plain\r\n\r\n" + m.text()
        for _ in range(m.random.randint(1, 4))
    )
    return fields, b"preamble\r\n" + parts + b"--" + mark + b"--\r\n" + m.some(
        b"\r\n", b" ", b"epilogue\r\n"
    ) + b"\r\n"


def _signed(m: _Maker) -> Fields:
    return [
        (
            m.random.choice((b"DKIM-Signature", b"dkim-signature")),
            b" v=1; a=rsa-sha256; c=simple; d=far.example; s=x;\r\n\th=from; bh=AAAA; b=%d" % number,
        )
        for number in range(m.random.randint(1, 3))
    ]


def _chained(m: _Maker) -> Fields:
    return [
        (b"ARC-Seal", b" i=1; a=rsa-sha256; cv=none; d=far.example; s=x; b=AAAA"),
        (b"ARC-Message-Signature", b" i=1; a=rsa-sha256; d=far.example; s=x; h=from; bh=AAAA; b=AAAA"),
        (b"ARC-Authentication-Results", b" i=1; mx.far.example; " + m.words()),
        (b"Authentication-Results", b" mx.far.example; none"),
    ]


def _list(m: _Maker) -> Fields:
    return [
        (b"List-Id", b" " + m.words() + b" <l.our.example>"),
        (b"List-Unsubscribe", b" <https://our.example/u>,\r\n <mailto:u@our.example>"),
        (b"List-Unsubscribe-Post", b" List-Unsubscribe=One-Click"),
        (b"Precedence", b" list"),
    ]


def _everything(m: _Maker) -> tuple[Fields, bytes]:
    fields = [_spaced(m, *_folded(m, *_cased(m, *field))) for field in m.usual()]
    fields += [*_list(m), *_signed(m), (b"Subject", b""), (b"X-8", b" \xff\xe4")]
    m.random.shuffle(fields)
    long = b"\r\n" + b"l" * 998 + b"\r\n"
    return fields, m.some(b"\xe4\x00", b"text ", b"\t", b"\r\n", b" \r\n", long, count=30) + b"\r\n"


SHAPES: dict[str, Callable[[_Maker], tuple[Fields, bytes]]] = {
    "plain": _body(_Maker.text),
    "no body": _body(lambda m: b""),
    "blank lines only": _body(lambda m: b"\r\n" * m.random.randint(1, 9)),
    "lines of blanks only": _body(lambda m: m.some(b" ", b"\t", b"\r\n") + b"\r\n"),
    "trailing blank lines": _body(lambda m: m.text() + b"\r\n" * m.random.randint(1, 9)),
    "trailing lines of blanks": _body(lambda m: m.text() + m.some(b" \r\n", b"\t\r\n", b"\r\n")),
    "leading blank lines": _body(lambda m: b"\r\n" * m.random.randint(1, 4) + m.text()),
    "blanks at the ends of lines": _body(
        lambda m: m.some(b"word \t\r\n", b" \t word\r\n", b"a  \t b\r\n", b"\r\n")
    ),
    "no last line end": _body(lambda m: m.text() + b"the end"),
    "8-bit body": _body(lambda m: m.octet_line(200, bytes(range(128, 256))) + b"\r\n" + m.text()),
    "UTF-8 body": _body(lambda m: "Grüße, 用户, ✉\r\n".encode() * m.random.randint(1, 5)),
    "control octets": _body(lambda m: m.octet_line(90, bytes(set(range(32)) - {10, 13})) + b"\r\n"),
    "dots at the beginning": _body(lambda m: m.some(b".\r\n", b"..\r\n", b". x\r\n", b"...\r\n", b"x.\r\n")),
    "From at the beginning": _body(lambda m: b"From bob\r\n" + m.text() + b">From x\r\n"),
    "a line of 998 octets": _body(lambda m: m.octet_line(998, b"abc \t") + b"\r\n" + m.text()),
    "100 kB": _body(lambda m: m.text(3) * (100_000 // 60)),
    "bare CR": _body(lambda m: m.some(b"a", b"\r", b" ", b"\r\n") + b"\r x\r\n"),
    "bare LF": _body(lambda m: m.some(b"a", b"\n", b" ", b"\r\n") + b"\n x\r\n"),
    "bare CR and LF": _body(lambda m: m.some(b"a", b"\r", b"\n", b"\t", b"\r\n") + b"\n\r\r x\r\n"),
    "multipart": _multipart,
    "folded": _dressed(_folded),
    "names in any case": _dressed(_cased),
    "blanks everywhere": _dressed(_spaced),
    "no blank after the colon": _dressed(lambda m, name, value: (name, value.strip())),
    "blank before the colon": _dressed(
        lambda m, name, value: (name + m.random.choice((b"", b" ", b"\t")), value)
    ),
    "a fold of blanks only": _more(lambda m: [(b"Cc", b" a@far.example,\r\n \t \r\n b@far.example")]),
    "empty fields": _more(lambda m: [(b"Cc", b""), (b"Reply-To", b" "), (b"In-Reply-To", b"\r\n ")]),
    "only From": lambda m: ([_FROM], m.text()),
    "From last": lambda m: ([*m.usual()[3:], _FROM], m.text()),
    "From with comments": _author(
        lambda m: b" (a (b) \\) c) Bob <bob@our.example> (" + m.words(1)[:1] + b")"
    ),
    "From bare": _author(lambda m: b" bob@our.example"),
    "From quoted": _author(lambda m: b' "Bob; d=x, b=y" <"bob"@our.example>'),
    "From encoded": _author(lambda m: b" =?utf-8?B?QsO2Yg==?=\r\n =?iso-8859-1?Q?_B=F6b?= <bob@our.example>"),
    "From in UTF-8": _author(lambda m: " Jürgen Müßig <bob@our.example>".encode()),
    "EAI": _author(lambda m: " 用户 <jürgen@our.example>".encode()),
    "From in Latin-1": _author(lambda m: b" J\xfcrgen <bob@our.example>"),
    "From of a sub-domain": _author(lambda m: b" Bob <bob@staff.our.example>"),
    "From in capitals": _author(lambda m: b" BOB <BOB@OUR.EXAMPLE>"),
    "8-bit header": _more(
        lambda m: [
            (b"Subject", b" gr\xfc\xdfe " + m.words()),
            (b"X-8", m.octet_line(50, bytes(range(128, 256)))),
        ]
    ),
    "UTF-8 header": _more(lambda m: [(b"Cc", " Zoë <zoe@far.example>".encode()), (b"X-U", " ✉".encode())]),
    "a header line of 998 octets": _more(
        lambda m: [(b"References", b" <" + b"r" * 970 + b"@our.example>"), (b"X-L", b" " + b"x" * 992)]
    ),
    "repeated fields": _more(
        lambda m: [(m.random.choice((b"To", b"CC", b"Subject", b"date")), b" " + m.words()) for _ in range(9)]
    ),
    "many recipients": _more(
        lambda m: [(b"To", b",\r\n\t".join(b" r%d@far.example" % n for n in range(90)))]
    ),
    "many To fields": _more(lambda m: [(b"To", b" r%d@far.example" % n) for n in range(60)]),
    "many fields": _more(lambda m: [(b"X-%d" % n, b" " + m.words()) for n in range(200)]),
    "tags in other fields": _more(
        lambda m: [(b"Subject", b" v=1; b=abc; bh=x"), (b"Reply-To", b" b=;;c <c@our.example>")]
    ),
    "a mailing list": _more(_list),
    "resent": _more(
        lambda m: (
            [(b"Resent-From", b" bob@our.example"), (b"Resent-To", b" x@far.example")]
            * m.random.randint(1, 3)
        )
    ),
    "signed by others": _more(_signed),
    "sealed by others": _more(_chained),
    "everything at once": _everything,
}
"""Shape to what makes its header and its body."""

STRAY = frozenset({"bare CR", "bare LF", "bare CR and LF"})
RELAXED_ONLY = frozenset({"blank before the colon"})
