"""The other targets: one parser each, with what it may raise and what must hold of what it returns."""

import copy
import io
import json
from collections.abc import Callable

from jsonlines import CONFIG

from fuzz import door, letters
from fuzz.chance import Chance
from fuzz.world import DOMAINS, OURS, SPF_TERMS, dmarc_record, key_records
from postvouch.auth import arcresults, dmarcrecord, header, keyrecord, mentioned, psl, spfmacro
from postvouch.auth.authres import AuthresError, parse
from postvouch.cli import jsonl, letter, zonefile
from postvouch.cli.jsonlcase import CaseError, read_case
from postvouch.host import dnswire
from postvouch.values import address
from postvouch.values.message import Client, Envelope
from postvouch.wire import netstring, policy, socketmap, taglist

Make = Callable[[Chance], bytes]
Read = Callable[[bytes], str]
"""Reads an input; one word for the statistics."""


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "surrogateescape")


def _broken(make: Make) -> Make:
    return lambda chance: make(chance) if chance.odds(0.2) else chance.broken(make(chance))


def _from(chance: Chance) -> bytes:
    return letters._author(chance)


def _author(octets: bytes) -> str:
    found = address.parse_author([octets])
    if isinstance(found, address.OneAuthor):
        # What we write of it is read as the same again.
        assert address.parse_address(str(found.address)) == found.address
        domain = found.address.domain
        assert "." not in domain or mentioned.mentions([octets], [domain])
    else:
        assert all("." in name for name in mentioned.mentioned([octets]))
    return type(found).__name__


def _address(octets: bytes) -> str:
    try:
        found = address.parse_address(_text(octets))
    except address.AddressError:
        return "no"
    assert address.parse_address(str(found)) == found
    return "yes"


def _a_r(chance: Chance) -> bytes:
    if chance.odds(0.5):
        return chance.one(letters.FORGED + letters.FOREIGN)
    results = "; ".join(chance.some(letters._RESULTS, 5))
    return f"{chance.one((OURS, 'other.example', 'x 1', 'x 2'))}; {results}".encode()


def _authres(octets: bytes) -> str:
    claimed = header.claims(octets, OURS)
    arcresults.dmarc_pass(octets)
    try:
        parsed = parse(octets)
    except AuthresError:
        return "no"
    if parsed.authserv_id.lower() == OURS:
        assert claimed
    return "yes"


def _tags(chance: Chance) -> bytes:
    if chance.odds(0.3):
        return dmarc_record(chance)
    return chance.one(key_records())


def _taglist(octets: bytes) -> str:
    try:
        tags = taglist.parse(octets)
    except taglist.ProtocolError as error:
        return error.code
    again = taglist.parse(b"; ".join(name + b"=" + value for name, value in tags.items()))
    assert again == tags
    return "yes"


def _dmarc(octets: bytes) -> str:
    found = dmarcrecord.find_record((octets,))
    if found is None:
        return "no"
    policies = {"none", "quarantine", "reject"}
    assert found.p in policies
    assert {found.sp, found.np} <= {*policies, ""}
    assert found.psd in ("y", "n", "u")
    assert all(found.applied(found.policy(own=o, exists=e)[0]) in policies for o in (0, 1) for e in (0, 1))
    return "usable" if found.usable else "unusable"


def _key(octets: bytes) -> str:
    try:
        check = keyrecord.checker(keyrecord.parse(octets), min_rsa_bits=1024, max_rsa_bits=8192)
    except keyrecord.UnusableKey as error:
        return str(error).partition(" (")[0]
    assert not check(b"", b"\0" * 32)
    assert not check(b"\0" * 64, b"\0" * 32)
    assert not check(b"\1" * 256, b"\0" * 32)
    return "yes"


def _macro(chance: Chance) -> bytes:
    return chance.one(SPF_TERMS).partition(":")[2].encode()


def _spfmacro(octets: bytes) -> str:
    try:
        steps = spfmacro.parse_domain_spec(octets.decode("latin-1"))
    except spfmacro.MacroError:
        return "no"
    name = spfmacro.expand(steps, lambda letter: "a.b-c." * 60 + letter)
    assert len(name) <= 253 or "." not in name[-254:]
    return "yes"


def _rules(chance: Chance) -> bytes:
    lines = ["// x", "com", "*.ck", "!www.ck", "co.uk", "é.example", "*.*", "!", "*.", "", " x ", "*.co.uk"]
    return "\n".join(chance.some(lines, 9)).encode()


def _psl(octets: bytes) -> str:
    listed = psl.Suffixes.parse(_text(octets))
    for name in ("www.ck", "a.b.ck", "x.co.uk", "co.uk", "a.b.c.example", *DOMAINS):
        found = listed.registrable(name)
        assert not found or not listed.is_suffix(found), (found, name)
    return "yes"


def _octets(chance: Chance) -> bytes:
    draft = letters.draft(chance)
    head = b"".join(each.name + b":" + each.value + b"\r\n" for each in draft.fields)
    whole = head + b"\r\n" + draft.body
    return whole.replace(b"\r\n", b"\n") if chance.odds(0.3) else whole


def _letter(octets: bytes) -> str:
    read = letter.read_letter(octets, client=Client(), envelope=Envelope())
    fields = sum(len(each.name) + len(each.value) + 3 for each in read.message.fields)
    size = fields + sum(map(len, read.message.body))
    # Nothing is made up: line ends may come and one empty line may go.
    assert size <= len(octets) + octets.count(b"\n") + 2
    return str(len(read.notes))


_ZONE = (
    "far.example TXT v=spf1 -all", '*.far.example 60 IN TXT ( "a" "b;c" ) ; x',
    "a.example MX 10 mx.a.example.", "# c",
    "slow.example TEMPERROR", "b.example CNAME b.example", "c.example A 192.0.2.1", '"',
    'd.example TXT "\\200\\"\\é\\999"',
    "e.example MX \u0663 x", "$ORIGIN x", "f.example IN IN A x", "a TXT", "\u2028", "g.example\tAAAA\t::1",
)  # fmt: skip


def _lines(chance: Chance) -> bytes:
    return "\n".join(chance.some(_ZONE, 5)).encode()


def _zonefile(octets: bytes) -> str:
    try:
        zone = zonefile.ZoneFile(_text(octets))
    except zonefile.ZoneError:
        return "no"
    for name in ("far.example", "x.far.example", "b.example", "slow.example", "a..b", ""):
        for kind in ("TXT", "MX", "A"):
            try:
                zone.lookup(name, kind)
            except zonefile.DnsUnavailable:
                continue
    return "yes"


_CASE = {
    "id": "1", "message_b64": "RnJvbTogYUBiLmV4YW1wbGUNCg0KaGkNCg==", "client_ip": "192.0.2.7",
    "helo": "x.example",
    "mail_from": "<a@b.example>", "rcpt_to": ["a@our.example"], "now": 1767225600, "authserv_id": "x",
    "min_rsa_bits": 1024,
    "dns": {"b.example": {"TXT": ["v=spf1 -all", ["a", "b"]], "MX": [[10, "x"], "10 y"], "rcode": "NOERROR"}},
}  # fmt: skip
_VALUES = (
    None,
    True,
    -1,
    1e400,
    "",
    "\ud800",
    [],
    {},
    [[]],
    {"a": 1},
    "x" * 999,
    10**30,
    "é",
    "NXDOMAIN",
    [1],
    0.5,
)


def _line(chance: Chance) -> bytes:
    case = json.loads(json.dumps(_CASE))
    for name in chance.some(list(_CASE), 2):
        case[name] = copy.deepcopy(chance.one(_VALUES))
    if isinstance(case["dns"], dict):
        for kind in chance.some(["TXT", "MX", "A", "AAAA", "PTR", "CNAME", "rcode", "X", "mx"], 2):
            case["dns"]["b.example"] = {**case["dns"].get("b.example", {}), kind: chance.one(_VALUES)}
    return json.dumps(case).encode()


def _jsonl(octets: bytes) -> str:
    """Answered by one line each, unless that would ask the system's resolver."""
    line = octets.replace(b"\n", b" ")
    try:
        if read_case(line).zone is None:
            return "system"
    except CaseError:
        pass
    sink = io.BytesIO()
    jsonl.run(io.BytesIO(line + b"\n"), sink, CONFIG)
    (answer,) = sink.getvalue().splitlines()
    found = json.loads(answer, parse_constant=int)
    assert answer.isascii()
    assert "internal error" not in found.get("error", ""), found
    return "no" if "error" in found else "yes"


def _frames(chance: Chance) -> bytes:
    return b"".join(
        netstring.encode(b"alias " + word) for word in chance.some((b"a@b.example", b"", b"x" * 300), 4)
    )


def _netstring(octets: bytes) -> str:
    whole = _strings(netstring.Decoder(max_size=1000), octets)
    pieces = _strings(
        netstring.Decoder(max_size=1000), *(octets[n : n + 3] for n in range(0, len(octets), 3))
    )
    assert whole == pieces
    for frame in whole[0]:
        try:
            socketmap.parse_query(frame)
        except socketmap.ProtocolError:
            continue
    return whole[1] or "yes"


def _strings(decoder: netstring.Decoder | policy.Decoder, *pieces: bytes) -> tuple[list, str]:
    """All that is complete, and the code of the fault, however the stream was cut."""
    found: list = []
    for piece in pieces:
        try:
            found += decoder.feed(piece)
        except netstring.ProtocolError as error:
            return [*found, *error.before], error.code
    return found, ""


def _requests(chance: Chance) -> bytes:
    lines = [
        b"request=smtpd_access_policy",
        *chance.some((b"sender=a@b", b"size=1", b"size=x", b"x=y", b"=", b""), 5),
    ]
    return b"\n".join([*lines, b"", b""]) * (1 + chance.upto(2))


def _policy(octets: bytes) -> str:
    whole = _strings(policy.Decoder(max_size=300), octets)
    pieces = _strings(policy.Decoder(max_size=300), *(octets[n : n + 3] for n in range(0, len(octets), 3)))
    assert whole == pieces
    for attributes in whole[0]:
        try:
            policy.Request.from_attributes(attributes)
        except policy.ProtocolError:
            continue
    return whole[1] or "yes"


_QUESTION = dnswire.Question(name=b"\3far\7example\0", kind=16)


def _reply(chance: Chance) -> bytes:
    text = b"v=spf1 -all"
    record = b"\xc0\x0c\0\x10\0\1\0\0\1\x2c" + (len(text) + 1).to_bytes(2) + bytes([len(text)]) + text
    alias = b"\xc0\x0c\0\5\0\1\0\0\1\x2c\0\2\xc0\x0c"
    soa = b"\0\0\6\0\1\0\0\0\x3c\0\x16\0\0" + b"\0\0\0\1" * 5
    answers, authority = chance.some((record, alias), 3), chance.some((soa,), 1)
    code = chance.one((0, 0, 0, 3, 2, 5))
    head = b"\0\1\x81" + bytes([0x80 | code | chance.one((0, 0x20))]) + b"\0\1"
    counts = len(answers).to_bytes(2) + len(authority).to_bytes(2) + b"\0\0"
    return head + counts + b"\3far\7example\0\0\x10\0\1" + b"".join(answers + authority)


def _dnswire(octets: bytes) -> str:
    if not _QUESTION.is_answered_by(octets, 1):
        return "other"
    dnswire.is_truncated(octets)
    dnswire.rcode(octets)
    try:
        answer = dnswire.read(octets, _QUESTION)
    except dnswire.BadReply:
        return "bad"
    return str(answer.records.status)


TARGETS: dict[str, tuple[Make, Read]] = {
    "author": (_broken(_from), _author),
    "address": (_broken(lambda chance: letters.address(chance).encode("utf-8", "surrogateescape")), _address),
    "authres": (_broken(_a_r), _authres),
    "taglist": (_broken(_tags), _taglist),
    "dmarcrecord": (_broken(dmarc_record), _dmarc),
    "keyrecord": (_broken(lambda chance: chance.one(key_records())), _key),
    "spfmacro": (_broken(_macro), _spfmacro),
    "psl": (_broken(_rules), _psl),
    "letter": (_broken(_octets), _letter),
    "zonefile": (_broken(_lines), _zonefile),
    "jsonl": (_broken(_line), _jsonl),
    "netstring": (_broken(_frames), _netstring),
    "policy": (_broken(_requests), _policy),
    "dnswire": (_broken(_reply), _dnswire),
    "milter": (door.make, door.read),
}
