"""What makes each letter of the corpus that is not simply typed: signed, broken on purpose, or odd octets."""

import base64

from corpus.build import LETTERS, NOW, arc, crlf, dkim, letter, made

__all__ = ["LETTERS"]

FORGED = "Mara <mara@far.example>"
FOOTER = b"-- \r\ndev mailing list\r\n"
LIST = "List-Id: Development <dev.lists.example>\nSender: dev-bounces@lists.example\n"
EVIL = {"key": "evil", "d": "evil.example"}


def same(*names: str, octets: bytes) -> None:
    """The same letter in several folders."""
    for name in names:
        made(name)(lambda: octets)


same(
    "001-honest-three-ways", "003-dkim-alone", "007-forward-that-broke-spf", "008-forward-with-srs",
    octets=dkim(letter()),
)  # fmt: skip
same("005-author-below-the-signing-domain", octets=dkim(letter("mara@news.far.example")))
same("006-author-beside-the-signing-domain", octets=dkim(letter("mara@news.far.example"), d="b.far.example"))


@made("009-list-that-broke-dkim")
def list_that_broke_dkim() -> bytes:
    return crlf(LIST) + dkim(letter()) + FOOTER


@made("010-list-exempt-with-proof")
def list_exempt() -> bytes:
    return dkim(crlf(LIST) + dkim(letter()) + FOOTER, key="list", d="lists.example", h="from:list-id")


@made("011-list-id-without-proof")
def list_forged() -> bytes:
    return dkim(crlf(LIST) + letter(), **EVIL)


@made("014-two-keys-two-algorithms")
def two_algorithms() -> bytes:
    return dkim(dkim(letter()), key="ed", s="ed")


@made("017-simple-simple")
def simple() -> bytes:
    return dkim(letter(subject="a   b\n\t c  ", body="two  blanks \n\ttab\n\n"), c="simple/simple")


# From.


@made("021-from-twice")
def from_twice() -> bytes:
    return crlf("From: Mara <mara@far.example>\n") + dkim(letter("x@evil.example"), **EVIL)


@made("028-address-before-the-bracket")
def address_before_bracket() -> bytes:
    return dkim(letter("mara@far.example <x@evil.example>"), **EVIL)


same("030-nul-in-from", octets=letter("mara@far.example\0, x@evil.example"))
same("031-latin-1-display-name", octets=letter("M\udce4ra Stra\udcdfe <mara@far.example>"))
same("032-latin-1-address", octets=letter("M\udce4ra <m\udce4ra@far.example>"))

# DKIM.


@made("040-tail-behind-l")
def tail() -> bytes:
    return dkim(letter(), limit=20) + b"<p>The real letter: pay to 1234.\r\n"


same("041-l-over-everything", octets=dkim(letter(body="Hello Bob.\n"), limit=12))
same("042-rsa-sha1", octets=dkim(letter(), a="rsa-sha1"))
same("043-t-s-and-i-below", octets=dkim(letter(), s="strict", more="i=@news.far.example;"))
same("044-key-for-sha1-only", octets=dkim(letter(), s="sha1"))
same("045-from-not-signed", octets=dkim(letter(), h="to:subject:date:message-id"))


@made("046-second-from-above-a-signature")
def second_from() -> bytes:
    return crlf("From: Boss <boss@mild.example>\n") + dkim(letter())


same("047-expired", octets=dkim(letter(), more=f"x={NOW - 1};"))
same("048-signed-tomorrow", octets=dkim(letter(), t=NOW + 86400))
same("049-revoked-key", octets=dkim(letter(), s="gone"))
same("050-several-keys-at-one-selector", octets=dkim(letter(), s="many"))
same("051-key-of-512-bits", octets=dkim(letter(), key="tiny", s="tiny"))
same("052-key-of-16384-bits", octets=dkim(letter(), s="huge"))
same(
    "053-ten-thousand-names-in-h",
    octets=dkim(letter(), h="from:to{{names}}", repeats={"names": {"text": ":x{n}", "times": 10000}}),
)


@made("055-tag-twice")
def tag_twice() -> bytes:
    return dkim(letter()).replace(b" d=far.example;", b" d=far.example; d=evil.example;")


@made("056-two-signatures-that-look-alike")
def look_alike() -> bytes:
    good = dkim(letter())
    field = good[: good.index(b"From:")]
    at = field.rindex(b"b=") + 10
    return field[:at] + base64.b64encode(b"\x07" * 250) + b"\r\n" + good


same("057-i-outside-of-d", octets=dkim(letter(), **EVIL, more="i=mara@far.example;"))
same("058-d-is-a-top-level-domain", octets=dkim(letter(), key="evil", d="example"))
same("059-signature-of-a-stranger", octets=dkim(letter(), **EVIL))

ODD = "a\rb\nc\r\r\n \r\n\n\r\n x\t \r\n\r"


def odd_body() -> bytes:
    return letter(body="") + ODD.encode() + b"\r\n"


@made("160-bare-cr-and-lf-in-the-body")
def bare() -> bytes:
    return dkim(dkim(odd_body()), c="simple/simple")


@made("161-folded-on-the-way")
def folded() -> bytes:
    twice = dkim(dkim(letter(subject="a long subject"), c="simple/simple"))
    return twice.replace(b"a long subject", b"a long\r\n\tsubject")


@made("162-empty-lines-added-at-the-end")
def empty_lines() -> bytes:
    return dkim(dkim(letter(), c="simple/simple")) + b"\r\n" * 9


@made("163-no-last-line-end")
def no_line_end() -> bytes:
    return dkim(dkim(letter(), c="simple/simple")).removesuffix(b"\r\n")


@made("164-subject-changed")
def subject_changed() -> bytes:
    return dkim(letter()).replace(b"Subject: Friday", b"Subject: [dev] Friday")


@made("165-unsigned-fields-added")
def fields_added() -> bytes:
    return crlf("Received: from a by b;\n\tWed, 31 Dec 2025 23:55:00 +0000\n") + dkim(letter()).replace(
        b"\r\n\r\n", b"\r\nX-Spam-Score: 0.1\r\n\r\n", 1
    )


same("166-expires-before-it-begins", octets=dkim(letter(), t=NOW + 500, more=f"x={NOW + 400};"))
same("167-quoted-printable-i", octets=dkim(letter(), more="i==6Dara+x=40news.far.example;"))
same("168-cname-loop-at-the-key", octets=dkim(letter(), s="loop"))
same("169-key-record-of-64-kb", octets=dkim(letter(), s="big"))


@made("170-testing-key-and-a-broken-signature")
def testing() -> bytes:
    return dkim(letter(), s="test") + b"One line more.\r\n"


same("171-wildcard-text-at-the-selector", octets=dkim(letter(), s="nothing"))
same("172-query-method-of-tomorrow", octets=dkim(letter(), more="q=https/json;"))


@made("173-version-2")
def version_2() -> bytes:
    return dkim(letter()).replace(b" v=1;", b" v=2;")


@made("174-b-is-no-base64")
def no_base64() -> bytes:
    good = dkim(letter())
    field = good[: good.index(b"From:")]
    return field[: field.rindex(b"b=") + 2] + b"!*not base64*!\r\n" + good


same("175-capital-letters", octets=dkim(letter("MARA@Far.EXAMPLE"), d="FAR.Example"))

# DMARC.

same("091-key-not-to-be-had", octets=dkim(letter()))
same("092-trouble-of-a-stranger", octets=dkim(letter(), **EVIL))
same("093-adkim-s", octets=dkim(letter("mara@news.far.example")))
same("094-aspf-s", octets=dkim(letter(), d="b.far.example"))

# Authentication-Results.


@made("104-our-id-folded")
def id_folded() -> bytes:
    said = "dmarc=pass header.from=our.example"
    forged = (
        f"Authentication-Results:\n mx.our.example;\n {said}\n"
        f"Authentication-Results: \n\t \n\tmx.our.example\n ;{said}\n"
    )
    return crlf(forged) + letter()


same(
    "117-a-result-in-i",
    octets=dkim(
        letter("x@evil.example"),
        **EVIL,
        more="i==22=3B=20dmarc=3Dpass=20header.from=3Dour.example@evil.example;",
    ),
)

# ARC. ``BROKEN`` is what a list made of a good letter; a believed sealer saw it before or after.

BROKEN = crlf(LIST) + dkim(letter()) + FOOTER
STRANGER = {"key": "other", "d": "evil.example"}

same("120-arc-of-two", octets=arc(arc(BROKEN, 1, **STRANGER), 2))
same("121-arc-of-a-believed-sealer", octets=arc(BROKEN, 1))
same(
    "122-arc-with-a-stranger-in-the-middle",
    octets=arc(arc(arc(BROKEN, 1), 2, **STRANGER, says="none"), 3, says="none"),
)
same("123-arc-with-a-gap", octets=arc(arc(BROKEN, 1), 3))
same("125-arc-that-says-fail", octets=arc(arc(BROKEN, 1), 2, cv="fail", sealed_before=False))
same("126-arc-of-the-forger", octets=arc(letter(), 1, **STRANGER))
same("127-changed-after-sealing", octets=arc(BROKEN, 1) + FOOTER)
same("128-seal-key-not-to-be-had", octets=arc(BROKEN, 1))
same("129-arc-for-another-author", octets=arc(BROKEN, 1, says="dmarc=pass header.from=mild.example"))

same("215-arc-that-leaves-from-out", octets=arc(BROKEN, 1, h="to:subject:date"))
TWO_MINDS = "dmarc=pass header.from=far.example; dmarc=fail header.from=far.example"
same("216-arc-with-two-minds", octets=arc(BROKEN, 1, says=TWO_MINDS))
same("217-arc-of-a-host-below", octets=arc(BROKEN, 1, d="mail.seal.example"))
same("218-arc-with-a-stranger-last", octets=arc(arc(BROKEN, 1), 2, **STRANGER))
QUOTED = 'spf=fail smtp.helo="x; dmarc=pass header.from=far.example; x=y"; dmarc=fail header.from=far.example'
same("219-arc-that-quotes-the-attacker", octets=arc(BROKEN, 1, says=QUOTED))

# Our own domains.

OURS = "Bob <bob@our.example>"

same("131-spoof-in-enforce", octets=dkim(letter(OURS), **EVIL))
same("132-our-domain-in-the-envelope", octets=dkim(letter("x@evil.example"), **EVIL))
same("134-our-domain-in-a-group", octets=dkim(letter("Board: x@evil.example, bob@our.example;"), **EVIL))
same(
    "136-ours-while-dns-is-down",
    "138-ours-with-our-signature",
    octets=dkim(letter(OURS), key="our", d="our.example"),
)
same("223-ours-without-our-record", octets=dkim(letter(OURS), key="our", d="our.example"))
same(
    "224-ours-signed-from-above-without-a-record",
    octets=dkim(letter("bob@crm.old.example"), key="our", d="old.example"),
)
same("225-our-envelope-while-spf-is-open", octets=dkim(letter("x@evil.example"), **EVIL))
same("137-our-srs-address-comes-back", octets=dkim(letter()))

# Odd shapes.

BLANKS = {"blanks": {"text": " ", "times": 80000}}
HUGE = {"blanks": {"text": " ", "times": 50 << 20}}

same("140-empty", octets=b"")
same("141-header-only", octets=dkim(dkim(letter(body="")), c="simple/simple").removesuffix(b"\r\n"))
LONG = {"word": {"text": "word ", "times": 2000}, "name": {"text": "n", "times": 5000}}
same(
    "144-lines-over-998-octets",
    octets=dkim(letter("{{name}} <mara@far.example>", body="{{word}}\n{{word}}\n"), repeats=LONG),
)
SUBJECT = "\udcf0\udcd2\udcc9\udcd7\udcc5\udcd4 \udcff\udc80"
same("145-eight-bit-subject", octets=dkim(dkim(letter(subject=SUBJECT)), c="simple/simple"))
same(
    "146-internationalised-letter",
    octets=dkim(letter("Мара <мара@почта.example>", body="Привет.\n", subject="Пятница"), d="почта.example"),
)
EXCHANGE = """Thread-Topic: Friday
Thread-Index: AdxxYyZzAAAAAAAAAAAAAAAAAAAAAA==
Accept-Language: de-DE, en-US
X-MS-Has-Attach:
X-MS-Exchange-Organization-AuthAs: Internal
X-MS-Exchange-AntiSpam-MessageData-0: {{blob}}==
Authentication-Results: spf=none (sender IP is ) smtp.mailfrom=mara@far.example;
MIME-Version: 1.0
Content-Type: multipart/mixed;
\tboundary="_004_X_"
"""
MIXED = """--_004_X_
Content-Type: text/plain

Hello.
--_004_X_
Content-Type: application/ms-tnef

x
--_004_X_--
"""
BLOB = {"blob": {"text": "AAECAwQFBgcICQoLDA0ODw\r\n ", "times": 100}}
same(
    "147-outlook",
    octets=dkim(
        letter(more=EXCHANGE, body=MIXED),
        c="relaxed/simple",
        h="From:Date:Subject:X-MS-Exchange-AntiSpam-MessageData-0",
        repeats=BLOB,
    ),
)
same("150-a-hundred-hops", octets=b"{{hops}}" + dkim(letter()))
same("151-mbox-line-on-top", octets=b"From mara@far.example Wed Dec 31 23:50:00 2025\r\n" + dkim(letter()))
same("152-unix-line-ends", octets=dkim(dkim(letter()), c="simple/simple").replace(b"\r\n", b"\n"))
NEWS = """List-Unsubscribe: <https://forward.example/u?123>, <mailto:u-123@forward.example>
List-Unsubscribe-Post: List-Unsubscribe=One-Click
List-Id: <123.forward.example>
Sender: bounce@forward.example
Precedence: bulk
"""
same(
    "155-newsletter",
    octets=dkim(
        dkim(letter("News <news@far.example>", more=NEWS)),
        key="list",
        d="forward.example",
        h="from:list-unsubscribe:list-unsubscribe-post:list-id",
    ),
)
MEETING = "--b\nContent-Type: text/calendar; method=REQUEST\n\nBEGIN:VCALENDAR\nEND:VCALENDAR\n--b--\n"
same(
    "156-calendar-invitation",
    octets=dkim(
        letter(
            body=MEETING,
            more="Sender: calendar-server@far.example\nContent-Type: multipart/mixed; boundary=b\n",
        )
    ),
)
same("157-out-of-office", octets=dkim(letter(more="Auto-Submitted: auto-replied\n")))


@made("190-fifty-megabytes-of-blanks")
def fifty_megabytes() -> bytes:
    blanks = letter(body="Hello,{{blanks}}world.\n")
    return dkim(dkim(blanks, repeats=HUGE), c="simple/simple", repeats=HUGE)


FIELDS = {"fields": {"text": "X-Field-{n}: value {n}\r\n", "times": 10000}}
FOLDS = {"folds": {"text": "\r\n \t    ", "times": 500000}}
same("191-ten-thousand-fields", octets=dkim(b"{{fields}}" + letter(), repeats=FIELDS))


@made("192-four-megabytes-of-header")
def four_megabytes() -> bytes:
    return dkim(letter(subject="a{{folds}}b"), repeats=FOLDS)


@made("195-eighty-kilobytes-of-blanks-in-a-signature")
def blanks_in_signature() -> bytes:
    good = dkim(letter(), h="from{{blanks}}:{{blanks}}to", more="{{blanks}}", repeats=BLANKS)
    end = good.index(b"\r\nFrom:")
    return good[: end - 20] + b"{{blanks}}" + good[end - 20 :]


@made("199-a-hundred-good-signatures")
def hundred() -> bytes:
    octets = letter()
    for number in range(100):
        octets = dkim(octets, key="ed", s="ed", t=NOW - number)
    return octets


@made("212-blanks-at-the-ends-of-lines")
def blanks_at_ends() -> bytes:
    twice = dkim(dkim(letter()), c="simple/simple")
    return twice.replace(b"shall we", b"shall  we").replace(b"Friday?\r\n", b"Friday? \t\r\n")
