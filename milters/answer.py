"""What we say in the milter protocol: what we take of an offer, and a decision as octets."""

from functools import lru_cache

from postvouch.milters.gather import MACROS, in_order
from postvouch.values.decision import (
    Accept,
    AddField,
    ChangeSender,
    Decision,
    Defer,
    Edit,
    InsertField,
    Quarantine,
    Reject,
    RemoveField,
    ReplaceBody,
)
from postvouch.values.reply import Reply
from postvouch.wire import milter

ACTIONS = (
    milter.ADD_HEADERS | milter.CHANGE_HEADERS | milter.QUARANTINE | milter.CHANGE_SENDER | milter.SET_MACROS
)
PROTOCOL = milter.NO_END_OF_HEADER | milter.NO_UNKNOWN | milter.LEADING_SPACE | sum(milter.SILENT.values())


@lru_cache(maxsize=16)
def negotiate(offer: bytes, bodies: bool = False) -> tuple[milter.Options, bytes]:
    """What becomes of an offer, and our answer to it; each Postfix makes one and the same offer.

    ``bodies``: bodies may have to be replaced.
    """
    actions = ACTIONS | (milter.CHANGE_BODY if bodies else 0)
    options = milter.Options.read(offer).taking(actions=actions, protocol=PROTOCOL)
    return options, options.reply(MACROS)


def answer(decision: Decision, options: milter.Options) -> bytes:
    """A decision as octets. Raises where it asks for what the other side does not offer."""
    match decision.verdict:
        case Reject(reply) | Defer(reply):
            return refuse(reply)
        case Quarantine(reason):
            if not options.actions & milter.QUARANTINE:
                raise ValueError("the other side does not offer to hold messages")
            last = milter.quarantine(reason) + milter.CONTINUE
        case Accept():
            last = milter.CONTINUE
    return b"".join([*(_edit(edit, options) for edit in in_order(decision.edits)), last])


def _edit(edit: Edit, options: milter.Options) -> bytes:
    blank = " " if options.protocol & milter.LEADING_SPACE else ""
    match edit:
        case InsertField(name, value):
            action, octets = milter.ADD_HEADERS, milter.insert_field(0, name, blank + value)
        case AddField(name, value):
            action, octets = milter.ADD_HEADERS, milter.insert_field(None, name, blank + value)
        case ReplaceBody(body):
            action, octets = milter.CHANGE_BODY, milter.replace_body(body)
        case RemoveField(name, nth):
            action, octets = milter.CHANGE_HEADERS, milter.remove_field(nth, name)
        case ChangeSender(address):
            action, octets = milter.CHANGE_SENDER, milter.change_sender(f"<{address}>")
    if not options.actions & action:
        raise ValueError(f"the other side does not offer {type(edit).__name__}")
    return octets


def refuse(reply: Reply) -> bytes:
    """A refusal as octets."""
    return milter.refuse(reply.code, reply.enhanced, [reply.text])
