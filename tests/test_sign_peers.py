"""Five hundred ugly letters signed by us, RSA and Ed25519 on each, and what other verifiers say of them.

A peer may disagree for a reason that is known, written down in docs/knownissues.rst and true of the letter;
in such a letter our verifier and another peer still have to agree. Ed25519 counts where the peer knows it.
"""

import re
import time
from functools import lru_cache
from pathlib import Path

import pytest
import signpeers
import ugly
from dnsserver import Server
from fakedns import zone
from letters import message_of
from recursor import Unbound
from test_sign_dkim import dns_text, inserted, key, octets, published

from postvouch.auth import dkim as verifier
from postvouch.auth.result import Result
from postvouch.config.cover import cover_of
from postvouch.config.sign import Sign
from postvouch.sign import record
from postvouch.sign.dkim import sign_all

COUNT = 500
KINDS = ("rsa", "ed25519")
FORMS = ("relaxed/relaxed", "relaxed/simple", "simple/simple", "simple/relaxed")
PEERS = ("opendkim", "dkimpy", "rspamd", "Mail::DKIM")
UNKNOWN = ("invalid", "NaClNotFoundError")
ONCE = {b"from", b"to", b"cc", b"subject", b"date", b"message-id", b"reply-to", b"sender", b"references"}
KNOWN_ISSUES = Path(__file__).resolve().parent.parent / "docs" / "knownissues.rst"


@lru_cache
def letters():
    """(shape and form, the letter with both signatures, whether it is stray) of each."""
    found = []
    for number, letter in enumerate(ugly.letters(COUNT)):
        usable = FORMS[:2] if letter.relaxed_only else FORMS
        form = usable[number // len(ugly.SHAPES) % len(usable)]
        message = message_of(letter.octets)
        rules = cover_of(Sign(canonicalization=form))
        signatures = sign_all(message, [key(kind) for kind in KINDS], now=time.time(), rules=rules)
        found.append(((letter.shape, form), octets(inserted(message, *signatures)), letter.stray))
    return found


def reasons(peer, form, letter, stray):
    """Why this peer may say no to this letter: headings of docs/knownissues.rst."""
    head, _, body = letter.partition(b"\r\n\r\n")
    names = [line.partition(b":")[0] for line in head.split(b"\r\n") if line[:1] not in (b" ", b"\t")]
    folded = [name.strip().lower() for name in names]
    relaxed = form.endswith("/relaxed")
    holds = {
        "a CR or LF alone in the body": stray and peer != "Mail::DKIM",
        "no line end at the end": not body.endswith(b"\r\n") and peer in ("opendkim", "Mail::DKIM"),
        "a blank before a colon": any(n != n.strip() for n in names) and peer in ("dkimpy", "rspamd"),
        "a field twice that may be there once": (
            any(folded.count(name) > 1 for name in ONCE) and peer == "rspamd"
        ),
        "a relaxed body of nothing but blanks": (
            relaxed and not body.strip(b" \t\r\n") and body.strip(b"\r\n") != b"" and peer == "rspamd"
        ),
        "control octets in a relaxed body": (
            relaxed and re.search(rb"[\0-\x08\x0b\x0c\x0e-\x1f]", body) is not None and peer == "rspamd"
        ),
    }
    return [reason for reason, true in holds.items() if true]


@lru_cache
def records():
    return {kind: dns_text(key(kind)) for kind in KINDS}


@pytest.fixture(scope="module")
def resolver(tmp_path_factory):
    """An unbound that knows our two records."""
    local = (
        f"{kind}._domainkey.our.example. 300 TXT "
        + " ".join(f'"{text}"' for text in record.strings(key(kind).private))
        for kind in KINDS
    )
    with Server() as upstream:
        unbound = Unbound(tmp_path_factory.mktemp("unbound"), upstream, *local)
        yield unbound.address
        unbound.stop()


def asked(peer, given, folder, resolver):
    """What the peer says of these letters."""
    match peer:
        case "opendkim":
            return signpeers.by_opendkim(given, folder, records())
        case "dkimpy":
            return signpeers.by_dkimpy(given, records())
        case "rspamd":
            return signpeers.by_rspamd(given, folder, resolver)
        case _:
            return signpeers.by_mail_dkim(given, folder, resolver)


def kinds_of(verdicts):
    """The kinds of key that a peer knows; the first letter is a plain one."""
    assert verdicts["rsa"] == "pass"
    return KINDS[: 1 + (not verdicts["ed25519"].startswith(UNKNOWN))]


@pytest.mark.parametrize("peer", PEERS)
def test_a_peer_verifies_our_signatures_or_the_reason_why_not_is_known(peer, tmp_path, resolver):
    said = asked(peer, [letter for _, letter, _ in letters()], tmp_path, resolver)
    surprises, excused = [], 0
    for ((shape, form), letter, stray), verdicts in zip(letters(), said, strict=True):
        known = reasons(peer, form, letter, stray)
        excused += bool(known)
        for kind in kinds_of(said[0]):
            if verdicts.get(kind) != "pass" and not known:
                surprises.append((shape, form, kind, verdicts.get(kind)))
    assert surprises == []
    assert excused < COUNT / 4


def test_each_letter_verifies_with_us_and_no_reason_is_true_of_all_peers():
    dns = zone(*published())
    for (shape, form), letter, stray in letters():
        findings = verifier.verify(message_of(letter), dns, time.time())
        results = [finding.result for finding in findings[:2]]  # ours are on top
        assert results == [Result.PASS, Result.PASS], (shape, form)
        assert [peer for peer in PEERS if not reasons(peer, form, letter, stray)] != [], (shape, form)


@pytest.mark.parametrize("peer", PEERS)
def test_a_peer_says_no_where_one_octet_was_changed(peer, tmp_path, resolver):
    plain = letters()[0][1]
    changed = [plain[:-3] + b"#\r\n", plain.replace(b"Subject: ", b"Subject: #"), b"Cc: x\r\n" + plain]
    said = asked(peer, [plain, *changed], tmp_path, resolver)
    for verdicts in said[1:]:
        assert [verdicts.get(kind) == "pass" for kind in kinds_of(said[0])] == [False] * len(
            kinds_of(said[0])
        )


def test_each_reason_is_written_down():
    text = KNOWN_ISSUES.read_text("utf-8")
    used = {
        reason
        for peer in PEERS
        for (_, form), letter, stray in letters()
        for reason in reasons(peer, form, letter, stray)
    }
    assert len(used) == 6
    assert [reason for reason in used if f"* {reason}:" not in text] == []
