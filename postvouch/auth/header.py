"""Our Authentication-Results field, and what must go so that nobody else's is taken for it (RFC 8601 §5).

One field of ours on every message, also when nothing was found: a reader then knows that fields of our id
were removed. ``claims`` errs on the side of removing: what some reader could take for ours goes.
"""

import re
import unicodedata
from dataclasses import replace

from postvouch.auth.authres import ResInfo, write
from postvouch.auth.listid import proves_list
from postvouch.auth.result import (
    ArcFinding,
    DkimFinding,
    DmarcFinding,
    Findings,
    IprevFinding,
    Result,
    SpfFinding,
)
from postvouch.values.address import OneAuthor
from postvouch.values.decision import RemoveField
from postvouch.values.message import Client, Envelope, Message

FIELD_NAME = "Authentication-Results"
ORIGIN = "x-origin"
"""A method of our own (RFC 8601 §2.7.6 leaves names to be made): the From: of ours in header.from is proven,
policy.by says how (``decide.vouched``). Only our srs hosts read it."""

LIST = "x-list"
"""Another: a mailing list says in List-Id that it sent this; pass: DKIM or SPF passed for the list's host."""

MARK = "X-Postvouch-Mark"
"""The field that the action mark writes; its value is the reason code. Any that came in is a stranger's."""

Finding = SpfFinding | DkimFinding | ArcFinding | IprevFinding | DmarcFinding

MAX_HEAD = 8192
"""So many characters are searched for an id and the semicolon behind it; honest ones need a hundred."""

_HOST = re.compile(r"[A-Za-z0-9._-]{1,255}")
_COMMENT_STEP = re.compile(r"[()]|\\.", re.DOTALL)
_HEAD_STEP = re.compile(r'[^;("]++|\(|"(?P<quoted>(?:[^"\\]++|\\.)*+)"?', re.DOTALL)
_PAIR = re.compile(r"\\(.)", re.DOTALL)


def format_field(
    authserv_id: str,
    findings: Findings,
    *,
    client: Client,
    envelope: Envelope,
    vouched: str = "",
    override: str = "",
    note_dnssec: bool = False,
) -> str:
    """Write the value of our field; what is in it and in which order, ``results`` says.

    ``vouched`` is that of ``decide.vouched``; the others as in ``results``. Folds are LF and a blank. Raises
    ValueError only for an authserv-id that cannot be written.
    """
    # UTF-8 may stand in internationalized mail only (RFC 6532); an envelope that is not ASCII proves it is.
    internationalized = not all(map(str.isascii, (envelope.sender, *envelope.recipients)))
    infos = results(findings, client, envelope, override=override, note_dnssec=note_dnssec)
    if vouched and isinstance(findings.author, OneAuthor):
        proven = (("header.from", findings.author.address.domain), ("policy.by", vouched))
        infos = (*infos, ResInfo(method=ORIGIN, result="pass", properties=proven))
    return write(authserv_id, infos, internationalized=internationalized)


def results(
    findings: Findings,
    client: Client,
    envelope: Envelope,
    *,
    override: str = "",
    note_dnssec: bool = False,
) -> tuple[ResInfo, ...]:
    """The findings as results: login, iprev, SPF of each identity, each signature, ARC, DMARC, list.

    ``override``: the reason code of the exemption that kept an action from this letter. ``note_dnssec``: say
    in a comment which results rest on DNSSEC.
    """
    infos: list[ResInfo] = []

    def add(info: ResInfo, *, secure: bool = False) -> None:
        if note_dnssec and secure:
            info = replace(info, comment=", ".join(filter(None, (info.comment, "dnssec"))))
        infos.append(info)

    if client.login:
        add(ResInfo(method="auth", result="pass", properties=(("smtp.auth", client.login),)))
    if findings.iprev is not None and client.address:
        add(_iprev(findings.iprev, client), secure=findings.iprev.secure)
    if findings.spf.identity == "mailfrom":
        add(_spf(findings.spf, "smtp.mailfrom", envelope.sender), secure=findings.spf.secure)
    add(_spf(findings.helo, "smtp.helo", client.helo), secure=findings.helo.secure)
    for finding in findings.dkim:
        add(_dkim(finding), secure=finding.secure)
    if not findings.dkim:
        add(ResInfo(method="dkim", result="none"))
    if findings.arc is not None:
        add(_arc(findings.arc, client), secure=findings.arc.secure)
    add(_dmarc(findings.dmarc, override), secure=findings.dmarc.secure)
    if findings.list_id:
        add(_list(findings))
    return tuple(infos)


def _info(method: str, finding: Finding, *properties: tuple[str, str], comment: str = "") -> ResInfo:
    """One finding with those of its properties that have a value; a pass needs no reason."""
    return ResInfo(
        method=method,
        result=finding.result,
        reason="" if finding.result is Result.PASS else finding.reason,
        properties=tuple((name, value) for name, value in properties if value),
        comment=comment,
    )


def _iprev(finding: IprevFinding, client: Client) -> ResInfo:
    # DNS lets any octet into a name: one that is no host's could pass for a result where blanks are cut.
    name = finding.name if _HOST.fullmatch(finding.name) else ""
    return _info("iprev", finding, ("policy.iprev", client.address), comment=name)


def _spf(finding: SpfFinding, name: str, value: str) -> ResInfo:
    return _info("spf", finding, (name, value))


def _dkim(finding: DkimFinding) -> ResInfo:
    tags = (("d", finding.d), ("i", finding.i), ("s", finding.s), ("a", finding.a), ("b", finding.b))
    return _info("dkim", finding, *((f"header.{tag}", value) for tag, value in tags))


def _arc(finding: ArcFinding, client: Client) -> ResInfo:
    if finding.result is not Result.PASS:
        return _info("arc", finding)
    # RFC 8617 §10.2; the address is what a later hop needs for its DMARC reports.
    oldest = ("header.oldest-pass", str(finding.oldest_pass))
    return _info("arc", finding, oldest, ("smtp.remote-ip", client.address))


def _dmarc(finding: DmarcFinding, override: str) -> ResInfo:
    applied = ("policy.dmarc", finding.applied)
    return _info("dmarc", finding, ("header.from", finding.domain), applied, ("policy.override", override))


def _list(findings: Findings) -> ResInfo:
    proven = proves_list(findings, (findings.list_id,), Result.PASS)
    named = (("header.list-id", findings.list_id),)
    return ResInfo(method=LIST, result="pass" if proven else "none", properties=named)


def removals(message: Message, authserv_id: str) -> tuple[RemoveField, ...]:
    """Which fields of the message must go, to be applied before any insertion.

    Those that claim our authserv-id, and all marks. Of each name the last comes first.
    """
    found: list[RemoveField] = []
    for name in (FIELD_NAME, MARK):
        values = [field.value for field in message.named(name.encode())]
        nths = [n for n, value in enumerate(values, 1) if name == MARK or claims(value, authserv_id)]
        found += [RemoveField(name, nth) for nth in reversed(nths)]
    return tuple(found)


def claims(value: bytes, authserv_id: str) -> bool:
    """Whether an Authentication-Results field that came in could be read as ours, by any reader.

    The id is compared after comments, folds, quotes, backslashes, blanks around dots, invisible characters,
    case and a last dot are resolved. What cannot be parsed but starts as our id does is a claim too, and so
    is what has an encoded-word before its first semicolon: no honest id is one, and what it comes to, and
    where the results then begin, each reader decides for himself (RFC 2047). Never raises.
    """
    text = value.decode("utf-8", "surrogateescape")[: MAX_HEAD + 1]
    # Enough to see the id, with blanks around its dots, and what follows.
    enough = 3 * len(authserv_id) + 64
    ours = _folded(authserv_id, enough).strip(".")
    # A reader may take a comment for a blank or for nothing.
    heads = [_head(text, gap, enough) for gap in (" ", "")]
    return any(head is None or _starts_with(_folded(head, enough), ours) for head in heads)


def _head(text: str, gap: str, enough: int) -> str | None:
    """The text before the first semicolon, or ``enough`` of it; comments as ``gap``, quotes undone.

    None where that cannot be known: a comment does not end, an encoded-word begins, or there is hardly
    anything to see in so long a text.
    """
    head: list[str] = []
    at = seen = 0
    while seen < enough and (found := _HEAD_STEP.match(text, at)) is not None:
        at = found.end()
        if found[0] == "(":
            end = _comment_end(text, at - 1)
            if end is None:
                return None
            head.append(gap)
            at = end
        else:
            head.append(found[0] if found["quoted"] is None else _PAIR.sub(r"\1", found["quoted"]))
            seen += len(_seen(head[-1]))
    if "=?" in text[:at] or (seen < enough and at > MAX_HEAD):
        return None
    return "".join(head)


def _comment_end(text: str, at: int) -> int | None:
    depth = 0
    for found in _COMMENT_STEP.finditer(text, at):
        depth += {"(": 1, ")": -1}.get(found[0], 0)
        if not depth:
            return found.end()
    return None


class _Visible(dict[int, str]):
    """What is left of a character for the eye: nothing, a blank, or itself. Bounded: strangers fill it."""

    def __missing__(self, code: int) -> str:
        category = unicodedata.category(chr(code))
        seen = "" if category == "Cf" else " " if category[0] in "CZ" else chr(code)
        if len(self) < 4096:
            self[code] = seen
        return seen


_VISIBLE = _Visible()


def _seen(text: str) -> str:
    """What the eye sees: runs of blanks are one, what is no text is a blank, no backslash and no quote."""
    return " ".join(text.translate(_VISIBLE).replace("\\", "").replace('"', "").split())


def _folded(text: str, limit: int) -> str:
    """The first ``limit`` visible characters without case and width."""
    # Cut before this: normalizing is quadratic in combining marks. IDNA's other full stop is a dot (UTS 46).
    plain = unicodedata.normalize("NFKC", _seen(text)[:limit]).casefold()
    return plain.replace("\u3002", ".")


def _starts_with(text: str, ours: str) -> bool:
    """Whether ``text`` is our id, blanks around its dots or not, and then nothing that is part of a name."""
    before = text.replace(" .", ".")
    for form in (text, before, text.replace(". ", "."), before.replace(". ", ".")):
        rest = form[len(ours) :].lstrip(".")
        if form.startswith(ours) and (not rest or not (rest[0].isalnum() or rest[0] in "-_")):
            return True
    return False
