"""The whole way of one letter through the core: find out, rule, write our field. Both doors come here.

So what ``postvouch verify`` says of a letter is what postvouch-verify does with it. Pure given a resolver and
the time.
"""

from dataclasses import dataclass

from postvouch.auth import decide, evaluate, header
from postvouch.auth.policy import Policy
from postvouch.auth.result import Findings
from postvouch.values.decision import RemoveField
from postvouch.values.dns import Resolver
from postvouch.values.message import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What is known about a letter, what policy makes of it, the field to write and those that must go."""

    findings: Findings
    ruling: decide.Ruling
    field: str
    removals: tuple[RemoveField, ...]


def judge(
    message: Message,
    resolver: Resolver,
    now: float,
    *,
    options: evaluate.Options,
    policy: Policy,
    authserv_id: str,
    note_dnssec: bool = False,
) -> Judgement:
    """Judge one letter; mail of our own is marked and not checked.

    ``field`` is the value of Authentication-Results, folds as LF and a blank. Raises ValueError only for an
    authserv-id that cannot be written.
    """
    client, envelope = message.client, message.envelope
    if decide.is_internal(client, policy):
        findings = evaluate.unchecked(message, "not checked: mail of our own")
    else:
        findings = evaluate.evaluate(message, resolver, now, options)
    ruling = decide.decide(findings, policy, client, envelope)
    return Judgement(
        findings=findings,
        ruling=ruling,
        field=header.format_field(
            authserv_id,
            findings,
            client=client,
            envelope=envelope,
            vouched=decide.vouched(findings, policy, client),
            override=ruling.override,
            note_dnssec=note_dnssec,
        ),
        removals=header.removals(message, authserv_id),
    )
