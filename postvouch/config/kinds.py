"""The kinds of value that a setting can have, and how a setting is written down.

Each kind is a plain ``str``, ``int`` or ``float`` to those who use it; its name tells the loader how the
value is written in the file and what to check (``convert.py``).
"""

from dataclasses import field
from typing import Any, NewType

Duration = NewType("Duration", float)
Socket = NewType("Socket", str)
SecretPath = NewType("SecretPath", str)
Domain = NewType("Domain", str)
"""A domain name, folded to lower-case A-labels by the loader."""
Network = NewType("Network", str)
"""An IP address or CIDR network, folded to "network/length" by the loader."""
Host = NewType("Host", str)
"""A Network, a host name, or ".our.example" for all hosts below it; folded."""
AuthorPattern = NewType("AuthorPattern", str)
"""Whose From: a key signs, as ``sign.authors`` reads it; folded."""
IpAddress = NewType("IpAddress", str)
Endpoint = NewType("Endpoint", str)
"""A TCP "host:port"; "" for nowhere."""

QUEUE_DIR = "/var/spool/postfix/postvouch"


def setting(
    default: Any,
    doc: str,
    *,
    choices: tuple[str, ...] = (),
    example: str = "",
    required: bool = False,
    **limits: float,
) -> Any:
    """A field of the schema: its default, its manual text, and where it has them its only legal words.

    ``example`` is shown, commented out, in the example file where the default alone says too little;
    ``required`` is for settings of [[tables]] that must not be left out.
    ``limits`` are ``least`` (0 unless given) and ``most``, for numbers and durations (seconds).
    """
    return field(
        default=default,
        metadata={"doc": doc, "choices": choices, "example": example, "required": required, **limits},
    )


def socket(name: str, doc: str) -> Any:
    """Where one of the daemons listens."""
    return setting(Socket(f"unix:{QUEUE_DIR}/{name}.sock"), doc)


def metrics(port: int) -> Any:
    """Where one of the daemons serves its numbers."""
    return setting(Endpoint(f"127.0.0.1:{port}"), 'Where /metrics is served, "host:port". "" for nowhere.')


def workers() -> Any:
    """How many processes a milter has."""
    return setting(2, "Processes that share the socket; one a core is enough.", least=1)


def engine() -> Any:
    """Which of the two doors a milter opens."""
    return setting(
        "native",
        "What speaks with Postfix. native: our own, one loop a worker, on uvloop where that is installed. "
        "pymilter: Sendmail's libmilter, a thread a connection.",
        choices=("native", "pymilter"),
    )
