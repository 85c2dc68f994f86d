"""A milter daemon with a handler that does as the message says, to test everything around a handler.

    python milter_under_test.py CONFIG

Field X-Do: reject, defer, hold, crash, sender, body, sleep, hang; else accept. Field X-Host comes back as the
handler's general.hostname, to see reloads. The variable DRAIN_S shortens the stop.
"""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from postvouch.auth.bodies import BodyHashes
from postvouch.config.schema import Config
from postvouch.host import daemon, turn
from postvouch.milters import workers
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
from postvouch.values.dns import WouldWait
from postvouch.values.message import Field, Message
from postvouch.values.reply import LATER, SPOOF

WHOLE = (False, None)


class Obeys:
    """The handler."""

    keeps = 100_000

    def __init__(self, config: Config) -> None:
        self._host = config.general.hostname

    def tick(self) -> None:
        """Nothing to do."""

    def hashes(self, fields: Sequence[Field]) -> BodyHashes:
        """Hash the body as it is, unless X-Hash is there."""
        if any(field.is_named(b"x-hash") for field in fields):
            raise LookupError("X-Hash: crash")
        return BodyHashes([WHOLE])

    def handle(self, message: Message, *, may_wait: bool = True) -> Decision:
        """Do what X-Do says and tell what was seen."""
        asked = [field.value.strip().decode() for field in message.named(b"x-do")]
        seen = (
            ("to", "/".join(message.envelope.recipients)),
            ("helo", message.client.helo),
            ("cert", message.client.certificate),
            ("local", str(message.client.local)),
            ("fields", repr([(field.name, field.value) for field in message.fields])),
            ("octets", str(message.digests[WHOLE][1] if message.digests else 0)),
            ("port", str(message.client.port)),
        )
        edits: tuple[Edit, ...] = (
            InsertField("X-Host", self._host),
            *(RemoveField("X-Old", nth) for nth in range(1, len(message.named(b"x-old")) + 1)),
            InsertField("X-Top", "folded,\n\tonce"),
        )
        if not may_wait and asked in (["sleep"], ["hang"]):
            raise WouldWait
        match asked:
            case ["reject"]:
                return Decision(verdict=Reject(SPOOF), code="spoof", facts=seen)
            case ["defer"]:
                return Decision(verdict=Defer(LATER), code="later", facts=seen)
            case ["hold"]:
                return Decision(verdict=Quarantine("for a test"), code="held", facts=seen)
            case ["crash"]:
                raise RuntimeError("told to\ncrash")
            case ["sender"]:
                edits = (ChangeSender("new@our.example"), *edits)
            case ["body"]:
                kept = b"".join(message.body)
                edits = (*edits, AddField("X-Last", "folded,\n\tonce"), ReplaceBody(b"new: " + kept))
            case ["sleep"]:
                os.write(2, b"test]: sleeping\n")
                with turn.given_back():
                    time.sleep(1.0)
            case ["hang"]:
                os.write(2, b"test]: hanging\n")
                with turn.given_back():
                    time.sleep(60)
        return Decision(verdict=Accept(), code="ok", edits=edits, facts=seen)


def run(service: daemon.Service) -> int:
    """The daemon."""
    return workers.run(
        service,
        settings=lambda config: config.verify,
        make=lambda config, old: Obeys(config),
        check=lambda config: (
            ["verify: refused by this test"] if config.general.hostname == "bad.example" else []
        ),
        gauges={"postvouch_test_gauge": ("A test.", lambda: 42.0)},
    )


if __name__ == "__main__":
    workers.DRAIN_S = float(os.environ.get("DRAIN_S", workers.DRAIN_S))
    sys.exit(run(daemon.start("postvouch-test", Path(sys.argv[1]))))
