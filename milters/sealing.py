"""ARC on the forward path (sign.arc_seal): what our mx found out goes into the chain, for those who trust us.

A courtesy: whatever stands in its way is a reason in the log, and the letter goes on without a seal. Only
letters from vouching hosts are sealed, and of what they say only the topmost Authentication-Results field
above all Received fields counts, as it does where we sign (``sign.vouch``).
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from postvouch.auth import arc as chains
from postvouch.auth import authres
from postvouch.auth.result import Result
from postvouch.config.schema import Config
from postvouch.sign import arc, dkim
from postvouch.sign.keys import KeyRing, SigningKey
from postvouch.values.address import Address
from postvouch.values.decision import Edit, InsertField, RemoveField
from postvouch.values.dns import Resolver
from postvouch.values.message import Field, Message
from postvouch.values.network import Network, networks, within

FORM = (True, None)
"""How a seal wants the body hashed."""


class Unsealed(Exception):
    """Why there is no seal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealer:
    """The settings. ``domain`` is d=, ``vouching`` whose letters are sealed, ``vouching_id`` their name."""

    domain: str
    vouching: tuple[Network, ...]
    vouching_id: str
    cover: dkim.Rules

    @classmethod
    def of(cls, config: Config, cover: dkim.Rules) -> "Sealer | None":
        """From the configuration; None where nothing is to be sealed."""
        if config.general.role != "srs" or not config.sign.arc_seal:
            return None
        return cls(
            domain=config.srs.domain or next(iter(config.general.domains), ""),
            vouching=networks(config.sign.vouching_hosts),
            vouching_id=config.sign.vouching_id,
            cover=cover,
        )

    def concerns(self, message: Message) -> bool:
        """Whether this letter is one to seal."""
        return within(message.client.address, self.vouching) is not None

    def seal(
        self, message: Message, edits: Sequence[Edit], ring: KeyRing, resolver: Resolver
    ) -> tuple[tuple[InsertField, ...], str]:
        """The three fields, to be inserted after ``edits``, and a word for the log: whose seal, or why none.

        Raises WouldWait as the resolver does, and nothing else.
        """
        try:
            key = self._key(ring)
            evidence = self._evidence(message)
            now = time.time()
            chain = chains.verify(message, resolver, now)
            if chain.result is Result.TEMPERROR:
                raise Unsealed(f"the chain cannot be verified now: {chain.reason}")
            fields = arc.seal(
                _leaving(message, edits),
                key,
                now=now,
                authserv_id=self.vouching_id,
                chain=chain.result,
                headers=(*self.cover.headers, *self.cover.oversign_present, dkim.NAME),
                oversign=self.cover.oversign,
                digest=message.digests[FORM][0] if message.digests is not None else None,
                evidence=(evidence,),
            )
            if not fields:
                raise Unsealed("the chain takes no further seal")
        except Unsealed as why:
            return (), f"no ({why})"
        return fields, f"{key.domain}/{key.selector} cv={chain.result}"

    def _key(self, ring: KeyRing) -> SigningKey:
        # No local part: a key for some authors only does not speak for the host.
        keys = ring.find(Address("", self.domain))
        if keys is not None and keys.problem:
            raise Unsealed(keys.problem)
        for key in keys.keys if keys is not None else ():
            if key.private.kind == "rsa":
                return key
        raise Unsealed(f"no RSA key for {self.domain}")

    def _evidence(self, message: Message) -> Field:
        for field in message.fields:
            name = field.name.rstrip(b" \t").lower()
            if name == b"received":
                break
            if name == b"authentication-results":
                try:
                    claimed = authres.parse(field.value).authserv_id
                except authres.AuthresError:
                    raise Unsealed("the topmost Authentication-Results field is malformed") from None
                if claimed.rstrip(".").lower() == self.vouching_id.rstrip(".").lower():
                    return field
                break
        raise Unsealed(f"no Authentication-Results of {self.vouching_id} on top")


def _leaving(message: Message, edits: Sequence[Edit]) -> Message:
    """The letter as it is once the edits are made: what a seal stands over."""
    removed = {(edit.name.lower().encode(), edit.nth) for edit in edits if isinstance(edit, RemoveField)}
    seen: dict[bytes, int] = {}
    fields: list[Field] = []
    for field in message.fields:
        name = field.name.rstrip(b" \t").lower()
        seen[name] = seen.get(name, 0) + 1
        if (name, seen[name]) not in removed:
            fields.append(field)
    for edit in edits:
        if isinstance(edit, InsertField):
            value = b" " + edit.value.replace("\n", "\r\n").encode()
            fields.insert(0, Field(edit.name.encode(), value))
    return replace(message, fields=tuple(fields))
