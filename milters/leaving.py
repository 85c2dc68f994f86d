"""The last look at a letter on srs: the gate for what mx has marked (forward.gate), and its outcome."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from postvouch.config.schema import Config
from postvouch.forward import outcome
from postvouch.values.address import Author, OneAuthor
from postvouch.values.decision import Accept, Decision, Quarantine, Reject
from postvouch.values.message import Message
from postvouch.values.network import Network, networks, within
from postvouch.values.reply import MARKED

HELD = "marked by our mx: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """The settings. Only what vouching hosts bring has a word of the mx."""

    gate: str
    marks: outcome.Marks
    vouching: tuple[Network, ...]
    vouching_id: str

    @classmethod
    def of(cls, config: Config) -> "Leaving | None":
        """From the configuration; None where nothing leaves us to addresses outside by a forward."""
        if config.general.role != "srs":
            return None
        return cls(
            gate=config.forward.gate,
            marks=outcome.Marks.of(config.forward.spam_marks),
            vouching=networks(config.sign.vouching_hosts),
            vouching_id=config.sign.vouching_id,
        )

    def look(self, message: Message, author: Author, decision: Decision, signed: Iterable[str]) -> Decision:
        """The decision with what is to be added to it. ``signed``: the domains (d=) of signatures of ours.

        A letter that is refused, deferred or held already does not leave.
        """
        if not isinstance(decision.verdict, Accept):
            return decision
        trusted = within(message.client.address, self.vouching) is not None
        said = outcome.word_of_mx(message, self.vouching_id) if trusted else None
        if self.gate != "off" and message.envelope.sender:
            why = outcome.marked(message, said, self.marks)
            if why:
                return replace(
                    decision,  # with its edits: what is released from the hold queue is not signed again
                    verdict=Quarantine(HELD + why) if self.gate == "hold" else Reject(MARKED),
                    code="forward-gate",
                    facts=(*decision.facts, ("marked", why)),
                )
        domain = author.address.domain if isinstance(author, OneAuthor) else ""
        word = outcome.outcome(domain, said, frozenset(signed))
        return replace(decision, facts=(*decision.facts, ("outcome", word)))
