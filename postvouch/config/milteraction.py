"""Where Postfix lets mail through unseen while a milter of ours is away: ``default_action = accept``.

Unsigned mail then leaves as ours, and unverified mail comes in. Pure: main.cf and master.cf as data.
"""

import re
from collections.abc import Collection, Mapping

from postvouch.config.snippets import normal

_MILTERS = ("smtpd_milters", "non_smtpd_milters")
_ELEMENT = re.compile(r"\{[^{}]*\}|[^\s,{}]+")
_ACTION = re.compile(r"\bdefault_action ?= ?(\w+)")
_GLOBAL = re.compile(r"(?<![\w])milter_default_action ?= ?accept\b")


def accepting(
    main: Mapping[str, str], services: Mapping[str, str | None], ours: Collection[str]
) -> tuple[str, ...]:
    """Say where a milter is let off with "accept"; () where none is.

    ``main`` and ``services`` as postconf(1) has them, ``ours`` the sockets of our milters as main.cf names
    them. Where it names none of them, ``milter_default_action`` alone decides. Linear.
    """
    is_global = main.get("milter_default_action", "").strip().lower() == "accept"
    elements = [
        (name, element)
        for name in _MILTERS
        for element in _ELEMENT.findall(normal(main.get(name, "")))
        if any(_names(element, socket) for socket in ours)
    ]
    found = []
    for name, element in elements:
        action = _ACTION.search(element)
        if action and action[1].lower() == "accept":
            found.append(f"{name} has default_action=accept for {_address(element)}")
    if is_global and (not elements or not all(_ACTION.search(element) for _, element in elements)):
        found.append("milter_default_action = accept")
    found += [
        f"milter_default_action=accept for {name} in master.cf"
        for name, line in services.items()
        if line and _GLOBAL.search(normal(line))
    ]
    return tuple(dict.fromkeys(found))


def _address(element: str) -> str:
    return re.split(r"[\s,]+", element.strip("{} "), maxsplit=1)[0]


def _names(element: str, socket: str) -> bool:
    """Whether an element of smtpd_milters is this socket; "unix:" and "local:" are one (postconf(5))."""
    return _address(element).replace("local:", "unix:", 1) == socket
