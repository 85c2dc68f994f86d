"""``postvouch verify --jsonl``: one case a line in, one result a line out, in order, each at once.

The interface is docs/jsonl.rst. A line that is no case costs its own result and no other's; memory does not
grow with the number of lines.
"""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any, BinaryIO

from postvouch.auth.questions import Questions
from postvouch.cli import jsonlresult, output, verdict
from postvouch.cli.jsonlcase import Case, CaseError, Name, read_case
from postvouch.cli.letter import read_letter
from postvouch.config.schema import Config
from postvouch.host.dns import MESSAGE_LOOKUPS, DnsResolver
from postvouch.values.dns import Resolver
from postvouch.values.message import Client, Envelope

MAX_LINE = 160 << 20
"""Octets of a line, its end included: room for a letter of 100 MB."""

_SKIPPED = 1 << 20
_MAX_ERROR = 500


class Judge:
    """Judges case after case by one configuration."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._resolver = DnsResolver(
            config.dns.servers, timeout_s=config.dns.timeout, cache_entries=config.dns.cache_entries
        )
        self._adapted = lru_cache(maxsize=16)(self._adapt)

    def result(self, case: Case) -> dict[str, Any]:
        """The members of the result line. Raises ValueError for an authserv-id that cannot be written."""
        began = time.thread_time()
        config = self._adapted(case.authserv_id, case.min_rsa_bits)
        letter = read_letter(
            case.letter,
            client=Client(address=case.client_ip, helo=case.helo),
            envelope=Envelope(sender=case.mail_from, recipients=case.rcpt_to),
        )
        judgement = verdict.judge(
            letter.message,
            self._resolver_of(case),
            now=time.time() if case.now is None else case.now,
            config=config,
        )
        members = jsonlresult.as_json(judgement, letter.message.fields)
        cpu_ms = (time.thread_time() - began) * 1000
        return {"id": case.name, **members, "notes": list(letter.notes), "cpu_ms": round(cpu_ms, 3)}

    def _resolver_of(self, case: Case) -> Resolver:
        if case.zone is None:
            return self._resolver.for_message(self._config.dns.message_timeout)
        return Questions(case.zone, MESSAGE_LOOKUPS)

    def _adapt(self, authserv_id: str | None, min_rsa_bits: int | None) -> Config:
        """The configuration with what a case says otherwise."""
        settings = self._config.verify
        settings = replace(
            settings,
            authserv_id=authserv_id or settings.authserv_id or "localhost",
            min_rsa_bits=min_rsa_bits or settings.min_rsa_bits,
        )
        return replace(self._config, verify=settings)


def run(source: BinaryIO, sink: BinaryIO, config: Config) -> int:
    """Answer line by line until the end of ``source``, or until nobody reads on; the exit status."""
    judge = Judge(config)
    status = output.OK
    try:
        for line in _lines(source):
            answer = _answer(line, judge)
            if "error" in answer:
                status = output.NEGATIVE
            sink.write(_written(answer))
            sink.flush()
    except BrokenPipeError:
        # What is still in the buffer must not complain when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sink.fileno())
        return output.NEGATIVE
    except KeyboardInterrupt:
        return output.NEGATIVE
    return status


def _answer(line: bytes | None, judge: Judge) -> dict[str, Any]:
    """One result, whatever the line is; None stands for one that is too long."""
    if line is None:
        return _error(None, f"longer than {MAX_LINE} octets")
    try:
        case = read_case(line)
    except CaseError as error:
        return _error(error.name, str(error))
    try:
        return judge.result(case)
    except ValueError as error:
        return _error(case.name, str(error))
    except Exception as error:
        return _error(case.name, f"internal error ({type(error).__name__}: {error})")


def _error(name: Name | None, text: str) -> dict[str, Any]:
    return {"id": name, "error": text[:_MAX_ERROR]}


def _written(answer: dict[str, Any]) -> bytes:
    """A result as its line: ASCII, and but for an id that had some no lone surrogates, which many refuse."""
    text = json.dumps(answer, ensure_ascii=False)
    if not text.isascii():
        text = json.dumps({**json.loads(text.encode("utf-8", "replace")), "id": answer["id"]})
    return text.encode("ascii") + b"\n"


def _lines(source: BinaryIO) -> Iterator[bytes | None]:
    while line := source.readline(MAX_LINE):
        if len(line) < MAX_LINE or line.endswith(b"\n"):
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = source.readline(_SKIPPED)
        yield None
