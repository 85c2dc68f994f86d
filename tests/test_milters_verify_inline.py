"""postvouch-verify between two letters: handle(may_wait=False) says what it says with waiting, or WouldWait.

Over the whole corpus, with its DNS behind a real server and the resolver of the daemon: one answer after the
other gets into the cache, and as long as one is missing nothing but WouldWait may come. Were it swallowed
anywhere, a letter would be judged by what was not asked.
"""

import ast
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import test_corpus
from dnsserver import Server, told_by
from test_corpus import CASES, read_case

from postvouch.cli.letter import read_letter
from postvouch.host.dns import DnsResolver
from postvouch.host.log import Log
from postvouch.milters import verify
from postvouch.values.dns import DnsUnavailable, WouldWait
from postvouch.values.message import Field

ROOT = Path(__file__).resolve().parent.parent
config_of = test_corpus.config_of
LONG = {"037", "053", "054", "124", "148", "191", "192", "195", "198", "199", "203"}
"""Cases that always take a thread: long headers, many signatures."""


def hashed(message, handler):
    """The message as the milter has it: its body hashed, and gone."""
    hashes = handler.hashes(message.fields)
    for chunk in message.body:
        hashes.feed(chunk)
    return replace(message, body=(), digests=hashes.finish())


@pytest.fixture(scope="module")
def server():
    with Server() as running:
        yield running


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_what_is_decided_without_waiting_is_what_is_decided_with_it(folder, config_of, server, monkeypatch):
    case = read_case(folder)
    # This machine may be a slow one; what time does is another test.
    monkeypatch.setattr(verify, "SHORT_S", 60.0)
    monkeypatch.setattr(verify, "time", SimpleNamespace(time=lambda: case.now))
    server.default = told_by(case.zone)
    config = config_of(case.settings)
    log = Log(program="postvouch-verify")
    cold = DnsResolver([server.address])
    handler = verify.Verifier(config, log, cold)
    message = read_letter(case.letter, client=case.client, envelope=case.envelope).message
    fields = tuple(Field(field.name.rstrip(b" \t"), field.value) for field in message.fields)
    message = hashed(replace(message, queue_id="4InLine", fields=fields), handler)

    if folder.name[:3] in LONG:
        assert verify.may_take_long(message)
        with pytest.raises(WouldWait, match="header"):
            handler.handle(message, may_wait=False)
        return
    server.asked.clear()
    missing = []
    while True:
        before = len(server.asked)
        try:
            decision = handler.handle(message, may_wait=False)
        except WouldWait as waiting:
            assert len(server.asked) == before
            kind, _, name = str(waiting).partition(" of ")
            assert (name, kind) not in missing
            missing.append((name, kind))
            with suppress(DnsUnavailable):
                cold.lookup(name, kind)
        else:
            assert len(server.asked) == before
            break
    learned = set(server.asked)
    server.asked.clear()
    handler.resolver = DnsResolver([server.address])
    assert handler.handle(message) == decision
    assert set(server.asked) == learned


@pytest.mark.parametrize(
    "module", sorted((ROOT / "postvouch" / "auth").glob("*.py")), ids=lambda path: path.name
)
def test_nothing_between_the_question_and_the_milter_swallows_it(module):
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.ExceptHandler):
            caught = {
                name.id
                for name in ast.walk(node.type or ast.Name("BaseException"))
                if isinstance(name, ast.Name)
            }
            assert "BaseException" not in caught
        if isinstance(node, ast.Try):
            assert not [
                each for last in node.finalbody for each in ast.walk(last) if isinstance(each, ast.Return)
            ]


def test_a_letter_that_takes_long_though_it_does_not_look_it_goes_on_in_a_thread(
    config_of, server, monkeypatch
):
    case = read_case(next(folder for folder in CASES if folder.name.startswith("001-")))
    server.default = told_by(case.zone)
    handler = verify.Verifier(
        config_of(case.settings), Log(program="postvouch-verify"), DnsResolver([server.address])
    )
    message = hashed(read_letter(case.letter, client=case.client, envelope=case.envelope).message, handler)
    decision = handler.handle(message)
    assert handler.handle(message, may_wait=False) == decision
    monkeypatch.setattr(verify, "SHORT_S", 0.0)
    with pytest.raises(WouldWait, match="computing time"):
        handler.handle(message, may_wait=False)
    assert handler.handle(message) == decision
