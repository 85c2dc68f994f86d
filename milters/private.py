"""Bounces from behind a forward (forward.private): found among the letters of the null sender, written anew.

On srs, and on the one host that is all, they come from our own Postfix, or from a target's MTA by way of our
SRS address, and go to whoever wrote the letter. A bounce for one of us stays as it is, unless it says that it
is about a forward of ours.
"""

import time
from dataclasses import dataclass, replace

from postvouch.config.schema import Config
from postvouch.directory.model import Directory
from postvouch.forward import bounce, redact
from postvouch.forward.names import Names
from postvouch.milters.rules import ours
from postvouch.values.decision import Decision, Edit, Reject
from postvouch.values.message import Client, Message
from postvouch.values.network import Hosts, Network, internal_hosts, networks, within
from postvouch.values.reply import NOT_READABLE

KEEPS = 256 << 10
"""Octets of a body that are kept and read; a report says what matters before the letter that it returns."""

ROLES = ("srs", "single")
"""Who sends to addresses outside, and takes back what comes from there."""

MAX_FIELDS = 1000
"""Postfix looks through the header anew for each field that goes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewritten:
    """The new report as a letter made here, to be signed, and what makes it of the old one."""

    message: Message
    edits: tuple[Edit, ...]
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Private:
    """The settings that decide."""

    domains: frozenset[str]
    internal: Hosts
    vouching: tuple[Network, ...]
    writer: redact.Writer

    @classmethod
    def of(cls, config: Config) -> "Private | None":
        """From the configuration; None where bounces are left as they are."""
        if config.general.role not in ROLES or not config.forward.private:
            return None
        domain = next(iter(config.general.domains), config.srs.domain or config.general.hostname)
        return cls(
            domains=ours(config),
            internal=internal_hosts(config.general.internal_hosts),
            vouching=networks(config.sign.vouching_hosts),
            writer=redact.Writer(domain=domain, hostname=config.general.hostname),
        )

    def rewritten(self, message: Message, directory: Directory | None) -> Rewritten | Decision | None:
        """What becomes of a letter: None where it is no bounce of a forward, a refusal for one too long."""
        if (
            message.envelope.sender
            or not self._passes(message.client)
            or not bounce.is_bounce(message.fields)
        ):
            return None
        names = Names(domains=self.domains, directory=directory)
        outside = [each for each in message.envelope.recipients if not names.ours(each)]
        found = bounce.read(message.fields, b"".join(message.body))
        if not outside and not any(_of_forward(each, names) for each in found.recipients):
            return None
        if len(message.fields) > MAX_FIELDS:
            return Decision(verdict=Reject(NOT_READABLE), code="bounce-too-long")
        report = redact.rewrite(
            found,
            names=names,
            writer=self.writer,
            recipients=message.envelope.recipients,
            hops=len(message.named(b"received")),
            made_here=message.client.local,
            now=time.time(),
            tag=message.queue_id,
        )
        # Ours from the first octet to the last, wherever the news came from.
        made = replace(
            message,
            client=Client(name="localhost", address="127.0.0.1", local=True),
            fields=report.header(),
            body=(report.body,),
            digests=None,
        )
        told = " ".join(report.aliases[:3])
        return Rewritten(message=made, edits=report.edits(message.fields), facts=(("redacted", told),))

    def _passes(self, client: Client) -> bool:
        """Whether what this client brings may come from behind a forward."""
        if client.login:
            return False
        return (
            client.local
            or within(client.address, self.vouching) is not None
            or not self.internal.rule(client)
        )


def _of_forward(recipient: bounce.Recipient, names: Names) -> bool:
    return bool(names.ours(recipient.original)) and not names.ours(recipient.final)
