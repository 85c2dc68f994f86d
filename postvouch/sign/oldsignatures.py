"""DKIM-Signature fields that a letter brings along, and which of them go when we sign it.

The setting is sign.remove_old_signatures. On a forward a signature of the author's own domain is what lets
the letter pass at its target; so nothing goes unless asked for, and what stays is not touched.
"""

from collections.abc import Callable, Collection, Sequence

from postvouch.auth.result import Result
from postvouch.auth.signature import BadSignature, domain_in, selector
from postvouch.sign.dkim import NAME
from postvouch.values.decision import RemoveField
from postvouch.values.message import Field, Message, by_name
from postvouch.wire import taglist

_WORTHLESS = (Result.FAIL, Result.PERMERROR)
Name = tuple[str, str]
"""d= and s= of a signature, lower-case A-labels."""


def removals(
    message: Message,
    *,
    which: str,
    domains: Collection[str],
    kept: Collection[Name],
    verified: Callable[[], Sequence[Result]],
) -> tuple[RemoveField, ...]:
    """The fields to remove, the lowest first: each removal leaves the numbers of those above it alone.

    ``which`` is "none", "own" (d= is among ``domains``), "broken" or "all". ``kept``: signatures of keys of
    ours that do not sign again; they stay unless they are broken. ``verified`` gives what became of each
    signature, from the top down, as far as they were looked at; it is asked for "broken" alone, and what
    could not be decided stays.
    """
    fields = by_name(message.fields).get(NAME.lower().encode(), [])
    if which == "none" or not fields:
        return ()
    if which == "broken":
        gone = [result in _WORTHLESS for result in verified()[: len(fields)]]
    elif which == "all":
        gone = [name_of(field) not in kept for field in fields]
    else:
        names = [name_of(field) for field in fields]
        gone = [name[0] in domains and name not in kept for name in names]
    numbers = [number for number, worthless in enumerate(gone, 1) if worthless]
    return tuple(RemoveField(NAME, number) for number in reversed(numbers))


def name_of(field: Field) -> Name:
    """Whose signature a field is, by its own word; ("", "") where it is not to be read as one."""
    try:
        tags = taglist.parse(field.value)
        return domain_in(tags.get(b"d", b"")), selector(tags.get(b"s", b""))
    except (taglist.ProtocolError, BadSignature):
        return "", ""
