"""Judging a letter as postvouch-verify would, and showing the outcome to a person or a program."""

from dataclasses import replace
from functools import lru_cache

from postvouch.auth import decide, exempt, header
from postvouch.auth import judge as core
from postvouch.auth.evaluate import Options
from postvouch.auth.judge import Judgement
from postvouch.auth.policy import Policy
from postvouch.auth.result import ArcFinding, DkimFinding, DmarcFinding, Findings, Result, SpfFinding
from postvouch.cli import output
from postvouch.config.policy import options_of, policy_of
from postvouch.config.schema import Config
from postvouch.host import suffixes
from postvouch.host.budget import budget
from postvouch.values.address import MalformedAuthor, MissingAuthor, OneAuthor, SeveralAuthors
from postvouch.values.decision import Defer, Quarantine, Reject
from postvouch.values.dns import Resolver
from postvouch.values.message import Message
from postvouch.values.network import NOBODY

WHY = {
    decide.SPOOF: ("From: names one of our domains, and no aligned pass proves it", "own_fail"),
    decide.SPOOF_SENDER: (
        "the envelope sender is ours, and neither SPF, nor a signature of that domain, nor a proven From: "
        "speaks for it",
        "own_fail",
    ),
    decide.NO_AUTHOR: ("From: is missing, or names nobody", "bad_author"),
    decide.SEVERAL_AUTHORS: ("From: names several, or a group", "bad_author"),
    decide.BAD_AUTHOR: ("From: is not RFC 5322", "bad_author"),
    decide.DMARC_FAIL: ("DMARC fails, and the author's domain asks for {applied}", "enforced_{applied}"),
    decide.DMARC_FAIL_NONE: ("DMARC fails under p=none", "other_fail"),
    decide.DMARC_NONE: ("the author's domain publishes no DMARC record", "other_none"),
    decide.TEMPERROR: (
        "DNS trouble, or the computing time was up: it may yet pass, or be exempt",
        "*_temperror",
    ),
    decide.OWN_HOST: ("a spoof, by a host that may write as us", "own_hosts"),
    exempt.HOST: ("the client is exempt by its address", "exempt_hosts"),
    exempt.NAME: ("the client is exempt by its name", "exempt_names"),
    exempt.DOMAIN: ("the author's domain is exempt", "exempt_domains"),
    exempt.LIST: ("a letter of an exempt list, by DKIM or SPF", "exempt_lists"),
    exempt.SEALER: ("ARC sealers that we believe saw dmarc=pass", "exempt_sealers"),
}
"""What each reason code means, and which setting of [verdict] says what is done then."""


def judge(message: Message, resolver: Resolver, *, now: float, config: Config) -> Judgement:
    """Judge one letter as the daemon does, under the policy of ``config``; every client is a stranger."""
    policy, options = _engine(config)
    return core.judge(
        message,
        resolver,
        now,
        options=replace(options, spent=budget(config.verify.cpu_limit)),
        policy=policy,
        authserv_id=config.verify.authserv_id or "localhost",
        note_dnssec=config.verify.note_dnssec,
    )


@lru_cache(maxsize=16)
def _engine(config: Config) -> tuple[Policy, Options]:
    """What one configuration comes to, made once for all the letters of a run."""
    listed, _ = suffixes.load(config.verify.public_suffixes)
    # A letter in a file came from nowhere; the loopback is not meant.
    return replace(policy_of(config), internal=NOBODY), replace(options_of(config, listed), organisation=True)


def status(findings: Findings) -> int:
    """The exit status: 0 unless DMARC fails (1) or cannot be decided now (75)."""
    result = findings.dmarc.result
    if result is Result.TEMPERROR:
        return output.TEMPFAIL
    return output.NEGATIVE if result in (Result.FAIL, Result.PERMERROR) else output.OK


def reply(judgement: Judgement) -> str:
    """What the client of SMTP would be told; "" where the letter is let in or held."""
    verdict = judgement.ruling.verdict
    return str(verdict.reply) if isinstance(verdict, Reject | Defer) else ""


def show(judgement: Judgement, *, indent: str = "") -> None:
    """For a person: a line a method, the decision, the field."""
    findings = judgement.findings
    _row(indent, "from", "", _author(findings))
    _row(indent, "spf", findings.spf.result, *_spf(findings.spf))
    if findings.spf.identity != "helo":
        _row(indent, "helo", findings.helo.result, *_spf(findings.helo))
    for each in findings.dkim:
        _row(indent, "dkim", each.result, *_dkim(each))
    if not findings.dkim:
        _row(indent, "dkim", Result.NONE, "no signature")
    if findings.arc is not None and findings.arc.result is not Result.NONE:
        _row(indent, "arc", findings.arc.result, *_arc(findings.arc))
    _row(indent, "dmarc", findings.dmarc.result, *_dmarc(findings.dmarc))
    if findings.dmarc.difference:
        _row(indent, "", "", findings.dmarc.difference)
    if findings.iprev is not None and findings.iprev.result is not Result.NONE:
        _row(indent, "iprev", findings.iprev.result, findings.iprev.name, findings.iprev.reason)
    if findings.list_id:
        _row(indent, "list", "", findings.list_id)
    said = reply(judgement)
    if isinstance(judgement.ruling.verdict, Quarantine):
        said = "held until an admin looks"
    elif judgement.ruling.would:
        said = f"mode monitor; enforce would {judgement.ruling.would}"
    if judgement.ruling.mark:
        said = f"{said}  {header.MARK}: {judgement.ruling.mark}".strip()
    _row(indent, "action", judgement.ruling.action, judgement.ruling.code, said)
    if judgement.ruling.code in WHY:
        meaning, setting = WHY[judgement.ruling.code]
        why = f"{meaning} (verdict.{setting})".format(applied=findings.dmarc.applied)
        _row(indent, "why", "", why)
    if judgement.removals:
        output.line(f"{indent}{len(judgement.removals)} forged field(s) would be removed")
    field(indent, header.FIELD_NAME, judgement.field)


def field(indent: str, name: str, value: str) -> None:
    """A header field as it would be written, folds included."""
    for line in f"{name}: {value.lstrip()}".splitlines():
        output.line(indent + line)


def _row(indent: str, name: str, word: str, *rest: str) -> None:
    said = "  ".join(output.clean(each) for each in rest if each)
    padded = output.styled(str(word)) + " " * max(1, 10 - len(word)) if word else ""
    output.raw(f"{indent}{name:<8}{padded}{said}")


def _author(findings: Findings) -> str:
    match findings.author:
        case OneAuthor(address):
            return str(address)
        case MissingAuthor():
            return "(no author)"
        case SeveralAuthors(domains, group=group):
            return f"({'a group' if group else 'several authors'}: {', '.join(domains) or 'no domain'})"
        case MalformedAuthor(reason):
            return f"(not readable: {reason})"


def _spf(finding: SpfFinding) -> tuple[str, str]:
    return finding.domain, finding.reason


def _dkim(finding: DkimFinding) -> tuple[str, str, str]:
    key = f"{finding.d}/{finding.s}" if finding.d else ""
    return key, finding.a, "" if finding.result is Result.PASS else finding.reason


def _arc(finding: ArcFinding) -> tuple[str, ...]:
    if finding.result is not Result.PASS:
        return (finding.reason,)
    oldest = f"oldest pass {finding.oldest_pass}" if finding.oldest_pass else ""
    return f"sealed by {', '.join(finding.sealers)}", oldest


def _dmarc(finding: DmarcFinding) -> tuple[str, ...]:
    policy = f"p={finding.policy}" if finding.policy else ""
    if finding.applied != finding.policy:
        policy += f" (t=y: {finding.applied})"
    if finding.record_domain != finding.domain and policy:
        policy += f" by _dmarc.{finding.record_domain}"
    aligned = f"aligned by {finding.aligned_by}" if finding.aligned_by else ""
    return finding.domain, policy, aligned, "" if finding.result is Result.PASS else finding.reason
