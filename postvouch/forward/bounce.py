"""The facts of a bounce, whatever wrote it: which address failed, how, and the header of the letter returned.

A report by RFC 3464 is read by its fields; of any other text only the status is, where one can be found. Cut
at the outermost boundary and no deeper, each octet is looked at a few times: linear, and nothing raises.
"""

import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from postvouch.values.message import Field, by_name

MAX_RECIPIENTS = 50
MAX_FIELDS = 500
"""So many recipients of one report, and fields of one part, are read."""

MAX_TEXT = 65536
"""In so many octets of a text that is no report, a status is looked for."""

ACTIONS = ("failed", "delayed", "delivered", "relayed", "expanded")

_REPORT = re.compile(r"multipart/report\b", re.IGNORECASE)
_KIND = re.compile(r"report-type\s*=\s*\"?([\w-]+)", re.IGNORECASE)
_BOUNDARY = re.compile(r"boundary\s*=\s*(?:\"([^\"]{1,200})\"|([^\s;\"]{1,200}))", re.IGNORECASE)
_STATUS = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?![\d.])")
_CODE = re.compile(r"smtp\s*;\s*([245]\d\d)(?=[ -]|$)", re.IGNORECASE)
_SAID = re.compile(
    r"(?<![\w.])([45]\d\d)[ -]{1,2}#?([45]\.\d{1,3}\.\d{1,3})(?![\d.])|#([45]\.\d{1,3}\.\d{1,3})\b"
)
_SAID_BARE = re.compile(r"(?<![\w.#-])(55[0-4])(?=[ -])")
_COPY = re.compile(
    rb"^-{2,12} *(?:Below this line is a copy of the message|This is a copy of|Original message|"
    rb"The header of the original)[^\r\n]{0,200}\r?\n",
    re.IGNORECASE | re.MULTILINE,
)
_FIELD = re.compile(rb"([!-9;-~]{1,80})[ \t]*:(.*)", re.DOTALL)
_LINE = re.compile(rb"[^\n]*\n|[^\n]+")
_DAEMONS = re.compile(r"<?(?:mailer-?daemon|mail-?daemon|postmaster|mdaemon|bounces?)\b", re.IGNORECASE)
_ADDRESS = re.compile(r"[^\s<>,;:\"()\[\]]+@[\w.-]+|<>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """One recipient of a report. ``final`` and ``original`` are addresses, "" where there is none.

    ``action`` is a word of RFC 3464 §2.3.3, ``status`` an enhanced status, ``code`` the SMTP code or "".
    """

    final: str = ""
    original: str = ""
    action: str = "failed"
    status: str = "5.0.0"
    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounce:
    """What a bounce says. ``returned``: the header of the letter that came back, as far as it was there."""

    recipients: tuple[Recipient, ...] = ()
    returned: tuple[Field, ...] = ()


def report_type(fields: Sequence[Field]) -> str:
    """The report-type of a multipart/report (RFC 6522 §3), in lower case; "" for any other letter."""
    index = by_name(fields)
    if len(index.get(b"content-type", ())) != 1:
        return ""
    content = _text(index, b"content-type").lstrip()
    kinds = {kind.lower() for kind in _KIND.findall(content)} if _REPORT.match(content) else set()
    return kinds.pop() if len(kinds) == 1 else ""


def is_bounce(fields: Sequence[Field]) -> bool:
    """Whether a letter of the null sender is a bounce or another report of delivery.

    It is where it says so (report-type, X-Failed-Recipients), where a mailer daemon wrote it, and where
    nobody did. An answer of a person's robot or a receipt for reading is none.
    """
    index = by_name(fields)
    content = _text(index, b"content-type")
    if _REPORT.match(content.lstrip()):
        kind = _KIND.search(content)
        return kind is None or kind[1].lower() == "delivery-status"
    if b"x-failed-recipients" in index:
        return True
    authors = _ADDRESS.findall(_text(index, b"from"))
    return not authors or any(author == "<>" or _DAEMONS.match(author) for author in authors)


def read(fields: Sequence[Field], body: bytes) -> Bounce:
    """What a bounce says, from as much of it as there is: ``body`` may be cut anywhere."""
    content = _text(by_name(fields), b"content-type")
    boundary = _BOUNDARY.search(content) if _REPORT.match(content.lstrip()) else None
    recipients: tuple[Recipient, ...] = ()
    returned: tuple[Field, ...] = ()
    if boundary is not None:
        for kind, octets in _parts(body, (boundary[1] or boundary[2]).encode("utf-8", "surrogateescape")):
            if kind in ("message/delivery-status", "message/global-delivery-status") and not recipients:
                recipients = _recipients(octets)
            elif kind in _RETURNED and not returned:
                returned = _header(octets)[0]
    if not recipients:
        named = _ADDRESS.findall(_text(by_name(fields), b"x-failed-recipients"))[:MAX_RECIPIENTS]
        recipients = _guessed(body, tuple(named))
    if not returned and boundary is None and (copy := _COPY.search(body)) is not None:
        returned = _header(body[copy.end() :].lstrip(b"\r\n"))[0]
    return Bounce(recipients=recipients, returned=returned)


_RETURNED = ("text/rfc822-headers", "message/rfc822", "message/global", "message/global-headers")


def addresses_in(value: bytes) -> list[str]:
    """What looks like an address in a field, for finding and never for judging."""
    return [text for text in _ADDRESS.findall(value[:8192].decode("utf-8", "replace")) if text != "<>"]


def _text(index: Mapping[bytes, Sequence[Field]], name: bytes) -> str:
    """The first field of that name, at most so much of it as an honest one has."""
    found = index.get(name, ())
    return " ".join(found[0].value[:8192].decode("utf-8", "surrogateescape").split()) if found else ""


def _parts(body: bytes, boundary: bytes) -> list[tuple[str, bytes]]:
    """The parts between the lines of the outermost boundary: content type and decoded octets."""
    edge = re.compile(rb"^--" + re.escape(boundary) + rb"(--)?[ \t]*\r?(?:\n|\Z)", re.MULTILINE)
    edges = []
    for found in edge.finditer(body):
        edges.append(found)
        if found[1] or len(edges) > 20:
            break
    ends = [found.start() for found in edges[1:]] + [len(body)]
    parts = []
    for found, end in zip(edges, ends, strict=True):
        if found[1]:
            break
        fields, rest = _header(body[found.end() : end])
        index = by_name(fields)
        kind = _text(index, b"content-type").partition(";")[0].strip().lower()
        parts.append((kind, _decoded(rest, _text(index, b"content-transfer-encoding").lower())))
    return parts


def _decoded(octets: bytes, encoding: str) -> bytes:
    try:
        if encoding == "base64":
            return binascii.a2b_base64(octets)
        if encoding == "quoted-printable":
            return binascii.a2b_qp(octets)
    except ValueError:
        pass
    return octets


def _header(octets: bytes) -> tuple[tuple[Field, ...], bytes]:
    """The fields at the head of some octets, and what follows the first empty line."""
    fields: list[tuple[bytes, list[bytes]]] = []
    at = 0
    for found in _LINE.finditer(octets):
        line = found[0].rstrip(b"\r\n")
        at = found.end()
        if not line:
            break
        if line[:1] in b" \t" and fields:
            fields[-1][1].append(line)
        elif (named := _FIELD.fullmatch(line)) is not None and len(fields) < MAX_FIELDS:
            fields.append((named[1], [named[2]]))
    return tuple(Field(name, b"\r\n".join(lines)) for name, lines in fields), octets[at:]


def _recipients(octets: bytes) -> tuple[Recipient, ...]:
    """The groups of fields behind the first (RFC 3464 §2.1)."""
    found: list[Recipient] = []
    rest = octets.lstrip(b"\r\n")
    for _ in range(MAX_RECIPIENTS + 1):
        if not rest:
            break
        fields, rest = _group(rest)
        index = by_name(fields)
        if b"final-recipient" in index or b"original-recipient" in index:
            found.append(_recipient(index))
    return tuple(found)


def _group(octets: bytes) -> tuple[tuple[Field, ...], bytes]:
    fields, rest = _header(octets[:MAX_TEXT])
    consumed = min(len(octets), MAX_TEXT) - len(rest)
    return fields, octets[consumed:].lstrip(b"\r\n")


def _recipient(index: Mapping[bytes, Sequence[Field]]) -> Recipient:
    action = _text(index, b"action").partition(" ")[0].lower()
    action = action if action in ACTIONS else "failed"
    diagnostic = _text(index, b"diagnostic-code")
    code = _CODE.match(diagnostic)
    wanted = {"failed": "5", "delayed": "4"}.get(action, "2")
    said = _STATUS.match(_text(index, b"status"))
    if code is not None and (said is None or said[1].endswith(".0.0")):
        said = _STATUS.match(diagnostic, code.end() + 1) or said  # Exim says no more than "5.0.0" above
    fits = said is not None and said[1][0] == wanted
    return Recipient(
        final=_typed(_text(index, b"final-recipient")),
        original=_typed(_text(index, b"original-recipient")),
        action=action,
        status=said[1] if said is not None and fits else f"{wanted}.0.0",
        code=code[1] if code is not None else "",
    )


def _typed(value: str) -> str:
    """The address of "rfc822; address" (RFC 3464 §2.1.2), its xtext undone (RFC 3461 §4)."""
    address = value.partition(";")[2].strip() if ";" in value else value.strip()
    address = address.removeprefix("<").removesuffix(">")
    return re.sub(r"\+([0-9A-F]{2})", _unhex, address)[:1000]


def _unhex(found: re.Match[str]) -> str:
    character = chr(int(found[1], 16))
    return character if character in "+=" else found[0]


def _guessed(body: bytes, named: tuple[str, ...]) -> tuple[Recipient, ...]:
    """Recipients of a bounce that is no report: those that it names, or one that nobody knows."""
    copy = _COPY.search(body)
    text = body[: copy.start() if copy is not None else MAX_TEXT][:MAX_TEXT].decode("latin-1")
    said = _SAID.search(text)
    bare = _SAID_BARE.search(text) if said is None else None
    code = (said[1] or "") if said is not None else bare[1] if bare is not None else ""
    status = (said[2] or said[3]) if said is not None else "5.0.0"
    action = "delayed" if status.startswith("4") else "failed"
    return tuple(
        Recipient(final=address, action=action, status=status, code=code) for address in named or ("",)
    )
