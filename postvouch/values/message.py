"""A message as Postfix hands it to us: who connected, the envelope, and the bytes, kept as received.

Nothing is decoded here. Field values keep the blank after the colon and their folds (as CRLF), because a
signature in ``simple`` canonicalisation covers them (RFC 6376 §3.4.1).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

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


@dataclass(frozen=True, slots=True)
class Field:
    """One header field: ``name`` as written; ``value`` all after the colon, folds as CRLF, no last CRLF."""

    name: bytes
    value: bytes

    def is_named(self, name: bytes) -> bool:
        """Whether this is the field ``name`` (ASCII, any case; RFC 5322 §1.2.2, and §4.5: blanks behind)."""
        return self.name.rstrip(b" \t").lower() == name.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message. ``body`` is the body in the chunks it arrived in (CRLF lines, no separator line).

    ``digests``: what is left of a body that was hashed as it arrived and not kept; then ``body`` is ().
    """

    queue_id: str = ""
    client: Client = field(default_factory=Client)
    envelope: Envelope = field(default_factory=Envelope)
    fields: tuple[Field, ...] = ()
    body: tuple[bytes, ...] = ()
    digests: Digests | None = None

    def named(self, name: bytes) -> tuple[Field, ...]:
        """All fields of that name, top to bottom."""
        wanted = name.lower()
        # Postfix hands names over without blanks; a letter in a file may hide a second "From :".
        return tuple(f for f in self.fields if f.name.rstrip(b" \t").lower() == wanted)
