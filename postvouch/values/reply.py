"""SMTP replies, all of them in one table, so that no two places word one refusal differently.

The text is public: it says what to do, never what we know. Reasons for the admin go to the log line.
Sources: RFC 5321 §4.2 (codes), RFC 3463 and the IANA enhanced status registry (x.7.2x: RFC 7372).
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One SMTP reply: ``code`` 4xx or 5xx, ``enhanced`` "5.7.1", ``text`` in plain ASCII on one line."""

    code: int
    enhanced: str
    text: str

    def __post_init__(self) -> None:
        if not (400 <= self.code <= 599 and self.enhanced.startswith(f"{self.code // 100}.")):
            raise ValueError(f"not an SMTP refusal: {self.code} {self.enhanced}")
        if not self.text.isascii() or not self.text.isprintable():
            raise ValueError("a reply text is one line of printable ASCII")

    def __str__(self) -> str:
        return f"{self.code} {self.enhanced} {self.text}"


LATER = Reply(code=451, enhanced="4.7.1", text="Service unavailable - try again later")
KEY_PROBLEM = Reply(code=451, enhanced="4.7.1", text="This message cannot be signed now - try again later")
DNS_PROBLEM = Reply(code=451, enhanced="4.7.24", text="Sender authentication failed temporarily - try later")
NO_LOGIN = Reply(code=530, enhanced="5.7.0", text="Authentication required")
AUTHOR_NOT_OWNED = Reply(
    code=550, enhanced="5.7.1", text="The From: address does not belong to the login in use"
)
SENDER_NOT_OWNED = Reply(
    code=550, enhanced="5.7.1", text="The Sender: address does not belong to the login in use"
)
SENDER_UNCLEAR = Reply(code=550, enhanced="5.7.1", text="Sender: must hold exactly one valid address")
AUTHOR_UNCLEAR = Reply(code=550, enhanced="5.7.1", text="From: must hold exactly one valid address")
NULL_SENDER = Reply(code=553, enhanced="5.7.1", text="A login may send only reports with an empty sender")
SPOOF = Reply(
    code=550, enhanced="5.7.1", text="This domain's mail must be authenticated: use its submission server"
)
DMARC_FAILED = Reply(
    code=550, enhanced="5.7.1", text="Message refused by the DMARC policy of its From: domain"
)
NOT_ALIGNED = Reply(
    code=550, enhanced="5.7.1", text="From: must match a passing DKIM signature or SPF result"
)
NO_RECORD = Reply(code=550, enhanced="5.7.1", text="The From: domain must publish a DMARC record")
MARKED = Reply(
    code=550, enhanced="5.7.1", text="Message refused: it looks like spam, or not like its author's"
)
NOT_READABLE = Reply(code=550, enhanced="5.6.0", text="This report has too many header fields")


def not_owner(login: str) -> Reply:
    """The envelope sender is another's: in the words of Postfix's own refusal, which may come before."""
    shown = "".join(each if each.isascii() and each.isprintable() else "?" for each in login[:100])
    return Reply(code=553, enhanced="5.7.1", text=f"not owned by user {shown}")


def over_limit(name: str, most: int, unit: str, window_s: float, frees_in_s: float) -> Reply:
    """A limit is used up; ``unit`` is "messages" or "recipients", ``frees_in_s`` negative for never.

    RFC 5321 §4.2.1: 450 is to be tried again; a letter with more recipients than the limit has is not.
    """
    allowed = f"{most} {unit} in {span(window_s)} (limit {name})"
    if frees_in_s < 0:
        return Reply(code=550, enhanced="5.5.3", text=f"Too many recipients: no more than {allowed}")
    text = f"Too much mail: no more than {allowed} - try again in {span(frees_in_s)}"
    return Reply(code=450, enhanced="4.7.1", text=text)


def span(seconds: float) -> str:
    """A time for people, rounded up: "45 seconds", "20 minutes", "3 hours", "2 days"."""
    for unit, size, most in (("second", 1, 120), ("minute", 60, 120), ("hour", 3600, 48)):
        number = max(1, math.ceil(seconds / size))
        if number < most:
            return f"{number} {unit}{'s' if number > 1 else ''}"
    number = math.ceil(seconds / 86400)
    return f"{number} days"
