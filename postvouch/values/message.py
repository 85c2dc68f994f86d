"""A message as Postfix hands it to us: who connected, the envelope, and the bytes, kept as received.

Nothing is decoded here. Field values keep the blank after the colon and their folds (as CRLF), because a
signature in ``simple`` canonicalisation covers them (RFC 6376 §3.4.1).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

WSP = b" \t"

Form = tuple[bool, int | None]
"""A canonical body: relaxed or not, and l= where a signature limits itself."""

Digests = Mapping[Form, tuple[bytes, int]]
"""SHA-256 (32 octets) and length in octets of the canonical body in some forms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """The SMTP client. ``address`` is an IP literal, "" when Postfix did not say.

    ``local`` is true for mail that entered through sendmail(1), pickup(8) or bounce(8): cleanup(8) then plays
    the client as localhost, port 0. ``login`` is the SASL user name, "" without login. ``certificate`` is the
    common name of a TLS client certificate that Postfix has verified, else "".
    """

    address: str = ""
    name: str = ""
    helo: str = ""
    port: int = 0
    login: str = ""
    certificate: str = ""
    daemon_name: str = ""
    local: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """MAIL FROM and RCPT TO without angle brackets, case kept. ``sender`` "" is the null sender."""

    sender: str = ""
    recipients: tuple[str, ...] = ()


class Field(NamedTuple):
    """One header field: ``name`` as written; ``value`` all after the colon, folds as CRLF, no last CRLF."""

    name: bytes
    value: bytes

    def is_named(self, name: bytes) -> bool:
        """Whether this is the field ``name`` (ASCII, any case; RFC 5322 §1.2.2, and §4.5: blanks behind)."""
        return self.name.rstrip(WSP).lower() == name.lower()


Index = Mapping[bytes, Sequence[Field]]
"""The fields of each lower-case name, top to bottom; blanks before the colon are not part of a name."""


class Header(tuple[Field, ...]):
    """All fields of a letter, top to bottom. Every room asks for some by name: they are sorted out once."""

    _index: Index

    @property
    def by_name(self) -> Index:
        """See ``by_name``."""
        try:
            return self._index
        except AttributeError:
            self._index = _sort_out(self)
            return self._index


def by_name(fields: Sequence[Field]) -> Index:
    """The fields by name; of a ``Header`` they are sorted out once."""
    return fields.by_name if isinstance(fields, Header) else _sort_out(fields)


def _sort_out(fields: Sequence[Field]) -> Index:
    index: dict[bytes, list[Field]] = {}
    for each in fields:
        # Postfix hands names over without blanks; a letter in a file may hide a second "From :".
        index.setdefault(each[0].rstrip(WSP).lower(), []).append(each)
    return index


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message. ``body`` is the body in the chunks it arrived in (CRLF lines, no separator line).

    ``digests``: what is left of a body that was hashed as it arrived and not kept; then ``body`` is (), or
    the beginning of one that may be replaced.
    """

    queue_id: str = ""
    client: Client = field(default_factory=Client)
    envelope: Envelope = field(default_factory=Envelope)
    fields: tuple[Field, ...] = ()
    body: tuple[bytes, ...] = ()
    digests: Digests | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.fields, Header):
            object.__setattr__(self, "fields", Header(self.fields))

    def named(self, name: bytes) -> tuple[Field, ...]:
        """All fields of that name, top to bottom."""
        return tuple(by_name(self.fields).get(name.lower(), ()))
